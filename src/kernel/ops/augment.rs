//! A batch of images, each seen through a random map of its own.
//!
//! An image is mirrored, scaled, sheared, rotated and shifted about its centre, and its pixels are displaced by a smooth random field:
//!
//! ```text
//!     p′ = R(θ)·H(φ)·S·F·p + t,   S = diag(sx, sy),  H = (1 tan φ; 0 1),  F = diag(±1, 1)
//! ```
//!
//! Each of these numbers is uniform in its range. Then a square is cut out: DeVries & Taylor 2017, arXiv:1708.04552. Its centre is any
//! pixel, so that it may stand out over the border, and what it covers becomes the channel's mean: 0 where channels are standardised, as
//! there, and with any other scaling the same picture.
//!
//! All of it is a function of the seed and the number of the sample, counted over all steps: who computes it, and what was computed
//! before, changes nothing.

use std::cell::RefCell;
use std::ops::Range;

use candle_core::{Result, Tensor, bail};

use super::affine::row_stride;
use super::gather::{Channel, Indices, normalise};
use crate::kernel::gpu;
use crate::kernel::host::field::{Coefficients, Field};
use crate::kernel::host::simd::{Width, prefetch};
use crate::kernel::host::team;
use crate::kernel::host::warp::{self, Border, ImageSize, Map, Room, View};
use crate::kernel::lend::lend_all;
use crate::rng::{Purpose, Stream};

/// How far images are changed at most, and the size of what is cut out; zeros leave them as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Ranges {
    /// Rotation θ in ±this, in radians, at most π.
    pub rotation: f64,
    /// Shear φ in ±this, in radians, below π/2.
    pub shear: f64,
    /// Scales sx and sy in 1 ± this, each drawn for itself; below 1.
    pub scale: f64,
    /// Shift t by whole pixels, in ±this each way.
    pub shift: u32,
    /// Probability that an image is mirrored left to right.
    pub flip: f64,
    /// α of the field of displacements, in pixels: Simard, Steinkraus & Platt 2003, §2.
    pub alpha: f64,
    /// σ of it, in pixels; above 0.
    pub sigma: f64,
    /// Pixels of a side of the square that is cut out.
    pub cutout: u32,
}

impl Ranges {
    /// Whether pixels move.
    fn moves(&self) -> bool {
        let Self { rotation, shear, scale, shift, flip, alpha, .. } = *self;
        shift > 0 || [rotation, shear, scale, flip, alpha].iter().any(|range| *range > 0.0)
    }

    /// Whether images change at all.
    pub fn change(&self) -> bool {
        self.moves() || self.cutout > 0
    }
}

/// The augmentation of a training split's images.
#[derive(Clone, Debug)]
pub struct Augmentation {
    ranges: Ranges,
    size: ImageSize,
    seed: u64,
    /// None where α is 0.
    field: Option<Field>,
    border: Border,
    /// What is seen where something is cut out, of each channel: a pixel's value in 0..=255.
    means: Vec<f32>,
}

thread_local! {
    static ROOM: RefCell<Room> = RefCell::default();
}

impl Augmentation {
    /// Of images of this size, whose channels have these means, in 0..=255. Beyond the border of one with a single channel it is
    /// black, as the digits' background; of others the image is mirrored.
    pub fn new(ranges: Ranges, size: ImageSize, seed: u64, means: Vec<f32>) -> Self {
        let field = (ranges.alpha > 0.0).then(|| Field::new(size.rows, size.columns, ranges.sigma));
        let border = if size.channels == 1 { Border::Black } else { Border::Reflected };
        Self { ranges, size, seed, field, border, means }
    }

