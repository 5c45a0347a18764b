//! Cautious updates: only the elements move whose update agrees in sign with the gradient, the others' share goes to them.
//!
//! ```text
//!     φᵢ = 1 where uᵢ·gᵢ > 0, else 0
//!     θₜ = θ′ − α·u ⊙ φ / max(mean(φ), 10⁻³)
//!     cautious_decay: θ′ = θₜ₋₁ − α·λ·θₜ₋₁ where u·θₜ₋₁ ≥ 0, else θₜ₋₁
//! ```
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

use anyhow::Result;

use super::LaneOptimizer;
use super::driver::{one_pass_in, two_pass};
use super::hyper::{CAUTIOUS, CAUTIOUS_DECAY, Hypers};
use super::parameter::Parameters;
use super::store::Store;
use crate::rule::code::Code;
use crate::rule::{Denominator, Evaluation, OnePass, Passes, Real, Rule, TwoPass, named};

/// A rule whose step goes along an update u, so that options may have their say on it.
pub trait Propose<const S: usize, const P: usize, const H: usize>: OnePass<S, P, H> {
    /// u, and what else a step is made of. [`OnePass::update`] is [`Proposal::taken`] of it, or [`Proposal::taken_without_decay`]
    /// where there is no decoupled decay.
    fn propose<R: Real>(h: Self::Scalars<R>, theta: R, g: R, state: [R; S]) -> Proposal<R, S>;
}

/// What a rule would do with an element: θₜ = θₜ₋₁ + decay·θₜ₋₁ + rate·u.
#[derive(Clone, Copy, Debug)]
pub struct Proposal<R, const S: usize> {
    /// The update.
    pub u: R,
    /// A number of u's sign, which the cautious mask asks.
    pub sign: R,
    /// The gradient as the rule averages it.
    pub g: R,
    /// −α, with what all elements have in common.
    pub rate: R,
    /// Decoupled decay, −α·λ.
    pub decay: R,
    /// The new state.
    pub state: [R; S],
}

impl<R: Real, const S: usize> Proposal<R, S> {
    /// The new parameter and state, as proposed.
    #[inline(always)]
    pub fn taken(self, theta: R) -> (R, [R; S]) {
        self.taken_as(self.u, theta)
    }

    /// The same where nothing decays, with one rounding less.
    #[inline(always)]
    pub fn taken_without_decay(self, theta: R) -> (R, [R; S]) {
        (self.rate.mul_add(self.u, theta), self.state)
    }

    /// As [`Proposal::taken`], but so much of u as `u`.
    #[inline(always)]
    fn taken_as(self, u: R, theta: R) -> (R, [R; S]) {
        (theta.moved(self.decay, self.rate * u), self.state)
    }

    /// With cautious decay: none where u points away from 0.
    #[inline(always)]
    fn with_cautious_decay(self, theta: R) -> Self {
        let zero = R::constant(0.0);
        Self { decay: R::select((self.u * theta).less(zero), zero, self.decay), ..self }
    }

    /// φ.
    #[inline(always)]
    fn mask(self) -> R {
        R::select(R::constant(0.0).less(self.sign * self.g), R::constant(1.0), R::constant(0.0))
    }
}

/// An optimizer that follows a rule per lane, made by `rule` of the lane's hyperparameters, with the options that are on.
///
/// # Errors
/// As [`one_pass_in`].
pub fn with_options<U, const S: usize, const P: usize, const H: usize>(
    parameters: &Parameters,
    lanes: &[Hypers],
    rule: impl Fn(&Hypers) -> U,
) -> Result<Box<dyn LaneOptimizer>>
where
    U: Propose<S, P, H> + Send + 'static,
{
    let on = |switch| lanes.iter().any(|lane| lane.is_on(switch));
    let rules = lanes.iter().map(rule);
    let store = lanes.first().map_or(Store::Numbers, Store::of);
    match (on(&CAUTIOUS), on(&CAUTIOUS_DECAY)) {
        (false, false) => one_pass_in(store, parameters, rules),
        (false, true) => one_pass_in(store, parameters, rules.map(WithOptions::<U, false, true>)),
        (true, false) => two_pass(parameters, rules.map(WithOptions::<U, true, false>)),
        (true, true) => two_pass(parameters, rules.map(WithOptions::<U, true, true>)),
    }
}

/// A rule with options: a cautious update, cautious decay, or both.
#[derive(Clone, Copy, Debug)]
struct WithOptions<U, const CAUTIOUS: bool, const DECAY: bool>(U);

