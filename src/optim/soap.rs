//! SOAP: Adam in the eigenbases of Shampoo's preconditioners.
//!
//! ```text
//!     G′ = Q_Lᵀ·Gₜ·Q_R                           of a vector: G′ = gₜ
//!     mₜ = β₁·mₜ₋₁ + (1−β₁)·G′
//!     vₜ = β₂·vₜ₋₁ + (1−β₂)·G′²
//!     uₜ = Q_L·(mₜ/(√vₜ + ε))·Q_Rᵀ               normalize_grads: uₜ/RMS(uₜ)
//!     θ′ = θₜ₋₁ − α·√(1−β₂ᵗ⁻¹)/(1−β₁ᵗ⁻¹)·uₜ      bias_correction off: θₜ₋₁ − α·uₜ
//!     θₜ = θ′ − α·λ·θ′
//!     Lₜ = β₃·Lₜ₋₁ + (1−β₃)·Gₜ·Gₜᵀ,  Rₜ = β₃·Rₜ₋₁ + (1−β₃)·Gₜᵀ·Gₜ
//!     where f divides t − 1: Q_L ← QR(Lₜ·Q_L), Q_R ← QR(Rₜ·Q_R), and mₜ goes along
//!     step 1: L₁ and R₁ alone; the columns of Q_L and Q_R are their eigenvectors, and nothing moves
//! ```
//!
//! Vyas et al. 2024, arXiv:2409.11321, Algorithm 3; as nikhilvyas/SOAP: a step takes the bases that the gradients before it have made,
//! the first is left out, which the corrections do not count, ε is added to √vₜ before it is corrected, and decay comes last. Before
//! the power iteration columns are sorted by qᵀ·L·q, from large to small, and vₜ with them. There mₜ goes out of the bases and back in
//! every step, which is nothing but rounding where they stay; here it does so where they change.
//!
//! A weight has a row for each output and a column for each input; a parameter with more axes is the matrix of its first and of all
//! others together, as Muon's, where the authors have a basis for each axis. A side longer than `max_precond_dim` has the axes for a
//! basis. Products are those of the parameter's type; eigenvectors and orthonormal factors are f64.

use anyhow::{Result, ensure};
use candle_core::{Tensor, Var};

use super::driver::expect_on_host;
use super::hyper::{MAX_PRECOND_DIM, PRECONDITION_FREQUENCY};
use super::prelude::*;
use super::store::lane_of;
use super::{Gradients, LaneOptimizer, Parameter, Parameters, StepScalars, expect_fitting, expect_numbers};
use crate::kernel::{self, Sides, SoapPhase, SoapRoom, SoapStep, SoapTensors};
use crate::rule::Named as _;

/// The state of a matrix, as checkpoints call it; a vector has the first two.
const STATE: [&str; 6] = ["m", "v", LEFT[0], RIGHT[0], LEFT[1], RIGHT[1]];

/// What the squares of a weight's rows are called in checkpoints, one side as long as there are outputs.
pub const LEFT: [&str; 2] = ["left", "basis_left"];
/// The same of its columns, of inputs.
pub const RIGHT: [&str; 2] = ["right", "basis_right"];

pub static SOAP: Family = Family {
    name: "soap",
    about: "Adam in the eigenbases of Shampoo's preconditioners",
    source: "Vyas et al. 2024, arXiv:2409.11321; as nikhilvyas/SOAP",
    file: include_str!("soap.rs"),
    on_gpu: false,
    state_numbers: Some(state_numbers),
    refuse: |hypers| {
        (hypers.count(&PRECONDITION_FREQUENCY) == 0)
            .then_some("`optim.precondition_frequency` is 0, expected a number of steps")
    },
    ..Family::new(Soap::HYPERS, &STATE, |parameters, lanes| {
        let longest: Vec<u64> = lanes.iter().map(|lane| lane.count(&MAX_PRECOND_DIM)).collect();
        Ok(Box::new(Preconditioned::new(parameters, lanes.iter().map(Soap::new).collect(), &longest)?))
    })
};

