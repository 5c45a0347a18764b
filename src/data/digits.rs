//! Draws handwritten-like digits, so that the program can train where no data set can be read.
//!
//! Each image is a stroke skeleton whose points are jittered, bent and placed by a random affine
//! map, traced with a round pen and covered with noise: 28×28 grey pixels, white on black, ten
//! classes, as in MNIST. Its accuracies say nothing about MNIST's: the linear net reaches 0.8830
//! (`adamtrain`), an MLP 0.9860 (`adamtrain --hidden 128`), each in 10 epochs of Adam with seed 0.
//!
//! All arithmetic is on integers and each image has its own random stream, so that the bytes are
//! the same on every machine and for any number of threads; a test pins their sha256.

mod strokes;

use std::ops::Range;

use rayon::prelude::*;

use super::images::Images;
use crate::kernel::simd::{Width, vectorised};
use crate::rng::{Purpose, Stream};
use strokes::{STYLES, Vertex};

const CLASSES: u8 = 10;
/// Pixels in a row or column: 28, as in MNIST.
const SIDE: usize = index(EDGE / PIXEL);
const PIXELS: usize = SIDE * SIDE;
const TRAIN_IMAGES: usize = 10_000;
const TEST_IMAGES: usize = 2_000;

/// Seed of the random streams. Another seed gives another data set and other published numbers.
const SEED: u64 = 0;

/// Draws the training split of 10,000 images and the test split of 2,000.
///
/// `pixels` is `[N, 784]`, `labels` is `[N]`; each class is equally frequent in both splits.
pub fn generate() -> (Images, Images) {
    (split(0, TRAIN_IMAGES), split(1, TEST_IMAGES))
}

/// Draws `count` images from the streams of split `number`.
fn split(number: u64, count: usize) -> Images {
    // A stream's number is the split's in the high half and the image's in the low half; the image
    // that no split reaches shuffles the labels.
    let first_stream = number << 32;
    let mut order: Vec<u32> = (0..count as u32).collect();
    stream(first_stream | u64::from(u32::MAX)).shuffle(&mut order);
    let class = |place: u32| (place % u32::from(CLASSES)) as u8;
    let labels: Vec<u8> = order.into_iter().map(class).collect();

    let mut pixels = vec![0; count * PIXELS]; // [N, 784]
    let width = Width::detect();
    pixels.par_chunks_exact_mut(PIXELS).zip(&labels).enumerate().for_each(|(index, (image, &label))| {
        draw(width, label, &mut stream(first_stream | index as u64), image);
    });
    Images { pixels, labels }
}

/// 1.0 of a factor or an angle, in fixed point.
const ONE: i32 = 1 << 12;
/// A pixel's width in the fixed point of positions; pixel k has its centre at k · `PIXEL`.
const PIXEL: i32 = 1 << 6;
/// One past the last pixel.
const EDGE: i32 = 28 * PIXEL;

// How far an image may leave its skeleton, the largest value of a symmetric draw each. Chosen by
// looking at sheets of 240 digits and by the accuracies at the top: a longer shift widens the gap
// between the linear net and the MLP, jitter and bend cost both.

/// In radians.
const ROTATION: i32 = percent(30);
/// Sideways step per step downward.
const SHEAR: i32 = percent(30);
/// Mean of width and height: a digit then seldom runs off the image (5 % touch the border).
const SIZE: i32 = percent(93);
/// Of width and height, drawn apart so that the aspect varies too.
const SCALE: i32 = percent(20);
/// Of each term of the bend; [`Placement::apply`] says how far that moves a point.
const BEND: i32 = percent(15);
const SHIFT: i32 = PIXEL * 7 / 2;
/// Of each control point, before it is placed.
const JITTER: i32 = PIXEL * 5 / 4;

const fn percent(number: i32) -> i32 {
    number * ONE / 100
}

vectorised! {
    /// Draws one `image` `[784]` of the digit `label`.
    fn draw [] [] (label: u8, rng: &mut Stream, image: &mut [u8]) {
        drawn(label, rng, image);
    }
}

#[inline(always)]
fn drawn(label: u8, rng: &mut Stream, image: &mut [u8]) {
    let styles = STYLES[usize::from(label)];
    let style = styles[rng.below(styles.len() as u32) as usize];
    let placement = Placement::random(rng);
    let mut pen = Pen::random(rng);

    for stroke in style {
        let place = |point: &Vertex| {
            let jittered = point.map(|half_pixels| half_pixels * PIXEL / 2 + swing(rng, JITTER));
            placement.apply(jittered)
        };
        let points: Vec<Vertex> = stroke.iter().map(place).collect();
        pen.trace_spline(&points);
    }
    pen.develop(rng, image);
}

