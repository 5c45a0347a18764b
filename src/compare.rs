//! `adamtrain compare`: which optimizer, on the same data, net, budget and seeds for all.
//!
//! Every variant gets as many tuning points, which are trained as a sweep in `tune/`; the best by validation accuracy, of equal ones the
//! first, is trained with seeds that no tuning saw, as a sweep in `duel/`. The test split is read there alone. Both sweeps go on where they
//! were stopped, so a comparison does.

pub mod judge;
pub mod picture;
pub mod search;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result};

use crate::config::layers::{Checkpoints, Given, Layers, Origin, Sources};
use crate::config::value::Value;
use crate::config::variant::Variant;
use crate::error::{Exit, Failure};
use crate::plan;
use crate::read;
use crate::report::{self, Style};
use crate::run::provenance::Remarks;
use crate::run::results::{self, PointEnd};
use crate::run::write;
use crate::sweep::halving::Halving;
use crate::sweep::points::Points;
use crate::sweep::{Options, Sweep, TrainSweep};
use crate::text::{counted, quoted_path};
use judge::{Contestant, Outcome, Tried};

/// The validation split where none is asked for.
const VALID_FRACTION: &str = "0.1";

/// What is compared, and how.
#[derive(Debug)]
pub struct Request {
    /// What is compared; the first is what the others are held against.
    pub variants: Vec<Variant>,
    /// Where the settings that all share come from.
    pub sources: Sources,
    /// Names of the hyperparameters that are tuned.
    pub tuned: Vec<String>,
    /// Tuning points of each variant.
    pub budget: usize,
    /// Seeds of the duel, as a sweep takes them.
    pub seeds: Vec<u64>,
    /// By which rule tuning points leave on their way, if they do: the same for all variants.
    pub halving: Option<Halving>,
    /// A validation accuracy that is waited for.
    pub target: Option<f64>,
    /// Its folder, if not a new one.
    pub out: Option<PathBuf>,
    /// Whether what lies there is gone on with.
    pub resume: bool,
    /// Points that train at once, if not what memory and cache suggest.
    pub lanes: Option<usize>,
    /// What is said of it.
    pub remarks: Remarks,
    /// How much is told.
    pub style: Style,
}

/// What came of it, or the code to leave with where it was stopped on its way.
pub type OrCode<T> = std::result::Result<T, i32>;

/// Trains what there is to train, and judges it; the folder, and what came of it.
///
/// # Errors
/// If a setting is not valid, something cannot be written, or no point of a variant has an end ([`Exit::Diverged`]).
pub fn run(request: &Request, train: TrainSweep) -> Result<OrCode<(PathBuf, Outcome)>> {
    let started = Instant::now();
    expect_different(&request.variants)?;
    let candidates = request.variants.iter().map(|variant| search::candidates(variant, &request.tuned, request.budget));
    let candidates: Vec<Vec<Variant>> = candidates.collect::<Result<_, Failure>>()?;
    let course = Course::new(request, train, started)?;

    let tried = match course.tune(&candidates)? {
        Ok(tried) => tried,
        Err(code) => return Ok(Err(code)),
    };
    let mut scores = course.scores(&tried)?;
    let best = candidates.iter().zip(&tried).map(|(candidates, tried)| chosen(candidates, tried));
    let best: Vec<Variant> = best.collect::<Result<_>>()?;
    let ended = match course.train("duel", course.points(&best, &request.seeds)?)? {
        Ok(ended) => ended,
        Err(code) => return Ok(Err(code)),
    };

    let records = judge::records(&course.out.join("duel"))?;
    let mut contestants = Vec::new();
    for (place, (candidates, tried)) in candidates.into_iter().zip(tried).enumerate() {
        let own = (0..request.seeds.len()).map(|seed| place * request.seeds.len() + seed);
        let rates = course.rates(&candidates)?;
        let is_best =
            |(variant, rate): (&Variant, &f64)| (variant.to_string() == best[place].to_string()).then_some(*rate);
        let best_rate = candidates.iter().zip(&rates).find_map(is_best).unwrap_or_default();
        let tried = candidates.into_iter().zip(rates).zip(tried);
        let tried = tried.filter_map(|((variant, rate), end)| Some((variant, rate, end?.point)));
        contestants.push(Contestant {
            label: request.variants[place].to_string(),
            best: best[place].clone(),
            best_rate,
            ends: own.clone().map(|point| ended.get(&point).cloned()).collect(),
            records: own.map(|point| records.get(&point).cloned().unwrap_or_default()).collect(),
            tried: tried.map(|(variant, rate, point)| Tried { variant, rate, score: scores.remove(&point) }).collect(),
        });
    }
    Ok(Ok((course.out, judge::judged(contestants, request.target, request.halving))))
}