    /// The map of a sample, and the coefficients of its field.
    fn draw(&self, sample: u64, coefficients: &mut Coefficients) -> Map {
        let Ranges { rotation, shear, scale, shift, flip, alpha, sigma, cutout: _ } = self.ranges;
        let mut stream = Stream::new(self.seed, Purpose::Augmentation, sample);
        let mut uniform = |limit: f64| f64::from(stream.symmetric(limit));
        let (theta, phi) = (uniform(rotation), uniform(shear));
        let scales = [1.0 + uniform(scale), 1.0 + uniform(scale)];
        let is_mirrored = uniform(1.0) < 2.0 * flip - 1.0;
        let mut whole = || f64::from(stream.below(2 * shift + 1)) - f64::from(shift);
        let shifts = [whole(), whole()];
        if self.field.is_some() {
            let limit = Field::amplitude(alpha, sigma);
            coefficients.iter_mut().flatten().for_each(|number| *number = stream.symmetric(limit));
        }
        inverse([theta, phi], scales, is_mirrored, shifts)
    }

    /// The rows and columns of a sample that are cut out, both ends not among them.
    fn hole(&self, sample: u64) -> [Range<usize>; 2] {
        let (mut stream, side) = (Stream::new(self.seed, Purpose::Cutout, sample), self.ranges.cutout as usize);
        [self.size.rows, self.size.columns].map(|count| {
            let centre = stream.below(count as u32) as usize;
            // An even side has half a pixel more before the centre than behind it.
            centre.saturating_sub(side / 2)..(centre + side - side / 2).min(count)
        })
    }

    /// Cuts out of a sample's image, normalised by `channels`, what is to be.
    fn cut(&self, sample: u64, channels: &[Channel], numbers: &mut [f32]) {
        let [rows, columns] = self.hole(sample);
        let planes = numbers.chunks_exact_mut(self.size.rows * self.size.columns);
        for (plane, (channel, &mean)) in planes.zip(channels.iter().zip(&self.means)) {
            let mean = mean.mul_add(channel.scale, channel.shift);
            for row in plane.chunks_exact_mut(self.size.columns).take(rows.end).skip(rows.start) {
                row[columns.clone()].fill(mean);
            }
        }
    }
}

/// The map from the new image to the old one: F·S⁻¹·H⁻¹·R⁻¹·(p′ − t).
fn inverse([theta, phi]: [f64; 2], [sx, sy]: [f64; 2], is_mirrored: bool, shifts: [f64; 2]) -> Map {
    let ([sin, cos], [sin_phi, cos_phi]) = (sin_cos(theta), sin_cos(phi));
    let tan = sin_phi / cos_phi;
    let mirror = if is_mirrored { -1.0 } else { 1.0 };
    let x = [cos + tan * sin, sin - tan * cos].map(|number| mirror * number / sx);
    let y = [-sin, cos].map(|number| number / sy);
    let offset = [x, y].map(|row| -(row[0] * shifts[0] + row[1] * shifts[1]));
    Map { matrix: [x, y].map(|row| row.map(|number| number as f32)), offset: offset.map(|number| number as f32) }
}

/// Sine and cosine of an angle in ±π, to 1e-11: our own, so that a picture does not depend on the C library. Taylor's polynomials at
/// half of the angle, then the formulas of the double one.
fn sin_cos(angle: f64) -> [f64; 2] {
    let half = 0.5 * angle;
    let square = half * half;
    // Of degree 17 and 16: the first terms left out are below 2e-14 and 7e-13 at π/2.
    let polynomial = |first: u32, last: u32| {
        let terms = (first..=last).rev().step_by(2);
        terms.fold(1.0, |sum, degree| 1.0 - square / f64::from(degree * (degree - 1)) * sum)
    };
    let (sin, cos) = (half * polynomial(3, 17), polynomial(2, 16));
    [2.0 * sin * cos, 1.0 - 2.0 * sin * sin]
}

