//! From parameters as they were trained to levels, and back.

use super::fixed::power_of_two;
use super::{BOUND, Image, Layer, Net};
use crate::error::{Exit, Failure};
use crate::kernel::Channel;

/// Bits of a short step behind the first.
const SHORT: u32 = 5;

/// A layer in 32-bit floats, as it was trained.
#[derive(Clone, Debug)]
pub struct FloatLayer {
    /// `[out, in]`
    pub weights: Vec<f32>,
    /// `[out]`
    pub biases: Vec<f32>,
    /// What they become.
    pub grid: Grid,
}

/// To which numbers weights and biases are rounded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Grid {
    /// Multiples of a step: of the weights as they were trained, before the pixels' scale is folded in, and of the biases.
    Steps {
        /// Of the weights.
        step: f32,
        /// Of the biases.
        bias_step: f32,
    },
    /// This many significant bits: 8 of a bf16, 11 of an f16. Then multiples of the power of two at which the largest is just below
    /// 2²⁰: small numbers have fewer bits, and an f32 keeps 20.
    Floats {
        /// Bits, with the first.
        significant: u32,
    },
}

/// The nearest step that takes few bits in a file: within 1.6 %.
pub fn round_step(step: f32) -> f32 {
    rounded(f64::from(step), SHORT + 1) as f32
}

/// The step near `step` whose product with the pixels' scale takes few bits: for the first layer of a net with one channel.
pub fn round_scaled_step(step: f32, scale: f32) -> f32 {
    round_step(step * scale) / scale
}

/// `x` with this many significant bits.
fn rounded(x: f64, significant: u32) -> f64 {
    if x == 0.0 || !x.is_finite() {
        return x;
    }
    let exponent = ((x.to_bits() >> 52) & 0x7ff) as i32 - 1023;
    let unit = power_of_two((exponent - significant as i32 + 1).max(-1022));
    (x / unit).round() * unit
}

impl Grid {
    /// Step of numbers whose largest is this.
    fn step_of(self, numbers: &[f64], asked: f32) -> f64 {
        match self {
            Self::Steps { .. } => f64::from(asked),
            Self::Floats { significant } => {
                let largest = numbers.iter().fold(0.0_f64, |most, x| most.max(rounded(*x, significant).abs()));
                let is_above = |shift: &i32| (largest * power_of_two(*shift)).round() >= f64::from(BOUND);
                power_of_two(-(-100..=100).rev().find(|shift| !is_above(shift)).unwrap_or(-100).min(100))
            }
        }
    }

    /// Levels of these numbers.
    fn levels(self, numbers: &[f64], step: f64) -> Result<Vec<i32>, Failure> {
        let level = |&x: &f64| {
            let x = match self {
                Self::Steps { .. } => x,
                Self::Floats { significant } => rounded(x, significant),
            };
            let level = (x / step).round();
            let fits = level.abs() < f64::from(BOUND);
            let what =
                || Failure::new(Exit::Run, format!("{x:e} is {level:e} steps of {step:e}, expected less than {BOUND}"));
            fits.then_some(level as i32).ok_or_else(what)
        };
        numbers.iter().map(level).collect()
    }
}

impl Net {
    /// The net of trained layers: levels found, the pixels' scale and shift folded in, shifts at 0: see [`Net::fit_shifts`].
    ///
    /// # Errors
    /// If a number is not finite or too large for its grid, or sizes do not fit ([`Exit::Run`]).
    pub fn from_parameters(
        dataset: &str,
        image: Image,
        classes: &[String],
        channels: &[Channel],
        layers: &[FloatLayer],
    ) -> Result<Self, Failure> {
        let is_one = channels.windows(2).all(|pair| pair[0].scale == pair[1].scale);
        let folded = if is_one { channels.first().map_or(1.0, |channel| channel.scale) } else { 1.0 };
        let scale = channels.iter().map(|channel| if is_one { 1.0 } else { channel.scale }).collect();
        let mut built = Vec::new();
        for (index, FloatLayer { weights, biases, grid }) in layers.iter().enumerate() {
            let (step, bias_step) = match *grid {
                Grid::Steps { step, bias_step } => (step, bias_step),
                Grid::Floats { .. } => (0.0, 0.0),
            };
            let outputs = biases.len();
            let inputs = weights.len() / outputs.max(1);
            let weights: Vec<f64> = weights.iter().map(|&weight| f64::from(weight)).collect();
            let step = grid.step_of(&weights, step);
            let levels = grid.levels(&weights, step)?;
            let mut biases: Vec<f64> = biases.iter().map(|&bias| f64::from(bias)).collect();
            if index == 0 && inputs > 0 && inputs.is_multiple_of(channels.len().max(1)) {
                let plane = inputs / channels.len().max(1);
                for (bias, row) in biases.iter_mut().zip(levels.chunks_exact(inputs)) {
                    let shifts = row.iter().enumerate();
                    let shift =
                        |(input, &q): (usize, &i32)| f64::from(q) * step * f64::from(channels[input / plane].shift);
                    *bias += shifts.map(shift).sum::<f64>();
                }
            }
            // What the pixels' shift adds may be far larger than the biases that the step was made for.
            let largest = biases.iter().fold(0.0_f64, |most, bias| most.max(bias.abs()));
            let least = round_step((1.05 * largest / f64::from(BOUND)) as f32);
            let bias_step = grid.step_of(&biases, bias_step.max(least));
            let step = if index == 0 { snapped(step * f64::from(folded)) } else { step as f32 };
            let biases = grid.levels(&biases, bias_step)?;
            built.push(Layer { inputs, outputs, step, levels, bias_step: bias_step as f32, biases, shift: 0 });
        }
        let net = Self { dataset: dataset.into(), image, classes: classes.into(), scale, layers: built };
        net.expect_sound()?;
        Ok(net)
    }

