//! An image seen through a map: each pixel of the new image is read where it lies in the old one, between its four neighbours.
//!
//! ```text
//!     new(p) = old(c + A·(p − c) + t + d(p)),   c the centre, d a field of displacements
//! ```
//!
//! with bilinear interpolation. The four neighbours of a place, of a byte each, lie packed in one word, so that a pixel is one read.

use super::field::{Coefficients, Field};
use super::simd::vectorised;
use crate::kernel::Channel;

/// Pixels of a row that are computed side by side.
pub const LANES: usize = 16;

/// A number for each of them.
pub type Chunk = [f32; LANES];

/// Size of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageSize {
    /// Channels, which lie one after the other.
    pub channels: usize,
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub columns: usize,
}

impl ImageSize {
    /// Words of a channel's neighbours: those of a row and a column more on each side.
    fn words(self) -> usize {
        (self.rows + 2) * (self.columns + 2)
    }
}

/// Where the new image's pixels lie in the old one, by column x and row y from the centre.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Map {
    /// A, `[[xx, xy], [yx, yy]]`.
    pub matrix: [[f32; 2]; 2],
    /// t, `[x, y]`.
    pub offset: [f32; 2],
}

/// What is seen beyond the border.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Border {
    /// Pixels of value 0.
    Black,
    /// The image mirrored at its outermost pixels.
    Reflected,
}

/// Room for what an image takes on its way.
#[derive(Debug, Default)]
pub struct Room {
    /// The neighbours of each place, `[channels, rows + 2, columns + 2]`.
    neighbours: Vec<u32>,
    /// Coefficients of the field, down and across.
    pub coefficients: Coefficients,
    /// A row of the grid, down and across.
    lines: Coefficients,
}

impl Room {
    /// Makes room for images of this size; after the first time this takes no memory.
    pub fn fit(&mut self, size: ImageSize, field: Option<&Field>) {
        self.neighbours.resize(size.channels * size.words(), 0);
        let (points, across) = field.map_or((0, 0), |field| (field.points(), field.across()));
        self.coefficients.iter_mut().for_each(|numbers| numbers.resize(points, 0.0));
        self.lines.iter_mut().for_each(|line| line.resize(across, 0.0));
    }

    /// Packs the neighbours of each place of an image, u8 `[channels, rows, columns]`.
    #[inline(always)]
    fn pack(&mut self, size: ImageSize, pixels: &[u8]) {
        let ImageSize { rows, columns, .. } = size;
        let planes = pixels.chunks_exact(rows * columns).zip(self.neighbours.chunks_exact_mut(size.words()));
        for (pixels, words) in planes {
            words.fill(0);
            for (row, pixels) in pixels.chunks_exact(columns).enumerate() {
                // The row is the lower one of places above it and the upper one of those below.
                let (above, below) = words[row * (columns + 2)..][..2 * (columns + 2)].split_at_mut(columns + 2);
                for (word, &pixel) in above[1..].iter_mut().zip(pixels) {
                    *word |= u32::from(pixel) << 16;
                }
                for (word, &pixel) in above.iter_mut().zip(pixels) {
                    *word |= u32::from(pixel) << 24;
                }
                for (word, &pixel) in below[1..].iter_mut().zip(pixels) {
                    *word |= u32::from(pixel);
                }
                for (word, &pixel) in below.iter_mut().zip(pixels) {
                    *word |= u32::from(pixel) << 8;
                }
            }
        }
    }
}

/// How an image is seen.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// Its size.
    pub size: ImageSize,
    /// The map.
    pub map: Map,
    /// The field whose coefficients lie in the room, if there is one.
    pub field: Option<&'a Field>,
    /// What lies beyond the border.
    pub border: Border,
    /// What pixels become.
    pub channels: &'a [Channel],
}

vectorised! {
    /// The image `pixels` u8 `[channels, rows, columns]` as it is seen, normalised, to `numbers` of the same shape.
    pub fn warp[][](view: View<'_>, room: &mut Room, pixels: &[u8], numbers: &mut [f32]) {
        room.pack(view.size, pixels);
        match view.border {
            Border::Black => rows::<false>(view, room, numbers),
            Border::Reflected => rows::<true>(view, room, numbers),
        }
    }
}

