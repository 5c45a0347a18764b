//! What tells about the next weight: its neighbours in the image, the units before, the rest of its row.
//!
//! A unit is a row. Rows come in the order of falling biases and, where these are equal, of falling numbers of weights that are not 0:
//! the order of hidden units is free, so that biases cost little. First weights, learnt over pruned nets on MNIST, are constants here.

use super::learner::{LONGEST, Learner, Sizes};
use super::numbers::{ln, stretch};
use super::range::{Coder, plain};

/// Where the inputs of a layer lie: planes of rows of columns. Hidden units have one row.
#[derive(Clone, Copy, Debug)]
pub struct Grid {
    pub channels: usize,
    pub height: usize,
    pub width: usize,
}

/// What the weights of a layer take, in bits as far as the coder counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct WeightBits {
    /// Which are 0.
    pub mask: f64,
    /// Signs of the others.
    pub signs: f64,
    /// Their sizes.
    pub sizes: f64,
}

/// Weights and certainties at the beginning.
const MASK: [f64; 20] = [
    -1.36, 2.03, 1.47, -0.05, 1.08, 0.05, -0.24, -0.6, -0.25, -0.4, -0.01, 0.0, 0.56, 0.35, -0.74, -1.23, 0.96, 0.5,
    -0.25, -0.37,
];
const DEEP_MASK: [f64; 6] = [0.11, 0.14, 0.96, 0.71, 0.93, 1.09];
const SIGN: [f64; 9] = [0.29, -5.12, -3.62, -2.41, -3.87, -1.27, 0.0, -0.25, 0.51];
const DEEP_SIGN: [f64; 3] = [-0.04, -0.51, -1.38];
const SIZE: [f64; 3] = [2.9, 0.4, 0.8];

/// Neighbours that come before a pixel: rows up and columns to the right.
const NEIGHBOURS: [(usize, isize); 10] =
    [(0, -1), (1, 0), (1, -1), (1, 1), (0, -2), (2, 0), (2, -1), (2, 1), (1, -2), (1, 2)];

/// How much a weight tells about the same place in later units, and about places around it, by the square of their distance.
const SPREAD: [f64; 9] = [0.4, 0.08, 0.04, 0.0, 0.02, 0.008, 0.0, 0.0, 0.004];

/// What earlier units have at and around each input.
struct Columns {
    grid: Grid,
    is_image: bool,
    count: Vec<f64>,
    sign: Vec<f64>,
    size: Vec<f64>,
}

impl Columns {
    fn new(grid: Grid, is_image: bool) -> Self {
        let none = vec![0.0; grid.channels * grid.height * grid.width];
        Self { grid, is_image, count: none.clone(), sign: none.clone(), size: none }
    }

    fn add(&mut self, row: &[i32]) {
        let Grid { height, width, .. } = self.grid;
        for (input, &level) in row.iter().enumerate().filter(|(_, level)| **level != 0) {
            let mut add = |place: usize, part: f64| {
                self.count[place] += part;
                self.sign[place] += part * f64::from(level.signum());
                self.size[place] += part * f64::from(level.unsigned_abs());
            };
            if !self.is_image {
                add(input, 1.0);
                continue;
            }
            let (y, x) = (input / width % height, input % width);
            let plane = input - y * width - x;
            for other_y in y.saturating_sub(2)..(y + 3).min(height) {
                for other_x in x.saturating_sub(2)..(x + 3).min(width) {
                    let distance = other_y.abs_diff(y).pow(2) + other_x.abs_diff(x).pow(2);
                    add(plane + other_y * width + other_x, SPREAD[distance]);
                }
            }
        }
    }
}

/// What is known of the row in work.
struct Row {
    /// Weights that are not 0 so far, and those to come where their number is known.
    count: usize,
    left: usize,
    balance: i32,
    size: f64,
    /// Expected number so far and in the whole row.
    expected: f64,
    total: f64,
}

