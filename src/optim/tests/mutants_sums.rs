//! Rules that sum over more than an element, with one mistake each, in the words of their formulas: the comparison with the reference
//! must find every one.

use super::*;
use crate::optim::driver::joint;
use crate::rule::{Joint, Passes, Real, Rule, named};

/// `yes` where the mistake that the scalars carry is this one, else `no`.
fn pick<R: Real>(mistake: R, this: f64, yes: R, no: R) -> R {
    let this = R::constant(this);
    R::select(mistake.at_most(this), R::select(this.at_most(mistake), yes, no), no)
}

/// Whether a case of the family tells the optimizer that `build` makes of it from the reference.
fn is_found(family: &str, build: impl Fn(&Case, &[Parameter]) -> Box<dyn LaneOptimizer>) -> bool {
    vector_cases().filter(|case| case.family.name == family).any(|case| {
        let var = Var::from_tensor(&tensor(&table::inputs().theta0, DType::F64)).unwrap();
        let optimizer = build(case, &[Parameter::new("x", &var)]);
        let worst = one_step_differences(case, Lone { var, optimizer, dtype: DType::F64 });
        // The textbook form itself rounds more often than the rule.
        !judged(case, &worst, |state| 2.0 * case.bound64(state).max(4.0)).1
    })
}

/// Requires that the textbook form passes and each form with a mistake does not.
fn expect_found<M: Copy + std::fmt::Debug>(none: M, all: &[M], is_found: impl Fn(M) -> bool) {
    assert!(!is_found(none), "the textbook form without a mistake is held for a mutant");
    let missed: Vec<&M> = all.iter().filter(|mistake| !is_found(**mistake)).collect();
    assert!(missed.is_empty(), "{missed:?}");
}

fn switch(case: &Case, name: &str) -> bool {
    let hyper = case.family.hypers.iter().find(|hyper| hyper.name() == name).unwrap();
    case.hypers.is_on(hyper)
}

fn none_for_zero(number: f64, none: f64) -> f64 {
    if number == 0.0 { none } else { number }
}

mod of_prodigy {
    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Mistake {
        None,
        EpsilonOfTheOldDistance,
        EpsilonUnscaled,
        EpsilonInsideTheRoot,
        SecondMomentUnscaled,
        SecondMomentScaledOnce,
        FirstMomentUnscaled,
        FirstMomentOfTheRate,
        RootOfBeta3Forgotten,
        SumsWithoutD0,
        StepByTheNewDistance,
        DecayWithoutTheDistance,
        DecayCoupledForDecoupled,
        DecayAfterTheStep,
        DistanceBackwards,
        SizeWithSigns,
        SizeOfTheOldSum,
        SumsAverage,
        NoCoefficient,
        FirstEstimateBounded,
        NoBoundOnGrowth,
        LatestEstimate,
        NoBiasCorrection,
        StepCountFromZero,
        SafeguardIgnored,
        NoCoupledDecay,
    }
    use Mistake::*;

    const ALL: [Mistake; 25] = [
        EpsilonOfTheOldDistance,
        EpsilonUnscaled,
        EpsilonInsideTheRoot,
        SecondMomentUnscaled,
        SecondMomentScaledOnce,
        FirstMomentUnscaled,
        FirstMomentOfTheRate,
        RootOfBeta3Forgotten,
        SumsWithoutD0,
        StepByTheNewDistance,
        DecayWithoutTheDistance,
        DecayCoupledForDecoupled,
        DecayAfterTheStep,
        DistanceBackwards,
        SizeWithSigns,
        SizeOfTheOldSum,
        SumsAverage,
        NoCoefficient,
        FirstEstimateBounded,
        NoBoundOnGrowth,
        LatestEstimate,
        NoBiasCorrection,
        StepCountFromZero,
        SafeguardIgnored,
        NoCoupledDecay,
    ];

