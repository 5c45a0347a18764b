//! ASGD: SGD at a falling rate, and the average of its path.
//!
//! ```text
//!     gₜ = ∇f(θₜ₋₁) + λ·θₜ₋₁
//!     θₜ = (1 − λ′·ηₜ)·θₜ₋₁ − ηₜ·gₜ
//!     xₜ = xₜ₋₁ + μₜ·(θₜ − xₜ₋₁),  μₜ = 1/max(1, t − 1 − t₀)
//!     ηₜ₊₁ = αₜ/(1 + λ′·αₜ·t)ᵃ,  η₁ = α₁
//! ```
//!
//! Polyak & Juditsky 1992, "Acceleration of Stochastic Approximation by Averaging", in the form of Bottou's sgd. As torch.optim.ASGD:
//! the rate of a step follows from α of the step before, λ′ is both its fall and a decay, and x is θ up to step t₀ + 2, which by default
//! few runs reach. The net is evaluated and saved at x, which PyTorch leaves to its user. In checkpoints the parameter itself
//! and `ax` are x, the state `y` is θ. `a` is `optim.alpha`.

use super::prelude::*;

pub static ASGD: Family = Family {
    name: "asgd",
    about: "SGD at a falling rate that averages its path",
    source: "Polyak & Juditsky 1992; as torch.optim.ASGD",
    file: include_str!("asgd.rs"),
    evaluates_elsewhere: true,
    ..Family::one_pass::<Asgd, _, _, _>()
};

hyperparameters! {
    /// ASGD.
    pub struct Asgd {
        lr = LR.or(1e-2),
        alpha: f64 = FALL,
        lambd: f64 = LAMBD,
        averaged_from: f64 = AVERAGED_FROM,
        weight_decay: f64 = WEIGHT_DECAY,
    }
}

named!(Scalars { coupled, decay, minus_eta, mu });

impl Rule<1, 1, 4> for Asgd {
    const NAME: &'static str = "asgd";
    const STATE: [&'static str; 1] = ["ax"];

    type Scalars<R: Real> = Scalars<R>;

    fn scalars(&self, [next]: &mut [f64; 1], lr: f64, t: u64) -> Scalars<f64> {
        let eta = if t == 1 { lr } else { *next };
        let t = t as f64;
        *next = lr / (1.0 + self.lambd * lr * t).powf(self.alpha);
        let mu = 1.0 / (t - 1.0 - self.averaged_from).max(1.0);
        Scalars { coupled: self.weight_decay, decay: -self.lambd * eta, minus_eta: -eta, mu }
    }

    fn evaluation(&self) -> Option<Evaluation> {
        Some(Evaluation { state: 0, weight: 1.0 })
    }
}

impl OnePass<1, 1, 4> for Asgd {
    #[inline(always)]
    fn update<R: Real>(h: Scalars<R>, theta: R, g: R, [x]: [R; 1]) -> (R, [R; 1]) {
        let g = h.coupled.mul_add(theta, g);
        let theta = theta.moved(h.decay, h.minus_eta * g);
        // x + 1·(θ − x) is θ but for rounding.
        (theta, [R::select(R::constant(1.0).at_most(h.mu), theta, x.averaged(h.mu, theta))])
    }
}
