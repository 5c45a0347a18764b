//! A table in a CSV file, or a folder with `train.csv` and `test.csv`: a row an example, a column its class, the others its features.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Result;
use csv::StringRecord;

use super::super::cache::Fingerprint;
use super::super::file;
use super::super::images::Images;
use super::super::numbers::{Column, Numbers};
use super::super::progress::ImportProgress;
use super::super::table::{self, Inputs, Source, Table};
use super::{Found, Reader, Wish, Wishes, refused, splits};
use crate::error::{Exit, Failure};
use crate::read;
use crate::text::{counted, quoted};

/// Most inputs of an example.
pub const MOST_FEATURES: usize = 1 << 16;

/// Longest description of the columns, as JSON: checkpoints and the cache hold it in their headers.
const MOST_DESCRIPTION: usize = 1 << 21;

/// A table with or without one to test by.
#[derive(Debug)]
pub struct Tables {
    train: PathBuf,
    test: Option<PathBuf>,
    wishes: Wishes,
}

/// What is seen on a first way through a table.
#[derive(Debug, Default)]
struct Survey {
    /// Rows of each class.
    classes: BTreeMap<String, usize>,
    /// Values of each categorical column.
    values: BTreeMap<String, BTreeSet<String>>,
    /// Features with cells that are no numbers, and the first of these cells.
    odd: BTreeMap<String, Failure>,
}

impl Tables {
    /// The table under a path, if there is one.
    pub fn find(path: &Path, wishes: &Wishes) -> Result<Option<Self>> {
        let of = |train: PathBuf, test| Some(Self { train, test, wishes: wishes.clone() });
        if !read::is_folder(path).map_err(|error| file::unreadable(path, &error))? {
            let is_table = table::is_named(path) && read::present(path).is_ok_and(|found| found.is_some());
            return Ok(if is_table { of(path.to_owned(), None) } else { None });
        }
        let named =
            |name: &str| file::first_present(["csv", "tsv"].map(|ending| path.join(format!("{name}.{ending}"))));
        Ok(match named("train")? {
            Some(train) => of(train, named("test")?),
            None => None,
        })
    }

    fn files(&self) -> impl Iterator<Item = &PathBuf> {
        std::iter::once(&self.train).chain(&self.test)
    }

    /// The column of the class.
    fn label(&self) -> Result<&str> {
        if let Some(label) = &self.wishes.label {
            return Ok(label);
        }
        let table = Table::open(Source::File(self.train.clone()), &[])?;
        let what = format!("which column is the class is not said; {}", table.columns());
        Err(Failure::new(Exit::Usage, format!("{}: {what}", self.train.display()))
            .hint("give it with --label COLUMN")
            .into())
    }

    /// Opens one of the tables, and finds the place of the class.
    fn open(&self, path: &Path) -> Result<(Table, usize)> {
        let label = self.label()?;
        let table = Table::open(Source::File(path.to_owned()), &[label])?;
        let place = table.place(label).map_err(|failure| {
            let is_test = Some(path) == self.test.as_deref();
            let hint = if is_test {
                "a table to test by has a column of classes: one without is for `adamtrain predict`"
            } else {
                "give the column of the class with --label"
            };
            failure.hint(hint)
        })?;
        for name in self.wishes.categorical.iter().chain(&self.wishes.ignored).filter(|_| self.known().is_none()) {
            table.place(name)?;
            if name == label {
                let what = format!("column `{name}` is the class and cannot be a feature, or ignored");
                return Err(Failure::new(Exit::Usage, what).into());
            }
        }
        let is_ignored = |name: &&String| self.wishes.ignored.contains(name);
        if let Some(name) = self.wishes.categorical.iter().find(is_ignored).filter(|_| self.known().is_none()) {
            let what = format!("column `{name}` is said to be categorical and to be ignored");
            return Err(Failure::new(Exit::Usage, what).hint("leave it out of --categorical or of --ignore").into());
        }
        Ok((table, place))
    }

    /// The columns of the net that is asked, if one is.
    fn known(&self) -> Option<&[Column]> {
        self.wishes.of_net.as_deref().filter(|columns| !columns.is_empty())
    }

    /// Names of the columns that are features.
    fn features(&self, table: &Table, label: usize) -> Vec<String> {
        if let Some(known) = self.known() {
            return known.iter().map(|column| column.name.clone()).collect();
        }
        let is_feature = |(place, name): &(usize, &String)| *place != label && !self.wishes.ignored.contains(name);
        table.names.iter().enumerate().filter(is_feature).map(|(_, name)| name.clone()).collect()
    }

