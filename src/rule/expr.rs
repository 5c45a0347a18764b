//! A kind of number that writes CUDA C.
//!
//! A rule that runs on [`Expr`] computes nothing: it leaves behind what it would compute, and [`written`] puts that down as one line
//! of CUDA C per operation. Compiled with contraction off and IEEE division and root, the text gives the bits of the rule on `f32`
//! or `f64`, whichever the expression stands for.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::ops::{Add, Div, Mul, Neg, Sub};

use super::Real;

/// A kind of number that CUDA C has.
pub trait Written: Real + 'static {
    /// Its type.
    const TYPE: &'static str;
    /// What a literal ends with, and the functions of `math.h`.
    const SUFFIX: &'static str;
    /// [`Real::smallest_normal`].
    const SMALLEST: f64;
    /// [`Real::epsilon`].
    const EPSILON: f64;

    /// The number that a constant is rounded to.
    fn exact(value: f64) -> f64;
    /// A literal of an infinity or a NaN.
    fn not_finite(value: f64) -> String;
}

impl Written for f32 {
    const TYPE: &'static str = "float";
    const SUFFIX: &'static str = "f";
    const SMALLEST: f64 = f32::MIN_POSITIVE as f64;
    const EPSILON: f64 = f32::EPSILON as f64;

    fn exact(value: f64) -> f64 {
        f64::from(value as f32)
    }

    fn not_finite(value: f64) -> String {
        format!("__uint_as_float({:#010x}u)", (value as f32).to_bits())
    }
}

impl Written for f64 {
    const TYPE: &'static str = "double";
    const SUFFIX: &'static str = "";
    const SMALLEST: f64 = f64::MIN_POSITIVE;
    const EPSILON: f64 = f64::EPSILON;

    fn exact(value: f64) -> f64 {
        value
    }

    fn not_finite(value: f64) -> String {
        format!("__longlong_as_double({:#018x})", value.to_bits())
    }
}

/// What an expression is made of; operands are places in the list of all nodes.
#[derive(Clone, Debug, PartialEq)]
enum Node {
    Name(String),
    /// The bits of an f64 that has the kind's precision.
    Constant(u64),
    Negative(usize),
    Absolute(usize),
    Root(usize),
    /// The operator between two operands.
    Binary(char, [usize; 2]),
    Fused([usize; 3]),
    /// One operand if a condition holds, else the other.
    Select(Condition, [usize; 2]),
}

/// A comparison of two nodes: the [`Real::Mask`] of an expression.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Condition {
    operator: &'static str,
    operands: [usize; 2],
}

thread_local! {
    /// What [`written`] is recording on this thread; operands come before what uses them.
    static NODES: RefCell<Vec<Node>> = const { RefCell::new(Vec::new()) };
}

/// A number of kind `T` that is not known yet. It belongs to the call of [`written`] in which it was made.
#[derive(Clone, Copy, Debug)]
pub struct Expr<T> {
    node: usize,
    kind: PhantomData<T>,
}

impl<T: Written> Expr<T> {
    /// The number that the text calls `name`.
    pub fn named(name: impl Into<String>) -> Self {
        Self::new(Node::Name(name.into()))
    }

    /// The node, or an equal one that is there already.
    fn new(node: Node) -> Self {
        let node = NODES.with_borrow_mut(|nodes| {
            nodes.iter().position(|other| *other == node).unwrap_or_else(|| {
                nodes.push(node);
                nodes.len() - 1
            })
        });
        Self { node, kind: PhantomData }
    }

    fn binary(self, operator: char, other: Self) -> Self {
        Self::new(Node::Binary(operator, [self.node, other.node]))
    }

    fn compare(self, operator: &'static str, other: Self) -> Condition {
        Condition { operator, operands: [self.node, other.node] }
    }
}

macro_rules! operator {
    ($trait:ident $function:ident $operator:literal) => {
        impl<T: Written> $trait for Expr<T> {
            type Output = Self;

            fn $function(self, other: Self) -> Self {
                self.binary($operator, other)
            }
        }
    };
}

operator!(Add add '+');
operator!(Sub sub '-');
operator!(Mul mul '*');
operator!(Div div '/');

impl<T: Written> Neg for Expr<T> {
    type Output = Self;

