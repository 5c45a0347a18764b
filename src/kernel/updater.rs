//! A rule's step over all parameters of an optimizer, on the device where they lie: a loop per parameter in host memory, one launch on a
//! GPU.

use candle_core::{Result, Tensor};

use super::Scalars;
use super::gpu::{kernel_name, queue, update::Update};
use crate::rule::{Rule, TwoPass};

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
    pub fn one_pass<U: Rule<S, P, H>, const S: usize, const P: usize, const H: usize>() -> Self {
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

/// Takes the steps of one optimizer.
#[derive(Debug)]
pub struct Updater {
    /// The tables on a GPU, and a tensor there; none in host memory.
    on_gpu: Option<(Update, Tensor)>,
}

impl Updater {
    /// For a rule of `scalars` scalars and K lanes, whose parameters lie where `beside` does.
    ///
    /// # Errors
    /// If memory does not suffice.
    pub fn new(kernel: Kernel, scalars: usize, lanes: usize, beside: Option<&Tensor>) -> Result<Self> {
        let on_gpu = match beside {
            Some(beside) if queue::of(beside)?.is_some() => {
                Some((Update::new(kernel, scalars, lanes, beside)?, beside.clone()))
            }
            _ => None,
        };
        Ok(Self { on_gpu })
    }

    /// Brings the scalars of the next step to where they are needed, a row per lane.
    ///
    /// # Errors
    /// If the device fails.
    pub fn prepare<const H: usize>(&self, rows: &[Scalars<H>]) -> Result<()> {
        if let Some((update, beside)) = &self.on_gpu
            && let Some(queue) = queue::of(beside)?
        {
            update.prepare(&*queue, rows)?;
        }
        Ok(())
    }

    /// Takes the step: `step` is that over one parameter in host memory. On a GPU `factors` f32 `[K]` scale the gradients further.
    ///
    /// # Errors
    /// If the device fails.
    pub fn apply<'a>(
        &mut self,
        mut parts: impl Iterator<Item = Parts<'a>>,
        factors: Option<&Tensor>,
        step: impl FnMut(Parts<'a>) -> Result<()>,
    ) -> Result<()> {
        if let Some((update, beside)) = &mut self.on_gpu
            && let Some(queue) = queue::of(beside)?
        {
            return update.apply(&*queue, &parts.collect::<Vec<_>>(), factors);
        }
        parts.try_for_each(step)
    }
}
