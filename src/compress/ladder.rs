//! The nets that are trained for size: a sweep over the share of the weights that is kept.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result};

use super::{Request, Teacher, work_folder};
use crate::config::Config;
use crate::config::layers::{Checkpoints, Given, Sources};
use crate::config::settings::{SETTINGS, Setting, index};
use crate::error::{Exit, Failure};
use crate::plan;
use crate::run::provenance::Remarks;
use crate::run::resolve;
use crate::run::results::{self, PointEnd};
use crate::run::write;
use crate::sweep::points::Points;
use crate::sweep::{Options, Sweep, TrainSweep};
use crate::text::counted;
use crate::train::Record;

/// What came of training, or the code to leave with where it was stopped on its way.
pub type OrCode<T> = std::result::Result<T, i32>;

/// How the nets are trained, by key; `docs/compression.md` has the measurements behind it.
const RECIPE: &[(&str, &str)] = &[
    ("optim.optimizer", "adamw"),
    ("optim.weight_decay", "1e-4"),
    ("schedule.schedule", "cosine"),
    ("train.epochs", "60"),
    ("prune.saliency", "fisher"),
    ("prune.regrow", "0.01"),
    ("prune.clustering", "0.07"),
    ("prune.end", "0.3"),
    ("quantize.bits", "3"),
    ("quantize.after", "0.6"),
];

/// Learning rates that are tried, the habit first.
const RATES: &str = "2e-3,5e-4";

/// Shares of the teacher in the loss that are tried, the habit first.
const TAUGHT: &str = "0.3,0";

const AUGMENT: &str = "augment.augment";
const TEACHER_WEIGHT: &str = "teacher.weight";

/// How the teacher is trained: a wider net, whose bytes are in no file.
const TEACHER: &[(&str, &str)] = &[
    ("model.hidden", "1024,512"),
    ("model.dropout", "0.2"),
    ("optim.optimizer", "adamw"),
    ("optim.lr", "1e-3"),
    ("schedule.schedule", "cosine"),
    ("train.epochs", "40"),
];

/// Settings of the run that its compressed nets share, besides those of `[data]`.
const SHARED: [&str; 2] = ["model.hidden", "train.batch_size"];

/// Part of the training split that is held out where the run held out nothing.
const HELD_OUT: &str = "0.16666666666666666";

/// What is trained on the way to a file.
pub struct Ladder<'a> {
    request: &'a Request,
    folder: PathBuf,
    given: Vec<Given>,
    config: Config,
    threads: usize,
    train: TrainSweep,
    started: Instant,
    /// Nets that were trained.
    nets: usize,
}

/// A net of the ladder.
#[derive(Clone, Debug)]
pub struct Trained {
    /// Its checkpoint.
    pub path: PathBuf,
    /// Share of the weights that pruning kept.
    pub kept: f64,
    /// What it was trained with and the others of its sweep were not: keys and values.
    pub settings: Vec<(&'static str, String)>,
    /// Its last evaluation.
    pub last: Record,
}

impl<'a> Ladder<'a> {
    /// That of a request.
    ///
    /// # Errors
    /// If its settings are not valid ([`Exit::Usage`]), or the run's configuration is broken ([`Exit::Run`]).
    pub fn new(request: &'a Request, train: TrainSweep, started: Instant) -> Result<Self> {
        let given = |key: &str, text: &str, flag: &str| Given { key: key.into(), text: text.into(), flag: flag.into() };
        let of_run = &request.checkpoint.meta.config;
        let place = request.path.display().to_string();
        let mut all = Vec::new();
        let is_shared = |key: &&str| key.starts_with("data.") || SHARED.contains(key);
        for key in SETTINGS.iter().map(|setting| setting.key).filter(is_shared) {
            let text = of_run.get(key).map(String::as_str).unwrap_or_default();
            match (key, text) {
                ("data.valid_fraction", "" | "0") => all.push(given(key, HELD_OUT, "compress")),
                (_, "") => {}
                (_, text) if is_default(key, text) => {}
                (_, text) => all.push(given(key, text, &place)),
            }
        }
        all.extend(RECIPE.iter().map(|(key, text)| given(key, text, "compress")));
        all.push(given("train.seed", &request.seed.to_string(), "--seed"));
        let own = |given: &&Given| ["prune.sparsity", "teacher.teacher", "train.init"].contains(&given.key.as_str());
        if let Some(Given { key, flag, .. }) = request.settings.iter().find(own) {
            let what = format!("{flag}: `{key}` is what `compress` chooses itself");
            return Err(Failure::new(Exit::Usage, what).hint("choose --rungs and --teacher").into());
        }
        all.extend(request.data.iter().chain(&request.settings).cloned());
        // Checked as the nets will have them: each with a sparsity and, where there is one, a teacher.
        let mut checked = all.clone();
        checked.push(of_recipe("prune.sparsity", "0.5"));
        if request.teacher != Teacher::None {
            checked.push(of_recipe("teacher.teacher", &place));
        }
        let points = points_of(checked)?;
        if let Some(axis) = points.axes().iter().find(|axis| axis.setting.key.starts_with("data.")) {
            let what = format!("`{}` has several values, and all nets are judged by the same images", axis.setting.key);
            return Err(Failure::new(Exit::Usage, what).hint("choose one").into());
        }
        let config = points.first().clone();
        let shape = &request.checkpoint.meta.model.shape;
        if (config.shape.inputs, config.shape.classes) != (shape.inputs, shape.classes) {
            let what = format!("{place}: its net is {shape}, and `{}` needs {}", config.dataset.name, config.shape);
            return Err(Failure::new(Exit::Run, what).into());
        }
        let threads = plan::start_threads(config.threads)?;
        Ok(Self { folder: work_folder(&request.out), request, given: all, config, threads, train, started, nets: 0 })
    }

