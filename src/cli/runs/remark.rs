//! `adamtrain runs note` and `tag`: what is said of a run or a sweep afterwards.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use crate::error::{Exit, Failure};
use crate::run::provenance::{self, OF_SWEEP, Provenance, Remarks, rewrite};
use crate::run::{lock, read, resolve};

fn path_argument() -> Arg {
    let help = "A run, or a sweep";
    Arg::new("RUN").required(true).value_parser(value_parser!(PathBuf)).help(help)
}

/// The command line of `note`.
pub fn note() -> Command {
    let text = Arg::new("TEXT").required(true).allow_hyphen_values(true).value_parser(provenance::note);
    let text = text.help("The note, a line; an empty one takes it away");
    Command::new("note")
        .about("Replace the note of a run or a sweep that no process holds")
        .after_help(
            "Examples:\n  adamtrain runs note runs/a 'the baseline of the paper'\n  adamtrain runs note sweeps/a ''",
        )
        .args_override_self(true)
        .args([path_argument(), text])
        .args(super::super::output_arguments().map(|argument| argument.hide(true)))
}

/// The command line of `tag`.
pub fn tag() -> Command {
    let names = Arg::new("NAME").required(true).num_args(1..).action(ArgAction::Append).value_parser(provenance::tag);
    let remove = Arg::new("remove").long("remove").action(ArgAction::SetTrue).help("Take these tags away");
    Command::new("tag")
        .about("Add tags to a run or a sweep that no process holds")
        .after_help("Examples:\n  adamtrain runs tag runs/a baseline paper\n  adamtrain runs tag runs/a paper --remove")
        .args_override_self(true)
        .args([path_argument(), names.help("Words of letters, digits and - _ . : / + @ # %"), remove])
        .args(super::super::output_arguments().map(|argument| argument.hide(true)))
}

/// Replaces the note.
pub fn run_note(typed: &ArgMatches) -> Result<()> {
    let remarks = Remarks { note: typed.get_one::<String>("TEXT").cloned(), tags: Vec::new() };
    change(typed, |before| before.with(&remarks))
}

/// Adds tags, or takes them away.
pub fn run_tag(typed: &ArgMatches) -> Result<()> {
    let tags: Vec<String> = typed.get_many::<String>("NAME").into_iter().flatten().cloned().collect();
    if !typed.get_flag("remove") {
        return change(typed, |before| before.with(&Remarks { note: None, tags }));
    }
    change(typed, |before| Provenance {
        tags: before.tags.into_iter().filter(|tag| !tags.contains(tag)).collect(),
        ..before
    })
}

/// Changes what is said of the run or sweep that is named. A process that trains there would write over it: then it is refused.
fn change(typed: &ArgMatches, change: impl FnOnce(Provenance) -> Provenance) -> Result<()> {
    let path = typed.get_one::<PathBuf>("RUN").cloned().unwrap_or_default();
    let file = file_of(&path)?;
    let _held = lock::take(&path, "works in this directory").map_err(|failure| match failure.exit() {
        Exit::Busy => failure.hint("wait for it; a run that is resumed takes --note and --tag"),
        _ => failure,
    })?;
    Ok(rewrite(&file, change)?)
}

/// The file that it stands in.
fn file_of(path: &Path) -> Result<PathBuf, Failure> {
    let is_file = |path: &Path| read::is_file(path).map_err(|error| read::failure(path, &error));
    if is_file(&path.join("sweep.toml"))? {
        return Ok(path.join(OF_SWEEP));
    }
    if is_file(&path.join("run.json"))? {
        return Ok(path.join("run.json"));
    }
    let failure = Failure::new(Exit::Run, format!("{}: holds no run and no sweep", path.display()));
    Err(match resolve::point_of(path) {
        Some((sweep, _)) => failure.hint(format!("a point has no note of its own: give {}", sweep.display())),
        None => failure.hint("give the folder of a run or of a sweep"),
    })
}
