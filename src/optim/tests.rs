//! Optimizers against PyTorch, and through the door that the trainer uses.
//!
//! `scripts/reference.py` made the golden files with PyTorch's single-tensor path, on given gradients: zeros, denormals and
//! magnitudes from 1e-20 to 1e10, with another learning rate in each step.

use candle_core::{Device, Tensor, Var};
use serde_json::Value;

use super::*;
use crate::rule::{Real, Rule};

/// A kind of number whose bits the golden files hold.
trait Golden: Real + std::fmt::LowerExp {
    const FIELD: &'static str;
    fn from_hex(text: &str) -> Self;
    fn to_f64(self) -> f64;
    /// The distance to the next number above |x|, and for small ones that at the smallest normal number.
    fn ulp(x: f64) -> f64;
}

impl Golden for f64 {
    const FIELD: &'static str = "float64";
    fn from_hex(text: &str) -> Self {
        Self::from_bits(u64::from_str_radix(text, 16).unwrap())
    }
    fn to_f64(self) -> f64 {
        self
    }
    fn ulp(x: f64) -> f64 {
        let x = x.abs().max(f64::MIN_POSITIVE);
        x.next_up() - x
    }
}

impl Golden for f32 {
    const FIELD: &'static str = "float32";
    fn from_hex(text: &str) -> Self {
        Self::from_bits(u32::from_str_radix(text, 16).unwrap())
    }
    fn to_f64(self) -> f64 {
        f64::from(self)
    }
    fn ulp(x: f64) -> f64 {
        let x = (x.abs() as f32).max(f32::MIN_POSITIVE);
        f64::from(x.next_up()) - f64::from(x)
    }
}

const CASES: [(&str, &str); 4] = [
    ("adam", include_str!("../../tests/golden/adam.json")),
    ("adam-l2", include_str!("../../tests/golden/adam-l2.json")),
    ("adamw", include_str!("../../tests/golden/adamw.json")),
    ("adamw-other", include_str!("../../tests/golden/adamw-other.json")),
];

fn numbers<R: Golden>(list: &Value) -> Vec<R> {
    let words = list.as_array().unwrap().iter();
    words.map(|word| R::from_hex(word.as_str().unwrap())).collect()
}

/// One step of our rule from each of PyTorch's states, against PyTorch's next state. Returns the largest differences in θ, m
/// and v, in ulp of the largest addend.
fn differences<R: Golden>(text: &str) -> [f64; 3] {
    let case: Value = serde_json::from_str(text).unwrap();
    let number = |key: &str| case[key].as_f64().unwrap();
    let adam = Adam {
        beta1: number("beta1"),
        beta2: number("beta2"),
        eps: number("eps"),
        weight_decay: number("weight_decay"),
        decoupled: case["optimizer"] == "adamw",
    };
    let rates = numbers::<f64>(&case["lr_of_step"]);
    let run = &case[R::FIELD];
    let mut theta = numbers::<R>(&run["theta0"]);
    let mut m = vec![R::constant(0.0); theta.len()];
    let mut v = m.clone();
    let mut worst = [0.0_f64; 3];
    for (step, (&lr, golden)) in rates.iter().zip(run["steps"].as_array().unwrap()).enumerate() {
        let g = numbers::<R>(&golden["g"]);
        let next = ["theta", "m", "v"].map(|key| numbers::<R>(&golden[key]));
        let scalars = adam.scalars(&mut [], lr, step as u64 + 1);
        for i in 0..theta.len() {
            let (new_theta, [new_m, new_v]) = Adam::update(scalars.map(R::constant), theta[i], g[i], [m[i], v[i]]);
            let decay = if adam.decoupled { 0.0 } else { adam.weight_decay * theta[i].to_f64() };
            let gradient = g[i].to_f64().abs().max(decay.abs());
            let moved = (next[0][i].to_f64() - theta[i].to_f64()).abs();
            let addends = [
                theta[i].to_f64().abs().max(moved),
                m[i].to_f64().abs().max((1.0 - adam.beta1) * gradient),
                v[i].to_f64().max((1.0 - adam.beta2) * gradient * gradient),
            ];
            for (k, new) in [new_theta, new_m, new_v].into_iter().enumerate() {
                // PyTorch keeps denormals; below the smallest normal number counts as zero.
                let difference = (new.to_f64() - next[k][i].flushed().to_f64()).abs();
                worst[k] = worst[k].max(difference / R::ulp(addends[k]));
            }
        }
        [theta, m, v] = next;
    }
    worst
}

#[test]
fn one_step_in_f64_is_pytorch_s_to_two_ulp() {
    for (name, text) in CASES {
        let worst = differences::<f64>(text);
        assert!(worst.iter().all(|ulp| *ulp <= 2.0), "{name}: θ, m, v differ by {worst:?} ulp");
    }
}

#[test]
fn one_step_in_f32_is_pytorch_s_to_two_ulp() {
    for (name, text) in CASES {
        let [theta, m, v] = differences::<f32>(text);
        // PyTorch rounds g + λ·θ before it squares it, which doubles that error; the rule fuses both.
        let coupled = name == "adam-l2";
        let most = if coupled { 4.0 } else { 2.0 };
        assert!(theta <= 2.0 && m <= 2.0 && v <= most, "{name}: θ, m, v differ by {theta}, {m}, {v} ulp");
    }
}

