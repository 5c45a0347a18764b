//! The rows of `adamtrain runs` as text, JSON and CSV.

use anyhow::Result;
use serde_json::{Map, Value as Json, json};

use super::sheet;
use crate::config::Value;
use crate::config::settings::SETTINGS;
use crate::error::escaped;
use crate::listing::column::{self, Column};
use crate::listing::group::event;
use crate::listing::key::{Asked, Key};
use crate::listing::{self, Row};
use crate::report::Output;
use crate::report::table::{Side, aligned, leaf, stdout_width, wrapped};

/// What is shown of rows.
pub struct Table<'a> {
    rows: &'a [Row],
    /// Those that are shown.
    pub shown: &'a [Row],
    keys: Vec<Key>,
    /// The settings that differ, by index.
    told: Vec<usize>,
    /// Those that all rows share.
    shared: Vec<(usize, Value)>,
    columns: Vec<Column>,
}

impl<'a> Table<'a> {
    /// Of these rows the first `limit`, with the columns that are named or else those that tell something.
    pub fn new(rows: &'a [Row], named: Option<&[Asked]>, keys: Vec<Key>, limit: Option<usize>) -> Self {
        let (told, shared) = listing::compare_settings(rows);
        let columns = match named {
            Some(named) => {
                let columns = named.iter().map(|asked| asked.among(rows).column).collect();
                with_deviations(columns, rows)
            }
            None => column::columns(rows, &told, &columns_of(&keys)),
        };
        Self { rows, shown: &rows[..rows.len().min(limit.unwrap_or(usize::MAX))], keys, told, shared, columns }
    }

    /// Prints an event a row, and the last one.
    pub fn to_json(&self) -> Result<()> {
        let mut output = Output::default();
        for row in self.shown {
            let event = match &row.seeds {
                Some(seeds) => event(row, seeds, &self.told),
                None => row.to_json(&self.told),
            };
            output.line(&event.to_string());
        }
        let shared: Map<String, Json> =
            self.shared.iter().map(|(k, value)| (SETTINGS[*k].key.to_owned(), value.to_json())).collect();
        let end = json!({
            "event": "end",
            "format": crate::report::FORMAT,
            "status": "finished",
            "found": self.rows.len(),
            "shown": self.shown.len(),
            "sort": self.keys.iter().map(|key| key.column.name()).collect::<Vec<_>>(),
            "shared": shared,
        });
        output.line(&end.to_string());
        output.finish()
    }

    /// Prints a line a row; answers with the columns that had no room, where none are `named`.
    pub fn to_text(&self, named: bool) -> Result<Vec<Column>> {
        let mut output = Output::default();
        let width = stdout_width();
        let cells = |columns: &[Column]| -> Vec<Vec<String>> {
            self.shown.iter().map(|row| columns.iter().map(|column| column.cell(row)).collect()).collect()
        };
        let (shared, all) = (listing::notable(&self.shared), cells(&self.columns));
        // What is named is shown, and so is all of it to a program.
        let (fitting, left_out) = match width.filter(|_| !named) {
            Some(width) => column::fitting(&self.columns, &all, &columns_of(&self.keys), width),
            None => (self.columns.clone(), Vec::new()),
        };
        let text = if left_out.is_empty() { text(&self.columns, &all) } else { text(&fitting, &cells(&fitting)) };
        let head = shared_by_all(&self.columns, &shared).map(|line| match width {
            Some(width) => wrapped(&line, width, 5),
            None => line,
        });
        for line in head.iter().flat_map(|head| head.lines()).chain(text.lines()) {
            output.line(line);
        }
        output.finish()?;
        Ok(left_out)
    }

    /// The lines of a table for another program: all columns, or those that are `named`.
    pub fn to_csv(&self, named: bool) -> Vec<String> {
        let all = if named { self.columns.clone() } else { column::all_columns(self.rows, &self.told) };
        sheet::of_rows(self.shown, &all)
    }

    /// The same with a row an epoch.
    pub fn epochs(&self) -> Vec<String> {
        sheet::of_epochs(self.shown, &self.told)
    }
}

/// What rows are sorted by.
fn columns_of(keys: &[Key]) -> Vec<Column> {
    keys.iter().map(|key| key.column).collect()
}

/// The columns, where rows stand for several seeds with n and behind each measure its deviation.
fn with_deviations(columns: Vec<Column>, rows: &[Row]) -> Vec<Column> {
    if rows.iter().all(|row| row.seeds.is_none()) {
        return columns;
    }
    let mut wider: Vec<Column> = Vec::new();
    let has = |column: Column| columns.contains(&column);
    for &column in &columns {
        if let Column::Metric(k) = column {
            // n stands before the first mean.
            let is_first = !wider.iter().any(|other| matches!(other, Column::Count | Column::Metric(_)));
            wider.extend((is_first && !has(Column::Count)).then_some(Column::Count));
            wider.push(column);
            wider.extend((!has(Column::Deviation(k))).then_some(Column::Deviation(k)));
        } else {
            wider.push(column);
        }
    }
    wider
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