    /// Prodigy as the paper and the authors' code have it, and the mistake.
    #[derive(Clone, Copy)]
    struct Mutant {
        mistake: Mistake,
        b1: f64,
        b2: f64,
        b3: f64,
        eps: f64,
        decay: f64,
        decoupled: bool,
        d0: f64,
        coefficient: f64,
        growth: f64,
        corrected: bool,
        safeguard: bool,
    }

    impl Mutant {
        fn of(case: &Case, mistake: Mistake) -> Self {
            let b2 = case.number("beta2");
            let root = if mistake == RootOfBeta3Forgotten { b2 } else { b2.sqrt() };
            Self {
                mistake,
                b1: case.number("beta1"),
                b2,
                b3: none_for_zero(case.number("beta3"), root),
                eps: case.number("eps"),
                decay: case.number("weight_decay"),
                decoupled: switch(case, "decoupled") != (mistake == DecayCoupledForDecoupled),
                d0: case.number("d0"),
                coefficient: if mistake == NoCoefficient { 1.0 } else { case.number("d_coef") },
                growth: none_for_zero(case.number("growth_rate"), f64::INFINITY),
                corrected: switch(case, "bias_correction"),
                safeguard: switch(case, "safeguard_warmup"),
            }
        }
    }

    named!(Scalars { mistake, d, b1, b2, b3, of_r, of_s, coupled, decay, step });
    named!(Sums { along, size });
    named!(Reduced { eps, inside, step_by, decay_by });

    impl Rule<4, 3, 10> for Mutant {
        const NAME: &'static str = "mutant";
        const STATE: [&'static str; 4] = ["m", "v", "s", "origin"];

        type Scalars<R: Real> = Scalars<R>;

        fn origin(&self) -> Option<usize> {
            Some(3)
        }

        fn history(&self) -> [f64; 3] {
            [self.d0, self.d0, 0.0]
        }

        fn scalars(&self, [d, ..]: &mut [f64; 3], lr: f64, t: u64) -> Scalars<f64> {
            let t = if self.mistake == StepCountFromZero { t as f64 + 1.0 } else { t as f64 };
            let is_corrected = self.corrected && self.mistake != NoBiasCorrection;
            let correction = if is_corrected { (1.0 - self.b2.powf(t)).sqrt() / (1.0 - self.b1.powf(t)) } else { 1.0 };
            let step = *d * lr * correction;
            let over = if self.mistake == SumsWithoutD0 { 1.0 } else { *d / self.d0 };
            let sum = if self.safeguard && self.mistake != SafeguardIgnored { *d } else { step };
            let part = if self.mistake == SumsAverage { 1.0 - self.b3 } else { 1.0 };
            let is_coupled = !self.decoupled && self.mistake != NoCoupledDecay;
            let rate = if self.mistake == DecayWithoutTheDistance { step / *d } else { step };
            Scalars {
                mistake: f64::from(self.mistake as u8),
                d: *d,
                b1: self.b1,
                b2: self.b2,
                b3: self.b3,
                of_r: over * step * part,
                of_s: over * sum * part,
                coupled: if is_coupled { self.decay } else { 0.0 },
                decay: if self.decoupled { rate * self.decay } else { 0.0 },
                step,
            }
        }
    }

    impl Passes<4, 3, 10, 2, 4> for Mutant {
        type Sums<R: Real> = Sums<R>;
        type Reduced<R: Real> = Reduced<R>;

        fn first<R: Real>(h: Scalars<R>, theta: R, g: R, [_, _, s, origin]: [R; 4]) -> Sums<R> {
            let is = |this: Mistake, yes, no| pick(h.mistake, f64::from(this as u8), yes, no);
            let g = g + h.coupled * theta;
            let new = is(SizeOfTheOldSum, s, h.b3 * s + h.of_s * g);
            let along = g * (origin - theta);
            Sums { along: is(DistanceBackwards, -along, along), size: is(SizeWithSigns, new, new.abs()) }
        }

