//! `adamtrain runs [DIR…]`: a table of runs and points of sweeps; and what is done to runs by their names.

mod diff;
mod remark;
mod remove;
mod sheet;
mod table;

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use crate::config::Value;
use crate::config::settings::index;
use crate::error::{Exit, Failure, escaped};
use crate::listing;
use crate::listing::column::Column;
use crate::listing::filter::Condition;
use crate::listing::group::by_seed;
use crate::listing::key;
use crate::report::{Output, message};
use crate::run::read;
use crate::sweep::curve::{figure, subject};
use crate::sweep::results::Sheet;
use crate::text::counted;
use table::Table;

/// A request to list runs.
#[derive(Debug)]
struct Runs {
    folders: Vec<PathBuf>,
    condition: Option<String>,
    by_seed: bool,
    sort: Option<String>,
    columns: Option<String>,
    reverse: bool,
    limit: Option<usize>,
    svg: Option<PathBuf>,
    parquet: Option<PathBuf>,
    form: Form,
    to: Option<PathBuf>,
    quiet: bool,
}

/// How the table is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// For people.
    Text,
    /// JSON lines.
    Json,
    /// A row a run, for other programs.
    Csv,
    /// A row an epoch, likewise.
    Epochs,
}

const EXAMPLES: &str = "\
A row is a run, or a point of a sweep (as DIR#POINT). Its numbers are those of the last epoch; `best` is the evaluation \
with the lowest validation loss; `time` is that of training, for a point that of all points that trained with it. \
Settings that differ and change the result are columns, those that all rows share stand above if they are not the \
defaults. On a terminal, columns that have no room are left out; --columns chooses, and a pipe has all.

Status: finished, early_stopped, time_limit, interrupted, diverged and failed (an error ended it, such as a full disk) \
as the run said; running while a process holds its directory; killed where none does and it said nothing; broken where a file is missing or damaged.

KEY is a column, a setting by its name or full key, or one of accuracy and loss (of the validation split where all \
rows have one, else of the test split), best, time, name. Accuracies are sorted highest first, everything else lowest \
first; `-KEY` or --reverse is the other way. Rows without a value come last. Columns that are shown when they are asked \
for: reason, host, os, start, end (times in UTC), peak_bytes.

--where compares columns and settings: KEY = != < <= > >= VALUE, and KEY ~ TEXT for a part of a text, with and, or, not \
and parentheses. `tag = NAME` is true of a run with that tag among others, `start >= 2026-11` compares as far as the \
date is given, `KEY = none` is true where there is nothing. Values with blanks stand between quotes.

--by-seed makes one row of those that differ in train.seed and data.data_seed alone: n, the mean and behind it σ, the \
sample standard deviation, of those that are finished or early_stopped.

Examples:
  adamtrain runs --sort test_accuracy --limit 10
  adamtrain runs --columns path,lr,test_accuracy,time
  adamtrain runs --where 'lr<1e-2 and status=finished' --by-seed
  adamtrain runs --csv > runs.csv
  adamtrain runs runs/a --csv --epochs --to metrics.csv
  adamtrain runs diff runs/a runs/b
  adamtrain runs rm --keep 10 --sort test_accuracy runs
  adamtrain runs --json | jq -r 'select(.status == \"killed\").path'
  adamtrain runs sweeps/a --svg curve.svg";

/// What is about the table of all rows.
const OF_TABLE: [&str; 10] = ["where", "by-seed", "sort", "columns", "reverse", "limit", "csv", "json", "epochs", "to"];

