//! Tables in text files: a row a line, cells with commas, semicolons, tabs or bars between them, quoted where they must be (RFC 4180).
//!
//! The first line names the columns. Where it does not, since it holds numbers, columns are called by their place, from `1`. Nothing is
//! guessed: a cell that is no finite number is refused with its line and column, unless the column is declared categorical.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader, Cursor, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use csv::StringRecord;

use super::file;
use super::numbers::Column;
use crate::error::Failure;
use crate::read::Steady;
use crate::text::quoted;

/// What may stand between two cells.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// Bytes of the first line in which the delimiter is looked for.
const SNIFFED: u64 = 1 << 16;

/// What stands in a cell of which the number is not known.
const MISSING: [&str; 9] = ["", "?", "-", "na", "n/a", "nan", "null", "none", "missing"];

/// What to do about a quote.
const QUOTES: &str = "a cell with a quote in it is written as \"5\"\" long\"";

/// Bytes read at a time.
const BUFFER_BYTES: usize = 1 << 16;

/// Where a table is.
#[derive(Clone, Debug)]
pub enum Source {
    /// In a file.
    File(PathBuf),
    /// In memory, with the name that errors call it by.
    Bytes(PathBuf, Arc<[u8]>),
}

impl Source {
    fn path(&self) -> &Path {
        match self {
            Self::File(path) | Self::Bytes(path, _) => path,
        }
    }

    fn reader(&self) -> Result<Box<dyn BufRead>, Failure> {
        self.reader_from(0)
    }

    /// From this byte on.
    fn reader_from(&self, start: u64) -> Result<Box<dyn BufRead>, Failure> {
        Ok(match self {
            Self::File(path) => {
                let mut file = Steady(file::open(path)?.file);
                file.seek(SeekFrom::Start(start)).map_err(|error| file::unreadable(path, &error))?;
                Box::new(BufReader::with_capacity(BUFFER_BYTES, file))
            }
            Self::Bytes(_, bytes) => {
                let mut bytes = Cursor::new(bytes.clone());
                bytes.set_position(start);
                Box::new(bytes)
            }
        })
    }

    /// What stands between its cells, by its first line.
    fn delimiter(&self) -> Result<u8, Failure> {
        let mut line = Vec::new();
        let read = self.reader()?.take(SNIFFED).read_until(b'\n', &mut line);
        read.map_err(|error| file::unreadable(self.path(), &error))?;
        Ok(delimiter(&line))
    }
}

/// A table, row by row.
pub struct Table {
    source: Source,
    /// Names of its columns; one without is called by its place.
    pub names: Vec<String>,
    places: HashMap<String, usize>,
    reader: csv::Reader<Box<dyn BufRead>>,
    /// The first line, where it is a row.
    first: Option<StringRecord>,
    goes_on: bool,
    /// A byte that was asked for the number of its line, and the ends of lines before it: what is asked for next lies behind it.
    counted: Cell<(u64, u64)>,
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table").field("source", &self.source).field("names", &self.names).finish_non_exhaustive()
    }
}

/// Whether a file is called as a table is.
pub fn is_named(path: &Path) -> bool {
    let ending = path.extension().map(std::ffi::OsStr::to_ascii_lowercase);
    ending.is_some_and(|ending| ending == "csv" || ending == "tsv")
}

