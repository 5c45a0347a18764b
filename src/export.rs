//! Trained nets in the formats of other programs, a file each; docs/exports.md has the layout of every format.
//!
//! Each carries the image's shape, the names of the classes and the scaling of pixels beside the parameters. Not here: files of the
//! program's own, which are checkpoints and compressed nets.

mod folded;
mod gguf;
mod header;
mod int8;
mod json;
mod npz;
mod onnx;
mod safetensors;

use std::path::Path;

use anyhow::Result;

use crate::amc::{self, Image};
use crate::data::Spec;
use crate::data::numbers::{Numbers, names};
use crate::error::{Exit, Failure};
use crate::kernel::Channel;
use crate::model::Shape;
use crate::run::checkpoint::Checkpoint;
use crate::run::weights::Description;
use crate::train::average;

/// A format of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A graph from pixels to probabilities.
    Onnx,
    /// Tensors under PyTorch's layout, which `--init` reads too.
    Safetensors,
    /// Arrays for numpy.
    Npz,
    /// Tensors as llama.cpp and candle hold them.
    Gguf,
    /// A header for C and C++.
    Header,
    /// Everything as text.
    Json,
}

impl Format {
    /// Endings of files and formats.
    pub const ALL: [(&'static str, Self); 6] = [
        ("onnx", Self::Onnx),
        ("safetensors", Self::Safetensors),
        ("npz", Self::Npz),
        ("gguf", Self::Gguf),
        ("h", Self::Header),
        ("json", Self::Json),
    ];

    /// Its name, which is the ending of its files.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, format)| *format == self).map_or("", |(name, _)| name)
    }

    /// Whether it can hold weights in eight bits.
    pub fn holds_int8(self) -> bool {
        matches!(self, Self::Onnx | Self::Gguf | Self::Header)
    }

    /// Whether that needs images to fit the scales of hidden layers to.
    pub fn needs_images(self) -> bool {
        matches!(self, Self::Onnx | Self::Header)
    }

    /// The format that the ending of a file names.
    ///
    /// # Errors
    /// If it names none ([`Exit::Usage`]).
    pub fn of(path: &Path) -> Result<Self, Failure> {
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
        let known = Self::ALL.iter().find(|(name, _)| *name == ending).map(|(_, format)| *format);
        known.ok_or_else(|| {
            let endings: Vec<String> = Self::ALL.iter().map(|(name, _)| format!("`.{name}`")).collect();
            let found = if ending.is_empty() { "has no ending".to_owned() } else { format!("ends with `.{ending}`") };
            let what = format!("{}: {found}, expected one of {}", path.display(), endings.join(", "));
            Failure::new(Exit::Usage, what).hint("the ending of --to decides the format")
        })
    }
}

/// Type of the pixels that an ONNX graph takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Input {
    /// Bytes.
    #[default]
    U8,
    /// The same numbers, 0 to 255, as floats.
    F32,
}

impl Input {
    /// Names and types.
    pub const ALL: [(&'static str, Self); 2] = [("u8", Self::U8), ("f32", Self::F32)];
}

/// How a file is to be.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// Where it will lie: a C header's names begin with the file's.
    pub path: &'a Path,
    /// Its format.
    pub format: Format,
    /// What an ONNX graph takes.
    pub input: Input,
    /// Weights in eight bits, fitted to these images u8 `[N, D]` where the format needs some.
    pub int8: Option<&'a [u8]>,
}

/// A net in full precision. Hidden layers are ReLU.
#[derive(Clone, Debug, PartialEq)]
pub struct Net {
    /// The data set that it was trained on; empty where it is not known.
    pub dataset: String,
    /// What it looks at.
    pub image: Image,
    /// What an input is.
    pub inputs: Numbers,
    /// Names of the inputs, of a net that looks at a table.
    pub features: Vec<String>,
    /// Names of the classes.
    pub classes: Vec<String>,
    /// How the pixels of each channel become numbers.
    pub channels: Vec<Channel>,
    /// From the pixels to the classes; at least one.
    pub layers: Vec<Layer>,
}

/// An affine layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// Inputs.
    pub inputs: usize,
    /// Outputs.
    pub outputs: usize,
    /// `[out, in]`
    pub weights: Vec<f32>,
    /// `[out]`
    pub biases: Vec<f32>,
}