/// As [`gather`](super::gather::gather), with the images of the samples from number `first` on, counted over all steps, each seen
/// through its own map. In host memory alone.
///
/// # Errors
/// On a GPU, which has no kernel for it.
pub fn gather_augmented(
    pixels: &Tensor,
    indices: Indices<'_>,
    channels: &[Channel],
    augmentation: &Augmentation,
    first: u64,
    x: &Tensor,
) -> Result<()> {
    let (inputs, stride) = (pixels.dim(1)?, row_stride(x)?);
    let Indices { order, start, rows } = indices;
    let Augmentation { ranges, size, field, border, means, .. } = augmentation;
    if gpu::queue_of(x)?.is_some() {
        bail!("images are augmented in host memory alone");
    }
    if inputs != size.channels * size.rows * size.columns || [channels.len(), means.len()] != [size.channels; 2] {
        bail!("{inputs} inputs in {} channels of {} means, expected images of {size:?}", channels.len(), means.len());
    }
    let moves = ranges.moves();
    lend_all!([pixels: u8, order: u32, mut x: f32] => {
        let width = Width::detect();
        let image = |example: u32| &pixels[example as usize * inputs..][..inputs];
        team::over_slices(&mut x[..rows * stride], stride, WARPED, |from, x| ROOM.with_borrow_mut(|room| {
            room.fit(*size, field.as_ref());
            for (row, numbers) in (from / stride..).zip(x.chunks_exact_mut(stride)) {
                if let Some(&ahead) = order.get(start + row + 1) {
                    prefetch(image(ahead));
                }
                let (sample, image, numbers) = (first + row as u64, image(order[start + row]), &mut numbers[..inputs]);
                if moves {
                    let map = augmentation.draw(sample, &mut room.coefficients);
                    let view = View { size: *size, map, field: field.as_ref(), border: *border, channels };
                    warp::warp(width, view, room, image, numbers);
                } else {
                    normalise(width, image, channels, numbers);
                }
                if ranges.cutout > 0 {
                    augmentation.cut(sample, channels, numbers);
                }
            }
        }));
    })
}

