//! Columns of the table of runs, and the order of its rows by one of them.

use std::cmp::Ordering;

use super::Row;
use crate::config::settings::{SETTINGS, index};
use crate::config::value::closest;
use crate::config::{Stretch, Value};
use crate::error::{Exit, Failure, escaped};
use crate::report::table::{duration, leaf, number};
use crate::train::Record;

/// A number of a row that is no setting.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name in JSON and in the table.
    pub name: &'static str,
    /// Whether more is better.
    rises: bool,
    of: fn(&Row) -> Option<f64>,
}

fn last(row: &Row, of: fn(&Record) -> Option<f64>) -> Option<f64> {
    row.last.as_ref().and_then(of)
}

/// All of them, in the order of the table.
pub const METRICS: [Metric; 9] = [
    Metric { name: "train_loss", rises: false, of: |row| last(row, |last| last.train_loss) },
    Metric { name: "train_accuracy", rises: true, of: |row| last(row, |last| last.train_accuracy) },
    Metric { name: "valid_loss", rises: false, of: |row| last(row, |last| last.valid_loss) },
    Metric { name: "valid_accuracy", rises: true, of: |row| last(row, |last| last.valid_accuracy) },
    Metric { name: "test_loss", rises: false, of: |row| last(row, |last| last.test_loss) },
    Metric { name: "test_accuracy", rises: true, of: |row| last(row, |last| last.test_accuracy) },
    Metric { name: "best_epoch", rises: false, of: |row| row.best.as_ref().map(|best| best.epoch as f64) },
    Metric { name: "best_valid_loss", rises: false, of: |row| row.best.as_ref().and_then(|best| best.valid_loss) },
    Metric { name: "seconds", rises: false, of: |row| row.seconds },
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
    /// A setting, by its index.
    Setting(usize),
    /// A number, by its place in [`METRICS`].
    Metric(usize),
}

/// What to sort by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// The column.
    pub column: Column,
    /// Whether its usual order is turned around.
    pub turned: bool,
}

/// Other words for a column. Of two columns the first is meant where every row has it that has any number.
const ALIASES: [(&str, &[&str]); 8] = [
    ("accuracy", &["valid_accuracy", "test_accuracy"]),
    ("acc", &["valid_accuracy", "test_accuracy"]),
    ("test_acc", &["test_accuracy"]),
    ("valid_acc", &["valid_accuracy"]),
    ("loss", &["valid_loss", "test_loss"]),
    ("best", &["best_valid_loss"]),
    ("time", &["seconds"]),
    ("name", &["path"]),
];

impl Column {
    /// Its name: the setting's short one, but where another column has that.
    pub fn name(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Status => "status",
            Self::Epochs => "epochs",
            Self::Setting(k) => match leaf(SETTINGS[k].key) {
                name if own(name).is_some() => SETTINGS[k].key,
                name => name,
            },
            Self::Metric(k) => METRICS[k].name,
        }
    }

    /// What stands above it: its name, but for times, which are shown with their unit.
    pub fn heading(self) -> &'static str {
        match self.name() {
            "seconds" => "time",
            name => name,
        }
    }

    /// How soon it is left out where there is no room, the lowest first; none if it never is.
    fn weight(self) -> Option<u8> {
        match self {
            Self::Path => None,
            Self::Status => Some(7),
            Self::Epochs => Some(4),
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
            Self::Metric(k) => {
                let measure = (METRICS[k].of)(row);
                match METRICS[k].name {
                    "seconds" => measure.map_or("-".into(), duration),
                    "best_epoch" => measure.map_or("-".into(), |epoch| format!("{epoch:.0}")),
                    _ => number(measure),
                }
            }
        }
    }

    /// Whether it holds words.
    pub fn is_text(self) -> bool {
        matches!(self, Self::Path | Self::Status | Self::Setting(_))
    }

    fn has(self, rows: &[Row]) -> bool {
        match self {
            Self::Metric(k) => rows.iter().any(|row| (METRICS[k].of)(row).is_some()),
            _ => true,
        }
    }
}

