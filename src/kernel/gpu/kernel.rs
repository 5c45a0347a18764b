//! What a GPU is told of an optimizer's step: the rule's kernel, and the tensors it runs over.

use candle_core::Tensor;

use super::kernel_name;

/// What a GPU has to know of a rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Kernel {
    /// The name of its kernel; of three kernels what they begin with.
    pub(super) name: String,
    /// State numbers S.
    pub(super) state: usize,
    /// Sums N and scalars A between two passes; none for one pass.
    pub(super) sums: Option<(usize, usize)>,
}

impl Kernel {
    /// Of rule `U` in one pass, with so many state numbers.
    pub fn one_pass<U>(state: usize) -> Self {
        Self { name: kernel_name::<U>(), state, sums: None }
    }

    /// Of rule `U` in two passes, with so many state numbers, sums and scalars made of them.
    pub fn two_pass<U>(state: usize, sums: usize, scalars: usize) -> Self {
        Self { name: kernel_name::<U>(), state, sums: Some((sums, scalars)) }
    }
}

/// The tensors of one parameter.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// θ, `[K, …]`.
    pub theta: &'a Tensor,
    /// Its gradient.
    pub gradient: &'a Tensor,
    /// Its state, `[S, K, …]`.
    pub state: &'a Tensor,
}
