//! Muon: the momentum of a hidden layer's matrix, made orthogonal; AdamW for everything else.
//!
//! ```text
//!     bₜ = μ·bₜ₋₁ + (1−μ)·gₜ
//!     uₜ = bₜ                                    nesterov: (1−μ)·gₜ + μ·bₜ
//!     Oₜ = NewtonSchulz(uₜ)                      near the nearest orthogonal matrix: ns_steps times from uₜ/‖uₜ‖
//!                                                X ← a·X + (b·G + c·G²)·X, G = X·Xᵀ; ns_coefficients: a, b, c
//!     θₜ = θₜ₋₁ − α·λ·θₜ₋₁ − α·s·Oₜ
//!     s = √max(1, rows/columns)                  adjust = match_rms_adamw: 0.2·√max(rows, columns)
//!                                                adjust = spectral_unclamped: √(rows/columns)
//! ```
//!
//! Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks"; as torch.optim.Muon, but in f32 where it
//! computes in bf16; the norm is not taken for less than its `eps`, 10⁻⁷. A weight has a row for each output and a column for each input. The second scale is that of Liu et al. 2025,
//! arXiv:2502.16982, the third that of Bernstein 2025, "Deriving Muon"; it takes smaller steps than the first where a layer
//! narrows. Biases and the output layer, where orthogonality has no meaning, follow AdamW at the rate `adam_lr`, with the same
//! schedule, decay, and β₁, β₂ and ε.

use anyhow::{Result, ensure};
use candle_core::{Tensor, Var};

use super::adam::Adam;
use super::driver::expect_scalars;
use super::family::Family;
use super::groups::{Grouped, Part};
use super::hyper::{
    ADAM_LR, ADJUST, BETA1, BETA2, CAUTIOUS_DECAY, EPS, Hypers, LR, MOMENTUM, NESTEROV, NS_COEFFICIENTS, NS_STEPS,
    WEIGHT_DECAY,
};
use super::parameter::{Parameter, Parameters};
use super::{Gradients, LaneOptimizer, StepScalars, expect_fitting, expect_numbers};
use crate::kernel::{self, MuonStep, NewtonSchulz};
use crate::rule::Rule as _;

/// Muon.
pub static MUON: Family = Family {
    name: "muon",
    about: "orthogonal momentum for hidden matrices, AdamW for the rest",
    source: "Jordan et al. 2024; as torch.optim.Muon, in f32",
    file: include_str!("muon.rs"),
    state_numbers: Some(state_numbers),
    ..Family::new(
        &[
            LR,
            MOMENTUM.or(0.95),
            NESTEROV.on(),
            WEIGHT_DECAY.or(0.1),
            NS_STEPS,
            NS_COEFFICIENTS,
            ADJUST,
            ADAM_LR,
            BETA1,
            BETA2,
            EPS,
            CAUTIOUS_DECAY,
        ],
        &Adam::STATE,
        build,
    )
};

/// Numbers that a parameter of this shape takes if it is a hidden layer's: b, two X by turns, and of G and what is made of it squares of
/// the shorter side.
fn state_numbers(shape: &[u64], _: &Hypers) -> u64 {
    match *shape {
        [rows, columns] => {
            let least = rows.min(columns);
            let squares = if kernel::goes_by_stretches(rows as usize, columns as usize) { 4 } else { 2 };
            let of_squares = least.saturating_mul(least).saturating_mul(squares);
            rows.saturating_mul(columns).saturating_mul(3).saturating_add(of_squares)
        }
        _ => shape.iter().product::<u64>().saturating_mul(2),
    }
}

fn build(parameters: &Parameters, lanes: &[Hypers]) -> Result<Box<dyn LaneOptimizer>> {
    let (hidden, rest): (Vec<usize>, Vec<usize>) =
        (0..parameters.len()).partition(|&index| parameters[index].is_hidden);
    let select = |members: &[usize]| -> Vec<Parameter> { members.iter().map(|&i| parameters[i].clone()).collect() };
    let mut parts = Vec::new();
    if !hidden.is_empty() {
        parts.push(Part {
            optimizer: Box::new(Muon::new(&select(&hidden), lanes)?),
            members: hidden,
            lr_factors: vec![1.0; lanes.len()],
        });
    }
    if !rest.is_empty() {
        parts.push(Part {
            optimizer: Adam::decoupled(&select(&rest), lanes)?,
            members: rest,
            lr_factors: lanes.iter().map(|lane| lane.number(&ADAM_LR) / lane.number(&LR)).collect(),
        });
    }
    Ok(Box::new(Grouped::new(parameters, parts)))
}

/// Muon over matrices `[K, rows, columns]`. Those of a lone lane may do without the first axis, and have several for their columns, as
/// the kernels of a convolution: `[rows, …]`.
struct Muon {
    names: Vec<String>,
    vars: Vec<Var>,
    /// The variables as `[K, rows, columns]`, in their memory.
    matrices: Vec<Tensor>,
    buffers: Vec<Tensor>,
    /// Lends both to a step without taking memory.
    _views: kernel::Views,
    /// What takes the step of each matrix.
    work: Vec<kernel::MuonUpdater>,
    lanes: Vec<Hypers>,
    /// Of the last step.
    scalars: Vec<StepScalars>,
    /// Steps that each lane has taken.
    steps: Vec<u64>,
}

