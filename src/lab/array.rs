//! Arrays of numbers as users have them: NumPy's `.npy`, or text with a row a line.
//!
//! In text numbers are parted by commas, semicolons, tabs, bars or blanks; what follows a `#` is a remark. A first line without any number
//! is one of names, and is left out. A number that is not finite is refused.

use std::io::Read as _;
use std::path::Path;

use crate::data::npy::{Element, Header, MAGIC};
use crate::error::{Exit, Failure, escaped};
use crate::read;

/// A larger file is another.
const MOST_BYTES: u64 = 1 << 31;

/// The path of standard input.
pub const STDIN: &str = "-";

/// Numbers in rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// What errors call it.
    pub name: String,
    /// Sides, the slowest first; none of a lone number.
    pub shape: Vec<usize>,
    /// Row after row.
    pub values: Vec<f64>,
}

impl Array {
    /// Reads a file, or standard input where it is called `-`.
    ///
    /// # Errors
    /// If it cannot be read, holds no numbers, or one that is not finite ([`Exit::Data`]).
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let is_stdin = path.as_os_str() == STDIN;
        let name = if is_stdin { "standard input".to_owned() } else { path.display().to_string() };
        let bytes = if is_stdin {
            let mut bytes = Vec::new();
            read::Steady(std::io::stdin().lock()).take(MOST_BYTES).read_to_end(&mut bytes).map(|_| bytes)
        } else {
            read::bytes(path, MOST_BYTES)
        };
        let bytes = bytes.map_err(|error| broken(&name, &format!("cannot be read: {error}")))?;
        Self::of(name, &bytes)
    }

    /// From the content of a file.
    ///
    /// # Errors
    /// As [`Array::read`].
    pub fn of(name: String, bytes: &[u8]) -> Result<Self, Failure> {
        let (shape, values) =
            if bytes.starts_with(MAGIC) { numpy(bytes) } else { text(bytes) }.map_err(|what| broken(&name, &what))?;
        if values.is_empty() {
            return Err(broken(&name, "holds no numbers"));
        }
        if let Some(place) = values.iter().position(|value| !value.is_finite()) {
            return Err(broken(&name, &format!("number {} is {}, expected a finite one", place + 1, values[place])));
        }
        Ok(Self { name, shape, values })
    }

    /// Its shape as Python writes it.
    pub fn sides(&self) -> String {
        format!("{:?}", self.shape)
    }
}

fn broken(name: &str, what: &str) -> Failure {
    Failure::new(Exit::Data, format!("{name}: {what}"))
}

type Numbers = (Vec<usize>, Vec<f64>);

fn numpy(bytes: &[u8]) -> Result<Numbers, String> {
    let header = Header::read(&mut &bytes[..])?;
    let element = Element::named(&header.element).filter(|element| element.is_number());
    let element =
        element.ok_or_else(|| format!("holds `{}`, expected numbers, such as `<f8`", escaped(&header.element)))?;
    let body = usize::try_from(header.bytes).ok().and_then(|start| bytes.get(start..)).unwrap_or_default();
    let expected = header.elements().and_then(|count| count.checked_mul(element.bytes() as u64));
    if expected != Some(body.len() as u64) {
        return Err(format!(
            "has {} bytes of numbers, which is not what its shape {} takes",
            body.len(),
            header.sides()
        ));
    }
    let values = body.chunks_exact(element.bytes()).filter_map(|bytes| element.number(bytes)).collect();
    Ok((header.shape.iter().map(|&side| side as usize).collect(), values))
}

fn text(bytes: &[u8]) -> Result<Numbers, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "is neither a NumPy array nor text".to_owned())?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut rows: Vec<(usize, Vec<f64>)> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let cells = cells(line.split('#').next().unwrap_or_default());
        if cells.is_empty() {
            continue;
        }
        let read: Vec<Option<f64>> = cells.iter().map(|cell| cell.parse().ok()).collect();
        match read.iter().position(Option::is_none) {
            // A line of names.
            Some(_) if rows.is_empty() && number == 1 && read.iter().all(Option::is_none) => continue,
            Some(place) => {
                let cell: String = cells[place].chars().take(40).collect();
                return Err(format!("line {number}, column {}: `{}` is no number", place + 1, escaped(&cell)));
            }
            None => rows.push((number, read.into_iter().flatten().collect())),
        }
        let ((first, of_first), (_, own)) = (&rows[0], &rows[rows.len() - 1]);
        if own.len() != of_first.len() {
            return Err(format!("line {number} has {} numbers, and line {first} has {}", own.len(), of_first.len()));
        }
    }
    let columns = rows.first().map_or(0, |(_, row)| row.len());
    Ok((vec![rows.len(), columns], rows.into_iter().flat_map(|(_, row)| row).collect()))
}

/// What stands between delimiters, of which blanks are one where there is no other.
fn cells(line: &str) -> Vec<&str> {
    let line = line.trim();
    match line.find([',', ';', '\t', '|']).map(|place| line.as_bytes()[place]) {
        _ if line.is_empty() => Vec::new(),
        Some(delimiter) => line.split(char::from(delimiter)).map(str::trim).collect(),
        None => line.split_whitespace().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> Result<Numbers, String> {
        Array::of("a".into(), bytes).map(|array| (array.shape, array.values)).map_err(|failure| failure.to_string())
    }

    #[test]
    fn rows_of_text_are_read_whatever_parts_them() {
        let expected = Ok((vec![2, 2], vec![1.0, -2e-3, 0.0, 4.0]));
        for text in [
            "1,-2e-3\n0,4\n",
            "a,b\r\n1,-2e-3\r\n0,4",
            "# x\n1 -2e-3\n\n0   4\n",
            "1;-2e-3\n0; 4",
            "\u{feff}1\t-0.002\n0\t4",
        ] {
            assert_eq!(of(text.as_bytes()), expected, "{text:?}");
        }
        assert_eq!(of(b"3\n"), Ok((vec![1, 1], vec![3.0])));
    }

    #[test]
    fn what_is_broken_is_told_with_its_place() {
        for (bytes, words) in [
            (&b""[..], "holds no numbers"),
            (b"\n# nothing\n", "holds no numbers"),
            (b"1,2\n3,x", "line 2, column 2: `x` is no number"),
            (b"1,2\n3\n", "line 2 has 1 numbers, and line 1 has 2"),
            (b"1,\n", "column 2: `` is no number"),
            (b"1,nan\n", "number 2 is NaN"),
            (b"a,1\n", "line 1, column 1"),
            (b"\xff\xfe1", "neither a NumPy array nor text"),
            (b"\x93NUMPY\x01\x00", "ends before"),
        ] {
            let what = of(bytes).unwrap_err();
            assert!(what.contains(words), "{what}");
        }
    }
}