    /// What its nets share.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// How many nets were trained.
    pub fn nets(&self) -> usize {
        self.nets
    }

    /// Where they are trained.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Shares of the weights to keep on the first ladder, the largest first.
    pub fn first_shares(&self) -> Vec<f64> {
        /// Weights of the top rung, in nets that have many.
        const TOP: f64 = 30_000.0;
        /// From the top rung to the lowest.
        const SPAN: f64 = 28.0;
        let weights: usize = self.config.shape.layers().map(|(inputs, outputs)| inputs * outputs).sum();
        let top = (TOP / weights as f64).clamp(0.05, 0.6);
        between(top, top / SPAN, self.request.rungs)
    }

    /// Shares between those of the first ladder that the goal lies between; each was tried with an outcome.
    pub fn finer_shares(&self, tried: &[(f64, bool)]) -> Vec<f64> {
        let count = self.request.rungs.div_ceil(2).max(2);
        let mut tried = tried.to_vec();
        tried.sort_by(|a, b| b.0.total_cmp(&a.0));
        let change = tried.windows(2).rfind(|pair| pair[0].1 != pair[1].1);
        let (top, low) = match change {
            Some(pair) => (pair[0].0, pair[1].0),
            // The goal lies above the ladder or below it.
            None => match tried.as_slice() {
                [first, .., last] => {
                    let wants_more = first.1 == matches!(self.request.goal, super::Goal::Bytes(_));
                    if wants_more { ((first.0 * 4.0).min(0.999), first.0) } else { (last.0, last.0 / 8.0) }
                }
                _ => return Vec::new(),
            },
        };
        let all = between(top, low, count + 2);
        all[1..all.len() - 1].to_vec()
    }

    /// How images of its data are augmented by habit: where they have colours, left and right are taken to be as good as each other.
    fn augmentation(&self) -> &'static str {
        if self.config.dataset.channels > 1 { "flip+shift" } else { "affine" }
    }

    /// Trains the teacher of the nets of all ladders, where one is asked for; the code to leave with where it was stopped on its way.
    ///
    /// # Errors
    /// If something cannot be written, or it diverged ([`Exit::Diverged`]).
    pub fn teach(&mut self) -> Result<OrCode<()>> {
        let path = match &self.request.teacher {
            Teacher::None => return Ok(Ok(())),
            Teacher::Run(path) => path.clone(),
            Teacher::Auto => {
                let is_shared = |given: &Given| {
                    let key = given.key.as_str();
                    key.starts_with("data.") || key.starts_with("augment.") || key == "train.batch_size"
                };
                let mut given = vec![of_recipe(AUGMENT, self.augmentation())];
                given.extend(self.given.iter().filter(|given| is_shared(given)).cloned());
                given.extend(TEACHER.iter().map(|(key, text)| of_recipe(key, text)));
                given.push(of_recipe("train.seed", &self.request.seed.to_string()));
                match self.sweep("teacher", given)? {
                    Ok(trained) => {
                        let loss = |trained: &Trained| trained.last.valid_loss.unwrap_or(f64::INFINITY);
                        let best = trained.into_iter().min_by(|a, b| loss(a).total_cmp(&loss(b)));
                        let diverged = || {
                            Failure::new(Exit::Diverged, "the teacher diverged")
                                .hint("give another by --teacher, or none")
                        };
                        best.ok_or_else(diverged)?.path
                    }
                    Err(code) => return Ok(Err(code)),
                }
            }
        };
        self.given.push(of_recipe("teacher.teacher", &path.display().to_string()));
        Ok(Ok(()))
    }