    /// Weights `[out, in]` and biases `[out]` by PyTorch's names, with their shapes: of a net that takes pixels 0..=255 as they are.
    pub fn parameters(&self) -> Vec<(String, Vec<usize>, Vec<f32>)> {
        let plane = self.image.pixels() / self.scale.len();
        let of_layer = |(index, layer): (usize, &Layer)| {
            let scale = |input: usize| if index == 0 { f64::from(self.scale[input / plane]) } else { 1.0 };
            let weight = |(place, &level): (usize, &i32)| {
                (f64::from(level) * f64::from(layer.step) * scale(place % layer.inputs)) as f32
            };
            let bias = |&level: &i32| (f64::from(level) * f64::from(layer.bias_step)) as f32;
            let weights = layer.levels.iter().enumerate().map(weight).collect();
            let biases = layer.biases.iter().map(bias).collect();
            [
                (format!("layers.{index}.weight"), vec![layer.outputs, layer.inputs], weights),
                (format!("layers.{index}.bias"), vec![layer.outputs], biases),
            ]
        };
        self.layers.iter().enumerate().flat_map(of_layer).collect()
    }
}

/// A short step where one is as near as 32-bit floats tell.
fn snapped(step: f64) -> f32 {
    let short = rounded(step, SHORT + 1);
    if ((short - step) / step).abs() < 1e-6 { short as f32 } else { step as f32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(grid: Grid, channels: &[Channel], weights: &[f32]) -> Net {
        let inputs = channels.len() * 4;
        let image = Image { channels: channels.len(), height: 2, width: 2 };
        let classes = ["a".to_owned(), "b".to_owned()];
        let layer = FloatLayer { weights: weights[..2 * inputs].to_vec(), biases: vec![0.5, -0.25], grid };
        Net::from_parameters("", image, &classes, channels, &[layer]).unwrap()
    }

    #[test]
    fn the_fixed_net_computes_what_was_trained() {
        let weights: Vec<f32> = (0..24).map(|k| ((k * 7 % 11) as f32 - 5.0) / 16.0).collect();
        let one = [Channel { scale: 1.0 / 200.0, shift: -0.5 }];
        let three = [1.0, 2.0, 3.0].map(|k| Channel { scale: k / 255.0, shift: -k / 4.0 });
        let steps = Grid::Steps { step: 1.0 / 16.0, bias_step: 1.0 / 1024.0 };
        for (channels, grid) in [(&one[..], steps), (&three, steps), (&one, Grid::Floats { significant: 11 })] {
            let net = net(grid, channels, &weights);
            let inputs = net.image.pixels();
            let pixels: Vec<u8> = (0..inputs).map(|k| (k * 37 % 256) as u8).collect();
            for (class, logit) in net.logits(&pixels).into_iter().enumerate() {
                let row = &weights[class * inputs..][..inputs];
                let x = |input: usize| channels[input / 4].scale * f32::from(pixels[input]) + channels[input / 4].shift;
                let expected = [0.5, -0.25][class] + (0..inputs).map(|input| row[input] * x(input)).sum::<f32>();
                assert!((logit - f64::from(expected)).abs() < 6e-4, "{logit} {expected}");
            }
            let parameters = net.parameters();
            let factor = f64::from(parameters[0].2[0]) / f64::from(weights[0]);
            assert!((factor / f64::from(channels[0].scale) - 1.0).abs() < 1e-3, "{factor}");
        }
    }

    #[test]
    fn short_steps_are_near_and_short() {
        for k in 1..500 {
            let step = 1.7e-3 * k as f32;
            let short = round_step(step);
            assert!((short / step - 1.0).abs() <= 1.0 / 64.0, "{step} {short}");
            assert_eq!(short.to_bits() & 0x3_ffff, 0);
            let scale = 1.0 / 255.0 / 0.3081;
            let folded = f64::from(round_scaled_step(step, scale)) * f64::from(scale);
            assert_eq!(snapped(folded).to_bits() & 0x3_ffff, 0);
        }
    }

    #[test]
    fn biases_far_smaller_than_what_the_shift_adds_are_held() {
        let channels = [Channel { scale: 1.0 / 255.0, shift: -0.5 }];
        let image = Image { channels: 1, height: 1, width: 1 };
        let grid = Grid::Steps { step: 1.0 / 128.0, bias_step: 1e-12 };
        let layer = FloatLayer { weights: vec![0.75], biases: vec![1e-9], grid };
        let net = Net::from_parameters("", image, &["a".into()], &channels, &[layer]).unwrap();
        assert!((net.logits(&[0])[0] + 0.375).abs() < 1e-5, "{:?}", net.logits(&[0]));
    }

    #[test]
    fn numbers_that_no_level_can_hold_are_refused() {
        let channels = [Channel { scale: 1.0, shift: 0.0 }];
        let image = Image { channels: 1, height: 1, width: 1 };
        for weight in [f32::NAN, f32::INFINITY, 1e9] {
            let grid = Grid::Steps { step: 1e-3, bias_step: 1e-3 };
            let layer = FloatLayer { weights: vec![weight], biases: vec![0.0], grid };
            assert!(Net::from_parameters("", image, &["a".into()], &channels, &[layer]).is_err());
        }
    }
}
