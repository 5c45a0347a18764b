//! Columns of the table of runs, and what they hold of a row.

use super::Row;
use crate::config::Value;
use crate::config::settings::SETTINGS;
use crate::device::in_units;
use crate::error::escaped;
use crate::report::table::{duration, leaf, number};
use crate::train::Record;

/// A number of a row that is no setting.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name in JSON and in the table.
    pub name: &'static str,
    /// The name of its deviation over seeds.
    pub deviation: &'static str,
    /// Whether more is better.
    pub rises: bool,
    of: fn(&Row) -> Option<f64>,
}

impl Metric {
    /// The number of a row; of one that stands for several seeds their mean.
    pub fn value(&self, row: &Row) -> Option<f64> {
        match &row.seeds {
            Some(seeds) => seeds.mean(self.name).mean,
            None => (self.of)(row),
        }
    }
}

fn last(row: &Row, of: fn(&Record) -> Option<f64>) -> Option<f64> {
    row.last.as_ref().and_then(of)
}

/// A row of [`METRICS`], whose deviation has its name with `_sd` behind it.
macro_rules! metric {
    ($name:literal, $rises:literal, $of:expr) => {
        Metric { name: $name, deviation: concat!($name, "_sd"), rises: $rises, of: $of }
    };
}

/// All of them, in the order of the table.
pub const METRICS: [Metric; 10] = [
    metric!("train_loss", false, |row| last(row, |last| last.train_loss)),
    metric!("train_accuracy", true, |row| last(row, |last| last.train_accuracy)),
    metric!("valid_loss", false, |row| last(row, |last| last.valid_loss)),
    metric!("valid_accuracy", true, |row| last(row, |last| last.valid_accuracy)),
    metric!("test_loss", false, |row| last(row, |last| last.test_loss)),
    metric!("test_accuracy", true, |row| last(row, |last| last.test_accuracy)),
    metric!("best_epoch", false, |row| row.best.as_ref().map(|best| best.epoch as f64)),
    metric!("best_valid_loss", false, |row| row.best.as_ref().and_then(|best| best.valid_loss)),
    metric!("seconds", false, |row| row.seconds),
    // That of a sweep is none of one point.
    metric!("peak_bytes", false, |row| row
        .provenance
        .peak_bytes
        .filter(|_| row.point.is_none())
        .map(|bytes| bytes as f64)),
];

/// Those that the table shows unasked, where a row has them.
const SHOWN: [&str; 7] =
    ["train_loss", "valid_loss", "valid_accuracy", "test_accuracy", "best_epoch", "best_valid_loss", "seconds"];

/// A column of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// The directory.
    Path,
    /// How it ended.
    Status,
    /// Epochs completed.
    Epochs,
    /// How many seeds a row stands for.
    Count,
    /// A setting, by its index.
    Setting(usize),
    /// A number, by its place in [`METRICS`].
    Metric(usize),
    /// Its deviation over seeds.
    Deviation(usize),
    /// Words, by their place in [`WORDS`].
    Words(usize),
}

/// Words of a row that are no setting.
#[derive(Clone, Copy, Debug)]
pub struct Words {
    /// Their name.
    pub name: &'static str,
    /// What kind of words.
    pub kind: WordKind,
    of: fn(&Row) -> Option<String>,
}

/// What words are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WordKind {
    /// A text.
    Text,
    /// Tags, between commas.
    Tags,
    /// A moment, which is compared as far as the other is given.
    Moment,
}

impl Words {
    /// The words of a row.
    pub fn value(&self, row: &Row) -> Option<String> {
        (self.of)(row).filter(|words| !words.is_empty())
    }
}

/// All of them. The table shows the first two unasked, where a row has them.
pub const WORDS: [Words; 8] = [
    Words { name: "tags", kind: WordKind::Tags, of: |row| Some(row.provenance.tags.join(",")) },
    Words { name: "note", kind: WordKind::Text, of: |row| row.provenance.note.clone() },
    Words { name: "reason", kind: WordKind::Text, of: |row| row.reason.clone() },
    Words { name: "seeds", kind: WordKind::Text, of: |row| row.seeds.as_ref().map(|seeds| seeds.ranges.clone()) },
    Words { name: "host", kind: WordKind::Text, of: |row| row.provenance.host.clone() },
    Words { name: "os", kind: WordKind::Text, of: |row| row.provenance.os.clone() },
    Words { name: "start", kind: WordKind::Moment, of: |row| row.provenance.start.clone() },
    Words { name: "end", kind: WordKind::Moment, of: |row| row.provenance.end.clone() },
];

/// How many of [`WORDS`] the table shows unasked.
const WORDS_SHOWN: usize = 2;