impl Table {
    /// Opens a table. Its first line is taken for names if none of its cells is a number, or if `expected` are all among them; of numbers
    /// alone only where a column by its place cannot be meant.
    ///
    /// # Errors
    /// If it cannot be read, or has no first line.
    pub fn open(source: Source, expected: &[&str]) -> Result<Self, Failure> {
        let path = source.path().to_owned();
        let reader = csv::ReaderBuilder::new()
            .delimiter(source.delimiter()?)
            .has_headers(false)
            .trim(csv::Trim::All)
            .from_reader(source.reader()?);
        let (names, places, counted) = (Vec::new(), HashMap::new(), Cell::new((0, 0)));
        let mut table = Self { source, names, places, reader, first: None, goes_on: true, counted };
        let mut record = StringRecord::new();
        if !table.next(&mut record)? {
            return Err(file::broken(&path, "holds no line").hint("expected a line of names, then a row a line"));
        }
        let cells: HashSet<&str> = record.iter().collect();
        let names_all = !expected.is_empty() && expected.iter().all(|name| cells.contains(name));
        let by_place = (1..).map(|place: usize| place.to_string());
        let place_of = |name: &str| name.parse().ok().filter(|place: &usize| place.to_string() == name);
        let is_place = |name: &&str| place_of(name).is_some_and(|place| (1..=record.len()).contains(&place));
        // A row may hold the numbers of columns that are called by their places. Names that are numbers follow one another, as those of
        // a data frame without names do; beside words two may by chance.
        let numbers: Vec<&str> = record.iter().filter(|cell| cell.parse::<f64>().is_ok()).collect();
        let follow = |pair: &[&str]| place_of(pair[1]).is_some_and(|next| place_of(pair[0]) == next.checked_sub(1));
        let are_names = numbers.iter().all(|number| place_of(number).is_some())
            && numbers.windows(2).all(follow)
            && (numbers.len() == record.len() || numbers.len() > 2);
        let may_be_row = expected.iter().all(is_place) && !are_names;
        if (names_all && !may_be_row) || !cells.iter().any(|cell| cell.parse::<f64>().is_ok()) {
            let name = |(cell, place): (&str, String)| if cell.is_empty() { place } else { cell.to_owned() };
            table.names = record.iter().zip(by_place).map(name).collect();
        } else {
            table.names = by_place.take(record.len()).collect();
            table.first = Some(record);
        }
        for (place, name) in table.names.iter().enumerate() {
            if table.places.insert(name.clone(), place).is_some() {
                let what = format!("two columns are called `{}`", shortened(name));
                return Err(file::broken(&path, what).hint("give each a name of its own in the first line"));
            }
        }
        Ok(table)
    }

    /// Requires that each quote is closed, and that a cell ends where its quote does: what reads the cells is not so strict, and would take
    /// the rest of the table for one.
    ///
    /// # Errors
    /// The line of the first quote that is not so.
    pub fn expect_closed_quotes(source: &Source) -> Result<(), Failure> {
        #[derive(Clone, Copy, PartialEq)]
        enum In {
            Start,
            Plain,
            Quoted,
            Closed,
        }
        let path = source.path();
        let delimiter = source.delimiter()?;
        let mut reader = source.reader()?;
        let (mut state, mut line, mut opened) = (In::Start, 1_u64, 1);
        loop {
            let buffer = reader.fill_buf().map_err(|error| file::unreadable(path, &error))?;
            let count = buffer.len();
            for &byte in buffer {
                let is_end = byte == delimiter || matches!(byte, b'\n' | b'\r');
                state = match (state, byte) {
                    (In::Start, b'"') => {
                        opened = line;
                        In::Quoted
                    }
                    (In::Quoted, b'"') => In::Closed,
                    (In::Quoted, _) | (In::Closed, b'"') => In::Quoted,
                    (_, _) if is_end => In::Start,
                    (In::Closed, b' ') => In::Closed,
                    (In::Closed, _) => {
                        let what = format!("line {line}: text stands behind a quote that closes");
                        return Err(file::broken(path, what).hint(QUOTES));
                    }
                    // What marks UTF-8 at the beginning of a file is no text.
                    (In::Start, 0xef | 0xbb | 0xbf) if line == 1 => In::Start,
                    (In::Start | In::Plain, _) => In::Plain,
                };
                line += u64::from(byte == b'\n');
            }
            if count == 0 {
                break;
            }
            reader.consume(count);
        }
        if state == In::Quoted {
            let what = format!("line {opened}: a quote is opened and never closed");
            return Err(file::broken(path, what).hint(QUOTES));
        }
        Ok(())
    }

    /// The next row; whether there is one.
    ///
    /// # Errors
    /// If it cannot be read, or has more or fewer cells than the first.
    pub fn next(&mut self, row: &mut StringRecord) -> Result<bool, Failure> {
        if let Some(first) = self.first.take() {
            *row = first;
            return Ok(true);
        }
        let read = self.reader.read_record(row);
        self.goes_on = !matches!(&read, Err(error) if error.is_io_error());
        read.map_err(|error| self.refused(&error))
    }