        fn second<R: Real>(h: Scalars<R>, by: Reduced<R>, theta: R, g: R, [m, v, s, origin]: [R; 4]) -> (R, [R; 4]) {
            let is = |this: Mistake, yes, no| pick(h.mistake, f64::from(this as u8), yes, no);
            let one = R::constant(1.0);
            let g = g + h.coupled * theta;
            let of_m = is(FirstMomentUnscaled, g, is(FirstMomentOfTheRate, h.step * g, h.d * g));
            let m = h.b1 * m + (one - h.b1) * of_m;
            let of_v = is(SecondMomentUnscaled, g * g, is(SecondMomentScaledOnce, h.d * g * g, h.d * h.d * g * g));
            let v = h.b2 * v + (one - h.b2) * of_v;
            let s = h.b3 * s + h.of_s * g;
            let step = by.step_by * m / ((v + by.inside).sqrt() + by.eps);
            let theta = is(DecayAfterTheStep, (theta - step) * (one - by.decay_by), theta - by.decay_by * theta - step);
            (theta, [m, v, s, origin])
        }
    }

    impl Joint<4, 3, 10, 2, 4> for Mutant {
        fn reduce(&self, history: &mut [f64; 3], h: Scalars<f64>, sums: Sums<f64>) -> Reduced<f64> {
            let [d, most, r] = history;
            let old = *d;
            *r = self.b3 * *r + h.of_r * sums.along;
            if sums.size != 0.0 {
                let estimate = self.coefficient * *r / sums.size;
                if *d == self.d0 && self.mistake != FirstEstimateBounded {
                    *d = d.max(estimate);
                }
                *most = if self.mistake == LatestEstimate { estimate } else { most.max(estimate) };
                let growth = if self.mistake == NoBoundOnGrowth { f64::INFINITY } else { self.growth };
                *d = most.min(*d * growth);
            }
            let eps = match self.mistake {
                EpsilonOfTheOldDistance => old * self.eps,
                EpsilonUnscaled => self.eps,
                EpsilonInsideTheRoot => 0.0,
                _ => *d * self.eps,
            };
            let inside = if self.mistake == EpsilonInsideTheRoot { (*d * self.eps).powi(2) } else { 0.0 };
            let step_by = if self.mistake == StepByTheNewDistance { h.step / old * *d } else { h.step };
            Reduced { eps, inside, step_by, decay_by: h.decay }
        }
    }

    #[test]
    fn every_mutant_of_prodigy_is_found() {
        expect_found(None, &ALL, |mistake| {
            is_found("prodigy", |case, parameters| {
                joint(parameters, std::iter::once(Mutant::of(case, mistake))).unwrap()
            })
        });
    }
}

mod of_dadapt_adam {
    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Mistake {
        None,
        DenominatorAfterThisGradient,
        SumAfterThisGradient,
        NoDenominator,
        EpsilonInsideTheRoot,
        RootForgotten,
        NumeratorSums,
        SizeUnweighted,
        SizeWithSigns,
        NoBoundOnGrowth,
        LatestEstimate,
        RateOutsideTheMoment,
        MomentUnscaled,
        SumUnscaled,
        SecondMomentScaled,
        StepByTheNewDistance,
        DecayWithoutTheDistance,
        DecayCoupledForDecoupled,
        NoBiasCorrection,
        StepCountFromZero,
        NumeratorByTheRateAlone,
    }
    use Mistake::*;

    const ALL: [Mistake; 20] = [
        DenominatorAfterThisGradient,
        SumAfterThisGradient,
        NoDenominator,
        EpsilonInsideTheRoot,
        RootForgotten,
        NumeratorSums,
        SizeUnweighted,
        SizeWithSigns,
        NoBoundOnGrowth,
        LatestEstimate,
        RateOutsideTheMoment,
        MomentUnscaled,
        SumUnscaled,
        SecondMomentScaled,
        StepByTheNewDistance,
        DecayWithoutTheDistance,
        DecayCoupledForDecoupled,
        NoBiasCorrection,
        StepCountFromZero,
        NumeratorByTheRateAlone,
    ];