/// A comparison on its way.
struct Course<'a> {
    request: &'a Request,
    /// Where the settings that all share come from, a validation split among them.
    sources: Sources,
    threads: usize,
    out: PathBuf,
    /// Held to its end.
    _made: Made,
    train: TrainSweep,
    started: Instant,
}

/// Folders that were made, the innermost first. In the end those go that nothing came to lie in: the training was refused.
struct Made(Vec<PathBuf>);

impl Drop for Made {
    fn drop(&mut self) {
        for folder in &self.0 {
            let _ = read::uninterrupted(|| fs::remove_dir(folder));
        }
    }
}

impl<'a> Course<'a> {
    /// Checks the settings and makes the folder.
    fn new(request: &'a Request, train: TrainSweep, started: Instant) -> Result<Self> {
        let mut sources = request.sources.clone();
        // It chooses by validation, so there is a split to choose by.
        let asked = Layers::gather(&Sources { sweeps: true, ..sources.clone() })?.named("data.valid_fraction").cloned();
        if asked.as_ref().is_none_or(|(fraction, _)| *fraction == Value::Number(0.0)) {
            // A file may be that of a run, which names every setting.
            if let Some((_, origin @ (Origin::Environment(_) | Origin::Flag(_)))) = asked {
                let what = format!("{origin}: `data.valid_fraction` is 0, and a comparison chooses by validation");
                return Err(Failure::new(Exit::Usage, what)
                    .hint("leave it out, which is 0.1 here, or give more")
                    .into());
            }
            sources.command_line.push(given("data.valid_fraction", VALID_FRACTION));
        }
        let all = points(&sources, &request.variants, &request.seeds[..1])?;
        all.expect_fitting_steps()?;
        let first = all.first();
        if first.dataset.test == 0 {
            let what = format!("a comparison is judged by test images, and `{}` has none", first.dataset.name);
            return Err(Failure::new(Exit::Usage, what).hint("--test-fraction 0.2 draws a test split").into());
        }
        let threads = plan::start_threads(first.threads)?;
        let (out, made) = if let Some(out) = &request.out {
            expect_free(out, request.resume)?;
            (out.clone(), write::folders(out).map_err(|error| write::unwritable(out, &error))?)
        } else {
            let name = |number| format!("{number:03}");
            let made = write::numbered(Path::new("compares"), |folder| folder.parse().ok(), name)?;
            (made[0].clone(), made)
        };
        Ok(Self { request, sources, threads, out, _made: Made(made), train, started })
    }

    fn points(&self, variants: &[Variant], seeds: &[u64]) -> Result<Points> {
        points(&self.sources, variants, seeds)
    }

    /// The learning rates of variants, which may have them from what all share.
    fn rates(&self, variants: &[Variant]) -> Result<Vec<f64>> {
        let points = self.points(variants, &self.request.seeds[..1])?;
        (0..variants.len()).map(|point| Ok(points.config(point)?.lr())).collect()
    }

    /// How the candidates of each variant ended; where none has a choice, nothing is known.
    fn tune(&self, candidates: &[Vec<Variant>]) -> Result<OrCode<Vec<Vec<Option<PointEnd>>>>> {
        if candidates.iter().all(|candidates| candidates.len() == 1) {
            return Ok(Ok(vec![vec![None]; candidates.len()]));
        }
        // The first seed that the duel does not have.
        let seed = (0..=u64::MAX).find(|seed| !self.request.seeds.contains(seed)).unwrap_or_default();
        let all: Vec<Variant> = candidates.iter().flatten().cloned().collect();
        let mut points = self.points(&all, &[seed])?;
        if let Some(halving) = self.request.halving {
            points = points.in_races(candidates.iter().map(Vec::len)).halved(halving)?;
        }
        let mut ended = match self.train("tune", points)? {
            Ok(ended) => ended,
            Err(code) => return Ok(Err(code)),
        };
        let mut points = 0..all.len();
        let mut ends = |count: usize| points.by_ref().take(count).map(|point| ended.remove(&point)).collect();
        Ok(Ok(candidates.iter().map(|candidates| ends(candidates.len())).collect()))
    }

    /// What tuning points are held against one another by: see [`Tried::score`].
    fn scores(&self, tried: &[Vec<Option<PointEnd>>]) -> Result<BTreeMap<usize, f64>> {
        let ends = tried.iter().flatten().flatten();
        let Some(halving) = self.request.halving else {
            return Ok(ends.filter_map(|end| Some((end.point, end.score()?))).collect());
        };
        if tried.iter().flatten().all(Option::is_none) {
            // Nothing is tuned, and there is no such sweep.
            return Ok(BTreeMap::new());
        }
        let records = judge::records(&self.out.join("tune"))?;
        let first = |point: &usize| {
            let mut own = records.get(point)?.iter().map(|(record, _)| record);
            own.find(|record| record.event == "epoch" && record.epoch == halving.least)?.valid_accuracy
        };
        let scored = ends.filter_map(|end| Some((end.point, first(&end.point)?)));
        Ok(scored.collect())
    }

