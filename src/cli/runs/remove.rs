//! `adamtrain runs rm`: removes the directories of runs and sweeps, after it has shown which.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde_json::{Value as Json, json};

use crate::device::in_units;
use crate::error::{Exit, Failure, escaped};
use crate::listing::column::{Column, own};
use crate::listing::filter::Condition;
use crate::listing::key::{self, Key};
use crate::listing::{self, Row};
use crate::report::table::{Side, aligned};
use crate::report::{FORMAT, Output, message};
use crate::run::read;
use crate::run::remove::{Removable, is_left_over};
use crate::text::counted;

const EXAMPLES: &str = "\
Without --yes it shows what it would remove, and removes nothing. PATH is a run or a sweep itself; with --where or --keep, \
folders with runs below them, of which the runs that are meant go: sweeps there stay, and so do runs that a process holds, that \
are broken and not asked for by --where, or that are reached through a link. A run that --sort finds no value in is the last.

A directory that holds a file which this program does not write is refused. A process that works in a directory that is named: 6.

Examples:
  adamtrain runs rm runs/a sweeps/b
  adamtrain runs rm runs/a sweeps/b --yes
  adamtrain runs rm --where 'status=diverged' runs --yes
  adamtrain runs rm --keep 10 runs                       # the newest stay
  adamtrain runs rm --keep 10 --sort test_accuracy runs  # the best stay";

/// Its command line.
pub fn command() -> Command {
    Command::new("rm")
        .about("Remove runs and sweeps; shows them first, --yes does it")
        .after_help(EXAMPLES)
        .args_override_self(true)
        .args([
            Arg::new("PATH")
                .required(true)
                .num_args(1..)
                .action(ArgAction::Append)
                .value_parser(value_parser!(PathBuf))
                .help("Runs and sweeps; with --where or --keep, folders with runs at any depth"),
            super::condition_argument("The runs of which this is true, as `runs --where` shows them"),
            Arg::new("keep")
                .long("keep")
                .value_name("N")
                .value_parser(value_parser!(u32))
                .help("All runs but the first N, those that began last or, with --sort, that it puts first"),
            Arg::new("sort")
                .long("sort")
                .value_name("KEY[,KEY]")
                .allow_hyphen_values(true)
                .requires("keep")
                .help("What --keep goes by, as `runs --sort` has it"),
            Arg::new("yes").long("yes").action(ArgAction::SetTrue).help("Remove them"),
        ])
        .args(super::super::output_arguments())
}

/// A directory that is meant, and how it stands.
struct Meant {
    directory: Removable,
    status: String,
}

/// What is not removed, and why.
type PassedOver = Vec<(String, String)>;

/// Shows what is meant, and with `--yes` removes it.
pub fn run(typed: &ArgMatches) -> Result<()> {
    let paths: Vec<PathBuf> = typed.get_many("PATH").into_iter().flatten().cloned().collect();
    let is_chosen = typed.contains_id("keep") || typed.contains_id("where");
    let (mut meant, passed_over) = if is_chosen { chosen(typed, &paths)? } else { (named(&paths)?, Vec::new()) };
    let (does, is_quiet) = (typed.get_flag("yes"), typed.get_flag("quiet"));
    if does {
        // All or none: a directory that is held is known before the first goes.
        meant.iter_mut().try_for_each(|one| one.directory.hold())?;
    }
    if !is_quiet {
        for (path, why) in &passed_over {
            message(&escaped(&format!("{path} stays: {why}")));
        }
    }
    let bytes: u64 = meant.iter().map(|one| one.directory.bytes).sum();
    let count = meant.len();
    let mut output = Output::default();
    if typed.get_flag("json") {
        for one in meant {
            let event = event(&one, does);
            if does {
                one.directory.remove()?;
            }
            output.line(&event.to_string());
        }
        let reasons = passed_over.iter().map(|(path, why)| json!({"path": path, "reason": why}));
        let end = json!({
            "event": "end",
            "format": FORMAT,
            "status": "finished",
            "found": count,
            "removed": if does { count } else { 0 },
            "bytes": bytes,
            "passed_over": reasons.collect::<Vec<_>>(),
        });
        output.line(&end.to_string());
        return output.finish();
    }
    let row = |one: &Meant| vec![shown(&one.directory), one.status.clone(), in_units(one.directory.bytes)];
    let rows: Vec<Vec<String>> = meant.iter().map(row).collect();
    for one in meant.into_iter().filter(|_| does) {
        one.directory.remove()?;
    }
    let names = [("path", Side::Left), ("status", Side::Left), ("size", Side::Right)];
    aligned(&names, &rows).lines().for_each(|line| output.line(line));
    if !is_quiet {
        let directories = if count == 1 { "1 directory".to_owned() } else { format!("{count} directories") };
        let size = in_units(bytes);
        message(&match (count, does) {
            (0, _) => "nothing is meant: no run goes".to_owned(),
            (_, true) => format!("removed {directories}, {size}"),
            (_, false) => format!("nothing is removed yet; --yes removes {directories}, {size}"),
        });
    }
    output.finish()
}