    /// D-adapted Adam as the authors' code has it, and the mistake.
    #[derive(Clone, Copy)]
    struct Mutant {
        mistake: Mistake,
        b1: f64,
        b2: f64,
        eps: f64,
        decay: f64,
        decoupled: bool,
        d0: f64,
        growth: f64,
        corrected: bool,
    }

    impl Mutant {
        fn of(case: &Case, mistake: Mistake) -> Self {
            Self {
                mistake,
                b1: case.number("beta1"),
                b2: case.number("beta2"),
                eps: case.number("eps"),
                decay: case.number("weight_decay"),
                decoupled: switch(case, "decoupled") != (mistake == DecayCoupledForDecoupled),
                d0: case.number("d0"),
                growth: none_for_zero(case.number("growth_rate"), f64::INFINITY),
                corrected: switch(case, "bias_correction"),
            }
        }

        fn root(&self) -> f64 {
            if self.mistake == RootForgotten { self.b2 } else { self.b2.sqrt() }
        }
    }

    named!(Scalars { mistake, b1, b2, root, step, d, eps, inside, coupled, decay });
    named!(Sums { along, size });
    named!(Reduced { grown });

    /// m, v and s after a gradient.
    fn averages<R: Real>(h: Scalars<R>, g: R, [m, v, s]: [R; 3]) -> [R; 3] {
        let is = |this: Mistake, yes, no| pick(h.mistake, f64::from(this as u8), yes, no);
        let one = R::constant(1.0);
        let of_m = is(MomentUnscaled, g, is(RateOutsideTheMoment, g, h.step * g));
        let of_v = is(SecondMomentScaled, h.d * h.d * g * g, g * g);
        let of_s = is(SumUnscaled, g, h.step * g);
        [h.b1 * m + (one - h.b1) * of_m, h.b2 * v + (one - h.b2) * of_v, h.root * s + (one - h.root) * of_s]
    }

    impl Rule<3, 2, 10> for Mutant {
        const NAME: &'static str = "mutant";
        const STATE: [&'static str; 3] = ["m", "v", "s"];

        type Scalars<R: Real> = Scalars<R>;

        fn history(&self) -> [f64; 2] {
            [self.d0, 0.0]
        }

        fn scalars(&self, [d, _]: &mut [f64; 2], lr: f64, t: u64) -> Scalars<f64> {
            let t = if self.mistake == StepCountFromZero { t as f64 + 1.0 } else { t as f64 };
            let is_corrected = self.corrected && self.mistake != NoBiasCorrection;
            let correction = if is_corrected { (1.0 - self.b2.powf(t)).sqrt() / (1.0 - self.b1.powf(t)) } else { 1.0 };
            let step = *d * lr * correction;
            let rate = if self.mistake == DecayWithoutTheDistance { step / *d } else { step };
            let is_inside = self.mistake == EpsilonInsideTheRoot;
            Scalars {
                mistake: f64::from(self.mistake as u8),
                b1: self.b1,
                b2: self.b2,
                root: self.root(),
                step,
                d: *d,
                eps: if is_inside { 0.0 } else { self.eps },
                inside: if is_inside { self.eps * self.eps } else { 0.0 },
                coupled: if self.decoupled { 0.0 } else { self.decay },
                decay: if self.decoupled { rate * self.decay } else { 0.0 },
            }
        }
    }

    impl Passes<3, 2, 10, 2, 1> for Mutant {
        type Sums<R: Real> = Sums<R>;
        type Reduced<R: Real> = Reduced<R>;

