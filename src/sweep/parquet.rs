//! The table of a sweep as a parquet file: the columns of `results.csv` with their types.
//!
//! ```text
//! whole numbers    INT64               point, epochs, step, seed
//! numbers          DOUBLE               lr, test_accuracy
//! switches         BOOLEAN              nesterov
//! all else         BYTE_ARRAY (UTF8)    status, hidden: as in results.csv
//! ```
//!
//! A setting has the type of what it accepts, in every sweep; what is not known, or not set, is null. A column with a value that is none of
//! its type, which no sweep writes, is one of texts.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use parquet::basic::{LogicalType, Repetition, Type as Physical};
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;
use serde_json::Value as Json;

use super::results::Sheet;
use crate::config::settings::{SETTINGS, index};
use crate::config::value::Kind;
use crate::report::csv;

/// Rows that are written, and held, together.
const GROUP_ROWS: usize = 1 << 16;

/// Columns of whole numbers that are no settings, and those of texts.
const COUNTS: [&str; 5] = ["point", "epochs", "step", "skipped_steps", "best_epoch"];
const TEXTS: [&str; 2] = ["status", "reason"];

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    Counts,
    Numbers,
    Switches,
    Texts,
}

impl Holds {
    fn of_setting(key: &str) -> Self {
        match index(key).map(|index| SETTINGS[index].kind) {
            Some(Kind::Count { .. }) => Self::Counts,
            Some(Kind::Number(_)) => Self::Numbers,
            Some(Kind::Switch) => Self::Switches,
            _ => Self::Texts,
        }
    }

    fn of_other(name: &str) -> Self {
        match name {
            name if COUNTS.contains(&name) => Self::Counts,
            name if TEXTS.contains(&name) => Self::Texts,
            _ => Self::Numbers,
        }
    }

    fn can_hold(self, value: &Json) -> bool {
        value.is_null()
            || match self {
                Self::Counts => value.is_i64(),
                Self::Numbers => value.is_number(),
                Self::Switches => value.is_boolean(),
                Self::Texts => true,
            }
    }

    fn column(self, name: &str) -> parquet::errors::Result<Type> {
        let (physical, logical) = match self {
            Self::Counts => (Physical::INT64, None),
            Self::Numbers => (Physical::DOUBLE, None),
            Self::Switches => (Physical::BOOLEAN, None),
            Self::Texts => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        };
        let builder = Type::primitive_type_builder(name, physical);
        builder.with_logical_type(logical).with_repetition(Repetition::OPTIONAL).build()
    }
}

/// The file of a table.
///
/// # Errors
/// If the writer fails, which it does not in memory.
pub fn file(sheet: &Sheet) -> Result<Vec<u8>> {
    let columns = sheet.columns();
    let of = |(name, key): &(String, Option<&str>)| key.map_or_else(|| Holds::of_other(name), Holds::of_setting);
    let mut holds: Vec<Holds> = columns.iter().map(of).collect();
    for row in sheet.rows() {
        for (holds, value) in holds.iter_mut().zip(&row) {
            if !holds.can_hold(value) {
                *holds = Holds::Texts;
            }
        }
    }

    let fields = columns.iter().zip(&holds).map(|((name, _), holds)| Ok(Arc::new(holds.column(name)?)));
    let fields = fields.collect::<Result<Vec<_>>>()?;
    let schema = Arc::new(Type::group_type_builder("points").with_fields(fields).build()?);
    let mut bytes = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, Arc::new(WriterProperties::builder().build()))?;
    let mut rows = sheet.rows();
    loop {
        let rows: Vec<Vec<Json>> = rows.by_ref().take(GROUP_ROWS).collect();
        if rows.is_empty() {
            break;
        }
        let mut group = writer.next_row_group()?;
        for place in 0..columns.len() {
            let mut column = group.next_column()?.context("the schema has a column less")?;
            write(column.untyped(), rows.iter().map(|row| &row[place]))?;
            column.close()?;
        }
        group.close()?;
    }
    writer.close()?;
    Ok(bytes)
}