#[inline(always)]
fn rows<const REFLECTS: bool>(view: View<'_>, room: &mut Room, numbers: &mut [f32]) {
    let View { size, map, field, channels, .. } = view;
    let ImageSize { rows, columns, .. } = size;
    let Room { neighbours, coefficients, lines } = room;
    let centre = |count: usize| 0.5 * (count - 1) as f32;
    let (x0, y0) = (centre(columns), centre(rows));
    let [[xx, xy], [yx, yy]] = map.matrix;
    for row in 0..rows {
        let v = row as f32 - y0;
        // What a row has in common.
        let (of_x, of_y) = (xy.mul_add(v, x0 + map.offset[0]), yy.mul_add(v, y0 + map.offset[1]));
        if let Some(field) = field {
            for (line, coefficients) in lines.iter_mut().zip(&*coefficients) {
                field.line(row, coefficients, line);
            }
        }
        for chunk in 0..columns.div_ceil(LANES) {
            let from = chunk * LANES;
            let (mut x, mut y) = ([0.0; LANES], [0.0; LANES]);
            for lane in 0..LANES {
                let u = (from + lane) as f32 - x0;
                x[lane] = xx.mul_add(u, of_x);
                y[lane] = yx.mul_add(u, of_y);
            }
            if let Some(field) = field {
                let (down, across) = (field.displacements(chunk, &lines[0]), field.displacements(chunk, &lines[1]));
                for lane in 0..LANES {
                    x[lane] += across[lane];
                    y[lane] += down[lane];
                }
            }
            let (place, right, low) = places::<REFLECTS>(size, &x, &y);
            let count = LANES.min(columns - from);
            let planes = neighbours.chunks_exact(size.words()).zip(numbers.chunks_exact_mut(rows * columns));
            for ((words, numbers), &channel) in planes.zip(channels) {
                let between = interpolate(words, &place, &right, &low, channel);
                numbers[row * columns + from..][..count].copy_from_slice(&between[..count]);
            }
        }
    }
}

/// The words at places of the old image, and how far a place lies to the right of its left neighbours and below the upper ones.
#[inline(always)]
fn places<const REFLECTS: bool>(size: ImageSize, x: &Chunk, y: &Chunk) -> ([u32; LANES], Chunk, Chunk) {
    let (last_x, last_y) = ((size.columns - 1) as f32, (size.rows - 1) as f32);
    let stride = (size.columns + 2) as u32;
    let (mut place, mut right, mut low) = ([0; LANES], [0.0; LANES], [0.0; LANES]);
    for lane in 0..LANES {
        let (x, y) = (inside::<REFLECTS>(x[lane], last_x), inside::<REFLECTS>(y[lane], last_y));
        // SAFETY: both lie in 0..=last + 2, whatever they were, NaN included.
        let (column, row) = unsafe { (x.to_int_unchecked::<i32>(), y.to_int_unchecked::<i32>()) };
        right[lane] = x - column as f32;
        low[lane] = y - row as f32;
        place[lane] = row as u32 * stride + column as u32;
    }
    (place, right, low)
}

/// A coordinate in the image with a border of one pixel, in 0..=last + 2.
#[inline(always)]
fn inside<const REFLECTS: bool>(s: f32, last: f32) -> f32 {
    let least = |a: f32, b: f32| if a < b { a } else { b };
    let positive = |a: f32| if a > 0.0 { a } else { 0.0 };
    if REFLECTS {
        positive(least(last - (last - s.abs()).abs(), last)) + 1.0
    } else {
        least(positive(s + 1.0), last + 2.0)
    }
}

#[inline(always)]
fn interpolate(words: &[u32], place: &[u32; LANES], right: &Chunk, low: &Chunk, channel: Channel) -> Chunk {
    let mut word = [0; LANES];
    for lane in 0..LANES {
        // It lies among them: what is said here spares a check of each.
        word[lane] = words[(place[lane] as usize).min(words.len() - 1)];
    }
    let mut between = [0.0; LANES];
    for lane in 0..LANES {
        let neighbour = |byte: u32| (word[lane] >> (8 * byte) & 255) as i32 as f32;
        let (a, b, c, d) = (neighbour(0), neighbour(1), neighbour(2), neighbour(3));
        let upper = right[lane].mul_add(b - a, a);
        let lower = right[lane].mul_add(d - c, c);
        let value = low[lane].mul_add(lower - upper, upper);
        between[lane] = value.mul_add(channel.scale, channel.shift);
    }
    between
}