    fn survey(&self, path: &Path) -> Result<Survey> {
        Table::expect_closed_quotes(&Source::File(path.to_owned()))?;
        let (mut table, label) = self.open(path)?;
        let features = self.features(&table, label);
        let is_categorical = |name: &String| self.wishes.categorical.contains(name);
        let (mut categorical, mut numeric) = (Vec::new(), Vec::new());
        for name in &features {
            let place = table.place(name)?;
            if is_categorical(name) { &mut categorical } else { &mut numeric }.push((place, name));
        }
        let mut survey = Survey::default();
        let mut ranges = vec![(f64::INFINITY, f64::NEG_INFINITY); numeric.len()];
        let mut row = StringRecord::new();
        while table.next(&mut row)? {
            let class = row.get(label).unwrap_or_default();
            match survey.classes.get_mut(class) {
                Some(count) => *count += 1,
                None if is_no_class(class) => {
                    let found =
                        if class.is_empty() { "is empty".to_owned() } else { format!("is missing (`{class}`)") };
                    let failure = table.broken(&row, label, &format!("{found}, expected a class"));
                    return Err(failure.hint("take the row out").into());
                }
                None => drop(survey.classes.insert(class.to_owned(), 1)),
            }
            for &(place, name) in &categorical {
                let value = row.get(place).unwrap_or_default();
                if !survey.values.get(name).is_some_and(|values| values.contains(value)) {
                    survey.values.entry(name.clone()).or_default().insert(value.to_owned());
                }
            }
            for (&(place, name), (least, most)) in numeric.iter().zip(&mut ranges) {
                match table::number(row.get(place).unwrap_or_default()) {
                    Ok(number) => (*least, *most) = (least.min(number), most.max(number)),
                    Err(_) if survey.odd.contains_key(name) => {}
                    Err(what) => {
                        let failure = table.broken(&row, place, &format!("{what}, expected a number"));
                        survey.odd.insert(name.clone(), failure);
                    }
                }
            }
        }
        survey.expect_numbers()?;
        for ((_, name), (least, most)) in numeric.iter().zip(ranges) {
            if is_blurred(least, most) {
                tracing::warn!(
                    "{}: `{name}` changes by less than 32-bit floats of its size can tell apart: subtract its mean",
                    path.display()
                );
            }
        }
        Ok(survey)
    }

    /// The examples of one of the tables.
    fn examples(&self, path: &Path, found: &Found, count: usize) -> Result<Images> {
        let (mut table, label) = self.open(path)?;
        let inputs = Inputs::new(&found.table, &table)?;
        let example_bytes = found.channels * Numbers::Floats.bytes();
        let mut images =
            Images { pixels: file::reserved(path, count * example_bytes)?, labels: file::reserved(path, count)? };
        let is_numeric = found.classes.iter().all(|class| class.parse::<f64>().is_ok());
        let numbers: BTreeMap<&str, u8> = found.classes.iter().map(String::as_str).zip(0..).collect();
        let mut row = StringRecord::new();
        while table.next(&mut row)? {
            let class = row.get(label).unwrap_or_default();
            let Some(&number) = numbers.get(&*class_of(class, is_numeric)) else { return Err(changed(path).into()) };
            inputs.append(&table, &row, &mut images.pixels)?;
            images.labels.push(number);
        }
        if images.len() != count {
            return Err(changed(path).into());
        }
        Ok(images)
    }
}

/// Whether a cell names no class. A class may well be called `none` or `-`.
fn is_no_class(cell: &str) -> bool {
    table::is_missing(cell) && !matches!(cell.to_ascii_lowercase().as_str(), "none" | "-" | "missing")
}

/// The name of the class in a cell: where all are numbers, `1.0` is `1`. Whole numbers are told apart beyond what a float holds.
fn class_of(cell: &str, is_numeric: bool) -> Cow<'_, str> {
    if let Ok(number) = cell.parse::<i128>()
        && is_numeric
    {
        return Cow::Owned(number.to_string());
    }
    match cell.parse::<f64>() {
        // 0 and −0 are one.
        Ok(number) if is_numeric => Cow::Owned((number + 0.0).to_string()),
        _ => Cow::Borrowed(cell),
    }
}

/// Whether numbers of this range lie so close together that floats of their size hardly tell them apart.
fn is_blurred(least: f64, most: f64) -> bool {
    /// Steps between neighbouring floats that the range should be worth.
    const STEPS: f64 = 256.0;
    most > least && most - least < STEPS * f64::from(f32::EPSILON) * least.abs().max(most.abs())
}

/// A file that is not what it was a moment ago.
fn changed(path: &Path) -> Failure {
    refused(path, "was changed while it was read").hint("start again")
}

impl Survey {
    /// Requires that all features are numbers.
    fn expect_numbers(&mut self) -> Result<(), Failure> {
        let columns: Vec<String> = self.odd.keys().cloned().collect();
        let Some((_, first)) = self.odd.pop_first() else { return Ok(()) };
        let names = quoted(&[columns.join(",")]);
        let which = if columns.len() > 1 {
            format!("{} have such cells", counted(columns.len() as u64, "column"))
        } else {
            "fill the cells in".to_owned()
        };
        Err(first.hint(format!(
            "{which}; --categorical {names} makes an input of each value, --ignore {names} leaves them out"
        )))
    }
}

