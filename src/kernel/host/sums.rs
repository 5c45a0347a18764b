//! Sums over the elements of a tensor and lane, in an order that any device follows: it is the length's alone.

use std::ops::Range;

use super::simd::{Width, by_halves, vectorised};
use super::team::{self, ELEMENT_WORK};

/// Logical accumulators of a sum: as many as the widest vector has lanes.
pub const ACCUMULATORS: usize = 16;

/// Elements between two cuts: a cache line, so that two threads never write to the same one.
pub const LINE: usize = 16;

/// Most pieces of a sum over a tensor: as many as give a GPU enough to do.
const PIECES: usize = 1024;

/// Fewest elements of a piece but the last.
const PIECE: usize = 1024;

/// Fewest elements that a thread takes of such a sum.
const SHARE: usize = 4096;

/// Elements of each piece, but the last, of a sum over the `count` elements of a tensor and lane. The cut follows from the
/// length alone, so that the order of a sum does, on any device.
pub fn piece_size(count: usize) -> usize {
    count.div_ceil(PIECES).next_multiple_of(LINE).max(PIECE)
}

/// N sums over the `count` elements of a tensor and lane: those of its pieces, then over 16 columns of pieces, then of these by
/// halves. The order follows from the length alone, and any device follows it.
pub fn sum_in_pieces<const N: usize>(count: usize, piece: impl Fn(Range<usize>) -> [f64; N] + Sync) -> [f64; N] {
    let size = piece_size(count);
    if count <= size {
        return piece(0..count);
    }
    let mut pieces = [[0.0; N]; PIECES];
    let pieces = &mut pieces[..count.div_ceil(size)];
    team::over_slices(pieces, (SHARE / size).max(1), size * ELEMENT_WORK, |start, sums| {
        for (index, sums) in (start..).zip(sums) {
            *sums = piece(index * size..count.min((index + 1) * size));
        }
    });
    let mut columns = [[0.0; ACCUMULATORS]; N];
    for (index, sums) in pieces.iter().enumerate() {
        for (column, sum) in columns.iter_mut().zip(sums) {
            column[index % ACCUMULATORS] += sum;
        }
    }
    columns.map(by_halves)
}

vectorised! {
    /// Σ g² in f64, over 16 logical accumulators and a fixed tree, whatever the vector width.
    pub fn sum_of_squares[][](g: &[f32]) -> f64 {
        let mut sums = [0.0_f64; ACCUMULATORS];
        let (blocks, tail) = g.as_chunks::<ACCUMULATORS>();
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
    /// `sum ← sum + x`.
    pub fn add[][](x: &[f32], sum: &mut [f32]) {
        for (sum, x) in sum.iter_mut().zip(x) {
            *sum += x;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, Stream};

    #[test]
    fn a_sum_is_cut_into_no_more_pieces_than_there_may_be_each_of_whole_lines() {
        for count in [1, 15, 1024, 1025, 266_610, 1_048_576, 1_048_577, 100_000_000] {
            let size = piece_size(count);
            assert!(size >= PIECE && size.is_multiple_of(LINE), "{count}");
            assert!(count.div_ceil(size) <= PIECES, "{count}");
        }
    }

    #[test]
    fn every_width_gives_the_same_bits() {
        let mut stream = Stream::new(5, Purpose::Weights, 0);
        for count in [1, 3, 7, 16, 17, 165] {
            let numbers: Vec<f32> = (0..count).map(|_| stream.symmetric(1.0)).collect();
            let plain = sum_of_squares(Width::Scalar, &numbers);
            for width in Width::available() {
                assert_eq!(sum_of_squares(width, &numbers), plain, "{width:?}, {count} numbers");
            }
        }
    }
}
