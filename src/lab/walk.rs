//! The way that a rule goes along a function, in double precision and by the update that trains.

use anyhow::Result;

use super::follower::{Follower, Precision, Recipe};
use super::functions::{Point, Problem};
use crate::text::three_digits;

/// Rates that are tried: four a decade, from 10⁻⁵ to 10.
const RATES: std::ops::RangeInclusive<i32> = -20..=4;

/// A way.
#[derive(Clone, Debug, Default)]
pub struct Walk {
    /// Where it was before the first step and after each; of a rule that tells the two apart, where it is evaluated.
    pub points: Vec<Point>,
    /// The function there.
    pub values: Vec<f64>,
    /// Of losses that differ from step to step, what they cost so far beyond the best point, a step: a number for each step.
    pub regret: Vec<f64>,
    /// The step after which a number was not finite, where there was one; the way ends before it.
    pub diverged: Option<u64>,
}

impl Walk {
    /// Goes `steps` steps.
    ///
    /// # Errors
    /// If memory does not suffice.
    pub fn along(problem: &Problem, recipe: &Recipe, steps: u64) -> Result<Self> {
        let count = problem.variables();
        let mut stream = problem.stream();
        let mut theta = problem.projected(problem.start);
        let mut follower = Follower::new(recipe, &theta[..count], &[count], Precision::F64)?;
        let mut walk = Self { points: vec![theta], values: vec![problem.value(theta)], ..Self::default() };
        let mut regret = 0.0;
        for t in 1..=steps {
            let loss = problem.loss(t, theta, &mut stream);
            if let Some(best) = problem.minima.first().filter(|_| problem.gradients.are_online()) {
                // A loss is a line through 0.
                regret += loss.value - loss.slope[0] * best[0];
                walk.regret.push(regret / t as f64);
            }
            // A line search shortens such a trial.
            if !recipe.family.is_full_batch && !loss.slope.iter().all(|slope| slope.is_finite()) {
                walk.diverged = Some(t);
                break;
            }
            follower.step_at(loss.value, &loss.slope[..count])?;
            theta = point(&follower.theta()?);
            let allowed = problem.projected(theta);
            if allowed != theta {
                follower.put(&allowed[..count])?;
                theta = allowed;
            }
            let evaluated = point(&follower.evaluated()?);
            let value = problem.value(evaluated);
            if !(value.is_finite() && evaluated.iter().chain(&theta).all(|x| x.is_finite())) {
                walk.diverged = Some(t);
                break;
            }
            walk.points.push(evaluated);
            walk.values.push(value);
        }
        Ok(walk)
    }

    /// The least value on the way.
    pub fn least(&self) -> f64 {
        self.values.iter().copied().fold(f64::INFINITY, f64::min)
    }

    /// Where it ends, and the function there.
    pub fn end(&self) -> (Point, f64) {
        (self.points.last().copied().unwrap_or_default(), self.values.last().copied().unwrap_or(f64::NAN))
    }
}

fn point(numbers: &[f64]) -> Point {
    [numbers.first().copied().unwrap_or_default(), numbers.get(1).copied().unwrap_or_default()]
}

/// What a search found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tuned {
    /// The rate.
    pub lr: f64,
    /// Whether it is the least or the largest that was tried.
    pub is_at_edge: bool,
}

/// The rate with which a rule comes lowest within `steps` steps, of four a decade from 10⁻⁵ to 10; of several the least.
///
/// # Errors
/// If memory does not suffice.
pub fn tuned(problem: &Problem, recipe: &Recipe, steps: u64) -> Result<Tuned> {
    let mut best: Option<(f64, i32, f64)> = None;
    for quarter in RATES {
        let lr = three_digits(libm::pow(10.0, f64::from(quarter) / 4.0));
        let least = Walk::along(problem, &recipe.at(lr), steps)?.least();
        if best.is_none_or(|(lowest, ..)| least < lowest) {
            best = Some((least, quarter, lr));
        }
    }
    let (_, quarter, lr) = best.unwrap_or((f64::NAN, *RATES.start(), recipe.lr()));
    Ok(Tuned { lr, is_at_edge: [RATES.start(), RATES.end()].contains(&&quarter) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::variant::Variant;
    use crate::lab::functions::Choices;

    fn recipe(text: &str) -> Recipe {
        Recipe::of(Variant::all(text).unwrap()[0].given("--optimizer")).unwrap()
    }

    fn problem(text: &str) -> Problem {
        Problem::of(text, Choices { condition: 10.0, noise: 1.0, seed: 0 }).unwrap()
    }

    #[test]
    fn gradient_descent_goes_where_it_is_known_to_go() {
        // On x²/2 each step takes the share α of x away.
        let walk = Walk::along(&problem("x^2/2"), &recipe("sgd lr=0.25"), 3).unwrap();
        assert_eq!(walk.points, [1.0, 0.75, 0.5625, 0.421_875].map(|x| [x, 0.0]));
        // Above 2 over the curvature it diverges, and the way ends while it is finite.
        let walk = Walk::along(&problem("x^4"), &recipe("sgd lr=1"), 100).unwrap();
        assert!(walk.diverged.is_some() && walk.values.iter().all(|value| value.is_finite()), "{walk:?}");
    }

    #[test]
    fn on_the_losses_of_reddi_adam_goes_up_and_amsgrad_down() {
        let end = |rule: &str| {
            let recipe = recipe(&format!("{rule} lr=0.03 beta2=0.99"));
            let walk = Walk::along(&problem("reddi"), &recipe, 101 * 200).unwrap();
            (walk.end().0[0], walk.regret[walk.regret.len() - 1])
        };
        let (adam, amsgrad) = (end("adam"), end("amsgrad"));
        assert!(adam.0 > 0.9 && amsgrad.0 < -0.3 && adam.1 > amsgrad.1, "{adam:?} {amsgrad:?}");
    }

    #[test]
    fn a_search_finds_the_rate_that_comes_lowest() {
        // The best rate for gradient descent on x²/2 is 1.
        let found = tuned(&problem("x^2/2"), &recipe("sgd"), 20).unwrap();
        assert_eq!(found, Tuned { lr: 1.0, is_at_edge: false });
        let found = tuned(&problem("1e-9*x"), &recipe("sgd"), 20).unwrap();
        assert_eq!(found, Tuned { lr: 10.0, is_at_edge: true });
    }

    #[test]
    fn noise_is_the_same_for_every_rule() {
        let problem = problem("noisy-quadratic");
        let step = |rule: &str| {
            let walk = Walk::along(&problem, &recipe(rule), 1).unwrap();
            [walk.points[1][0] - walk.points[0][0], walk.points[1][1] - walk.points[0][1]]
        };
        let (once, twice) = (step("sgd lr=0.1"), step("sgd lr=0.2"));
        assert!((0..2).all(|k| (2.0 * once[k] - twice[k]).abs() < 1e-12), "{once:?} {twice:?}");
    }
}
