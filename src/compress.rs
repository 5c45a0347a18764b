//! From a trained run to one small file: a ladder of nets is trained for size, each is coded, and the file that meets the goal on
//! held-out images is kept.
//!
//! What is trained are sweeps in a folder beside the file, so that a compression that was killed goes on where it was. Choices are
//! made on images held out from training; the test images are looked at once, by the file that was chosen.

pub mod coded;
mod goal;
mod judge;
mod ladder;
pub mod report;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result};

pub use goal::{Goal, share};

use crate::config::layers::Given;
use crate::error::{Exit, Failure};
use crate::read;
use crate::report::Style;
use crate::run::checkpoint::Checkpoint;
use crate::run::write;
use crate::sweep::TrainSweep;
use crate::text::quoted_path;
use coded::{Candidate, Format, Rounding};
use judge::Judge;
use ladder::{Ladder, Trained};
use report::{Report, Stage};

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// Where the run lies, and its checkpoint.
    pub path: PathBuf,
    /// The run's net.
    pub checkpoint: Checkpoint,
    /// What the file must be.
    pub goal: Goal,
    /// The format of the run's own weights, where nothing is to be trained.
    pub format: Option<Format>,
    /// By what weights are chosen that are given up for the bits that they take.
    pub rounding: Rounding,
    /// Where it goes; with [`Goal::Pareto`] a folder.
    pub out: PathBuf,
    /// Whether to go on with what lies beside it.
    pub resume: bool,
    /// Seed of the nets that are trained.
    pub seed: u64,
    /// Rungs of a ladder.
    pub rungs: usize,
    /// What the nets learn from beside the labels.
    pub teacher: Teacher,
    /// Settings of the nets that are trained beside those of the recipe.
    pub settings: Vec<Given>,
    /// The data, where it is not that of the run.
    pub data: Vec<Given>,
    /// How much is told.
    pub style: Style,
}

/// What nets learn from beside the labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Teacher {
    /// A wider net that is trained first.
    Auto,
    /// Nothing.
    None,
    /// The net of this run.
    Run(PathBuf),
}

