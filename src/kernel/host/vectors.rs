//! Vectors as optimizers of the whole loss combine them: products of two, and moves of one along another.
//!
//! Products run in f64 over 16 logical accumulators and pieces; the length alone decides their order. What is written is rounded once.

use std::ops::Range;

use super::simd::{Width, by_halves, vectorised};
use super::sums::{ACCUMULATORS, LINE, sum_in_pieces};
use super::team::{self, ELEMENT_WORK};
use crate::kernel::element::Number;

/// What a gradient is made of: g·scale + decay·θ.
#[derive(Clone, Copy, Debug)]
pub struct Gradient<'a, R> {
    /// g.
    pub g: &'a [R],
    /// Factor on it.
    pub scale: f64,
    /// θ.
    pub theta: &'a [R],
    /// Factor on that.
    pub decay: f64,
}

impl<'a, R: Number> Gradient<'a, R> {
    fn part(self, range: Range<usize>) -> Gradient<'a, R> {
        Self { g: &self.g[range.clone()], theta: &self.theta[range], ..self }
    }
}

/// Σ a·b.
pub fn product<R: Number>(a: &[R], b: &[R]) -> f64 {
    assert_eq!(a.len(), b.len());
    let [sum] = sum_in_pieces(a.len(), |range| [products(Width::detect(), &a[range.clone()], &b[range])]);
    sum
}

/// Σ g·d of the gradient that is made so.
pub fn slope<R: Number>(gradient: Gradient<'_, R>, d: &[R]) -> f64 {
    assert!(gradient.g.len() == d.len() && gradient.theta.len() == d.len());
    let [sum] = sum_in_pieces(d.len(), |range| [slopes(Width::detect(), gradient.part(range.clone()), &d[range])]);
    sum
}

/// With s = t·d and y = new − old, each rounded as it would be kept: Σ y·s and Σ y·y.
pub fn curvature<R: Number>(t: f64, d: &[R], new: &[R], old: &[R]) -> [f64; 2] {
    assert!(new.len() == d.len() && old.len() == d.len());
    sum_in_pieces(d.len(), |range| {
        curvatures(Width::detect(), R::constant(t), &d[range.clone()], &new[range.clone()], &old[range])
    })
}

/// Σ |x|.
pub fn magnitude<R: Number>(x: &[R]) -> f64 {
    let [sum] = sum_in_pieces(x.len(), |range| [magnitudes(Width::detect(), &x[range])]);
    sum
}

/// The largest |x|; what is no number is passed over.
pub fn largest<R: Number>(x: &[R]) -> f64 {
    largest_of(Width::detect(), x).into()
}

/// `out` ← the gradient that is made so.
pub fn gather<R: Number>(gradient: Gradient<'_, R>, out: &mut [R]) {
    assert!(gradient.g.len() == out.len() && gradient.theta.len() == out.len());
    each(out, |range, out| gathered(Width::detect(), gradient.part(range), out));
}

/// `out` ← by·x.
pub fn scale_into<R: Number>(by: f64, x: &[R], out: &mut [R]) {
    assert_eq!(x.len(), out.len());
    each(out, |range, out| scaled_into(Width::detect(), R::constant(by), &x[range], out));
}

/// `x` ← by·x.
pub fn scale<R: Number>(by: f64, x: &mut [R]) {
    each(x, |_, x| scaled(Width::detect(), R::constant(by), x));
}

/// `out` ← x + by·d.
pub fn move_into<R: Number>(x: &[R], by: f64, d: &[R], out: &mut [R]) {
    assert!(x.len() == out.len() && d.len() == out.len());
    each(out, |range, out| moved_into(Width::detect(), &x[range.clone()], R::constant(by), &d[range], out));
}

/// `x` ← x + by·d.
pub fn move_along<R: Number>(by: f64, d: &[R], x: &mut [R]) {
    assert_eq!(x.len(), d.len());
    each(x, |range, x| moved(Width::detect(), R::constant(by), &d[range], x));
}

/// `out` ← a − b.
pub fn subtract_into<R: Number>(a: &[R], b: &[R], out: &mut [R]) {
    assert!(a.len() == out.len() && b.len() == out.len());
    each(out, |range, out| differences(Width::detect(), &a[range.clone()], &b[range], out));
}

/// Calls `body` with pieces of `out` and where they lie.
fn each<R: Number>(out: &mut [R], body: impl Fn(Range<usize>, &mut [R]) + Sync) {
    team::over_slices(out, LINE, ELEMENT_WORK, |start, out| body(start..start + out.len(), out));
}

vectorised! {
    fn products[R: Number][R](a: &[R], b: &[R]) -> f64 {
        let mut sums = [0.0_f64; ACCUMULATORS];
        let ((blocks, tail), (others, other_tail)) = (a.as_chunks::<ACCUMULATORS>(), b.as_chunks::<ACCUMULATORS>());
        for (a, b) in blocks.iter().zip(others) {
            for i in 0..ACCUMULATORS {
                sums[i] = Into::<f64>::into(a[i]).mul_add(b[i].into(), sums[i]);
            }
        }
        for ((sum, &a), &b) in sums.iter_mut().zip(tail).zip(other_tail) {
            *sum = Into::<f64>::into(a).mul_add(b.into(), *sum);
        }
        by_halves(sums)
    }
}

