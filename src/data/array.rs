//! Pictures from files of arrays: `.npy`, and the images of an IDX file, each raw or gzipped.
//!
//! A header is believed only as far as the file bears it out: a file that is not gzipped must have the length that it promises, and nothing
//! takes memory but the pictures that are asked for. Formats: NumPy's `numpy.lib.format`, versions 1 to 3; <http://yann.lecun.com/exdb/mnist/>.

use std::fmt;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;

use super::npy::cut;
use super::{emnist, gzip, npy};
use crate::picture::{Limits, Picture};
use crate::read::{self, Steady};

/// Where the bytes of an array are.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// In a file.
    File(&'a Path),
    /// In memory.
    Bytes(&'a [u8]),
}

/// An array of pictures, read piece by piece.
pub struct Array<'a> {
    body: Box<dyn BufRead + 'a>,
    element: Element,
    /// Factor on floats: 255 where they lie in 0..=1.
    factor: f64,
    layout: Layout,
    /// Pictures that were read.
    read: u64,
}

impl fmt::Debug for Array<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Array").field("layout", &self.layout).field("read", &self.read).finish_non_exhaustive()
    }
}

/// Numbers of an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Element {
    U8,
    Bool,
    F32,
    F64,
}

impl Element {
    fn bytes(self) -> usize {
        match self {
            Self::U8 | Self::Bool => 1,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// The numbers that some bytes are.
    fn numbers(self, bytes: &[u8]) -> Vec<f64> {
        match self {
            Self::U8 | Self::Bool => bytes.iter().map(|&byte| f64::from(byte)).collect(),
            Self::F32 => bytes.as_chunks().0.iter().map(|&bytes| f64::from(f32::from_le_bytes(bytes))).collect(),
            Self::F64 => bytes.as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes)).collect(),
        }
    }
}

/// How pictures lie in an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Layout {
    count: u64,
    shape: [usize; 3],
    order: Order,
}

/// How the numbers of a picture follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// Channel by channel, row by row.
    Planes,
    /// Row by row, the channels of a pixel side by side.
    Interleaved,
    /// Column by column, as EMNIST's are written.
    Columns,
}

/// Whether a file that begins with these bytes is taken for an array; a gzipped one is.
pub fn is_array(start: &[u8]) -> bool {
    start.starts_with(npy::MAGIC) || start.starts_with(&IDX) || start.starts_with(&gzip::MAGIC)
}

/// Numbers whose channels stand side by side, channel by channel.
pub fn by_channel<T: Copy>(numbers: &[T], channels: usize) -> Vec<T> {
    (0..channels).flat_map(|channel| numbers.iter().skip(channel).step_by(channels).copied()).collect()
}

/// An IDX file of bytes; the number of dimensions follows.
const IDX: [u8; 3] = [0, 0, 8];

/// Bytes of the largest picture that is read, for each pixel of the largest that is allowed.
const MOST_PIXEL_BYTES: u64 = 4;

/// Most pixels of all channels that are read at a time, if there are several pictures.
const MOST_NUMBERS: usize = 1 << 24;

/// Bytes read at a time.
const BUFFER_BYTES: usize = 1 << 16;

impl<'a> Array<'a> {
    /// Reads the header of an array whose pictures are meant for a net that takes this shape, channels, rows and columns, which decides
    /// where an array's own shape leaves it open. Floats are all read once, to know their range.
    ///
    /// # Errors
    /// If it is no such file, or its header, length or floats are not as they must be: what is wrong, to stand behind its name.
    pub fn open(source: Source<'a>, net: [usize; 3], limits: &Limits) -> Result<Self, String> {
        let (mut array, header_bytes) = Self::opened(source, net, limits)?;
        let numbers = array.layout.count.checked_mul(array.layout.shape.iter().product::<usize>() as u64);
        let body = numbers.and_then(|numbers| numbers.checked_mul(array.element.bytes() as u64));
        let Some(expected) = body.and_then(|body| body.checked_add(header_bytes)) else {
            return Err("its header promises more than can be".to_owned());
        };
        if let Some(found) = source.length().map_err(unread)?.filter(|&found| found != expected) {
            return Err(format!("is {found} bytes long, expected {expected} as its header says"));
        }
        if matches!(array.element, Element::F32 | Element::F64) {
            array.factor = array.range(expected - header_bytes)?;
            let factor = array.factor;
            (array, _) = Self::opened(source, net, limits)?;
            array.factor = factor;
        }
        Ok(array)
    }