    /// Whether there may be rows behind one that was refused.
    pub fn goes_on(&self) -> bool {
        self.goes_on
    }

    fn refused(&self, error: &csv::Error) -> Failure {
        let path = self.source.path();
        let line = |position: Option<&csv::Position>| position.map_or(1, |position| self.line_at(position.byte()));
        match error.kind() {
            csv::ErrorKind::Io(error) => file::unreadable(path, error),
            csv::ErrorKind::UnequalLengths { pos, expected_len, len } => {
                let what = format!(
                    "line {} has {len} cells, expected {expected_len} as in the first line",
                    line(pos.as_ref())
                );
                file::broken(path, what).hint("a cell with the delimiter in it must be quoted: \"a, b\"")
            }
            csv::ErrorKind::Utf8 { pos, .. } => {
                let what = format!("line {} is no UTF-8 text", line(pos.as_ref()));
                file::broken(path, what).hint("`iconv -f latin1 -t utf8` makes it, or whatever it is now")
            }
            _ => file::broken(path, error),
        }
    }

    /// The place of a column.
    ///
    /// # Errors
    /// If no column is called so: which there are.
    pub fn place(&self, name: &str) -> Result<usize, Failure> {
        let absent = || format!("has no column `{}`; {}", shortened(name), self.columns());
        self.places.get(name).copied().ok_or_else(|| file::broken(self.source.path(), absent()))
    }

    /// Its columns, in words.
    pub fn columns(&self) -> String {
        /// Names that are told.
        const TOLD: usize = 20;
        let told: Vec<String> = self.names.iter().take(TOLD).map(|name| quoted(&[listed(&shortened(name))])).collect();
        let more = self.names.len().saturating_sub(TOLD);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("its columns are {}{more}", told.join(", "))
    }

    /// A failure of a cell.
    pub fn broken(&self, row: &StringRecord, place: usize, what: &str) -> Failure {
        let line = row.position().map_or(1, |position| self.line_at(position.byte()));
        let name = self.names.get(place).map_or(String::new(), |name| shortened(name));
        file::broken(self.source.path(), format!("line {line}, column `{name}` ({}): {what}", place + 1))
    }

    /// The number, from 1, of the line of a row whose reading began at this byte: there may stand the ends of lines before it. 1 where the
    /// table cannot be read again: what is asked for is the place of an error, which this is none of.
    fn line_at(&self, byte: u64) -> u64 {
        let (start, before) = Some(self.counted.get()).filter(|(start, _)| *start <= byte).unwrap_or_default();
        let found = self.source.reader_from(start).ok().and_then(|reader| line_ends(reader, byte - start).ok());
        let Some([ends, at]) = found else { return 1 };
        self.counted.set((byte, before + ends));
        1 + before + ends + at
    }
}

/// The ends of lines among so many bytes, and those that stand there then.
fn line_ends(mut file: impl BufRead, bytes: u64) -> std::io::Result<[u64; 2]> {
    let mut left = bytes;
    let mut ends = [0; 2];
    let count = |bytes: &[u8]| bytes.split(|byte| *byte == b'\n').count() as u64 - 1;
    loop {
        let buffer = file.fill_buf()?;
        let before = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let behind = buffer[before..].iter().take_while(|byte| b"\r\n".contains(byte)).count();
        ends[0] += count(&buffer[..before]);
        ends[1] += count(&buffer[before..][..behind]);
        left -= before as u64;
        if buffer.is_empty() || before + behind < buffer.len() {
            return Ok(ends);
        }
        let taken = buffer.len();
        file.consume(taken);
    }
}

/// The delimiter of a table with this first line: the one that stands there most often, outside of quotes.
fn delimiter(line: &[u8]) -> u8 {
    let mut counts = [0_usize; DELIMITERS.len()];
    let mut is_quoted = false;
    for byte in line {
        is_quoted ^= *byte == b'"';
        if let Some(which) = DELIMITERS.iter().position(|delimiter| delimiter == byte).filter(|_| !is_quoted) {
            counts[which] += 1;
        }
    }
    let most = counts.iter().max().copied().unwrap_or(0);
    counts.iter().position(|&count| count == most).map_or(b',', |which| DELIMITERS[which])
}

