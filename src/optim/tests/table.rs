//! The golden files, read.

use std::sync::OnceLock;

use candle_core::DType;
use serde_json::Value;

use super::{Lone, read};
use crate::optim::{Accepts, Family, HyperValue, Hypers, family};

/// θ₀ and the gradients of the stepwise part.
pub struct Inputs {
    pub theta0: Vec<f64>,
    pub gradients: Vec<Vec<f64>>,
}

/// What a free run ended with.
#[derive(Clone, Debug)]
pub struct Free {
    /// θ and each state after 1,000 steps, in f64.
    pub middle: Vec<Vec<f64>>,
    /// The history then.
    pub history: Vec<f64>,
    /// θ after 3,000 steps, in f64.
    pub end64: Vec<f64>,
    /// The same of the reference's f32 run.
    pub end32: Vec<f64>,
    /// The evaluation point, where it is another.
    pub evaluated: Option<Vec<f64>>,
}

/// A trajectory of a reference.
pub struct Case {
    pub name: String,
    pub family: &'static Family,
    pub hypers: Hypers,
    pub reference: String,
    pub states: Vec<String>,
    /// The shapes of a case of matrices other than Muon's.
    pub shapes: Vec<Vec<usize>>,
    /// Whether these are SOAP's, whose gradients are even.
    pub even: bool,
    /// θ of each matrix after 1,000 steps of a free run, of SOAP's.
    pub far: Vec<Vec<f64>>,
    /// Whether gradients lead to a solution at a distance.
    pub pulled: bool,
    /// By step: θ and each state after it.
    pub steps64: Vec<Vec<Vec<f64>>>,
    pub steps32: Vec<Vec<Vec<f64>>>,
    /// By step: the history after it.
    pub histories64: Vec<Vec<f64>>,
    pub histories32: Vec<Vec<f64>>,
    pub free: Option<Free>,
    lr_slope: f64,
    /// Factor on all gradients.
    gradient_scale: f64,
    is_coupled: bool,
}

impl Case {
    pub fn lr(&self) -> f64 {
        self.hypers.number(self.family.lr())
    }

    /// The rate of step t ≥ 1 of the stepwise part.
    pub fn lr_of_step(&self, t: usize) -> f64 {
        self.lr() * (1.0 + self.lr_slope * t as f64)
    }

    /// The gradient of step t ≥ 1 of the stepwise part.
    pub fn gradient(&self, t: usize) -> Vec<f64> {
        let taken = |g: &f64| if self.pulled { g.abs() } else { *g };
        inputs().gradients[t - 1].iter().map(|g| taken(g) * self.gradient_scale).collect()
    }

    /// The gradient of step t ≥ 1 of the free run, as it is drawn.
    pub fn drawn(&self, draws: &mut Draws, t: usize) -> Vec<f64> {
        draws.gradient(FREE.2, t).iter().map(|g| g * self.gradient_scale).collect()
    }

    /// Whether a parameter without gradient decays.
    pub fn decays(&self) -> bool {
        ["weight_decay", "lambd"].iter().any(|name| self.number(name) != 0.0)
    }

    /// The gradient of the free run at θ, of which `drawn` is a part.
    pub fn gradient_at(&self, theta: &[f64], drawn: Vec<f64>) -> Vec<f64> {
        if !self.pulled {
            return drawn;
        }
        let pull = |i: usize| 2_f64.powi((i % 12) as i32 - 4);
        drawn.iter().enumerate().map(|(i, g)| g + pull(i) * theta[i]).collect()
    }

    /// What the gradient of step t, from 0, is multiplied by where it enters a state: the distance in the rules that estimate it.
    pub fn enters_times(&self, state: Option<&str>, t: usize) -> f64 {
        let d = || t.checked_sub(1).map_or_else(|| self.number("d0"), |t| self.histories64[t][0]);
        match (self.family.name, state) {
            ("prodigy", _) => d(),
            ("dadapt-adam", Some("m")) => d() * self.lr(),
            _ => 1.0,
        }
    }

    /// λ where decay goes through the gradient, else 0.
    pub fn coupled_decay(&self) -> f64 {
        if self.is_coupled { self.number("weight_decay") } else { 0.0 }
    }