/// Settings, by key.
type Recipe = Vec<(&'static str, String)>;

/// A rung that was coded.
struct Rung {
    trained: Trained,
    /// Its files.
    candidates: Vec<Candidate>,
    /// The place of the one that serves the goal best.
    best: usize,
}

impl Rung {
    fn best(&self) -> &Candidate {
        &self.candidates[self.best]
    }
}

/// Compresses, and answers with the code to leave with.
///
/// # Errors
/// If the run cannot be read, the output cannot be written, or the goal is missed ([`Exit::Missed`]).
pub fn run(request: &Request, train: TrainSweep) -> Result<i32> {
    let started = Instant::now();
    expect_free(request)?;
    let mut ladder = Ladder::new(request, train, started)?;
    let judge = Judge::new(ladder.config(), request)?;
    let mut report = Report::new(request, started);
    if let Some(format) = request.format {
        let candidates = match (format, request.goal) {
            (Format::Trained, Goal::Error(_) | Goal::Bytes(_) | Goal::Pareto) => {
                coded::candidates(&request.checkpoint, request.rounding, &judge)?
            }
            _ => vec![coded::converted(&request.checkpoint, format, &judge)?],
        };
        if request.goal == Goal::Pareto {
            return report.finish_front(request, &judge, &candidates);
        }
        let best = goal::best(request.goal, candidates.iter()).context("no file")?;
        return finish(request, &judge, report, &candidates[best]);
    }

    // The teacher, and the recipe; then the ladder, and between the rungs that the goal lies between a finer one.
    if let Err(code) = ladder.teach()? {
        return Ok(stopped(&ladder, request, code));
    }
    match ladder.try_recipes()? {
        Ok(tried) => {
            if let Some(recipe) = best_recipe(tried, &judge)? {
                if !request.style.quiet {
                    crate::report::message(&format!("recipe: {}", report::in_words(&recipe)));
                }
                ladder.settle(&recipe);
                report.recipe = recipe;
            }
        }
        Err(code) => return Ok(stopped(&ladder, request, code)),
    }
    let mut rungs = Vec::new();
    for number in 0..LADDERS {
        let shares = match (number, request.goal) {
            (0, _) => ladder.first_shares(),
            (_, Goal::Pareto) => Vec::new(),
            (_, goal) => ladder.finer_shares(&tried(&rungs, goal)),
        };
        match ladder.train(number, &shares)? {
            Ok(trained) => rungs.extend(code(trained, request, &judge)?),
            Err(code) => return Ok(stopped(&ladder, request, code)),
        }
    }
    report.nets = ladder.nets();
    if rungs.is_empty() {
        return Err(Failure::new(Exit::Diverged, "every net of the ladder diverged")
            .hint("lower optim.lr by --set")
            .into());
    }

    // The file, or the files of a front.
    if request.goal == Goal::Pareto {
        let candidates: Vec<Candidate> = rungs.into_iter().flat_map(|rung| rung.candidates).collect();
        return report.finish_front(request, &judge, &candidates);
    }
    let best = &rungs[goal::best(request.goal, rungs.iter().map(Rung::best)).context("no rung")?];
    report.stages.push(Stage::trained(&best.trained, &best.candidates[0], report.weights));
    finish(request, &judge, report, best.best())
}

/// Ladders that are trained: a coarse and a finer one.
const LADDERS: usize = 2;

/// The kept shares that were tried, and whether a file of theirs meets the goal.
fn tried(rungs: &[Rung], goal: Goal) -> Vec<(f64, bool)> {
    rungs.iter().map(|rung| (rung.trained.kept, goal.accepts(rung.best()))).collect()
}

/// The recipe whose net has the smallest product of bytes and squared error: about how the two are exchanged along a ladder, where
/// bytes fall by a half for an error half as large again. The first, which is the habit, stays where the others are better by chance.
fn best_recipe(tried: Vec<Trained>, judge: &Judge) -> Result<Option<Recipe>> {
    /// What another recipe must be better by: two standard errors of the product where 200 of 10,000 images are mistaken.
    const CHANCE: f64 = 0.8;
    let mut best: Option<(f64, Recipe)> = None;
    for (place, trained) in tried.into_iter().enumerate() {
        let file = coded::converted(&Checkpoint::read(&trained.path)?, Format::Trained, judge)?;
        let product = file.bytes.len() as f64 * file.valid.error().powi(2) * if place == 0 { CHANCE } else { 1.0 };
        tracing::info!("{}: {}", report::in_words(&trained.settings), file.in_words());
        if best.as_ref().is_none_or(|(least, _)| product < *least) {
            best = Some((product, trained.settings));
        }
    }
    Ok(best.map(|(_, recipe)| recipe))
}

/// Codes the nets of a ladder.
fn code(trained: Vec<Trained>, request: &Request, judge: &Judge) -> Result<Vec<Rung>> {
    let mut rungs = Vec::new();
    for trained in trained {
        let candidates = coded::candidates(&Checkpoint::read(&trained.path)?, request.rounding, judge)?;
        let Some(best) = goal::best(request.goal, candidates.iter()) else { continue };
        tracing::info!("kept {:.3} %: {}", 100.0 * trained.kept, candidates[best].in_words());
        rungs.push(Rung { trained, candidates, best });
    }
    Ok(rungs)
}

/// Says how to go on; answers with the code to leave with.
fn stopped(ladder: &Ladder<'_>, request: &Request, code: i32) -> i32 {
    if !request.style.quiet {
        let folder = quoted_path(ladder.folder());
        crate::report::message(&format!("go on: the same command with --resume; what is trained lies in {folder}"));
    }
    code
}

/// Writes the file, reads it back, and reports what it is.
fn finish(request: &Request, judge: &Judge, mut report: Report, candidate: &Candidate) -> Result<i32> {
    write::replace(&request.out, &candidate.bytes)?;
    report.describe(&request.out, judge, candidate)?;
    report.print(request.style)?;
    if request.goal.accepts(candidate) {
        return Ok(0);
    }
    let what = format!("{}, and the best file that was reached has {}", request.goal, candidate.in_words());
    let reached = match request.format {
        Some(_) => "another --quantize may reach it, and without --quantize nets are trained for it",
        None => "more epochs (--epochs), rungs (--rungs) or seeds may reach it",
    };
    let hint = format!("it is {}; {reached}", quoted_path(&request.out));
    Err(Failure::new(Exit::Missed, what).hint(hint).into())
}

/// Refuses an output that would overwrite what is there.
fn expect_free(request: &Request) -> Result<(), Failure> {
    let out = &request.out;
    let Some(there) = read::present(out).map_err(|error| read::failure(out, &error))? else { return Ok(()) };
    if !request.resume {
        let what = format!("{}: is there already", out.display());
        return Err(Failure::new(Exit::Usage, what).hint("choose another --out, or go on with --resume"));
    }
    let (is_its, expected) = match request.goal {
        Goal::Pareto => (there.is_dir() || there.is_symlink(), "folder"),
        _ => (there.is_file() || there.is_symlink(), "regular file"),
    };
    if !is_its {
        let what = format!("{}: is no {expected}, which alone is written here", out.display());
        return Err(Failure::new(Exit::Output, what).hint("choose another --out"));
    }
    Ok(())
}

/// The folder of what is trained on the way to `out`.
fn work_folder(out: &Path) -> PathBuf {
    let mut name = out.as_os_str().to_owned();
    name.push(".work");
    name.into()
}
