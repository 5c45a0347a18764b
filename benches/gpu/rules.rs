//! Every update rule with each of its options: θ and the state after each of several steps, bit for bit those of the CPU.
//!
//! Three lanes with rates, decay and factors of their own, over tensors of many lengths. Gradients hold zeros, denormal numbers,
//! magnitudes from 1e-20 to 1e10, and in one tensor what is not finite.

use std::fmt::Write as _;

use adamtrain::kernel;
use adamtrain::optim::{
    Accepts, FAMILIES, Family, Gradients, HYPERS, Hyper, HyperValue, Hypers, LaneOptimizer, Parameter, StepScalars,
};
use adamtrain::rng::{Purpose, Stream};
use anyhow::Result;
use candle_core::{Device, Tensor, Var};

use super::report::{Bits, Report, difference};

const LANES: usize = 3;
const STEPS: usize = 4;

/// Matrices of hidden layers, wide and tall.
const MATRICES: [[usize; 2]; 2] = [[17, 29], [40, 24]];

/// Vectors: around the sizes of registers, blocks, pieces of a sum and chunks.
const LENGTHS: [usize; 18] = [1, 2, 3, 5, 31, 32, 33, 64, 255, 256, 257, 511, 513, 1000, 4095, 4097, 16_385, 70_001];

/// The vector whose gradients are not all finite.
const NOT_FINITE: usize = 64;

/// Muon multiplies matrices, whose sums another library takes in another order; five iterations widen that. Relative to the largest
/// number of a matrix's step.
const MUON_BOUND: f64 = 2e-3;

/// The gradients of a step, and factors on them by lane.
struct Given {
    gradients: Vec<Tensor>,
    factors: Option<Tensor>,
}

impl Gradients for Given {
    fn gradient(&self, index: usize, _: &Var) -> Option<&Tensor> {
        self.gradients.get(index)
    }

    fn factors(&self) -> Option<&Tensor> {
        self.factors.as_ref()
    }
}

/// One optimizer on one device.
struct Side {
    vars: Vec<Var>,
    given: Given,
    optimizer: Box<dyn LaneOptimizer>,
}

impl Side {
    fn new(family: &Family, lanes: &[Hypers], theta: &[Tensor], device: &Device) -> Result<Self> {
        let vars = theta.iter().map(|theta| Var::from_tensor(&theta.to_device(device)?.copy()?));
        let vars = vars.collect::<candle_core::Result<Vec<_>>>()?;
        let parameters: Vec<Parameter> = vars
            .iter()
            .enumerate()
            .map(|(i, var)| Parameter { is_hidden: var.rank() == 3, ..Parameter::new(&format!("p{i}"), var) })
            .collect();
        let optimizer = (family.build)(&parameters, lanes)?;
        // The buffers keep their places from step to step, as in training.
        let gradients = vars.iter().map(|var| var.as_tensor().zeros_like());
        let gradients = gradients.collect::<candle_core::Result<Vec<_>>>()?;
        Ok(Self { vars, given: Given { gradients, factors: None }, optimizer })
    }

    /// One step with these gradients and factors.
    fn step(&mut self, gradients: &[Tensor], factors: Option<[f32; LANES]>, scalars: &[StepScalars]) -> Result<()> {
        let device = self.vars[0].device();
        for (from, to) in gradients.iter().zip(&self.given.gradients) {
            kernel::copy(&from.to_device(device)?, to)?;
        }
        self.given.factors = factors.map(|factors| Tensor::from_slice(&factors, LANES, device)).transpose()?;
        self.optimizer.step(&self.given, scalars)
    }
}

/// Numbers of either sign, zeros and denormal ones among them.
fn draw(stream: &mut Stream, shape: &[usize], most: i32) -> Result<Tensor> {
    let count = shape.iter().product();
    let is_odd = shape == [LANES, NOT_FINITE] && most > 0;
    let mut number = |i: usize| match i % 11 {
        0 => 0.0,
        1 => f32::from_bits(stream.below(1 << 23)),
        4 if is_odd => f32::NAN,
        7 if is_odd => f32::NEG_INFINITY,
        _ => 10_f32.powi(stream.below((20 + most) as u32 + 1) as i32 - 20) * stream.symmetric(1.0),
    };
    let numbers: Vec<f32> = (0..count).map(|i| number(i * 7 + i / 11)).collect();
    Ok(Tensor::from_vec(numbers, shape, &Device::Cpu)?)
}

/// Each family with every choice of its switches, with and without momentum where there is none by default.
fn variants() -> Vec<(String, &'static Family, Hypers)> {
    let mut variants = Vec::new();
    for family in FAMILIES.iter().filter(|family| family.on_gpu) {
        let switches: Vec<&Hyper> = family.hypers.iter().filter(|hyper| hyper.accepts == Accepts::Switch).collect();
        let momentum = family.hypers.iter().find(|hyper| hyper.name() == "momentum");
        let without = momentum.filter(|hyper| hyper.default == HyperValue::Number(0.0));
        for (on, moves) in (0..1_u32 << switches.len()).flat_map(|on| [(on, false), (on, true)]) {
            if moves && without.is_none() {
                continue;
            }
            let mut hypers = family.defaults();
            let mut name = family.name.to_owned();
            for (i, switch) in switches.iter().enumerate() {
                let value = HyperValue::Switch(on >> i & 1 == 1);
                hypers = hypers.with(switch, value);
                if value != switch.default {
                    let _ = write!(name, " {}={value}", switch.name());
                }
            }
            if let Some(momentum) = without.filter(|_| moves) {
                hypers = hypers.with(momentum, HyperValue::Number(0.9));
                name += " momentum=0.9";
            }
            if (family.refuse)(&hypers).is_none() {
                variants.push((name, *family, hypers));
            }
        }
    }
    variants
}

