//! Compressed nets: what an `.amc` file holds, its bytes, and its exact inference. docs/format.md describes the file byte by byte.
//!
//! ```text
//!     accₗ = Σ q·h                        an exact integer: levels q, pixels or hidden outputs h
//!     zₗ   = accₗ·stepₗ·2⁻ᶠ + biasₗ·bias_stepₗ      IEEE double precision, in this order, nothing fused
//!     hₗ   = min(⌊max(z, 0)·2^fₗ + ½⌋, 2²⁰ − 1)     the next layer's integers; f is the layer's `shift`
//! ```
//!
//! Every sum is an integer below 2⁵³, so that order, threads and machine do not matter: predictions are equal bit for bit everywhere.
//!
//! Not here: how levels are found. A caller quantises, builds a [`Net`], and asks for its bytes.

mod build;
mod contexts;
mod file;
mod fixed;
mod learner;
mod numbers;
mod range;
mod simplify;

use std::path::Path;

use crate::error::{Exit, Failure};
use crate::model::Shape;
use crate::read;

pub use build::{FloatLayer, Grid, round_scaled_step, round_step};
pub use file::{LayerBits, Parts, decode, encode, parts};
pub use fixed::first_largest;
pub use simplify::simplify;

/// Every level, bias and hidden output lies below this.
pub const BOUND: i32 = 1 << 20;

/// Most units of a layer, and most pixels.
pub const MOST_WIDTH: usize = 1 << 20;

/// Most weights of a net.
pub const MOST_WEIGHTS: usize = 1 << 26;

/// Most hidden layers.
pub const MOST_HIDDEN: usize = 64;

/// Most bytes of a file that is read.
const MOST_BYTES: u64 = 1 << 28;

/// Pixels as a net takes them: bytes, channel, row, column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Image {
    /// Planes.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl Image {
    /// Number of pixels of all channels.
    pub fn pixels(&self) -> usize {
        self.channels * self.height * self.width
    }
}

/// An affine layer on grids: weight = level · step, bias = its level · its step.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// Inputs.
    pub inputs: usize,
    /// Outputs.
    pub outputs: usize,
    /// Weight of level 1: positive. In the first layer it multiplies pixels 0..=255 (times [`Net::scale`]).
    pub step: f32,
    /// `[out, in]`, each below 2²⁰ in absolute value.
    pub levels: Vec<i32>,
    /// Bias of level 1: positive.
    pub bias_step: f32,
    /// `[out]`, each below 2²⁰ in absolute value.
    pub biases: Vec<i32>,
    /// Hidden outputs are kept in units of 2^−shift, −64..=63; 0 in the last layer. [`Net::fit_shifts`] chooses it.
    pub shift: i32,
}

/// What a file holds. Hidden layers are ReLU.
#[derive(Clone, Debug, PartialEq)]
pub struct Net {
    /// The data set that it was trained on, by its name on the command line; empty where it is not known.
    pub dataset: String,
    /// What it looks at.
    pub image: Image,
    /// Names of the classes.
    pub classes: Vec<String>,
    /// Factor of each channel's sums. Where they would all be the same they are 1 and the factor is part of the first step: always so
    /// with one channel.
    pub scale: Vec<f32>,
    /// From the pixels to the classes; at least one.
    pub layers: Vec<Layer>,
}

impl Net {
    /// Widths.
    pub fn shape(&self) -> Shape {
        let widths: Vec<usize> = self.layers.iter().map(|layer| layer.outputs).collect();
        let (classes, hidden) = widths.split_last().map_or((0, &[][..]), |(last, hidden)| (*last, hidden));
        Shape { inputs: self.image.pixels(), hidden: hidden.to_vec(), classes }
    }

    /// Number of weights that are not 0.
    pub fn nonzero(&self) -> usize {
        self.layers.iter().map(Layer::nonzero).sum()
    }