/// Names in order: by number where all are numbers, else byte by byte.
pub fn in_order(names: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut names: Vec<String> = names.into_iter().collect();
    names.sort();
    let number = |name: &String| name.parse::<f64>().ok().filter(|number| number.is_finite());
    if names.iter().all(|name| number(name).is_some()) {
        names.sort_by(|one, other| number(one).unwrap_or(0.0).total_cmp(&number(other).unwrap_or(0.0)));
    }
    names.dedup();
    names
}

impl Reader for Tables {
    fn kind(&self) -> &'static str {
        "tables"
    }

    fn reads(&self) -> &'static [Wish] {
        &[Wish::Label, Wish::Categorical, Wish::Ignored]
    }

    fn fingerprint(&self) -> Result<Fingerprint> {
        Fingerprint::of("files", &self.files().cloned().collect::<Vec<_>>())
    }

    fn look(&self) -> Result<Found> {
        let (table, label) = self.open(&self.train)?;
        let features = self.features(&table, label);
        let train = self.survey(&self.train)?;
        let test = self.test.as_ref().map(|path| self.survey(path)).transpose()?.unwrap_or_default();
        let values = |name: &String| {
            let of = |survey: &Survey| survey.values.get(name).cloned().unwrap_or_default();
            in_order(of(&train).into_iter().chain(of(&test)))
        };
        let column = |name: String| {
            let is_categorical = self.wishes.categorical.contains(&name);
            let values = is_categorical.then(|| values(&name));
            Column { name, values }
        };
        let table: Vec<Column> = match self.known() {
            Some(known) => known.to_vec(),
            None => features.into_iter().map(column).collect(),
        };
        let inputs = table.iter().map(Column::inputs).sum::<usize>();
        if inputs == 0 || inputs > MOST_FEATURES {
            let what = format!("has {}, expected 1 to {MOST_FEATURES}", counted(inputs as u64, "input"));
            return Err(refused(&self.train, what).hint("each value of a categorical column is one").into());
        }
        let description = serde_json::to_string(&table)?.len();
        if description > MOST_DESCRIPTION {
            let what = format!("its columns take {description} bytes to name, expected at most {MOST_DESCRIPTION}");
            return Err(refused(&self.train, what).hint("give them shorter names").into());
        }
        let texts = || train.classes.keys().chain(test.classes.keys());
        let is_numeric = texts().all(|class| class.parse::<f64>().is_ok());
        let classes = in_order(texts().map(|class| class_of(class, is_numeric).into_owned()));
        let counts = |survey: &Survey| {
            let mut counts = vec![0; classes.len()];
            for (text, rows) in &survey.classes {
                let name = class_of(text, is_numeric);
                if let Some(class) = classes.iter().position(|class| *class == name) {
                    counts[class] += rows;
                }
            }
            counts
        };
        splits::expect_classes(classes.len(), &self.wishes, &self.train)?;
        let (train, test) = (counts(&train), counts(&test));
        let label = self.label()?;
        Ok(Found {
            about: format!("a table of {}, `{label}` the class", counted(inputs as u64, "feature")),
            channels: inputs,
            rows: 1,
            columns: 1,
            numbers: Numbers::Floats,
            table,
            classes,
            train,
            test,
        })
    }

    fn read(&self, found: &Found, _: &mut ImportProgress) -> Result<(Images, Images)> {
        // Where a test split is drawn, all rows are in one file.
        let counts = [&found.train, &found.test].map(|counts| counts.iter().sum::<usize>());
        let (train, test) = match &self.test {
            Some(path) => (self.examples(&self.train, found, counts[0])?, self.examples(path, found, counts[1])?),
            None => (self.examples(&self.train, found, counts[0] + counts[1])?, Images::default()),
        };
        Ok((train, test))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz;

    fn found(files: &[(&str, &str)], wishes: &Wishes) -> Result<(Found, Images, Images)> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let path = if files.len() > 1 { folder.path().to_owned() } else { folder.path().join(files[0].0) };
        let tables = Tables::find(&path, wishes).unwrap().unwrap();
        let found = tables.look()?;
        let (train, test) = tables.read(&found, &mut ImportProgress::new("", 0, "", true))?;
        Ok((found, train, test))
    }

    fn by(label: &str) -> Wishes {
        Wishes { label: Some(label.into()), ..Wishes::default() }
    }

    fn rows(images: &Images, inputs: usize) -> Vec<Vec<f32>> {
        images.pixels.chunks(4 * inputs).map(|row| crate::data::numbers::floats(row).collect()).collect()
    }

    #[test]
    fn a_table_becomes_floats_and_classes() {
        let (found, train, _) = found(&[("a.csv", "x,kind,y\n1,b,2.5\n-3,a,4\n5,b,1e3\n")], &by("kind")).unwrap();
        assert_eq!((found.classes.join(","), found.train, found.channels), ("a,b".into(), vec![1, 2], 2));
        assert_eq!(rows(&train, 2), [[1.0, 2.5], [-3.0, 4.0], [5.0, 1000.0]]);
        assert_eq!(train.labels, [1, 0, 1]);
    }

    #[test]
    fn categorical_columns_take_an_input_a_value_of_both_tables() {
        let wishes = Wishes { categorical: vec!["c".into()], ignored: vec!["id".into()], ..by("k") };
        let files = [("train.csv", "id,c,x,k\nn,red,1,10\nm,,2,9\n"), ("test.csv", "k,x,c,id\n9,3,blue,o\n")];
        let (found, train, test) = found(&files, &wishes).unwrap();
        assert_eq!(crate::data::numbers::names(&found.table), ["c=", "c=blue", "c=red", "x"]);
        assert_eq!(found.classes, ["9", "10"]);
        assert_eq!(rows(&train, 4), [[0.0, 0.0, 1.0, 1.0], [1.0, 0.0, 0.0, 2.0]]);
        assert_eq!((rows(&test, 4), test.labels), (vec![vec![0.0, 1.0, 0.0, 3.0]], vec![0]));
    }

    #[test]
    fn a_cell_that_is_no_number_is_named_with_all_columns_that_have_some() {
        let text = "a,b,c,k\n1,2,3,x\n1,,3,y\n1,2,red,x\n";
        let error = found(&[("a.csv", text)], &by("k")).unwrap_err();
        let failure = error.downcast_ref::<Failure>().unwrap();
        assert!(failure.to_string().ends_with("line 3, column `b` (2): is empty, expected a number"), "{failure}");
        assert!(failure.advice().unwrap().contains("--categorical b,c"), "{failure:?}");
        let error = found(&[("a.csv", "a,k\n1,x\n2,\n")], &by("k")).unwrap_err();
        assert!(error.to_string().contains("line 3, column `k` (2): is empty, expected a class"), "{error}");
        let error = found(&[("a.csv", "a,k\n1,x\n")], &by("class")).unwrap_err();
        assert!(error.to_string().contains("has no column `class`; its columns are a, k"), "{error}");
    }

    #[test]
    fn numbers_that_are_classes_are_one_however_they_are_written() {
        let (found, train, _) = found(&[("a.csv", "a,k\n1,1\n2,1.0\n3,02\n4,-0\n")], &by("k")).unwrap();
        assert_eq!((found.classes.join(" "), train.labels), ("0 1 2".into(), vec![1, 1, 2, 0]));
        let error = self::found(&[("a.csv", "a,k\n1,x\n2,NaN\n")], &by("k")).unwrap_err();
        assert!(error.to_string().contains("line 3, column `k` (2): is missing (`NaN`), expected a class"), "{error}");
        let (found, ..) = self::found(&[("a.csv", "a,k\n1,none\n2,some\n")], &by("k")).unwrap();
        assert_eq!(found.classes, ["none", "some"]);
    }

    #[test]
    fn what_floats_cannot_tell_apart_is_found() {
        assert!(is_blurred(1_700_000_001.0, 1_700_000_004.0) && is_blurred(1e9, 1e9 + 20_000.0));
        assert!(!is_blurred(5.0, 5.0) && !is_blurred(0.0, 1e-30) && !is_blurred(1990.0, 2026.0));
    }

    #[test]
    fn a_table_without_names_is_called_by_places() {
        let (found, train, _) = found(&[("iris.csv", "5.1,3.5,setosa\n6.2,2.9,virginica\n")], &by("3")).unwrap();
        assert_eq!((crate::data::numbers::names(&found.table).join(","), train.len()), ("1,2".into(), 2));
    }

    #[test]
    fn mutated_tables_are_refused_or_read() {
        let seeds =
            ["a,b,k\n1,2,x\n3,4,y\n5,6,x\n", "a;\"b\nc\";k\n1;red;x\n2;blue;y\n"].map(|text| text.as_bytes().to_vec());
        let folder = fuzz::folder();
        let path = folder.path().join("a.csv");
        let wishes = Wishes { categorical: vec!["b".into()], ..by("k") };
        fuzz::run("tables", &seeds, |bytes| {
            std::fs::write(&path, bytes).unwrap();
            let tables = Tables::find(&path, &wishes).unwrap().unwrap();
            let found = tables.look();
            found.is_ok_and(|found| tables.read(&found, &mut ImportProgress::new("", 0, "", true)).is_ok())
        });
    }
}
