//! Passes over slices in host memory: one loop each, vectorised where it pays.

use super::elementwise::sum_in_pieces;
use super::simd::{Width, by_halves, prefetch, vectorised};
use super::team;
use crate::rng::Stream;
use crate::rule::Real as _;

/// How a channel's pixels become numbers: `x = pixel · scale + shift`.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Channel {
    /// Factor on the pixel 0..=255.
    pub scale: f32,
    /// Added to the product.
    pub shift: f32,
}

/// What a pixel on its way from memory is worth in multiplications.
const NORMALISED: usize = 4;

/// See [`super::gather`]; `order` goes on after the batch. Rows of `x` are `stride` apart.
pub fn gather(
    pixels: &[u8],
    inputs: usize,
    order: &[u32],
    start: usize,
    channels: &[Channel],
    x: &mut [f32],
    stride: usize,
) {
    let width = Width::detect();
    let image = |example: u32| &pixels[example as usize * inputs..][..inputs];
    let rows = x.len() / stride;
    team::over_slices(x, stride, NORMALISED, |from, x| {
        let first = start + from / stride;
        for (index, row) in (first..).zip(x.chunks_exact_mut(stride)) {
            // Images lie anywhere in the split, and their way from memory takes longer than their arithmetic: while this batch
            // is read, the next one is on its way.
            if let Some(&ahead) = order.get(index + rows) {
                prefetch(image(ahead));
            }
            let image = image(order[index]);
            let plane = inputs / channels.len();
            let planes = image.chunks_exact(plane).zip(row.chunks_exact_mut(plane));
            for ((pixels, numbers), &channel) in planes.zip(channels) {
                normalise(width, pixels, channel, numbers);
            }
        }
    });
}

vectorised! {
    fn normalise[][](pixels: &[u8], channel: Channel, numbers: &mut [f32]) {
        for (number, &pixel) in numbers.iter_mut().zip(pixels) {
            *number = f32::from(pixel).mul_add(channel.scale, channel.shift);
        }
    }
}

/// See [`super::relu_backward`].
pub fn relu_backward(width: usize, scales: &[f32], y: &[f32], dy: &mut [f32]) {
    team::over_slices(dy, width * scales.len(), 1, |start, dy| {
        masked(Width::detect(), width, scales, &y[start..start + dy.len()], dy);
    });
}

vectorised! {
    fn masked[][](width: usize, scales: &[f32], y: &[f32], dy: &mut [f32]) {
        let rows = dy.chunks_exact_mut(width).zip(y.chunks_exact(width));
        for ((dy, y), &scale) in rows.zip(scales.iter().cycle()) {
            for (dy, y) in dy.iter_mut().zip(y) {
                *dy = if *y > 0.0 { *dy * scale } else { 0.0 };
            }
        }
    }
}

/// See [`super::column_sums`]: dy `[rows, width]` with the width of `db`.
pub fn column_sums(dy: &[f32], db: &mut [f32]) {
    let columns = db.len();
    let rows = dy.len() / columns;
    team::over_slices(db, 16, rows, |start, db| sums_of_columns(Width::detect(), dy, columns, start, db));
}

vectorised! {
    fn sums_of_columns[][](dy: &[f32], columns: usize, start: usize, db: &mut [f32]) {
        db.fill(0.0);
        for row in dy.chunks_exact(columns) {
            for (db, dy) in db.iter_mut().zip(&row[start..]) {
                *db += dy;
            }
        }
    }
}

vectorised! {
    /// Σ g² in f64, over 16 logical accumulators and a fixed tree, whatever the vector width.
    pub fn sum_of_squares[][](g: &[f32]) -> f64 {
        let mut sums = [0.0_f64; 16];
        let (blocks, tail) = g.as_chunks::<16>();
        for block in blocks {
            for (sum, &g) in sums.iter_mut().zip(block) {
                *sum = f64::from(g).mul_add(f64::from(g), *sum);
            }
        }
        for (sum, &g) in sums.iter_mut().zip(tail) {
            *sum = f64::from(g).mul_add(f64::from(g), *sum);
        }
        by_halves(sums)
    }
}

/// Σ x² in f64 of a tensor and lane, in the order that every device follows.
pub fn sum_of_squares_in_pieces(x: &[f32]) -> f64 {
    let [sum] = sum_in_pieces(x.len(), |range| [sum_of_squares(Width::detect(), &x[range])]);
    sum
}

vectorised! {
    /// See [`super::add`].
    pub fn add[][](x: &[f32], sum: &mut [f32]) {
        for (sum, x) in sum.iter_mut().zip(x) {
            *sum += x;
        }
    }
}

vectorised! {
    /// See [`super::clip_value`].
    pub fn clip_value[][](most: f32, x: &mut [f32]) -> bool {
        let mut outside = 0_u32;
        for x in x {
            outside |= u32::from(x.abs() > most);
            *x = x.clamped(most);
        }
        outside != 0
    }
}

/// See [`super::clip_units`].
pub fn clip_units(w: &[f32], g: &mut [f32], units: usize, factor: f64) -> bool {
    const LEAST_NORM: f64 = 1e-3;
    let size = g.len() / units;
    let mut any = false;
    for (w, g) in w.chunks_exact(size).zip(g.chunks_exact_mut(size)) {
        let norm = |x: &[f32]| sum_of_squares(Width::detect(), x).sqrt();
        let (most, found) = (factor * norm(w).max(LEAST_NORM), norm(g));
        if found > most {
            any = true;
            let scale = (most / found) as f32;
            for g in g {
                *g *= scale;
            }
        }
    }
    any
}

