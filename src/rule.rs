//! Update rules as functions over any kind of number.
//!
//! A rule is written once, over [`Real`]. Run on `f32` it is the loop that trains, on `f64` the oracle that judges it, and on
//! `expr::Expr` the text of its CUDA kernel. A rule sees one element at a time: it knows no tensor, no device and no lane.

pub mod code;
#[cfg(test)]
pub mod expr;

use std::ops::{Add, Div, Mul, Neg, Sub};

use code::Code;

/// A kind of number that a rule can be run on.
pub trait Real:
    Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self> + Neg<Output = Self>
{
    /// The answer to a comparison.
    type Mask: Copy;

    /// The nearest number to `value`.
    fn constant(value: f64) -> Self;
    /// The square root, correctly rounded.
    fn sqrt(self) -> Self;
    /// The absolute value.
    fn abs(self) -> Self;
    /// `self · a + b` with one rounding.
    fn mul_add(self, a: Self, b: Self) -> Self;
    /// Whether `self < other`; false where one of them is NaN.
    fn less(self, other: Self) -> Self::Mask;
    /// Whether `self ≤ other`; false where one of them is NaN.
    fn at_most(self, other: Self) -> Self::Mask;
    /// `yes` where `mask` holds, else `no`. Unlike a product with 0, it stops a NaN.
    fn select(mask: Self::Mask, yes: Self, no: Self) -> Self;
    /// The smallest positive normal number of this kind.
    fn smallest_normal() -> Self;
    /// The distance from 1 to the next number of this kind.
    fn epsilon() -> Self;

    /// `self`, or 0 below the smallest normal number.
    ///
    /// A moving average of zeros never reaches 0 in round-to-nearest: it sticks among the denormals, where every later
    /// operation is slow. The border pixels of MNIST do this to Adam's first moment after about 730 steps.
    #[inline(always)]
    fn flushed(self) -> Self {
        Self::select(self.abs().less(Self::smallest_normal()), Self::constant(0.0), self)
    }

    /// The larger of two numbers; NaN where one of them is. `f32::max` would hide it.
    #[inline(always)]
    fn larger(self, other: Self) -> Self {
        Self::select(self.less(other), other, Self::select(other.at_most(self), self, self + other))
    }

    /// The number, or the nearest within ±`bound`; a NaN stays one.
    #[inline(always)]
    fn clamped(self, bound: Self) -> Self {
        Self::select(bound.less(self), bound, Self::select(self.less(-bound), -bound, self))
    }

    /// The number, or the nearest from `low` to `high`; a NaN stays one.
    #[inline(always)]
    fn within(self, low: Self, high: Self) -> Self {
        Self::select(high.less(self), high, Self::select(self.less(low), low, self))
    }

    /// 1, −1, or the number itself where it is 0 or NaN. `f32::signum` has no 0.
    #[inline(always)]
    fn sign(self) -> Self {
        let (zero, one) = (Self::constant(0.0), Self::constant(1.0));
        Self::select(zero.less(self), one, Self::select(self.less(zero), -one, self))
    }

    /// `self + weight · (target − self)` with one rounding of the sum, without denormals: a step of a moving average.
    ///
    /// With 1 − β rounded once from f64 as `weight`, the weights of old and new sum to 1. f32(β) and f32(1 − β) do not: for
    /// β₂ = 0.999 they leave v too high by 1.3e-5. A weight of 1 leaves nothing of the old number: the sum would, its last place.
    #[inline(always)]
    fn averaged(self, weight: Self, target: Self) -> Self {
        let sum = weight.mul_add(target - self, self);
        Self::select(weight.less(Self::constant(1.0)), sum, target).flushed()
    }

    /// `self + decay · self + step`, with the sum of the small numbers formed first: one rounding of the parameter, where decay and
    /// step one after the other have two that are alike for many steps and add up.
    #[inline(always)]
    fn moved(self, decay: Self, step: Self) -> Self {
        self + decay.mul_add(self, step)
    }

    /// [`Real::averaged`] towards `root²`, whose rounding is left out.
    #[inline(always)]
    fn averaged_square(self, weight: Self, root: Self) -> Self {
        let sum = weight.mul_add(root.mul_add(root, -self), self);
        Self::select(weight.less(Self::constant(1.0)), sum, root * root).flushed()
    }
}

macro_rules! real {
    ($number:ident) => {
        impl Real for $number {
            type Mask = bool;

            #[inline(always)]
            #[allow(clippy::cast_possible_truncation)]
            fn constant(value: f64) -> Self {
                value as $number
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                $number::sqrt(self)
            }
            #[inline(always)]
            fn abs(self) -> Self {
                $number::abs(self)
            }
            #[inline(always)]
            fn mul_add(self, a: Self, b: Self) -> Self {
                $number::mul_add(self, a, b)
            }
            #[inline(always)]
            fn less(self, other: Self) -> bool {
                self < other
            }
            #[inline(always)]
            fn at_most(self, other: Self) -> bool {
                self <= other
            }
            #[inline(always)]
            fn select(mask: bool, yes: Self, no: Self) -> Self {
                if mask { yes } else { no }
            }
            #[inline(always)]
            fn smallest_normal() -> Self {
                $number::MIN_POSITIVE
            }
            #[inline(always)]
            fn epsilon() -> Self {
                $number::EPSILON
            }
        }
    };
}

