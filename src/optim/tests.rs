//! Every optimizer against its reference, and through the door that the trainer uses.
//!
//! `scripts/dev/reference.py` made the golden files with PyTorch, the authors' packages or transcriptions of the papers, on given
//! gradients: zeros, denormals and magnitudes from 1e-20 to 1e10, with another learning rate in each step. Its head describes
//! their layout. An optimizer joins the table by being listed in `FAMILIES`, and must have a case.
//! `ADAMTRAIN_WRITE=1` writes what [`written`] compares.

mod cautious;
mod coded;
mod kernels;
mod lookahead;
mod mutants_of_rules;
mod mutants_sums;
mod pages;
mod properties;
mod searches;
mod soap;
mod sophia;
mod table;

pub(crate) use kernels::sources;

use std::fmt::Write as _;

use candle_core::{DType, Device, Tensor, Var};

use super::*;
use table::{Case, golden, walks};

/// Requires that the file of this path in the repository holds `text`, which follows from the rules; `ADAMTRAIN_WRITE=1` writes it.
pub(crate) fn written(path: &str, text: &str) {
    let whole = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let read = || std::fs::read_to_string(&whole).unwrap_or_default();
    if std::env::var_os("ADAMTRAIN_WRITE").is_some() && read() != text {
        // Other tests may be reading it.
        let new = whole.with_extension("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(&new, &whole).unwrap();
    }
    assert!(read() == text, "{path} is not what follows from the rules; ADAMTRAIN_WRITE=1 writes it");
}

/// Gradients, and as an estimate of the curvature, for the rules that take one, their squares: as the golden cases have it.
struct Squared {
    gradients: Vec<Tensor>,
    squares: Vec<Tensor>,
}

impl Gradients for Squared {
    fn gradient(&self, index: usize, _: &Var) -> Option<&Tensor> {
        self.gradients.get(index)
    }

    fn curvature(&self, index: usize) -> Option<&Tensor> {
        self.squares.get(index)
    }
}

fn squared(gradients: Vec<Tensor>) -> Squared {
    Squared { squares: gradients.iter().map(|gradient| gradient.sqr().unwrap()).collect(), gradients }
}

/// A lone parameter as the optimizers see it, f32 or f64: `[1, n]`.
struct Lone {
    var: Var,
    optimizer: Box<dyn LaneOptimizer>,
    dtype: DType,
}

fn tensor(data: &[f64], dtype: DType) -> Tensor {
    Tensor::from_slice(data, (1, data.len()), &Device::Cpu).unwrap().to_dtype(dtype).unwrap()
}

fn read(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

impl Lone {
    fn new(family: &Family, hypers: &Hypers, theta: &[f64], dtype: DType) -> Self {
        let var = Var::from_tensor(&tensor(theta, dtype)).unwrap();
        let parameters = [Parameter::new("x", &var)];
        let optimizer = (family.build)(&parameters, std::slice::from_ref(hypers)).unwrap();
        Self { var, optimizer, dtype }
    }

    fn of(case: &Case, theta: &[f64], dtype: DType) -> Self {
        Self::new(case.family, &case.hypers, theta, dtype)
    }

    fn step(&mut self, gradient: &[f64], lr: f64) {
        self.scaled(gradient, lr, 1.0);
    }

    fn scaled(&mut self, gradient: &[f64], lr: f64, gradient_scale: f64) {
        let gradient = squared(vec![tensor(gradient, self.dtype)]);
        self.optimizer.step(&gradient, &[StepScalars { lr, gradient_scale }]).unwrap();
    }

    fn theta(&self) -> Vec<f64> {
        read(&self.var)
    }

    /// The state with this name; a schedule-free rule's training point is θ itself.
    fn state(&self, name: &str) -> Tensor {
        let state = self.optimizer.state().unwrap();
        let found = state.into_iter().find(|(key, _)| *key == format!("x.{name}"));
        found.unwrap_or_else(|| panic!("no state `{name}`")).1
    }
}

fn overwrite(tensor: &Tensor, data: &[f64]) {
    crate::kernel::copy(&self::tensor(data, tensor.dtype()), tensor).unwrap();
}

fn ulp(x: f64, dtype: DType) -> f64 {
    if dtype == DType::F64 {
        let x = x.abs().max(f64::MIN_POSITIVE);
        return x.next_up() - x;
    }
    let x = (x.abs() as f32).max(f32::MIN_POSITIVE);
    f64::from(x.next_up()) - f64::from(x)
}

/// The largest differences in θ, each state, and the history where the reference tells it, after one step from each of the reference's
/// states, in ulp of the largest addend; in the history, in ulp.
fn one_step_differences(case: &Case, mut lone: Lone) -> Vec<f64> {
    let dtype = lone.dtype;
    let is_f64 = dtype == DType::F64;
    let histories = if is_f64 { &case.histories64 } else { &case.histories32 };
    let mut of_history: Option<f64> = None;
    let start = case.states.iter().map(|name| read(&lone.state(name))).collect();
    let mut worst = differences(case, dtype, start, |t, gradient, before| {
        overwrite(&lone.var, &before[0]);
        for (name, numbers) in case.states.iter().zip(&before[1..]) {
            overwrite(&lone.state(name), numbers);
        }
        lone.step(gradient, case.lr_of_step(t));
        if let Some(history) = histories.get(t - 1).filter(|history| !history.is_empty()) {
            // In f32 the reference sums in f32, and its numbers are no measure.
            for (found, golden) in lone.optimizer.history(0).iter().zip(history).filter(|_| is_f64) {
                let difference = (found - golden).abs() / ulp(*golden, dtype);
                let difference = if difference.is_nan() { f64::INFINITY } else { difference };
                of_history = Some(of_history.unwrap_or(0.0).max(difference));
            }
            of_history.get_or_insert(0.0);
            // On from the reference's.
            let steps = lone.optimizer.steps(0);
            lone.optimizer.stand_after(0, steps, history).unwrap();
        }
        let states = case.states.iter().map(|name| read(&lone.state(name)));
        std::iter::once(lone.theta()).chain(states).collect()
    });
    worst.extend(of_history);
    worst
}

/// The same of what `step` makes of its number, from 1, the gradient, and θ and the states before; these `start` as given.
fn differences(
    case: &Case,
    dtype: DType,
    start: Vec<Vec<f64>>,
    mut step: impl FnMut(usize, &[f64], &[Vec<f64>]) -> Vec<Vec<f64>>,
) -> Vec<f64> {
    let steps = if dtype == DType::F64 { &case.steps64 } else { &case.steps32 };
    let mut worst = vec![0.0_f64; 1 + case.states.len()];
    let smallest = if dtype == DType::F64 { f64::MIN_POSITIVE } else { f64::from(f32::MIN_POSITIVE) };
    // The number whose sign the mask of a cautious update asks.
    let asked = case.states.iter().position(|name| matches!(name.as_str(), "m" | "b"));
    let mut before: Vec<Vec<f64>> = std::iter::once(table::inputs().theta0.clone()).chain(start).collect();
    for (t, golden) in steps.iter().enumerate() {
        let gradient = case.gradient(t + 1);
        for (k, found) in step(t + 1, &gradient, &before).into_iter().enumerate() {
            for i in 0..found.len() {
                // A denormal m, which is 0 here, has no sign for a mask to ask, nor has what a denormal gradient makes of it.
                let number = asked.map_or(0.0, |asked| golden[1 + asked][i]);
                let is_denormal = |x: f64| x != 0.0 && x.abs() < smallest;
                if k == 0 && case.name.contains("cautious") && (is_denormal(number) || is_denormal(gradient[i])) {
                    continue;
                }
                // Denormals are kept by PyTorch and not by us: they count as zero.
                let flushed = |x: f64| if x.abs() < smallest { 0.0 } else { x };
                let m = case.states.iter().position(|name| name == "m").map_or(0.0, |m| golden[1 + m][i].abs());
                let (found, golden) = (flushed(found[i]), flushed(golden[k][i]));
                let mut addend = golden.abs().max(before[k][i].abs()).max((golden - before[k][i]).abs());
                // g and λ·θ may nearly cancel; what goes into the averages is then the rest of larger addends.
                // What MARS averages is no longer than 1, whatever g is.
                let given = if case.family.name == "mars" { 0.0 } else { gradient[i].abs() };
                let gradient = given.max(case.coupled_decay() * before[0][i].abs());
                // AdaBound's step is a rate times m: its addends are those of m by that rate.
                if k == 0 && case.family.name == "adabound" && m > 0.0 {
                    let rate = (golden - before[0][i]).abs() / m;
                    addend = addend.max(rate * (1.0 - case.number("beta1")) * gradient);
                }
                let state = k.checked_sub(1).map(|k| case.states[k].as_str());
                let gradient = gradient * case.enters_times(state, t);
                match state {
                    Some("m") => addend = addend.max((1.0 - case.number("beta1")) * gradient),
                    Some("v" | "v_max") => addend = addend.max((1.0 - case.number("beta2")) * gradient * gradient),
                    _ => {}
                }
                let difference = (found - golden).abs() / ulp(addend, dtype);
                worst[k] = worst[k].max(if difference.is_nan() { f64::INFINITY } else { difference });
            }
        }
        // On from the reference's state.
        before.clone_from(golden);
    }
    worst
}

/// What the history is called beside states.
const HISTORY: &str = "history";

/// A line of the report, and whether all differences are within `bound`.
fn judged(case: &Case, worst: &[f64], bound: impl Fn(Option<&str>) -> f64) -> (String, bool) {
    let mut line = format!("{:<28}", case.name);
    let mut good = true;
    for (k, ulp) in worst.iter().enumerate() {
        let state = k.checked_sub(1).map(|k| case.states.get(k).map_or(HISTORY, String::as_str));
        good &= *ulp <= bound(state);
        let _ = write!(line, " {} {ulp:.2}", state.unwrap_or("θ"));
    }
    (line, good)
}

/// Cases whose parameters are one vector: all but Muon's.
fn vector_cases() -> impl Iterator<Item = &'static Case> {
    golden().iter().filter(|case| case.free.is_some())
}

#[test]
fn every_family_has_golden_cases_that_cover_its_hyperparameters() {
    for family in FAMILIES {
        let own = golden().iter().filter(|case| std::ptr::eq(case.family, *family)).map(|case| &case.hypers);
        // What searches along a function is compared on the way of its peer's searches.
        let searched = walks().iter().filter(|walk| std::ptr::eq(walk.family, *family)).map(|walk| &walk.hypers);
        let cases: Vec<&Hypers> = own.chain(searched).collect();
        let without_decay = |hypers: Hypers| match family.hyper("optim.weight_decay") {
            Some(weight_decay) => hypers.with(weight_decay, weight_decay.default),
            None => hypers,
        };
        let is_default = |case: &&&Hypers| without_decay((**case).clone()) == family.defaults();
        assert!(cases.iter().any(|case| is_default(&case)), "{} has no case of its defaults", family.name);
        for hyper in family.hypers {
            let varies = cases.iter().any(|case| case.get(hyper) != hyper.default);
            // What Muon leaves to AdamW has AdamW's own cases.
            let is_adamw_s = matches!(hyper.name(), "adam_lr" | "beta1" | "beta2" | "eps" | "cautious_decay");
            let elsewhere = family.name == "muon" && is_adamw_s;
            // How state is kept is no part of a formula, and has tests of its own.
            let elsewhere = elsewhere || hyper.name() == "state";
            assert!(varies || elsewhere, "{}: `{}` is its default in every case", family.name, hyper.key);
        }
    }
}

#[test]
fn one_step_in_f64_from_the_reference_s_state_is_the_reference_s() {
    let mut report = String::new();
    for case in vector_cases() {
        let worst = one_step_differences(case, Lone::of(case, &table::inputs().theta0, DType::F64));
        let (line, good) = judged(case, &worst, |state| case.bound64(state));
        let _ = writeln!(report, "{line}{}", if good { "" } else { "   ABOVE" });
    }
    assert!(!report.contains("ABOVE"), "ulp of the largest addend:\n{report}");
}

#[test]
fn one_step_in_f32_from_the_reference_s_state_is_the_reference_s() {
    let mut report = String::new();
    for case in vector_cases() {
        let worst = one_step_differences(case, Lone::of(case, &table::inputs().theta0, DType::F32));
        let (line, good) = judged(case, &worst, |state| case.bound32(state));
        let _ = writeln!(report, "{line}{}", if good { "" } else { "   ABOVE" });
    }
    assert!(!report.contains("ABOVE"), "ulp of the largest addend:\n{report}");
}

/// A free run on the drawn gradients; what `each` sees comes after every step.
fn free_run(case: &Case, dtype: DType, steps: usize, mut each: impl FnMut(usize, &Lone)) -> Lone {
    let (_, last, count) = table::FREE;
    let mut draws = table::Draws::new();
    let mut lone = Lone::of(case, &draws.theta0(count), dtype);
    for t in 1..=steps {
        let gradient = case.drawn(&mut draws, t);
        let gradient = if case.pulled { case.gradient_at(&lone.theta(), gradient) } else { gradient };
        lone.step(&gradient, case.lr() * (1.0 - 0.5 * t as f64 / last as f64));
        each(t, &lone);
    }
    lone
}

/// What a free run of a thousand steps in f64 is off by from the reference's: in θ and each state, the worst of its elements, relative to the
/// largest number that the element went through; then in each number of the history.
fn free_run_errors(case: &Case) -> Vec<f64> {
    let (middle, ..) = table::FREE;
    let tensors = |lone: &Lone| -> Vec<Vec<f64>> {
        std::iter::once(lone.theta()).chain(case.states.iter().map(|name| read(&lone.state(name)))).collect()
    };
    let mut scales = vec![vec![0.0_f64; table::FREE.2]; 1 + case.states.len()];
    let lone = free_run(case, DType::F64, middle, |_, lone| {
        for (scales, tensor) in scales.iter_mut().zip(tensors(lone)) {
            scales.iter_mut().zip(tensor).for_each(|(scale, x)| *scale = scale.max(x.abs()));
        }
    });
    let free = case.free.as_ref().unwrap();
    let mut worst = Vec::new();
    for ((found, golden), scales) in tensors(&lone).iter().zip(&free.middle).zip(&scales) {
        let errors = found.iter().zip(golden).zip(scales).map(|((found, golden), scale)| {
            let error = (found - golden).abs();
            if error == 0.0 { 0.0 } else { error / scale }
        });
        worst.push(errors.fold(0.0_f64, |a, b| if b.is_nan() { f64::INFINITY } else { a.max(b) }));
    }
    let history = lone.optimizer.history(0);
    worst.extend(history.iter().zip(&free.history).map(|(found, golden)| (found / golden - 1.0).abs()));
    worst
}

#[test]
fn a_free_run_of_a_thousand_steps_in_f64_stays_on_the_reference_s_path() {
    let mut report = String::new();
    for case in vector_cases() {
        let errors = free_run_errors(case);
        let _ = write!(report, "{:<28}", case.name);
        for error in &errors {
            let _ = write!(report, " {error:.1e}");
        }
        report += if errors.iter().all(|error| *error <= 1e-12) { "\n" } else { "   ABOVE\n" };
    }
    assert!(!report.contains("ABOVE"), "relative to the largest number on the way:\n{report}");
}

/// Root mean square of the errors against the f64 reference, ours and the reference's own in f32, after 3,000 steps.
fn f32_errors(case: &Case) -> (f64, f64) {
    let (_, last, _) = table::FREE;
    let free = case.free.as_ref().unwrap();
    let ours = free_run(case, DType::F32, last, |_, _| ()).theta();
    let error = |found: &[f64]| {
        let squares = found.iter().zip(&free.end64).map(|(found, exact)| (found - exact).powi(2));
        (squares.sum::<f64>() / found.len() as f64).sqrt()
    };
    (error(&ours), error(&free.end32))
}

#[test]
fn three_thousand_steps_in_f32_are_no_farther_from_f64_than_the_reference_s_own() {
    let mut report = String::new();
    for case in vector_cases() {
        let (ours, theirs) = f32_errors(case);
        let _ = write!(report, "{:<28} {ours:.2e} {theirs:.2e} {:.2}", case.name, ours / theirs);
        report += if ours <= theirs * 1.15 { "\n" } else { "   ABOVE\n" };
    }
    assert!(!report.contains("ABOVE"), "RMS error against f64, ours and the reference's, their ratio:\n{report}");
}

/// Adam in f32 over 3,000 steps: its median relative error of v against f64, and that of the textbook form that PyTorch's CPU
/// path and candle-nn use.
#[test]
fn the_fused_moments_are_twenty_times_as_close_to_f64_as_the_textbook_form() {
    use crate::rule::{Named as _, OnePass as _, Rule as _, rounded};
    let adam = Adam::default();
    let count = 512;
    let mut stream = crate::rng::Stream::new(5, crate::rng::Purpose::Weights, 0);
    let mut ours = vec![[0.0_f32; 2]; count];
    let mut textbook = vec![0.0_f32; count];
    let mut exact = vec![0.0_f64; count];
    let (beta2, rest) = (0.999_f32, (1.0 - 0.999_f64) as f32);
    for t in 1..=3000 {
        let h = rounded(adam.scalars(&mut [], 1e-3, t).into_array());
        for i in 0..count {
            let g = stream.symmetric(1.0);
            ours[i] = Adam::update(h, 0.0, g, ours[i]).1;
            textbook[i] = beta2 * textbook[i] + rest * (g * g);
            exact[i] += (1.0 - 0.999) * (f64::from(g) * f64::from(g) - exact[i]);
        }
    }
    let median = |of: &dyn Fn(usize) -> f32| {
        let mut errors: Vec<f64> = (0..count).map(|i| (f64::from(of(i)) / exact[i] - 1.0).abs()).collect();
        errors.sort_unstable_by(f64::total_cmp);
        errors[count / 2]
    };
    let (ours, textbook) = (median(&|i| ours[i][1]), median(&|i| textbook[i]));
    assert!(ours < 5e-7 && textbook > 20.0 * ours, "ours {ours:e}, textbook {textbook:e}");
}

#[test]
fn candle_s_autograd_drives_an_optimizer() -> Result<()> {
    let x = Var::from_tensor(&tensor(&[3.0, -2.0, 0.5], DType::F32))?;
    let adam = family("adam").unwrap();
    let mut optimizer = (adam.build)(&[Parameter::new("x", &x)], &[adam.defaults()])?;
    for _ in 0..2000 {
        let gradients = x.sqr()?.sum_all()?.backward()?;
        optimizer.step(&gradients, &[StepScalars { lr: 1e-2, gradient_scale: 1.0 }])?;
    }
    assert!(x.abs()?.max_all()?.to_scalar::<f32>()? < 1e-3);
    Ok(())
}

#[test]
fn variables_that_share_storage_are_refused() {
    let a = Var::from_tensor(&tensor(&[1.0, 2.0], DType::F32)).unwrap();
    let adam = family("adam").unwrap();
    let same = [Parameter::new("a", &a), Parameter::new("b", &a)];
    let error = (adam.build)(&same, &[adam.defaults()]).err().unwrap().to_string();
    assert!(error.contains("`a` and `b` share storage"), "{error}");
}

#[test]
fn what_cannot_be_stepped_is_refused_before_anything_moves() -> Result<()> {
    let numbers = tensor(&[1.0, 2.0], DType::F32);
    let scalars = [StepScalars { lr: 0.1, gradient_scale: 1.0 }];
    for name in ["adam", "adamw", "lion", "lamb", "schedule-free-adamw"] {
        let family = family(name).unwrap();
        let half = Var::from_tensor(&numbers.to_dtype(DType::F16)?)?;
        let whole = Var::from_tensor(&numbers)?;
        let error = (family.build)(&[Parameter::new("a", &whole), Parameter::new("b", &half)], &[family.defaults()]);
        assert!(error.err().unwrap().to_string().contains("parameter `b` is F16"), "{name}");

        let second = Var::from_tensor(&tensor(&[3.0, 4.0], DType::F32))?;
        let parameters = [Parameter::new("a", &whole), Parameter::new("b", &second)];
        let mut optimizer = (family.build)(&parameters, &[family.defaults()])?;
        let good = numbers.clone();
        let crossed = tensor(&[1.0, 2.0, 3.0, 4.0], DType::F32).reshape((2, 2))?.t()?.narrow(0, 0, 1)?;
        let bad = [numbers.to_dtype(DType::F64)?, tensor(&[1.0], DType::F32), crossed];
        for (gradient, word) in bad.into_iter().zip(["F64", "shape", "contiguous"]) {
            let error = optimizer.step(&vec![good.clone(), gradient], &scalars).unwrap_err().to_string();
            assert!(error.contains("`b`") && error.contains(word), "{name}: {error}");
        }
        assert!(optimizer.step(&vec![good.clone()], &scalars).unwrap_err().to_string().contains("`b` has no gradient"));
        assert_eq!((optimizer.steps(0), read(&whole)), (0, vec![1.0, 2.0]), "{name}");
        optimizer.step(&vec![good.clone(), good], &scalars)?;
        assert_eq!(optimizer.steps(0), 1);
    }
    Ok(())
}

/// `cargo test --release --lib accuracy_table -- --ignored --nocapture` prints the table of `docs/optimizers.md`.
#[test]
#[ignore = "prints a table"]
fn accuracy_table() {
    use std::io::Write as _;
    let mut out = std::io::stdout();
    for case in vector_cases() {
        let (ours, theirs) = f32_errors(case);
        let reference = case.reference.split('(').next().unwrap_or_default().trim();
        writeln!(out, "| `{}` | {reference} | {ours:.1e} | {theirs:.1e} | {:.2} |", case.name, ours / theirs).unwrap();
    }
}

/// `cargo test --release --lib error_table -- --ignored --nocapture` prints the worst error of each case over a thousand steps in f64: of θ,
/// of its states, and of its history.
#[test]
#[ignore = "prints a table"]
fn error_table() {
    use std::io::Write as _;
    let mut out = std::io::stdout();
    for case in vector_cases() {
        let errors = free_run_errors(case);
        let worst = |errors: &[f64]| errors.iter().copied().fold(0.0, f64::max);
        let (states, history) = errors[1..].split_at(case.states.len());
        let (theta, states, history) = (errors[0], worst(states), worst(history));
        writeln!(out, "| `{}` | {theta:.1e} | {states:.1e} | {history:.1e} |", case.name).unwrap();
    }
}