/// See [`super::compare_steps`].
pub fn compare_steps(theta: &[f32], before: &[f32], last: &mut [f32]) -> [f64; 4] {
    let mut sums = [0.0; 4];
    for ((&theta, &before), last) in theta.iter().zip(before).zip(last) {
        let step = theta - before;
        let (d, b, l) = (f64::from(step), f64::from(before), f64::from(*last));
        for (sum, term) in sums.iter_mut().zip([d * d, b * b, d * l, l * l]) {
            *sum += term;
        }
        *last = step;
    }
    sums
}

/// Dropout of one lane in one layer and step.
#[derive(Clone, Debug)]
pub struct Dropout {
    /// Probability that a unit is dropped, in [0, 1).
    pub probability: f64,
    /// The lane's stream, at the first word of this step.
    pub stream: Stream,
}

impl Dropout {
    /// A unit is dropped when its word lies below this: p · 2³².
    pub fn threshold(&self) -> u32 {
        (self.probability * 4_294_967_296.0) as u32
    }
}

/// See [`super::dropout`].
pub fn dropout(rows: usize, width: usize, lanes: &mut [Dropout], y: &mut [f32]) {
    let count = lanes.len();
    for (index, unit) in y.chunks_exact_mut(width).take(rows * count).enumerate() {
        let lane = &mut lanes[index % count];
        let threshold = lane.threshold();
        let scale = keep_scale(lane.probability);
        for y in unit {
            *y = if lane.stream.word() < threshold { 0.0 } else { *y * scale };
        }
    }
}

/// 1/(1 − p), the factor on what dropout keeps.
pub fn keep_scale(probability: f64) -> f32 {
    (1.0 / (1.0 - probability)) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Purpose;

    #[test]
    fn every_width_gives_the_same_bits() {
        let mut stream = Stream::new(5, Purpose::Weights, 0);
        for columns in [1, 3, 7, 10, 16, 17, 33] {
            let y: Vec<f32> = (0..5 * columns).map(|_| stream.symmetric(1.0)).collect();
            let run = |width| {
                let (mut gradient, mut sums) = (y.clone(), vec![f32::NAN; columns]);
                masked(width, columns, &[2.0], &y[..], &mut gradient);
                sums_of_columns(width, &gradient, columns, 0, &mut sums);
                (gradient, sums, sum_of_squares(width, &y))
            };
            let plain = run(Width::Scalar);
            for width in Width::available() {
                assert_eq!(run(width), plain, "{width:?}, {columns} columns");
            }
        }
    }

    /// optax.adaptive_grad_clip(0.5) with updates [[3, 4], [0.1, 0]] and parameters [[6, 8], [0, 0]], weights as rows.
    #[test]
    fn units_whose_gradient_is_long_beside_their_weight_are_clipped() {
        let w = [6.0, 8.0, 0.0, 0.0];
        let mut g = [3.0, 4.0, 0.1, 0.0];
        assert!(clip_units(&w, &mut g, 2, 0.5));
        assert_eq!(g[..2], [3.0, 4.0], "at the bound");
        assert!((g[2] - 0.5e-3).abs() < 1e-9 && g[3] == 0.0, "{g:?}");
        assert!(!clip_units(&w, &mut g, 2, 0.6));
        let mut g = [f32::NAN, 1.0];
        clip_units(&[1.0, 1.0], &mut g, 1, 0.1);
        assert!(g[0].is_nan());
    }

    #[test]
    fn values_are_clipped_and_a_nan_is_not() {
        let mut x = [-2.0, 0.5, f32::NAN, f32::INFINITY];
        assert!(clip_value(Width::detect(), 1.0, &mut x));
        assert_eq!((x[0], x[1], x[3]), (-1.0, 0.5, 1.0));
        assert!(x[2].is_nan());
        assert!(!clip_value(Width::detect(), 1.0, &mut x));
    }

    #[test]
    fn gathering_picks_rows_and_normalises_by_channel() {
        let pixels = [0, 255, 10, 20, 1, 2, 3, 4];
        let channels = [Channel { scale: 1.0, shift: 0.0 }, Channel { scale: 2.0, shift: -1.0 }];
        let mut x = [9.0; 10];
        gather(&pixels, 4, &[9, 1, 0], 1, &channels, &mut x, 5);
        assert_eq!(x, [1.0, 2.0, 5.0, 7.0, 9.0, 0.0, 255.0, 19.0, 39.0, 9.0]);
    }

    #[test]
    fn dropout_keeps_the_share_it_should_and_the_mean() {
        let mut y = vec![1.0; 40_000];
        let mut lanes = [Dropout { probability: 0.25, stream: Stream::new(0, Purpose::Dropout, 0) }];
        dropout(400, 100, &mut lanes, &mut y);
        let kept = y.iter().filter(|y| **y != 0.0).count();
        // Five standard deviations of a binomial count.
        assert!(kept.abs_diff(30_000) < 433, "{kept}");
        assert!(y.iter().all(|y| *y == 0.0 || *y == 4.0 / 3.0));
    }
}