    /// An array at its first picture, and how many bytes stand before that.
    fn opened(source: Source<'a>, net: [usize; 3], limits: &Limits) -> Result<(Self, u64), String> {
        let mut body = source.reader().map_err(unread)?;
        let mut start = [0; 8];
        body.read_exact(&mut start).map_err(cut)?;
        let (element, layout, header_bytes) = if start.starts_with(npy::MAGIC) {
            npy(&mut body, start[6], net)?
        } else if start.starts_with(&IDX) {
            idx(&mut body, start, if source.is_of_emnist() { Order::Columns } else { Order::Planes })?
        } else {
            return Err("is a gzip file of neither a NumPy array nor IDX images".to_owned());
        };
        let [channels, rows, columns] = layout.shape;
        let pixels = (rows as u64).saturating_mul(columns as u64);
        if layout.count == 0 || pixels == 0 || pixels > limits.pixels {
            let what = format!("holds {} pictures of {rows}x{columns} pixels", layout.count);
            return Err(format!("{what}, expected one or more of 1 to {} pixels", limits.pixels));
        }
        debug_assert!(matches!(channels, 1 | 3), "{channels} channels");
        let (bytes, most) = (pixels * (channels * element.bytes()) as u64, MOST_PIXEL_BYTES * limits.pixels);
        if bytes > most {
            return Err(format!("holds pictures of {bytes} bytes each, expected at most {most}"));
        }
        Ok((Self { body, element, factor: 1.0, layout, read: 0 }, header_bytes))
    }

    /// How many pictures it holds.
    pub fn count(&self) -> u64 {
        self.layout.count
    }

    /// The factor of floats, by their range: they must lie in 0..=255, and where they lie in 0..=1 that is black to white.
    fn range(&mut self, bytes: u64) -> Result<f64, String> {
        let (mut least, mut most) = (f64::INFINITY, f64::NEG_INFINITY);
        let mut buffer = vec![0; BUFFER_BYTES];
        let (mut left, mut before) = (bytes, 0);
        while left > 0 {
            let piece = &mut buffer[..left.min(BUFFER_BYTES as u64) as usize];
            self.body.read_exact(piece).map_err(cut)?;
            let numbers = self.element.numbers(piece);
            if let Some(at) = numbers.iter().position(|number| !number.is_finite()) {
                return Err(format!("number {} is {}, expected 0 to 1 or 0 to 255", before + at, numbers[at]));
            }
            least = numbers.iter().copied().fold(least, f64::min);
            most = numbers.iter().copied().fold(most, f64::max);
            before += numbers.len();
            left -= piece.len() as u64;
        }
        if least < 0.0 || most > 255.0 {
            return Err(format!("holds numbers from {least} to {most}, expected 0 to 1 or 0 to 255"));
        }
        Ok(if most <= 1.0 { 255.0 } else { 1.0 })
    }

    /// The next pictures, at most so many, and of large ones fewer; none at the end.
    ///
    /// # Errors
    /// If the file ends before its last picture, or goes on behind it.
    pub fn next(&mut self, most: usize) -> Result<Vec<Picture>, String> {
        let numbers = self.layout.shape.iter().product::<usize>();
        let most = most.min(MOST_NUMBERS / numbers).max(1);
        let count = (self.layout.count - self.read).min(most as u64) as usize;
        let mut pictures = Vec::with_capacity(count);
        let mut bytes = vec![0; numbers * self.element.bytes()];
        for _ in 0..count {
            self.body.read_exact(&mut bytes).map_err(cut)?;
            pictures.push(self.picture(&bytes));
        }
        self.read += count as u64;
        if self.read == self.layout.count && !self.body.fill_buf().map_err(unread)?.is_empty() {
            return Err("goes on behind the pictures that its header promises".to_owned());
        }
        Ok(pictures)
    }

    fn picture(&self, bytes: &[u8]) -> Picture {
        let [channels, rows, columns] = self.layout.shape;
        let numbers: Vec<u8> = match self.element {
            Element::U8 => bytes.to_vec(),
            Element::Bool => bytes.iter().map(|&byte| if byte == 0 { 0 } else { 255 }).collect(),
            _ => self.element.numbers(bytes).into_iter().map(|number| (number * self.factor).round() as u8).collect(),
        };
        let pixels = match self.layout.order {
            Order::Planes => numbers,
            Order::Interleaved => by_channel(&numbers, channels),
            Order::Columns => {
                let mut upright = vec![0; numbers.len()];
                emnist::turn(&numbers, [rows, columns], &mut upright);
                upright
            }
        };
        Picture { channels, rows, columns, pixels }
    }
}

