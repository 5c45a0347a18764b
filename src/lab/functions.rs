//! Functions of one or two variables along which rules are watched: those with a name, and a user's own.
//!
//! A function is its formula, and its gradient the exact derivative of that: see [`Expression`]. Some have more about them: gradients with
//! noise, or a loss of its own in each step.

use super::expression::{Dual, Expression};
use crate::config::value::closest;
use crate::rng::{Purpose, Stream};

/// A point; of a function of one variable the second number is 0.
pub type Point = [f64; 2];

/// A function with a name.
#[derive(Debug)]
pub struct Known {
    /// Its name.
    pub name: &'static str,
    /// What it is, in x, y and the condition K.
    pub formula: &'static str,
    /// What is known of it.
    pub about: &'static str,
    /// Who published it.
    pub source: &'static str,
    /// Where rules begin.
    pub start: Point,
    /// Where it is least.
    pub minima: &'static [Point],
    /// What a picture shows at least: from and to, along x and y.
    pub window: [(f64, f64); 2],
    /// How gradients come about.
    pub gradients: Gradients,
}

/// How gradients come about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Gradients {
    /// They are those of the function.
    Exact,
    /// To each partial derivative a number of N(0, σ²) is added.
    Noisy,
    /// Step t has a loss of its own, slope·x: `RARE` in every `PERIOD`-th step from the first, else `USUAL`; x stays in [−1, 1].
    Online,
    /// The same with `RARE` by a chance of 1 in 100.
    Stochastic,
}

/// Reddi et al. 2018, section 5.
const RARE: f64 = 1010.0;
const USUAL: f64 = -10.0;
const PERIOD: u64 = 101;

/// The names, from simple to complex.
pub const KNOWN: [Known; 10] = [
    Known {
        name: "quadratic",
        formula: "(x^2 + K*y^2)/2",
        about: "a bowl whose curvatures differ by the factor K",
        source: "Nocedal & Wright 2006, Numerical Optimization, section 3.3",
        start: [-4.0, 2.0],
        minima: &[[0.0, 0.0]],
        window: [(-5.0, 5.0), (-3.0, 3.0)],
        gradients: Gradients::Exact,
    },
    Known {
        name: "noisy-quadratic",
        formula: "(x^2 + K*y^2)/2",
        about: "the same with noise on its gradients",
        source: "Schaul et al. 2013, arXiv:1206.1106; Zhang et al. 2019, arXiv:1907.04164",
        start: [-4.0, 2.0],
        minima: &[[0.0, 0.0]],
        window: [(-5.0, 5.0), (-3.0, 3.0)],
        gradients: Gradients::Noisy,
    },
    Known {
        name: "abs",
        formula: "abs(x)",
        about: "a corner, at which gradients do not grow small; one variable",
        source: "Shor 1985, Minimization Methods for Non-Differentiable Functions",
        start: [1.0, 0.0],
        minima: &[[0.0, 0.0]],
        window: [(-1.0, 1.0), (0.0, 0.0)],
        gradients: Gradients::Exact,
    },
    Known {
        name: "rosenbrock",
        formula: "(1 - x)^2 + 100*(y - x^2)^2",
        about: "a bent valley with steep walls and a flat floor",
        source: "Rosenbrock 1960, Computer Journal 3(3), 175-184",
        start: [-1.2, 1.0],
        minima: &[[1.0, 1.0]],
        window: [(-1.75, 1.75), (-0.75, 2.0)],
        gradients: Gradients::Exact,
    },
    Known {
        name: "beale",
        formula: "(1.5 - x + x*y)^2 + (2.25 - x + x*y^2)^2 + (2.625 - x + x*y^3)^2",
        about: "a flat valley between walls of fourth and sixth order",
        source: "Beale 1958; More, Garbow & Hillstrom 1981, ACM TOMS 7(1), no. 5",
        start: [1.0, 1.0],
        minima: &[[3.0, 0.5]],
        window: [(-0.5, 4.0), (-1.25, 1.5)],
        gradients: Gradients::Exact,
    },
    Known {
        name: "himmelblau",
        formula: "(x^2 + y - 11)^2 + (x + y^2 - 7)^2",
        about: "four minima of equal depth",
        source: "Himmelblau 1972, Applied Nonlinear Programming",
        start: [0.0, 0.0],
        minima: &[
            [3.0, 2.0],
            [-2.805_118_086_952_745, 3.131_312_518_250_573],
            [-3.779_310_253_377_747, -3.283_185_991_286_17],
            [3.584_428_340_330_492, -1.848_126_526_964_404],
        ],
        window: [(-5.0, 5.0), (-5.0, 5.0)],
        gradients: Gradients::Exact,
    },
    Known {
        name: "rastrigin",
        formula: "20 + x^2 - 10*cos(2*pi*x) + y^2 - 10*cos(2*pi*y)",
        about: "a bowl with a local minimum near every pair of whole numbers",
        source: "Rastrigin 1974; two variables",
        start: [2.3, -1.7],
        minima: &[[0.0, 0.0]],
        window: [(-3.0, 3.0), (-3.0, 3.0)],
        gradients: Gradients::Exact,
    },
    Known {
        name: "saddle",
        formula: "x^2 - y^2 + y^4/2",
        about: "begins next to the ridge of a saddle at (0, 0)",
        source: "the saddle x^2 - y^2 with a term that bounds it below",
        start: [-1.5, 0.001],
        minima: &[[0.0, 1.0], [0.0, -1.0]],
        window: [(-2.0, 2.0), (-1.5, 1.5)],
        gradients: Gradients::Exact,
    },
    Known {
        name: "reddi",
        formula: "10/101*x",
        about: "mean of 1010*x in every 101st step and -10*x in the others; x stays in [-1, 1]",
        source: "Reddi, Kale & Kumar 2018, arXiv:1904.09237, section 5, online",
        start: [0.0, 0.0],
        minima: &[[-1.0, 0.0]],
        window: [(-1.0, 1.0), (0.0, 0.0)],
        gradients: Gradients::Online,
    },
    Known {
        name: "reddi-stochastic",
        formula: "0.2*x",
        about: "mean of 1010*x with a chance of 0.01 and -10*x else; x stays in [-1, 1]",
        source: "Reddi, Kale & Kumar 2018, arXiv:1904.09237, section 5, stochastic",
        start: [0.0, 0.0],
        minima: &[[-1.0, 0.0]],
        window: [(-1.0, 1.0), (0.0, 0.0)],
        gradients: Gradients::Stochastic,
    },
];