    /// A hyperparameter by name; 0 where the family does not have it.
    pub fn number(&self, name: &str) -> f64 {
        let hyper = self.family.hypers.iter().find(|hyper| hyper.name() == name);
        hyper.map_or(0.0, |hyper| self.hypers.number(hyper))
    }

    /// The same in f32.
    pub fn bound32(&self, state: Option<&str>) -> f64 {
        match (self.family.name, state) {
            // A step longer than θ: the roundings of m, √v, their quotient and the rate are all there is.
            ("prodigy" | "dadapt-adam", None) => 6.0,
            // PyTorch rounds more often than the fused rule; a quotient of two rounded numbers differs by one more.
            _ => self.bound64(state).max(3.0),
        }
    }

    /// Allowed difference of one step in f64 in θ or a state, in ulp of the largest addend.
    // An arm, a reason.
    #[allow(clippy::match_same_arms)]
    pub fn bound64(&self, state: Option<&str>) -> f64 {
        match (self.family.name, state) {
            // Squares of numbers that both sides have rounded several times.
            ("adadelta", Some("d")) | ("adan", Some("n")) | ("mars", Some("v")) => 4.0,
            // The reference rounds λ·θ and g + λ·θ before it squares; the rule fuses both.
            (_, Some("v" | "v_max")) if self.coupled_decay() > 0.0 => 4.0,
            // The step is the quotient of m and √v, which are rounded so, and far longer than θ.
            ("dadapt-adam", None) if self.coupled_decay() > 0.0 => 4.0,
            // The step has two root mean squares, and is longer than θ.
            ("adafactor", None) => 4.0,
            // The reference sums its 37 products and sizes in another order.
            (_, Some(super::HISTORY)) => 16.0,
            // The reference forms 1 − β̂ by a subtraction that loses up to six bits.
            ("stableadamw", Some(_)) => 64.0,
            _ => 2.0,
        }
    }
}

/// Steps and elements of the free run.
pub const FREE: (usize, usize, usize) = (1000, 3000, 48);

fn file(name: &str) -> Vec<u8> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Takes numbers off the front of a file.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn f64s(&mut self, count: usize) -> Vec<f64> {
        let (own, rest) = self.0.split_at(8 * count);
        self.0 = rest;
        own.as_chunks().0.iter().map(|word| f64::from_le_bytes(*word)).collect()
    }

    fn f32s(&mut self, count: usize) -> Vec<f64> {
        let (own, rest) = self.0.split_at(4 * count);
        self.0 = rest;
        own.as_chunks().0.iter().map(|word| f64::from(f32::from_le_bytes(*word))).collect()
    }
}

pub fn index() -> Value {
    serde_json::from_slice(&file("index.json")).unwrap()
}

pub fn inputs() -> &'static Inputs {
    static INPUTS: OnceLock<Inputs> = OnceLock::new();
    INPUTS.get_or_init(|| {
        let bytes = file("inputs.bin");
        let mut reader = Reader(&bytes);
        Inputs { theta0: reader.f32s(37), gradients: (0..12).map(|_| reader.f32s(37)).collect() }
    })
}

/// All cases.
pub fn golden() -> &'static [Case] {
    static CASES: OnceLock<Vec<Case>> = OnceLock::new();
    CASES.get_or_init(|| index()["cases"].as_array().unwrap().iter().map(case).collect())
}

/// An evaluation that a peer's search asked for.
pub struct Evaluation {
    pub theta: Vec<f64>,
    pub loss: f64,
    pub gradient: Vec<f64>,
}

/// A peer's search: `searches` of the index.
pub struct Walk {
    pub name: String,
    pub family: &'static Family,
    pub hypers: Hypers,
    pub shapes: Vec<Vec<usize>>,
    pub evaluations: Vec<Evaluation>,
    /// Where it ended by itself, if it did.
    pub end: Option<Vec<f64>>,
    /// Trials beyond every point known, and inside an interval.
    pub extrapolated: u64,
    pub interpolated: u64,
}

impl Walk {
    /// Elements of each parameter.
    pub fn sizes(&self) -> Vec<usize> {
        self.shapes.iter().map(|shape| shape.iter().product()).collect()
    }

    pub fn number(&self, name: &str) -> f64 {
        let hyper = self.family.hypers.iter().find(|hyper| hyper.name() == name);
        hyper.map_or(0.0, |hyper| self.hypers.number(hyper))
    }

