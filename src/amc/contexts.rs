//! The chance of every bit of the weights and biases: counters of what came before in like places, mixed.

use super::numbers::{squash, stretch};
use super::range::{Coder, ONE, plain};

/// Where the inputs of a layer lie: planes of rows of columns. Hidden units have one row.
#[derive(Clone, Copy, Debug)]
pub struct Grid {
    pub channels: usize,
    pub height: usize,
    pub width: usize,
}

/// How often a bit was 1 in one context.
#[derive(Clone, Copy, Debug)]
struct Counter {
    p: f64,
    count: f64,
    stretched: f64,
}

/// A counter forgets beyond this many bits.
const LIMIT: f64 = 255.0;

impl Counter {
    fn new(p: f64, count: f64) -> Self {
        Self { p, count, stretched: stretch(p) }
    }

    fn update(&mut self, bit: f64) {
        self.p += (bit - self.p) / (self.count + 1.5);
        if self.count < LIMIT {
            self.count += 1.0;
        }
        self.stretched = stretch(self.p);
    }
}

/// N counters, each chosen by a context of its own, and the weights with which their opinions are mixed.
#[derive(Debug)]
pub struct Mixer<const N: usize> {
    tables: [Vec<Counter>; N],
    weights: Vec<[f64; N]>,
    rate: f64,
}

impl<const N: usize> Mixer<N> {
    /// Of tables of these sizes whose bits are 1 with chance `p` until they are known better, and `sets` of weights.
    pub fn new(sizes: [usize; N], p: f64, sets: usize, weight: f64, rate: f64) -> Self {
        let tables = sizes.map(|size| vec![Counter::new(p, 0.4); size]);
        Self { tables, weights: vec![[weight; N]; sets], rate }
    }

    /// Codes a bit in these contexts.
    pub fn code(&mut self, coder: &mut impl Coder, bit: bool, contexts: [usize; N], set: usize) -> bool {
        let weights = &mut self.weights[set];
        let mut inputs = [0.0; N];
        let mut sum = 0.0;
        for k in 0..N {
            inputs[k] = self.tables[k][contexts[k]].stretched;
            sum += weights[k] * inputs[k];
        }
        let p = squash(sum.clamp(-12.0, 12.0));
        let bit = coder.code(bit, chance(p));
        let one = f64::from(u8::from(bit));
        let error = (one - p) * self.rate;
        for k in 0..N {
            weights[k] += error * inputs[k];
            self.tables[k][contexts[k]].update(one);
        }
        bit
    }
}

