//! `adamtrain runs [DIR…]`: a table of runs and points of sweeps.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde_json::{Map, Value as Json, json};

use crate::config::Value;
use crate::config::settings::SETTINGS;
use crate::error::{Exit, Failure, escaped};
use crate::listing;
use crate::listing::key::{self, Column};
use crate::report::table::{self, Side, aligned, leaf};
use crate::report::{Output, Style, message};
use crate::run::read;
use crate::sweep::curve::{figure, subject};
use crate::text::counted;

/// A request to list runs.
#[derive(Debug)]
pub struct Runs {
    folders: Vec<PathBuf>,
    sort: Option<String>,
    columns: Option<String>,
    reverse: bool,
    limit: Option<usize>,
    svg: Option<PathBuf>,
    style: Style,
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
first; `-KEY` or --reverse is the other way. Rows without a value come last.

Examples:
  adamtrain runs
  adamtrain runs --sort test_accuracy --limit 10
  adamtrain runs runs/mnist-* sweeps/a --sort optimizer,-lr
  adamtrain runs --columns path,lr,test_accuracy,time
  adamtrain runs --json | jq -r 'select(.event == \"run\" and .status == \"killed\").path'
  adamtrain runs sweeps/a --svg curve.svg";

/// Its command line.
pub fn command() -> Command {
    Command::new("runs")
        .about("Show runs and points of sweeps in one table")
        .after_help(EXAMPLES)
        .args_override_self(true)
        .args([
            Arg::new("DIR")
                .num_args(0..)
                .action(ArgAction::Append)
                .value_parser(value_parser!(PathBuf))
                .help("Folders with runs and sweeps at any depth, or these themselves [default: runs and sweeps]"),
            Arg::new("sort")
                .long("sort")
                .value_name("KEY[,KEY]")
                .allow_hyphen_values(true)
                .help("Sort by a column or setting; see below [default: path]"),
            Arg::new("columns")
                .long("columns")
                .value_name("NAME[,NAME]")
                .help("Show these columns and settings [default: what differs and fits the terminal]"),
            Arg::new("reverse").long("reverse").action(ArgAction::SetTrue).help("The other way around"),
            Arg::new("limit")
                .long("limit")
                .value_name("N")
                .value_parser(value_parser!(u32).range(1..))
                .help("The first N rows"),
            Arg::new("svg")
                .long("svg")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("Draw the sweep in DIR into FILE too, as its curve.svg"),
        ])
        .args(super::output_arguments())
}

impl Runs {
    pub(super) fn from_matches(matches: &ArgMatches) -> Self {
        Self {
            folders: matches.get_many::<PathBuf>("DIR").into_iter().flatten().cloned().collect(),
            sort: matches.get_one::<String>("sort").cloned(),
            columns: matches.get_one::<String>("columns").cloned(),
            reverse: matches.get_flag("reverse"),
            limit: matches.get_one::<u32>("limit").map(|limit| *limit as usize),
            svg: matches.get_one::<PathBuf>("svg").cloned(),
            style: Style { json: matches.get_flag("json"), quiet: matches.get_flag("quiet") },
        }
    }

