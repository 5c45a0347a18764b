//! Functions of x and y as text, with exact derivatives: `(1 - x)^2 + 100*(y - x^2)^2`.
//!
//! A text becomes a list of operations on a stack, which runs on dual numbers: each carries its derivatives by x and y with it (forward
//! mode), so that a gradient is as exact as a value. A minus before a power takes the power first, -x^2 = -(x^2); powers group from the
//! right. Where a function has a corner (|x| at 0) its derivative there is 0, and that of `min` and `max` at equal arguments the first's.

use crate::config::value::closest;

/// A longer text is no formula.
const MOST_CHARS: usize = 10_000;

/// Brackets, minuses and powers inside one another; more would not fit the stack of a thread.
const MOST_DEPTH: usize = 200;

/// A value with its derivatives by x and y.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dual {
    /// The value.
    pub value: f64,
    /// ∂/∂x and ∂/∂y.
    pub slope: [f64; 2],
}

impl Dual {
    fn constant(value: f64) -> Self {
        Self { value, slope: [0.0; 2] }
    }

    /// A function of it, which has this value and derivative there.
    fn mapped(self, value: f64, derivative: f64) -> Self {
        // What does not change is left out: 0 times an infinite derivative is no number.
        let slope = self.slope.map(|slope| if slope == 0.0 { 0.0 } else { derivative * slope });
        Self { value, slope }
    }

    /// A function of two, which has this value and these derivatives there.
    fn joined(a: Self, b: Self, value: f64, by_a: f64, by_b: f64) -> Self {
        let (a, b) = (a.mapped(value, by_a), b.mapped(value, by_b));
        Self { value, slope: [a.slope[0] + b.slope[0], a.slope[1] + b.slope[1]] }
    }
}

/// An operation on a stack of numbers.
#[derive(Clone, Copy, Debug)]
enum Step {
    Number(f64),
    /// x or y.
    Variable(usize),
    /// Of the last number.
    One(fn(Dual) -> Dual),
    /// Of the last two.
    Two(fn(Dual, Dual) -> Dual),
}