impl<'a> Source<'a> {
    fn is_of_emnist(self) -> bool {
        let Self::File(path) = self else { return false };
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| emnist::Part::of_file(name).is_some())
    }

    /// Its bytes, or what a gzip file holds.
    fn reader(self) -> io::Result<Box<dyn BufRead + 'a>> {
        let mut raw: Box<dyn BufRead + 'a> = match self {
            Self::File(path) => Box::new(BufReader::with_capacity(BUFFER_BYTES, Steady(read::open(path)?))),
            Self::Bytes(bytes) => Box::new(Cursor::new(bytes)),
        };
        if raw.fill_buf()?.starts_with(&gzip::MAGIC) {
            return Ok(Box::new(BufReader::with_capacity(BUFFER_BYTES, gzip::Reader::new(raw))));
        }
        Ok(raw)
    }

    /// How many bytes it has; none where they are gzipped.
    fn length(self) -> io::Result<Option<u64>> {
        let mut start = Vec::new();
        let length = match self {
            Self::File(path) => {
                let file = read::open(path)?;
                let length = file.metadata()?.len();
                Steady(file).take(2).read_to_end(&mut start)?;
                length
            }
            Self::Bytes(bytes) => {
                start.extend(bytes.iter().take(2));
                bytes.len() as u64
            }
        };
        Ok((start != gzip::MAGIC).then_some(length))
    }
}

#[allow(clippy::needless_pass_by_value)] // as `map_err` gives it
fn unread(error: io::Error) -> String {
    format!("cannot be read: {error}")
}

/// The rest of the header of an IDX file.
fn idx(body: &mut impl Read, start: [u8; 8], order: Order) -> Result<(Element, Layout, u64), String> {
    let number = |bytes: [u8; 4]| u32::from_be_bytes(bytes);
    if start[3] == 1 {
        return Err("is an IDX file of labels, expected images (magic 2051)".to_owned());
    }
    if start[3] != 3 {
        return Err(format!("is an IDX file of {} dimensions, expected 3", start[3]));
    }
    let mut sides = [[0; 4]; 2];
    body.read_exact(sides.as_flattened_mut()).map_err(cut)?;
    let [rows, columns] = sides.map(|side| number(side) as usize);
    let count = u64::from(number([start[4], start[5], start[6], start[7]]));
    Ok((Element::U8, Layout { count, shape: [1, rows, columns], order }, 16))
}

/// The rest of the header of a `.npy` file of this major version, behind the minor one.
fn npy(body: &mut impl Read, major: u8, net: [usize; 3]) -> Result<(Element, Layout, u64), String> {
    let header = npy::Header::rest(body, major)?;
    let element = match header.element.as_str() {
        "|u1" => Element::U8,
        "|b1" => Element::Bool,
        "<f4" => Element::F32,
        "<f8" => Element::F64,
        other => return Err(format!("holds numbers of the type `{other}`, expected uint8, float32 or float64")),
    };
    Ok((element, layout(&header.shape, net)?, header.bytes))
}

