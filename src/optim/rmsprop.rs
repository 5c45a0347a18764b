//! RMSprop: the gradient over its recent root mean square, or over its deviation; with momentum.
//!
//! ```text
//!     gₜ = ∇f(θₜ₋₁) + λ·θₜ₋₁
//!     vₜ = a·vₜ₋₁ + (1−a)·gₜ²
//!     centered: ḡₜ = a·ḡₜ₋₁ + (1−a)·gₜ,  σₜ = √(vₜ − ḡₜ²),  else σₜ = √vₜ
//!     θₜ = θₜ₋₁ − α·gₜ/(σₜ + ε)
//!     momentum: bₜ = μ·bₜ₋₁ + gₜ/(σₜ + ε),  θₜ = θₜ₋₁ − α·bₜ
//! ```
//!
//! Tieleman & Hinton 2012, Coursera lecture 6.5; centred: Graves 2013, arXiv:1308.0850. As torch.optim.RMSprop: ε stands outside
//! the root, the learning rate outside the buffer. Where a gradient hardly changes, rounding can make vₜ − ḡₜ² negative and
//! σₜ NaN; PyTorch has the same defect, and the run then ends as diverged. `a` is `optim.alpha`.

use super::hyper::{CAUTIOUS, CENTERED, MOMENTUM};
use super::prelude::*;

pub static RMSPROP: Family = Family {
    name: "rmsprop",
    about: "the gradient over its recent size; with momentum, centred",
    source: "Tieleman & Hinton 2012, lecture 6.5; as torch.optim.RMSprop",
    file: include_str!("rmsprop.rs"),
    refuse: |hypers| {
        let alone = hypers.is_on(&CAUTIOUS) && hypers.number(&MOMENTUM) == 0.0;
        alone.then_some("`optim.cautious` needs `optim.momentum` above 0")
    },
    ..Family::new(RmsProp::HYPERS, &Variant::<true, true>::STATE, |parameters, lanes| {
        let rules = lanes.iter().map(RmsProp::new);
        let buffer = lanes.iter().any(|lane| lane.number(&MOMENTUM) != 0.0);
        let centered = lanes.iter().any(|lane| lane.is_on(&CENTERED));
        match (centered, buffer) {
            (false, false) => one_pass(parameters, rules.map(Variant::<false, false>)),
            (false, true) => with_options(parameters, lanes, |lane| Variant::<false, true>(RmsProp::new(lane))),
            (true, false) => one_pass(parameters, rules.map(Variant::<true, false>)),
            (true, true) => with_options(parameters, lanes, |lane| Variant::<true, true>(RmsProp::new(lane))),
        }
    })
};

hyperparameters! {
    /// RMSprop.
    pub struct RmsProp {
        lr = LR.or(1e-2),
        smoothing: f64 = SMOOTHING,
        eps: f64 = EPS,
        weight_decay: f64 = WEIGHT_DECAY,
        momentum: f64 = MOMENTUM,
        + CENTERED,
        + CAUTIOUS,
    }
}

named!(Scalars { decay, weight, eps, momentum, minus_lr });

/// RMSprop; `MEAN` adds that of the gradients to the state, `BUFFER` the momentum.
#[derive(Clone, Copy, Debug)]
pub struct Variant<const MEAN: bool, const BUFFER: bool>(pub RmsProp);

impl<const MEAN: bool, const BUFFER: bool> Variant<MEAN, BUFFER> {
    /// The formula with all of its state; what a variant lacks goes in as 0 and is left behind.
    #[inline(always)]
    fn step<R: Real>(h: Scalars<R>, theta: R, g: R, [v, mean, b]: [R; 3]) -> Proposal<R, 3> {
        let g = h.decay.mul_add(theta, g);
        let v = v.averaged_square(h.weight, g);
        let mean = if MEAN { mean.averaged(h.weight, g) } else { mean };
        let deviation = if MEAN {
            // A v that was flushed lies below its ḡ², which was not.
            let variance = (-mean).mul_add(mean, v);
            R::select(v.less(R::smallest_normal()), v, variance).sqrt()
        } else {
            v.sqrt()
        };
        let scaled = g / (deviation + h.eps);
        let b = if BUFFER { h.momentum.mul_add(b, scaled).flushed() } else { scaled };
        Proposal { u: b, sign: b, g, rate: h.minus_lr, decay: R::constant(0.0), state: [v, mean, b] }
    }
}

/// A variant: of the state numbers v, mean and b it keeps `$own`, the others are 0 to it.
macro_rules! variant {
    ($name:literal, $mean:literal, $buffer:literal, $count:literal, ($v:ident $m:ident $b:ident), [$($own:ident),*]) => {
        impl Rule<$count, 0, 5> for Variant<$mean, $buffer> {
            const NAME: &'static str = $name;
            const STATE: [&'static str; $count] = [$(stringify!($own)),*];

            type Scalars<R: Real> = Scalars<R>;

            fn scalars(&self, _: &mut [f64; 0], lr: f64, _: u64) -> Scalars<f64> {
                let RmsProp { smoothing, eps, weight_decay, momentum } = self.0;
                Scalars { decay: weight_decay, weight: 1.0 - smoothing, eps, momentum, minus_lr: -lr }
            }

            fn denominator(&self, _: u64) -> Option<Denominator> {
                (!$mean).then(|| Denominator { state: "v", eps: self.0.eps, correction: 1.0, is_alone: true })
            }
        }

        impl OnePass<$count, 0, 5> for Variant<$mean, $buffer> {
            #[inline(always)]
            fn update<R: Real>(h: Scalars<R>, theta: R, g: R, state: [R; $count]) -> (R, [R; $count]) {
                Self::propose(h, theta, g, state).taken_without_decay(theta)
            }
        }

        impl Propose<$count, 0, 5> for Variant<$mean, $buffer> {
            #[inline(always)]
            #[allow(unused_variables)]
            fn propose<R: Real>(h: Scalars<R>, theta: R, g: R, state: [R; $count]) -> Proposal<R, $count> {
                let [$v, $m, $b] = [R::constant(0.0); 3];
                let [$($own),*] = state;
                let Proposal { u, sign, g, rate, decay, state: [$v, $m, $b] } = Self::step(h, theta, g, [$v, $m, $b]);
                Proposal { u, sign, g, rate, decay, state: [$($own),*] }
            }
        }
    };
}

variant!("rmsprop", false, false, 1, (v mean b), [v]);
variant!("rmsprop_momentum", false, true, 2, (v mean b), [v, b]);
variant!("rmsprop_centered", true, false, 2, (v mean b), [v, mean]);
variant!("rmsprop_centered_momentum", true, true, 3, (v mean b), [v, mean, b]);