real!(f32);
real!(f64);

/// `N` numbers with a name each, in a fixed order: what a table of bare numbers holds, on the host or on a GPU. [`named!`] makes
/// such a structure.
pub trait Named<R, const N: usize>: Copy {
    /// The names, in order.
    const NAMES: [&'static str; N];

    /// From numbers in order.
    fn from_array(numbers: [R; N]) -> Self;
    /// The numbers in order.
    fn into_array(self) -> [R; N];
}

/// The same numbers, each rounded to `R`.
#[inline(always)]
pub fn rounded<R: Real, G: Named<R, N>, const N: usize>(numbers: [f64; N]) -> G {
    G::from_array(numbers.map(R::constant))
}

/// A structure of numbers of one kind: `named!(Scalars { decay, minus_lr })` makes `Scalars<R>`, which is [`Named`].
#[macro_export]
macro_rules! named {
    ($name:ident { $($field:ident),* $(,)? }) => {
        #[doc = concat!("`", stringify!($($field),*), "`.")]
        #[derive(Clone, Copy, Debug)]
        #[allow(missing_docs)]
        pub struct $name<R> {
            $(pub $field: R,)*
        }

        impl<R: Copy> $crate::rule::Named<R, { [$(stringify!($field)),*].len() }> for $name<R> {
            const NAMES: [&'static str; { [$(stringify!($field)),*].len() }] = [$(stringify!($field)),*];

            #[inline(always)]
            fn from_array([$($field),*]: [R; { [$(stringify!($field)),*].len() }]) -> Self {
                Self { $($field),* }
            }
            #[inline(always)]
            fn into_array(self) -> [R; { [$(stringify!($field)),*].len() }] {
                [$(self.$field),*]
            }
        }
    };
}

pub use named;

/// 1 − βᵗ: what an average that began at 0 is divided by, t steps later.
pub fn bias_correction(beta: f64, t: u64) -> f64 {
    1.0 - beta.powf(t as f64)
}

/// The weight decay λ as factors on θ: what is added to the gradient (coupled, L2), and what is added to θ itself (decoupled). One of
/// them is 0.
pub fn weight_decays(weight_decay: f64, lr: f64, is_decoupled: bool) -> (f64, f64) {
    if is_decoupled { (0.0, -lr * weight_decay) } else { (weight_decay, 0.0) }
}

/// What the host knows of an update formula, which is an [`OnePass`], a [`TwoPass`] or a [`Joint`] too: `S` state numbers per parameter, `P` host numbers per lane, `H` scalars per step.
pub trait Rule<const S: usize, const P: usize, const H: usize> {
    /// Its name, an identifier that no other rule has: its kernel on a GPU is `update_` and this.
    const NAME: &'static str;
    /// What options have made of it, behind its name.
    const OPTIONS: &'static str = "";
    /// The names of the state numbers, as checkpoints call them.
    const STATE: [&'static str; S];
    /// What kind of code each state number may be kept as; none for a rule whose state is kept as it is. Such state begins at 0.
    const CODES: Option<[Code; S]> = None;

    /// The scalars of a step: a structure made by [`named!`].
    type Scalars<R: Real>: Named<R, H>;

    /// What the state numbers begin with, in every element; it may depend on hyperparameters.
    fn initial(&self) -> [f64; S] {
        [0.0; S]
    }

    /// What the host numbers begin with.
    fn history(&self) -> [f64; P] {
        [0.0; P]
    }

    /// The scalars of step `t ≥ 1` at learning rate `lr`: formed on the host in f64, once a step and lane, and rounded once.
    ///
    /// `history` holds the lane's host numbers, for rules that need some; they are saved with the checkpoint bit for bit.
    fn scalars(&self, history: &mut [f64; P], lr: f64, t: u64) -> Self::Scalars<f64>;

    /// See [`Evaluation`]; none for a rule that evaluates where it trains.
    fn evaluation(&self) -> Option<Evaluation> {
        None
    }

    /// The index of the state number that begins where the parameter does, in place of [`Rule::initial`].
    fn origin(&self) -> Option<usize> {
        self.evaluation().map(|point| point.state)
    }

    /// See [`Denominator`]; none for a rule that has none at step `t`.
    fn denominator(&self, _t: u64) -> Option<Denominator> {
        None
    }

    /// See [`Curvature`]; none at a step `t` that takes no estimate. A rule that ever takes one does so in its first step.
    fn curvature(&self, _t: u64) -> Option<Curvature> {
        None
    }
}

/// A rule that looks at one element at a time.
pub trait OnePass<const S: usize, const P: usize, const H: usize>: Rule<S, P, H> {
    /// The new parameter and state, from the scalars `h`, the parameter θ, its gradient g and its state.
    fn update<R: Real>(h: Self::Scalars<R>, theta: R, g: R, state: [R; S]) -> (R, [R; S]);
}

/// A rule with a first pass over elements, `N` sums of what it gives, and a second pass that knows the `A` scalars made of them: a
/// [`TwoPass`] or a [`Joint`], which say what is summed over.
pub trait Passes<const S: usize, const P: usize, const H: usize, const N: usize, const A: usize>:
    Rule<S, P, H>
{
    /// What is summed.
    type Sums<R: Real>: Named<R, N>;
    /// What the second pass knows of the sums.
    type Reduced<R: Real>: Named<R, A>;

    /// The first pass: what an element adds to each sum.
    fn first<R: Real>(h: Self::Scalars<R>, theta: R, g: R, state: [R; S]) -> Self::Sums<R>;

    /// The second pass: the new parameter and state, from the same numbers.
    fn second<R: Real>(h: Self::Scalars<R>, reduced: Self::Reduced<R>, theta: R, g: R, state: [R; S]) -> (R, [R; S]);
}

/// A rule that needs numbers over the whole tensor. It has three kernels.
pub trait TwoPass<const S: usize, const P: usize, const H: usize, const N: usize, const A: usize>:
    Passes<S, P, H, N, A>
{
    /// Scalars of the second pass, from the sums over the `count` elements of one tensor and lane; run in f64.
    fn reduce<R: Real>(h: Self::Scalars<R>, sums: Self::Sums<R>, count: R) -> Self::Reduced<R>;
}

/// A rule that needs numbers over all tensors of a lane, and carries what it makes of them from step to step. What stands between
/// its passes is the host's, so that it has no kernels: a GPU would wait for it in every step.
pub trait Joint<const S: usize, const P: usize, const H: usize, const N: usize, const A: usize>:
    Passes<S, P, H, N, A>
{
    /// Scalars of the second pass, from the sums over all elements of a lane, in f64. `history` is that of [`Rule::scalars`].
    fn reduce(&self, history: &mut [f64; P], h: Self::Scalars<f64>, sums: Self::Sums<f64>) -> Self::Reduced<f64>;
}

/// Where a net that is trained at θ is to be evaluated: at `θ + weight · (s − θ)` with the state number s of this index.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evaluation {
    /// Index in [`Rule::STATE`].
    pub state: usize,
    /// The weight.
    pub weight: f64,
}

/// Where estimates ĥ of the diagonal of the loss's Hessian go: `s ← s + weight · (ĥ − s)` for the state number s of this index, before
/// the update of the same step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Curvature {
    /// Index in [`Rule::STATE`].
    pub state: usize,
    /// The weight.
    pub weight: f64,
}

/// A denominator √(v/correction) + ε.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Denominator {
    /// The name of v in the rule's `STATE`.
    pub state: &'static str,
    /// ε.
    pub eps: f64,
    /// What corrects v for its start; 1 where nothing does.
    pub correction: f64,
    /// Whether a step is the rate over √(v/correction) + ε, times a mean of gradients: no bound, trust ratio, rectification or estimate
    /// of the rate comes between.
    pub is_alone: bool,
}