    fn neg(self) -> Self {
        let node = NODES.with_borrow(|nodes| match nodes[self.node] {
            Node::Constant(bits) => Node::Constant((-f64::from_bits(bits)).to_bits()),
            _ => Node::Negative(self.node),
        });
        Self::new(node)
    }
}

impl<T: Written> Real for Expr<T> {
    type Mask = Condition;

    fn constant(value: f64) -> Self {
        Self::new(Node::Constant(T::exact(value).to_bits()))
    }
    fn sqrt(self) -> Self {
        Self::new(Node::Root(self.node))
    }
    fn abs(self) -> Self {
        Self::new(Node::Absolute(self.node))
    }
    fn mul_add(self, a: Self, b: Self) -> Self {
        Self::new(Node::Fused([self.node, a.node, b.node]))
    }
    fn less(self, other: Self) -> Condition {
        self.compare("<", other)
    }
    fn at_most(self, other: Self) -> Condition {
        self.compare("<=", other)
    }
    fn select(mask: Condition, yes: Self, no: Self) -> Self {
        Self::new(Node::Select(mask, [yes.node, no.node]))
    }
    fn smallest_normal() -> Self {
        Self::constant(T::SMALLEST)
    }
    fn epsilon() -> Self {
        Self::constant(T::EPSILON)
    }
}

/// A formula as text.
#[derive(Clone, Debug, PartialEq)]
pub struct Text {
    /// The names that it reads.
    pub reads: Vec<String>,
    /// Its declarations, in order.
    pub lines: Vec<String>,
    /// For each result what stands for it: a name, mostly.
    pub results: Vec<String>,
}

/// What `formula` computes, with the names of its results. What no result needs is left out.
pub fn written<T: Written>(formula: impl FnOnce() -> Vec<(String, Expr<T>)>) -> Text {
    let outer = NODES.take();
    let results = formula();
    let nodes = NODES.replace(outer);

    let mut is_needed = vec![false; nodes.len()];
    for (_, result) in &results {
        is_needed[result.node] = true;
    }
    for (index, node) in nodes.iter().enumerate().rev() {
        for operand in operands(node) {
            is_needed[operand] |= is_needed[index];
        }
    }

    let (mut reads, mut lines, mut count) = (Vec::new(), Vec::new(), 0);
    let mut texts: Vec<String> = Vec::new();
    for (index, node) in nodes.iter().enumerate() {
        let text = text::<T>(node, &texts);
        // What is short stands where it is used; all else has a line and a name.
        let is_short = matches!(node, Node::Name(_) | Node::Constant(_) | Node::Negative(_) | Node::Absolute(_));
        texts.push(match node {
            _ if !is_needed[index] => String::new(),
            Node::Name(name) => {
                reads.push(name.clone());
                text
            }
            _ if is_short => text,
            _ => {
                let result = results.iter().find(|(_, result)| result.node == index);
                let name = result.map_or_else(|| format!("t{count}"), |(name, _)| name.clone());
                count += usize::from(result.is_none());
                lines.push(format!("const {} {name} = {text};", T::TYPE));
                name
            }
        });
    }
    let results = results.iter().map(|(_, result)| texts[result.node].clone()).collect();
    Text { reads, lines, results }
}

fn operands(node: &Node) -> Vec<usize> {
    match node {
        Node::Name(_) | Node::Constant(_) => Vec::new(),
        Node::Negative(x) | Node::Absolute(x) | Node::Root(x) => vec![*x],
        Node::Binary(_, operands) => operands.to_vec(),
        Node::Fused(operands) => operands.to_vec(),
        Node::Select(condition, operands) => [condition.operands, *operands].concat(),
    }
}

