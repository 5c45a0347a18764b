//! NumPy's arrays in files, `.npy` (NEP 1, `numpy.lib.format` versions 1 to 3): the header, and numbers and words of all its plain types.
//!
//! A header is believed only as far as the file bears it out; nothing takes memory before the bytes are there.

use std::io::{self, Read};

/// First bytes of such a file.
pub const MAGIC: &[u8] = b"\x93NUMPY";

/// Longest header, as NumPy writes it for anything that is not a record.
const MOST_HEADER: usize = 1 << 16;

/// What stands before the numbers of an array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Type of an element as NumPy writes it, such as `<f4`.
    pub element: String,
    /// Sides, the slowest first.
    pub shape: Vec<u64>,
    /// Bytes that magic and header took.
    pub bytes: u64,
}

/// Elements of an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// Truth values, a byte each.
    Bool,
    /// Whole numbers without sign, of so many bytes.
    Unsigned(usize),
    /// Whole numbers, of so many bytes.
    Signed(usize),
    /// Floats of 4 or 8 bytes.
    Float(usize),
    /// So many letters of UTF-32.
    Text(usize),
}

impl Element {
    /// The one of this name; none of one that is not known, is big-endian or holds several numbers.
    pub fn named(name: &str) -> Option<Self> {
        let (kind, bytes) = name.split_at_checked(2)?;
        let bytes: usize = bytes.parse().ok()?;
        match (kind, bytes) {
            ("|b", 1) => Some(Self::Bool),
            ("|u", 1) | ("<u", 2 | 4 | 8) => Some(Self::Unsigned(bytes)),
            ("|i", 1) | ("<i", 2 | 4 | 8) => Some(Self::Signed(bytes)),
            ("<f", 4 | 8) => Some(Self::Float(bytes)),
            ("<U", 1..=1024) => Some(Self::Text(bytes)),
            _ => None,
        }
    }

    /// Whether it is a number and no text.
    pub fn is_number(self) -> bool {
        !matches!(self, Self::Text(_))
    }

    /// Bytes of an element.
    pub fn bytes(self) -> usize {
        match self {
            Self::Bool => 1,
            Self::Unsigned(bytes) | Self::Signed(bytes) | Self::Float(bytes) => bytes,
            Self::Text(letters) => 4 * letters,
        }
    }

    /// The number that some bytes are; none of text.
    pub fn number(self, bytes: &[u8]) -> Option<f64> {
        let filled = |with: u8| {
            let mut all = [with; 8];
            all[..bytes.len()].copy_from_slice(bytes);
            all
        };
        match self {
            Self::Bool => Some(f64::from(u8::from(bytes[0] != 0))),
            Self::Unsigned(_) => Some(u64::from_le_bytes(filled(0)) as f64),
            Self::Signed(_) => {
                let sign = if bytes[bytes.len() - 1] & 0x80 == 0 { 0 } else { 0xff };
                Some(i64::from_le_bytes(filled(sign)) as f64)
            }
            Self::Float(4) => Some(f64::from(f32::from_le_bytes(*bytes.first_chunk()?))),
            Self::Float(_) => Some(f64::from_le_bytes(*bytes.first_chunk()?)),
            Self::Text(_) => None,
        }
    }

    /// What some bytes are as a word: text as it is, whole numbers in digits; none of other numbers.
    pub fn word(self, bytes: &[u8]) -> Option<String> {
        match self {
            Self::Text(_) => {
                let letters = bytes.as_chunks().0.iter().map(|&letter| u32::from_le_bytes(letter));
                letters.take_while(|&letter| letter != 0).map(char::from_u32).collect()
            }
            Self::Signed(8) => Some(i64::from_le_bytes(*bytes.first_chunk()?).to_string()),
            Self::Unsigned(8) => Some(u64::from_le_bytes(*bytes.first_chunk()?).to_string()),
            _ => {
                let number = self.number(bytes).filter(|number| number.fract() == 0.0 && number.abs() < 1e15)?;
                // 0 and −0 are one.
                Some((number as i64).to_string())
            }
        }
    }
}