hyperparameters! {
    /// SOAP over vectors; over matrices its numbers.
    pub struct Soap {
        lr = LR.or(3e-3),
        beta1: f64 = BETA1.or(0.95),
        beta2: f64 = BETA2.or(0.95),
        eps: f64 = EPS,
        weight_decay: f64 = WEIGHT_DECAY.or(0.01),
        shampoo_beta: f64 = SHAMPOO_BETA,
        precondition_frequency: u64 = PRECONDITION_FREQUENCY,
        normalize_grads: bool = NORMALIZE_GRADS,
        bias_correction: bool = BIAS_CORRECTION.on(),
        + MAX_PRECOND_DIM,
    }
}

named!(Scalars { weight1, weight2, minus_step, eps, decay, normalise, moves });

// Squares, summed to those of the root mean square.
named!(Squares { of_u });

// The rate of a tensor.
named!(Rate { minus_step });

impl Rule<2, 0, 7> for Soap {
    const NAME: &'static str = "soap";
    const STATE: [&'static str; 2] = ["m", "v"];

    type Scalars<R: Real> = Scalars<R>;

    fn scalars(&self, _: &mut [f64; 0], lr: f64, t: u64) -> Scalars<f64> {
        let counted = t.saturating_sub(1).max(1);
        let correction = |beta: f64| if self.bias_correction { bias_correction(beta, counted) } else { 1.0 };
        Scalars {
            weight1: 1.0 - self.beta1,
            weight2: 1.0 - self.beta2,
            minus_step: -lr * correction(self.beta2).sqrt() / correction(self.beta1),
            eps: self.eps,
            decay: -lr * self.weight_decay,
            normalise: f64::from(self.normalize_grads),
            moves: if t > 1 { 1.0 } else { 0.0 },
        }
    }
}

impl Soap {
    /// u, m and v after this gradient.
    #[inline(always)]
    fn update<R: Real>(h: Scalars<R>, g: R, [m, v]: [R; 2]) -> (R, [R; 2]) {
        let (m, v) = (m.averaged(h.weight1, g), v.averaged_square(h.weight2, g));
        (m / (v.sqrt() + h.eps), [m, v])
    }

    /// What step t ≥ 1 does to a matrix.
    fn phase(&self, t: u64) -> SoapPhase {
        match t - 1 {
            0 => SoapPhase::First,
            counted if counted.is_multiple_of(self.precondition_frequency) => SoapPhase::Refining,
            _ => SoapPhase::Between,
        }
    }
}

impl Passes<2, 0, 7, 1, 1> for Soap {
    type Sums<R: Real> = Squares<R>;
    type Reduced<R: Real> = Rate<R>;

    #[inline(always)]
    fn first<R: Real>(h: Scalars<R>, _: R, g: R, state: [R; 2]) -> Squares<R> {
        let (u, _) = Self::update(h, g, state);
        Squares { of_u: u * u }
    }