/// Writes the values of a column; null where there is none.
fn write<'a>(column: &mut ColumnWriter, values: impl Iterator<Item = &'a Json> + Clone) -> Result<()> {
    let levels: Vec<i16> = values.clone().map(|value| i16::from(!value.is_null())).collect();
    let (there, levels) = (values.filter(|value| !value.is_null()), Some(levels.as_slice()));
    match column {
        ColumnWriter::Int64ColumnWriter(column) => {
            column.write_batch(&there.filter_map(Json::as_i64).collect::<Vec<_>>(), levels, None)
        }
        ColumnWriter::DoubleColumnWriter(column) => {
            column.write_batch(&there.filter_map(Json::as_f64).collect::<Vec<_>>(), levels, None)
        }
        ColumnWriter::BoolColumnWriter(column) => {
            column.write_batch(&there.filter_map(Json::as_bool).collect::<Vec<_>>(), levels, None)
        }
        ColumnWriter::ByteArrayColumnWriter(column) => {
            let texts = there.map(|value| ByteArray::from(csv::word(value).into_bytes()));
            column.write_batch(&texts.collect::<Vec<_>>(), levels, None)
        }
        _ => anyhow::bail!("the schema has a column of another type"),
    }?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Write as _;

    use parquet::file::reader::{FileReader as _, SerializedFileReader};
    use parquet::record::Field;
    use serde_json::{Map, json};

    use super::*;
    use crate::run::Status;
    use crate::run::results::PointEnd;
    use crate::train::Record;

    /// The columns, each with its name and physical type, and the rows of the table of these points.
    fn read_back(ends: impl IntoIterator<Item = PointEnd>) -> (Vec<(String, Physical)>, Vec<Vec<Field>>) {
        let ended: BTreeMap<usize, PointEnd> = ends.into_iter().map(|end| (end.point, end)).collect();
        let mut unnamed = tempfile::tempfile().unwrap();
        unnamed.write_all(&file(&Sheet::of(&ended)).unwrap()).unwrap();
        let reader = SerializedFileReader::new(unnamed).unwrap();
        let columns = reader.metadata().file_metadata().schema_descr().columns().to_vec();
        let columns = columns.iter().map(|column| (column.name().to_owned(), column.physical_type())).collect();
        let rows = reader.get_row_iter(None).unwrap().map(|row| row.unwrap().into_columns());
        (columns, rows.map(|row| row.into_iter().map(|(_, field)| field).collect()).collect())
    }

    fn end(point: usize, settings: &Json, last: Option<Record>) -> PointEnd {
        PointEnd {
            point,
            settings: settings.as_object().unwrap().clone(),
            derived: Map::new(),
            status: if last.is_some() { Status::Finished } else { Status::Diverged },
            reason: last.is_none().then(|| "\"a\", b".to_owned()),
            epochs: last.as_ref().map_or(0, |last| last.epoch),
            best: last.clone(),
            last,
        }
    }

    #[test]
    fn a_column_has_the_type_of_its_setting_and_null_where_there_is_nothing() {
        let last = Record { epoch: 2, step: 8, test_accuracy: Some(1.0), ..Record::default() };
        let settings = json!({"optim.lr": 1, "train.seed": 7, "optim.nesterov": true, "model.hidden": [8, 4]});
        let diverged = json!({"optim.lr": 0.1, "train.seed": null, "model.hidden": []});
        let (columns, rows) = read_back([end(3, &settings, Some(last)), end(5, &diverged, None)]);
        let found: Vec<(&str, Physical)> = columns.iter().map(|(name, kind)| (name.as_str(), *kind)).collect();
        let [count, number, text] = [Physical::INT64, Physical::DOUBLE, Physical::BYTE_ARRAY];
        let expected = [
            ("point", count),
            ("lr", number),
            ("seed", count),
            ("nesterov", Physical::BOOLEAN),
            ("hidden", text),
            ("status", text),
            ("reason", text),
            ("epochs", count),
            ("step", count),
            ("train_loss", number),
            ("train_accuracy", number),
            ("test_loss", number),
            ("test_accuracy", number),
            ("best_epoch", count),
            ("best_valid_loss", number),
        ];
        assert_eq!(found, expected);
        let text = |text: &str| Field::Str(text.to_owned());
        let first =
            [Field::Long(3), Field::Double(1.0), Field::Long(7), Field::Bool(true), text("8,4"), text("finished")];
        assert_eq!(rows[0][..6], first);
        assert_eq!(rows[0][6..9], [Field::Null, Field::Long(2), Field::Long(8)]);
        assert_eq!(rows[0][12..14], [Field::Double(1.0), Field::Long(2)]);
        let second = [Field::Long(5), Field::Double(0.1), Field::Null, Field::Null, text("none"), text("diverged")];
        assert_eq!(rows[1][..6], second);
        assert_eq!(rows[1][6..8], [text("\"a\", b"), Field::Long(0)]);
        assert!(rows[1][8..].iter().all(|field| *field == Field::Null), "{rows:?}");
    }

    #[test]
    fn a_value_of_another_type_makes_its_column_one_of_texts() {
        let settings = ["{\"train.seed\": 7}", "{\"train.seed\": \"x\"}", "{\"no.such\": 1}"];
        let settings = settings.map(|text| serde_json::from_str::<Json>(text).unwrap());
        let (columns, rows) =
            read_back(settings.iter().enumerate().map(|(point, settings)| end(point, settings, None)));
        let kind_of = |name: &str| columns.iter().find(|(other, _)| other == name).unwrap().1;
        assert_eq!((kind_of("seed"), kind_of("such")), (Physical::BYTE_ARRAY, Physical::BYTE_ARRAY));
        let place = columns.iter().position(|(name, _)| name == "seed").unwrap();
        let seeds: Vec<&Field> = rows.iter().map(|row| &row[place]).collect();
        assert_eq!(seeds, [&Field::Str("7".into()), &Field::Str("x".into()), &Field::Null]);
        let (columns, rows) = read_back([]);
        assert_eq!((columns.len(), rows.len()), (4, 0));
    }

    #[test]
    fn more_rows_than_a_group_are_all_there_in_order() {
        let points = GROUP_ROWS + 2;
        let (_, rows) = read_back((0..points).map(|point| end(point, &json!({"train.seed": point}), None)));
        assert!(rows.iter().map(|row| row[0].clone()).eq((0..points as i64).map(Field::Long)));
        assert_eq!(rows.last().unwrap()[1], Field::Long(points as i64 - 1));
    }
}