    /// λ.
    pub fn decay(&self) -> f64 {
        self.number("weight_decay")
    }

    /// m.
    pub fn history(&self) -> usize {
        self.number("history_size") as usize
    }
}

/// All of them.
pub fn walks() -> &'static [Walk] {
    static WALKS: OnceLock<Vec<Walk>> = OnceLock::new();
    WALKS.get_or_init(|| index()["searches"].as_array().unwrap().iter().map(walk).collect())
}

fn walk(entry: &Value) -> Walk {
    let name = entry["name"].as_str().unwrap().to_owned();
    let family = family(entry["optimizer"].as_str().unwrap()).unwrap();
    let bytes = verified(&name, entry);
    let mut reader = Reader(&bytes);
    let count = |list: &Value| list.as_array().into_iter().flatten().map(|n| n.as_u64().unwrap() as usize).collect();
    let shapes: Vec<Vec<usize>> = entry["shapes"].as_array().into_iter().flatten().map(count).collect();
    let size = shapes.iter().map(|shape| shape.iter().product::<usize>()).sum();
    let mut evaluation = |_| {
        let theta = reader.f64s(size);
        let loss = reader.f64s(1)[0];
        Evaluation { theta, loss, gradient: reader.f64s(size) }
    };
    let evaluations = (0..entry["steps"].as_u64().unwrap()).map(&mut evaluation).collect();
    let end = entry["ends"].as_bool().unwrap().then(|| reader.f64s(size));
    assert!(reader.0.is_empty(), "{name}.bin is too long");
    let number = |key: &str| entry[key].as_u64().unwrap();
    let (extrapolated, interpolated) = (number("extrapolated"), number("interpolated"));
    let hypers = hypers(&name, family, entry);
    Walk { name, family, hypers, shapes, evaluations, end, extrapolated, interpolated }
}

/// The content of a case's file, whose digest the index knows.
fn verified(name: &str, entry: &Value) -> Vec<u8> {
    let bytes = file(&format!("{name}.bin"));
    let mut hash = <sha2::Sha256 as sha2::Digest>::new();
    sha2::Digest::update(&mut hash, &bytes);
    assert_eq!(crate::digest::hex(hash), entry["sha256"].as_str().unwrap(), "{name}.bin");
    bytes
}

/// The hyperparameters of a case.
fn hypers(name: &str, family: &'static Family, entry: &Value) -> Hypers {
    let mut hypers = family.defaults();
    for (key, value) in entry["hyper"].as_object().unwrap() {
        let hyper = family.hypers.iter().find(|hyper| hyper.name() == key);
        let hyper = hyper.unwrap_or_else(|| panic!("{name}: {} has no `{key}`", family.name));
        let value = match hyper.accepts {
            Accepts::Number(_) => HyperValue::Number(value.as_f64().unwrap()),
            Accepts::Count(_) => HyperValue::Count(value.as_u64().unwrap()),
            Accepts::Switch => HyperValue::Switch(value.as_bool().unwrap()),
            Accepts::Triple(_) => HyperValue::Triple([0, 1, 2].map(|place: usize| value[place].as_f64().unwrap())),
            Accepts::Word(words) => HyperValue::Word(words.iter().find(|word| *word == value).unwrap()),
        };
        hypers = hypers.with(hyper, value);
    }
    hypers
}

/// Whether weight decay goes through the gradient: it then reaches the state where the gradient itself is 0.
fn is_coupled(family: &Family, hypers: &Hypers) -> bool {
    let Some(weight_decay) = family.hyper("optim.weight_decay") else { return false };
    let state = |decay: f64| -> Vec<f64> {
        let theta = [0.7];
        let mut lone =
            Lone::new(family, &hypers.clone().with(weight_decay, HyperValue::Number(decay)), &theta, DType::F64);
        let before = lone.optimizer.state().unwrap();
        let follows_theta: Vec<bool> = before.iter().map(|(_, state)| read(state) == theta).collect();
        lone.step(&[0.0], 1e-2);
        let after = lone.optimizer.state().unwrap();
        after
            .iter()
            .zip(follows_theta)
            .filter(|(_, is_theta)| !is_theta)
            .flat_map(|((_, state), _)| read(state))
            .collect()
    };
    state(0.0) != state(0.5)
}