impl<U: Propose<S, P, H>, const S: usize, const P: usize, const H: usize, const CAUTIOUS: bool, const DECAY: bool>
    Rule<S, P, H> for WithOptions<U, CAUTIOUS, DECAY>
{
    const NAME: &'static str = U::NAME;
    const OPTIONS: &'static str = match (CAUTIOUS, DECAY) {
        (true, true) => "_cautious_both",
        (true, false) => "_cautious",
        (false, true) => "_cautious_decay",
        (false, false) => "",
    };
    const STATE: [&'static str; S] = U::STATE;
    const CODES: Option<[Code; S]> = U::CODES;

    type Scalars<R: Real> = U::Scalars<R>;

    fn initial(&self) -> [f64; S] {
        self.0.initial()
    }
    fn history(&self) -> [f64; P] {
        self.0.history()
    }
    fn scalars(&self, history: &mut [f64; P], lr: f64, t: u64) -> U::Scalars<f64> {
        self.0.scalars(history, lr, t)
    }
    fn evaluation(&self) -> Option<Evaluation> {
        self.0.evaluation()
    }
    fn origin(&self) -> Option<usize> {
        self.0.origin()
    }
    fn denominator(&self, t: u64) -> Option<Denominator> {
        self.0.denominator(t)
    }
}

impl<U: Propose<S, P, H>, const S: usize, const P: usize, const H: usize> OnePass<S, P, H>
    for WithOptions<U, false, true>
{
    #[inline(always)]
    fn update<R: Real>(h: U::Scalars<R>, theta: R, g: R, state: [R; S]) -> (R, [R; S]) {
        U::propose(h, theta, g, state).with_cautious_decay(theta).taken(theta)
    }
}

// What is averaged over a tensor: φ.
named!(Mask { agreeing });

// 1/max(mean(φ), 10⁻³), by which the elements that move go farther.
named!(Spread { spread });

/// The mask's mean is not taken for less: the authors' bound.
const LEAST_MEAN: f64 = 1e-3;

impl<U: Propose<S, P, H>, const S: usize, const P: usize, const H: usize, const DECAY: bool> Passes<S, P, H, 1, 1>
    for WithOptions<U, true, DECAY>
{
    type Sums<R: Real> = Mask<R>;
    type Reduced<R: Real> = Spread<R>;

    #[inline(always)]
    fn first<R: Real>(h: U::Scalars<R>, theta: R, g: R, state: [R; S]) -> Mask<R> {
        Mask { agreeing: U::propose(h, theta, g, state).mask() }
    }

    #[inline(always)]
    fn second<R: Real>(h: U::Scalars<R>, by: Spread<R>, theta: R, g: R, state: [R; S]) -> (R, [R; S]) {
        let proposal = U::propose(h, theta, g, state);
        let share = proposal.mask() * by.spread;
        let proposal = if DECAY { proposal.with_cautious_decay(theta) } else { proposal };
        proposal.taken_as(proposal.u * share, theta)
    }
}

impl<U: Propose<S, P, H>, const S: usize, const P: usize, const H: usize, const DECAY: bool> TwoPass<S, P, H, 1, 1>
    for WithOptions<U, true, DECAY>
{
    fn reduce<R: Real>(_: U::Scalars<R>, sum: Mask<R>, count: R) -> Spread<R> {
        Spread { spread: R::constant(1.0) / (sum.agreeing / count).larger(R::constant(LEAST_MEAN)) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::adam::Adam;
    use super::super::lion::Lion;
    use super::*;

    #[test]
    fn an_element_that_the_mask_stops_decays_only_where_the_update_as_proposed_goes_towards_0() {
        // m points up and g down: u > 0 is stopped. −α·u goes towards 0 from above alone.
        fn stopped<U: Propose<S, 0, H>, const S: usize, const H: usize>(rule: &U, state: [f64; S]) {
            let (g, lr) = (-0.1, 1e-2);
            for (theta, expected) in [(2.0, 2.0 - lr * 0.5 * 2.0), (-2.0, -2.0)] {
                let h = rule.scalars(&mut [], lr, 5);
                assert_eq!(WithOptions::<U, true, true>::first(h, theta, g, state).agreeing, 0.0);
                let (found, _) = WithOptions::<U, true, true>::second(h, Spread { spread: 1.0 }, theta, g, state);
                assert_eq!(found, expected, "{} at {theta}", U::NAME);
            }
        }
        stopped(&Adam { weight_decay: 0.5, decoupled: true, ..Adam::default() }, [1.0, 1.0]);
        stopped(&Lion { weight_decay: 0.5, ..Lion::default() }, [1.0]);
    }
}
