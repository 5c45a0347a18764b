//! What a net that looks at features is asked about: rows of tables and of arrays.

use std::io::{self, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};

use anyhow::Result;
use csv::StringRecord;

use super::judge::Judge;
use super::questions::{Converted, Question};
use crate::data::array::by_channel;
use crate::data::npy::{Element, Header, MAGIC, cut};
use crate::data::numbers::Column;
use crate::data::table::{self, Inputs, Source, Table};
use crate::error::Failure;
use crate::read::{self, Steady};
use crate::text::counted;

/// Most bytes that are read from standard input.
const MOST_BYTES: u64 = 1 << 30;

/// Gives all rows of `inputs` to `each`, at most `most` at a time and in order, until it says that nobody wants more. A row that cannot be
/// read is told where its answer would stand, and those behind it are answered.
///
/// # Errors
/// Of `each`.
pub fn ask(
    inputs: &[PathBuf],
    judge: &Judge,
    most: usize,
    mut each: impl FnMut(Vec<Question>) -> Result<bool>,
) -> Result<()> {
    for path in inputs {
        let mut rows = Rows { path, shape: judge.shape, most, waiting: Vec::new(), index: 0, each: &mut each };
        let outcome = match opened(path) {
            Ok(Asked::Table(source)) => of_table(&judge.table, source, &mut rows)?,
            Ok(Asked::Array(file)) => of_array(file, &mut rows)?,
            Err(error) => Err(Stop::Unread(format!("cannot be read: {error}"))),
        };
        let goes_on = match outcome {
            Ok(()) => rows.flush()?,
            Err(Stop::Unwanted) => false,
            Err(Stop::Unread(why)) => {
                rows.flush()? && each(vec![Question { path: path.clone(), index: None, picture: Err(why) }])?
            }
        };
        if !goes_on {
            break;
        }
    }
    Ok(())
}

/// What an input is.
enum Asked {
    Table(Source),
    Array(Box<dyn Read>),
}

fn opened(path: &Path) -> io::Result<Asked> {
    if path == Path::new("-") {
        let mut bytes = Vec::new();
        Steady(io::stdin().lock()).take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MOST_BYTES {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("is longer than {MOST_BYTES} bytes")));
        }
        return Ok(if bytes.starts_with(MAGIC) {
            Asked::Array(Box::new(Cursor::new(bytes)))
        } else {
            Asked::Table(Source::Bytes(path.to_owned(), bytes.into()))
        });
    }
    if table::is_named(path) {
        return Ok(Asked::Table(Source::File(path.to_owned())));
    }
    Ok(Asked::Array(Box::new(BufReader::new(Steady(read::open(path)?)))))
}

/// Why no further row of a file is asked about.
enum Stop {
    /// It cannot be read.
    Unread(String),
    /// Nobody wants more.
    Unwanted,
}

/// Rows of a file that wait to be answered.
struct Rows<'a, F> {
    path: &'a Path,
    shape: [usize; 3],
    most: usize,
    waiting: Vec<Question>,
    index: u64,
    each: &'a mut F,
}

impl<F: FnMut(Vec<Question>) -> Result<bool>> Rows<'_, F> {
    /// Adds the bytes of a row, or why there are none; whether more are wanted.
    fn push(&mut self, pixels: Result<Vec<u8>, String>) -> Result<bool> {
        let picture = pixels.map(|pixels| Converted { from: self.shape, inverted: false, pixels });
        self.waiting.push(Question { path: self.path.to_owned(), index: Some(self.index), picture });
        self.index += 1;
        if self.waiting.len() < self.most { Ok(true) } else { self.flush() }
    }

    fn flush(&mut self) -> Result<bool> {
        let waiting = std::mem::take(&mut self.waiting);
        if waiting.is_empty() { Ok(true) } else { (self.each)(waiting) }
    }
}