        fn first<R: Real>(h: Scalars<R>, theta: R, g: R, state: [R; 3]) -> Sums<R> {
            let is = |this: Mistake, yes, no| pick(h.mistake, f64::from(this as u8), yes, no);
            let g = g + h.coupled * theta;
            let [_, v, s] = state;
            let [_, new_v, new_s] = averages(h, g, state);
            let (v, old_s) = (is(DenominatorAfterThisGradient, new_v, v), is(SumAfterThisGradient, new_s, s));
            let below = is(NoDenominator, R::constant(1.0), (v + h.inside).sqrt() + h.eps);
            Sums { along: g * old_s / below, size: is(SizeWithSigns, new_s, new_s.abs()) }
        }

        fn second<R: Real>(h: Scalars<R>, by: Reduced<R>, theta: R, g: R, state: [R; 3]) -> (R, [R; 3]) {
            let is = |this: Mistake, yes, no| pick(h.mistake, f64::from(this as u8), yes, no);
            let g = g + h.coupled * theta;
            let [m, v, s] = averages(h, g, state);
            let u = m / ((v + h.inside).sqrt() + h.eps);
            let u = is(RateOutsideTheMoment, h.step * u, is(StepByTheNewDistance, by.grown * u, u));
            (theta - h.decay * theta - u, [m, v, s])
        }
    }

    impl Joint<3, 2, 10, 2, 1> for Mutant {
        fn reduce(&self, [d, r]: &mut [f64; 2], h: Scalars<f64>, sums: Sums<f64>) -> Reduced<f64> {
            let (old, rest) = (*d, 1.0 - h.root);
            let weight = if self.mistake == NumeratorSums { 1.0 } else { rest };
            let rate = if self.mistake == NumeratorByTheRateAlone { h.step / *d } else { h.step };
            *r = h.root * *r + weight * rate * sums.along;
            if sums.size != 0.0 {
                let size = if self.mistake == SizeUnweighted { sums.size } else { rest * sums.size };
                let growth = if self.mistake == NoBoundOnGrowth { f64::INFINITY } else { self.growth };
                let bounded = (*r / size).min(*d * growth);
                *d = if self.mistake == LatestEstimate { bounded } else { d.max(bounded) };
            }
            Reduced { grown: *d / old }
        }
    }

    #[test]
    fn every_mutant_of_d_adapted_adam_is_found() {
        expect_found(None, &ALL, |mistake| {
            is_found("dadapt-adam", |case, parameters| {
                joint(parameters, std::iter::once(Mutant::of(case, mistake))).unwrap()
            })
        });
    }
}

mod of_adafactor {
    use super::super::properties::matrices;
    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Mistake {
        None,
        WeightOfTheStepBefore,
        ConstantWeight,
        WeightOfTheOld,
        RateUnbounded,
        RateOfTheStepBefore,
        StepAbsolute,
        LeastAdded,
        SizeAfterDecay,
        SizeIsTheNorm,
        SizeOfEachMatrix,
        DecayByTheStep,
        DecayCoupled,
        DecayAfterTheStep,
        Unclipped,
        ThresholdInverted,
        SumsForMeans,
        MeansSwapped,
        NotNormalised,
        FloorUnsquared,
        FloorAdded,
        FloorInTheSquares,
        RootForgotten,
        OldMoment,
    }
    use Mistake::*;

    const ALL: [Mistake; 23] = [
        WeightOfTheStepBefore,
        ConstantWeight,
        WeightOfTheOld,
        RateUnbounded,
        RateOfTheStepBefore,
        StepAbsolute,
        LeastAdded,
        SizeAfterDecay,
        SizeIsTheNorm,
        SizeOfEachMatrix,
        DecayByTheStep,
        DecayCoupled,
        DecayAfterTheStep,
        Unclipped,
        ThresholdInverted,
        SumsForMeans,
        MeansSwapped,
        NotNormalised,
        FloorUnsquared,
        FloorAdded,
        FloorInTheSquares,
        RootForgotten,
        OldMoment,
    ];

