//! The step of matrices whose second moment is kept as means of rows and columns, in host memory.

use candle_core::{Result, Tensor};

use crate::kernel::host::factored::{self, FactoredStep, Slices, Stack};
use crate::kernel::lend::{by_type, lend_all};

/// Takes the steps of one parameter `[K, matrices, rows, columns]`, of whose axes the first two may be left out where they are 1.
#[derive(Debug)]
pub struct FactoredUpdater {
    stack: Stack,
    room: Vec<f64>,
}

impl FactoredUpdater {
    /// For K `lanes` of a stack of matrices.
    pub fn new(stack: Stack, lanes: usize) -> Self {
        Self { stack, room: vec![0.0; lanes * stack.matrices * (stack.rows + stack.columns)] }
    }

    /// Takes the step, with an entry of numbers per lane: θ, its gradient, and the means of rows `[K, matrices, rows]` and columns
    /// `[K, matrices, columns]`. `rate` makes the factor on u of a lane's number and Σθ² and Σu².
    pub fn apply(
        &mut self,
        steps: &[FactoredStep],
        rate: &(impl Fn(usize, [f64; 2]) -> f64 + Sync),
        theta: &Tensor,
        gradient: &Tensor,
        row: &Tensor,
        col: &Tensor,
    ) -> Result<()> {
        let Self { stack, room } = self;
        by_type!(theta, R => lend_all!([gradient: R, mut theta: R, mut row: R, mut col: R] => {
            factored::step::<R>(steps, rate, *stack, Slices { theta, gradient, row, col }, room);
        }))
    }
}
