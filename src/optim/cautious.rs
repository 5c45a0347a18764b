//! Cautious updates: only the elements move whose update agrees in sign with the gradient, the others' share goes to them.
//!
//!     φᵢ = 1 where uᵢ·gᵢ > 0, else 0
//!     θₜ = θ′ − α·u ⊙ φ / max(mean(φ), 10⁻³)
//!
//! Liang et al. 2024, arXiv:2411.16085, Algorithm 1, with the mean and its bound of the authors' code, over one tensor. g is
//! what the rule averages: with coupled decay it includes λ·θ. Decoupled decay comes first, as in PyTorch's AdamW; the authors'
//! code, after an older AdamW, decays last.

use super::adam::{self, Adam};
use super::hyper::Hypers;
use super::lion::{self, Lion};
use crate::rule::{Floor, Real, TwoPass};

/// The mask's mean is not taken for less: the authors' bound.
const LEAST_MEAN: f64 = 1e-3;

/// 1/max(mean, 10⁻³) of a mask with this sum.
fn spread<R: Real>(sum: R, count: R) -> R {
    R::constant(1.0) / (sum / count).larger(R::constant(LEAST_MEAN))
}

/// φ.
#[inline(always)]
fn agreeing<R: Real>(u: R, g: R) -> R {
    R::select(R::constant(0.0).less(u * g), R::constant(1.0), R::constant(0.0))
}

/// Adam or AdamW with a cautious update.
#[derive(Clone, Copy, Debug)]
pub struct CautiousAdam<const SELECTIVE: bool>(Adam<false, SELECTIVE>);

impl<const SELECTIVE: bool> CautiousAdam<SELECTIVE> {
    /// With these hyperparameters.
    pub fn new(hypers: &Hypers, decoupled: bool) -> Self {
        Self(Adam::new(hypers, decoupled))
    }
}

impl<const SELECTIVE: bool> TwoPass<2, 0, 6, 1, 1> for CautiousAdam<SELECTIVE> {
    const STATE: [&'static str; 2] = ["m", "v"];

    fn scalars(&self, _: &mut [f64; 0], lr: f64, t: u64) -> [f64; 6] {
        self.0.coefficients(lr, t)
    }

    #[inline(always)]
    fn first<R: Real>(h: [R; 6], theta: R, g: R, state: [R; 2]) -> [R; 1] {
        let [m, _] = adam::moments(h, theta, g, state);
        [agreeing(m, h[4].mul_add(theta, g))]
    }

    fn reduce<R: Real>(_: [R; 6], [sum]: [R; 1], count: R) -> [R; 1] {
        [spread(sum, count)]
    }

    #[inline(always)]
    fn second<R: Real>(h: [R; 6], [spread]: [R; 1], theta: R, g: R, state: [R; 2]) -> (R, [R; 2]) {
        let [m, v] = adam::moments(h, theta, g, state);
        let share = agreeing(m, h[4].mul_add(theta, g)) * spread;
        (adam::moved::<R, SELECTIVE>(h, theta, m * share, v), [m, v])
    }

    fn floor(&self, t: u64) -> Option<Floor> {
        Some(self.0.floor_at(t))
    }
}

/// Lion with a cautious update.
#[derive(Clone, Copy, Debug)]
pub struct CautiousLion(pub Lion);

impl TwoPass<1, 0, 5, 1, 1> for CautiousLion {
    const STATE: [&'static str; 1] = ["m"];

    fn scalars(&self, _: &mut [f64; 0], lr: f64, _: u64) -> [f64; 5] {
        self.0.coefficients(lr)
    }

    #[inline(always)]
    fn first<R: Real>(h: [R; 5], _: R, g: R, [m]: [R; 1]) -> [R; 1] {
        let (u, _) = lion::direction(h, g, m);
        [agreeing(u, g)]
    }

    fn reduce<R: Real>(_: [R; 5], [sum]: [R; 1], count: R) -> [R; 1] {
        [spread(sum, count)]
    }

    #[inline(always)]
    fn second<R: Real>(h: [R; 5], [spread]: [R; 1], theta: R, g: R, [m]: [R; 1]) -> (R, [R; 1]) {
        let (u, m) = lion::direction(h, g, m);
        (lion::moved(h, theta, u * agreeing(u, g) * spread), [m])
    }
}