/// A function of one number, and of two, by their names.
type NamedOne = (&'static str, fn(Dual) -> Dual);
type NamedTwo = (&'static str, fn(Dual, Dual) -> Dual);

/// Functions of one number.
const ONE: [NamedOne; 15] = [
    ("abs", |a| a.mapped(a.value.abs(), if a.value == 0.0 { 0.0 } else { a.value.signum() })),
    ("sqrt", |a| a.mapped(a.value.sqrt(), 0.5 / a.value.sqrt())),
    ("exp", |a| a.mapped(libm::exp(a.value), libm::exp(a.value))),
    ("ln", |a| a.mapped(libm::log(a.value), 1.0 / a.value)),
    ("log", |a| a.mapped(libm::log(a.value), 1.0 / a.value)),
    ("log10", |a| a.mapped(libm::log10(a.value), 1.0 / (a.value * std::f64::consts::LN_10))),
    ("sin", |a| a.mapped(libm::sin(a.value), libm::cos(a.value))),
    ("cos", |a| a.mapped(libm::cos(a.value), -libm::sin(a.value))),
    ("tan", |a| a.mapped(libm::tan(a.value), 1.0 / libm::cos(a.value).powi(2))),
    ("atan", |a| a.mapped(libm::atan(a.value), 1.0 / (1.0 + a.value * a.value))),
    ("asin", |a| a.mapped(libm::asin(a.value), 1.0 / (1.0 - a.value * a.value).sqrt())),
    ("acos", |a| a.mapped(libm::acos(a.value), -1.0 / (1.0 - a.value * a.value).sqrt())),
    ("sinh", |a| a.mapped(libm::sinh(a.value), libm::cosh(a.value))),
    ("cosh", |a| a.mapped(libm::cosh(a.value), libm::sinh(a.value))),
    ("tanh", |a| a.mapped(libm::tanh(a.value), 1.0 - libm::tanh(a.value).powi(2))),
];

/// Functions of two.
const TWO: [NamedTwo; 2] =
    [("min", |a, b| if b.value < a.value { b } else { a }), ("max", |a, b| if b.value > a.value { b } else { a })];

fn add(a: Dual, b: Dual) -> Dual {
    Dual::joined(a, b, a.value + b.value, 1.0, 1.0)
}

fn subtract(a: Dual, b: Dual) -> Dual {
    Dual::joined(a, b, a.value - b.value, 1.0, -1.0)
}

fn multiply(a: Dual, b: Dual) -> Dual {
    Dual::joined(a, b, a.value * b.value, b.value, a.value)
}

fn divide(a: Dual, b: Dual) -> Dual {
    let value = a.value / b.value;
    Dual::joined(a, b, value, 1.0 / b.value, -value / b.value)
}

fn power(a: Dual, b: Dual) -> Dual {
    let value = libm::pow(a.value, b.value);
    let by_a = if b.value == 0.0 { 0.0 } else { b.value * libm::pow(a.value, b.value - 1.0) };
    let by_b = if a.value == 0.0 { 0.0 } else { value * libm::log(a.value) };
    Dual::joined(a, b, value, by_a, by_b)
}

/// A function of x and y.
#[derive(Clone, Debug)]
pub struct Expression {
    steps: Vec<Step>,
}

impl Expression {
    /// Reads a text, in which `parameters` are numbers by name.
    ///
    /// # Errors
    /// What is wrong with it, and where, in words.
    pub fn parse(text: &str, parameters: &[(&str, f64)]) -> Result<Self, String> {
        if text.chars().count() > MOST_CHARS {
            return Err(format!("is longer than {MOST_CHARS} characters"));
        }
        let mut parser = Parser { text, at: 0, depth: 0, steps: Vec::new(), parameters };
        parser.sum()?;
        match parser.peek() {
            None => Ok(Self { steps: parser.steps }),
            Some(_) => Err(parser.unexpected()),
        }
    }

    /// How many variables it has: 2 if there is a y, else 1.
    pub fn variables(&self) -> usize {
        if self.steps.iter().any(|step| matches!(step, Step::Variable(1))) { 2 } else { 1 }
    }

    /// Whether neither x nor y is in it.
    pub fn is_constant(&self) -> bool {
        !self.steps.iter().any(|step| matches!(step, Step::Variable(_)))
    }

    /// Value and gradient at a point.
    pub fn at(&self, point: [f64; 2]) -> Dual {
        let mut stack: Vec<Dual> = Vec::with_capacity(8);
        for step in &self.steps {
            let mut last = || stack.pop().unwrap_or(Dual::constant(f64::NAN));
            let next = match *step {
                Step::Number(number) => Dual::constant(number),
                Step::Variable(0) => Dual { value: point[0], slope: [1.0, 0.0] },
                Step::Variable(_) => Dual { value: point[1], slope: [0.0, 1.0] },
                Step::One(function) => function(last()),
                Step::Two(function) => {
                    let (b, a) = (last(), last());
                    function(a, b)
                }
            };
            stack.push(next);
        }
        stack.pop().unwrap_or(Dual::constant(f64::NAN))
    }
}

/// Reads from left to right; each rule of the grammar leaves one number on the stack.
struct Parser<'a> {
    text: &'a str,
    /// The byte that comes next.
    at: usize,
    depth: usize,
    steps: Vec<Step>,
    parameters: &'a [(&'a str, f64)],
}

