//! Level curves of a function of two variables, by marching squares.
//!
//! Each cell of a grid is crossed where two of its corners lie on either side of the level, at the place that a straight line between them
//! gives. Crossings lie on edges of the grid, an edge belongs to two cells at most, and so the pieces join to curves by their edges alone.
//! Of a saddle, a cell with two crossings too many, the mean of its corners decides which of them belong together.

use crate::text::three_digits;

/// Heights at the corners of a grid over a rectangle, from the lower left, row by row.
#[derive(Clone, Debug)]
pub struct Heights {
    columns: usize,
    rows: usize,
    values: Vec<f64>,
}

/// A place in the rectangle, as shares of its width and height.
pub type Share = (f64, f64);

impl Heights {
    /// The heights that a function of shares has at so many corners a side, two at least.
    pub fn of(columns: usize, rows: usize, height: impl Fn(Share) -> f64) -> Self {
        let (columns, rows) = (columns.max(2), rows.max(2));
        let share = |k: usize, count: usize| k as f64 / (count - 1) as f64;
        let corners = (0..rows).flat_map(|row| (0..columns).map(move |column| (column, row)));
        let values = corners.map(|(column, row)| height((share(column, columns), share(row, rows)))).collect();
        Self { columns, rows, values }
    }

    fn at(&self, column: usize, row: usize) -> f64 {
        self.values[row * self.columns + column]
    }