/// Codes the weights `[out, in]` of a layer whose biases are known. `degrees` are the numbers of weights that the units have which are its
/// inputs; without them they are pixels. Whether rows come in the order of a hidden layer.
pub fn weights(
    coder: &mut impl Coder,
    grid: Grid,
    levels: &mut [i32],
    biases: &[i32],
    degrees: Option<&[usize]>,
    is_falling: bool,
) -> WeightBits {
    let inputs = grid.channels * grid.height * grid.width;
    let is_image = degrees.is_none();
    let degrees = degrees.unwrap_or_default();
    let mut bits = WeightBits::default();
    let mut mark = coder.bits();
    let mut spent = |now: f64, part: &mut f64| {
        *part += now - mark;
        mark = now;
    };
    let mut sizes = sizes_of(coder, levels);
    spent(coder.bits(), &mut bits.sizes);
    let mut counts = [(); 2].map(|()| Sizes::new(LONGEST, LONGEST, [0.0; 3]));
    let mut mask = Learner::new(MASK, 100.0);
    let mut deep_mask = Learner::new(DEEP_MASK, 40.0);
    let mut sign = Learner::new(SIGN, 5.0);
    let mut deep_sign = Learner::new(DEEP_SIGN, 10.0);
    let mean_degree = degrees.iter().sum::<usize>() as f64 / degrees.len().max(1) as f64;
    let mut columns = Columns::new(grid, is_image);
    let (mut total, mut before) = (0, 0);
    let (mut all_sizes, mut all_counts) = (1.0, 1.0);
    for (unit, cells) in levels.chunks_exact_mut(inputs).enumerate() {
        let units = unit as f64;
        let mean = (total as f64 + 0.15 * inputs as f64) / ((units + 1.0) * inputs as f64);
        let prior = if is_image { 0.8 } else { 2.0 };
        let density = |columns: &Columns, input: usize| {
            let density = (columns.count[input] + prior * mean) / (units + prior);
            if density < 0.98 { density } else { 0.98 }
        };
        let mut row = Row { count: 0, left: 0, balance: 0, size: 0.0, expected: 0.0, total: 0.0 };
        if is_image {
            row.total = (0..inputs).fold(0.0, |sum, input| sum + density(&columns, input));
            let count = cells.iter().filter(|level| **level != 0).count();
            let is_tie = is_falling && unit > 0 && biases[unit] == biases[unit - 1];
            let told = if is_tie { before - count.min(before) } else { count };
            let told = counts[usize::from(is_tie)].code(coder, told as u32 + 1, &[0.0; 3]) as usize - 1;
            row.left = if is_tie { before - told.min(before) } else { told.min(inputs) };
            spent(coder.bits(), &mut bits.mask);
        }
        for input in 0..inputs {
            let level = cells[input];
            let density = density(&columns, input);
            let near = if is_image { neighbours(grid, cells, input) } else { [0; 11] };
            let is_one = if is_image && (row.left == 0 || row.left == inputs - input) {
                row.left > 0
            } else if is_image {
                let features = mask_features(grid, cells, input, &near, density, &row, units);
                mask.code(coder, level != 0, &features, 0.0)
            } else {
                let pace = ln((row.count as f64 + 2.9) / (row.expected + 2.9));
                let degree = ln((degrees[input] as f64 + 1.0) / (mean_degree + 1.0));
                // A unit that nothing read so far must be read by one of the rows to come, or it would have gone.
                let rows = biases.len() as f64;
                let unread = if columns.count[input] == 0.0 { ln(rows / (rows - units)) } else { 0.0 };
                let features = [1.0, stretch(density), pace, degree, stretch(mean), unread];
                deep_mask.code(coder, level != 0, &features, 0.0)
            };
            spent(coder.bits(), &mut bits.mask);
            row.expected += density;
            cells[input] = 0;
            if !is_one {
                continue;
            }
            let column = columns.sign[input] / (columns.count[input] + 0.3);
            let balance = f64::from(row.balance) / (row.count as f64 + 1.0);
            let is_negative = if is_image {
                let s = near.map(|level| f64::from(level.signum()));
                let far = s[4] + s[5] + s[6] + s[7] + s[8] + s[9];
                let features = [1.0, s[0], s[1], s[2], s[3], far, s[10], column, balance];
                sign.code(coder, level < 0, &features, 0.0)
            } else {
                deep_sign.code(coder, level < 0, &[1.0, column, balance], 0.0)
            };
            spent(coder.bits(), &mut bits.signs);
            let mean_size = all_sizes / all_counts;
            let relative = |size: f64, count: f64| ln((size + 0.77 * mean_size) / ((count + 0.77) * mean_size));
            let (mut size, mut count) = (0.0, 0.0);
            for (place, &level) in near.iter().enumerate().take(10).filter(|(_, level)| **level != 0) {
                let part = [2.0, 2.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5][place];
                size += part * f64::from(level.unsigned_abs());
                count += part;
            }
            let features = [
                relative(size, count),
                relative(columns.size[input], columns.count[input]),
                relative(row.size, row.count as f64),
            ];
            let size = sizes.code(coder, level.unsigned_abs(), &features);
            spent(coder.bits(), &mut bits.sizes);
            cells[input] = if is_negative { -(size as i32) } else { size as i32 };
            all_sizes += f64::from(size);
            all_counts += 1.0;
            row.left = row.left.saturating_sub(1);
            row.count += 1;
            row.balance += cells[input].signum();
            row.size += f64::from(size);
        }
        columns.add(cells);
        before = row.count;
        total += row.count;
    }
    bits
}

