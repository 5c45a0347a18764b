//! `adamtrain sweep`: many configurations as lanes of one model.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde_json::json;

use crate::config::layers::{Checkpoints, Sources};
use crate::error::{Exit, Failure};
use crate::lanes;
use crate::plan;
use crate::report::{Output, Style};
use crate::run::provenance::Remarks;
use crate::run::shard::Shard;
use crate::sweep::directory::description_of;
use crate::sweep::draw::Wanted;
use crate::sweep::halving::Halving;
use crate::sweep::list::List;
use crate::sweep::points::{Grid, Points, arguments};
use crate::sweep::{self, Options, TrainSweep, preview};
use crate::text::{counted, quoted, quoted_path};

/// A request to sweep.
#[derive(Debug)]
pub struct SweepRequest {
    sources: Sources,
    out: Option<PathBuf>,
    resume: bool,
    wanted: Wanted,
    points: Option<PathBuf>,
    shard: Option<Shard>,
    halving: Option<Halving>,
    expand: bool,
    dry_run: bool,
    index: Option<usize>,
    lanes: Option<usize>,
    checkpoints: Option<Checkpoints>,
    remarks: Remarks,
    style: Style,
}

/// What stands above the flags that a sweep alone has.
pub(super) const HEADING: &str = "Sweep";

const EXAMPLES: &str = "\
A setting takes several values: `a,b`, `a..b` (whole numbers, both ends), `lin(a,b,n)`, `log(a,b,n)`; widths are
separated by `;`, as in --hidden 'none;300,100'. In TOML: lr = [1e-3, 1e-2] or lr = \"log(1e-4,1e-1,16)\". Of ranges,
`uniform(a,b)` and `loguniform(a,b)`, --random or --quasi takes points; whole numbers stay whole.
Points that differ in numbers alone train together; each gives what its own run gives.

Examples:
  adamtrain sweep --lr 'log(1e-4,1e-1,16)' --beta2 0.99,0.999 --seed 0..4
  adamtrain sweep --optimizer adam,lion --valid-fraction 0.1 --out sweeps/a
  adamtrain sweep --lr 'log(1e-4,1e-1,27)' --valid-fraction 0.1 --halving 3
  adamtrain sweep --lr 'loguniform(1e-4,1e-1)' --quasi 64 --seed 0,1
  adamtrain sweep --lr 1e-3,1e-2 --seed 0..2 --dry-run
  adamtrain sweep --lr 1e-3,1e-2 --seed 0..2 --expand
  adamtrain sweep --lr 1e-3,1e-2 --seed 0..2 --expand --index 3
  adamtrain sweep --points points.csv --seed 0..4 --valid-fraction 0.1
  adamtrain sweep --lr 1e-3,1e-2 --out sweeps/b --shard 0/2 --resume";

