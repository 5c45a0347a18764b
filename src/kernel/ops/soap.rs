//! SOAP's step over the lanes of a matrix, in host memory.

use candle_core::{Result, Tensor};

use crate::kernel::host::soap::{Multiplied, Sides, SoapRoom, SoapSlices, SoapStep, step};
use crate::kernel::lend::{by_type, lend_all};

/// The tensors of a matrix: θ, m and v `[K, rows, columns]`, Gram matrices and bases `[K, side, side]`. A side without a basis has any
/// two, of an element at least.
#[derive(Debug)]
pub struct SoapTensors {
    /// m, in the bases.
    pub m: Tensor,
    /// v, in the bases.
    pub v: Tensor,
    /// L.
    pub left: Tensor,
    /// Q_L.
    pub left_basis: Tensor,
    /// R.
    pub right: Tensor,
    /// Q_R.
    pub right_basis: Tensor,
}

impl SoapTensors {
    /// All of them.
    pub fn all(&self) -> [&Tensor; 6] {
        [&self.m, &self.v, &self.left, &self.right, &self.left_basis, &self.right_basis]
    }
}

/// Takes the step of a parameter, with an entry of numbers per lane.
pub fn soap(
    steps: &[SoapStep],
    sides: Sides,
    theta: &Tensor,
    gradient: &Tensor,
    tensors: &SoapTensors,
    room: &mut SoapRoom,
) -> Result<()> {
    let SoapTensors { m, v, left, left_basis, right, right_basis } = tensors;
    by_type!(theta, R => lend_all!(
        [gradient: R, mut theta: R, mut m: R, mut v: R, mut left: R, mut left_basis: R, mut right: R, mut right_basis: R] => {
            each_lane::<R>(steps, sides, SoapSlices {
                theta,
                gradient,
                m,
                v,
                left: [left, left_basis],
                right: [right, right_basis],
            }, room);
        }
    ))
}

fn each_lane<R: Multiplied>(steps: &[SoapStep], sides: Sides, all: SoapSlices<R>, room: &mut SoapRoom) {
    let SoapSlices { theta, gradient, m, v, left: [left, left_basis], right: [right, right_basis] } = all;
    let size = sides.rows * sides.columns;
    // A side without a basis has no elements of its own.
    let own = |has: bool, side: usize| if has { side * side } else { 0 };
    let (of_left, of_right) = (own(sides.has_left, sides.rows), own(sides.has_right, sides.columns));
    for (lane, numbers) in steps.iter().enumerate() {
        let slices = SoapSlices {
            theta: cut(theta, lane, size),
            gradient: &gradient[lane * size..(lane + 1) * size],
            m: cut(m, lane, size),
            v: cut(v, lane, size),
            left: [cut(left, lane, of_left), cut(left_basis, lane, of_left)],
            right: [cut(right, lane, of_right), cut(right_basis, lane, of_right)],
        };
        step(numbers, sides, slices, room);
    }
}

fn cut<R>(slice: &mut [R], lane: usize, count: usize) -> &mut [R] {
    &mut slice[lane * count..(lane + 1) * count]
}
