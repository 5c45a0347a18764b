//! The CUDA C of a rule: the formula as the rule writes it, and kernels that carry it over elements.

use std::fmt::Write as _;

use super::kernel_name;
use crate::rule::expr::{Expr, Text, Written, written};
use crate::rule::{Named, OnePass, TwoPass};

/// The kernels of one rule, as CUDA C that includes `elementwise.cuh`.
#[derive(Clone, Debug)]
pub struct Source {
    /// The kernels' name: see [`kernel_name`].
    pub name: String,
    /// A structure with the formula, and the kernels.
    pub text: String,
    /// What holds the kernels against the loops of the CPU.
    #[cfg(test)]
    pub(crate) trial: super::tests::Trial,
}

/// The parameters of kernels that run over chunks.
const CHUNKS: &str =
    "const Chunk* __restrict__ chunks, const float* __restrict__ scalars, const float* __restrict__ factors";

impl Source {
    /// The kernel of a rule in one pass.
    pub fn one_pass<U, const S: usize, const P: usize, const H: usize>() -> Self
    where
        U: OnePass<S, P, H>,
    {
        let update = written(|| {
            let [theta, g] = ["theta", "g"].map(Expr::named);
            let (theta, state) = U::update(read(), theta, g, states(U::STATE));
            moved(theta, state, U::STATE)
        });
        let name = [U::NAME, U::OPTIONS].concat();
        let mut text = head(&name, &[("S", S), ("H", H)]);
        let inputs = [places::<_, U::Scalars<f32>, H>("h"), state_places(U::STATE)].concat();
        let signature = "update(const float* h, float& theta, float g, float* state)";
        function(&mut text, signature, "float", &inputs, &update, &moved_places(S));
        text += "};\n";
        kernel(&mut text, &name, "update", "", CHUNKS, "chunks, scalars, factors");
        Self {
            name: kernel_name(U::NAME, U::OPTIONS),
            text,
            #[cfg(test)]
            trial: super::tests::Trial::one_pass::<U, S, P, H>(),
        }
    }

    /// The kernels of a rule in two passes.
    pub fn two_pass<U, const S: usize, const P: usize, const H: usize, const N: usize, const A: usize>() -> Self
    where
        U: TwoPass<S, P, H, N, A>,
    {
        let first = written(|| {
            let [theta, g] = ["theta", "g"].map(Expr::named);
            results("term", U::first(read(), theta, g, states(U::STATE)))
        });
        let reduce = written(|| results("new", U::reduce(read(), read(), Expr::<f64>::named("count"))));
        let second = written(|| {
            let [theta, g] = ["theta", "g"].map(Expr::named);
            let (theta, state) = U::second(read(), read(), theta, g, states(U::STATE));
            moved(theta, state, U::STATE)
        });
        let (h, sums) = (places::<_, U::Scalars<f32>, H>("h"), places::<_, U::Sums<f32>, N>("sum"));
        let (a, state) = (places::<_, U::Reduced<f32>, A>("a"), state_places(U::STATE));
        let name = [U::NAME, U::OPTIONS].concat();
        let mut text = head(&name, &[("S", S), ("H", H), ("N", N), ("A", A)]);
        let signature = "first(const float* h, float theta, float g, const float* state, float* term)";
        function(&mut text, signature, "float", &[&*h, &state].concat(), &first, &indexed("term", N));
        let signature = "reduce(const double* h, const double* sum, double count, double* a)";
        function(&mut text, signature, "double", &[&*h, &sums].concat(), &reduce, &indexed("a", A));
        let signature = "second(const float* h, const float* a, float& theta, float g, float* state)";
        function(&mut text, signature, "float", &[h, a, state].concat(), &second, &moved_places(S));
        text += "};\n";

        let pieces = format!(
            "{}, double* __restrict__ sums, unsigned* __restrict__ arrived",
            CHUNKS.replace("chunks", "pieces")
        );
        kernel(&mut text, &name, "first", "_first", &pieces, "pieces, scalars, factors, sums, arrived");
        let tensors = "const TensorPieces* __restrict__ tensors, const double* __restrict__ scalars, \
                       double* __restrict__ sums, unsigned* __restrict__ arrived, float* __restrict__ reduced";
        kernel(&mut text, &name, "reduce", "_reduce", tensors, "tensors, scalars, sums, arrived, reduced");
        let chunks = format!("{CHUNKS}, const float* __restrict__ reduced");
        kernel(&mut text, &name, "second", "_second", &chunks, "chunks, scalars, factors, reduced");
        Self {
            name: kernel_name(U::NAME, U::OPTIONS),
            text,
            #[cfg(test)]
            trial: super::tests::Trial::two_pass::<U, S, P, H, N, A>(),
        }
    }
}

