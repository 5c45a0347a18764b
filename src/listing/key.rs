//! Keys of the table of runs: a column or setting by the names that a user may type, and the order of rows by it.

use std::cmp::Ordering;

use super::Row;
use super::column::{Column, METRICS, WORDS, own};
use crate::config::settings::{SETTINGS, index};
use crate::config::value::closest;
use crate::config::{Stretch, Value};
use crate::error::{Exit, Failure, escaped};
use crate::report::table::leaf;

/// What to sort by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// The column.
    pub column: Column,
    /// Whether its usual order is turned around.
    pub turned: bool,
}

/// Other words for a column. Of two columns the first is meant where every row has it that has any number.
const ALIASES: [(&str, &[&str]); 9] = [
    ("accuracy", &["valid_accuracy", "test_accuracy"]),
    ("acc", &["valid_accuracy", "test_accuracy"]),
    ("test_acc", &["test_accuracy"]),
    ("valid_acc", &["valid_accuracy"]),
    ("loss", &["valid_loss", "test_loss"]),
    ("best", &["best_valid_loss"]),
    ("time", &["seconds"]),
    ("name", &["path"]),
    ("tag", &["tags"]),
];

/// A key as typed: columns, of which the first that all rows have is meant.
#[derive(Clone, Debug)]
pub struct Asked {
    columns: Vec<Column>,
    turned: bool,
}

impl Asked {
    /// The first of the columns that it may mean: all are of one kind.
    pub fn first(&self) -> Column {
        self.columns[0]
    }

    /// The key that is meant where `rows` are listed: rows are compared by what they all have.
    pub fn among(&self, rows: &[Row]) -> Key {
        let is_known = |column: &Column| match column {
            Column::Metric(k) => {
                rows.iter().filter(|row| row.last.is_some()).all(|row| METRICS[*k].value(row).is_some())
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

/// Reads the columns that a flag such as `--columns` names.
///
/// # Errors
/// If there is no such column ([`Exit::Usage`]).
pub fn named(text: &str, flag: &str) -> Result<Vec<Asked>, Failure> {
    text.split(',').map(|typed| one(typed.trim(), flag)).collect()
}

/// Reads one key; `flag` is where it was typed.
///
/// # Errors
/// If there is no such key ([`Exit::Usage`]).
pub fn one(typed: &str, flag: &str) -> Result<Asked, Failure> {
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
    let names = names.chain(WORDS.iter().map(|words| words.name));
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
                let metric = METRICS[k];
                let turned = self.turned != metric.rises;
                known_first(metric.value(a), metric.value(b), |a, b| turn(a.total_cmp(&b), turned))
            }
            Column::Count | Column::Deviation(_) => {
                let number = |row| self.column.number(row);
                known_first(number(a), number(b), |a, b| turn(a.total_cmp(&b), self.turned))
            }
            Column::Words(k) => {
                let (a, b) = (WORDS[k].value(a), WORDS[k].value(b));
                known_first(a.as_deref(), b.as_deref(), |a, b| turn(natural(a, b), self.turned))
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

/// The number that a value of a setting is, whatever its unit.
pub fn number_of(value: &Value) -> Option<f64> {
    match value {
        Value::Count(count) | Value::Stretch(Stretch::Steps(count) | Stretch::Epochs(count)) => Some(*count as f64),
        Value::Number(number) | Value::Time(number) | Value::Stretch(Stretch::Seconds(number)) => Some(*number),
        _ => None,
    }
}

/// Numbers in their order, before words in theirs.
fn compare(a: &Value, b: &Value) -> Ordering {
    match (number_of(a), number_of(b), a, b) {
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
