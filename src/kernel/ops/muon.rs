//! Muon's step over the lanes of a matrix, on the device where it lies.

use candle_core::{Result, Tensor};

use crate::kernel::gpu::{self, muon::MuonTables};
use crate::kernel::host::muon::{MuonStep, NewtonSchulz, Orthogonal, decay_and_move, look_ahead};
use crate::kernel::host::simd::Width;
use crate::kernel::lend::{by_type, lend_all};

/// Takes the steps of one matrix `[K, rows, columns]`.
#[derive(Debug)]
pub enum MuonUpdater {
    /// In host memory, lane by lane in the same buffers.
    OnHost {
        /// The buffers.
        work: Orthogonal,
        /// The iterations of each lane.
        iterations: Vec<NewtonSchulz>,
        /// The numbers of the step, an entry per lane; kept so that a step allocates nothing.
        steps: Vec<MuonStep>,
    },
    /// On a GPU, all lanes at once.
    OnGpu(MuonTables),
}

impl MuonUpdater {
    /// For the matrix θ, with the iterations of each lane.
    ///
    /// # Errors
    /// If it is no matrix with lanes, or memory does not suffice.
    pub fn new(theta: &Tensor, iterations: Vec<NewtonSchulz>) -> Result<Self> {
        let (_, rows, columns) = theta.dims3()?;
        if let Some(queue) = gpu::queue_of(theta)? {
            return Ok(Self::OnGpu(MuonTables::new(&*queue, theta, iterations)?));
        }
        let steps = Vec::with_capacity(iterations.len());
        Ok(Self::OnHost { work: Orthogonal::new(rows, columns), iterations, steps })
    }

    /// Whether steps can be prepared several at a time.
    pub fn takes_several(&self) -> bool {
        matches!(self, Self::OnGpu(_))
    }

    /// Takes the numbers of the next step of the matrix θ, an entry per lane; on a GPU of the steps of the next launch, one after the
    /// other.
    pub fn prepare(&mut self, theta: &Tensor, numbers: impl Iterator<Item = MuonStep>) -> Result<()> {
        match self {
            Self::OnHost { steps, .. } => {
                steps.clear();
                steps.extend(numbers);
                Ok(())
            }
            Self::OnGpu(muon) => match gpu::queue_of(theta)? {
                Some(queue) => muon.prepare(&*queue, &numbers.collect::<Vec<_>>()),
                None => Ok(()),
            },
        }
    }

    /// Takes the step: θ, its gradient and the buffer b `[K, rows, columns]`. On a GPU `factors` f32 `[K]` scale the gradients further.
    pub fn apply(&mut self, theta: &Tensor, gradient: &Tensor, b: &Tensor, factors: Option<&Tensor>) -> Result<()> {
        match self {
            Self::OnHost { work, iterations, steps } => {
                for (lane, (step, iterations)) in steps.iter().zip(iterations.iter()).enumerate() {
                    one_lane(step, *iterations, lane, theta, gradient, b, work)?;
                }
                Ok(())
            }
            Self::OnGpu(muon) => match gpu::queue_of(theta)? {
                Some(queue) => muon.apply(&*queue, theta, gradient, b, factors),
                None => Ok(()),
            },
        }
    }
}

fn one_lane(
    step: &MuonStep,
    iterations: NewtonSchulz,
    lane: usize,
    theta: &Tensor,
    gradient: &Tensor,
    b: &Tensor,
    work: &mut Orthogonal,
) -> Result<()> {
    let size = work.x.len();
    let lane = lane * size..(lane + 1) * size;
    by_type!(theta, R => {
        lend_all!([gradient: R, mut b: R] => {
            look_ahead(Width::detect(), step, &gradient[lane.clone()], &mut b[lane.clone()], &mut work.x);
        })?;
        work.run(iterations);
        lend_all!([mut theta: R] => decay_and_move(Width::detect(), step, &work.x, &mut theta[lane]))
    })
}
