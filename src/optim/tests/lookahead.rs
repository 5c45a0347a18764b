//! Lookahead with one mistake each: the comparison with the reference must find every one.

use super::*;
use crate::rule::{OnePass, Real, Rule, named};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Mistake {
    None,
    Never,
    InEveryStep,
    AStepLate,
    CountedFromZero,
    AllTheWay,
    SharesExchanged,
    FastStayAhead,
    AfterTheOldTheta,
    MomentsBeginAnew,
    SlowForgotten,
}
use Mistake::*;

const ALL: [Mistake; 10] = [
    Never,
    InEveryStep,
    AStepLate,
    CountedFromZero,
    AllTheWay,
    SharesExchanged,
    FastStayAhead,
    AfterTheOldTheta,
    MomentsBeginAnew,
    SlowForgotten,
];

/// The rule as the paper prints it, and the mistake.
#[derive(Clone, Copy)]
struct Mutant {
    mistake: Mistake,
    betas: [f64; 2],
    eps: f64,
    decay: f64,
    period: u64,
    size: f64,
}

named!(Scalars { b1, b2, c1, c2, lr, eps, decay, pull, stays, old, anew, forgets });

impl Rule<3, 0, 12> for Mutant {
    const NAME: &'static str = "mutant_lookahead";
    const STATE: [&'static str; 3] = ["m", "v", "slow"];

    type Scalars<R: Real> = Scalars<R>;

    fn scalars(&self, _: &mut [f64; 0], lr: f64, t: u64) -> Scalars<f64> {
        let is = |mistake| f64::from(self.mistake == mistake);
        let [b1, b2] = self.betas;
        let together = match self.mistake {
            Never => false,
            InEveryStep => true,
            AStepLate => t % self.period == 1,
            CountedFromZero => (t + 1).is_multiple_of(self.period),
            _ => t.is_multiple_of(self.period),
        };
        let size = match self.mistake {
            AllTheWay => 1.0,
            SharesExchanged => 1.0 - self.size,
            _ => self.size,
        };
        Scalars {
            b1,
            b2,
            c1: 1.0 - b1.powf(t as f64),
            c2: 1.0 - b2.powf(t as f64),
            lr,
            eps: self.eps,
            decay: lr * self.decay,
            pull: if together { size } else { 0.0 },
            stays: is(FastStayAhead),
            old: is(AfterTheOldTheta),
            anew: is(MomentsBeginAnew),
            forgets: is(SlowForgotten),
        }
    }

    fn evaluation(&self) -> Option<crate::rule::Evaluation> {
        Some(crate::rule::Evaluation { state: 2, weight: 1.0 })
    }
}

impl OnePass<3, 0, 12> for Mutant {
    fn update<R: Real>(h: Scalars<R>, theta: R, g: R, [m, v, slow]: [R; 3]) -> (R, [R; 3]) {
        let (zero, one) = (R::constant(0.0), R::constant(1.0));
        let m = h.b1 * m + (one - h.b1) * g;
        let v = h.b2 * v + (one - h.b2) * g * g;
        let fast = theta - h.decay * theta - h.lr * (m / h.c1) / ((v / h.c2).sqrt() + h.eps);
        let together = zero.less(h.pull);
        let toward = R::select(zero.less(h.old), theta, fast);
        let moved = slow + h.pull * (toward - slow);
        let slow_next = R::select(zero.less(h.forgets), slow, moved);
        let theta = R::select(zero.less(h.stays), fast, moved);
        let m_next = R::select(zero.less(h.anew), zero, m);
        (R::select(together, theta, fast), [R::select(together, m_next, m), v, R::select(together, slow_next, slow)])
    }
}

fn is_found(mistake: Mistake) -> bool {
    golden().iter().filter(|case| case.family.name == "lookahead").any(|case| {
        let count = |name: &str| {
            let hyper = case.family.hypers.iter().find(|hyper| hyper.name() == name).unwrap();
            case.hypers.count(hyper)
        };
        let mutant = Mutant {
            mistake,
            betas: [case.number("beta1"), case.number("beta2")],
            eps: case.number("eps"),
            decay: case.number("weight_decay"),
            period: count("sync_period"),
            size: case.number("slow_step_size"),
        };
        let var = Var::from_tensor(&tensor(&table::inputs().theta0, DType::F64)).unwrap();
        let optimizer = one_pass(&[Parameter::new("x", &var)], std::iter::once(mutant)).unwrap();
        let worst = one_step_differences(case, Lone { var, optimizer, dtype: DType::F64 });
        // The textbook form itself rounds once more than the rule.
        !judged(case, &worst, |_| 4.0).1
    })
}

#[test]
fn every_mutant_of_lookahead_is_found() {
    assert!(!is_found(None), "the textbook form without a mistake is held for a mutant");
    for mistake in ALL {
        assert!(is_found(mistake), "{mistake:?} is not found");
    }
}