/// Its command line.
pub fn command() -> Command {
    Command::new("runs")
        .about("Show runs and points of sweeps in one table")
        .after_help(EXAMPLES)
        .args_override_self(true)
        .args_conflicts_with_subcommands(true)
        .disable_help_subcommand(true)
        .subcommand_value_name("COMMAND")
        .args([
            Arg::new("DIR")
                .num_args(0..)
                .action(ArgAction::Append)
                .value_parser(value_parser!(PathBuf))
                .help("Folders with runs and sweeps at any depth, or these themselves [default: runs and sweeps]"),
            condition_argument("Only rows of which this is true; see below"),
            Arg::new("by-seed")
                .long("by-seed")
                .action(ArgAction::SetTrue)
                .help("One row for those that differ in seeds alone: n, mean and σ"),
            Arg::new("sort")
                .long("sort")
                .value_name("KEY[,KEY]")
                .allow_hyphen_values(true)
                .help("Sort by a column or setting; see below [default: path]"),
            Arg::new("columns")
                .long("columns")
                .value_name("NAME[,NAME]")
                .conflicts_with("epochs")
                .help("Show these columns and settings [default: what differs and fits the terminal]"),
            Arg::new("reverse").long("reverse").action(ArgAction::SetTrue).help("The other way around"),
            Arg::new("limit")
                .long("limit")
                .value_name("N")
                .value_parser(value_parser!(u32).range(1..))
                .help("The first N rows"),
            Arg::new("csv")
                .long("csv")
                .action(ArgAction::SetTrue)
                .conflicts_with("json")
                .help("CSV (RFC 4180), a row a run: all columns and the settings that differ, or --columns"),
            Arg::new("epochs")
                .long("epochs")
                .action(ArgAction::SetTrue)
                .requires("csv")
                .conflicts_with("by-seed")
                .help("With --csv, a row an epoch: the lines of metrics.jsonl and results.jsonl"),
            Arg::new("to")
                .long("to")
                .value_name("FILE")
                .requires("csv")
                .value_parser(value_parser!(PathBuf))
                .help("With --csv, write FILE, whole or not at all"),
            Arg::new("svg")
                .long("svg")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("Draw the sweep in DIR into FILE too, as its curve.svg"),
            Arg::new("parquet")
                .long("parquet")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .conflicts_with_all(OF_TABLE)
                .help("Write the sweep in DIR as Parquet into FILE"),
        ])
        .args(super::output_arguments())
        .subcommands([diff::command(), remark::note(), remark::tag(), remove::command()])
}

/// `--where`, for commands that choose among runs.
fn condition_argument(help: &'static str) -> Arg {
    Arg::new("where").long("where").value_name("CONDITION").allow_hyphen_values(true).help(help)
}

/// Does what was typed.
///
/// # Errors
/// As the commands have them.
pub fn run(typed: &ArgMatches) -> Result<()> {
    match typed.subcommand() {
        Some(("diff", typed)) => diff::run(typed),
        Some(("note", typed)) => remark::run_note(typed),
        Some(("tag", typed)) => remark::run_tag(typed),
        Some(("rm", typed)) => remove::run(typed),
        _ => Runs::from_matches(typed).run(),
    }
}

impl Runs {
    fn from_matches(matches: &ArgMatches) -> Self {
        let form = match ["json", "epochs", "csv"].map(|id| matches.get_flag(id)) {
            [true, ..] => Form::Json,
            [_, true, _] => Form::Epochs,
            [.., true] => Form::Csv,
            _ => Form::Text,
        };
        Self {
            folders: matches.get_many::<PathBuf>("DIR").into_iter().flatten().cloned().collect(),
            condition: matches.get_one::<String>("where").cloned(),
            by_seed: matches.get_flag("by-seed"),
            sort: matches.get_one::<String>("sort").cloned(),
            columns: matches.get_one::<String>("columns").cloned(),
            reverse: matches.get_flag("reverse"),
            limit: matches.get_one::<u32>("limit").map(|limit| *limit as usize),
            svg: matches.get_one::<PathBuf>("svg").cloned(),
            parquet: matches.get_one::<PathBuf>("parquet").cloned(),
            form,
            to: matches.get_one::<PathBuf>("to").cloned(),
            quiet: matches.get_flag("quiet"),
        }
    }

    /// Reads and lists them.
    ///
    /// # Errors
    /// If a key, a condition or a folder is none, or something cannot be written.
    fn run(&self) -> Result<()> {
        let asked = self.sort.as_deref().map(key::parse).transpose()?.unwrap_or_default();
        let named = self.columns.as_deref().map(|text| key::named(text, "--columns")).transpose()?;
        let condition = self.condition.as_deref().map(Condition::parse).transpose()?;
        if let Some(svg) = &self.svg {
            self.draw(svg)?;
        }
        if let Some(path) = &self.parquet {
            return self.write_parquet(path);
        }
        let folders = if self.folders.is_empty() { usual_folders()? } else { self.folders.clone() };
        let mut rows = listing::rows(&folders)?;
        let all = rows.len();
        if let Some(condition) = &condition {
            rows = condition.select(rows);
        }
        if self.by_seed {
            key::sort(&mut rows, &[]);
            rows = by_seed(&rows);
        }
        let mut keys: Vec<key::Key> = asked.iter().map(|asked| asked.among(&rows)).collect();
        if self.reverse && keys.is_empty() {
            keys.push(key::Key { column: Column::Path, turned: false });
        }
        for key in &mut keys {
            key.turned ^= self.reverse;
        }
        key::sort(&mut rows, &keys);
        let table = Table::new(&rows, named.as_deref(), keys, self.limit);
        match self.form {
            Form::Json => table.to_json()?,
            Form::Csv | Form::Epochs => self.write(&table)?,
            Form::Text => {
                let left_out = table.to_text(named.is_some())?;
                self.message_of_left_out(&left_out);
            }
        }
        self.message(&folders, all, rows.len(), table.shown.len());
        Ok(())
    }