impl Gradients {
    /// Whether each step has a loss of its own, and a regret against the best point.
    pub fn are_online(self) -> bool {
        matches!(self, Self::Online | Self::Stochastic)
    }

    /// Whether they depend on a seed.
    pub fn are_random(self) -> bool {
        matches!(self, Self::Noisy | Self::Stochastic)
    }
}

/// What can be chosen of a function.
#[derive(Clone, Copy, Debug)]
pub struct Choices {
    /// K.
    pub condition: f64,
    /// σ.
    pub noise: f64,
    /// Of random gradients.
    pub seed: u64,
}

/// A function as rules meet it.
#[derive(Clone, Debug)]
pub struct Problem {
    /// Its name; of a user's own its text.
    pub name: String,
    /// Its formula.
    pub formula: String,
    /// Where rules begin.
    pub start: Point,
    /// Where it is least; none where that is not known.
    pub minima: Vec<Point>,
    /// What a picture shows at least, where that is known.
    pub window: Option<[(f64, f64); 2]>,
    /// How gradients come about.
    pub gradients: Gradients,
    function: Expression,
    choices: Choices,
}

impl Known {
    /// Whether K is in it.
    pub fn has_condition(&self) -> bool {
        self.formula.contains('K')
    }
}

/// The function called `name`.
pub fn known(name: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.name.eq_ignore_ascii_case(name))
}

impl Problem {
    /// A function by its name or formula.
    ///
    /// # Errors
    /// If it is neither, in words.
    pub fn of(text: &str, choices: Choices) -> Result<Self, String> {
        let text = text.trim();
        let parameters = [("K", choices.condition)];
        if let Some(known) = known(text) {
            return Ok(Self {
                name: known.name.to_owned(),
                formula: known.formula.replace('K', &choices.condition.to_string()),
                start: known.start,
                minima: known.minima.to_vec(),
                window: Some(known.window),
                gradients: known.gradients,
                function: Expression::parse(known.formula, &parameters)?,
                choices,
            });
        }
        let is_word = text.len() > 1 && text.chars().all(|c| c.is_alphabetic() || c == '-' || c == '_');
        if is_word {
            let names = || KNOWN.iter().map(|known| known.name);
            let like = closest(text, names()).map_or(String::new(), |like| format!("; did you mean `{like}`?"));
            let names: Vec<&str> = names().collect();
            return Err(format!("is no function, expected one of {} or a formula of x and y{like}", names.join(", ")));
        }
        let function = Expression::parse(text, &[])?;
        if function.is_constant() {
            return Err("has neither x nor y in it".to_owned());
        }
        Ok(Self {
            name: text.to_owned(),
            formula: text.to_owned(),
            start: if function.variables() == 2 { [1.0, 1.0] } else { [1.0, 0.0] },
            minima: Vec::new(),
            window: None,
            gradients: Gradients::Exact,
            function,
            choices,
        })
    }

    /// How many variables it has.
    pub fn variables(&self) -> usize {
        self.function.variables()
    }

    /// Its value, of losses that differ from step to step their mean's.
    pub fn value(&self, point: Point) -> f64 {
        self.function.at(point).value
    }

    /// The distance to the nearest minimum; none where none is known.
    pub fn distance(&self, point: Point) -> Option<f64> {
        let distance = |minimum: &Point| (point[0] - minimum[0]).hypot(point[1] - minimum[1]);
        self.minima.iter().map(distance).min_by(f64::total_cmp)
    }