/// The number of a cell.
///
/// # Errors
/// What stands there instead.
pub fn number(cell: &str) -> Result<f64, String> {
    match cell.parse::<f64>() {
        Ok(number) if (number as f32).is_finite() => Ok(number),
        Ok(number) if number.is_finite() => Err(format!("`{cell}` is too large for a 32-bit float")),
        _ if is_missing(cell) => {
            Err(if cell.is_empty() { "is empty".to_owned() } else { format!("is missing (`{cell}`)") })
        }
        _ => Err(format!("`{}` is no number", shortened(cell))),
    }
}

/// Whether a cell says that its value is not known.
pub fn is_missing(cell: &str) -> bool {
    MISSING.contains(&cell.to_ascii_lowercase().as_str())
}

/// A name as a list of columns takes it: quoted where its commas, quotes or brackets would be the list's, or where it is `none`.
pub fn listed(name: &str) -> String {
    if name.contains([',', '"', '\n', '\r']) || name.starts_with('[') || name.eq_ignore_ascii_case("none") {
        format!("\"{}\"", name.replace('"', "\"\""))
    } else {
        name.to_owned()
    }
}

/// A cell as errors cite it.
fn shortened(cell: &str) -> String {
    const MOST: usize = 40;
    if cell.chars().count() <= MOST { cell.to_owned() } else { cell.chars().take(MOST).chain(['…']).collect() }
}

/// Which cells of a row are the inputs of an example.
#[derive(Clone, Debug)]
pub struct Inputs {
    columns: Vec<Column>,
    /// The place of each in the row.
    places: Vec<usize>,
}

impl Inputs {
    /// These columns, wherever they stand in a table.
    ///
    /// # Errors
    /// If one is not there.
    pub fn new(columns: &[Column], table: &Table) -> Result<Self, Failure> {
        let places = columns.iter().map(|column| table.place(&column.name)).collect::<Result<_, _>>()?;
        Ok(Self { columns: columns.to_vec(), places })
    }