fn of_table<F>(columns: &[Column], source: Source, rows: &mut Rows<'_, F>) -> Result<Result<(), Stop>>
where
    F: FnMut(Vec<Question>) -> Result<bool>,
{
    if columns.is_empty() {
        let why = "is a table, and the net was trained on arrays, whose features have no names: give a .npy file";
        return Ok(Err(Stop::Unread(why.to_owned())));
    }
    let path = rows.path.display().to_string();
    // Answers and warnings name the file themselves.
    let why = |failure: &Failure| {
        let what = failure.to_string();
        what.strip_prefix(&format!("{path}: ")).unwrap_or(&what).to_owned()
    };
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    let opened = Table::expect_closed_quotes(&source)
        .and_then(|()| Table::open(source, &names))
        .and_then(|table| Ok((Inputs::new(columns, &table)?, table)));
    let (inputs, mut table) = match opened {
        Ok(opened) => opened,
        Err(failure) => return Ok(Err(Stop::Unread(why(&failure)))),
    };
    let mut row = StringRecord::new();
    loop {
        let mut bytes = Vec::new();
        let read = match table.next(&mut row) {
            Ok(false) => return Ok(Ok(())),
            Ok(true) => inputs.append(&table, &row, &mut bytes),
            Err(failure) if table.goes_on() => Err(failure),
            Err(failure) => return Ok(Err(Stop::Unread(why(&failure)))),
        };
        if !rows.push(read.map(|()| bytes).map_err(|failure| why(&failure)))? {
            return Ok(Err(Stop::Unwanted));
        }
    }
}

fn of_array<F>(mut file: Box<dyn Read>, rows: &mut Rows<'_, F>) -> Result<Result<(), Stop>>
where
    F: FnMut(Vec<Question>) -> Result<bool>,
{
    let unread = |why: String| Ok(Err(Stop::Unread(why)));
    let inputs = rows.shape.iter().product::<usize>();
    let header = match Header::read(&mut file) {
        Ok(header) => header,
        Err(why) => return unread(format!("{why}, and the net looks at features: give a .csv table or a .npy array")),
    };
    let Some(element) = Element::named(&header.element).filter(|element| element.is_number()) else {
        return unread(format!("holds elements of the type `{}`, expected numbers", header.element));
    };
    let count = match header.shape.split_first() {
        Some((&count, sides))
            if sides.iter().try_fold(1_u64, |all, &side| all.checked_mul(side)) == Some(inputs as u64) =>
        {
            count
        }
        // One example by itself.
        _ if header.elements() == Some(inputs as u64) => 1,
        _ => return unread(format!("has the shape {}, expected [N, {inputs}]", header.sides())),
    };
    // As arrays that are trained on lie.
    let net = rows.shape.map(|side| side as u64);
    let interleaved = net[0] == 3 && matches!(*header.shape, [_, h, w, c] if [c, h, w] == net);
    let mut bytes = vec![0; inputs * element.bytes()];
    for index in 0..count {
        if let Err(error) = file.read_exact(&mut bytes) {
            return unread(cut(error));
        }
        let numbers = bytes.chunks_exact(element.bytes()).map(|bytes| element.number(bytes).unwrap_or(f64::NAN) as f32);
        let mut numbers: Vec<f32> = numbers.collect();
        if interleaved {
            numbers = by_channel(&numbers, 3);
        }
        let row = match numbers.iter().position(|number| !number.is_finite()) {
            Some(place) => Err(format!("number {place} of row {index} is no finite 32-bit float")),
            None => Ok(numbers.into_iter().flat_map(f32::to_le_bytes).collect()),
        };
        if !rows.push(row)? {
            return Ok(Err(Stop::Unwanted));
        }
    }
    match file.read(&mut [0]) {
        Ok(0) => Ok(Ok(())),
        Ok(_) => unread(format!("goes on behind its {}", counted(count, "row"))),
        Err(error) => unread(cut(error)),
    }
}