/// Settings whose value changes no result.
pub const WITHOUT_RESULT: [&str; 6] =
    ["data.data_dir", "train.graph", "train.tensorboard", "train.threads", "train.save_every", "train.max_time"];

impl Column {
    /// Its name: the setting's short one, but where another column has that.
    pub fn name(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Status => "status",
            Self::Epochs => "epochs",
            Self::Count => "n",
            Self::Setting(k) => match leaf(SETTINGS[k].key) {
                name if own(name).is_some() => SETTINGS[k].key,
                name => name,
            },
            Self::Metric(k) => METRICS[k].name,
            Self::Deviation(k) => METRICS[k].deviation,
            Self::Words(k) => WORDS[k].name,
        }
    }

    /// What stands above it: its name, but for times, which are shown with their unit.
    pub fn heading(self) -> &'static str {
        match (self, self.name()) {
            (Self::Deviation(_), _) => "σ",
            (_, "seconds") => "time",
            (_, "peak_bytes") => "memory",
            (_, name) => name,
        }
    }

    /// How soon it is left out where there is no room, the lowest first; none if it never is.
    fn weight(self) -> Option<u8> {
        match self {
            Self::Path | Self::Count => None,
            Self::Status => Some(7),
            Self::Epochs => Some(4),
            Self::Words(k) => Some(if WORDS[k].name == "tags" { 3 } else { 0 }),
            // With its mean: of equal weight the right one goes first.
            Self::Deviation(k) => Self::Metric(k).weight(),
            Self::Setting(_) => Some(8),
            Self::Metric(k) => Some(match METRICS[k].name {
                "valid_accuracy" => 10,
                "test_accuracy" => 9,
                "valid_loss" => 6,
                "best_valid_loss" => 5,
                "best_epoch" => 2,
                "seconds" => 1,
                _ => 3,
            }),
        }
    }

    /// What it shows of a row.
    pub fn cell(self, row: &Row) -> String {
        match self {
            Self::Path => escaped(&row.path),
            Self::Status => row.status.to_owned(),
            Self::Epochs => row.epochs.to_string(),
            Self::Setting(k) => row.settings.get(k).map_or("-".into(), |value| escaped(&value.to_string())),
            Self::Count => row.seeds.as_ref().map_or("-".into(), |seeds| seeds.n.to_string()),
            Self::Words(k) => WORDS[k].value(row).map_or("-".into(), |words| escaped(&words)),
            Self::Metric(k) | Self::Deviation(k) => {
                let measure = self.number(row);
                match METRICS[k].name {
                    "seconds" => measure.map_or("-".into(), duration),
                    "peak_bytes" => measure.map_or("-".into(), |bytes| in_units(bytes as u64)),
                    "best_epoch" if row.seeds.is_none() => measure.map_or("-".into(), |epoch| format!("{epoch:.0}")),
                    _ => number(measure),
                }
            }
        }
    }

    /// What it holds of a row for another program: all digits, and nothing where there is nothing.
    pub fn exact(self, row: &Row) -> String {
        match self {
            Self::Path => row.path.clone(),
            Self::Status | Self::Epochs => self.cell(row),
            Self::Setting(k) => match (row.settings.get(k), SETTINGS[k].kind.is_number()) {
                (None, _) | (Some(Value::Unset(_)), true) => String::new(),
                (Some(value), _) => value.to_string(),
            },
            Self::Words(k) => WORDS[k].value(row).unwrap_or_default(),
            Self::Count | Self::Metric(_) | Self::Deviation(_) => {
                self.number(row).filter(|number| number.is_finite()).map_or(String::new(), |number| number.to_string())
            }
        }
    }

    /// The number that a row has in it, if it is no setting.
    pub fn number(self, row: &Row) -> Option<f64> {
        match self {
            Self::Epochs => Some(row.epochs as f64),
            Self::Count => row.seeds.as_ref().map(|seeds| seeds.n as f64),
            Self::Metric(k) => METRICS[k].value(row),
            Self::Deviation(k) => row.seeds.as_ref().and_then(|seeds| seeds.mean(METRICS[k].name).deviation),
            Self::Path | Self::Status | Self::Setting(_) | Self::Words(_) => None,
        }
    }

    /// Whether it holds words.
    pub fn is_text(self) -> bool {
        matches!(self, Self::Path | Self::Status | Self::Setting(_) | Self::Words(_))
    }

    /// Whether it holds words that the table shows unasked.
    fn is_word_shown(self) -> bool {
        matches!(self, Self::Words(k) if k < WORDS_SHOWN)
    }

    fn has(self, rows: &[Row]) -> bool {
        match self {
            Self::Metric(_) | Self::Deviation(_) => rows.iter().any(|row| self.number(row).is_some()),
            Self::Words(k) => rows.iter().any(|row| WORDS[k].value(row).is_some()),
            _ => true,
        }
    }
}