/// Where a skeleton goes on the image: a second-order bend, then an affine map.
struct Placement {
    /// Factors of x², xy and y² that are added to x and to y.
    bend: [[i32; 3]; 2],
    /// Rotation · shear · scale, row by row.
    matrix: [[i32; 2]; 2],
    shift: Vertex,
}

impl Placement {
    #[inline(always)]
    fn random(rng: &mut Stream) -> Self {
        let angle = swing(rng, ROTATION);
        let shear = swing(rng, SHEAR);
        let width = SIZE + swing(rng, SCALE);
        let height = SIZE + swing(rng, SCALE);

        // Taylor polynomials: at 0.3 radians the next terms are below 10⁻⁴.
        let square = angle * angle / ONE;
        let sin = angle - angle * square / (6 * ONE);
        let cos = ONE - square / 2 + square * square / (24 * ONE);
        Self {
            bend: [[BEND; 3]; 2].map(|terms| terms.map(|most| swing(rng, most))),
            matrix: [
                [cos * width / ONE, (cos * shear / ONE - sin) * height / ONE],
                [sin * width / ONE, (sin * shear / ONE + cos) * height / ONE],
            ],
            shift: [SHIFT; 2].map(|most| swing(rng, most)),
        }
    }

    #[inline(always)]
    fn apply(&self, [x, y]: Vertex) -> Vertex {
        // A bend of 0.1 moves a point at 8 pixels from the centre, a digit's end, by 0.8 pixels.
        let squares = [x * x, x * y, y * y].map(|product| product / (8 * PIXEL));
        let bent = [x + dot(self.bend[0], squares), y + dot(self.bend[1], squares)];
        [0, 1].map(|axis| (EDGE - PIXEL) / 2 + self.shift[axis] + dot(self.matrix[axis], bent))
    }
}

/// Pixels that are looked at side by side: as many as a pen mostly touches of a row.
const BESIDE: usize = 8;

/// Columns of a pen's row: those of the image, and as many more as make whole registers.
const ROW: usize = SIDE.next_multiple_of(BESIDE);

/// A round pen with a soft edge, and how near it came to each pixel.
struct Pen {
    /// Where the ink starts to fade, half a pixel inside the pen's radius.
    inner: i32,
    /// Where it has faded.
    outer: i32,
    /// Square of the least distance from a pixel's centre to what was traced.
    nearest: [[i32; ROW]; SIDE],
}

impl Pen {
    #[inline(always)]
    fn random(rng: &mut Stream) -> Self {
        // Strokes 1 to 4 pixels wide.
        let radius = PIXEL * 5 / 4 + swing(rng, PIXEL * 3 / 4);
        Self { inner: radius - PIXEL / 2, outer: radius + PIXEL / 2, nearest: [[i32::MAX; ROW]; SIDE] }
    }

    /// Traces the quadratic B-spline of `points`, one Bézier arc for each inner point.
    #[inline(always)]
    fn trace_spline(&mut self, points: &[Vertex]) {
        // A quarter of a circle of 9 pixels, the longest arc, is off by 0.2 pixels.
        const PIECES: i32 = 4;
        let mut start = points[0];
        for (index, three) in points.windows(3).enumerate() {
            let (control, next) = (three[1], three[2]);
            let is_last = index + 3 == points.len();
            let end = between(control, next, if is_last { 2 } else { 1 }, 2);

            let mut from = start;
            for piece in 1..=PIECES {
                let before = between(start, control, piece, PIECES);
                let after = between(control, end, piece, PIECES);
                let to = between(before, after, piece, PIECES); // de Casteljau
                self.trace_segment(from, to);
                from = to;
            }
            start = end;
        }
    }

    /// Lowers `nearest` to the distance from a segment, at the pixels the pen can touch.
    #[inline(always)]
    fn trace_segment(&mut self, from: Vertex, to: Vertex) {
        let [dx, dy] = [to[0] - from[0], to[1] - from[1]];
        let length = Ratio::to(dx * dx + dy * dy);
        let [columns, rows] = [0, 1].map(|axis| self.touched(from[axis], to[axis]));
        for row in rows {
            let y = row * PIXEL - from[1];
            // What lies beyond the pen is looked at too, and stays without ink.
            for first in columns.clone().step_by(BESIDE) {
                let first = index(first).min(ROW - BESIDE);
                let Some(line) = self.nearest[index(row)][first..].first_chunk_mut::<BESIDE>() else { continue };
                for (k, nearest) in line.iter_mut().enumerate() {
                    let x = (first + k) as i32 * PIXEL - from[0];
                    let foot = length.of(x * dx + y * dy); // of the perpendicular
                    let (x, y) = (x - dx * foot / ONE, y - dy * foot / ONE);
                    *nearest = (*nearest).min(x * x + y * y);
                }
            }
        }
    }

