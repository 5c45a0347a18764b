//! Points that are no grid: rows of a table, or objects of JSON, a line each.
//!
//! ```text
//! lr,hidden,variant             {"id": "a", "lr": 1e-3, "hidden": [300, 100]}
//! 1e-3,"300,100",               {"id": "b", "lr": 0.1, "variant": "sgd momentum=0.9"}
//! 0.1,,sgd momentum=0.9         {"stop": "a"}                     where points come one by one
//! ```
//!
//! A setting is called by its key or its flag. What a cell leaves empty, or an object does not name, is as it is for all points. A sweep
//! keeps them in its folder, as objects with the text of each value, so that what is read back is the same to the last digit.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Result;
use csv::StringRecord;
use serde_json::{Map, Value as Json};
use sha2::{Digest as _, Sha256};

use crate::config::Value;
use crate::config::layers::{Origin, POINTS_FILE, single, suggestion};
use crate::config::settings::{SETTINGS, Setting, Sharing, index};
use crate::data::table::{Source, Table};
use crate::digest::hex;
use crate::error::{Exit, Failure, escaped};
use crate::read::{self, Steady};
use crate::text::shown;

/// The file in a sweep's folder.
pub const FILE: &str = POINTS_FILE;

/// A longer file holds more points than a sweep may have.
const MOST_BYTES: u64 = 1 << 28;

/// The key of what a point is called, and of what is to leave.
const ID: &str = "id";
const STOP: &str = "stop";

/// A point as it was given.
#[derive(Clone, Debug)]
pub struct Row {
    /// What it is called by who gave it: a whole number or a string.
    pub id: Option<Json>,
    /// Its settings, by their place in the table of settings, in that order.
    pub values: Vec<(usize, Value)>,
    /// Its line, from 1.
    pub line: usize,
}

/// What a line says.
#[derive(Clone, Debug)]
pub enum Said {
    /// A point.
    Point(Row),
    /// The point that is called so is to leave.
    Stop(Json),
}

/// Points given one by one.
#[derive(Clone, Debug)]
pub struct List {
    /// The points, in order.
    pub rows: Vec<Row>,
    /// Where they stand.
    pub path: PathBuf,
    /// Whether more of them may come, so that no digest says which they are.
    pub is_open: bool,
}

impl Row {
    /// Where its settings come from.
    pub fn origin(&self, path: &Path) -> Origin {
        Origin::File(path.to_owned(), self.line)
    }

    /// Whether it has the settings of another.
    pub fn is_same(&self, other: &Self) -> bool {
        self.values == other.values
    }

    /// Its settings as text, by key.
    pub fn settings(&self) -> BTreeMap<&'static str, String> {
        self.values.iter().map(|(place, value)| (SETTINGS[*place].key, value.to_string())).collect()
    }

    /// As a line of [`FILE`].
    pub fn to_line(&self) -> String {
        let mut object = Map::new();
        object.extend(self.id.iter().map(|id| (ID.to_owned(), id.clone())));
        let settings = self.values.iter().map(|(place, value)| (SETTINGS[*place].key, value.to_string()));
        object.extend(settings.map(|(key, text)| (key.to_owned(), Json::String(text))));
        Json::Object(object).to_string() + "\n"
    }
}

impl List {
    /// Of none yet, which come on standard input.
    pub fn open() -> Self {
        Self { rows: Vec::new(), path: PathBuf::from("standard input"), is_open: true }
    }

    /// Reads a table or objects.
    ///
    /// # Errors
    /// If the file cannot be read, holds no point, or a line of it is none ([`Exit::Usage`]).
    pub fn read(path: &Path) -> Result<Self> {
        let unreadable = |error| Failure::new(Exit::Usage, format!("{}: cannot be read: {error}", path.display()));
        // A pipe is as good as a file: the shell makes one of `<(command)`.
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(unreadable)?;
        Steady(file).take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() as u64 > MOST_BYTES {
            let what = format!("{}: is longer than {MOST_BYTES} bytes", path.display());
            return Err(Failure::new(Exit::Usage, what).into());
        }
        if bytes.starts_with("\u{feff}".as_bytes()) {
            bytes.drain(..3);
        }
        let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
        let rows = if first == Some(&b'{') { objects(&bytes, path)? } else { table(&bytes, path)? };
        if rows.is_empty() {
            let failure = Failure::new(Exit::Usage, format!("{}: holds no point", path.display()));
            return Err(failure.hint("expected a line of settings and a row a point, or an object a line").into());
        }
        let mut called = HashMap::new();
        for row in &rows {
            let Some(id) = row.id.as_ref().map(Json::to_string) else { continue };
            if let Some(before) = called.insert(id.clone(), row.line) {
                let what = format!("{}:{}: the point of line {before} is called {id} too", path.display(), row.line);
                return Err(Failure::new(Exit::Usage, what).hint("give each point an id of its own").into());
            }
        }
        Ok(Self { rows, path: path.to_owned(), is_open: false })
    }