    #[inline(always)]
    fn second<R: Real>(h: Scalars<R>, Rate { minus_step }: Rate<R>, theta: R, g: R, before: [R; 2]) -> (R, [R; 2]) {
        let (u, [m, v]) = Self::update(h, g, before);
        let step = minus_step * u;
        let moved = theta + h.decay.mul_add(theta + step, step);
        let kept = |new: R, old: R| R::select(R::constant(0.0).less(h.moves), new, old);
        (kept(moved, theta), [kept(m, before[0]), kept(v, before[1])])
    }
}

impl TwoPass<2, 0, 7, 1, 1> for Soap {
    fn reduce<R: Real>(h: Scalars<R>, Squares { of_u }: Squares<R>, count: R) -> Rate<R> {
        let normalised = h.minus_step / (R::constant(1e-30) + (of_u / count).sqrt());
        Rate { minus_step: R::select(R::constant(0.0).less(h.normalise), normalised, h.minus_step) }
    }
}

/// State numbers of a parameter of this shape.
fn state_numbers(shape: &[u64], hypers: &Hypers) -> u64 {
    let moments = shape.iter().product::<u64>().saturating_mul(2);
    let [rows, columns @ ..] = shape else { return moments };
    if columns.is_empty() {
        return moments;
    }
    let squares = |side: u64| if side <= hypers.count(&MAX_PRECOND_DIM) { side.saturating_mul(side) } else { 0 };
    let squares = squares(*rows).saturating_add(squares(columns.iter().product()));
    moments.saturating_add(squares.saturating_mul(2))
}

/// The state of a parameter.
enum Own {
    /// m and v `[2, K, …]` of vectors.
    Vector(Tensor),
    /// Of matrices.
    Matrix(Sides, SoapTensors),
}

impl Own {
    /// Its tensors by name.
    fn named(&self) -> Result<Vec<(&'static str, Tensor)>> {
        match self {
            Self::Vector(state) => {
                STATE[..2].iter().enumerate().map(|(index, name)| Ok((*name, state.get(index)?))).collect()
            }
            Self::Matrix(sides, tensors) => {
                let is_kept = |index: usize| match index {
                    2 | 4 => sides.has_left,
                    3 | 5 => sides.has_right,
                    _ => true,
                };
                let all = STATE.into_iter().zip(tensors.all()).enumerate().filter(|(index, _)| is_kept(*index));
                Ok(all.map(|(_, (name, tensor))| (name, tensor.clone())).collect())
            }
        }
    }
}

/// SOAP over parameters `[K, …]`; a lone lane takes any shape, and may have an axis of 1 in front.
struct Preconditioned {
    names: Vec<String>,
    vars: Vec<Var>,
    own: Vec<Own>,
    /// Lends both to a step without taking memory.
    _views: kernel::Views,
    room: SoapRoom,
    rules: Vec<Soap>,
    /// Of the last step, an entry per lane, as vectors and as matrices take them.
    scalars: Vec<kernel::Scalars<7>>,
    numbers: Vec<SoapStep>,
    /// Steps that each lane has taken.
    steps: Vec<u64>,
}

impl Preconditioned {
    /// Takes the parameters, and of each lane a rule and the longest side that has a basis, which is the same for all.
    fn new(parameters: &Parameters, rules: Vec<Soap>, longest: &[u64]) -> Result<Self> {
        expect_numbers(parameters)?;
        expect_on_host(parameters, SOAP.name)?;
        let lanes = rules.len();
        let all = longest.first().copied().unwrap_or_default();
        ensure!(longest.iter().all(|own| *own == all), "lanes have several `{}`", MAX_PRECOND_DIM.key);
        let mut own = Vec::new();
        for Parameter { name, var, .. } in parameters {
            let dims = var.dims();
            ensure!(
                lanes == 1 || dims.first() == Some(&lanes),
                "parameter `{name}` has shape {dims:?}, expected {lanes} lanes in front"
            );
            let (front, shape) = if dims.first() == Some(&lanes) { dims.split_at(1) } else { (&[][..], dims) };
            let zeros = |dims: &[usize]| Tensor::zeros(dims, var.dtype(), var.device());
            own.push(match *shape {
                [rows, ref columns @ ..] if !columns.is_empty() && var.elem_count() > 0 => {
                    let columns = columns.iter().product();
                    let has_basis = |side: usize| side as u64 <= all;
                    let sides = Sides { rows, columns, has_left: has_basis(rows), has_right: has_basis(columns) };
                    let square = |has: bool, side: usize| {
                        if has { zeros(&[front, &[side, side]].concat()) } else { zeros(&[1]) }
                    };
                    let tensors = SoapTensors {
                        m: zeros(dims)?,
                        v: zeros(dims)?,
                        left: square(sides.has_left, rows)?,
                        left_basis: square(sides.has_left, rows)?,
                        right: square(sides.has_right, columns)?,
                        right_basis: square(sides.has_right, columns)?,
                    };
                    Own::Matrix(sides, tensors)
                }
                _ => Own::Vector(zeros(&[&[2], dims].concat())?),
            });
        }
        let vars: Vec<Var> = parameters.iter().map(|parameter| parameter.var.clone()).collect();
        let tensors = own.iter().flat_map(|own| match own {
            Own::Vector(state) => vec![state],
            Own::Matrix(_, tensors) => tensors.all().to_vec(),
        });
        let matrices = vars.iter().zip(&own).filter_map(|(var, own)| match own {
            Own::Vector(_) => None,
            Own::Matrix(sides, _) => Some((*sides, var.dtype())),
        });
        Ok(Self {
            names: parameters.iter().map(|parameter| parameter.name.clone()).collect(),
            _views: kernel::Views::new(vars.iter().map(Var::as_tensor).chain(tensors))?,
            room: SoapRoom::new(matrices),
            vars,
            own,
            scalars: Vec::with_capacity(lanes),
            numbers: Vec::with_capacity(lanes),
            steps: vec![0; lanes],
            rules,
        })
    }
}

impl LaneOptimizer for Preconditioned {
    fn check(&self, gradients: &dyn Gradients) -> Result<()> {
        for (index, (name, var)) in self.names.iter().zip(&self.vars).enumerate() {
            expect_fitting(name, var, gradients.gradient(index, var))?;
        }
        Ok(())
    }

