//! Smooth fields of random displacements over an image, for elastic distortions.
//!
//! ```text
//!     d(y, x) = Σᵢⱼ B(y/h − i) · B(x/h − j) · cᵢⱼ,   h = √3·σ
//! ```
//!
//! B is the cubic B-spline, the c random numbers on a coarse grid. Simard, Steinkraus & Platt 2003 (§2) blur a random number of every
//! pixel with a Gaussian of deviation σ instead. A cubic B-spline of spacing h has the variance h²/3, so at this h both kernels are
//! equally wide and nearly equal, and the field takes 64 random numbers for an image of 28×28 in place of 784 and two blurs.

use super::warp::{Chunk, LANES};

/// Coefficients of a field: displacements down and to the right at each point of the grid.
pub type Coefficients = [Vec<f32>; 2];

/// How a grid of coefficients becomes the displacements of an image's pixels.
#[derive(Clone, Debug)]
pub struct Field {
    /// Points of the grid, down and across.
    grid: [usize; 2],
    /// Of each row of pixels: the first of four rows of the grid, and their weights.
    rows: Vec<(usize, [f32; 4])>,
    /// Of each chunk of columns: the first column of the grid, and the weights of those from there on.
    chunks: Vec<(usize, Vec<Chunk>)>,
}

impl Field {
    /// For images of this size and fields of this σ, in pixels.
    pub fn new(rows: usize, columns: usize, sigma: f64) -> Self {
        let spacing = 3_f64.sqrt() * sigma;
        let points = |pixels: usize| at(pixels - 1, spacing).0 + 4;
        let of_pixels = |pixels: usize| (0..pixels).map(move |pixel| at(pixel, spacing));
        let across: Vec<(usize, [f64; 4])> = of_pixels(columns).collect();
        let chunks = across.chunks(LANES).map(|pixels| {
            let first = pixels[0].0;
            let last = pixels[pixels.len() - 1].0 + 4;
            let mut weights = vec![[0.0; LANES]; last - first];
            for (lane, (point, own)) in pixels.iter().enumerate() {
                for (weight, own) in weights[point - first..].iter_mut().zip(own) {
                    weight[lane] = *own as f32;
                }
            }
            (first, weights)
        });
        Self {
            grid: [points(rows), points(columns)],
            rows: of_pixels(rows).map(|(first, weights)| (first, weights.map(|weight| weight as f32))).collect(),
            chunks: chunks.collect(),
        }
    }

    /// Numbers of the grid.
    pub fn points(&self) -> usize {
        self.grid[0] * self.grid[1]
    }

    /// The points of one row of the grid.
    pub fn across(&self) -> usize {
        self.grid[1]
    }

    /// The grid's columns at a row of pixels, to `line` `[across]`: what [`Field::displacements`] sums.
    #[inline(always)]
    pub fn line(&self, row: usize, coefficients: &[f32], line: &mut [f32]) {
        let (first, weights) = self.rows[row];
        let across = self.grid[1];
        let [a, b, c, d] = [0, 1, 2, 3].map(|point| &coefficients[(first + point) * across..][..across]);
        for (index, number) in line.iter_mut().take(across).enumerate() {
            let sum = weights[0] * a[index];
            let sum = weights[1].mul_add(b[index], sum);
            let sum = weights[2].mul_add(c[index], sum);
            *number = weights[3].mul_add(d[index], sum);
        }
    }

    /// Displacements of a chunk of columns.
    #[inline(always)]
    pub fn displacements(&self, chunk: usize, line: &[f32]) -> Chunk {
        let (first, weights) = &self.chunks[chunk];
        let mut sums = [0.0; LANES];
        for (weights, number) in weights.iter().zip(&line[*first..]) {
            for (sum, weight) in sums.iter_mut().zip(weights) {
                *sum = weight.mul_add(*number, *sum);
            }
        }
        sums
    }

    /// What uniform coefficients in ±1 are multiplied by so that the field has the deviation of the paper's with this α: uniform numbers
    /// in ±1 blurred by a Gaussian, times α.
    ///
    /// A blur in two directions leaves 1/(4πσ²) of a variance, and the spline (∫B²)² = (151/315)² in the mean over a cell.
    pub fn amplitude(alpha: f64, sigma: f64) -> f64 {
        alpha / (2.0 * std::f64::consts::PI.sqrt() * sigma) * (315.0 / 151.0)
    }
}

/// The first of the four points of a grid whose splines reach a pixel, and what each weighs there.
fn at(pixel: usize, spacing: f64) -> (usize, [f64; 4]) {
    let place = pixel as f64 / spacing;
    let first = place.floor();
    let u = place - first;
    let weights = [
        (1.0 - u).powi(3),
        3.0 * u.powi(3) - 6.0 * u * u + 4.0,
        -3.0 * u.powi(3) + 3.0 * u * u + 3.0 * u + 1.0,
        u.powi(3),
    ];
    (first as usize, weights.map(|weight| weight / 6.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, Stream};

    /// The displacements of an image's pixels.
    fn field(field: &Field, rows: usize, columns: usize, coefficients: &[f32]) -> Vec<f32> {
        let mut line = vec![0.0; field.across()];
        let mut all = Vec::new();
        for row in 0..rows {
            field.line(row, coefficients, &mut line);
            let chunks = (0..columns.div_ceil(LANES)).flat_map(|chunk| field.displacements(chunk, &line));
            all.extend(chunks.take(columns));
        }
        all
    }

    #[test]
    fn a_constant_grid_is_a_constant_field() {
        for (rows, columns, sigma) in [(28, 28, 4.0), (32, 17, 1.0), (5, 40, 30.0)] {
            let own = Field::new(rows, columns, sigma);
            let found = field(&own, rows, columns, &vec![2.0; own.points()]);
            assert!(found.iter().all(|d| (d - 2.0).abs() < 1e-6), "{found:?}");
        }
    }

    #[test]
    fn its_deviation_is_that_of_blurred_noise() {
        let (alpha, sigma) = (34.0, 4.0);
        let own = Field::new(28, 28, sigma);
        let limit = Field::amplitude(alpha, sigma);
        let mut stream = Stream::new(1, Purpose::Augmentation, 0);
        let mut squares = 0.0;
        for _ in 0..400 {
            let coefficients: Vec<f32> = (0..own.points()).map(|_| stream.symmetric(limit)).collect();
            squares += field(&own, 28, 28, &coefficients).iter().map(|d| f64::from(d * d)).sum::<f64>();
        }
        let deviation = (squares / (400.0 * 784.0)).sqrt();
        // Uniform numbers have the variance 1/3.
        let expected = alpha / 3_f64.sqrt() / (2.0 * std::f64::consts::PI.sqrt() * sigma);
        // 400 fields of some 10 independent displacements each.
        assert!((deviation / expected - 1.0).abs() < 0.05, "{deviation} {expected}");
    }
}