    /// Reads back what a sweep keeps in its folder; `is_open` where more may come.
    ///
    /// # Errors
    /// If it is missing or broken ([`Exit::Run`]).
    pub fn kept(path: &Path, is_open: bool) -> Result<Self> {
        let found = read::optional(read::bytes(path, MOST_BYTES)).map_err(|error| read::failure(path, &error))?;
        let missing = || {
            let failure = Failure::new(Exit::Run, format!("{}: is missing", path.display()));
            failure.hint("give the points again with --points FILE")
        };
        // A process that was killed before the first point had come has not begun it.
        let mut bytes = found.or(is_open.then(Vec::new)).ok_or_else(missing)?;
        if is_open {
            // A last line without its end was being written.
            let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            bytes.truncate(whole);
        }
        let rows = objects(&bytes, path);
        let rows = rows.map_err(|failure| Failure::new(Exit::Run, failure.to_string()))?;
        Ok(Self { rows, path: path.to_owned(), is_open })
    }

    /// As the text of [`FILE`].
    pub fn to_text(&self) -> String {
        self.rows.iter().map(Row::to_line).collect()
    }

    /// The sha256 of [`List::to_text`], in hexadecimal digits; none where more points may come.
    pub fn digest(&self) -> Option<String> {
        (!self.is_open).then(|| hex(Sha256::new_with_prefix(self.to_text())))
    }
}