    fn rms(x: &[f64]) -> f64 {
        (x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64).sqrt()
    }

    /// A step of Adafactor as the paper and PyTorch have it, and the mistake: over matrices `[matrices, rows, columns]` with the states r
    /// and c, or over a vector with v.
    fn stepped(
        case: &Case,
        mistake: Mistake,
        t: usize,
        shape: [usize; 3],
        arrays: &[Vec<f64>],
        gradient: &[f64],
    ) -> Vec<Vec<f64>> {
        let is = |this: Mistake| mistake == this;
        let [lr, least, decay] = [case.lr_of_step(t), case.number("eps2"), case.number("weight_decay")];
        let [gamma, threshold] = [case.number("beta2_decay"), case.number("clip_threshold")];
        let floor = none_for_zero(case.number("eps1"), f64::EPSILON);
        let [matrices, rows, columns] = shape;
        let time = t as f64;
        let before = if is(WeightOfTheStepBefore) { (time - 1.0).max(1.0) } else { time };
        let weight = if is(ConstantWeight) { 0.001 } else { before.powf(gamma) };
        let weight = if is(WeightOfTheOld) { 1.0 - weight } else { weight };
        let averaged = |old: f64, new: f64| old + weight * (new - old);

        let theta = &arrays[0];
        let coupled = if is(DecayCoupled) { decay } else { 0.0 };
        let g: Vec<f64> = gradient.iter().zip(theta).map(|(g, theta)| g + coupled * theta).collect();
        let in_squares = if is(FloorInTheSquares) { floor } else { 0.0 };
        let squares: Vec<f64> = g.iter().map(|g| g * g + in_squares).collect();
        let mut new = arrays.to_vec();
        let v: Vec<f64> = if rows == 0 {
            for (v, square) in new[1].iter_mut().zip(&squares) {
                *v = averaged(*v, *square);
            }
            if is(OldMoment) { arrays[1].clone() } else { new[1].clone() }
        } else {
            let (mut of_rows, mut of_columns) = if is(MeansSwapped) { (rows, columns) } else { (columns, rows) };
            if is(SumsForMeans) {
                (of_rows, of_columns) = (1, 1);
            }
            let at = |k: usize, i: usize, j: usize| squares[(k * rows + i) * columns + j];
            for k in 0..matrices {
                for i in 0..rows {
                    let sum: f64 = (0..columns).map(|j| at(k, i, j)).sum();
                    let row = &mut new[1][k * rows + i];
                    *row = averaged(*row, sum / of_rows as f64);
                }
                for j in 0..columns {
                    let sum: f64 = (0..rows).map(|i| at(k, i, j)).sum();
                    let col = &mut new[2][k * columns + j];
                    *col = averaged(*col, sum / of_columns as f64);
                }
            }
            let used = if is(OldMoment) { arrays } else { &new };
            let element = |index: usize| {
                let (k, i, j) = (index / (rows * columns), index / columns % rows, index % columns);
                let own = &used[1][k * rows..(k + 1) * rows];
                let mean = if is(NotNormalised) { 1.0 } else { (own.iter().sum::<f64>() / rows as f64).max(floor) };
                own[i] * used[2][k * columns + j] / mean
            };
            (0..g.len()).map(element).collect()
        };
        let u = g.iter().zip(&v).map(|(g, &v)| {
            let bounded = match mistake {
                FloorUnsquared => v.max(floor),
                FloorAdded => v + floor * floor,
                _ => v.max(floor * floor),
            };
            g / if is(RootForgotten) { bounded } else { bounded.sqrt() }
        });
        let u: Vec<f64> = u.collect();

        let root = if is(RateOfTheStepBefore) { (time - 1.0).max(1.0) } else { time }.sqrt();
        let rate = if is(RateUnbounded) { lr } else { lr.min(1.0 / root) };
        let kept = 1.0 - lr * decay;
        let size_of = |theta: &[f64]| {
            let size = rms(theta) * if is(SizeAfterDecay) { kept } else { 1.0 };
            let size = if is(SizeIsTheNorm) { size * (theta.len() as f64).sqrt() } else { size };
            let size = if is(LeastAdded) { size + least } else { size.max(least) };
            if is(StepAbsolute) { 1.0 } else { size }
        };
        let outgrown = match mistake {
            Unclipped => 1.0,
            ThresholdInverted => (rms(&u) * threshold).max(1.0),
            _ => (rms(&u) / threshold).max(1.0),
        };
        let decay_of = |size: f64| match mistake {
            DecayCoupled => 0.0,
            DecayByTheStep => size * rate * decay,
            _ => lr * decay,
        };
        let whole = size_of(theta);
        for (index, theta) in new[0].iter_mut().enumerate() {
            let own = index / (rows * columns).max(1) * (rows * columns);
            let size =
                if is(SizeOfEachMatrix) && rows > 0 { size_of(&arrays[0][own..own + rows * columns]) } else { whole };
            let step = size * rate / outgrown * u[index];
            let decay = decay_of(size);
            *theta =
                if is(DecayAfterTheStep) { (*theta - step) * (1.0 - decay) } else { *theta * (1.0 - decay) - step };
        }
        new
    }

