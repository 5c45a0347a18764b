//! The table of a sweep for pandas, R and DuckDB: a row a point that has ended, with its settings as columns. As CSV it is `results.csv`.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value as Json, json};

use crate::report::csv;
use crate::report::table::leaf;
use crate::run::results::PointEnd;
use crate::train::Record;

/// The name of the file.
pub const FILE: &str = "results.csv";

/// Fields of a point's last evaluation that are no measures of what it computed, or no single number. The rate of its last step has the
/// name of a setting.
const PASSED_OVER: [&str; 6] = ["epoch", "health", "lr", "seconds", "samples_per_second", "settled"];

/// Columns before and behind the settings.
const BEFORE: [&str; 1] = ["point"];
const BEHIND: [&str; 3] = ["status", "reason", "epochs"];

/// The table: point, settings, status, reason, epochs, the numbers of the last evaluation, and where the validation loss was lowest.
/// Nothing in it depends on the clock.
#[derive(Debug)]
pub struct Sheet<'a> {
    ended: &'a BTreeMap<usize, PointEnd>,
    /// Keys of settings that some point has.
    settings: Vec<String>,
    /// Numbers that some point has.
    measures: Vec<String>,
}

impl<'a> Sheet<'a> {
    /// That of these points.
    pub fn of(ended: &'a BTreeMap<usize, PointEnd>) -> Self {
        let settings = ended.values().map(|end| end.settings.keys().chain(end.derived.keys()));
        let names = |end| measures(end).into_iter().map(|(name, _)| name);
        let is_measure = |name: &String| !PASSED_OVER.contains(&name.as_str());
        let measures = csv::columns(ended.values().map(|end| names(end).filter(is_measure)));
        Self { ended, settings: csv::columns(settings), measures }
    }

    /// The names of the columns; of a setting's its key, too.
    pub(super) fn columns(&self) -> Vec<(String, Option<&str>)> {
        let other = |name: &str| (name.to_owned(), None);
        let mut columns: Vec<(String, Option<&str>)> = BEFORE.map(other).to_vec();
        let mut others: HashMap<&str, usize> = HashMap::new();
        for name in BEFORE.into_iter().chain(BEHIND).chain(self.measures.iter().map(String::as_str)) {
            *others.entry(name).or_default() += 1;
        }
        for key in &self.settings {
            *others.entry(leaf(key)).or_default() += 1;
        }
        // Its short name, but where another column has that.
        let name = |key: &String| if others[leaf(key)] > 1 { key.as_str() } else { leaf(key) }.to_owned();
        columns.extend(self.settings.iter().map(|key| (name(key), Some(key.as_str()))));
        columns.extend(BEHIND.map(other));
        columns.extend(self.measures.iter().map(|name| other(name)));
        columns
    }

    /// The rows, each with what stands in the columns; null where that is nothing.
    pub(super) fn rows(&self) -> impl Iterator<Item = Vec<Json>> {
        self.ended.values().map(|end| {
            let own = |key: &String| end.derived.get(key).or_else(|| end.settings.get(key)).cloned();
            let mut measures = measures(end);
            let mut row = vec![json!(end.point)];
            row.extend(self.settings.iter().map(|key| own(key).unwrap_or_default()));
            row.extend([json!(end.status.word()), json!(end.reason), json!(end.epochs)]);
            row.extend(self.measures.iter().map(|key| measures.get_mut(key).map(Json::take).unwrap_or_default()));
            row
        })
    }

    /// As CSV.
    pub fn to_csv(&self) -> String {
        let mut text = csv::line(self.columns().into_iter().map(|(name, _)| name)) + "\n";
        for row in self.rows() {
            text += &csv::line(row.iter().map(csv::word));
            text.push('\n');
        }
        text
    }
}

/// The measures of a point, by name; those that are passed over, too.
fn measures(end: &PointEnd) -> Map<String, Json> {
    let mut measures = Record::fields(end.last.as_ref());
    let best = end.best.as_ref();
    measures.insert("best_epoch".to_owned(), json!(best.map(|best| best.epoch)));
    measures.insert("best_valid_loss".to_owned(), json!(best.and_then(|best| best.valid_loss)));
    measures
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
        let ends = ends.into_iter().map(|end| (end.point, end)).collect();
        let text = Sheet::of(&ends).to_csv();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[0],
            "point,train.epochs,hidden,status,reason,epochs,step,train_loss,train_accuracy,valid_loss,\
             test_loss,test_accuracy,best_epoch,best_valid_loss"
        );
        assert_eq!(lines[1], "0,2,none,diverged,\"epoch 1, step 2: \"\"a\"\", b\",0,,,,,,,,");
        assert_eq!(lines[2], "3,4,\"8,4\",finished,,2,8,,,0.5,,0.75,2,0.5");
        assert_eq!(lines.len(), 3);
        assert_eq!(Sheet::of(&BTreeMap::new()).to_csv(), "point,status,reason,epochs\n");
    }
}
