//! Cautious updates: only the elements move whose update agrees in sign with the gradient, the others' share goes to them.
//!
//!     φᵢ = 1 where uᵢ·gᵢ > 0, else 0
//!     θₜ = θ′ − α·u ⊙ φ / max(mean(φ), 10⁻³)
//!     cautious_decay: θ′ = θₜ₋₁ − α·λ·θₜ₋₁ where u·θₜ₋₁ ≥ 0, else θₜ₋₁
//!
//! Liang et al. 2024, arXiv:2411.16085, Algorithm 1, with the mean and its bound of the authors' AdamW (kyleliang919/C-Optim), over
//! one tensor. g is what the rule averages: with coupled decay it includes λ·θ. Decoupled decay comes first, as in PyTorch's AdamW
//! and, since 2024-11-29, in the authors'. Two differences from their code are left:
//! - their AdamW's ε is 1e-6, and where it goes tensor by tensor, added to √vₜ, not to √v̂ₜ; in batches, its default since August
//!   2025, it is added to √v̂ₜ as here;
//! - their Lion still divides by mean(φ) + 1/n over n elements, without a bound, so that a tensor in which k elements move goes
//!   k/(k+1) as far.
//!
//! With cautious decay (Chen et al. 2025, arXiv:2510.12402) decay asks u, the update as the optimizer proposes it, before φ. The
//! update after φ would be the other reading: it is 0 where φ is, and an element that stands still would then always decay, also
//! against the way that u points.

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
    const NAME: &'static str = if SELECTIVE { "adam_cautious_selective" } else { "adam_cautious" };
    const STATE: [&'static str; 2] = ["m", "v"];

    type Scalars<R: Real> = [R; 6];
    type Sums<R: Real> = [R; 1];
    type Reduced<R: Real> = [R; 1];

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
        let u = adam::proposed(h, m, v);
        let share = agreeing(m, h[4].mul_add(theta, g)) * spread;
        (adam::moved::<R, SELECTIVE>(h, theta, u, u * share), [m, v])
    }

    fn floor(&self, t: u64) -> Option<Floor> {
        Some(self.0.floor_at(t))
    }
}

/// Lion with a cautious update.
#[derive(Clone, Copy, Debug)]
pub struct CautiousLion(pub Lion);

impl TwoPass<1, 0, 5, 1, 1> for CautiousLion {
    const NAME: &'static str = "lion_cautious";
    const STATE: [&'static str; 1] = ["m"];

    type Scalars<R: Real> = [R; 5];
    type Sums<R: Real> = [R; 1];
    type Reduced<R: Real> = [R; 1];

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
        (lion::moved(h, theta, u, u * agreeing(u, g) * spread), [m])
    }
}

#[cfg(test)]
mod tests {
    use super::super::hyper::{CAUTIOUS_DECAY, HyperValue, WEIGHT_DECAY};
    use super::*;

    #[test]
    fn an_element_that_the_mask_stops_decays_only_where_the_update_as_proposed_goes_towards_0() {
        let [adamw, lion] = [&adam::ADAMW, &lion::LION].map(|family| {
            let hypers = family.defaults().with(&CAUTIOUS_DECAY, HyperValue::Switch(true));
            hypers.with(&WEIGHT_DECAY, HyperValue::Number(0.5))
        });
        // m points up and g down: u > 0 is stopped. −α·u goes towards 0 from above alone.
        let (m, g, lr) = (1.0, -0.1, 1e-2);
        for (theta, expected) in [(2.0, 2.0 - lr * 0.5 * 2.0), (-2.0, -2.0)] {
            let rule = CautiousAdam::<true>::new(&adamw, true);
            let h = rule.scalars(&mut [], lr, 5);
            assert_eq!(CautiousAdam::<true>::first(h, theta, g, [m, 1.0]), [0.0]);
            let (found, _) = CautiousAdam::<true>::second(h, [1.0], theta, g, [m, 1.0]);
            assert_eq!(found, expected, "adamw at {theta}");
            let rule = CautiousLion(Lion::new(&lion));
            let h = rule.scalars(&mut [], lr, 5);
            assert_eq!(CautiousLion::first(h, theta, g, [m]), [0.0]);
            let (found, _) = CautiousLion::second(h, [1.0], theta, g, [m]);
            assert_eq!(found, expected, "lion at {theta}");
        }
    }
}
