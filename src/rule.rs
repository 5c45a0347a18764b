//! Update rules as functions over any kind of number.
//!
//! A rule is written once, over [`Real`]. Run on `f32` it is the loop that trains, on `f64` the oracle that judges it. A rule
//! sees one element at a time: it knows no tensor, no device and no lane.

use std::ops::{Add, Div, Mul, Neg, Sub};

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
    /// `yes` where `mask` holds, else `no`. Unlike a product with 0, it stops a NaN.
    fn select(mask: Self::Mask, yes: Self, no: Self) -> Self;
    /// The smallest positive normal number of this kind.
    fn smallest_normal() -> Self;

    /// `self`, or 0 below the smallest normal number.
    ///
    /// A moving average of zeros never reaches 0 in round-to-nearest: it sticks among the denormals, where every later
    /// operation is slow. The border pixels of MNIST do this to Adam's first moment after about 730 steps.
    #[inline(always)]
    fn flushed(self) -> Self {
        Self::select(self.abs().less(Self::smallest_normal()), Self::constant(0.0), self)
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
            fn select(mask: bool, yes: Self, no: Self) -> Self {
                if mask { yes } else { no }
            }
            #[inline(always)]
            fn smallest_normal() -> Self {
                $number::MIN_POSITIVE
            }
        }
    };
}

real!(f32);
real!(f64);

/// One update formula: `S` state numbers per parameter, `P` host numbers per lane, `H` scalars per step.
pub trait Rule<const S: usize, const P: usize, const H: usize> {
    /// The names of the state numbers, as checkpoints call them.
    const STATE: [&'static str; S];

    /// The scalars of step `t ≥ 1` at learning rate `lr`: formed on the host in f64, once a step and lane, and rounded once.
    ///
    /// `host` is the lane's history, for rules that need one; it is saved with the checkpoint bit for bit.
    fn scalars(&self, host: &mut [f64; P], lr: f64, t: u64) -> [f64; H];

    /// The new parameter and state, from the scalars `h`, the parameter θ, its gradient g and its state.
    fn update<R: Real>(h: [R; H], theta: R, g: R, state: [R; S]) -> (R, [R; S]);
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
}