    /// So many levels between which about the same is seen, the lower ones nearer to one another: quantiles of the heights, at shares that
    /// grow as a square. Fewer where heights are alike.
    pub fn levels(&self, count: usize) -> Vec<f64> {
        let mut sorted: Vec<f64> = self.values.iter().copied().filter(|value| value.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        let Some(last) = sorted.len().checked_sub(1) else { return Vec::new() };
        let share = |k: usize| ((k as f64 + 0.5) / count as f64).powi(2);
        let quantile = |k: usize| sorted[(share(k) * last as f64) as usize];
        // They are read as they are drawn.
        let mut levels: Vec<f64> = (0..count).map(quantile).map(three_digits).collect();
        levels.dedup();
        levels
    }

    /// The curves at a level, each from end to end or, closed, back to where it began.
    pub fn curves(&self, level: f64) -> Vec<Vec<Share>> {
        let mut joints = vec![[NONE; 2]; 2 * self.columns * self.rows];
        for row in 0..self.rows - 1 {
            for column in 0..self.columns - 1 {
                for (a, b) in self.pieces(column, row, level).into_iter().flatten() {
                    for (from, to) in [(a, b), (b, a)] {
                        let free = usize::from(joints[from][0] != NONE);
                        joints[from][free] = to;
                    }
                }
            }
        }
        let mut curves = Vec::new();
        // First those with ends, which lie on the border; what is left is closed.
        for has_end in [true, false] {
            for edge in 0..joints.len() {
                let count = joints[edge].iter().filter(|&&joint| joint != NONE).count();
                if count == 1 || count == 2 && !has_end {
                    curves.push(self.followed(&mut joints, edge, level));
                }
            }
        }
        curves
    }

    /// The curve that begins at an edge, taken out of `joints`.
    fn followed(&self, joints: &mut [[usize; 2]], start: usize, level: f64) -> Vec<Share> {
        let mut curve = vec![self.crossing(start, level)];
        let mut edge = start;
        while let Some(place) = joints[edge].iter().position(|&joint| joint != NONE) {
            let next = std::mem::replace(&mut joints[edge][place], NONE);
            if let Some(back) = joints[next].iter().position(|&joint| joint == edge) {
                joints[next][back] = NONE;
            }
            curve.push(self.crossing(next, level));
            edge = next;
        }
        curve
    }

    /// The pieces of a level in a cell, as pairs of edges.
    fn pieces(&self, column: usize, row: usize, level: f64) -> [Option<(usize, usize)>; 2] {
        // From the lower left, against the clock; an edge lies between a corner and the next.
        let corners = [(0, 0), (1, 0), (1, 1), (0, 1)].map(|(x, y)| self.at(column + x, row + y));
        if !corners.iter().all(|corner| corner.is_finite()) {
            return [None; 2];
        }
        let (across, up) = (|row| 2 * (row * self.columns + column), |column| 2 * (row * self.columns + column) + 1);
        let edges = [across(row), up(column + 1), across(row + 1), up(column)];
        let is_above = corners.map(|corner| corner >= level);
        let crossed: Vec<usize> = (0..4).filter(|&k| is_above[k] != is_above[(k + 1) % 4]).collect();
        match crossed[..] {
            [a, b] => [Some((edges[a], edges[b])), None],
            [_, _, _, _] => {
                let is_ridge = corners.iter().sum::<f64>() / 4.0 >= level;
                // The corners that are cut off are those on the other side of the mean.
                if is_above[0] == is_ridge {
                    [Some((edges[0], edges[1])), Some((edges[2], edges[3]))]
                } else {
                    [Some((edges[3], edges[0])), Some((edges[1], edges[2]))]
                }
            }
            _ => [None; 2],
        }
    }

    /// Where a level crosses an edge.
    fn crossing(&self, edge: usize, level: f64) -> Share {
        let (corner, is_up) = (edge / 2, edge % 2 == 1);
        let (column, row) = (corner % self.columns, corner / self.columns);
        let (right, above) = if is_up { (column, row + 1) } else { (column + 1, row) };
        let (a, b) = (self.at(column, row), self.at(right, above));
        let part = ((level - a) / (b - a)).clamp(0.0, 1.0);
        let share = |from: usize, to: usize, count: usize| {
            (from as f64 + part * (to as f64 - from as f64)) / (count - 1) as f64
        };
        (share(column, right, self.columns), share(row, above, self.rows))
    }
}

/// No edge.
const NONE: usize = usize::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bowl_has_circles_and_a_slope_has_lines() {
        let bowl = Heights::of(41, 41, |(x, y)| (x - 0.5).powi(2) + (y - 0.5).powi(2));
        let curves = bowl.curves(0.09);
        assert_eq!(curves.len(), 1);
        let circle = &curves[0];
        assert_eq!(circle.first(), circle.last());
        for (x, y) in circle {
            assert!(((x - 0.5).hypot(y - 0.5) - 0.3).abs() < 2e-3, "{x} {y}");
        }
        let slope = Heights::of(11, 7, |(x, y)| x + 2.0 * y);
        let curves = slope.curves(1.234);
        assert_eq!(curves.len(), 1);
        assert!(curves[0].len() > 5 && curves[0].iter().all(|(x, y)| (x + 2.0 * y - 1.234).abs() < 1e-12));
        assert!(slope.curves(-1.0).is_empty() && slope.curves(4.0).is_empty());
    }

    #[test]
    fn every_piece_is_drawn_once_and_nothing_breaks_a_grid() {
        // Many hills and saddles.
        let hills = Heights::of(60, 50, |(x, y)| (17.0 * x).sin() * (13.0 * y).cos());
        for level in [-0.9, -0.3, 0.0, 0.4] {
            let pieces: usize = (0..49)
                .flat_map(|row| (0..59).map(move |column| (column, row)))
                .map(|(column, row)| hills.pieces(column, row, level).iter().flatten().count())
                .sum();
            let curves = hills.curves(level);
            assert_eq!(curves.iter().map(|curve| curve.len() - 1).sum::<usize>(), pieces, "{level}");
        }
        let odd = Heights::of(9, 9, |(x, _)| if x > 0.5 { f64::NAN } else { 1.0 });
        assert!(odd.curves(1.0).is_empty() && odd.levels(5) == [1.0]);
        assert!(Heights::of(2, 2, |_| f64::INFINITY).levels(5).is_empty());
    }
}