/// The columns of a table of `rows`: `told` are the settings that differ, `sorting` what it is sorted by.
pub fn columns(rows: &[Row], told: &[usize], sorting: &[Column]) -> Vec<Column> {
    let asked = |column: Column| sorting.contains(&column);
    let mut settings = told.to_vec();
    settings.retain(|&k| !WITHOUT_RESULT.contains(&SETTINGS[k].key));
    settings.extend(sorting.iter().filter_map(|column| match column {
        Column::Setting(k) => Some(*k),
        _ => None,
    }));
    settings.sort_unstable();
    settings.dedup();
    let mut columns = vec![Column::Path, Column::Status, Column::Epochs];
    let is_by_seed = rows.iter().any(|row| row.seeds.is_some());
    columns.extend(is_by_seed.then_some(Column::Count));
    columns.extend(settings.into_iter().map(Column::Setting));
    for k in 0..METRICS.len() {
        let (mean, deviation) = (Column::Metric(k), Column::Deviation(k));
        if asked(mean) || asked(deviation) || SHOWN.contains(&mean.name()) && mean.has(rows) {
            columns.push(mean);
            columns.extend((is_by_seed && (asked(deviation) || deviation.has(rows))).then_some(deviation));
        }
    }
    let words = (0..WORDS.len()).map(Column::Words);
    columns.extend(words.filter(|&column| asked(column) || column.has(rows) && column.is_word_shown()));
    columns
}

/// The columns of a table for another program: all, and the settings that differ.
pub fn all_columns(rows: &[Row], told: &[usize]) -> Vec<Column> {
    let is_by_seed = rows.iter().any(|row| row.seeds.is_some());
    let mut columns = vec![Column::Path, Column::Status, Column::Epochs];
    columns.extend(is_by_seed.then_some(Column::Count));
    columns.extend(told.iter().copied().map(Column::Setting));
    for k in 0..METRICS.len() {
        columns.push(Column::Metric(k));
        columns.extend(is_by_seed.then_some(Column::Deviation(k)));
    }
    let words = (0..WORDS.len()).map(Column::Words);
    columns.extend(words.filter(|column| is_by_seed || column.name() != "seeds"));
    columns
}

/// Parts `columns` into those that fit into `width` with these cells of theirs, and those that are left out: what the rows are sorted
/// by stays.
pub fn fitting(
    columns: &[Column],
    cells: &[Vec<String>],
    sorting: &[Column],
    width: usize,
) -> (Vec<Column>, Vec<Column>) {
    let longest = |k: usize| {
        let cells = cells.iter().map(|row| row[k].chars().count());
        cells.max().unwrap_or(0).max(columns[k].heading().chars().count())
    };
    let widths: Vec<usize> = (0..columns.len()).map(longest).collect();
    let mut kept: Vec<usize> = (0..columns.len()).collect();
    let is_asked = |k: usize| sorting.contains(&columns[k]);
    while kept.iter().map(|&k| widths[k] + 2).sum::<usize>() > width + 2 {
        let candidates = kept.iter().copied().filter(|&k| !is_asked(k));
        // Of settings the widest goes first: a path, or a list of groups.
        let first = candidates.filter_map(|k| Some((columns[k].weight()?, std::cmp::Reverse(widths[k]), k))).min();
        let Some((_, _, k)) = first else { break };
        kept.retain(|&other| other != k);
    }
    // What is narrow may still have room where something wide has left.
    let mut left: Vec<usize> = (0..columns.len()).filter(|k| !kept.contains(k)).collect();
    left.sort_by_key(|&k| std::cmp::Reverse((columns[k].weight(), std::cmp::Reverse(widths[k]))));
    for k in left {
        if kept.iter().chain([&k]).map(|&k| widths[k] + 2).sum::<usize>() <= width + 2 {
            kept.push(k);
        }
    }
    kept.sort_unstable();
    let left_out = (0..columns.len()).filter(|k| !kept.contains(k)).map(|k| columns[k]).collect();
    (kept.into_iter().map(|k| columns[k]).collect(), left_out)
}

/// A column that is no setting, by its name.
pub fn own(name: &str) -> Option<Column> {
    let first = [Column::Path, Column::Status, Column::Epochs, Column::Count];
    let measures = (0..METRICS.len()).flat_map(|k| [Column::Metric(k), Column::Deviation(k)]);
    let mut all = first.into_iter().chain(measures).chain((0..WORDS.len()).map(Column::Words));
    // A setting's name asks here.
    all.find(|column| column.name() == name)
}