impl Muon {
    fn new(parameters: &Parameters, lanes: &[Hypers]) -> Result<Self> {
        expect_numbers(parameters)?;
        let (mut matrices, mut buffers, mut work) = (Vec::new(), Vec::new(), Vec::new());
        let iterations: Vec<NewtonSchulz> = lanes.iter().map(iterations).collect();
        for Parameter { name, var, .. } in parameters {
            let matrix = match *var.dims() {
                [count, rows, columns] if count == lanes.len() => var.reshape((count, rows, columns))?,
                [rows, _, ..] if lanes.len() == 1 => var.reshape((1, rows, ()))?,
                _ => anyhow::bail!(
                    "parameter `{name}` has shape {:?}, expected matrices of {} lanes",
                    var.dims(),
                    lanes.len()
                ),
            };
            buffers.push(matrix.zeros_like()?);
            work.push(kernel::MuonUpdater::new(&matrix, iterations.clone())?);
            matrices.push(matrix);
        }
        Ok(Self {
            names: parameters.iter().map(|parameter| parameter.name.clone()).collect(),
            vars: parameters.iter().map(|parameter| parameter.var.clone()).collect(),
            _views: kernel::Views::new(matrices.iter().chain(&buffers))?,
            matrices,
            buffers,
            work,
            lanes: lanes.to_vec(),
            scalars: Vec::with_capacity(lanes.len()),
            steps: vec![0; lanes.len()],
        })
    }

    /// The numbers of a lane's step over a matrix of this shape.
    fn numbers(hypers: &Hypers, scalars: StepScalars, rows: usize, columns: usize) -> MuonStep {
        let (rows, columns) = (rows as f64, columns as f64);
        let scale = match hypers.word(&ADJUST) {
            "match_rms_adamw" => 0.2 * rows.max(columns).sqrt(),
            "spectral_unclamped" => (rows / columns).sqrt(),
            _ => (rows / columns).max(1.0).sqrt(),
        };
        let momentum = hypers.number(&MOMENTUM);
        let decay = -scalars.lr * hypers.number(&WEIGHT_DECAY);
        MuonStep {
            weight: (1.0 - momentum) as f32,
            ahead: if hypers.is_on(&NESTEROV) { momentum as f32 } else { 1.0 },
            gradient: scalars.gradient_scale as f32,
            minus_step: (-scalars.lr * scale) as f32,
            toward: decay as f32,
            away: if hypers.is_on(&CAUTIOUS_DECAY) { 0.0 } else { decay as f32 },
        }
    }
}

fn iterations(hypers: &Hypers) -> NewtonSchulz {
    let coefficients = hypers.field(&NS_COEFFICIENTS).unwrap_or([f64::NAN; 3]);
    NewtonSchulz { iterations: hypers.count(&NS_STEPS), coefficients: coefficients.map(|number| number as f32) }
}

impl LaneOptimizer for Muon {
    fn check(&self, gradients: &dyn Gradients) -> Result<()> {
        for (index, (name, var)) in self.names.iter().zip(&self.vars).enumerate() {
            expect_fitting(name, var, gradients.gradient(index, var))?;
        }
        Ok(())
    }

    fn prepare(&mut self, scalars: &[StepScalars]) -> Result<()> {
        let lanes = self.lanes.len();
        expect_scalars(scalars, lanes, self.work.iter().all(kernel::MuonUpdater::takes_several))?;
        self.steps.iter_mut().for_each(|steps| *steps += (scalars.len() / lanes) as u64);
        self.scalars.clear();
        self.scalars.extend_from_slice(&scalars[scalars.len() - lanes..]);
        for (matrix, work) in self.matrices.iter().zip(&mut self.work) {
            let (rows, columns) = (matrix.dims()[1], matrix.dims()[2]);
            let lanes = self.lanes.iter().cycle().zip(scalars);
            work.prepare(matrix, lanes.map(|(hypers, scalars)| Self::numbers(hypers, *scalars, rows, columns)))?;
        }
        Ok(())
    }

    fn apply(&mut self, gradients: &dyn Gradients) -> Result<()> {
        for (index, (var, work)) in self.vars.iter().zip(&mut self.work).enumerate() {
            if let Some(gradient) = gradients.gradient(index, var) {
                work.apply(&self.matrices[index], gradient, &self.buffers[index], gradients.factors())?;
            }
        }
        Ok(())
    }

    fn steps(&self, lane: usize) -> u64 {
        self.steps[lane]
    }

    fn state(&self) -> Result<Vec<(String, Tensor)>> {
        let parts = self.names.iter().zip(&self.buffers).zip(&self.vars);
        parts.map(|((name, buffer), var)| Ok((format!("{name}.b"), buffer.reshape(var.shape())?))).collect()
    }

    fn stand_after(&mut self, lane: usize, steps: u64, history: &[f64]) -> Result<()> {
        ensure!(history.is_empty(), "there are numbers of history, expected none");
        self.steps[lane] = steps;
        Ok(())
    }

    fn begin_anew(&mut self, lane: usize) -> Result<()> {
        for buffer in &self.buffers {
            kernel::fill(&kernel::lane(buffer, lane)?, 0.0)?;
        }
        self.steps[lane] = 0;
        Ok(())
    }

    fn scalars(&self, index: usize, lane: usize) -> Vec<(&'static str, f64)> {
        let (Some(matrix), Some(scalars)) = (self.matrices.get(index), self.scalars.get(lane)) else {
            return Vec::new();
        };
        let MuonStep { weight, ahead, minus_step, toward, away, .. } =
            Self::numbers(&self.lanes[lane], *scalars, matrix.dims()[1], matrix.dims()[2]);
        let numbers = [weight, ahead, minus_step, toward, away].map(f64::from);
        ["weight", "ahead", "minus_step", "toward", "away"].into_iter().zip(numbers).collect()
    }

    fn ruled_by_epsilon(&self, _: usize) -> Result<Vec<(String, Option<f64>)>> {
        Ok(self.names.iter().map(|name| (name.clone(), None)).collect())
    }
}