    /// Appends the floats of a row, as bytes.
    ///
    /// # Errors
    /// If a cell is no number, or none of the values of its column.
    pub fn append(&self, table: &Table, row: &StringRecord, bytes: &mut Vec<u8>) -> Result<(), Failure> {
        for (column, &place) in self.columns.iter().zip(&self.places) {
            let cell = row.get(place).unwrap_or_default();
            match &column.values {
                None => {
                    let number =
                        number(cell).map_err(|what| table.broken(row, place, &format!("{what}, expected a number")))?;
                    bytes.extend((number as f32).to_le_bytes());
                }
                Some(values) => {
                    let Some(which) = values.iter().position(|value| value == cell) else {
                        let what =
                            format!("`{}` is none of the {} values that are known", shortened(cell), values.len());
                        return Err(table.broken(row, place, &what));
                    };
                    bytes.extend((0..values.len()).flat_map(|value| f32::from(u8::from(value == which)).to_le_bytes()));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str, expected: &[&str]) -> Result<(Vec<String>, Vec<Vec<String>>), Failure> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        std::fs::write(&path, text).unwrap();
        Table::expect_closed_quotes(&Source::File(path.clone()))?;
        let mut table = Table::open(Source::File(path), expected)?;
        let (mut row, mut rows) = (StringRecord::new(), Vec::new());
        while table.next(&mut row)? {
            rows.push(row.iter().map(str::to_owned).collect());
        }
        Ok((table.names, rows))
    }

    #[test]
    fn delimiters_quotes_and_names_are_found() {
        let cells = |text: &str| table(text, &[]).unwrap();
        let expected = (vec!["a".to_owned(), "b c".to_owned()], vec![vec!["1".to_owned(), "x".to_owned()]]);
        for text in
            ["a,b c\n1,x\n", "a;b c\r\n1;x", "a\tb c\n\n1\tx\n", "a|b c\n1|x\n", "\u{feff}\"a\",\"b c\"\n 1 ,\"x\"\n"]
        {
            assert_eq!(cells(text), expected, "{text:?}");
        }
        assert_eq!(cells("5.1,red\n4,blue\n").0, ["1", "2"]);
        assert_eq!(cells("5.1,red\n4,blue\n").1.len(), 2);
        let named_by_numbers = table("0,1,label\n5,6,7\n", &["label"]).unwrap();
        assert_eq!((named_by_numbers.0[0].as_str(), named_by_numbers.1.len()), ("0", 1));
    }

    #[test]
    fn a_row_that_holds_the_number_of_a_column_is_no_line_of_names() {
        let found = |text: &str, expected: &[&str]| {
            let (names, rows) = table(text, expected).unwrap();
            (names.join(","), rows.len())
        };
        for first in ["3,7,2", "5,7,2", "0,3,0"] {
            assert_eq!(found(&format!("{first}\n4,1,5\n"), &["3"]), ("1,2,3".into(), 2), "{first}");
        }
        assert_eq!(found("2,1\n3,4\n", &["1", "2"]), ("1,2".into(), 2));
        for first in ["5,3,red", "2,3,red", "3.5,red,3"] {
            assert_eq!(found(&format!("{first}\n4,1,blue\n"), &["3"]), ("1,2,3".into(), 2), "{first}");
        }
        // Names: of numbers that are no places, or that follow one another.
        assert_eq!(found("0,1,2\n4,1,5\n", &["0"]), ("0,1,2".into(), 1));
        assert_eq!(found("0,1,2\n4,1,5\n", &["2"]), ("0,1,2".into(), 1));
        assert_eq!(found("1,2,3\n4,1,5\n", &["3"]), ("1,2,3".into(), 1));
        assert_eq!(found("id,0,1,2\n4,1,5,6\n", &["2"]), ("id,0,1,2".into(), 1));
        assert_eq!(found("2,1,label\n4,1,5\n", &["label"]), ("2,1,label".into(), 1));
    }

    #[test]
    fn what_is_no_table_is_refused_with_its_line() {
        let message = |text: &str| table(text, &[]).unwrap_err().to_string();
        assert!(message("").contains("holds no line"));
        assert!(
            message("a,b\n1,2\n\n1,2,3\n").contains("line 4 has 3 cells, expected 2"),
            "{}",
            message("a,b\n1,2\n\n1,2,3\n")
        );
        assert!(message("a,b\r\n1,2\r\n\r\n\"1\n2\",2\r\n1\r\n").contains("line 6 has 1 cells"));
        assert!(message("a,b\n1,\"x\n2,y\n").contains("line 2: a quote is opened and never closed"));
        assert!(message("a,b\n1,2\n3,\"x\"y\n").contains("line 3: text stands behind"));
        assert!(table("a,b\n1,\"x \"\"y\"\"\" \n", &[]).unwrap().1[0][1] == "x \"y\"");
        assert_eq!(table(",a\nx,y\n", &[]).unwrap().0, ["1", "a"]);
        assert!(message("a,a\n1,2\n").contains("two columns are called `a`"));
    }

    #[test]
    fn lines_are_told_of_many_rows_one_after_the_other_and_of_earlier_ones() {
        let text = "a,b\n1,2\n\n\n3,4\n\"5\n5\",6\r\n7,8\n";
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        std::fs::write(&path, text).unwrap();
        for source in [Source::Bytes(PathBuf::new(), text.as_bytes().into()), Source::File(path)] {
            let mut table = Table::open(source, &[]).unwrap();
            let (mut row, mut rows) = (StringRecord::new(), Vec::new());
            while table.next(&mut row).unwrap() {
                rows.push(row.clone());
            }
            let lines = |rows: &mut dyn Iterator<Item = &StringRecord>| -> Vec<u64> {
                rows.map(|row| table.line_at(row.position().unwrap().byte())).collect()
            };
            assert_eq!(lines(&mut rows.iter()), [2, 5, 6, 8]);
            assert_eq!(lines(&mut rows.iter().rev()), [8, 6, 5, 2]);
        }
    }

    #[test]
    fn cells_are_finite_numbers() {
        assert_eq!(number("-1.5e3"), Ok(-1500.0));
        for (cell, found) in
            [("", "is empty"), ("NaN", "is missing"), ("1e39", "too large"), ("inf", "no number"), ("1,5", "no number")]
        {
            assert!(number(cell).unwrap_err().contains(found), "{cell}: {}", number(cell).unwrap_err());
        }
    }
}