    /// Reads and lists them.
    ///
    /// # Errors
    /// If a key or a folder is none, or something cannot be written.
    pub fn run(&self) -> Result<()> {
        let asked = self.sort.as_deref().map(key::parse).transpose()?.unwrap_or_default();
        let named = self.columns.as_deref().map(key::named).transpose()?;
        if let Some(svg) = &self.svg {
            self.draw(svg)?;
        }
        let folders = if self.folders.is_empty() { usual_folders()? } else { self.folders.clone() };
        let mut rows = listing::rows(&folders)?;
        let mut keys: Vec<key::Key> = asked.iter().map(|asked| asked.among(&rows)).collect();
        if self.reverse && keys.is_empty() {
            keys.push(key::Key { column: Column::Path, turned: false });
        }
        for key in &mut keys {
            key.turned ^= self.reverse;
        }
        key::sort(&mut rows, &keys);
        let (told, shared) = listing::compare_settings(&rows);
        let columns = match &named {
            Some(named) => named.iter().map(|asked| asked.among(&rows).column).collect(),
            None => key::columns(&rows, &told, &keys),
        };
        let shown = &rows[..rows.len().min(self.limit.unwrap_or(usize::MAX))];

        let mut output = Output::default();
        if self.style.json {
            for row in shown {
                output.line(&row.to_json(&told).to_string());
            }
            let shared: Map<String, Json> =
                shared.iter().map(|(k, value)| (SETTINGS[*k].key.to_owned(), value.to_json())).collect();
            let end = json!({
                "event": "end",
                "format": crate::report::FORMAT,
                "status": "finished",
                "found": rows.len(),
                "shown": shown.len(),
                "sort": keys.iter().map(|key| key.column.name()).collect::<Vec<_>>(),
                "shared": shared,
            });
            output.line(&end.to_string());
        } else {
            let width = table::stdout_width();
            let cells = |columns: &[Column]| -> Vec<Vec<String>> {
                shown.iter().map(|row| columns.iter().map(|column| column.cell(row)).collect()).collect()
            };
            let (shared, all) = (listing::notable(&shared), cells(&columns));
            // What is named is shown, and so is all of it to a program.
            let (fitting, left_out) = match width.filter(|_| named.is_none()) {
                Some(width) => key::fitting(&columns, &all, &keys, width),
                None => (columns.clone(), Vec::new()),
            };
            let text = if left_out.is_empty() { text(&columns, &all) } else { text(&fitting, &cells(&fitting)) };
            let head = shared_by_all(&columns, &shared).map(|line| match width {
                Some(width) => table::wrapped(&line, width, 5),
                None => line,
            });
            for line in head.iter().flat_map(|head| head.lines()).chain(text.lines()) {
                output.line(line);
            }
            self.message_of_left_out(&left_out);
        }
        self.message(&folders, rows.len(), shown.len());
        output.finish()
    }

    /// A word on standard error where the table does not say it.
    fn message(&self, folders: &[PathBuf], found: usize, shown: usize) {
        let line = match (found, folders) {
            (0, []) => "no runs found: there is no folder `runs` or `sweeps` here".to_owned(),
            (0, folders) => {
                let folders: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
                format!("no runs found below {}", folders.join(", "))
            }
            _ if shown < found => format!("{shown} of {found} rows are shown"),
            _ => return,
        };
        if !self.style.quiet {
            message(&escaped(&line));
        }
    }

    /// Which columns had no room, on standard error.
    fn message_of_left_out(&self, left_out: &[Column]) {
        if left_out.is_empty() || self.style.quiet {
            return;
        }
        let names: Vec<&str> = left_out.iter().map(|column| column.name()).collect();
        let do_not = if left_out.len() == 1 { "does" } else { "do" };
        let columns = counted(left_out.len() as u64, "column");
        let names = names.join(", ");
        message(&format!("{columns} {do_not} not fit: {names}; `--columns NAME,NAME` chooses, `| less -S` has all"));
    }

    /// Draws the sweep that is asked for.
    fn draw(&self, svg: &Path) -> Result<()> {
        let [folder] = self.folders.as_slice() else {
            let what = format!("--svg draws one sweep, found {} folders", self.folders.len());
            return Err(Failure::new(Exit::Usage, what).hint("`adamtrain runs sweeps/a --svg curve.svg`").into());
        };
        let (ended, settings) = listing::ended(folder)?;
        let is_swept = |key: &str| ended.values().any(|end| end.settings.contains_key(key));
        let common = |key: &str| {
            let place = SETTINGS.iter().position(|setting| setting.key == key)?;
            settings.get(place).filter(|_| !is_swept(key)).map(Value::to_string)
        };
        let figure = figure(ended.values(), &subject(common));
        super::write_drawing(svg, figure.to_svg().as_bytes())
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

/// The table.
fn text(columns: &[Column], cells: &[Vec<String>]) -> String {
    let side = |column: &Column| if column.is_text() { Side::Left } else { Side::Right };
    let names: Vec<(&str, Side)> = columns.iter().map(|column| (column.heading(), side(column))).collect();
    aligned(&names, cells)
}

/// A line of what all rows share, where that is worth telling.
fn shared_by_all(columns: &[Column], shared: &[(usize, Value)]) -> Option<String> {
    let told: Vec<String> = shared
        .iter()
        .filter(|(k, _)| !columns.contains(&Column::Setting(*k)))
        .map(|(k, value)| format!("{}={}", leaf(SETTINGS[*k].key), escaped(&value.to_string())))
        .collect();
    (!told.is_empty()).then(|| format!("all: {}", told.join(" ")))
}