    /// Whether a step from one of the reference's states differs from the reference's.
    fn differs(found: &[Vec<f64>], golden: &[Vec<f64>], before: &[Vec<f64>]) -> bool {
        found.iter().zip(golden).zip(before).any(|((found, golden), before)| {
            found.iter().zip(golden).zip(before).any(|((found, golden), before)| {
                let addend = golden.abs().max(before.abs()).max((golden - before).abs());
                let far = (found - golden).abs() > 16.0 * ulp(addend, DType::F64);
                far && found.abs().max(golden.abs()) > f64::MIN_POSITIVE || found.is_nan()
            })
        })
    }

    fn is_found(mistake: Mistake) -> bool {
        golden().iter().filter(|case| case.family.name == "adafactor").any(|case| {
            let mut draws = table::Draws::new();
            draws.theta0(93);
            let mut before: Vec<Vec<f64>> = if case.shapes.is_empty() {
                vec![table::inputs().theta0.clone(), vec![0.0; 37]]
            } else {
                let sizes = |shape: &Vec<usize>| match shape[..] {
                    [ref stack @ .., rows, columns] => {
                        let count = stack.iter().product::<usize>();
                        [vec![0.0; count * rows], vec![0.0; count * columns]]
                    }
                    _ => unreachable!(),
                };
                let all = matrices(case, DType::F64).into_iter().zip(&case.shapes);
                all.flat_map(|(parameter, shape)| std::iter::once(read(&parameter.var)).chain(sizes(shape))).collect()
            };
            case.steps64.iter().enumerate().any(|(step, golden)| {
                let found = if case.shapes.is_empty() {
                    stepped(case, mistake, step + 1, [0; 3], &before, &case.gradient(step + 1))
                } else {
                    let gradient = draws.gradient(93, step + 1);
                    let (first, second) = gradient.split_at(45);
                    let own = case.shapes.iter().zip([first, second]).enumerate();
                    own.flat_map(|(k, (shape, gradient))| {
                        let [stack @ .., rows, columns] = &shape[..] else { unreachable!() };
                        let shape = [stack.iter().product(), *rows, *columns];
                        stepped(case, mistake, step + 1, shape, &before[3 * k..3 * k + 3], gradient)
                    })
                    .collect()
                };
                let is_found = differs(&found, golden, &before);
                before.clone_from(golden);
                is_found
            })
        })
    }

    #[test]
    fn every_mutant_of_adafactor_is_found() {
        expect_found(None, &ALL, is_found);
    }
}