    /// Reads a file.
    ///
    /// # Errors
    /// If it cannot be read or is not what docs/format.md describes ([`Exit::Run`]).
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let bytes = read::bytes(path, MOST_BYTES).map_err(|error| read::failure(path, &error))?;
        decode(&bytes).map_err(|failure| {
            let named = Failure::new(failure.exit(), format!("{}: {failure}", path.display()));
            named.hint("it is damaged, or of another version: write it again with `adamtrain compress`")
        })
    }

    /// Whether a file begins as these files do, in any version.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn is_file(path: &Path) -> std::io::Result<bool> {
        use std::io::Read as _;
        let mut start = Vec::new();
        read::Steady(read::open(path)?).take(9).read_to_end(&mut start)?;
        // The length of a safetensors header can be these letters; it has 8 bytes, and a brace follows.
        let is_length = start.get(3..) == Some(&[0, 0, 0, 0, 0, b'{'][..]);
        Ok(start.starts_with(&file::MAGIC[..2]) && start.get(2) != Some(&0) && !is_length)
    }

    /// What cannot be, if something is: sizes that do not fit, numbers out of range.
    pub fn defect(&self) -> Option<String> {
        let Image { channels, height, width } = self.image;
        if [channels, height, width].iter().any(|&side| side == 0 || side > MOST_WIDTH)
            || self.image.pixels() > MOST_WIDTH
        {
            return Some(format!("an image of {channels}x{height}x{width} pixels, expected 1 to {MOST_WIDTH}"));
        }
        if self.scale.len() != channels || !self.scale.iter().all(|scale| scale.is_finite()) {
            return Some(format!("{} finite factors of channels, expected {channels}", self.scale.len()));
        }
        if self.layers.is_empty() || self.layers.len() > MOST_HIDDEN + 1 {
            return Some(format!("{} layers, expected 1 to {}", self.layers.len(), MOST_HIDDEN + 1));
        }
        let outputs = self.layers.last().map_or(0, |layer| layer.outputs);
        if self.classes.len() != outputs {
            return Some(format!("{} names of classes, expected {outputs}", self.classes.len()));
        }
        let total: usize = self.layers.iter().map(|layer| layer.levels.len()).fold(0, usize::saturating_add);
        if total > MOST_WEIGHTS {
            return Some(format!("{total} weights, expected at most {MOST_WEIGHTS}"));
        }
        if outputs > 1 << 16 || self.classes.iter().chain([&self.dataset]).any(|name| name.len() > 255) {
            return Some("more than 65536 classes, or a name of more than 255 bytes".into());
        }
        let mut inputs = self.image.pixels();
        for (index, layer) in self.layers.iter().enumerate() {
            if let Some(defect) = layer.defect(inputs, index == 0) {
                return Some(format!("layer {index} has {defect}"));
            }
            inputs = layer.outputs;
        }
        None
    }

    /// Refuses a net that cannot be.
    ///
    /// # Errors
    /// With [`Net::defect`] ([`Exit::Run`]).
    pub fn expect_sound(&self) -> Result<(), Failure> {
        self.defect().map_or(Ok(()), |defect| Err(Failure::new(Exit::Run, defect)))
    }
}

impl Layer {
    /// Number of weights that are not 0.
    pub fn nonzero(&self) -> usize {
        self.levels.iter().filter(|level| **level != 0).count()
    }

