//! The table of epochs: a line an epoch, of as many columns as the terminal has room for.

use std::fmt;

use super::table;
use crate::train::Record;

/// Between two columns.
const GAP: usize = 3;

/// A number of an epoch.
#[derive(Clone, Copy, Debug)]
struct Column {
    name: &'static str,
    width: usize,
    /// Columns of a lower rank give way to those of a higher one.
    rank: usize,
    cell: fn(&Record) -> String,
}

/// All columns, in their order.
const COLUMNS: [Column; 9] = [
    Column { name: "epoch", width: 5, rank: 9, cell: |record| record.epoch.to_string() },
    Column { name: "train loss", width: 10, rank: 5, cell: |record| table::number(record.train_loss) },
    Column { name: "train acc", width: 9, rank: 1, cell: |record| Percent(record.train_accuracy).to_string() },
    Column { name: "valid loss", width: 10, rank: 4, cell: |record| table::number(record.valid_loss) },
    Column { name: "valid acc", width: 9, rank: 7, cell: |record| Percent(record.valid_accuracy).to_string() },
    Column { name: "test loss", width: 9, rank: 2, cell: |record| table::number(record.test_loss) },
    Column { name: "test acc", width: 8, rank: 8, cell: |record| Percent(record.test_accuracy).to_string() },
    Column { name: "lr", width: 7, rank: 3, cell: |record| format!("{:.1e}", record.lr) },
    Column { name: "time", width: 6, rank: 6, cell: |record| table::duration(record.seconds) },
];

/// The columns of a run, which stay once the head is printed.
#[derive(Debug)]
pub(super) struct Epochs {
    columns: Vec<Column>,
    /// Whether the head has two lines, of which the first names the split.
    is_grouped: bool,
}

/// The head of all columns where there is a validation split, which fits 80 columns.
const GROUPED: &str = concat!(
    "            train              valid              test\n",
    "epoch      loss      acc      loss      acc      loss      acc       lr    time"
);

impl Epochs {
    /// For lines of at most `width` characters; without one, all columns.
    pub fn new(validated: bool, width: Option<usize>) -> Self {
        let width = width.unwrap_or(usize::MAX);
        let is_grouped = validated && width >= GROUPED.lines().map(str::len).max().unwrap_or(0);
        let mut columns = COLUMNS.to_vec();
        if !validated {
            columns.retain(|column| !column.name.starts_with("valid"));
        }
        while !is_grouped && total(&columns) > width && columns.len() > 1 {
            let Some(least) = columns.iter().map(|column| column.rank).min() else { break };
            columns.retain(|column| column.rank > least);
        }
        Self { columns, is_grouped }
    }

    /// The names of the columns.
    pub fn head(&self) -> String {
        if self.is_grouped {
            return GROUPED.to_owned();
        }
        self.line(|column| column.name.to_owned())
    }

    /// The line of an epoch.
    pub fn row(&self, record: &Record) -> String {
        if self.is_grouped {
            return grouped(record);
        }
        self.line(|column| (column.cell)(record))
    }

    fn line(&self, cell: impl Fn(&Column) -> String) -> String {
        let cells = self.columns.iter().map(|column| format!("{:>1$}", cell(column), column.width));
        cells.collect::<Vec<_>>().join(&" ".repeat(GAP))
    }
}

fn total(columns: &[Column]) -> usize {
    columns.iter().map(|column| column.width).sum::<usize>() + GAP * columns.len().saturating_sub(1)
}

/// A line under [`GROUPED`].
fn grouped(record: &Record) -> String {
    let Record { epoch, train_loss, train_accuracy, test_loss, test_accuracy, lr, seconds, .. } = record;
    let pairs =
        [(*train_loss, *train_accuracy), (record.valid_loss, record.valid_accuracy), (*test_loss, *test_accuracy)];
    let pairs = pairs.map(|(loss, share)| format!("{:>8} {:>8}", table::number(loss), Percent(share)));
    format!("{epoch:>5}  {}  {lr:>7.1e}  {:>6}", pairs.join("  "), table::duration(*seconds))
}

/// What stands before the progress bar: as many of these as leave room for the bar and the time that is left.
pub(super) fn standing(record: &Record, epochs: u64, width: Option<usize>) -> String {
    /// The shortest bar, and ` 12m left` behind it.
    const BAR: usize = 8 + 9;
    let loss = format!("loss {}", table::number(record.train_loss));
    // In their order, each with its rank: those of a lower one give way.
    let mut words = vec![
        (6, format!("epoch {}/{epochs}", record.epoch)),
        (3, format!("step {}", record.step)),
        (5, loss),
        (4, format!("acc {}", Percent(record.train_accuracy))),
        (2, format!("lr {:.1e}", record.lr)),
        (1, format!("{:.0}/s", record.samples_per_second)),
    ];
    let room = width.map_or(usize::MAX, |width| width.saturating_sub(BAR));
    while words.iter().map(|(_, word)| word.chars().count() + 1).sum::<usize>() > room && words.len() > 1 {
        let least = words.iter().map(|(rank, _)| *rank).min();
        words.retain(|(rank, _)| Some(*rank) != least);
    }
    words.into_iter().map(|(_, word)| word).collect::<Vec<_>>().join(" ")
}

/// A share as a percentage, or a dash.
struct Percent(Option<f64>);

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.map_or("-".into(), |share| format!("{:.2}%", 100.0 * share)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            epoch: 12,
            step: 123_456,
            train_loss: Some(0.25),
            train_accuracy: Some(1.0),
            valid_loss: Some(123_456.0),
            valid_accuracy: Some(0.5),
            test_loss: Some(1.5),
            test_accuracy: Some(0.925),
            lr: 1e-3,
            seconds: 61.0,
            samples_per_second: 1_234_567.0,
            ..Record::default()
        }
    }

    #[test]
    fn the_most_telling_columns_are_kept_where_there_is_no_room() {
        let lines = |validated, width| {
            let epochs = Epochs::new(validated, width);
            [epochs.head(), epochs.row(&record())]
        };
        assert_eq!(
            lines(false, Some(40)),
            ["epoch   train loss   test acc     time", "   12       0.2500     92.50%    61.0s"]
        );
        assert_eq!(
            lines(true, Some(40)),
            ["epoch   valid acc   test acc     time", "   12      50.00%     92.50%    61.0s"]
        );
        assert_eq!(lines(false, None)[0], "epoch   train loss   train acc   test loss   test acc        lr     time");
        for validated in [false, true] {
            for width in 5..100 {
                for line in lines(validated, Some(width)).iter().flat_map(|text| text.lines()) {
                    assert!(line.chars().count() <= width, "{width}: {line}");
                }
            }
            assert_eq!(lines(validated, Some(80)), lines(validated, None));
        }
    }

    #[test]
    fn what_stands_before_the_bar_leaves_room_for_it() {
        assert_eq!(standing(&record(), 20, Some(40)), "epoch 12/20");
        assert_eq!(standing(&Record { epoch: 3, ..record() }, 10, Some(40)), "epoch 3/10 loss 0.2500");
        let whole = "epoch 12/20 step 123456 loss 0.2500 acc 100.00% lr 1.0e-3 1234567/s";
        assert_eq!(standing(&record(), 20, None), whole);
        assert_eq!(standing(&record(), 20, Some(200)), whole);
        for width in 30..100 {
            assert!(standing(&record(), 20, Some(width)).chars().count() + 17 <= width, "{width}");
        }
    }
}