/// What a line of JSON says, which stands at `path:line`.
///
/// # Errors
/// If it is neither a point nor asks one to leave ([`Exit::Usage`]).
pub fn said(text: &[u8], path: &Path, line: usize) -> Result<Said, Failure> {
    let fail = |what: String| Failure::new(Exit::Usage, format!("{}:{line}: {what}", path.display()));
    let object: Map<String, Json> = serde_json::from_slice(text).map_err(|error| {
        let failure = fail(format!("is no object of JSON: {}", escaped(&error.to_string())));
        failure.hint(r#"a point is a line such as {"id": 7, "lr": 1e-3, "hidden": "300,100"}"#)
    })?;
    let named = |name: &str| match object.get(name) {
        None | Some(Json::Null) => Ok(None),
        Some(id @ Json::String(_)) => Ok(Some(id.clone())),
        Some(id @ Json::Number(number)) if number.is_i64() || number.is_u64() => Ok(Some(id.clone())),
        Some(other) => Err(fail(format!("`{name}` is {other}, expected a whole number of 64 bits or a string"))),
    };
    if object.contains_key(STOP) {
        let stop = named(STOP)?.filter(|_| object.len() == 1);
        let failure = || fail("does not say which point is to leave, and that alone".to_owned());
        return stop.map(Said::Stop).ok_or_else(|| failure().hint(r#"expected {"stop": ID}"#));
    }
    let cells = object.iter().filter(|(name, _)| *name != ID).filter_map(|(name, value)| match words(value) {
        Ok(text) => text.map(|text| Ok((name.as_str(), text))),
        Err(expected) => Some(Err(fail(format!("`{}` is {value}, {expected}", escaped(name))))),
    });
    let cells = cells.collect::<Result<Vec<_>, _>>()?;
    row(named(ID)?, &cells, path, line).map(Said::Point)
}

/// The points of a text of objects, a line each.
fn objects(bytes: &[u8], path: &Path) -> Result<Vec<Row>, Failure> {
    let mut rows = Vec::new();
    for (before, text) in bytes.split(|byte| *byte == b'\n').enumerate() {
        if text.trim_ascii().is_empty() {
            continue;
        }
        match said(text, path, before + 1)? {
            Said::Point(row) => rows.push(row),
            Said::Stop(_) => {
                let what = format!("{}:{}: asks a point to leave", path.display(), before + 1);
                return Err(Failure::new(Exit::Usage, what).hint("that is for points that come by --points -"));
            }
        }
    }
    Ok(rows)
}

/// The points of a table, whose first line names the settings.
fn table(bytes: &[u8], path: &Path) -> Result<Vec<Row>, Failure> {
    let of_usage = |failure: Failure| {
        let told = Failure::new(Exit::Usage, failure.to_string());
        match failure.advice() {
            Some(hint) => told.hint(hint),
            None => told,
        }
    };
    let source = Source::Bytes(path.to_owned(), bytes.into());
    Table::expect_closed_quotes(&source).map_err(of_usage)?;
    let mut table = Table::open(source, &[]).map_err(of_usage)?;
    if (1..).zip(&table.names).all(|(place, name)| *name == place.to_string()) {
        let failure = Failure::new(Exit::Usage, format!("{}: its first line names no settings", path.display()));
        return Err(failure.hint("expected a line such as `lr,beta2`, then a row a point"));
    }
    let names = table.names.clone();
    let mut rows = Vec::new();
    let mut record = StringRecord::new();
    let (mut line, mut counted) = (1, 0);
    while table.next(&mut record).map_err(of_usage)? {
        // A row is read from where the one before ended: ends of lines may stand before it.
        let begin = record.position().map_or(counted, |position| (position.byte() as usize).min(bytes.len()));
        let ends = bytes[begin..].iter().take_while(|byte| b"\r\n".contains(byte)).count();
        line += bytes[counted..begin + ends].split(|byte| *byte == b'\n').count() - 1;
        counted = begin + ends;
        let mut id = None;
        let mut cells = Vec::new();
        for (name, cell) in names.iter().zip(&record).filter(|(_, cell)| !cell.is_empty()) {
            if name == ID {
                let number = cell.parse::<i64>().ok().filter(|number| number.to_string() == cell);
                id = Some(number.map_or_else(|| Json::String(cell.to_owned()), Json::from));
            } else {
                cells.push((name.as_str(), cell.to_owned()));
            }
        }
        rows.push(row(id, &cells, path, line)?);
    }
    Ok(rows)
}

/// A point of these settings, by key or flag, with the text of their values.
fn row(id: Option<Json>, cells: &[(&str, String)], path: &Path, line: usize) -> Result<Row, Failure> {
    let fail = |what: String| Failure::new(Exit::Usage, format!("{}:{line}: {what}", path.display()));
    let mut row = Row { id, values: Vec::with_capacity(cells.len()), line };
    for (name, text) in cells {
        let unknown = || fail(format!("there is no setting `{}`", shown(Path::new(&escaped(name)))));
        let place = place_of(name).ok_or_else(|| unknown().hint(suggestion(name)))?;
        let Setting { key, lanes, .. } = SETTINGS[place];
        if let Sharing::Sweep(why, hint) = lanes {
            return Err(fail(format!("`{key}` is one for the sweep: {why}")).hint(hint));
        }
        if row.values.iter().any(|(other, _)| *other == place) {
            return Err(fail(format!("`{key}` is given twice")));
        }
        row.values.push((place, single(place, text, &row.origin(path))?));
    }
    row.values.sort_by_key(|(place, _)| *place);
    Ok(row)
}

/// The setting that a key or a flag names, by its place.
fn place_of(name: &str) -> Option<usize> {
    let flag = name.strip_prefix("--").unwrap_or(name).replace('_', "-");
    let by_flag = || SETTINGS.iter().position(|setting| setting.flag == Some(flag.as_str()));
    // Some have no flag; no two that a point may have are called the same.
    let leaf = |setting: &Setting| setting.key.split('.').nth(1).is_some_and(|leaf| leaf.replace('_', "-") == flag);
    let by_leaf = || {
        let mut like = (0..SETTINGS.len()).filter(|place| leaf(&SETTINGS[*place]));
        like.next().filter(|_| like.next().is_none())
    };
    index(name).or_else(by_flag).or_else(by_leaf)
}

/// The text that a flag would have for a value of JSON; none for null.
fn words(value: &Json) -> Result<Option<String>, &'static str> {
    Ok(match value {
        Json::Null => None,
        Json::Bool(on) => Some(on.to_string()),
        Json::Number(number) => Some(number.to_string()),
        Json::String(text) => Some(text.clone()),
        // No widths at all are the linear net.
        Json::Array(items) if items.is_empty() => Some("none".to_owned()),
        Json::Array(items) => {
            let items = items.iter().map(|item| if item.is_array() { Err(()) } else { words(item).map_err(drop) });
            let items = items.collect::<Result<Option<Vec<_>>, ()>>().ok().flatten();
            Some(items.ok_or("expected a list of numbers or of strings")?.join(","))
        }
        Json::Object(_) => return Err("expected a number, a string, true, false or a list"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<(Option<Json>, Vec<String>)>> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let list = List::read(file.path())?;
        let words = |row: &Row| {
            row.values.iter().map(|(place, value)| format!("{}={value}", SETTINGS[*place].key)).collect::<Vec<_>>()
        };
        let rows = list.rows.iter().map(|row| (row.id.clone(), words(row))).collect();
        // What a sweep keeps of them is read back as they are.
        std::fs::write(file.path(), list.to_text()).unwrap();
        let kept = List::kept(file.path(), false).unwrap();
        assert_eq!(kept.digest(), list.digest());
        assert!(kept.rows.iter().zip(&list.rows).all(|(a, b)| a.is_same(b) && a.id == b.id));
        Ok(rows)
    }

    #[test]
    fn a_table_and_objects_are_the_same_points() {
        let table =
            read("id, lr,hidden,--beta2,optim.amsgrad\n7,0.001,\"300,100\",,true\nb,1e-1,none,0.99,\n").unwrap();
        let objects = read(
            "{\"id\": 7, \"lr\": 1e-3, \"hidden\": [300, 100], \"beta2\": null, \"amsgrad\": true}\n\n\
             {\"hidden\": [], \"optim.lr\": \"0.1\", \"id\": \"b\", \"beta2\": 0.99}",
        );
        assert_eq!(table, objects.unwrap());
        let [first, second] = &table[..] else { panic!("{table:?}") };
        assert_eq!((first.0.clone(), second.0.clone()), (Some(7.into()), Some("b".into())));
        assert_eq!(first.1, ["model.hidden=300,100", "optim.lr=0.001", "optim.amsgrad=true"]);
        assert_eq!(second.1, ["model.hidden=none", "optim.lr=0.1", "optim.beta2=0.99"]);
    }

    #[test]
    fn mistakes_are_named_with_their_line_and_what_to_do() {
        for (text, what, hint) in [
            ("lr\n0.1\nfast\n", ":3: `optim.lr` is `fast`, expected a number", ""),
            ("lr,hidden\r\n0.1,\"6,\r\n6\"\r\n\r\n0.1,x\r\n", ":5: `model.hidden` is `x`", ""),
            ("lr,bta2\n0.1,0.9\n", ":2: there is no setting `bta2`", "did you mean `optim.beta2`?"),
            ("0.1,0.2\n0.3,0.4\n", "its first line names no settings", "expected a line such as `lr,beta2`"),
            ("lr,optim.lr\n0.1,0.2\n", ":2: `optim.lr` is given twice", ""),
            ("lr,threads\n0.1,2\n", ":2: `train.threads` is one for the sweep", ""),
            ("lr,beta2\n0.1\n", "has 1 cells, expected 2", ""),
            ("lr\n", "holds no point", "a row a point"),
            ("", "holds no line", ""),
            ("{\"lr\": 0.1}\n{\"lr\": {}}\n", ":2: `lr` is {}, expected a number", ""),
            ("{\"lr\": [[1]]}", ":1: `lr` is [[1]], expected a list", ""),
            ("{\"id\": [1]}", ":1: `id` is [1], expected a whole number of 64 bits or a string", ""),
            ("{\"id\": 1e30}", ":1: `id` is 1e+30, expected a whole number of 64 bits", ""),
            ("{\"stop\": null}", ":1: does not say which point is to leave", "expected {\"stop\": ID}"),
            ("id,lr\n1,0.1\n1,0.2\n", ":3: the point of line 2 is called 1 too", "an id of its own"),
            ("{\"lr\": 0.1", ":1: is no object of JSON", "a point is a line such as"),
            ("{\"stop\": 1}", ":1: asks a point to leave", "--points -"),
        ] {
            let error = read(text).unwrap_err();
            let found = format!("{error:#}");
            assert!(found.contains(what), "{text:?}: {found}");
            let advice = crate::error::failure(&error).and_then(Failure::advice).unwrap_or_default();
            assert!(advice.contains(hint), "{text:?}: {advice}");
            assert_eq!(crate::error::exit_code(&error), Exit::Usage);
        }
    }

    #[test]
    fn numbers_are_kept_to_the_last_digit() {
        for x in [0.1 + 0.2, 1e-60_f64.sqrt(), 1.0 / 3.0, f64::EPSILON] {
            let rows = read(&format!("{{\"lr\": {x:e}}}")).unwrap();
            let text = rows[0].1[0].strip_prefix("optim.lr=").unwrap().to_owned();
            assert_eq!(text.parse::<f64>().unwrap().to_bits(), x.to_bits());
        }
    }

    #[test]
    fn mutated_lines_are_refused_or_read() {
        let whole = br#"{"id": 7, "lr": 1e-3, "hidden": [300, 100], "variant": "sgd momentum=0.9"}"#.to_vec();
        crate::fuzz::run("points", &[whole, br#"{"stop": "a"}"#.to_vec()], |bytes| {
            let path = Path::new("standard input");
            match said(bytes, path, 1) {
                // What is kept of it says the same.
                Ok(Said::Point(row)) => match said(row.to_line().trim_end().as_bytes(), path, 1) {
                    Ok(Said::Point(kept)) => kept.is_same(&row) && kept.id == row.id,
                    _ => false,
                },
                Ok(Said::Stop(_)) => true,
                Err(failure) => failure.exit() == Exit::Usage,
            }
        });
    }
}