impl Parser<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    /// The next character that is no blank.
    fn peek(&mut self) -> Option<char> {
        self.at += self.rest().len() - self.rest().trim_start().len();
        self.rest().chars().next()
    }

    fn takes(&mut self, word: &str) -> bool {
        let is_next = self.peek().is_some() && self.rest().starts_with(word);
        self.at += if is_next { word.len() } else { 0 };
        is_next
    }

    fn unexpected(&mut self) -> String {
        if self.peek().is_none() {
            return "ends where a number, x, y or a bracket was expected".to_owned();
        }
        let found: String = self.rest().chars().take(12).collect();
        format!("`{found}` was not expected at character {}", 1 + self.text[..self.at].chars().count())
    }

    /// `a + b - …`
    fn sum(&mut self) -> Result<(), String> {
        self.product()?;
        loop {
            let function = if self.takes("+") {
                add
            } else if self.takes("-") {
                subtract
            } else {
                return Ok(());
            };
            self.product()?;
            self.steps.push(Step::Two(function));
        }
    }

    /// `a * b / …`
    fn product(&mut self) -> Result<(), String> {
        self.signed()?;
        loop {
            let function = if self.takes("*") {
                multiply
            } else if self.takes("/") {
                divide
            } else {
                return Ok(());
            };
            self.signed()?;
            self.steps.push(Step::Two(function));
        }
    }

    /// `-a`
    fn signed(&mut self) -> Result<(), String> {
        self.depth += 1;
        if self.depth > MOST_DEPTH {
            return Err(format!("is more than {MOST_DEPTH} brackets and signs deep"));
        }
        if self.takes("-") {
            self.signed()?;
            self.steps.push(Step::One(|a| a.mapped(-a.value, -1.0)));
        } else if self.takes("+") {
            self.signed()?;
        } else {
            self.power()?;
        }
        self.depth -= 1;
        Ok(())
    }

    /// `a ^ b`
    fn power(&mut self) -> Result<(), String> {
        self.atom()?;
        if self.takes("**") || self.takes("^") {
            self.signed()?;
            self.steps.push(Step::Two(power));
        }
        Ok(())
    }

    /// A number, a name, a call or what stands in brackets.
    fn atom(&mut self) -> Result<(), String> {
        match self.peek() {
            Some('(') => {
                self.takes("(");
                self.sum()?;
                self.close()
            }
            Some(c) if c.is_ascii_digit() || c == '.' => self.number(),
            Some(c) if c.is_alphabetic() => self.name(),
            _ => Err(self.unexpected()),
        }
    }

    fn close(&mut self) -> Result<(), String> {
        if self.takes(")") {
            return Ok(());
        }
        let is_open = self.peek().is_none();
        Err(if is_open { "has a bracket that is not closed".to_owned() } else { self.unexpected() })
    }

    fn number(&mut self) -> Result<(), String> {
        let bytes = self.rest().as_bytes();
        let digits = |from: usize| from + bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let mut end = digits(0);
        if bytes.get(end) == Some(&b'.') {
            end = digits(end + 1);
        }
        if matches!(bytes.get(end), Some(b'e' | b'E')) {
            let sign = end + 1 + usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
            // `2e` is no number, and what follows is told as not expected.
            end = if digits(sign.min(bytes.len())) > sign { digits(sign) } else { end };
        }
        let number = self.rest()[..end].parse().map_err(|_| self.unexpected())?;
        self.at += end;
        self.steps.push(Step::Number(number));
        Ok(())
    }

    fn name(&mut self) -> Result<(), String> {
        let end = self.rest().find(|c: char| !c.is_alphanumeric()).unwrap_or(self.rest().len());
        let name = self.rest()[..end].to_owned();
        if let Some((_, function)) = ONE.iter().find(|(own, _)| *own == name) {
            self.at += end;
            self.arguments(&name, 1)?;
            self.steps.push(Step::One(*function));
            return Ok(());
        }
        if let Some((_, function)) = TWO.iter().find(|(own, _)| *own == name) {
            self.at += end;
            self.arguments(&name, 2)?;
            self.steps.push(Step::Two(*function));
            return Ok(());
        }
        let parameter = self.parameters.iter().find(|(own, _)| *own == name).map(|(_, number)| *number);
        let step = match name.as_str() {
            "x" => Step::Variable(0),
            "y" => Step::Variable(1),
            "pi" | "π" => Step::Number(std::f64::consts::PI),
            "e" => Step::Number(std::f64::consts::E),
            _ => Step::Number(parameter.ok_or_else(|| unknown(&name))?),
        };
        self.at += end;
        self.steps.push(step);
        Ok(())
    }

    /// What stands in the brackets of a call.
    fn arguments(&mut self, name: &str, count: usize) -> Result<(), String> {
        if !self.takes("(") {
            return Err(format!(
                "`{name}` takes {count} in brackets, as {name}(x{})",
                if count > 1 { ", y" } else { "" }
            ));
        }
        for k in 0..count {
            if k > 0 && !self.takes(",") {
                return Err(format!("`{name}` takes {count} numbers with a comma between them"));
            }
            self.sum()?;
        }
        self.close()
    }
}