/// Numbers that the text calls by their names.
fn read<T: Written, G: Named<Expr<T>, COUNT>, const COUNT: usize>() -> G {
    G::from_array(G::NAMES.map(Expr::named))
}

/// Results, called by their names with `before` in front.
fn results<T: Written, G: Named<Expr<T>, COUNT>, const COUNT: usize>(
    before: &str,
    results: G,
) -> Vec<(String, Expr<T>)> {
    G::NAMES.iter().zip(results.into_array()).map(|(name, result)| (format!("{before}_{name}"), result)).collect()
}

/// What a state number is called in the text, where `g` is taken.
fn state_name(name: &str) -> String {
    if name == "g" { "last_g".to_owned() } else { name.to_owned() }
}

fn states<const S: usize>(names: [&str; S]) -> [Expr<f32>; S] {
    names.map(|name| Expr::named(state_name(name)))
}

/// The results of an update: the state, then θ, whose place is read until then.
fn moved<const S: usize>(theta: Expr<f32>, state: [Expr<f32>; S], names: [&str; S]) -> Vec<(String, Expr<f32>)> {
    let states = names.iter().zip(state).map(|(name, state)| (format!("new_{name}"), state));
    states.chain([("new_theta".to_owned(), theta)]).collect()
}

/// Where they go.
fn moved_places(states: usize) -> Vec<String> {
    [indexed("state", states), vec!["theta".to_owned()]].concat()
}

/// `h[0]`, `h[1]`, …
fn indexed(name: &str, count: usize) -> Vec<String> {
    (0..count).map(|k| format!("{name}[{k}]")).collect()
}

/// The names of `G`, each with its place in `array`.
fn places<R, G: Named<R, COUNT>, const COUNT: usize>(array: &str) -> Vec<(String, String)> {
    G::NAMES.map(str::to_owned).into_iter().zip(indexed(array, COUNT)).collect()
}

fn state_places<const S: usize>(names: [&str; S]) -> Vec<(String, String)> {
    names.map(state_name).into_iter().zip(indexed("state", S)).collect()
}

/// The beginning of a rule's structure.
fn head(rule: &str, sizes: &[(&str, usize)]) -> String {
    let sizes: Vec<String> = sizes.iter().map(|(name, size)| format!("{name} = {size}")).collect();
    format!("struct {rule} {{\n    static constexpr unsigned {};\n", sizes.join(", "))
}

/// Adds a function of the structure, which takes `inputs` (a name and its place) and leaves results in the places of `outputs`.
fn function(
    out: &mut String,
    signature: &str,
    kind: &str,
    inputs: &[(String, String)],
    formula: &Text,
    outputs: &[String],
) {
    let is_given = |name: &str| inputs.iter().filter(|(other, _)| *other == name).count();
    assert!(inputs.iter().all(|(name, _)| is_given(name) == 1), "two numbers have one name: {inputs:?}");
    let mut line = |indent: &str, text: String| {
        out.push_str(indent);
        out.push_str(&text);
        out.push('\n');
    };
    line("", String::new());
    line("    ", format!("static __device__ __forceinline__ void {signature} {{"));
    let read: Vec<_> = inputs.iter().filter(|(name, _)| formula.reads.contains(name)).collect();
    // A line holds what comes from one array.
    let array = |place: &str| place.split('[').next().unwrap_or_default().to_owned();
    for own in read.chunk_by(|a, b| array(&a.1) == array(&b.1)).flat_map(|own| own.chunks(6)) {
        let own: Vec<String> = own.iter().map(|(name, place)| format!("{name} = {place}")).collect();
        line("        ", format!("const {kind} {};", own.join(", ")));
    }
    for text in &formula.lines {
        line("        ", text.clone());
    }
    for (place, result) in outputs.iter().zip(&formula.results) {
        line("        ", format!("{place} = {result};"));
    }
    line("    ", "}".to_owned());
}

/// Adds the kernel that carries the rule over elements as `pass` of `elementwise.cuh` does.
fn kernel(out: &mut String, rule: &str, pass: &str, suffix: &str, parameters: &str, arguments: &str) {
    let name = kernel_name(rule, "");
    // Few threads a block leave each many registers, for as many loads at once. A second bound of four blocks of 256 makes some spill.
    let threads = if matches!(pass, "first" | "reduce") { 32 } else { 256 };
    let _ = write!(
        out,
        "\nextern \"C\" __global__ void __launch_bounds__({threads}) {name}{suffix}(\n    {}) {{\n    elementwise::{pass}<{rule}>({arguments});\n}}\n",
        parameters.replace(", ", ",\n    "),
    );
}