/// The columns of a table of `rows`: `told` are the settings that differ, `keys` what it is sorted by.
pub fn columns(rows: &[Row], told: &[usize], keys: &[Key]) -> Vec<Column> {
    let asked = |column: Column| keys.iter().any(|key| key.column == column);
    let mut settings = told.to_vec();
    settings.retain(|&k| !WITHOUT_RESULT.contains(&SETTINGS[k].key));
    settings.extend(keys.iter().filter_map(|key| match key.column {
        Column::Setting(k) => Some(k),
        _ => None,
    }));
    settings.sort_unstable();
    settings.dedup();
    let mut columns = vec![Column::Path, Column::Status, Column::Epochs];
    columns.extend(settings.into_iter().map(Column::Setting));
    let measures = (0..METRICS.len()).map(Column::Metric);
    columns.extend(measures.filter(|&column| asked(column) || SHOWN.contains(&column.name()) && column.has(rows)));
    columns
}

/// Parts `columns` into those that fit into `width` with these cells of theirs, and those that are left out: what the rows are sorted
/// by stays.
pub fn fitting(columns: &[Column], cells: &[Vec<String>], keys: &[Key], width: usize) -> (Vec<Column>, Vec<Column>) {
    let longest = |k: usize| {
        let cells = cells.iter().map(|row| row[k].chars().count());
        cells.max().unwrap_or(0).max(columns[k].heading().chars().count())
    };
    let widths: Vec<usize> = (0..columns.len()).map(longest).collect();
    let mut kept: Vec<usize> = (0..columns.len()).collect();
    let is_asked = |k: usize| keys.iter().any(|key| key.column == columns[k]);
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

/// RowSettings whose value changes no result.
const WITHOUT_RESULT: [&str; 6] =
    ["data.data_dir", "train.graph", "train.tensorboard", "train.threads", "train.save_every", "train.max_time"];

/// A column that is no setting, by its name.
fn own(name: &str) -> Option<Column> {
    let first = [Column::Path, Column::Status, Column::Epochs];
    let all = first.into_iter().chain((0..METRICS.len()).map(Column::Metric));
    // Not by `Column::name`, which asks here.
    all.into_iter().find(|column| match column {
        Column::Path => name == "path",
        Column::Status => name == "status",
        Column::Epochs => name == "epochs",
        Column::Metric(k) => name == METRICS[*k].name,
        Column::Setting(_) => false,
    })
}

/// A key as typed: columns, of which the first that all rows have is meant.
#[derive(Clone, Debug)]
pub struct Asked {
    columns: Vec<Column>,
    turned: bool,
}

impl Asked {
    /// The key that is meant where `rows` are listed: rows are compared by what they all have.
    pub fn among(&self, rows: &[Row]) -> Key {
        let is_known = |column: &Column| match column {
            Column::Metric(k) => {
                rows.iter().filter(|row| row.last.is_some()).all(|row| (METRICS[*k].of)(row).is_some())
            }
            _ => true,
        };
        let last = self.columns[self.columns.len() - 1];
        Key { column: self.columns.iter().copied().find(is_known).unwrap_or(last), turned: self.turned }
    }
}

/// Reads `KEY[,KEY…]`, each with or without a `-` before it.
///
/// # Errors
/// If there is no such key ([`Exit::Usage`]).
pub fn parse(text: &str) -> Result<Vec<Asked>, Failure> {
    text.split(',').map(|typed| one(typed.trim(), "--sort")).collect()
}

/// Reads the columns that `--columns` names.
///
/// # Errors
/// If there is no such column ([`Exit::Usage`]).
pub fn named(text: &str) -> Result<Vec<Asked>, Failure> {
    text.split(',').map(|typed| one(typed.trim(), "--columns")).collect()
}

fn one(typed: &str, flag: &str) -> Result<Asked, Failure> {
    let (turned, bare) = typed.strip_prefix('-').map_or((false, typed), |rest| (true, rest));
    let name = bare.trim_start_matches('-').replace('-', "_").to_lowercase();
    let columns: Vec<Column> = if let Some(column) = own(&name) {
        vec![column]
    } else if let Some((_, names)) = ALIASES.iter().find(|(alias, _)| *alias == name) {
        names.iter().filter_map(|name| own(name)).collect()
    } else {
        let by_leaf = || SETTINGS.iter().position(|setting| leaf(setting.key) == name);
        index(&name).or_else(by_leaf).map(Column::Setting).into_iter().collect()
    };
    if !columns.is_empty() {
        return Ok(Asked { columns, turned });
    }
    let names = ["path", "status", "epochs"].into_iter().chain(METRICS.iter().map(|measure| measure.name));
    let names = names.chain(ALIASES.iter().map(|(alias, _)| *alias));
    let names = names.chain(SETTINGS.iter().flat_map(|setting| [leaf(setting.key), setting.key]));
    let hint = match closest(&name, names) {
        Some(like) => format!("did you mean `{like}`?"),
        None => {
            "any column of the table or any setting: test_accuracy, train_loss, seconds, lr, optim.beta2".to_owned()
        }
    };
    let shown: String = escaped(&bare.chars().take(80).collect::<String>());
    Err(Failure::new(Exit::Usage, format!("{flag}: there is no column or setting `{shown}`")).hint(hint))
}

/// Sorts rows: by `keys`, then by path. Rows that a key has no value for come last, whichever way it is turned.
pub fn sort(rows: &mut [Row], keys: &[Key]) {
    rows.sort_by(|a, b| {
        let by_keys = keys.iter().map(|key| key.compare(a, b));
        by_keys.fold(Ordering::Equal, Ordering::then).then_with(|| by_path(a, b))
    });
}

impl Key {
    fn compare(self, a: &Row, b: &Row) -> Ordering {
        let turn = |order: Ordering, turned: bool| if turned { order.reverse() } else { order };
        match self.column {
            Column::Path => turn(by_path(a, b), self.turned),
            Column::Status => turn(a.status.cmp(b.status), self.turned),
            Column::Epochs => turn(a.epochs.cmp(&b.epochs), self.turned),
            Column::Setting(k) => {
                known_first(a.settings.get(k), b.settings.get(k), |a, b| turn(compare(a, b), self.turned))
            }
            Column::Metric(k) => {
                let Metric { of, rises, .. } = METRICS[k];
                known_first(of(a), of(b), |a, b| turn(a.total_cmp(&b), self.turned != rises))
            }
        }
    }
}

fn known_first<T: Copy>(a: Option<T>, b: Option<T>, order: impl Fn(T, T) -> Ordering) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) => order(a, b),
        _ => b.is_some().cmp(&a.is_some()),
    }
}