    fn prepare(&mut self, scalars: &[StepScalars]) -> Result<()> {
        ensure!(scalars.len() == self.rules.len(), "{} lanes of scalars, expected {}", scalars.len(), self.rules.len());
        self.scalars.clear();
        self.numbers.clear();
        for ((rule, steps), lane) in self.rules.iter().zip(&mut self.steps).zip(scalars) {
            *steps += 1;
            let h = rule.scalars(&mut [], lane.lr, *steps);
            self.scalars.push(kernel::Scalars { rule: h.into_array(), gradient: lane.gradient_scale });
            let of_sides = if rule.shampoo_beta < 0.0 { rule.beta2 } else { rule.shampoo_beta };
            self.numbers.push(SoapStep {
                phase: rule.phase(*steps),
                weight1: h.weight1,
                weight2: h.weight2,
                weight3: 1.0 - of_sides,
                eps: h.eps,
                minus_step: h.minus_step,
                decay: h.decay,
                normalise: rule.normalize_grads,
                gradient: lane.gradient_scale,
            });
        }
        Ok(())
    }

    fn apply(&mut self, gradients: &dyn Gradients) -> Result<()> {
        for (index, (var, own)) in self.vars.iter().zip(&self.own).enumerate() {
            let Some(gradient) = gradients.gradient(index, var).filter(|_| var.elem_count() > 0) else { continue };
            match own {
                Own::Vector(state) => {
                    kernel::update_in_two_passes::<Soap, 2, 0, 7, 1, 1>(&self.scalars, var, gradient, state)?;
                }
                Own::Matrix(sides, tensors) => {
                    kernel::soap(&self.numbers, *sides, var, gradient, tensors, &mut self.room)?;
                }
            }
        }
        Ok(())
    }

    fn steps(&self, lane: usize) -> u64 {
        self.steps[lane]
    }

    fn state(&self) -> Result<Vec<(String, Tensor)>> {
        let mut tensors = Vec::new();
        for (name, own) in self.names.iter().zip(&self.own) {
            tensors.extend(own.named()?.into_iter().map(|(state, tensor)| (format!("{name}.{state}"), tensor)));
        }
        Ok(tensors)
    }

    fn stand_after(&mut self, lane: usize, steps: u64, history: &[f64]) -> Result<()> {
        ensure!(history.is_empty(), "there are numbers of history, expected none");
        self.steps[lane] = steps;
        Ok(())
    }

    fn begin_anew(&mut self, lane: usize) -> Result<()> {
        for (_, tensor) in self.state()? {
            kernel::fill(&lane_of(&tensor, lane, self.rules.len())?, 0.0)?;
        }
        self.steps[lane] = 0;
        Ok(())
    }

    fn scalars(&self, _: usize, lane: usize) -> Vec<(&'static str, f64)> {
        let numbers = self.scalars.get(lane).into_iter().flat_map(|scalars| scalars.rule);
        Scalars::<f64>::NAMES.into_iter().zip(numbers).collect()
    }

    /// Of a matrix, the share of v in the bases; it is no second moment of the matrix's own elements, so that there is no denominator.
    fn ruled_by_epsilon(&self, lane: usize) -> Result<Vec<(String, Option<f64>)>> {
        let bound = 100.0 * self.rules[lane].eps.powi(2);
        let mut shares = Vec::new();
        for (name, own) in self.names.iter().zip(&self.own) {
            let v = match own {
                Own::Vector(state) => state.get(1)?,
                Own::Matrix(_, tensors) => tensors.v.clone(),
            };
            shares.push((name.clone(), Some(kernel::share_below(&lane_of(&v, lane, self.rules.len())?, bound)?)));
        }
        Ok(shares)
    }
}