/// A chance as the coder takes it.
fn chance(p: f64) -> u32 {
    ((p * f64::from(ONE)) as u32).clamp(1, ONE - 1)
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

/// 0, 1, 2, 3–4, 5–8, … up to `most`.
fn bucket(count: usize, most: usize) -> usize {
    let bucket = if count < 3 { count } else { (count - 1).ilog2() as usize + 2 };
    bucket.min(most)
}

/// Codes the weights `[out, in]` of a layer.
pub fn weights(coder: &mut impl Coder, grid: Grid, outputs: usize, levels: &mut [i32]) -> WeightBits {
    let inputs = grid.channels * grid.height * grid.width;
    let plane = grid.height * grid.width;
    let mut bits = WeightBits::default();
    let mut mark = coder.bits();
    let mut spent = |coder: &dyn Fn() -> f64, part: &mut f64| {
        let now = coder();
        *part += now - mark;
        mark = now;
    };
    let mut sizes = Magnitudes::new(coder, levels);
    let mut significance = Mixer::<5>::new([64, 400, 400, 400, 16], 0.05, 1, 0.4, 0.02);
    let mut signs = Mixer::<3>::new([27, 27, 3], 0.5, 1, 0.5, 0.02);
    let mut columns = vec![0_usize; inputs];
    let mut balance = vec![0_i32; inputs];
    let mut previous = 0;
    for unit in 0..outputs {
        let (before, row) = levels[..(unit + 1) * inputs].split_at_mut(unit * inputs);
        let _ = before;
        let mut in_row = 0;
        let mut row_balance = 0;
        for input in 0..inputs {
            let (y, x) = (input % plane / grid.width, input % grid.width);
            let at = |dy: usize, left: isize| -> i32 {
                let column = x as isize + left;
                if y < dy || column < 0 || column >= grid.width as isize {
                    return 0;
                }
                row[(input as isize - (dy * grid.width) as isize + left) as usize]
            };
            let near = [at(0, -1), at(1, 0), at(1, -1), at(1, 1)];
            let far = [at(0, -2), at(2, 0)];
            let under = if input >= plane { row[input - plane] } else { 0 };
            let count = |values: &[i32]| values.iter().filter(|value| **value != 0).count();
            let around = {
                let mut sum = 0;
                for dy in y.saturating_sub(1)..(y + 2).min(grid.height) {
                    for dx in x.saturating_sub(1)..(x + 2).min(grid.width) {
                        sum += columns[input / plane * plane + dy * grid.width + dx];
                    }
                }
                sum
            };
            let c = count(&near);
            let contexts = [
                c * 6 + count(&far) * 2 + usize::from(under != 0),
                bucket(columns[input], 12) * 16 + bucket(unit, 15),
                bucket(around, 14) * 16 + bucket(unit, 15),
                bucket(in_row, 12) * 16 + bucket(input * 16 / inputs, 15),
                bucket(previous, 15),
            ];
            let level = &row[input];
            let is_significant = significance.code(coder, *level != 0, contexts, 0);
            spent(&|| coder.bits(), &mut bits.mask);
            if !is_significant {
                if coder.decodes() {
                    row[input] = 0;
                }
                continue;
            }
            let trit = |value: i32| (value.signum() + 1) as usize;
            let contexts = [
                trit(near[0]) * 9 + trit(near[1]) * 3 + trit(under),
                trit(near[2]) * 9 + trit(near[3]) * 3 + trit(balance[input]),
                trit(row_balance),
            ];
            let is_negative = signs.code(coder, *level < 0, contexts, 0);
            spent(&|| coder.bits(), &mut bits.signs);
            let most = near.iter().map(|value| value.unsigned_abs()).max().unwrap_or(0);
            let size = sizes.code(coder, level.unsigned_abs(), most);
            spent(&|| coder.bits(), &mut bits.sizes);
            row[input] = if is_negative { -(size as i32) } else { size as i32 };
            columns[input] += 1;
            in_row += 1;
            balance[input] += row[input].signum();
            row_balance += row[input].signum();
        }
        previous = in_row;
    }
    bits
}

/// Sizes of numbers that are not 0: how many bits, then these.
#[derive(Debug)]
struct Magnitudes {
    /// Bits of the largest, and how many of a number's bits may be 1.
    most: u32,
    significant: u32,
    lengths: Mixer<2>,
    digits: Mixer<1>,
}

impl Magnitudes {
    /// Codes what it needs to know of all of them.
    fn new(coder: &mut impl Coder, numbers: &[i32]) -> Self {
        let sizes = || numbers.iter().map(|number| number.unsigned_abs()).filter(|size| *size > 0);
        let most = sizes().map(|size| size.ilog2() + 1).max().unwrap_or(0);
        let most = plain(coder, most, 5).min(20);
        let significant = sizes().map(|size| size.ilog2() + 1 - size.trailing_zeros()).max().unwrap_or(0);
        let significant = if most > 4 { plain(coder, significant, 5) } else { most };
        Self {
            most,
            significant,
            lengths: Mixer::new([22, 22 * 6], 0.5, 1, 0.6, 0.02),
            digits: Mixer::new([22 * 8], 0.5, 1, 1.0, 0.0),
        }
    }

    /// Codes a number above 0.
    fn code(&mut self, coder: &mut impl Coder, size: u32, near: u32) -> u32 {
        let own = size.checked_ilog2().unwrap_or(0) + 1;
        let near = (near.checked_ilog2().map_or(0, |length| length + 1) as usize).min(5);
        let mut length = 1;
        while length < self.most {
            if !self.lengths.code(coder, own > length, [length as usize, length as usize * 6 + near], 0) {
                break;
            }
            length += 1;
        }
        let mut number = 1_u32;
        let digits = (length.max(1) - 1).min(self.significant.max(1) - 1);
        for place in 0..digits {
            let bit = size >> (length - 2 - place) & 1 == 1;
            let bit = if place < 3 {
                self.digits.code(coder, bit, [length as usize * 8 + number as usize], 0)
            } else {
                coder.code(bit, ONE / 2)
            };
            number = number << 1 | u32::from(bit);
        }
        number << (length - 1 - digits)
    }
}

/// Codes the biases of a layer.
pub fn biases(coder: &mut impl Coder, levels: &mut [i32]) {
    let mut sizes = Magnitudes::new(coder, levels);
    let mut zeros = Mixer::<1>::new([1], 0.1, 1, 1.0, 0.0);
    let mut signs = Mixer::<1>::new([3], 0.5, 1, 1.0, 0.0);
    let (mut near, mut sign) = (0, 1);
    for level in levels {
        let mut coded = 0;
        if zeros.code(coder, *level != 0, [0], 0) {
            let is_negative = signs.code(coder, *level < 0, [sign], 0);
            let size = sizes.code(coder, level.unsigned_abs(), near);
            coded = if is_negative { -(size as i32) } else { size as i32 };
        }
        near = coded.unsigned_abs();
        sign = (coded.signum() + 1) as usize;
        *level = coded;
    }
}