/// Numbers in their order, before words in theirs.
fn compare(a: &Value, b: &Value) -> Ordering {
    let number = |value: &Value| match value {
        Value::Count(count) | Value::Stretch(Stretch::Steps(count) | Stretch::Epochs(count)) => Some(*count as f64),
        Value::Number(number) | Value::Time(number) | Value::Stretch(Stretch::Seconds(number)) => Some(*number),
        _ => None,
    };
    match (number(a), number(b), a, b) {
        (Some(x), Some(y), ..) => x.total_cmp(&y).then_with(|| a.to_string().cmp(&b.to_string())),
        (_, _, Value::Widths(a), Value::Widths(b)) => a.cmp(b),
        (x, y, ..) => y.is_some().cmp(&x.is_some()).then_with(|| a.to_string().cmp(&b.to_string())),
    }
}

/// `run-2` before `run-10`, and the points of a sweep in their order.
fn by_path(a: &Row, b: &Row) -> Ordering {
    natural(&a.path, &b.path)
}

/// Texts by their words, and numbers in them as numbers.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a, b);
    while let (Some(x), Some(y)) = (left.chars().next(), right.chars().next()) {
        if x.is_ascii_digit() && y.is_ascii_digit() {
            let digits = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
            let ((m, rest), (n, others)) = (left.split_at(digits(left)), right.split_at(digits(right)));
            let (m, n) = (m.trim_start_matches('0'), n.trim_start_matches('0'));
            let order = m.len().cmp(&n.len()).then_with(|| m.cmp(n));
            if order.is_ne() {
                return order;
            }
            (left, right) = (rest, others);
        } else if x == y {
            (left, right) = (&left[x.len_utf8()..], &right[y.len_utf8()..]);
        } else {
            return x.cmp(&y);
        }
    }
    left.len().cmp(&right.len()).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_by_every_name_a_user_may_type() {
        let setting = |key: &str| Column::Setting(index(key).unwrap());
        let measure = |name: &str| own(name).unwrap();
        for (typed, column, turned) in [
            ("path", Column::Path, false),
            ("name", Column::Path, false),
            ("epochs", Column::Epochs, false),
            ("train.epochs", setting("train.epochs"), false),
            ("lr", setting("optim.lr"), false),
            ("-optim.lr", setting("optim.lr"), true),
            ("weight-decay", setting("optim.weight_decay"), false),
            ("--lr", setting("optim.lr"), true),
            ("batch_size", setting("train.batch_size"), false),
            ("test_accuracy", measure("test_accuracy"), false),
            ("-test-acc", measure("test_accuracy"), true),
            ("time", measure("seconds"), false),
            ("accuracy", measure("valid_accuracy"), false),
        ] {
            let asked = one(typed, "--sort").unwrap_or_else(|error| panic!("{typed}: {error}"));
            assert_eq!((asked.columns[0], asked.turned), (column, turned), "{typed}");
        }
        for (typed, like) in [("test_acuracy", "test_accuracy"), ("optim.bta2", "optim.beta2"), ("secnds", "seconds")] {
            let failure = one(typed, "--sort").unwrap_err();
            assert!(failure.advice().unwrap().contains(like), "{failure}: {:?}", failure.advice());
        }
        assert!(one("", "--sort").is_err() && one("-", "--sort").is_err() && parse("lr,,seed").is_err());
        assert_eq!(parse("optimizer,-seed").unwrap().len(), 2);
    }

    #[test]
    fn numbers_in_paths_count_as_numbers() {
        let mut paths = ["a-10", "a-2", "a-02", "a#10", "a#9", "b", "a", "é2", "é"];
        paths.sort_by(|a, b| natural(a, b));
        assert_eq!(paths, ["a", "a#9", "a#10", "a-02", "a-2", "a-10", "b", "é", "é2"]);
    }

    #[test]
    fn rows_without_a_value_come_last_both_ways() {
        let row = |path: &str, seconds: Option<f64>| Row { seconds, ..Row::new(path.into()) };
        let mut rows = [row("a", None), row("b", Some(2.0)), row("c", Some(10.0)), row("d", None)];
        for (turned, expected) in [(false, "bcad"), (true, "cbad")] {
            sort(&mut rows, &[Key { column: own("seconds").unwrap(), turned }]);
            assert_eq!(rows.iter().map(|row| row.path.as_str()).collect::<String>(), expected);
        }
    }

    proptest::proptest! {
        #[test]
        fn the_order_of_paths_is_one(a in "[a0-9é#]{0,6}", b in "[a0-9é#]{0,6}", c in "[a0-9é#]{0,6}") {
            proptest::prop_assert_eq!(natural(&a, &b), natural(&b, &a).reverse());
            if natural(&a, &b).is_le() && natural(&b, &c).is_le() {
                proptest::prop_assert!(natural(&a, &c).is_le());
            }
        }
    }
}
