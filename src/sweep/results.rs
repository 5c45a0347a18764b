//! `results.csv`: a row a point that has ended, with its settings as columns, for pandas, R and DuckDB.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use crate::report::csv;
use crate::report::table::leaf;
use crate::run::results::PointEnd;
use crate::train::Record;

/// Its name.
pub const FILE: &str = "results.csv";

/// Fields of a point's last evaluation that are no measures of what it computed, or no single number. The rate of its last step has the
/// name of a setting.
const PASSED_OVER: [&str; 6] = ["epoch", "health", "lr", "seconds", "samples_per_second", "settled"];

/// Columns before and behind the settings.
const BEFORE: [&str; 1] = ["point"];
const BEHIND: [&str; 3] = ["status", "reason", "epochs"];

/// Its text: point, settings, status, reason, epochs, the numbers of the last evaluation, and where the validation loss was lowest.
/// Nothing in it depends on the clock.
pub fn to_csv(ended: &BTreeMap<usize, PointEnd>) -> String {
    let rows: Vec<Row> = ended.values().map(Row::of).collect();
    let settings = csv::columns(rows.iter().map(|row| row.settings.clone()));
    let measures = csv::columns(rows.iter().map(|row| row.measures.clone()));
    let mut names: Vec<String> = BEFORE.map(str::to_owned).to_vec();
    names.extend(settings.iter().map(|key| name(key, &measures)));
    names.extend(BEHIND.map(str::to_owned));
    names.extend(measures.iter().cloned());
    let mut text = csv::line(names) + "\n";
    for (row, end) in rows.iter().zip(ended.values()) {
        let own = |fields: &Map<String, Json>, key: &String| fields.get(key).map(csv::word).unwrap_or_default();
        let mut cells = vec![end.point.to_string()];
        cells.extend(settings.iter().map(|key| own(&row.settings, key)));
        cells.extend([end.status.word().to_owned(), end.reason.clone().unwrap_or_default(), end.epochs.to_string()]);
        cells.extend(measures.iter().map(|key| own(&row.measures, key)));
        text += &(csv::line(cells) + "\n");
    }
    text
}

/// What a point has of both kinds of columns.
struct Row {
    settings: Map<String, Json>,
    measures: Map<String, Json>,
}

impl Row {
    fn of(end: &PointEnd) -> Self {
        let settings = end.settings.iter().chain(&end.derived).map(|(key, value)| (key.clone(), value.clone()));
        let mut measures = Record::fields(end.last.as_ref());
        measures.retain(|name, _| !PASSED_OVER.contains(&name.as_str()));
        let best = end.best.as_ref();
        measures.insert("best_epoch".to_owned(), json!(best.map(|best| best.epoch)));
        measures.insert("best_valid_loss".to_owned(), json!(best.and_then(|best| best.valid_loss)));
        Self { settings: settings.collect(), measures }
    }
}

/// The name of a setting's column: its short one, but where another column has that.
fn name(key: &str, measures: &[String]) -> String {
    let short = leaf(key);
    let is_taken = BEFORE.contains(&short) || BEHIND.contains(&short) || measures.iter().any(|name| name == short);
    if is_taken { key } else { short }.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::Status;

    #[test]
    fn points_with_other_fields_are_rows_of_one_table() {
        let end = |point: usize, settings: Json, last: Option<Record>, status| PointEnd {
            point,
            settings: settings.as_object().unwrap().clone(),
            derived: Map::new(),
            status,
            reason: last.is_none().then(|| "epoch 1, step 2: \"a\", b".to_owned()),
            epochs: last.as_ref().map_or(0, |last| last.epoch),
            best: last.clone(),
            last,
        };
        let last = Record { epoch: 2, step: 8, valid_loss: Some(0.5), test_accuracy: Some(0.75), ..Record::default() };
        let ends = [
            end(0, json!({"train.epochs": 2, "model.hidden": []}), None, Status::Diverged),
            end(3, json!({"train.epochs": 4, "model.hidden": [8, 4]}), Some(last), Status::Finished),
        ];
        let text = to_csv(&ends.into_iter().map(|end| (end.point, end)).collect());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[0],
            "point,train.epochs,hidden,status,reason,epochs,step,train_loss,train_accuracy,valid_loss,\
             test_loss,test_accuracy,best_epoch,best_valid_loss"
        );
        assert_eq!(lines[1], "0,2,none,diverged,\"epoch 1, step 2: \"\"a\"\", b\",0,,,,,,,,");
        assert_eq!(lines[2], "3,4,\"8,4\",finished,,2,8,,,0.5,,0.75,2,0.5");
        assert_eq!(lines.len(), 3);
        assert_eq!(to_csv(&BTreeMap::new()), "point,status,reason,epochs\n");
    }
}
