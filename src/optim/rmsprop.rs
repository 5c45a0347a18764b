//! RMSprop: the gradient over its recent root mean square, or over its deviation; with momentum.
//!
//!     gₜ = ∇f(θₜ₋₁) + λ·θₜ₋₁
//!     vₜ = a·vₜ₋₁ + (1−a)·gₜ²
//!     centered: ḡₜ = a·ḡₜ₋₁ + (1−a)·gₜ,  σₜ = √(vₜ − ḡₜ²),  else σₜ = √vₜ
//!     θₜ = θₜ₋₁ − α·gₜ/(σₜ + ε)
//!     momentum: bₜ = μ·bₜ₋₁ + gₜ/(σₜ + ε),  θₜ = θₜ₋₁ − α·bₜ
//!
//! Tieleman & Hinton 2012, Coursera lecture 6.5; centred: Graves 2013, arXiv:1308.0850. As torch.optim.RMSprop: ε stands outside
//! the root, the learning rate outside the buffer. Where a gradient hardly changes, rounding can make vₜ − ḡₜ² negative and
//! σₜ NaN; PyTorch has the same defect, and the run then ends as diverged. `a` is `optim.alpha`.

use super::driver::one_pass;
use super::family::{Family, anything};
use super::hyper::{CENTERED, EPS, Hypers, LR, MOMENTUM, SMOOTHING, WEIGHT_DECAY};
use crate::rule::{Floor, Real, Rule};

/// RMSprop.
pub static RMSPROP: Family = Family {
    name: "rmsprop",
    aliases: &[],
    about: "the gradient over its recent size; with momentum, centred",
    source: "Tieleman & Hinton 2012, lecture 6.5; as torch.optim.RMSprop",
    file: include_str!("rmsprop.rs"),
    most_state: 3,
    hypers: &[LR.or(1e-2), SMOOTHING, EPS, WEIGHT_DECAY, MOMENTUM, CENTERED],
    refuse: anything,
    build: |parameters, lanes| {
        let buffer = lanes.iter().any(|lane| lane.number(&MOMENTUM) != 0.0);
        let centered = lanes.iter().any(|lane| lane.is_on(&CENTERED));
        match (centered, buffer) {
            (false, false) => one_pass(parameters, lanes.iter().map(RmsProp::<false, false>::new)),
            (false, true) => one_pass(parameters, lanes.iter().map(RmsProp::<false, true>::new)),
            (true, false) => one_pass(parameters, lanes.iter().map(RmsProp::<true, false>::new)),
            (true, true) => one_pass(parameters, lanes.iter().map(RmsProp::<true, true>::new)),
        }
    },
};

/// RMSprop; `CENTERED` adds the mean to the state, `BUFFER` the momentum.
#[derive(Clone, Copy, Debug)]
pub struct RmsProp<const CENTERED: bool, const BUFFER: bool> {
    smoothing: f64,
    eps: f64,
    weight_decay: f64,
    momentum: f64,
}

impl<const MEAN: bool, const BUFFER: bool> RmsProp<MEAN, BUFFER> {
    /// With these hyperparameters.
    pub fn new(hypers: &Hypers) -> Self {
        Self {
            smoothing: hypers.number(&SMOOTHING),
            eps: hypers.number(&EPS),
            weight_decay: hypers.number(&WEIGHT_DECAY),
            momentum: hypers.number(&MOMENTUM),
        }
    }

    /// The formula with all of its state; what a variant lacks goes in as 0 and is left behind.
    #[inline(always)]
    fn step<R: Real>(
        [decay, weight, eps, momentum, minus_lr]: [R; 5],
        theta: R,
        g: R,
        [v, mean, b]: [R; 3],
    ) -> (R, [R; 3]) {
        let g = decay.mul_add(theta, g);
        let v = v.averaged_square(weight, g);
        let mean = if MEAN { mean.averaged(weight, g) } else { mean };
        let deviation = if MEAN {
            // A v that was flushed lies below its ḡ², which was not.
            let variance = (-mean).mul_add(mean, v);
            R::select(v.less(R::smallest_normal()), v, variance).sqrt()
        } else {
            v.sqrt()
        };
        let scaled = g / (deviation + eps);
        let b = if BUFFER { momentum.mul_add(b, scaled).flushed() } else { scaled };
        (minus_lr.mul_add(b, theta), [v, mean, b])
    }
}

/// A variant: of the state numbers v, mean and b it keeps `$own`, the others are 0 to it.
macro_rules! variant {
    ($name:literal, $mean:literal, $buffer:literal, $count:literal, ($v:ident $m:ident $b:ident), [$($own:ident),*]) => {
        impl Rule<$count, 0, 5> for RmsProp<$mean, $buffer> {
            const NAME: &'static str = $name;
            const STATE: [&'static str; $count] = [$(stringify!($own)),*];

            type Scalars<R: Real> = [R; 5];

            fn scalars(&self, _: &mut [f64; 0], lr: f64, _: u64) -> [f64; 5] {
                [self.weight_decay, 1.0 - self.smoothing, self.eps, self.momentum, -lr]
            }

            #[inline(always)]
            #[allow(unused_variables)]
            fn update<R: Real>(h: [R; 5], theta: R, g: R, state: [R; $count]) -> (R, [R; $count]) {
                let [$v, $m, $b] = [R::constant(0.0); 3];
                let [$($own),*] = state;
                let (theta, [$v, $m, $b]) = Self::step(h, theta, g, [$v, $m, $b]);
                (theta, [$($own),*])
            }

            fn floor(&self, _: u64) -> Option<Floor> {
                (!$mean).then(|| Floor::new(0, self.eps, 1.0))
            }
        }
    };
}

variant!("rmsprop", false, false, 1, (v mean b), [v]);
variant!("rmsprop_momentum", false, true, 2, (v mean b), [v, b]);
variant!("rmsprop_centered", true, false, 2, (v mean b), [v, mean]);
variant!("rmsprop_centered_momentum", true, true, 3, (v mean b), [v, mean, b]);