/// How pictures lie in an array of this shape, for a net of that one.
///
/// ```text
///     [D], [N, D]         D is the net's number of inputs: channel, row, column
///     [H, W], [N, H, W]   grey
///     [H, W, 3]           one in colour, and so is what has the net's [3, H, W]; many where the net's are grey and [H, 3]
///     [N, H, W, C]        C is 1 or 3
///     [N, C, H, W]        likewise; where both would do, what has the net's shape
/// ```
fn layout(shape: &[u64], net: [usize; 3]) -> Result<Layout, String> {
    let side = |of: u64| usize::try_from(of).unwrap_or(usize::MAX);
    let is_net = |channels: u64, rows: u64, columns: u64| [channels, rows, columns].map(side) == net;
    let is_channels = |of: u64| matches!(of, 1 | 3);
    let found = |count: u64, [channels, rows, columns]: [u64; 3], interleaved| {
        let order = if interleaved { Order::Interleaved } else { Order::Planes };
        Ok(Layout { count, shape: [channels, rows, columns].map(side), order })
    };
    let inputs = net.iter().product::<usize>() as u64;
    match *shape {
        [d] if d == inputs => Ok(Layout { count: 1, shape: net, order: Order::Planes }),
        [n, d] if d == inputs => Ok(Layout { count: n, shape: net, order: Order::Planes }),
        [h, w] => found(1, [1, h, w], false),
        [c, h, w] if c == 3 && is_net(c, h, w) => found(1, [c, h, w], false),
        [n, h, w] if is_net(1, h, w) => found(n, [1, h, w], false),
        [h, w, 3] => found(1, [3, h, w], true),
        [n, h, w] => found(n, [1, h, w], false),
        [n, h, w, c] if is_channels(c) && (!is_channels(h) || is_net(c, h, w)) => found(n, [c, h, w], true),
        [n, c, h, w] if is_channels(c) && (!is_channels(w) || is_net(c, h, w)) => found(n, [c, h, w], false),
        _ => {
            let sides: Vec<String> = shape.iter().map(u64::to_string).collect();
            let [channels, rows, columns] = net;
            Err(format!(
                "has the shape [{}], expected [N, {inputs}], [N, H, W], [N, H, W, C] or [N, C, H, W] for a net of {channels}x{rows}x{columns}",
                sides.join(", ")
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write as _;

    use super::*;
    use crate::fuzz;

    /// A `.npy` file of bytes.
    fn npy(shape: &str, body: &[u8]) -> Vec<u8> {
        let header = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}\n");
        [&b"\x93NUMPY\x01\0"[..], &(header.len() as u16).to_le_bytes(), header.as_bytes(), body].concat()
    }

    fn read(bytes: &[u8], net: [usize; 3]) -> Result<Vec<Picture>, String> {
        let mut array = Array::open(Source::Bytes(bytes), net, &Limits { file_bytes: 1 << 20, pixels: 1 << 12 })?;
        let mut pictures = Vec::new();
        while (pictures.len() as u64) < array.count() {
            pictures.extend(array.next(3)?);
        }
        Ok(pictures)
    }

    #[test]
    fn shapes_say_how_pictures_lie() {
        let body: Vec<u8> = (0..48).collect();
        let of = |shape: &str, net| {
            let pictures = read(&npy(shape, &body), net).unwrap();
            (pictures.len(), pictures[0].shape(), pictures[0].pixels[..3].to_vec())
        };
        assert_eq!(of("(4, 12)", [3, 2, 2]), (4, [3, 2, 2], vec![0, 1, 2]));
        assert_eq!(of("(48,)", [3, 4, 4]), (1, [3, 4, 4], vec![0, 1, 2]));
        assert_eq!(of("(6, 8)", [1, 28, 28]), (1, [1, 6, 8], vec![0, 1, 2]));
        assert_eq!(of("(2, 4, 6)", [1, 28, 28]), (2, [1, 4, 6], vec![0, 1, 2]));
        assert_eq!(of("(4, 4, 3)", [1, 28, 28]), (1, [3, 4, 4], vec![0, 3, 6]));
        assert_eq!(of("(4, 4, 3)", [1, 4, 3]), (4, [1, 4, 3], vec![0, 1, 2]));
        assert_eq!(of("(3, 4, 4)", [3, 4, 4]), (1, [3, 4, 4], vec![0, 1, 2]));
        assert_eq!(of("(3, 4, 4)", [1, 4, 4]), (3, [1, 4, 4], vec![0, 1, 2]));
        assert_eq!(of("(2, 2, 4, 3)", [3, 32, 32]), (2, [3, 2, 4], vec![0, 3, 6]));
        assert_eq!(of("(2, 3, 2, 4)", [3, 32, 32]), (2, [3, 2, 4], vec![0, 1, 2]));
        assert_eq!(of("(2, 3, 8, 1)", [3, 8, 1]), (2, [3, 8, 1], vec![0, 1, 2]));
        assert!(read(&npy("(4, 3, 4, 1)", &body), [3, 32, 32]).is_err());
        assert!(read(&npy("(2, 2, 2, 6)", &body), [3, 32, 32]).is_err());
    }

    #[test]
    fn mutated_arrays_are_refused_or_read() {
        let body = [7; 96];
        let idx = [&[0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 6, 0, 0, 0, 8][..], &body].concat();
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(&idx).unwrap();
        let floats = String::from_utf8_lossy(&npy("(2, 3, 4)", &[])[10..]).replace("|u1", "<f4");
        let floats =
            [&b"\x93NUMPY\x01\0"[..], &(floats.len() as u16).to_le_bytes(), floats.as_bytes(), &[0; 96]].concat();
        let seeds = [npy("(2, 6, 8)", &body), floats, idx, packed.finish().unwrap()];
        assert!(seeds.iter().all(|seed| read(seed, [1, 6, 8]).unwrap().len() == 2));
        fuzz::run("arrays", &seeds, |bytes| read(bytes, [1, 6, 8]).is_ok());
    }
}