    /// The nearest point at which rules may stand.
    pub fn projected(&self, point: Point) -> Point {
        if self.gradients.are_online() { [point[0].clamp(-1.0, 1.0), point[1]] } else { point }
    }

    /// What gradients are drawn from: the same for every rule.
    pub fn stream(&self) -> Stream {
        Stream::new(self.choices.seed, Purpose::Gradients, 0)
    }

    /// The loss of step `t`, from 1, at a point: its value and gradient.
    pub fn loss(&self, t: u64, point: Point, stream: &mut Stream) -> Dual {
        let line = |slope: f64| Dual { value: slope * point[0], slope: [slope, 0.0] };
        match self.gradients {
            Gradients::Exact => self.function.at(point),
            Gradients::Noisy => {
                let exact = self.function.at(point);
                Dual { slope: exact.slope.map(|slope| slope + self.choices.noise * stream.normal()), ..exact }
            }
            Gradients::Online => line(if t % PERIOD == 1 { RARE } else { USUAL }),
            Gradients::Stochastic => line(if stream.below(100) == 0 { RARE } else { USUAL }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHOICES: Choices = Choices { condition: 10.0, noise: 1.0, seed: 0 };

    fn named(name: &str) -> Problem {
        Problem::of(name, CHOICES).unwrap()
    }

    #[test]
    fn at_its_minima_a_function_is_flat_and_less_than_around() {
        for known in KNOWN.iter().filter(|known| !known.gradients.are_online()) {
            let problem = named(known.name);
            for &minimum in known.minima {
                let at = problem.function.at(minimum);
                // Himmelblau's are given to 16 digits, and its curvature is below 100.
                assert!(at.slope.iter().all(|slope| slope.abs() < 1e-12), "{}: {at:?}", known.name);
                for angle in 0..16 {
                    let (sin, cos) = (f64::from(angle) * 0.4).sin_cos();
                    let around = [minimum[0] + 1e-3 * cos, minimum[1] + 1e-3 * sin];
                    let around = if problem.variables() == 1 { [minimum[0] + 1e-3 * cos, 0.0] } else { around };
                    assert!(problem.value(around) > at.value, "{}", known.name);
                }
                let [x, y] = known.window;
                let is_seen = |(low, high): (f64, f64), at: f64| (low..=high).contains(&at);
                assert!(is_seen(x, minimum[0]) && (known.window[1].0 == 0.0 || is_seen(y, minimum[1])));
            }
        }
    }

    #[test]
    fn values_are_those_of_the_literature() {
        for (name, point, expected) in [
            ("rosenbrock", [-1.2, 1.0], 24.2),
            ("beale", [1.0, 1.0], 14.203_125),
            ("beale", [3.0, 0.5], 0.0),
            ("himmelblau", [0.0, 0.0], 170.0),
            ("himmelblau", [3.0, 2.0], 0.0),
            ("rastrigin", [0.5, 0.5], 40.5),
            ("rastrigin", [1.0, 0.0], 1.0),
            ("saddle", [0.0, 1.0], -0.5),
            ("quadratic", [1.0, 2.0], 20.5),
            ("abs", [-3.0, 0.0], 3.0),
            ("reddi", [-1.0, 0.0], -10.0 / 101.0),
        ] {
            let found = named(name).value(point);
            assert!((found - expected).abs() < 1e-12 * (1.0 + expected.abs()), "{name}: {found}");
        }
    }

    #[test]
    fn the_mean_of_the_losses_is_the_function() {
        let mean = |name: &str, steps: u64| {
            let (problem, mut sum) = (named(name), 0.0);
            let mut stream = problem.stream();
            for t in 1..=steps {
                sum += problem.loss(t, [0.5, 0.0], &mut stream).slope[0];
            }
            (sum / steps as f64, problem.function.at([0.5, 0.0]).slope[0])
        };
        let (found, expected) = mean("reddi", 101);
        assert!((found - expected).abs() < 1e-12);
        // A loss deviates by 1020·√(0.01·0.99) = 101.5; five deviations of the mean of a million.
        let (found, expected) = mean("reddi-stochastic", 1_000_000);
        assert!((found - expected).abs() < 0.51, "{found}");
        let (found, expected) = mean("noisy-quadratic", 10_000);
        assert!((found - expected).abs() < 0.05, "{found}");
    }

    #[test]
    fn a_name_or_a_formula_is_taken_and_nothing_else() {
        assert_eq!(named("Rosenbrock").name, "rosenbrock");
        let own = named("x^2 + 3*y^4");
        assert_eq!((own.variables(), own.value([1.0, 2.0]), own.distance([0.0, 0.0])), (2, 49.0, None));
        assert_eq!(named("x").variables(), 1);
        for (text, words) in
            [("rosenbrok", "did you mean `rosenbrock`?"), ("3", "neither x nor y"), ("x^2 + K*y", "`K` is neither")]
        {
            let what = Problem::of(text, CHOICES).unwrap_err();
            assert!(what.contains(words), "{text}: {what}");
        }
    }
}