impl Header {
    /// Reads magic and header.
    ///
    /// # Errors
    /// If it is no such file, or in Fortran's order: what is wrong, to stand behind its name.
    pub fn read(file: &mut impl Read) -> Result<Self, String> {
        let mut start = [0; 8];
        file.read_exact(&mut start).map_err(cut)?;
        if !start.starts_with(MAGIC) {
            return Err("is no NumPy array".to_owned());
        }
        Self::rest(file, start[6])
    }

    /// Reads the header behind magic and version, of which this is the major one.
    ///
    /// # Errors
    /// As [`Header::read`].
    pub fn rest(file: &mut impl Read, major: u8) -> Result<Self, String> {
        let mut length = [0; 4];
        let length_bytes = if major == 1 { 2 } else { 4 };
        file.read_exact(&mut length[..length_bytes]).map_err(cut)?;
        let length = u32::from_le_bytes(length) as usize;
        if !(1..=3).contains(&major) || length > MOST_HEADER {
            return Err(format!("is a NumPy file of version {major} with a header of {length} bytes, expected 1 to 3"));
        }
        let mut header = vec![0; length];
        file.read_exact(&mut header).map_err(cut)?;
        let header = String::from_utf8_lossy(&header);
        let value = |key: &str| header.split_once(&format!("'{key}':")).map(|(_, rest)| rest.trim_start());
        let element = value("descr").and_then(|rest| rest.strip_prefix('\'')?.split('\'').next());
        let element = element.ok_or("has no type of its numbers in its header")?.to_owned();
        let sides = value("shape").and_then(|rest| rest.strip_prefix('(')?.split_once(')')).map(|(sides, _)| sides);
        let sides = sides.map(|sides| sides.split(',').map(str::trim).filter(|side| !side.is_empty()));
        let sides: Option<Vec<u64>> = sides.and_then(|sides| sides.map(|side| side.parse().ok()).collect());
        let shape = sides.ok_or("has no shape in its header")?;
        // The order of one side is either.
        let is_plain = value("fortran_order").is_some_and(|rest| rest.starts_with("False"));
        if !is_plain && shape.iter().filter(|&&side| side > 1).count() > 1 {
            return Err("is in Fortran's order, expected C's: np.ascontiguousarray(x) makes it".to_owned());
        }
        Ok(Self { element, shape, bytes: (8 + length_bytes + length) as u64 })
    }

    /// Elements of the array; none where they are more than can be.
    pub fn elements(&self) -> Option<u64> {
        self.shape.iter().try_fold(1_u64, |product, &side| product.checked_mul(side))
    }

    /// Its shape as Python writes it.
    pub fn sides(&self) -> String {
        let sides: Vec<String> = self.shape.iter().map(u64::to_string).collect();
        format!("[{}]", sides.join(", "))
    }
}

/// A file that ends too soon, or cannot be read.
#[allow(clippy::needless_pass_by_value)] // as `map_err` gives it
pub fn cut(error: io::Error) -> String {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return "ends before what its header promises".to_owned();
    }
    format!("cannot be read: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_numbers_and_words() {
        let number = |name: &str, bytes: &[u8]| Element::named(name).unwrap().number(bytes);
        assert_eq!(number("<i8", &(-3_i64).to_le_bytes()), Some(-3.0));
        assert_eq!(number("<i2", &(-3_i16).to_le_bytes()), Some(-3.0));
        assert_eq!(number("|u1", &[200]), Some(200.0));
        assert_eq!(number("<f4", &1.5_f32.to_le_bytes()), Some(1.5));
        assert_eq!(number("|b1", &[1]), Some(1.0));
        let word = |name: &str, bytes: &[u8]| Element::named(name).unwrap().word(bytes);
        assert_eq!(word("<f8", &7_f64.to_le_bytes()), Some("7".into()));
        assert_eq!(word("<f8", &7.5_f64.to_le_bytes()), None);
        assert_eq!(word("<i8", &i64::MAX.to_le_bytes()), Some(i64::MAX.to_string()));
        assert_eq!(word("<U3", b"\xe9\0\0\0b\0\0\0\0\0\0\0"), Some("éb".into()));
        assert_eq!(word("<U1", &[0, 0, 0x11, 0]), None);
        for name in [">f4", "<f2", "|O", "<c8", "", "<", "<f", "<U0", "é", "é4"] {
            assert_eq!(Element::named(name), None, "{name}");
        }
    }
}