/// Its command line.
pub fn command() -> Command {
    let own = |arg: Arg| arg.help_heading(HEADING);
    let train = super::train_arguments().into_iter();
    let train = train.filter(|arg| !matches!(arg.get_id().as_str(), "dry-run" | "expect-accuracy" | "resume" | "out"));
    // A sweep refuses it, with what to do.
    let train = train.map(|arg| if arg.get_id() == "health" { arg.hide(true) } else { arg });
    Command::new("sweep")
        .about("Train every combination of several values together")
        .after_help(EXAMPLES)
        .args_override_self(true)
        .args(train)
        .args([
            own(Arg::new("out")
                .long("out")
                .value_name("DIR")
                .value_parser(value_parser!(PathBuf))
                .help("Sweep directory: absent or empty, or with --resume [default: sweeps/NNN]")),
            own(Arg::new("resume")
                .long("resume")
                .action(ArgAction::SetTrue)
                .requires("out")
                .help("Start, or go on with the points that have not ended")),
            own(Arg::new("random")
                .long("random")
                .value_name("N")
                .value_parser(value_parser!(u32).range(1..))
                .help("N points drawn from all combinations or from ranges")),
            own(Arg::new("quasi")
                .long("quasi")
                .value_name("N")
                .value_parser(value_parser!(u32).range(1..))
                .conflicts_with("random")
                .help("N points spread evenly over the same")),
            own(Arg::new("random-seed")
                .long("random-seed")
                .value_name("S")
                .value_parser(value_parser!(u64))
                .hide_short_help(true)
                .help("Which points --random draws, or by how much those of --quasi are moved [default: 0]")),
            own(Arg::new("points")
                .long("points")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .conflicts_with_all(["random", "quasi"])
                .help("Points given one by one: rows of CSV or objects of JSON, by key or flag; - talks over pipes")),
            own(Arg::new("shard").long("shard").value_name("I/N").value_parser(value_parser!(Shard)).help(
                "Train part I of N, from 0, in a folder of its own in DIR; without it --resume gathers the parts",
            )),
            own(Arg::new("halving")
                .long("halving")
                .value_name("ETA[,MIN]")
                .value_parser(value_parser!(Halving))
                .conflicts_with_all(["expand", "shard"])
                .help("After MIN, MIN·ETA, … epochs the best 1/ETA go on, the others leave [MIN: 1]")),
            own(Arg::new("lanes")
                .long("lanes")
                .value_name("N")
                .value_parser(value_parser!(u32).range(1..=4096))
                .conflicts_with("expand")
                .help("Points that train at once [default: what memory and cache suggest, at most 64]")),
            own(Arg::new("checkpoints")
                .long("checkpoints")
                .value_name("WHICH")
                .value_parser(Checkpoints::WORDS)
                .conflicts_with("expand")
                .help("Whose checkpoints are kept [default: best]")),
            own(Arg::new("expand")
                .long("expand")
                .action(ArgAction::SetTrue)
                .help("Print the command of each point, with --out DIR into DIR/points/N, and train nothing")),
            own(Arg::new("dry-run")
                .long("dry-run")
                .action(ArgAction::SetTrue)
                .conflicts_with("expand")
                .help("Print axes, points, lanes, steps and memory; train nothing")),
            own(Arg::new("index")
                .long("index")
                .value_name("I")
                .value_parser(value_parser!(u32))
                .requires("expand")
                .help("Print that of point I alone, from 0")),
        ])
}

impl SweepRequest {
    pub(super) fn from_matches(matches: &ArgMatches) -> Self {
        let number = |id: &str| matches.get_one::<u32>(id).map(|number| *number as usize);
        Self {
            sources: super::sources(matches),
            out: matches.get_one::<PathBuf>("out").cloned(),
            resume: matches.get_flag("resume"),
            wanted: Wanted {
                random: number("random"),
                quasi: number("quasi"),
                seed: matches.get_one::<u64>("random-seed").copied(),
            },
            points: matches.get_one::<PathBuf>("points").cloned(),
            shard: matches.get_one::<Shard>("shard").copied(),
            halving: matches.get_one::<Halving>("halving").copied(),
            expand: matches.get_flag("expand"),
            dry_run: matches.get_flag("dry-run"),
            index: number("index"),
            lanes: number("lanes"),
            checkpoints: matches.get_one::<String>("checkpoints").and_then(|which| Checkpoints::parse(which)),
            remarks: super::remarks(matches),
            style: Style { json: matches.get_flag("json"), quiet: matches.get_flag("quiet") },
        }
    }

