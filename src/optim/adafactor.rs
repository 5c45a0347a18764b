//! Adafactor: steps in units of the parameter's size, scaled by a second moment of which a matrix keeps the means of rows and columns.
//!
//! ```text
//!     wₜ = t^γ,  ρₜ = min(α, 1/√t)
//!     rₜ = rₜ₋₁ + wₜ·(mean of gₜ² over each row − rₜ₋₁)      cₜ likewise over each column
//!     vₜ = rₜ·cₜ/max(mean(rₜ), ε₁)                 of a vector: vₜ = vₜ₋₁ + wₜ·(gₜ² − vₜ₋₁)
//!     uₜ = gₜ/√max(vₜ, ε₁²)
//!     θₜ = θₜ₋₁ − α·λ·θₜ₋₁ − max(ε₂, RMS(θₜ₋₁))·ρₜ/max(1, RMS(uₜ)/d)·uₜ
//! ```
//!
//! Shazeer & Stern 2018, arXiv:1804.04235, Algorithms 4 to 6 without momentum; as torch.optim.Adafactor: ε₁ enters the quotient and
//! the root, not the squares; ρₜ falls as 1/√t where α is above it; decay has the rate α alone. ε₁ is the distance from 1 to the
//! next number of the parameter's type unless given. Weights keep rows + columns numbers; of a parameter with more than two axes
//! the last two are those of its matrices, one root mean square for all of them; a matrix of one row is a vector, which is the same.
//! Where PyTorch forms (r·c)/mean(r), this forms (r/mean(r))·c, which large gradients do not overflow in f32.

use anyhow::{Result, ensure};
use candle_core::{Tensor, Var};

use super::driver::expect_on_host;
use super::prelude::*;
use super::store::lane_of;
use super::{Gradients, LaneOptimizer, Parameter, Parameters, StepScalars, expect_fitting, expect_numbers};
use crate::kernel::{self, FactoredStep, FactoredUpdater, Stack};
use crate::rule::Named as _;

/// What the means of rows are called in checkpoints.
pub const ROW: &str = "row";
/// The same of columns.
pub const COL: &str = "col";

pub static ADAFACTOR: Family = Family {
    name: "adafactor",
    about: "second moments of rows and columns, steps by size",
    source: "Shazeer & Stern 2018, arXiv:1804.04235; as torch.optim.Adafactor",
    file: include_str!("adafactor.rs"),
    on_gpu: false,
    state_numbers: Some(state_numbers),
    refuse: |hypers| {
        let floor = hypers.number(&super::hyper::EPS1);
        (floor > 0.0 && floor < 1e-18)
            .then_some("`optim.eps1` is below 1e-18, whose square f32 does not have: give more, or 0")
    },
    ..Family::new(Adafactor::HYPERS, &[ROW, COL], |parameters, lanes| {
        Ok(Box::new(Factored::new(parameters, lanes.iter().map(Adafactor::new).collect())?))
    })
};

hyperparameters! {
    /// Adafactor over vectors; over matrices its numbers.
    pub struct Adafactor {
        lr = LR.or(1e-2),
        beta2_decay: f64 = BETA2_DECAY,
        eps1: f64 = EPS1,
        eps2: f64 = EPS2,
        clip_threshold: f64 = CLIP_THRESHOLD,
        weight_decay: f64 = WEIGHT_DECAY,
    }
}

named!(Scalars { weight, eps, eps2, rate, threshold, decay });

// Squares, summed to those of the root mean squares.
named!(Squares { of_theta, of_u });

// The rate of a tensor.
named!(Rate { minus_step });

impl Rule<1, 0, 6> for Adafactor {
    const NAME: &'static str = "adafactor";
    const STATE: [&'static str; 1] = ["v"];

    type Scalars<R: Real> = Scalars<R>;

    fn scalars(&self, _: &mut [f64; 0], lr: f64, t: u64) -> Scalars<f64> {
        let t = t as f64;
        Scalars {
            weight: t.powf(self.beta2_decay),
            eps: self.eps1,
            eps2: self.eps2,
            rate: lr.min(1.0 / t.sqrt()),
            threshold: self.clip_threshold,
            decay: -lr * self.weight_decay,
        }
    }
}

impl Adafactor {
    /// u, and v after this gradient.
    #[inline(always)]
    fn update<R: Real>(h: Scalars<R>, g: R, v: R) -> (R, R) {
        let floor = R::select(R::constant(0.0).less(h.eps), h.eps, R::epsilon());
        let v = v.averaged_square(h.weight, g);
        (g / v.larger(floor * floor).sqrt(), v)
    }
}

impl Passes<1, 0, 6, 2, 1> for Adafactor {
    type Sums<R: Real> = Squares<R>;
    type Reduced<R: Real> = Rate<R>;

    #[inline(always)]
    fn first<R: Real>(h: Scalars<R>, theta: R, g: R, [v]: [R; 1]) -> Squares<R> {
        let (u, _) = Self::update(h, g, v);
        Squares { of_theta: theta * theta, of_u: u * u }
    }