/// A node in terms of the texts of its operands.
fn text<T: Written>(node: &Node, texts: &[String]) -> String {
    let suffix = T::SUFFIX;
    match node {
        Node::Name(name) => name.clone(),
        Node::Constant(bits) => literal::<T>(f64::from_bits(*bits)),
        Node::Negative(x) => match texts[*x].strip_prefix('-') {
            Some(_) => format!("-({})", texts[*x]),
            None => format!("-{}", texts[*x]),
        },
        Node::Absolute(x) => format!("fabs{suffix}({})", texts[*x]),
        Node::Root(x) => format!("sqrt{suffix}({})", texts[*x]),
        Node::Binary(operator, [a, b]) => format!("{} {operator} {}", texts[*a], texts[*b]),
        Node::Fused([a, b, c]) => format!("fma{suffix}({}, {}, {})", texts[*a], texts[*b], texts[*c]),
        Node::Select(Condition { operator, operands: [a, b] }, [yes, no]) => {
            format!("{} {operator} {} ? {} : {}", texts[*a], texts[*b], texts[*yes], texts[*no])
        }
    }
}

/// The exact number: in decimal where it is a multiple of ¼ of moderate size, else in hexadecimal.
fn literal<T: Written>(value: f64) -> String {
    let suffix = T::SUFFIX;
    if !value.is_finite() {
        return T::not_finite(value);
    }
    if (value * 4.0).fract() == 0.0 && value.abs() < 1e6 {
        return format!("{value:?}{suffix}");
    }
    // A denormal becomes normal first; 2⁻¹⁰⁷⁴ is the smallest.
    let (scaled, shift) = if value.abs() < f64::MIN_POSITIVE { (value * 2_f64.powi(64), 64) } else { (value, 0) };
    let bits = scaled.to_bits();
    let exponent = (bits >> 52 & 0x7FF) as i64 - 1023 - shift;
    let digits = format!("{:013x}", bits & ((1 << 52) - 1));
    let digits = digits.trim_end_matches('0');
    let (sign, point) = (if value < 0.0 { "-" } else { "" }, if digits.is_empty() { "" } else { "." });
    format!("{sign}0x1{point}{digits}p{exponent:+}{suffix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_exact() {
        let of_f32 = |value: f32| literal::<f32>(f64::from(value));
        assert_eq!([0.0, -0.0, 1.0, -0.25].map(of_f32), ["0.0f", "-0.0f", "1.0f", "-0.25f"]);
        assert_eq!(of_f32(f32::MIN_POSITIVE), "0x1p-126f");
        assert_eq!(of_f32(-f32::from_bits(3)), "-0x1.8p-148f");
        assert_eq!(of_f32(0.1), "0x1.99999ap-4f");
        assert_eq!(of_f32(f32::MAX), "0x1.fffffep+127f");
        assert_eq!(of_f32(f32::NEG_INFINITY), "__uint_as_float(0xff800000u)");
        assert_eq!(literal::<f64>(1e-3), "0x1.0624dd2f1a9fcp-10");
        assert_eq!(literal::<f64>(f64::from_bits(1)), "0x1p-1074");
        assert_eq!(literal::<f64>(f64::MIN_POSITIVE), "0x1p-1022");
        assert_eq!(literal::<f64>(f64::INFINITY), "__longlong_as_double(0x7ff0000000000000)");
    }

    #[test]
    fn a_formula_reads_as_it_was_written_without_what_nobody_needs() {
        let text = written(|| {
            let [a, b] = ["a", "b"].map(Expr::<f32>::named);
            let unused = a / b;
            let _ = unused.sqrt();
            let sum = (a + b).flushed();
            vec![("sum".into(), sum), ("away".into(), sum.mul_add(-(-a), Expr::constant(0.1)))]
        });
        assert_eq!(text.reads, ["a", "b"]);
        let lines = [
            "const float t0 = a + b;",
            "const float sum = fabsf(t0) < 0x1p-126f ? 0.0f : t0;",
            "const float away = fmaf(sum, -(-a), 0x1.99999ap-4f);",
        ];
        assert_eq!(text.lines, lines);
        assert_eq!(text.results, ["sum", "away"]);
    }

    #[test]
    fn what_is_computed_twice_is_written_once_and_a_result_may_be_an_input() {
        let text = written(|| {
            let [a, b] = ["a", "b"].map(Expr::<f64>::named);
            vec![("c".into(), (a - b).sqrt() + (a - b).sqrt()), ("d".into(), b), ("e".into(), Expr::constant(2.0))]
        });
        assert_eq!(
            text.lines,
            ["const double t0 = a - b;", "const double t1 = sqrt(t0);", "const double c = t1 + t1;"]
        );
        assert_eq!(text.results, ["c", "b", "2.0"]);
    }
}