    /// Opens the sweep and hands it to `train`, or prints the commands or what would be trained; returns the code to leave with.
    ///
    /// # Errors
    /// If a point is not valid, or training fails.
    pub fn run(self, train: TrainSweep) -> Result<i32> {
        let mut sources = self.sources.clone();
        if let Some(out) = self.out.as_ref().filter(|_| self.resume) {
            sources.run = description_of(out)?;
        }
        let converses = self.points.as_deref() == Some(Path::new("-"));
        let list = match &self.points {
            // Those that have come already stand in the folder.
            Some(_) if converses && sources.run.is_some() => None,
            Some(_) if converses => Some(List::open()),
            Some(path) => Some(List::read(path)?),
            None => None,
        };
        let grid = Grid::gather(&sources, self.wanted, list)?;
        if converses {
            self.expect_conversation(&grid)?;
        }
        if let (true, Some(index)) = (self.expand, self.index) {
            return self.print_one(&grid, index).map(|()| 0);
        }
        let mut points = Points::checked(grid)?;
        if let Some(part) = &points.table.shard {
            return Err(is_a_part(self.out.as_deref(), part).into());
        }
        if let Some(halving) = self.halving {
            points = points.halved(halving)?;
        }
        if let Some(shard) = self.shard {
            if points.halving.is_some() {
                let failure = Failure::new(
                    Exit::Usage,
                    "a sweep in shards cannot leave losers behind: no shard knows the others' points",
                );
                return Err(failure.hint("leave --shard or sweep.halving out").into());
            }
            points = points.part(shard);
        }
        if points.axes().is_empty() && !converses {
            tracing::warn!("no setting has several values: the sweep is one run");
        }
        if self.expand {
            let mut output = Output::default();
            for point in points.own() {
                self.print(&points.grid, point, &mut output)?;
            }
            return output.finish().map(|()| 0);
        }
        let threads = plan::start_threads(points.first().threads)?;
        let checkpoints = self.checkpoints.or(points.table.checkpoints).unwrap_or(Checkpoints::Best);
        let options = Options {
            lanes: self.lanes.or(points.table.lanes),
            checkpoints,
            // Who talks to it reads lines.
            style: Style { json: self.style.json || converses, ..self.style },
            threads,
            answers: true,
            converses,
            started: Instant::now(),
        };
        if self.dry_run {
            if sources.run.is_none() {
                points.groups()?.iter().try_for_each(|group| lanes::initial(&group.config).map(drop))?;
            }
            return preview::show(&points, options).map(|()| 0);
        }
        if self.shard.is_some() && self.out.is_none() {
            let failure = Failure::new(Exit::Usage, "--shard needs --out: all parts of a sweep share a folder");
            return Err(failure.hint("give every part the same --out DIR").into());
        }
        train(sweep::Sweep::open(points, self.out, self.resume, options, &self.remarks)?)
    }

    /// Requires that points can come on standard input.
    fn expect_conversation(&self, grid: &Grid) -> Result<(), Failure> {
        let refuse = |what: &str, hint: &str| Err(Failure::new(Exit::Usage, what).hint(hint));
        if self.expand || self.dry_run || self.shard.is_some() || self.halving.is_some() {
            let what =
                "--points - takes points as they come: there are none yet to expand, to plan, to cut or to judge";
            return refuse(what, "leave --expand, --dry-run, --shard and --halving out, or give a file of points");
        }
        if let Some(axis) = grid.axes.iter().find(|axis| !axis.is_listed()) {
            let what = format!("`{}` has several values, and each point that comes is one", axis.setting.key);
            return refuse(&what, "let whoever chooses the points choose among them");
        }
        if grid.list().is_none_or(|list| !list.is_open) {
            let what = "the sweep in this folder has all its points, and none come to it";
            return refuse(what, "go on with it without --points -, or choose another --out");
        }
        Ok(())
    }

    /// Prints the command of one point, which alone is looked at.
    fn print_one(&self, grid: &Grid, index: usize) -> Result<()> {
        let count = grid.total();
        if index >= count {
            let of = counted(count as u64, "point");
            let what = format!("--index is {index}, expected 0..{}: the sweep has {of}", count - 1);
            return Err(Failure::new(Exit::Usage, what).into());
        }
        let mut output = Output::default();
        self.print(grid, index, &mut output)?;
        output.finish()
    }

    fn print(&self, grid: &Grid, point: usize, output: &mut Output) -> Result<()> {
        let mut words = arguments(&grid.config(point)?, &grid.axes);
        words.extend(self.remarks.note.iter().flat_map(|note| ["--note".to_owned(), note.clone()]));
        words.extend(self.remarks.tags.iter().flat_map(|tag| ["--tag".to_owned(), tag.clone()]));
        if let Some(out) = &self.out {
            let own = out.join("points").join(format!("{point:05}"));
            words.extend(["--out".to_owned(), own.display().to_string(), "--resume".to_owned()]);
        }
        if self.style.json {
            let line = json!({"point": point, "settings": grid.settings(point), "arguments": words});
            output.line(&line.to_string());
        } else {
            output.line(&format!("adamtrain {}", quoted(&words)));
        }
        Ok(())
    }
}

/// The failure of a sweep in the folder of a shard.
fn is_a_part(out: Option<&Path>, part: &str) -> Failure {
    let whole = out.and_then(Path::parent).filter(|whole| !whole.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let what = format!("{}: is shard {part} of the sweep in {}", out.unwrap_or(whole).display(), whole.display());
    let hint = format!("go on with --out {} --shard {part} --resume", quoted_path(whole));
    Failure::new(Exit::Usage, what).hint(hint)
}