    /// Trains a net by each recipe for a part of the epochs, all with the same share of their weights; the code to leave with where it
    /// was stopped on its way. None where there is one recipe: the caller's settings leave no choice.
    ///
    /// # Errors
    /// As for [`train`](Self::train).
    pub fn try_recipes(&mut self) -> Result<OrCode<Vec<Trained>>> {
        /// Which part of them.
        const PART: u64 = 3;
        let augmentations = format!("{},none", self.augmentation());
        let mut tried = vec![("optim.lr", RATES), (AUGMENT, &augmentations)];
        if self.request.teacher != Teacher::None {
            tried.push((TEACHER_WEIGHT, TAUGHT));
        }
        let is_chosen = |key: &str| self.request.settings.iter().any(|given| given.key == key);
        tried.retain(|(key, _)| !is_chosen(key));
        self.given.extend(tried.iter().map(|(key, values)| of_recipe(key, values)));
        // Not in the middle of the ladder but somewhat above: what is pruned that far learns slowly.
        let shares = self.first_shares();
        let mut given = self.given.clone();
        given.push(of_recipe("prune.sparsity", &sparsity(shares[shares.len() / 3])));
        given.push(of_recipe("train.epochs", &(self.config.epochs / PART).max(1).to_string()));
        if points_of(given.clone())?.axes().is_empty() {
            return Ok(Ok(Vec::new()));
        }
        self.sweep("recipes", given)
    }

    /// Has the nets of all ladders trained by a recipe.
    pub fn settle(&mut self, recipe: &[(&'static str, String)]) {
        self.given.extend(recipe.iter().map(|(key, value)| of_recipe(key, value)));
        if recipe.iter().any(|(key, value)| *key == TEACHER_WEIGHT && value == "0") {
            self.given.retain(|given| !given.key.starts_with("teacher."));
        }
    }

    /// Trains the points of a sweep in the folder `name`, or reads what came of them where they are trained already: those that did not
    /// diverge.
    fn sweep(&mut self, name: &str, given: Vec<Given>) -> Result<OrCode<Vec<Trained>>> {
        let points = points_of(given)?;
        let lanes = Some(points.total());
        let (style, threads) = (self.request.style, self.threads);
        let options = Options {
            lanes,
            checkpoints: Checkpoints::All,
            style,
            threads,
            answers: false,
            converses: false,
            started: self.started,
        };
        write::folder(&self.folder)?;
        let out = self.folder.join(name);
        if !style.quiet {
            let nets = counted(points.total() as u64, "net");
            let epochs = counted(points.first().epochs, "epoch");
            crate::report::message(&format!("{name}: {nets}, {epochs}, in {}", out.display()));
        }
        let code = (self.train)(Sweep::open(points.clone(), Some(out.clone()), true, options, &Remarks::default())?)?;
        // Where all have diverged, it has none to answer with.
        if code != 0 && code != Exit::Diverged as i32 {
            return Ok(Err(code));
        }
        let ended = results::ended(&out, results::MOST_BYTES).with_context(|| out.display().to_string())?;
        self.nets += points.total();
        let trained = |end: &PointEnd| {
            let last = end.last.clone().filter(|_| !end.has_diverged())?;
            let chosen = points.axes().iter().zip(points.grid.chosen(end.point));
            let settings =
                chosen.filter_map(|(axis, value)| Some((axis.setting.key, value?.as_ref().to_string()))).collect();
            let kept = 1.0 - points.config(end.point).ok()?.sparsity.unwrap_or_default();
            Some(Trained { path: resolve::of_point(&out, end.point, false), kept, settings, last })
        };
        Ok(Ok(ended.values().filter_map(trained).collect()))
    }

    /// Trains the nets of a ladder, the one with this number, or reads them where they are trained already; the code to leave with
    /// where it was stopped on its way.
    ///
    /// # Errors
    /// If something cannot be written.
    pub fn train(&mut self, number: usize, shares: &[f64]) -> Result<OrCode<Vec<Trained>>> {
        if shares.is_empty() {
            return Ok(Ok(Vec::new()));
        }
        let sparsities: Vec<String> = shares.iter().map(|kept| sparsity(*kept)).collect();
        let mut given = self.given.clone();
        given.push(of_recipe("prune.sparsity", &sparsities.join(",")));
        self.sweep(&format!("ladder-{number}"), given)
    }
}

/// The sparsity at which a share is kept, as a setting.
fn sparsity(kept: f64) -> String {
    format!("{:.6}", 1.0 - kept)
}

/// Whether a text is what a setting has where nothing is given.
fn is_default(key: &str, text: &str) -> bool {
    let setting = index(key).map(|index| &SETTINGS[index]);
    setting.and_then(Setting::fixed_default).is_some_and(|value| value.to_string() == text)
}

/// Every combination of what is given.
fn points_of(given: Vec<Given>) -> Result<Points> {
    Points::load(&Sources { command_line: given, ..Sources::default() })
}

/// A setting of the recipe.
fn of_recipe(key: &str, text: &str) -> Given {
    Given { key: key.into(), text: text.into(), flag: "compress".into() }
}

/// So many numbers from `high` down to `low`, both among them, each by the same factor below the one before.
fn between(high: f64, low: f64, count: usize) -> Vec<f64> {
    let last = count.saturating_sub(1).max(1) as f64;
    (0..count).map(|rung| high * (low / high).powf(rung as f64 / last)).collect()
}