/// The hyperparameters of the lanes, which differ in numbers.
fn lanes(family: &Family, hypers: &Hypers) -> Vec<Hypers> {
    let differ = |name: &str, values: [f64; LANES], lane: usize, hypers: Hypers| match HYPERS
        .iter()
        .find(|hyper| hyper.name() == name)
    {
        Some(hyper) if family.hypers.iter().any(|own| own.key == hyper.key) => {
            hypers.with(hyper, HyperValue::Number(values[lane]))
        }
        _ => hypers,
    };
    (0..LANES)
        .map(|lane| {
            let hypers = differ("weight_decay", [0.0, 0.01, 0.3], lane, hypers.clone());
            let hypers = differ("beta2", [0.999, 0.9, 0.99], lane, hypers);
            differ("eps", [1e-8, 1e-6, 1e-12], lane, hypers)
        })
        .collect()
}

/// Compares all of them.
pub fn compare(device: &Device, quick: bool, report: &mut Report) -> Result<()> {
    report.section("rules");
    let lengths: Vec<usize> = LENGTHS.into_iter().filter(|length| !quick || *length < 1000).collect();
    for (name, family, hypers) in variants() {
        let mut stream = Stream::new(1, Purpose::Weights, 0);
        let mut shapes: Vec<Vec<usize>> = MATRICES.iter().map(|[rows, columns]| vec![LANES, *rows, *columns]).collect();
        shapes.extend(lengths.iter().map(|length| vec![LANES, *length]));
        let theta = shapes.iter().map(|shape| draw(&mut stream, shape, 0)).collect::<Result<Vec<_>>>()?;
        let lanes = lanes(family, &hypers);
        let mut there = Side::new(family, &lanes, &theta, device)?;
        let mut here = Side::new(family, &lanes, &theta, &Device::Cpu)?;
        // Muon's matrices are products; what it leaves to AdamW, and its buffers, are bits.
        let is_muon = family.name == "muon";
        let products = if is_muon { MATRICES.len() } else { 0 };
        let mut bits = Bits::default();
        let mut apart = 0.0_f64;
        for step in 0..STEPS {
            // Muon's products would spread one number that is not finite, or a sum that is, over a matrix.
            let gradients = shapes
                .iter()
                .map(|shape| draw(&mut stream, shape, if is_muon && shape.len() == 3 { 0 } else { 10 }))
                .collect::<Result<Vec<_>>>()?;
            let scales = [1.0_f32, -0.37, 3.0];
            let factors = (step % 2 == 1).then_some([0.9_f32, 0.123, 1.0]);
            let base = hypers.number(family.lr());
            let scalars = |is_here: bool| -> Vec<StepScalars> {
                let of = |lane: usize| {
                    let factor = factors.filter(|_| is_here).map_or(1.0, |factors| factors[lane]);
                    let lr = base * [1.0, 0.3, 4.0][lane] * (1.0 + 0.1 * step as f64);
                    StepScalars { lr, gradient_scale: f64::from(scales[lane] * factor) }
                };
                (0..LANES).map(of).collect()
            };
            let before = there.vars[..products].iter().map(|var| var.as_tensor().copy());
            let before = before.collect::<candle_core::Result<Vec<_>>>()?;
            // In host memory the factor is part of the scale.
            there.step(&gradients, factors, &scalars(device.is_cpu()))?;
            here.step(&gradients, factors, &scalars(true))?;
            for (index, (found, expected)) in there.vars.iter().zip(&here.vars).enumerate() {
                if let Some(before) = before.get(index) {
                    let before = before.to_device(&Device::Cpu)?;
                    let moved = (found.to_device(&Device::Cpu)? - &before)?;
                    apart = apart.max(difference(&moved, &(expected.as_tensor() - &before)?)?);
                    // On from the same numbers.
                    kernel::copy(&expected.to_device(device)?, found)?;
                } else {
                    bits.add(found, expected)?;
                }
            }
            for ((_, found), (_, expected)) in there.optimizer.state()?.iter().zip(here.optimizer.state()?) {
                bits.add(found, &expected)?;
            }
        }
        there.optimizer.at_evaluation_point()?;
        here.optimizer.at_evaluation_point()?;
        for (found, expected) in there.vars.iter().zip(&here.vars).skip(products) {
            bits.add(found, expected)?;
        }
        report.bits(name.clone(), bits);
        if is_muon {
            report.within(format!("{name}, step of the matrices"), apart, MUON_BOUND);
        }
    }
    Ok(())
}
