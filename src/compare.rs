//! `adamtrain compare`: which optimizer, on the same data, net, budget and seeds for all.
//!
//! Every variant gets as many tuning points, which are trained as a sweep in `tune/`; the best by validation accuracy, of equal ones the
//! first, is trained with seeds that no tuning saw, as a sweep in `duel/`. The test split is read there alone. Both sweeps go on where they
//! were stopped, so a comparison does.

pub mod judge;
pub mod picture;
pub mod search;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::config::layers::{Checkpoints, Given, Origin, Sources};
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
    expect_different(&request.variants)?;
    let candidates = request.variants.iter().map(|variant| search::candidates(variant, &request.tuned, request.budget));
    let candidates: Vec<Vec<Variant>> = candidates.collect::<Result<_, Failure>>()?;
    let course = Course::new(request, train)?;

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
        let tried = candidates.into_iter().zip(tried).filter_map(|(variant, end)| Some((variant, end?.point)));
        contestants.push(Contestant {
            label: request.variants[place].to_string(),
            best: best[place].clone(),
            ends: own.clone().map(|point| ended.get(&point).cloned()).collect(),
            records: own.map(|point| records.get(&point).cloned().unwrap_or_default()).collect(),
            tried: tried.map(|(variant, point)| Tried { variant, score: scores.remove(&point) }).collect(),
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
    train: TrainSweep,
}

impl<'a> Course<'a> {
    /// Checks the settings and makes the folder.
    fn new(request: &'a Request, train: TrainSweep) -> Result<Self> {
        let mut sources = request.sources.clone();
        let first = points(&sources, &request.variants[..1], &request.seeds[..1])?;
        // It chooses by validation, so there is a split to choose by.
        if !first.validate() {
            // A file may be that of a run, which names every setting.
            let asked = first.first().entries().find(|(setting, ..)| setting.key == "data.valid_fraction");
            let is_typed = |origin: &Origin| matches!(origin, Origin::Environment(_) | Origin::Flag(_));
            if let Some((.., origin)) = asked.filter(|(.., origin)| is_typed(origin)) {
                let what = format!("{origin}: `data.valid_fraction` is 0, and a comparison chooses by validation");
                return Err(Failure::new(Exit::Usage, what)
                    .hint("leave it out, which is 0.1 here, or give more")
                    .into());
            }
            sources.command_line.push(given("data.valid_fraction", VALID_FRACTION));
        }
        let all = points(&sources, &request.variants, &request.seeds[..1])?;
        all.expect_fitting_steps()?;
        let out = if let Some(out) = &request.out {
            expect_free(out, request.resume)?;
            write::folder(out)?;
            out.clone()
        } else {
            let name = |number| format!("{number:03}");
            write::numbered(Path::new("compares"), |folder| folder.parse().ok(), name)?[0].clone()
        };
        let threads = plan::start_threads(first.first().threads)?;
        Ok(Self { request, sources, threads, out, train })
    }

    fn points(&self, variants: &[Variant], seeds: &[u64]) -> Result<Points> {
        points(&self.sources, variants, seeds)
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

/// Requires that the folder is free, or that it is gone on with.
fn expect_free(out: &Path, resumes: bool) -> Result<(), Failure> {
    for path in ["tune", "duel"].map(|name| out.join(name)) {
        let is_there = read::present(&path).map_err(|error| read::failure(&path, &error))?.is_some();
        if is_there && !resumes {
            let what = format!("{}: holds a comparison already", out.display());
            return Err(Failure::new(Exit::Run, what).hint("give --resume to go on with it, or another --out"));
        }
    }
    Ok(())
}

/// The points of variants and seeds: a variant's are beside one another.
fn points(sources: &Sources, variants: &[Variant], seeds: &[u64]) -> Result<Points> {
    let variants: Vec<String> = variants.iter().map(ToString::to_string).collect();
    let seeds: Vec<String> = seeds.iter().map(u64::to_string).collect();
    let mut sources = sources.clone();
    sources.command_line.extend([given("optim.variant", &variants.join(",")), given("train.seed", &seeds.join(","))]);
    Points::load(&sources)
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