fn case(entry: &Value) -> Case {
    let text = |key: &str| entry[key].as_str().unwrap().to_owned();
    let name = text("name");
    let family = family(&text("optimizer")).unwrap_or_else(|| panic!("{name}: no such optimizer"));
    let hypers = hypers(&name, family, entry);
    let states: Vec<String> =
        entry["states"].as_array().unwrap().iter().map(|state| state.as_str().unwrap().to_owned()).collect();
    let bytes = verified(&name, entry);
    let mut reader = Reader(&bytes);
    let (_, _, count) = FREE;
    let tensors = 1 + states.len();
    let numbers = entry["history"].as_array().map_or(0, Vec::len);
    let (steps64, steps32, free);
    let (mut histories64, mut histories32) = (Vec::new(), Vec::new());
    let numbers_of =
        |list: &Value| list.as_array().into_iter().flatten().map(|n| n.as_u64().unwrap() as usize).collect();
    let shapes: Vec<Vec<usize>> = entry["shapes"].as_array().into_iter().flatten().map(numbers_of).collect();
    let sizes: Vec<usize> = if family.name == "muon" { vec![45, 45, 48, 48] } else { numbers_of(&entry["sizes"]) };
    if sizes.is_empty() {
        let mut step64 = |reader: &mut Reader<'_>| {
            let arrays = (0..tensors).map(|_| reader.f64s(37)).collect();
            histories64.push(reader.f64s(numbers));
            arrays
        };
        steps64 = (0..12).map(|_| step64(&mut reader)).collect();
        let middle = (0..tensors).map(|_| reader.f64s(count)).collect();
        let history = reader.f64s(numbers);
        let end64 = reader.f64s(count);
        let mut step32 = |reader: &mut Reader<'_>| {
            let arrays = (0..tensors).map(|_| reader.f32s(37)).collect();
            histories32.push(reader.f64s(numbers));
            arrays
        };
        steps32 = (0..12).map(|_| step32(&mut reader)).collect();
        let end32 = reader.f32s(count);
        let evaluated = (!reader.0.is_empty()).then(|| reader.f64s(count));
        free = Some(Free { middle, history, end64, end32, evaluated });
    } else {
        let step = |reader: &mut Reader<'_>| sizes.iter().map(|count| reader.f64s(*count)).collect();
        steps64 = (0..12).map(|_| step(&mut reader)).collect();
        steps32 = Vec::new();
        free = None;
    }
    let even = entry["even"].as_bool().unwrap_or(false);
    let ends = if even { &shapes[..] } else { &[] };
    let far = ends.iter().map(|shape| reader.f64s(shape.iter().product())).collect();
    assert!(reader.0.is_empty(), "{name}.bin is too long");
    let number = |key: &str, default: f64| entry[key].as_f64().unwrap_or(default);
    let (lr_slope, gradient_scale) = (number("lr_slope", -0.05), number("gradient_scale", 1.0));
    let (reference, is_coupled) = (text("reference"), is_coupled(family, &hypers));
    let pulled = entry["pulled"].as_bool().unwrap_or(false);
    Case {
        name,
        family,
        hypers,
        reference,
        states,
        shapes,
        even,
        far,
        pulled,
        steps64,
        steps32,
        histories64,
        histories32,
        free,
        lr_slope,
        gradient_scale,
        is_coupled,
    }
}

/// The numbers of the free run: splitmix64 (Steele, Lea & Flood 2014), 24 bits each.
pub struct Draws(u64);

impl Draws {
    pub fn new() -> Self {
        Self(2014)
    }

    /// In [−1, 1), exact in f32.
    pub fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        (z >> 40) as f64 / f64::from(1 << 23) - 1.0
    }

    pub fn theta0(&mut self, count: usize) -> Vec<f64> {
        (0..count).map(|_| 0.125 * self.next()).collect()
    }

    /// The gradient of a step, even.
    pub fn even(&mut self, count: usize) -> Vec<f64> {
        (0..count).map(|_| self.next() + 0.25).collect()
    }

    /// The gradient of step t ≥ 1.
    pub fn gradient(&mut self, count: usize, t: usize) -> Vec<f64> {
        let element = |i: usize| {
            let g = (self.next() + 0.25) * 2_f64.powi((i % 12) as i32 - 8);
            if i % 16 == 15 && !t.is_multiple_of(7) { 0.0 } else { g }
        };
        (0..count).map(element).collect()
    }
}