    #[inline(always)]
    fn second<R: Real>(h: Scalars<R>, Rate { minus_step }: Rate<R>, theta: R, g: R, [v]: [R; 1]) -> (R, [R; 1]) {
        let (u, v) = Self::update(h, g, v);
        (theta.moved(h.decay, minus_step * u), [v])
    }
}

impl TwoPass<1, 0, 6, 2, 1> for Adafactor {
    fn reduce<R: Real>(h: Scalars<R>, Squares { of_theta, of_u }: Squares<R>, count: R) -> Rate<R> {
        let count = count.sqrt();
        let size = (of_theta.sqrt() / count).larger(h.eps2);
        let outgrown = (of_u.sqrt() / (count * h.threshold)).larger(R::constant(1.0));
        Rate { minus_step: -(size * h.rate) / outgrown }
    }
}

/// State numbers of a parameter of this shape.
fn state_numbers(shape: &[u64], _: &Hypers) -> u64 {
    match shape {
        [matrices @ .., rows, columns] => {
            matrices.iter().product::<u64>().saturating_mul(rows.saturating_add(*columns))
        }
        _ => shape.iter().product(),
    }
}

/// The second moment of a parameter.
enum Moment {
    /// v `[1, K, …]` of vectors.
    Whole(Tensor),
    /// Means of rows `[K, …, rows]` and of columns `[K, …, columns]`.
    Factored { row: Tensor, col: Tensor, work: FactoredUpdater },
}

/// Adafactor over parameters `[K, …]`; a lone lane takes any shape, and may have an axis of 1 in front.
struct Factored {
    names: Vec<String>,
    vars: Vec<Var>,
    moments: Vec<Moment>,
    /// Lends both to a step without taking memory.
    _views: kernel::Views,
    rules: Vec<Adafactor>,
    /// Of the last step, an entry per lane, as vectors and as matrices take them.
    scalars: Vec<kernel::Scalars<6>>,
    numbers: Vec<FactoredStep>,
    /// Steps that each lane has taken.
    steps: Vec<u64>,
}

impl Factored {
    fn new(parameters: &Parameters, rules: Vec<Adafactor>) -> Result<Self> {
        expect_numbers(parameters)?;
        expect_on_host(parameters, ADAFACTOR.name)?;
        let lanes = rules.len();
        let mut moments = Vec::new();
        for Parameter { name, var, .. } in parameters {
            let dims = var.dims();
            ensure!(
                lanes == 1 || dims.first() == Some(&lanes),
                "parameter `{name}` has shape {dims:?}, expected {lanes} lanes in front"
            );
            let zeros = |dims: &[usize]| Tensor::zeros(dims, var.dtype(), var.device());
            let own = if dims.first() == Some(&lanes) { &dims[1..] } else { dims };
            moments.push(match *own {
                [.., 0] | [.., 0, _] => Moment::Whole(zeros(&[&[1], dims].concat())?),
                [ref stack @ .., rows, columns] => {
                    let front = &dims[..dims.len() - 2];
                    let stack = Stack { matrices: stack.iter().product(), rows, columns };
                    Moment::Factored {
                        row: zeros(&[front, &[rows]].concat())?,
                        col: zeros(&[front, &[columns]].concat())?,
                        work: FactoredUpdater::new(stack, lanes),
                    }
                }
                _ => Moment::Whole(zeros(&[&[1], dims].concat())?),
            });
        }
        let vars: Vec<Var> = parameters.iter().map(|parameter| parameter.var.clone()).collect();
        let tensors = moments.iter().flat_map(|moment| match moment {
            Moment::Whole(v) => vec![v],
            Moment::Factored { row, col, .. } => vec![row, col],
        });
        Ok(Self {
            names: parameters.iter().map(|parameter| parameter.name.clone()).collect(),
            _views: kernel::Views::new(vars.iter().map(Var::as_tensor).chain(tensors))?,
            vars,
            moments,
            scalars: Vec::with_capacity(lanes),
            numbers: Vec::with_capacity(lanes),
            steps: vec![0; lanes],
            rules,
        })
    }
}

impl LaneOptimizer for Factored {
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
            let Scalars { weight, eps: floor, decay, .. } = h;
            self.numbers.push(FactoredStep { weight, floor, decay, gradient: lane.gradient_scale });
        }
        Ok(())
    }

    fn apply(&mut self, gradients: &dyn Gradients) -> Result<()> {
        let (scalars, lanes) = (&self.scalars, self.rules.len());
        for (index, (var, moment)) in self.vars.iter().zip(&mut self.moments).enumerate() {
            let Some(gradient) = gradients.gradient(index, var).filter(|_| var.elem_count() > 0) else { continue };
            match moment {
                Moment::Whole(v) => {
                    kernel::update_in_two_passes::<Adafactor, 1, 0, 6, 2, 1>(scalars, var, gradient, v)?;
                }
                Moment::Factored { row, col, work } => {
                    let count = (var.elem_count() / lanes) as f64;
                    let rate = |lane: usize, [of_theta, of_u]: [f64; 2]| {
                        let h = Scalars::from_array(scalars[lane].rule);
                        Adafactor::reduce(h, Squares { of_theta, of_u }, count).minus_step
                    };
                    work.apply(&self.numbers, &rate, var, gradient, row, col)?;
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
        for (name, moment) in self.names.iter().zip(&self.moments) {
            match moment {
                Moment::Whole(v) => tensors.push((format!("{name}.v"), v.get(0)?)),
                Moment::Factored { row, col, .. } => {
                    tensors.push((format!("{name}.{ROW}"), row.clone()));
                    tensors.push((format!("{name}.{COL}"), col.clone()));
                }
            }
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

    fn ruled_by_epsilon(&self, _: usize) -> Result<Vec<(String, Option<f64>)>> {
        Ok(self.names.iter().map(|name| (name.clone(), None)).collect())
    }
}