/// Adam in f32 over 3,000 steps: its median relative error of v against f64, and that of the textbook form that PyTorch's CPU
/// path and candle-nn use.
#[test]
fn the_fused_moments_are_twenty_times_as_close_to_f64_as_the_textbook_form() {
    let adam = Adam::default();
    let count = 512;
    let mut stream = crate::rng::Stream::new(5, crate::rng::Purpose::Weights, 0);
    let mut ours = vec![[0.0_f32; 2]; count];
    let mut textbook = vec![0.0_f32; count];
    let mut exact = vec![0.0_f64; count];
    let (beta2, rest) = (0.999_f32, (1.0 - 0.999_f64) as f32);
    for t in 1..=3000 {
        let h = adam.scalars(&mut [], 1e-3, t).map(|h| h as f32);
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

fn variable(shape: &[usize], data: Vec<f32>) -> Var {
    Var::from_tensor(&Tensor::from_vec(data, shape, &Device::Cpu).unwrap()).unwrap()
}

fn step(optimizer: &mut dyn Optimizer, gradients: &dyn Gradients) -> Result<()> {
    let scalars = StepScalars { lr: 1e-2, gradient_scale: 1.0 };
    optimizer.step(gradients, &[scalars])
}

#[test]
fn candle_s_autograd_drives_it_to_the_minimum_of_a_parabola_and_of_rosenbrock() -> Result<()> {
    let x = variable(&[1, 2], vec![-1.2, 1.0]);
    let mut optimizer = Elementwise::new(&[("x".into(), x.clone())], vec![Adam::default()])?;
    for _ in 0..6000 {
        // Rosenbrock 1960: (1 − a)² + 100·(b − a²)², minimum 0 at (1, 1).
        let (a, b) = (x.narrow(1, 0, 1)?, x.narrow(1, 1, 1)?);
        let valley = ((&b - a.sqr()?)?.sqr()? * 100.0)?;
        let loss = (a.affine(-1.0, 1.0)?.sqr()? + valley)?.sum_all()?;
        step(&mut optimizer, &loss.backward()?)?;
    }
    let found = x.flatten_all()?.to_vec1::<f32>()?;
    assert!((found[0] - 1.0).abs() < 1e-2 && (found[1] - 1.0).abs() < 2e-2, "{found:?}");

    let x = variable(&[1, 3], vec![3.0, -2.0, 0.5]);
    let mut optimizer = Elementwise::new(&[("x".into(), x.clone())], vec![Adam::default()])?;
    for _ in 0..2000 {
        step(&mut optimizer, &x.sqr()?.sum_all()?.backward()?)?;
    }
    assert!(x.abs()?.max_all()?.to_scalar::<f32>()? < 1e-3);
    Ok(())
}

#[test]
fn a_missing_gradient_is_an_error_that_names_the_parameter_and_changes_nothing() -> Result<()> {
    let (a, b) = (variable(&[1, 2], vec![1.0; 2]), variable(&[1, 2], vec![1.0; 2]));
    let parameters = [("layers.0.weight".into(), a.clone()), ("layers.0.bias".into(), b)];
    let mut optimizer = Elementwise::new(&parameters, vec![Adam::default()])?;
    let gradients = a.sqr()?.sum_all()?.backward()?;
    let error = step(&mut optimizer, &gradients).unwrap_err().to_string();
    assert!(error.contains("`layers.0.bias` has no gradient"), "{error}");
    assert_eq!(a.flatten_all()?.to_vec1::<f32>()?, [1.0; 2]);
    assert_eq!(optimizer.steps(), 0);
    Ok(())
}

#[test]
fn variables_that_share_storage_are_refused() {
    let a = variable(&[1, 2], vec![1.0; 2]);
    let same = [("a".into(), a.clone()), ("b".into(), a)];
    let error = Elementwise::new(&same, vec![Adam::default()]).unwrap_err().to_string();
    assert!(error.contains("`a` and `b` share storage"), "{error}");
}

#[test]
fn a_lane_does_what_its_own_optimizer_would() -> Result<()> {
    let lanes = [Adam::default(), Adam { beta1: 0.5, ..Adam::default() }];
    let data: Vec<f32> = (0..6).map(|i| i as f32 * 0.3 - 1.0).collect();
    let gradient =
        vec![Tensor::from_vec(data.iter().map(|x| x * 0.7 + 0.1).collect::<Vec<_>>(), (2, 3), &Device::Cpu)?];
    let scalars = [1e-2, 1e-1].map(|lr| StepScalars { lr, gradient_scale: 1.0 });
    let both = variable(&[2, 3], data.clone());
    let mut optimizer = Elementwise::new(&[("x".into(), both.clone())], lanes.to_vec())?;
    for _ in 0..5 {
        optimizer.step(&gradient, &scalars)?;
    }
    for lane in 0..2 {
        let alone = variable(&[1, 3], data[3 * lane..][..3].to_vec());
        let mut optimizer = Elementwise::new(&[("x".into(), alone.clone())], vec![lanes[lane]])?;
        let gradient = vec![gradient[0].narrow(0, lane, 1)?.contiguous()?];
        for _ in 0..5 {
            optimizer.step(&gradient, &scalars[lane..=lane])?;
        }
        assert_eq!(both.get(lane)?.to_vec1::<f32>()?, alone.get(0)?.to_vec1::<f32>()?, "lane {lane}");
    }
    Ok(())
}