impl Denominator {
    /// Where ε rules it: √(v/correction) < 10·ε exactly where v is below this.
    pub fn ruled_by_epsilon_below(&self) -> f64 {
        100.0 * self.eps * self.eps * self.correction
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn denormals_are_flushed_and_nan_is_not() {
        assert_eq!(f32::MIN_POSITIVE.flushed(), f32::MIN_POSITIVE);
        assert_eq!((f32::MIN_POSITIVE / 2.0).flushed(), 0.0);
        assert_eq!((-f32::MIN_POSITIVE / 2.0).flushed(), 0.0);
        assert!(f32::NAN.flushed().is_nan());
        assert_eq!(1e-310_f64.flushed(), 0.0);
    }

    #[test]
    fn a_weight_of_one_leaves_nothing_of_the_old_number() {
        // Beside 10⁴ the last place of an f32 is 10⁻³.
        assert_eq!((1e4_f32.averaged(1.0, 1e-4), 1e8_f32.averaged_square(1.0, 1e-4)), (1e-4, 1e-4 * 1e-4));
        assert_eq!((2_f32.averaged(0.5, 1.0), 2_f32.averaged_square(0.5, 1.0)), (1.5, 1.5));
        assert!(1_f32.averaged(1.0, f32::NAN).is_nan() && 1_f32.averaged_square(1.0, f32::NAN).is_nan());
    }

    #[test]
    fn larger_and_sign_keep_a_nan_and_sign_knows_zero() {
        let nan = f32::NAN;
        assert!(nan.larger(1.0).is_nan() && 1_f32.larger(nan).is_nan());
        assert_eq!((1_f32.larger(2.0), 2_f32.larger(-1.0), 3_f32.larger(3.0)), (2.0, 2.0, 3.0));
        assert!(nan.sign().is_nan());
        assert_eq!([-3_f32, 0.0, 1e-45, f32::NEG_INFINITY].map(Real::sign), [-1.0, 0.0, 1.0, -1.0]);
    }
}
