//! A rule's step over all parameters of an optimizer, on the device where they lie: a loop per parameter in host memory, one launch on a
//! GPU.

use candle_core::{Result, Tensor};

use crate::kernel::element::Number;
use crate::kernel::gpu::kernel::{Kernel, Parts};
use crate::kernel::gpu::{self, update::Update};
use crate::kernel::host::simd::Width;
use crate::kernel::host::update::{self as host, Scalars};
use crate::kernel::lend::{by_type, lend_all};
use crate::rule::{OnePass, Passes, TwoPass};

/// Takes the steps of one optimizer.
#[derive(Debug)]
pub struct Updater {
    /// The tables on a GPU, and a tensor there; none in host memory.
    on_gpu: Option<(Update, Tensor)>,
}

impl Updater {
    /// For a rule of `scalars` scalars and K lanes, whose parameters lie where `beside` does.
    pub fn new(kernel: Kernel, scalars: usize, lanes: usize, beside: Option<&Tensor>) -> Result<Self> {
        let on_gpu = match beside {
            Some(beside) if gpu::queue_of(beside)?.is_some() => {
                Some((Update::new(kernel, scalars, lanes, beside)?, beside.clone()))
            }
            _ => None,
        };
        Ok(Self { on_gpu })
    }

    /// Whether steps can be prepared several at a time.
    pub fn takes_several(&self) -> bool {
        self.on_gpu.is_some()
    }

    /// Brings the scalars of the next step to where they are needed, a row per lane; on a GPU of the steps of the next launch, one after
    /// the other.
    pub fn prepare<const H: usize>(&self, rows: &[Scalars<H>]) -> Result<()> {
        if let Some((update, beside)) = &self.on_gpu
            && let Some(queue) = gpu::queue_of(beside)?
        {
            update.prepare(&*queue, rows)?;
        }
        Ok(())
    }

    /// Takes the step: `step` is that over one parameter in host memory. On a GPU `factors` f32 `[K]` scale the gradients further.
    pub fn apply<'a>(
        &mut self,
        mut parts: impl Iterator<Item = Parts<'a>>,
        factors: Option<&Tensor>,
        step: impl FnMut(Parts<'a>) -> Result<()>,
    ) -> Result<()> {
        if let Some((update, beside)) = &mut self.on_gpu
            && let Some(queue) = gpu::queue_of(beside)?
        {
            return update.apply(&*queue, &parts.collect::<Vec<_>>(), factors);
        }
        parts.try_for_each(step)
    }
}

/// One step of rule `U`: θ and g `[K, …]`, state `[S, K, …]`, a row of scalars per lane. In place.
pub fn update<U, const S: usize, const P: usize, const H: usize>(
    scalars: &[Scalars<H>],
    theta: &Tensor,
    gradient: &Tensor,
    state: &Tensor,
) -> Result<()>
where
    U: OnePass<S, P, H>,
{
    by_type!(theta, R => {
        over_lanes(scalars.len(), theta, gradient, state, |width, lane, theta: &mut [R], gradient, state| {
            host::update::<R, U, S, P, H>(width, &scalars[lane], theta, gradient, state);
        })
    })
}

/// One step of rule `U` in two passes, with the sums of each lane between them. Otherwise as [`update`].
pub fn update_in_two_passes<U, const S: usize, const P: usize, const H: usize, const N: usize, const A: usize>(
    scalars: &[Scalars<H>],
    theta: &Tensor,
    gradient: &Tensor,
    state: &Tensor,
) -> Result<()>
where
    U: TwoPass<S, P, H, N, A>,
{
    by_type!(theta, R => {
        over_lanes(scalars.len(), theta, gradient, state, |width, lane, theta: &mut [R], gradient, state| {
            host::update_in_two_passes::<R, U, S, P, H, N, A>(width, &scalars[lane], theta, gradient, state);
        })
    })
}

/// The first pass of rule `U` over one tensor in host memory: the sums of each lane. Otherwise as [`update`].
pub fn first_pass<U, const S: usize, const P: usize, const H: usize, const N: usize, const A: usize>(
    scalars: &[Scalars<H>],
    theta: &Tensor,
    gradient: &Tensor,
    state: &Tensor,
    sums: &mut [[f64; N]],
) -> Result<()>
where
    U: Passes<S, P, H, N, A>,
{
    by_type!(theta, R => lend_all!([gradient: R, theta: R, state: R] => {
        let mut parts = state.chunks_exact(theta.len());
        let parts = [(); S].map(|()| parts.next().unwrap_or_default());
        host::first_over_lanes::<R, U, S, P, H, N, A>(scalars, theta, gradient, parts, sums);
    }))
}

/// The second pass of rule `U` over one tensor in host memory, with what lies between the passes, a row per lane.
pub fn second_pass<U, const S: usize, const P: usize, const H: usize, const N: usize, const A: usize>(
    scalars: &[Scalars<H>],
    reduced: &[[f64; A]],
    theta: &Tensor,
    gradient: &Tensor,
    state: &Tensor,
) -> Result<()>
where
    U: Passes<S, P, H, N, A>,
{
    by_type!(theta, R => {
        over_lanes(scalars.len(), theta, gradient, state, |width, lane, theta: &mut [R], gradient, state| {
            let (scalars, reduced) = (&scalars[lane], reduced[lane]);
            host::second::<R, U, S, P, H, N, A>(width, scalars, reduced, theta, gradient, state);
        })
    })
}

/// Calls `step` with the number and the slices of each of K `lanes`: θ, g and the parts of the state.
fn over_lanes<R: Number, const S: usize>(
    lanes: usize,
    theta: &Tensor,
    gradient: &Tensor,
    state: &Tensor,
    step: impl Fn(Width, usize, &mut [R], &[R], [&mut [R]; S]) + Sync,
) -> Result<()> {
    let run = |theta: &mut [R], gradient: &[R], state: &mut [R]| {
        let mut parts = state.chunks_exact_mut(theta.len());
        // `S` parts by construction of the tensor.
        let parts = [(); S].map(|()| parts.next().unwrap_or_default());
        host::over_lanes(lanes, theta, gradient, parts, &step);
    };
    if S == 0 {
        return lend_all!([gradient: R, mut theta: R] => run(theta, gradient, &mut []));
    }
    lend_all!([gradient: R, mut theta: R, mut state: R] => run(theta, gradient, state))
}