    /// Writes CSV to standard output or into the file of `--to`.
    fn write(&self, table: &Table) -> Result<()> {
        let lines = if self.form == Form::Epochs { table.epochs() } else { table.to_csv(self.columns.is_some()) };
        if let Some(path) = &self.to {
            return super::write_file("--to", path, (lines.join("\n") + "\n").as_bytes());
        }
        let mut output = Output::default();
        for line in &lines {
            output.line(line);
        }
        output.finish()
    }

    /// A word on standard error where the table does not say it.
    fn message(&self, folders: &[PathBuf], all: usize, found: usize, shown: usize) {
        let line = match (found, folders) {
            (0, _) if all > 0 => format!("--where is true of none of {}", counted(all as u64, "row")),
            (0, []) => "no runs found: there is no folder `runs` or `sweeps` here".to_owned(),
            (0, folders) => {
                let folders: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
                format!("no runs found below {}", folders.join(", "))
            }
            _ if shown < found => format!("{shown} of {found} rows are shown"),
            _ => return,
        };
        if !self.quiet {
            message(&escaped(&line));
        }
    }

    /// Which columns had no room, on standard error.
    fn message_of_left_out(&self, left_out: &[Column]) {
        if left_out.is_empty() || self.quiet {
            return;
        }
        let names: Vec<&str> = left_out.iter().map(|column| column.name()).collect();
        let do_not = if left_out.len() == 1 { "does" } else { "do" };
        let columns = counted(left_out.len() as u64, "column");
        let names = names.join(", ");
        message(&format!("{columns} {do_not} not fit: {names}; `--columns NAME,NAME` chooses, `| less -S` has all"));
    }

    /// The folder of the one sweep that this flag is about; `does` says what it does.
    fn sweep(&self, flag: &str, does: &str) -> Result<&Path> {
        let [folder] = self.folders.as_slice() else {
            let what = format!("{flag} {does} one sweep, found {} folders", self.folders.len());
            let hint = format!("`adamtrain runs sweeps/a {flag} FILE`");
            return Err(Failure::new(Exit::Usage, what).hint(hint).into());
        };
        Ok(folder)
    }

    /// Writes the points of the sweep that is asked for.
    fn write_parquet(&self, path: &Path) -> Result<()> {
        let (ended, _) = listing::ended(self.sweep("--parquet", "writes")?)?;
        super::write_file("--parquet", path, &parquet(&Sheet::of(&ended))?)
    }

    /// Draws the sweep that is asked for.
    fn draw(&self, svg: &Path) -> Result<()> {
        let (ended, settings) = listing::ended(self.sweep("--svg", "draws")?)?;
        let is_swept = |key: &str| ended.values().any(|end| end.settings.contains_key(key));
        let common = |key: &str| {
            let place = index(key)?;
            settings.get(place).filter(|_| !is_swept(key)).map(Value::to_string)
        };
        let figure = figure(ended.values(), &subject(common));
        super::write_file("--svg", svg, figure.to_svg().as_bytes())
    }
}

/// Where runs and sweeps lie that were started without `--out`, as far as they are there.
pub(super) fn usual_folders() -> Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for folder in ["runs", "sweeps"].map(PathBuf::from) {
        if read::is_folder(&folder).map_err(|error| read::failure(&folder, &error))? {
            folders.push(folder);
        }
    }
    Ok(folders)
}

/// The parquet file of a table.
#[cfg(feature = "hub")]
fn parquet(sheet: &Sheet) -> Result<Vec<u8>> {
    crate::sweep::parquet::file(sheet)
}

/// Refused: what writes it is not built in.
#[cfg(not(feature = "hub"))]
fn parquet(_: &Sheet) -> Result<Vec<u8>> {
    let failure = Failure::new(Exit::Usage, "--parquet: this program was built without the feature `hub`");
    Err(failure.hint("a sweep's results.csv has the same columns").into())
}