vectorised! {
    fn slopes[R: Number][R](gradient: Gradient<'_, R>, d: &[R]) -> f64 {
        let Gradient { g, scale, theta, decay } = gradient;
        let (scale, decay) = (R::constant(scale), R::constant(decay));
        let mut sums = [0.0_f64; ACCUMULATORS];
        let (blocks, tail) = d.as_chunks::<ACCUMULATORS>();
        let (gs, g_tail) = g.as_chunks::<ACCUMULATORS>();
        let (thetas, theta_tail) = theta.as_chunks::<ACCUMULATORS>();
        for ((d, g), theta) in blocks.iter().zip(gs).zip(thetas) {
            for i in 0..ACCUMULATORS {
                let g: f64 = decay.mul_add(theta[i], g[i] * scale).into();
                sums[i] = g.mul_add(d[i].into(), sums[i]);
            }
        }
        for (((sum, &d), &g), &theta) in sums.iter_mut().zip(tail).zip(g_tail).zip(theta_tail) {
            let g: f64 = decay.mul_add(theta, g * scale).into();
            *sum = g.mul_add(d.into(), *sum);
        }
        by_halves(sums)
    }
}

vectorised! {
    fn curvatures[R: Number][R](t: R, d: &[R], new: &[R], old: &[R]) -> [f64; 2] {
        let (mut ys, mut yy) = ([0.0_f64; ACCUMULATORS], [0.0_f64; ACCUMULATORS]);
        let (blocks, tail) = d.as_chunks::<ACCUMULATORS>();
        let (news, new_tail) = new.as_chunks::<ACCUMULATORS>();
        let (olds, old_tail) = old.as_chunks::<ACCUMULATORS>();
        for ((d, new), old) in blocks.iter().zip(news).zip(olds) {
            for i in 0..ACCUMULATORS {
                let (y, s): (f64, f64) = ((new[i] - old[i]).into(), (t * d[i]).into());
                ys[i] = y.mul_add(s, ys[i]);
                yy[i] = y.mul_add(y, yy[i]);
            }
        }
        for (i, ((&d, &new), &old)) in tail.iter().zip(new_tail).zip(old_tail).enumerate() {
            let (y, s): (f64, f64) = ((new - old).into(), (t * d).into());
            ys[i] = y.mul_add(s, ys[i]);
            yy[i] = y.mul_add(y, yy[i]);
        }
        [by_halves(ys), by_halves(yy)]
    }
}

vectorised! {
    fn magnitudes[R: Number][R](x: &[R]) -> f64 {
        let mut sums = [0.0_f64; ACCUMULATORS];
        let (blocks, tail) = x.as_chunks::<ACCUMULATORS>();
        for block in blocks {
            for (sum, x) in sums.iter_mut().zip(block) {
                *sum += Into::<f64>::into(x.abs());
            }
        }
        for (sum, x) in sums.iter_mut().zip(tail) {
            *sum += Into::<f64>::into(x.abs());
        }
        by_halves(sums)
    }
}

vectorised! {
    fn largest_of[R: Number][R](x: &[R]) -> R {
        let mut largest = [R::constant(0.0); ACCUMULATORS];
        let (blocks, tail) = x.as_chunks::<ACCUMULATORS>();
        for block in blocks {
            for (largest, x) in largest.iter_mut().zip(block) {
                *largest = R::select(largest.less(x.abs()), x.abs(), *largest);
            }
        }
        for (largest, x) in largest.iter_mut().zip(tail) {
            *largest = R::select(largest.less(x.abs()), x.abs(), *largest);
        }
        largest.into_iter().fold(R::constant(0.0), |a, b| R::select(a.less(b), b, a))
    }
}

vectorised! {
    fn gathered[R: Number][R](gradient: Gradient<'_, R>, out: &mut [R]) {
        let Gradient { g, scale, theta, decay } = gradient;
        let (scale, decay) = (R::constant(scale), R::constant(decay));
        for ((out, &g), &theta) in out.iter_mut().zip(g).zip(theta) {
            *out = decay.mul_add(theta, g * scale);
        }
    }
}

vectorised! {
    fn scaled_into[R: Number][R](by: R, x: &[R], out: &mut [R]) {
        for (out, &x) in out.iter_mut().zip(x) {
            *out = by * x;
        }
    }
}

vectorised! {
    fn scaled[R: Number][R](by: R, x: &mut [R]) {
        for x in x {
            *x = by * *x;
        }
    }
}

vectorised! {
    fn moved_into[R: Number][R](x: &[R], by: R, d: &[R], out: &mut [R]) {
        for ((out, &x), &d) in out.iter_mut().zip(x).zip(d) {
            *out = by.mul_add(d, x);
        }
    }
}

vectorised! {
    fn moved[R: Number][R](by: R, d: &[R], x: &mut [R]) {
        for (x, &d) in x.iter_mut().zip(d) {
            *x = by.mul_add(d, *x);
        }
    }
}

vectorised! {
    fn differences[R: Number][R](a: &[R], b: &[R], out: &mut [R]) {
        for ((out, &a), &b) in out.iter_mut().zip(a).zip(b) {
            *out = a - b;
        }
    }
}