fn unknown(name: &str) -> String {
    let names = || ONE.iter().map(|(name, _)| *name).chain(TWO.iter().map(|(name, _)| *name));
    let like = closest(name, names()).map_or(String::new(), |like| format!("; did you mean `{like}`?"));
    format!("`{name}` is neither x, y, pi nor e, nor a function: {}{like}", names().collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> f64 {
        Expression::parse(text, &[("K", 7.0)]).unwrap().at([3.0, 0.5]).value
    }

    #[test]
    fn formulas_are_read_as_they_are_written_in_books() {
        for (text, expected) in [
            ("-x^2", -9.0),
            ("2*-x^2", -18.0),
            ("(-x)^2", 9.0),
            ("x^-2", 1.0 / 9.0),
            ("2^3^2", 512.0),
            ("2**3", 8.0),
            ("1e-3*x", 3e-3),
            ("2e*x", f64::NAN),
            (".5 + 1.", 1.5),
            ("10 - 2 - 3", 5.0),
            ("8 / 4 / 2", 1.0),
            ("K*y", 3.5),
            ("max(x, y) - min(x, y)", 2.5),
            ("exp(-x^2)", (-9.0_f64).exp()),
            ("cos(2*pi*x)", 1.0),
            ("abs(-x) + sqrt(4)", 5.0),
            ("+x - -x", 6.0),
        ] {
            match Expression::parse(text, &[("K", 7.0)]) {
                Ok(_) if expected.is_nan() => panic!("{text}"),
                Ok(_) => assert!((value(text) - expected).abs() < 1e-12, "{text}: {}", value(text)),
                Err(what) => assert!(expected.is_nan(), "{text}: {what}"),
            }
        }
    }

    #[test]
    fn gradients_are_those_of_differences() {
        for text in [
            "x*y/(1 + x^2)",
            "x^3 - y^1.5 + 2^x + x^y",
            "sin(x)*cos(y) + tan(x*y/10) + atan(x - y)",
            "exp(-x^2/9)*ln(1 + y^2) + log10(x + 2)",
            "sqrt(x^2 + y^2) + abs(x - 2*y) + max(x, 2*y) + min(x, 2*y)",
            "tanh(x) + sinh(y) + cosh(x/3) + asin(x/9) + acos(y/9)",
        ] {
            let function = Expression::parse(text, &[]).unwrap();
            for point in [[1.3, 0.4], [0.7, 2.1]] {
                let found = function.at(point).slope;
                for k in 0..2 {
                    let h = 1e-6;
                    let moved = |by: f64| {
                        let mut moved = point;
                        moved[k] += by;
                        function.at(moved).value
                    };
                    let expected = (moved(h) - moved(-h)) / (2.0 * h);
                    // Central differences are exact to h² and to roundings over h.
                    assert!(
                        (found[k] - expected).abs() < 1e-8 * (1.0 + expected.abs()),
                        "{text} at {point:?}: {found:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn corners_and_constants_have_finite_gradients() {
        let slope = |text: &str, point| Expression::parse(text, &[]).unwrap().at(point).slope;
        assert_eq!(slope("abs(x)", [0.0, 0.0]), [0.0, 0.0]);
        assert_eq!(slope("x^2 + y^2", [0.0, 0.0]), [0.0, 0.0]);
        assert_eq!(slope("x^0", [0.0, 0.0]), [0.0, 0.0]);
        assert_eq!(slope("x + sqrt(0)", [1.0, 0.0]), [1.0, 0.0]);
        assert_eq!(slope("(x - 1)^1", [1.0, 0.0]), [1.0, 0.0]);
    }

    #[test]
    fn what_is_no_formula_is_refused_in_words_and_never_panics() {
        for (text, words) in [
            ("", "ends where"),
            ("x +", "ends where"),
            ("(x", "not closed"),
            ("x)", "`)` was not expected at character 2"),
            ("2 x", "`x` was not expected"),
            ("sin x", "takes 1 in brackets"),
            ("max(x)", "comma"),
            ("z + 1", "`z` is neither"),
            ("sinn(x)", "did you mean `sin`?"),
            ("é", "neither"),
            ("x ; y", "`; y` was not expected"),
            ("1..2", "not expected"),
            (".", "not expected"),
            ("\0", "not expected"),
        ] {
            let what = Expression::parse(text, &[]).unwrap_err();
            assert!(what.contains(words), "{text}: {what}");
        }
        for deep in ["(".repeat(9_000), "-".repeat(9_000) + "x", "sin(".repeat(2_000), "x^".repeat(4_000) + "x"] {
            assert!(Expression::parse(&deep, &[]).unwrap_err().contains("deep"));
        }
        assert!(Expression::parse(&"x+".repeat(20_000), &[]).unwrap_err().contains("longer"));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_formula_or_a_refusal(text in "[-+*/^().,xye0-9 a-zé]{0,40}") {
            if let Ok(function) = Expression::parse(&text, &[]) {
                function.at([0.5, -1.0]);
            }
        }
    }
}