    /// Trains the points of a sweep in the folder `name`, or reads what came of them.
    fn train(&self, name: &str, points: Points) -> Result<OrCode<BTreeMap<usize, PointEnd>>> {
        let Request { style, lanes, remarks, .. } = self.request;
        let out = self.out.join(name);
        let options = Options {
            lanes: *lanes,
            checkpoints: Checkpoints::Best,
            style: Style { json: false, ..*style },
            threads: self.threads,
            answers: false,
            converses: false,
            started: self.started,
        };
        if !style.quiet {
            let (count, epochs) = (counted(points.total() as u64, "point"), points.first().epochs);
            report::message(&format!("{name}: {count} of {}, in {}", counted(epochs, "epoch"), out.display()));
        }
        let code = (self.train)(Sweep::open(points, Some(out.clone()), true, options, remarks)?)?;
        // Where every point diverged there is something to tell all the same.
        if code != 0 && code != Exit::Diverged as i32 {
            if !style.quiet {
                report::message(&format!("go on: the same command with --out {} --resume", quoted_path(&self.out)));
            }
            return Ok(Err(code));
        }
        Ok(Ok(results::ended(&out, results::MOST_BYTES).with_context(|| out.display().to_string())?))
    }
}

/// Requires that no variant stands there twice: it would be compared with itself.
fn expect_different(variants: &[Variant]) -> Result<(), Failure> {
    match Variant::twice(variants) {
        Some(twice) => {
            let failure = Failure::new(Exit::Usage, format!("the variant `{twice}` stands there twice"));
            Err(failure.hint("leave one out, or give it another setting"))
        }
        None => Ok(()),
    }
}

/// Requires that the folder is absent or empty, or holds a comparison that is gone on with.
fn expect_free(out: &Path, resumes: bool) -> Result<(), Failure> {
    if !write::is_folder(out)? {
        return Ok(());
    }
    let names = read::names(out).map_err(|error| write::unwritable(out, &error))?;
    let is_comparison = names.iter().any(|name| name == "tune" || name == "duel");
    match (names.is_empty(), is_comparison, resumes) {
        (true, ..) | (false, true, true) => Ok(()),
        (false, true, false) => {
            let what = format!("{}: holds a comparison already", out.display());
            Err(Failure::new(Exit::Usage, what).hint("give --resume to go on with it, or another --out"))
        }
        (false, false, false) => {
            let what = format!("{}: holds something, expected an absent or empty folder", out.display());
            Err(Failure::new(Exit::Usage, what).hint("choose another folder with --out"))
        }
        (false, false, true) => {
            let what = format!("{}: holds no comparison: neither `tune` nor `duel` is there", out.display());
            Err(Failure::new(Exit::Run, what).hint("give the folder of a comparison, or an empty one, as --out"))
        }
    }
}

/// The points of variants and seeds: a variant's are beside one another. What a file says of a sweep of its own is nothing to a comparison.
fn points(sources: &Sources, variants: &[Variant], seeds: &[u64]) -> Result<Points> {
    let variants: Vec<String> = variants.iter().map(ToString::to_string).collect();
    let seeds: Vec<String> = seeds.iter().map(u64::to_string).collect();
    let mut sources = sources.clone();
    sources.command_line.extend([given("optim.variant", &variants.join(",")), given("train.seed", &seeds.join(","))]);
    Points::of_axes(&sources)
}

fn given(key: &str, text: &str) -> Given {
    Given { key: key.to_owned(), text: text.to_owned(), flag: "compare".to_owned() }
}

/// The candidate with the highest validation accuracy at its end, of equal ones the first; a single one untried.
fn chosen(candidates: &[Variant], ends: &[Option<PointEnd>]) -> Result<Variant> {
    if let [only] = candidates {
        return Ok(only.clone());
    }
    let scored = candidates.iter().zip(ends).filter_map(|(candidate, end)| Some((end.as_ref()?.score()?, candidate)));
    let best = scored.reduce(|a, b| if b.0 > a.0 { b } else { a });
    best.map(|(_, best)| best.clone()).ok_or_else(|| {
        let name = candidates.first().map_or("", |variant| variant.family.name);
        let failure = Failure::new(Exit::Diverged, format!("every tuning point of {name} diverged"));
        failure.hint("give a variant a lower lr of its own, or tune other hyperparameters").into()
    })
}