/// The neighbours of a pixel in its plane, as [`NEIGHBOURS`] has them, and last the same pixel in the channel before.
fn neighbours(grid: Grid, cells: &[i32], input: usize) -> [i32; 11] {
    let Grid { height, width, .. } = grid;
    let (y, x) = (input / width % height, input % width);
    let mut near = [0; 11];
    for (near, (up, right)) in near.iter_mut().zip(NEIGHBOURS) {
        if up <= y && (0..width as isize).contains(&(x as isize + right)) {
            *near = cells[(input - up * width).wrapping_add_signed(right)];
        }
    }
    near[10] = input.checked_sub(height * width).map_or(0, |under| cells[under]);
    near
}

/// What tells whether a pixel's weight is 0.
fn mask_features(
    grid: Grid,
    cells: &[i32],
    input: usize,
    near: &[i32; 11],
    density: f64,
    row: &Row,
    units: f64,
) -> [f64; 20] {
    let Grid { height, width, .. } = grid;
    let (y, x) = (input / width % height, input % width);
    // Weights that are not 0 in the seven columns around, in this row of pixels and the three above.
    let mut around = 0;
    for up in 0..=y.min(3) {
        let line = input - x - up * width;
        let end = if up == 0 { x } else { (x + 4).min(width) };
        around += cells[line + x.saturating_sub(3)..line + end].iter().filter(|level| **level != 0).count();
    }
    let one = |is_so: bool| f64::from(u8::from(is_so));
    let n = near.map(|level| one(level != 0));
    let (down, right) = ((2 * y + 1) as f64 - height as f64, (2 * x + 1) as f64 - width as f64);
    let off_centre = (down * down + right * right) / (height * width) as f64;
    let unexpected = row.total - row.expected + 0.02;
    let unexpected = if unexpected > 0.02 { unexpected } else { 0.02 };
    [
        1.0,
        n[0],
        n[1],
        n[2],
        n[3],
        n[4],
        n[5],
        n[6],
        n[7],
        n[8],
        n[9],
        n[10],
        stretch(density),
        ln((around as f64 + 0.5) / (12.0 * density + 0.5)),
        one(near[..10].iter().all(|level| *level == 0)),
        n[0] * n[1],
        f64::from(near[0].signum() * near[1].signum()),
        ln((row.left as f64 + 0.02) / unexpected),
        off_centre * 5.0 / (units + 5.0),
        one(row.count == 0),
    ]
}

/// Codes what must be known of the sizes of all weights of a layer: bits of the largest, and how many of these bits are in use.
fn sizes_of(coder: &mut impl Coder, levels: &[i32]) -> Sizes {
    let sizes = || levels.iter().map(|level| level.unsigned_abs()).filter(|size| *size > 0);
    let most = sizes().map(|size| size.ilog2() + 1).max().unwrap_or(0);
    let most = plain(coder, most, 5);
    let significant = sizes().map(|size| size.ilog2() + 1 - size.trailing_zeros()).max().unwrap_or(0);
    let significant = if most > 4 { plain(coder, significant, 5) } else { most };
    Sizes::new(most, significant, SIZE)
}

/// Codes the biases of a layer: of a hidden layer falling ones, by their differences.
pub fn biases(coder: &mut impl Coder, levels: &mut [i32], are_falling: bool) {
    let most = levels.iter().map(|level| level.unsigned_abs()).max().unwrap_or(0);
    let length = plain(coder, most.checked_ilog2().map_or(0, |length| length + 1), 5).min(20);
    let mut differences = Sizes::new(LONGEST, LONGEST, [0.0; 3]);
    let mut before: Option<i32> = None;
    for level in levels {
        *level = match before {
            Some(before) if are_falling => {
                let difference = (i64::from(before) - i64::from(*level)).clamp(0, (1 << LONGEST) - 2) as u32;
                let difference = differences.code(coder, difference + 1, &[0.0; 3]) - 1;
                before.saturating_sub_unsigned(difference)
            }
            _ => plain(coder, (*level + (1 << length)) as u32, length + 1) as i32 - (1 << length),
        };
        before = Some(*level);
    }
}