/// What a pixel is worth in multiplications.
const WARPED: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::gather;
    use crate::kernel::gpu::emulated;
    use candle_core::{DType, Device::Cpu};

    const GREY: ImageSize = ImageSize { channels: 1, rows: 28, columns: 28 };
    const COLOUR: ImageSize = ImageSize { channels: 3, rows: 9, columns: 21 };
    const ALL: Ranges =
        Ranges { rotation: 0.3, shear: 0.2, scale: 0.2, shift: 3, flip: 0.5, alpha: 34.0, sigma: 4.0, cutout: 0 };

    /// What is seen where something is cut out of an image of this size.
    fn means(size: ImageSize) -> Vec<f32> {
        [33.25, 91.5, 200.0][..size.channels].to_vec()
    }

    /// Images with a few soft blobs.
    fn images(size: ImageSize, count: usize) -> Vec<u8> {
        let mut stream = Stream::new(5, Purpose::Digits, 0);
        let mut all = Vec::new();
        for _ in 0..count * size.channels {
            let mut at = |count: usize| count as f32 * (0.5 + stream.symmetric(0.2));
            let (row, column) = (at(size.rows), at(size.columns));
            for y in 0..size.rows {
                all.extend((0..size.columns).map(|x| {
                    let square = (y as f32 - row).powi(2) + (x as f32 - column).powi(2);
                    (250.0 * (-square / 12.0).exp()) as u8
                }));
            }
        }
        all
    }

    const CHANNELS: [Channel; 3] = [
        Channel { scale: 1.0, shift: 0.0 },
        Channel { scale: 0.017, shift: -0.7 },
        Channel { scale: 1.0 / 255.0, shift: 0.1 },
    ];

    /// A batch of all images, in their order.
    fn batch(size: ImageSize, ranges: Option<Ranges>, seed: u64, first: u64, count: usize) -> Result<Vec<Vec<f32>>> {
        let inputs = size.channels * size.rows * size.columns;
        let pixels = Tensor::from_vec(images(size, count), (count, inputs), &Cpu)?;
        let order = Tensor::from_vec((0..count as u32).collect::<Vec<_>>(), count, &Cpu)?;
        let x = Tensor::zeros((count, crate::kernel::padded(inputs)), DType::F32, &Cpu)?;
        let indices = Indices { order: &order, start: 0, rows: count };
        let channels = &CHANNELS[..size.channels];
        match ranges {
            None => gather(&pixels, indices, channels, &x)?,
            Some(ranges) => {
                let augmentation = Augmentation::new(ranges, size, seed, means(size));
                gather_augmented(&pixels, indices, channels, &augmentation, first, &x)?;
            }
        }
        x.narrow(1, 0, inputs)?.to_vec2()
    }

    #[test]
    fn ranges_of_zero_leave_every_bit() -> Result<()> {
        for size in [GREY, COLOUR] {
            let nothing = Ranges { sigma: 4.0, ..Ranges::default() };
            assert!(batch(size, Some(nothing), 1, 0, 7)? == batch(size, None, 1, 0, 7)?);
        }
        Ok(())
    }

    /// The definition, in f64 and a pixel at a time.
    fn slow(size: ImageSize, pixels: &[u8], map: &Map, displacement: impl Fn(usize, usize) -> [f64; 2]) -> Vec<f64> {
        let (rows, columns) = (size.rows as i64, size.columns as i64);
        let mirrored = |at: i64, count: i64| {
            let at = at.abs();
            (count - 1 - (count - 1 - at).abs()).max(0)
        };
        let mut new = Vec::new();
        for plane in pixels.chunks_exact(size.rows * size.columns) {
            let pixel = |y: i64, x: i64| {
                let is_inside = (0..rows).contains(&y) && (0..columns).contains(&x);
                match size.channels {
                    1 if !is_inside => 0.0,
                    _ => f64::from(plane[(mirrored(y, rows) * columns + mirrored(x, columns)) as usize]),
                }
            };
            for row in 0..size.rows {
                for column in 0..size.columns {
                    let (cx, cy) = ((columns - 1) as f64 / 2.0, (rows - 1) as f64 / 2.0);
                    let (u, v) = (column as f64 - cx, row as f64 - cy);
                    let at = |index: usize, centre: f64| {
                        let [a, b] = map.matrix[index].map(f64::from);
                        a * u + b * v + centre + f64::from(map.offset[index]) + displacement(row, column)[index]
                    };
                    let (x, y) = (at(0, cx), at(1, cy));
                    let (left, upper) = (x.floor() as i64, y.floor() as i64);
                    let (right, low) = (x - x.floor(), y - y.floor());
                    new.push(
                        (1.0 - low) * ((1.0 - right) * pixel(upper, left) + right * pixel(upper, left + 1))
                            + low * ((1.0 - right) * pixel(upper + 1, left) + right * pixel(upper + 1, left + 1)),
                    );
                }
            }
        }
        new
    }

    #[test]
    fn a_map_of_known_numbers_is_the_definition() {
        let quarter = std::f64::consts::FRAC_PI_2;
        for (angles, scales, is_mirrored, shifts) in [
            ([quarter, 0.0], [1.0, 1.0], false, [0.0, 0.0]),
            ([0.3, 0.0], [1.0, 1.0], false, [0.0, 0.0]),
            ([-0.7, 0.2], [1.2, 0.8], true, [3.0, -2.0]),
            ([0.1, 0.0], [0.9, 1.0], false, [100.0, 40.0]),
        ] {
            for size in [GREY, COLOUR] {
                let map = inverse(angles, scales, is_mirrored, shifts);
                let pixels = images(size, 1);
                let expected = slow(size, &pixels, &map, |_, _| [0.0; 2]);
                for width in Width::available() {
                    let mut room = Room::default();
                    room.fit(size, None);
                    let border = if size.channels == 1 { Border::Black } else { Border::Reflected };
                    let channels = &[CHANNELS[0]; 3][..size.channels];
                    let mut found = vec![0.0; pixels.len()];
                    warp::warp(
                        width,
                        View { size, map, field: None, border, channels },
                        &mut room,
                        &pixels,
                        &mut found,
                    );
                    for (found, expected) in found.iter().zip(&expected) {
                        // A coordinate of f32 near 100, times a slope of at most 60 a pixel.
                        assert!((f64::from(*found) - expected).abs() < 2e-3, "{width:?} {size:?} {angles:?}");
                    }
                }
            }
        }
        // A quarter turn takes the upper left corner to the upper right one: what is to the right goes down.
        let map = inverse([quarter, 0.0], [1.0, 1.0], false, [0.0, 0.0]);
        let turned: Vec<f64> = slow(GREY, &images(GREY, 1), &map, |_, _| [0.0; 2]);
        let old = images(GREY, 1);
        assert!((turned[5 * 28 + 27 - 9] - f64::from(old[9 * 28 + 5])).abs() < 1e-2);
    }

    #[test]
    fn a_field_displaces_as_the_definition_says() {
        let sigma = 4.0;
        for size in [GREY, COLOUR] {
            let augmentation = Augmentation::new(Ranges { sigma, ..ALL }, size, 3, means(size));
            let field = augmentation.field.as_ref().unwrap();
            let mut room = Room::default();
            room.fit(size, Some(field));
            let map = augmentation.draw(17, &mut room.coefficients);
            // B as the integral of its definition has it: the cubic B-spline at a distance from its point.
            let spline = |distance: f64| match distance.abs() {
                d if d < 1.0 => 2.0 / 3.0 - d * d + d * d * d / 2.0,
                d if d < 2.0 => (2.0 - d).powi(3) / 6.0,
                _ => 0.0,
            };
            let coefficients = room.coefficients.clone();
            let across = field.across();
            let displacement = |row: usize, column: usize| {
                let spacing = 3_f64.sqrt() * sigma;
                let (v, u) = (row as f64 / spacing, column as f64 / spacing);
                let sum = |coefficients: &[f32]| -> f64 {
                    let points = coefficients.iter().enumerate();
                    points
                        .map(|(index, c)| {
                            // The first point lies one spacing before the first pixel.
                            let (i, j) = ((index / across) as f64 - 1.0, (index % across) as f64 - 1.0);
                            spline(v - i) * spline(u - j) * f64::from(*c)
                        })
                        .sum()
                };
                [sum(&coefficients[1]), sum(&coefficients[0])]
            };
            let pixels = images(size, 1);
            let expected = slow(size, &pixels, &map, displacement);
            let channels = &[CHANNELS[0]; 3][..size.channels];
            let mut bits: Vec<Vec<f32>> = Vec::new();
            for width in Width::available() {
                let mut found = vec![0.0; pixels.len()];
                let view = View { size, map, field: Some(field), border: augmentation.border, channels };
                warp::warp(width, view, &mut room, &pixels, &mut found);
                assert!(found.iter().zip(&expected).all(|(a, b)| (f64::from(*a) - b).abs() < 2e-3), "{width:?}");
                bits.push(found);
            }
            assert!(bits.windows(2).all(|two| two[0] == two[1]), "every width gives the same bits");
        }
    }

    const CUT: Ranges = Ranges { cutout: 7, sigma: 4.0, ..ALL_OF_NOTHING };
    const ALL_OF_NOTHING: Ranges =
        Ranges { rotation: 0.0, shear: 0.0, scale: 0.0, shift: 0, flip: 0.0, alpha: 0.0, sigma: 4.0, cutout: 0 };

    #[test]
    fn neither_threads_nor_the_batch_that_a_sample_stands_in_change_a_bit() -> Result<()> {
        team::start(4).unwrap();
        for (size, ranges) in [GREY, COLOUR].into_iter().flat_map(|size| [(size, ALL), (size, CUT)]) {
            let all = batch(size, Some(ranges), 1, 100, 64)?;
            assert!(team::with_threads(1, || batch(size, Some(ranges), 1, 100, 64))? == all);
            assert_ne!(batch(size, Some(ranges), 2, 100, 64)?, all, "another seed");
            assert_ne!(batch(size, Some(ranges), 1, 101, 64)?, all, "other samples");
            assert!(batch(size, Some(ranges), 1, 100, 3)? == all[..3]);
        }
        Ok(())
    }

    #[test]
    fn a_square_around_any_pixel_becomes_the_mean_and_the_rest_stays_to_the_bit() -> Result<()> {
        const COUNT: usize = 3000;
        for size in [GREY, COLOUR] {
            for (side, beneath) in [(1, ALL_OF_NOTHING), (4, ALL_OF_NOTHING), (7, ALL_OF_NOTHING), (9, ALL)] {
                let old = batch(size, Some(beneath), 1, 50, COUNT)?;
                let new = batch(size, Some(Ranges { cutout: side as u32, ..beneath }), 1, 50, COUNT)?;
                let mut seen = vec![0_u32; size.rows * size.columns];
                for (sample, (old, new)) in (50..).zip(old.iter().zip(&new)) {
                    // The definition, pixel by pixel, from the same words.
                    let mut stream = Stream::new(1, Purpose::Cutout, sample);
                    let row = i64::from(stream.below(size.rows as u32));
                    let column = i64::from(stream.below(size.columns as u32));
                    seen[(row * size.columns as i64 + column) as usize] += 1;
                    let is_within = |at: i64, centre: i64| (0..side).contains(&(at - centre + side / 2));
                    let pixels = size.rows * size.columns;
                    for (index, (old, new)) in old.iter().zip(new).enumerate() {
                        let (y, x) = (index % pixels / size.columns, index % pixels % size.columns);
                        let channel = CHANNELS[index / pixels];
                        let mean = means(size)[index / pixels].mul_add(channel.scale, channel.shift);
                        let is_cut = is_within(y as i64, row) && is_within(x as i64, column);
                        assert_eq!(*new, if is_cut { mean } else { *old }, "side {side}, sample {sample}, {y} {x}");
                    }
                }
                // Four in the mean of the grey ones and sixteen of the others: none so often by chance.
                assert!(seen.iter().all(|&count| count < 45), "{seen:?}");
            }
        }
        Ok(())
    }

    #[test]
    fn a_gpu_refuses_and_never_leaves_images_as_they_are() {
        if let Some((found, _)) = emulated::run(|| batch(GREY, Some(ALL), 1, 0, 3)) {
            assert!(found.unwrap_err().to_string().contains("host memory"));
        }
    }

    #[test]
    fn the_mass_of_a_picture_is_about_kept() -> Result<()> {
        let ranges = Ranges { flip: 0.0, ..ALL };
        let mass = |batch: Vec<Vec<f32>>| batch.iter().flatten().map(|x| f64::from(*x)).sum::<f64>();
        let (before, after) = (mass(batch(GREY, None, 1, 0, 500)?), mass(batch(GREY, Some(ranges), 1, 0, 500)?));
        // Scales of mean 1 have squares of more; displacements fold as often as they stretch.
        assert!((after / before - 1.0).abs() < 0.05, "{before} {after}");
        Ok(())
    }

    #[test]
    fn a_flip_is_a_mirror_and_is_as_frequent_as_asked() -> Result<()> {
        let ranges = Ranges { flip: 0.25, sigma: 4.0, ..Ranges::default() };
        let (old, new) = (batch(GREY, None, 1, 0, 400)?, batch(GREY, Some(ranges), 1, 0, 400)?);
        let mirror = |image: &[f32]| image.chunks(28).flat_map(|row| row.iter().rev().copied()).collect::<Vec<_>>();
        let flipped = old.iter().zip(&new).filter(|(old, new)| **new == mirror(old) && old != new).count();
        let kept = old.iter().zip(&new).filter(|(old, new)| old == new).count();
        assert_eq!(flipped + kept, 400);
        // Four deviations of a binomial count with mean 100.
        assert!(flipped.abs_diff(100) < 35, "{flipped}");
        Ok(())
    }

    #[test]
    fn sines_are_right_and_those_of_zero_exact() {
        for step in -1000..=1000 {
            let angle = std::f64::consts::PI * f64::from(step) / 1000.0;
            let [sin, cos] = sin_cos(angle);
            assert!((sin - angle.sin()).abs() < 1e-11 && (cos - angle.cos()).abs() < 1e-11, "{angle}");
        }
        assert_eq!(sin_cos(0.0), [0.0, 1.0]);
    }
}