    fn defect(&self, inputs: usize, is_first: bool) -> Option<String> {
        let Self { outputs, step, bias_step, shift, .. } = *self;
        if self.inputs != inputs || outputs == 0 || outputs > MOST_WIDTH {
            return Some(format!(
                "{} inputs and {outputs} outputs, expected {inputs} and 1 to {MOST_WIDTH}",
                self.inputs
            ));
        }
        if self.levels.len() != inputs * outputs || self.biases.len() != outputs {
            let (levels, biases) = (self.levels.len(), self.biases.len());
            return Some(format!("{levels} weights and {biases} biases, expected {inputs}x{outputs} and {outputs}"));
        }
        if ![step, bias_step].iter().all(|step| step.is_normal() && *step > 0.0) {
            return Some(format!("steps {step:e} and {bias_step:e}, expected positive normal numbers"));
        }
        if !(-64..=63).contains(&shift) {
            return Some(format!("a shift of {shift}, expected -64 to 63"));
        }
        let largest = self.levels.iter().chain(&self.biases).map(|level| level.unsigned_abs()).max().unwrap_or(0);
        if largest >= BOUND.unsigned_abs() {
            return Some(format!("a level of {largest}, expected less than {BOUND}"));
        }
        // A pixel is below 2⁸, a hidden output below 2²⁰, and a sum must be below 2⁵³.
        let most = 1_u64 << if is_first { 45 } else { 33 };
        let sum = |row: &[i32]| row.iter().map(|level| u64::from(level.unsigned_abs())).sum::<u64>();
        let largest = self.levels.chunks_exact(inputs).map(sum).max().unwrap_or(0);
        (largest > most).then(|| format!("a unit whose levels sum to {largest}, expected at most {most}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, Stream};

    /// A net of odd sizes: no or several hidden layers, one or several channels, sparse or dense, ternary or floats.
    pub(super) fn random_net(seed: u64) -> Net {
        let mut random = Stream::new(seed, Purpose::Weights, 77);
        let mut below = |bound: u32| random.below(bound);
        let image = Image {
            channels: [1, 1, 3][below(3) as usize],
            height: 1 + below(9) as usize,
            width: 1 + below(9) as usize,
        };
        let mut widths = vec![image.pixels()];
        widths.extend((0..below(4)).map(|_| 1 + below(20) as usize));
        let classes = if seed.is_multiple_of(9) { 1 } else { 2 + below(9) as usize };
        let mut layers = Vec::new();
        widths.push(classes);
        for (index, pair) in widths.windows(2).enumerate() {
            let most = [1, 3, 7, 127, BOUND as u32 - 1][below(5) as usize];
            let keep = [0, 1, 10, 50, 100][below(5) as usize];
            let mut level = |keep: u32| {
                let size = if below(100) < keep { 1 + below(most) as i32 } else { 0 };
                if below(2) == 0 { -size } else { size }
            };
            layers.push(Layer {
                inputs: pair[0],
                outputs: pair[1],
                levels: (0..pair[0] * pair[1]).map(|_| level(keep)).collect(),
                biases: (0..pair[1]).map(|_| level(70)).collect(),
                step: 2_f32.powi(-8) * (1 + below(7)) as f32 / most as f32,
                bias_step: round_step(0.01 + below(100) as f32 / most as f32),
                shift: if index + 2 < widths.len() { below(20) as i32 } else { 0 },
            });
        }
        let is_plain = image.channels == 1 || below(2) == 0;
        let scale = (0..image.channels).map(|_| if is_plain { 1.0 } else { 0.5 + below(100) as f32 / 70.0 }).collect();
        let numbers = || (0..classes).map(|class| class.to_string()).collect();
        let names = || (0..classes).map(|class| format!("class {class} ü")).collect();
        let dataset = ["", "mnist", "a data set"][below(3) as usize].into();
        Net { dataset, image, classes: if below(2) == 0 { numbers() } else { names() }, scale, layers }
    }

    pub(super) fn random_pixels(net: &Net, images: usize) -> Vec<u8> {
        let mut random = Stream::new(images as u64, Purpose::Order, 5);
        (0..images * net.image.pixels()).map(|_| random.below(256) as u8).collect()
    }

    #[test]
    fn a_file_holds_the_net() {
        for seed in 0..300 {
            let net = random_net(seed);
            assert_eq!(net.defect(), None);
            let bytes = encode(&net).unwrap();
            let read = decode(&bytes).unwrap();
            let pixels = random_pixels(&net, 5);
            assert_eq!(read.logits(&pixels), net.logits(&pixels), "seed {seed}");
            assert_eq!(read, net.arranged(), "seed {seed}");
            assert_eq!(encode(&read).unwrap(), bytes, "seed {seed}");
            let parts = parts(&read).unwrap();
            assert!(parts.bytes().abs_diff(bytes.len()) <= 2, "{} {}", parts.bytes(), bytes.len());
        }
    }

    #[test]
    fn known_data_sets_take_three_bits() {
        let layer = Layer {
            inputs: 784,
            outputs: 10,
            step: 1.0,
            levels: vec![0; 7840],
            bias_step: 1.0,
            biases: vec![0; 10],
            shift: 0,
        };
        let image = Image { channels: 1, height: 28, width: 28 };
        let classes = (0..10).map(|class| class.to_string()).collect();
        let net = Net { dataset: "mnist".into(), image, classes, scale: vec![1.0], layers: vec![layer] };
        let bytes = encode(&net).unwrap();
        assert!(bytes.len() < 40, "{}", bytes.len());
        assert_eq!(decode(&bytes).unwrap(), net);
    }

    #[test]
    fn mutated_files_are_refused_or_read() {
        let seeds: Vec<Vec<u8>> = (0..20).map(|seed| encode(&random_net(seed)).unwrap()).collect();
        let mut number = 0;
        crate::fuzz::run("amc", &seeds, |bytes| {
            number += 1;
            let repaired = (number % 4 > 0).then(|| file::with_check_sum(bytes)).flatten();
            let Ok(net) = decode(repaired.as_deref().unwrap_or(bytes)) else { return false };
            assert_eq!(net.defect(), None);
            if net.image.pixels() < 1000 {
                net.logits(&random_pixels(&net, 1));
            }
            true
        });
    }
}