impl Net {
    /// The net of a checkpoint that errors call `path`, trained on the data set `spec`; with `is_average` the moving average of its
    /// weights.
    ///
    /// # Errors
    /// If a number is not finite, there is no such average, or the data set has other channels ([`Exit::Run`]).
    pub fn of_checkpoint(path: &Path, checkpoint: &Checkpoint, spec: &Spec, is_average: bool) -> Result<Self, Failure> {
        let broken = |what: String| Failure::new(Exit::Run, format!("{}: {what}", path.display()));
        let model = &checkpoint.meta.model;
        if model.scale.len() != spec.channels {
            let (found, expected) = (model.scale.len(), spec.channels);
            return Err(broken(format!("scales {found} channels, but `{}` has {expected}", spec.name)));
        }
        let numbers = |name: String| {
            let name = if is_average { format!("{name}.{}", average::NAME) } else { name };
            let stored = checkpoint.tensors.get(&name).and_then(|stored| stored.data.numbers());
            let absent = || {
                if is_average {
                    broken("holds no moving average of the weights".into())
                        .hint("train with --set train.ema_decay=0.999")
                } else {
                    broken(format!("holds no numbers `{name}`"))
                }
            };
            let numbers = stored.ok_or_else(absent)?;
            match numbers.iter().find(|number| !number.is_finite()) {
                Some(odd) => Err(broken(format!("`{name}` holds {odd}, expected finite numbers"))),
                None => Ok(numbers.to_vec()),
            }
        };
        let layer = |(layer, (inputs, outputs)): (usize, (usize, usize))| {
            let weights = numbers(format!("layers.{layer}.weight"))?;
            let biases = numbers(format!("layers.{layer}.bias"))?;
            Ok(Layer { inputs, outputs, weights, biases })
        };
        Ok(Self {
            dataset: spec.name.clone(),
            image: Image { channels: spec.channels, height: spec.rows, width: spec.columns },
            inputs: spec.numbers,
            features: names(&spec.table),
            classes: spec.classes.clone(),
            channels: model.channels(),
            layers: model.shape.layers().enumerate().map(layer).collect::<Result<_, Failure>>()?,
        })
    }

    /// The net of a compressed file in floats: the file's own inference rounds what goes from layer to layer as well.
    ///
    /// # Errors
    /// If a weight is too large for a float ([`Exit::Run`]).
    pub fn of_compressed(path: &Path, net: &amc::Net) -> Result<Self, Failure> {
        let times = |levels: &[i32], step: f32| levels.iter().map(|&level| level as f32 * step).collect();
        let layer = |layer: &amc::Layer| Layer {
            inputs: layer.inputs,
            outputs: layer.outputs,
            weights: times(&layer.levels, layer.step),
            biases: times(&layer.biases, layer.bias_step),
        };
        let layers: Vec<Layer> = net.layers.iter().map(layer).collect();
        if !layers.iter().flat_map(|layer| layer.weights.iter().chain(&layer.biases)).all(|number| number.is_finite()) {
            let what = format!("{}: holds a weight that is too large for a 32-bit float", path.display());
            return Err(Failure::new(Exit::Run, what));
        }
        Ok(Self {
            dataset: net.dataset.clone(),
            image: net.image,
            inputs: Numbers::Bytes,
            features: Vec::new(),
            classes: net.classes.clone(),
            channels: net.scale.iter().map(|&scale| Channel { scale, shift: 0.0 }).collect(),
            layers,
        })
    }

    /// Widths.
    pub fn shape(&self) -> Shape {
        let widths: Vec<usize> = self.layers.iter().map(|layer| layer.outputs).collect();
        let (classes, hidden) = widths.split_last().map_or((0, &[][..]), |(last, hidden)| (*last, hidden));
        Shape { inputs: self.image.pixels(), hidden: hidden.to_vec(), classes }
    }

    /// What stands beside the parameters.
    pub fn description(&self) -> Description {
        let Image { channels, height, width } = self.image;
        Description {
            dataset: self.dataset.clone(),
            image: [channels, height, width],
            classes: self.classes.clone(),
            scale: self.channels.iter().map(|channel| channel.scale).collect(),
            shift: self.channels.iter().map(|channel| channel.shift).collect(),
            inputs: self.inputs,
            features: self.features.clone(),
        }
    }

    /// The file of the net.
    ///
    /// # Errors
    /// If the net is too large for the format, or the format has no weights in eight bits where they are asked for ([`Exit::Usage`]).
    pub fn to_bytes(&self, request: &Request<'_>) -> Result<Vec<u8>> {
        let Request { path, format, input, int8 } = *request;
        if int8.is_some() && !format.holds_int8() {
            let able: Vec<String> = Format::ALL
                .iter()
                .filter(|(_, format)| format.holds_int8())
                .map(|(name, _)| format!("`.{name}`"))
                .collect();
            let what = format!("--quantize int8 is not for `.{}`, only for {}", format.name(), able.join(", "));
            return Err(Failure::new(Exit::Usage, what).into());
        }
        if int8.is_some() && format.needs_images() && !self.inputs.are_bytes() {
            let what =
                format!("--quantize int8 in a `.{}` is for nets that look at images, not at features", format.name());
            return Err(Failure::new(Exit::Usage, what).hint("leave out --quantize").into());
        }
        let quantized = int8.filter(|_| format.needs_images()).map(|pixels| self.quantized(pixels)).transpose()?;
        match format {
            Format::Onnx => onnx::bytes(self, quantized.as_deref(), input),
            Format::Safetensors => safetensors::bytes(self),
            Format::Npz => npz::bytes(self),
            Format::Gguf => gguf::bytes(self, int8.is_some()),
            Format::Header => header::bytes(self, quantized.as_deref(), path),
            Format::Json => json::bytes(self),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_decides_the_format() {
        assert_eq!(Format::of(Path::new("a.b/net.NPZ")).unwrap(), Format::Npz);
        for (path, found) in [("net", "has no ending"), ("net.pt", "ends with `.pt`"), (".json", "has no ending")] {
            let error = Format::of(Path::new(path)).unwrap_err();
            assert!(
                error.to_string().contains(found) && error.to_string().contains("`.onnx`, `.safetensors`, `.npz`"),
                "{error}"
            );
        }
    }
}
