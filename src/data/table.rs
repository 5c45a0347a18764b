//! Tables in text files: a row a line, cells with commas, semicolons, tabs or bars between them, quoted where they must be (RFC 4180).
//!
//! The first line names the columns. Where it does not, since it holds numbers, columns are called by their place, from `1`. Nothing is
//! guessed: a cell that is no finite number is refused with its line and column, unless the column is declared categorical.

use std::fs::File;
use std::io::{BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};

use anyhow::Result;
use csv::StringRecord;

use super::file;
use super::numbers::Column;
use crate::error::Failure;
use crate::read::{self, Steady};
use crate::text::quoted;

/// What may stand between two cells.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// Bytes of the first line in which the delimiter is looked for.
const SNIFFED: u64 = 1 << 16;

/// What stands in a cell of which the number is not known.
const MISSING: [&str; 9] = ["", "?", "-", "na", "n/a", "nan", "null", "none", "missing"];

/// Bytes read at a time.
const BUFFER_BYTES: usize = 1 << 16;

/// A table, row by row.
pub struct Table {
    path: PathBuf,
    /// Names of its columns.
    pub names: Vec<String>,
    reader: csv::Reader<BufReader<Steady<File>>>,
    /// The first line, where it is a row.
    first: Option<StringRecord>,
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table").field("path", &self.path).field("names", &self.names).finish_non_exhaustive()
    }
}

/// Whether a file is called as a table is.
pub fn is_named(path: &Path) -> bool {
    let ending = path.extension().map(std::ffi::OsStr::to_ascii_lowercase);
    ending.is_some_and(|ending| ending == "csv" || ending == "tsv")
}

impl Table {
    /// Opens a table. Its first line is taken for names if `expected` are all among its cells, or none of these is a number.
    ///
    /// # Errors
    /// If it cannot be read, or has no first line.
    pub fn open(path: &Path, expected: &[&str]) -> Result<Self, Failure> {
        let opened = file::open(path)?;
        let mut start = BufReader::with_capacity(BUFFER_BYTES, Steady(opened.file));
        let mut line = Vec::new();
        let sniffed = start.by_ref().take(SNIFFED).read_until(b'\n', &mut line);
        sniffed.map_err(|error| file::unreadable(path, &error))?;
        let delimiter = delimiter(&line);
        let opened = file::open(path)?;
        let reader = BufReader::with_capacity(BUFFER_BYTES, Steady(opened.file));
        let reader =
            csv::ReaderBuilder::new().delimiter(delimiter).has_headers(false).trim(csv::Trim::All).from_reader(reader);
        let mut table = Self { path: path.to_owned(), names: Vec::new(), reader, first: None };
        let mut record = StringRecord::new();
        if !table.next(&mut record)? {
            return Err(file::broken(path, "holds no line").hint("expected a line of names, then a row a line"));
        }
        let cells: Vec<String> = record.iter().map(str::to_owned).collect();
        let names_all = !expected.is_empty() && expected.iter().all(|name| cells.iter().any(|cell| cell == name));
        if names_all || !cells.iter().any(|cell| cell.parse::<f64>().is_ok()) {
            table.names = cells;
            if let Some(twice) =
                table.names.iter().enumerate().find(|(place, name)| table.names[..*place].contains(name))
            {
                let what = format!("two columns are called `{}`", twice.1);
                return Err(file::broken(path, what).hint("give each a name of its own in the first line"));
            }
        } else {
            table.names = (1..=cells.len()).map(|place| place.to_string()).collect();
            table.first = Some(record);
        }
        Ok(table)
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
        self.reader.read_record(row).map_err(|error| self.refused(&error))
    }

    fn refused(&self, error: &csv::Error) -> Failure {
        let path = &self.path;
        let line = |position: Option<&csv::Position>| position.map_or(1, |position| line_at(path, position.byte()));
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
        let place = self.names.iter().position(|other| other == name);
        place.ok_or_else(|| file::broken(&self.path, format!("has no column `{name}`; {}", self.columns())))
    }

    /// Its columns, in words.
    pub fn columns(&self) -> String {
        /// Names that are told.
        const TOLD: usize = 20;
        let told: Vec<String> = self.names.iter().take(TOLD).cloned().collect();
        let more = self.names.len().saturating_sub(TOLD);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("its columns are {}{more}", quoted(&told).replace(' ', ", "))
    }

    /// A failure of a cell.
    pub fn broken(&self, row: &StringRecord, place: usize, what: &str) -> Failure {
        let line = row.position().map_or(1, |position| line_at(&self.path, position.byte()));
        let name = self.names.get(place).map_or("", String::as_str);
        file::broken(&self.path, format!("line {line}, column `{name}` ({}): {what}", place + 1))
    }
}

/// The number, from 1, of the line of a row whose reading began at a byte of a file: there may stand the ends of lines before it.
fn line_at(path: &Path, byte: u64) -> u64 {
    let count = || -> std::io::Result<u64> {
        let mut file = BufReader::with_capacity(BUFFER_BYTES, Steady(read::open(path)?));
        let mut lines = 1;
        let mut left = byte;
        loop {
            let buffer = file.fill_buf()?;
            let before = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let ends = buffer[before..].iter().take_while(|byte| b"\r\n".contains(byte)).count();
            lines += buffer[..before + ends].split(|byte| *byte == b'\n').count() as u64 - 1;
            left -= before as u64;
            if buffer.is_empty() || before + ends < buffer.len() {
                return Ok(lines);
            }
            let taken = buffer.len();
            file.consume(taken);
        }
    };
    // What is asked for is the place of an error: that it is not known is no other.
    count().unwrap_or(1)
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
        _ if MISSING.contains(&cell.to_ascii_lowercase().as_str()) => {
            Err(if cell.is_empty() { "is empty".to_owned() } else { format!("is missing (`{cell}`)") })
        }
        _ => Err(format!("`{}` is no number", shortened(cell))),
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
        let mut table = Table::open(&path, expected)?;
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
    fn what_is_no_table_is_refused_with_its_line() {
        let message = |text: &str| table(text, &[]).unwrap_err().to_string();
        assert!(message("").contains("holds no line"));
        assert!(
            message("a,b\n1,2\n\n1,2,3\n").contains("line 4 has 3 cells, expected 2"),
            "{}",
            message("a,b\n1,2\n\n1,2,3\n")
        );
        assert!(message("a,b\r\n1,2\r\n\r\n\"1\n2\",2\r\n1\r\n").contains("line 6 has 1 cells"));
        assert!(message("a,a\n1,2\n").contains("two columns are called `a`"));
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