    /// Pixels within the pen of a segment from `a` to `b`, along one axis.
    #[inline(always)]
    fn touched(&self, a: i32, b: i32) -> Range<i32> {
        let first = a.min(b) - self.outer + PIXEL - 1;
        let past = a.max(b) + self.outer + PIXEL;
        first.clamp(0, EDGE) / PIXEL..past.clamp(0, EDGE) / PIXEL
    }

    /// Turns distances into grey values `[784]` with noise.
    #[inline(always)]
    fn develop(&self, rng: &mut Stream, image: &mut [u8]) {
        // Chosen by eye: bright strokes, and noise that hides none of them.
        let ink = 215 + swing(rng, 40);
        let grain = 20 + swing(rng, 20);
        let mut noise = [0; PIXELS];
        rng.fill(&mut noise);

        // A ramp in the square of the distance spares a root a pixel and is as smooth to the eye.
        let outer = self.outer * self.outer;
        let ramp = Ratio::to(outer - self.inner * self.inner);
        let rows = image.chunks_exact_mut(SIDE).zip(&self.nearest).zip(noise.chunks_exact(SIDE));
        for ((row, nearest), noise) in rows {
            for ((pixel, nearest), noise) in row.iter_mut().zip(nearest).zip(noise) {
                let grey = ink * ramp.of(outer - nearest) / ONE;
                let grey = grey + grain * i32::from(noise.cast_signed()) / 128;
                *pixel = grey.clamp(0, 255).to_le_bytes()[0];
            }
        }
    }
}

/// Division by one number for many pixels, as a multiplication; off by less than 0.1 %.
#[derive(Clone, Copy)]
struct Ratio {
    whole: i32,
    inverse: i32,
}

impl Ratio {
    #[inline(always)]
    fn to(whole: i32) -> Self {
        let whole = whole.max(1);
        Self { whole, inverse: (1 << 30) / whole }
    }

    /// `part` / `whole` in units of [`ONE`], clamped to 0 and 1.
    #[inline(always)]
    fn of(self, part: i32) -> i32 {
        (part.clamp(0, self.whole) * self.inverse) >> 18
    }
}

/// The point `part` / `whole` of the way from `a` to `b`.
#[inline(always)]
fn between(a: Vertex, b: Vertex, part: i32, whole: i32) -> Vertex {
    [0, 1].map(|axis| a[axis] + (b[axis] - a[axis]) * part / whole)
}

#[inline(always)]
fn dot<const N: usize>(factors: [i32; N], terms: [i32; N]) -> i32 {
    (0..N).map(|k| factors[k] * terms[k]).sum::<i32>() / ONE
}

/// A whole pixel's coordinate, never negative, as an index.
const fn index(pixel: i32) -> usize {
    pixel.cast_unsigned() as usize
}

/// The random stream `number`, the same on every machine.
fn stream(number: u64) -> Stream {
    Stream::new(SEED, Purpose::Digits, number)
}

/// A draw between −`most` and `most`, zero the likeliest: the difference of two even draws.
#[inline(always)]
fn swing(rng: &mut Stream, most: i32) -> i32 {
    let bits = rng.word();
    let difference = (bits >> 16).cast_signed() - (bits & 0xffff).cast_signed();
    difference * most / (1 << 16)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn the_bytes_are_the_published_ones() {
        let (train, test) = generate();
        let mut hash = Sha256::new();
        for bytes in [train.pixels, train.labels, test.pixels, test.labels] {
            hash.update(bytes);
        }
        assert_eq!(crate::digest::hex(hash), "e4762241d7e8c7dfd289bcc79b90f58134ed5368114fb8063ef51ea0873c9e9e");
    }

    #[test]
    fn each_class_is_equally_frequent() {
        let (train, test) = generate();
        for (images, expected) in [(train, 1_000), (test, 200)] {
            assert_eq!(images.pixels.len(), images.len() * PIXELS);
            for class in 0..CLASSES {
                let found = images.labels.iter().map(|&label| usize::from(label == class)).sum::<usize>();
                assert_eq!(found, expected, "class {class}");
            }
        }
    }

    #[test]
    fn the_number_of_threads_does_not_matter() {
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(generate)
        };
        assert_eq!(on(1), on(3));
    }

    #[test]
    fn no_image_occurs_twice() {
        let (train, test) = generate();
        let all = train.pixels.chunks_exact(PIXELS).chain(test.pixels.chunks_exact(PIXELS));
        assert_eq!(all.collect::<HashSet<_>>().len(), TRAIN_IMAGES + TEST_IMAGES);
    }
}
