//! The table of runs for other programs, as CSV: a row a run, or a row an epoch.

use crate::config::settings::SETTINGS;
use crate::listing::column::Column;
use crate::listing::{Row, epochs};
use crate::report::csv::{self, columns};
use crate::train::Record;

/// A row a run: what its columns hold, with all digits.
pub fn of_rows(rows: &[Row], columns: &[Column]) -> Vec<String> {
    let head = csv::line(columns.iter().map(|column| column.name()));
    let line = |row: &Row| csv::line(columns.iter().map(|column| column.exact(row)));
    std::iter::once(head).chain(rows.iter().map(line)).collect()
}

/// A row an epoch, or an evaluation inside one: the path, the settings `told`, which differ, and what the line of it says.
pub fn of_epochs(rows: &[Row], told: &[usize]) -> Vec<String> {
    let lines = epochs::of(rows);
    let fields = |record: &Record| {
        let mut fields = Record::fields(Some(record));
        fields.insert("event".to_owned(), record.event.as_str().into());
        fields
    };
    let names = columns(lines.iter().flatten().map(|record| fields(record).into_iter().map(|(name, _)| name)));
    let settings: Vec<Column> = told.iter().copied().map(Column::Setting).collect();
    let name = |k: &usize| {
        let short = Column::Setting(*k).name();
        if names.iter().any(|name| name == short) { SETTINGS[*k].key } else { short }
    };
    let head = ["path"].into_iter().chain(told.iter().map(name)).chain(names.iter().map(String::as_str));
    let mut text = vec![csv::line(head)];
    for (row, records) in rows.iter().zip(&lines) {
        let own: Vec<String> =
            std::iter::once(Column::Path).chain(settings.clone()).map(|column| column.exact(row)).collect();
        text.extend(records.iter().map(|record| {
            let fields = fields(record);
            let cells = names.iter().map(|name| fields.get(name).map(csv::word).unwrap_or_default());
            csv::line(own.iter().cloned().chain(cells))
        }));
    }
    text
}