fn shown(directory: &Removable) -> String {
    escaped(&directory.path().display().to_string())
}

fn event(one: &Meant, does: bool) -> Json {
    json!({
        "event": "rm",
        "format": FORMAT,
        "path": one.directory.path().display().to_string(),
        "status": one.status,
        "bytes": one.directory.bytes,
        "removed": does,
    })
}

/// The directories that are named themselves, each once.
fn named(paths: &[PathBuf]) -> Result<Vec<Meant>> {
    let mut seen = BTreeSet::new();
    let mut meant = Vec::new();
    for path in paths {
        let directory = Removable::find(path)?;
        let real = real(directory.path())?;
        // What a removal left is no row.
        let is_listed = !is_left_over(directory.path());
        let rows = if is_listed { listing::rows(&[directory.path().to_owned()])? } else { Vec::new() };
        let status = match &rows[..] {
            [row] if row.point.is_none() => row.status.to_owned(),
            [] => "-".to_owned(),
            rows => counted(rows.len() as u64, "point"),
        };
        if seen.insert(real) {
            meant.push(Meant { directory, status });
        }
    }
    Ok(meant)
}

fn real(path: &Path) -> Result<PathBuf, Failure> {
    read::uninterrupted(|| fs::canonicalize(path)).map_err(|error| read::failure(path, &error))
}

/// The runs below `folders` that `--where` and `--keep` mean, in their order, and what is passed over.
fn chosen(typed: &ArgMatches, folders: &[PathBuf]) -> Result<(Vec<Meant>, PassedOver)> {
    let condition = typed.get_one::<String>("where").map(|text| Condition::parse(text)).transpose()?;
    let asked = typed.get_one::<String>("sort").map(|text| key::parse(text)).transpose()?;
    let mut rows = listing::rows(folders)?;
    if let Some(condition) = &condition {
        rows = condition.select(rows);
    }
    let mut passed_over = PassedOver::new();
    let mut sweeps = BTreeSet::new();
    let mut candidates = Vec::new();
    for row in rows {
        if row.point.is_some() {
            if sweeps.insert(row.directory.clone()) {
                passed_over
                    .push((row.directory.display().to_string(), "a sweep goes by its own name alone".to_owned()));
            }
            continue;
        }
        match stays(&row, condition.is_some(), folders) {
            Some(why) => passed_over.push((row.path, why)),
            None => candidates.push(row),
        }
    }
    let newest = [(own("start"), true), (Some(Column::Path), true)];
    let newest = newest.into_iter().filter_map(|(column, turned)| Some(Key { column: column?, turned }));
    let keys: Vec<Key> = match &asked {
        Some(asked) => asked.iter().map(|asked| asked.among(&candidates)).collect(),
        None => newest.collect(),
    };
    key::sort(&mut candidates, &keys);
    let kept = typed.get_one::<u32>("keep").map_or(0, |kept| *kept as usize);
    let mut meant = Vec::new();
    for row in candidates.into_iter().skip(kept) {
        match Removable::find(&row.directory) {
            Ok(directory) => meant.push(Meant { directory, status: row.status.to_owned() }),
            // It was listed and is held, or holds something else, by now.
            Err(failure) if matches!(failure.exit(), Exit::Run | Exit::Busy) => {
                passed_over.push((row.path, failure.to_string()));
            }
            Err(failure) => return Err(failure.into()),
        }
    }
    Ok((meant, passed_over))
}

/// Why a run is not removed unless it is named itself.
fn stays(row: &Row, is_asked: bool, folders: &[PathBuf]) -> Option<String> {
    match row.status {
        "running" => return Some("a process works in it".to_owned()),
        "broken" if !is_asked => return Some("it is broken: name it, or ask by --where status=broken".to_owned()),
        _ => {}
    }
    let is_below = |folder: &PathBuf| {
        let inside = row.directory.strip_prefix(folder).ok()?;
        Some(real(&row.directory).ok()? == real(folder).ok()?.join(inside))
    };
    let is_plain = folders.iter().any(|folder| is_below(folder) == Some(true));
    (!is_plain).then(|| "it is reached through a link".to_owned())
}
