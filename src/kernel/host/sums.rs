//! Sums over the elements of a tensor and lane, in an order that any device follows: it is the length's alone.

use std::ops::Range;

use super::simd::{Width, by_halves, vectorised};
use super::team::{self, ELEMENT_WORK};

/// Logical accumulators of a sum: as many as the widest vector has lanes.
pub const ACCUMULATORS: usize = 16;

/// Branches of the tree by which rows of a batch are added: sixteen that follow each other are added in their order, then sixteen of
/// these sums, and so on. The tree follows from the number of rows alone; a GPU has a thread for each of its leaves.
pub const BRANCHES: usize = 16;

/// Levels of that tree, for any number of rows of 32 bits.
const LEVELS: usize = 8;

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

/// The nodes of the tree above so many rows or nodes: those of each level, up to the root.
pub fn tree_nodes(rows: usize) -> usize {
    let level = |nodes: &usize| (*nodes > 1).then(|| nodes.div_ceil(BRANCHES));
    std::iter::successors(Some(rows.div_ceil(BRANCHES)), level).sum()
}

/// Adds nodes of one level, `[nodes, K]`, by the levels above it: the root of each of K lanes comes to lie in front.
pub fn add_by_tree<const N: usize>(nodes: &mut [[f64; N]], lanes: usize) {
    let mut count = nodes.len() / lanes.max(1);
    while count > 1 {
        let children = count;
        count = children.div_ceil(BRANCHES);
        for (parent, lane) in (0..count).flat_map(|parent| (0..lanes).map(move |lane| (parent, lane))) {
            let mut sum = [0.0; N];
            for child in BRANCHES * parent..children.min(BRANCHES * (parent + 1)) {
                sum.iter_mut().zip(nodes[child * lanes + lane]).for_each(|(sum, child)| *sum += child);
            }
            // What lay here was a child of this node or of one before it.
            nodes[parent * lanes + lane] = sum;
        }
    }
}

/// Columns that are summed at once.
const COLUMNS: usize = 64;

vectorised! {
    /// `sums = Σ x` over the rows of x `[rows, columns]` by the tree of [`BRANCHES`], of the columns from `start` on.
    pub fn sums_of_columns[][](x: &[f32], columns: usize, start: usize, sums: &mut [f32]) {
        for (block, sums) in (start..).step_by(COLUMNS).zip(sums.chunks_mut(COLUMNS)) {
            let mut levels = [[0.0_f32; COLUMNS]; LEVELS];
            for (row, x) in (1_usize..).zip(x.chunks_exact(columns)) {
                for (sum, x) in levels[0].iter_mut().zip(&x[block..block + sums.len()]) {
                    *sum += x;
                }
                // The nodes that are complete with this row.
                let (mut level, mut done) = (0, row);
                while done.is_multiple_of(BRANCHES) && level + 1 < LEVELS {
                    go_up(&mut levels, level, sums.len());
                    (level, done) = (level + 1, done / BRANCHES);
                }
            }
            // The last of each level may have fewer children; where there is none, its sum is 0 and adds nothing.
            (0..LEVELS - 1).for_each(|level| go_up(&mut levels, level, sums.len()));
            sums.copy_from_slice(&levels[LEVELS - 1][..sums.len()]);
        }
    }
}

/// Adds the node of a level to its parent, and begins the next.
#[inline(always)]
fn go_up(levels: &mut [[f32; COLUMNS]; LEVELS], level: usize, columns: usize) {
    let [child, parent] = &mut levels[level..level + 2] else { return };
    for (sum, child) in parent.iter_mut().zip(&mut child[..columns]) {
        *sum += std::mem::take(child);
    }
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

    /// The tree as it is defined: sums of sixteen, then of these.
    fn by_tree(mut sums: Vec<f32>) -> f32 {
        while sums.len() > 1 {
            sums = sums.chunks(BRANCHES).map(|children| children.iter().fold(0.0, |sum, child| sum + child)).collect();
        }
        sums[0]
    }

    #[test]
    fn columns_and_nodes_are_summed_by_the_tree() {
        let mut stream = Stream::new(5, Purpose::Weights, 0);
        for rows in [1, 2, 15, 16, 17, 128, 255, 256, 257, 4095, 4097] {
            for columns in [1, 3, 17, 64, 65] {
                let x: Vec<f32> = (0..rows * columns).map(|_| stream.symmetric(1.0)).collect();
                let expected: Vec<f32> = (0..columns)
                    .map(|column| by_tree(x.iter().skip(column).step_by(columns).copied().collect()))
                    .collect();
                for width in Width::available() {
                    let mut sums = vec![f32::NAN; columns];
                    sums_of_columns(width, &x, columns, 0, &mut sums);
                    assert_eq!(sums, expected, "{width:?}, {rows} rows, {columns} columns");
                }
                let mut tail = vec![f32::NAN; columns - columns / 2];
                sums_of_columns(Width::detect(), &x, columns, columns / 2, &mut tail);
                assert_eq!(tail, expected[columns / 2..], "{rows} rows, {columns} columns");
            }
            // Whole numbers have one sum.
            for lanes in [1, 3] {
                let node = |node: usize| [(node / lanes) as f64, (node % lanes) as f64];
                let mut nodes: Vec<[f64; 2]> = (0..rows * lanes).map(node).collect();
                add_by_tree(&mut nodes, lanes);
                for (lane, root) in nodes[..lanes].iter().enumerate() {
                    assert_eq!(*root, [(rows * (rows - 1) / 2) as f64, (lane * rows) as f64]);
                }
            }
        }
        assert_eq!([1, 16, 17, 128, 257].map(tree_nodes), [1, 1, 3, 9, 20]);
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
