//! An optimizer from outside the crate: Signum, one `impl Rule` and nothing else.
//!
//! `cargo run --release --example own_rule`

#![allow(clippy::print_stdout)]

use adamtrain::data::digits;
use adamtrain::optim::{Optimizer, OptimizerConfig};
use adamtrain::rule::{OnePass, Real, Rule, named};
use candle_core::{DType, Device, Module as _, Result, Tensor};
use candle_nn::{Optimizer as _, VarBuilder, VarMap, linear};

/// Every element goes as far, whatever its gradient: only the sign of the momentum counts.
///
/// ```text
/// mₜ = β·mₜ₋₁ + (1−β)·gₜ
/// θₜ = θₜ₋₁ − α·sign(mₜ)
/// ```
///
/// Bernstein et al. 2018, "signSGD: Compressed Optimisation for Non-Convex Problems", arXiv:1802.04434, Algorithm 2.
#[derive(Clone)]
struct Signum {
    beta: f64,
}

// What changes from step to step.
named!(Scalars { weight, minus_lr });

impl Rule<1, 0, 2> for Signum {
    const NAME: &'static str = "signum";
    const STATE: [&'static str; 1] = ["m"];

    type Scalars<R: Real> = Scalars<R>;

    /// Formed in f64, once a step, not once an element.
    fn scalars(&self, _: &mut [f64; 0], lr: f64, _: u64) -> Scalars<f64> {
        Scalars { weight: 1.0 - self.beta, minus_lr: -lr }
    }
}

impl OnePass<1, 0, 2> for Signum {
    /// An element's new parameter and state, in f32 or f64.
    #[inline(always)]
    fn update<R: Real>(h: Scalars<R>, theta: R, g: R, [m]: [R; 1]) -> (R, [R; 1]) {
        let m = m.averaged(h.weight, g);
        (theta + h.minus_lr * m.sign(), [m])
    }
}

/// Trains a linear net with it.
pub fn main() -> Result<()> {
    let (images, _) = digits::generate();
    let count = images.labels.len();
    let x = Tensor::from_slice(&images.pixels, (count, 784), &Device::Cpu)?.to_dtype(DType::F32)?;
    let x = (x / 255.0)?;
    let y = Tensor::from_slice(&images.labels, count, &Device::Cpu)?.to_dtype(DType::U32)?;

    let vars = VarMap::new();
    let net = linear(784, 10, VarBuilder::from_varmap(&vars, DType::F32, &Device::Cpu))?;
    let config = OptimizerConfig::rule(Signum { beta: 0.9 }, 3e-3);
    let mut optimizer = Optimizer::new(vars.all_vars(), config)?;

    let mut losses = Vec::new();
    for start in (0..count).step_by(100) {
        let logits = net.forward(&x.narrow(0, start, 100)?)?;
        let loss = candle_nn::loss::cross_entropy(&logits, &y.narrow(0, start, 100)?)?;
        optimizer.backward_step(&loss)?;
        losses.push(loss.to_scalar::<f32>()?);
    }
    for (step, loss) in losses.iter().enumerate().step_by(20) {
        println!("step {:>3}  loss {loss:.4}", step + 1);
    }
    let last = losses[losses.len() - 10..].iter().sum::<f32>() / 10.0;
    println!("the last ten: {last:.4}");
    assert!(last < 0.8, "Signum has not learnt: {last}");
    Ok(())
}
