//! What a GPU is told of an optimizer's step: the rule's kernel, and the tensors it runs over.

use candle_core::Tensor;

use super::kernel_name;
use crate::rule::{OnePass, TwoPass};

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
    /// Of a rule in one pass.
    pub fn one_pass<U: OnePass<S, P, H>, const S: usize, const P: usize, const H: usize>() -> Self {
        Self { name: kernel_name(U::NAME, U::OPTIONS), state: S, sums: None }
    }

    /// Of a rule in two passes.
    pub fn two_pass<U, const S: usize, const P: usize, const H: usize, const N: usize, const A: usize>() -> Self
    where
        U: TwoPass<S, P, H, N, A>,
    {
        Self { name: kernel_name(U::NAME, U::OPTIONS), state: S, sums: Some((N, A)) }
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
