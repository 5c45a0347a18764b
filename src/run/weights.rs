//! Weights alone in a safetensors file: of a `torch.nn.Sequential` of `Linear` and `ReLU`, or under this program's names.
//!
//! ```text
//! 0.weight  0.bias  2.weight  2.bias …                           state_dict() of nn.Sequential, which counts the ReLUs too
//! layers.0.weight  layers.0.bias  layers.1.weight …              what `adamtrain export` writes
//! __metadata__.adamtrain_net                                     there only: see `Description`
//! ```
//!
//! Each is f32, `[out, in]` and `[out]`. A file that holds anything else, or less, is refused by name. Checkpoints are read elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use super::checkpoint::{self, Checkpoint, Elements, MOST_HEADER, Numbers};
use crate::data::numbers::Numbers as Inputs;
use crate::error::{Exit, Failure};
use crate::kernel::Channel;
use crate::model::Shape;
use crate::read;

/// The metadata key of a [`Description`].
pub const KEY: &str = "adamtrain_net";

/// What a net looks at and tells apart, as it stands in files for other programs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Description {
    /// The data set that it was trained on; empty where it is not known.
    pub dataset: String,
    /// Channels, rows and columns of an image; its bytes lie in this order.
    pub image: [usize; 3],
    /// Names of the classes.
    pub classes: Vec<String>,
    /// Factor on the pixels 0..=255 of each channel.
    pub scale: Vec<f32>,
    /// Added to the product.
    pub shift: Vec<f32>,
    /// What an input is.
    #[serde(default, skip_serializing_if = "Inputs::are_bytes")]
    pub inputs: Inputs,
    /// Names of the inputs, of a net that looks at a table.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<String>,
}

/// What a net begins with.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    /// Parameters by this program's names.
    pub tensors: BTreeMap<String, Numbers>,
    /// How pixels became inputs where they were trained; none where the file does not say.
    pub channels: Option<Vec<Channel>>,
}

impl Weights {
    /// Those of a checkpoint.
    pub fn of(checkpoint: Checkpoint) -> Self {
        let channels = Some(checkpoint.meta.model.channels());
        let names = checkpoint.meta.model.shape.parameter_names();
        let mut all = checkpoint.tensors;
        let tensors = names.into_iter().filter_map(|name| all.remove_entry(&name)).collect();
        Self { tensors, channels }
    }

    /// Reads the weights of a net of this shape; none where `path` is no safetensors file, or a checkpoint.
    ///
    /// # Errors
    /// If the file cannot be read, memory does not suffice, or it holds other tensors than the net has ([`Exit::Run`]).
    pub fn read(path: &Path, shape: &Shape) -> Result<Option<Self>, Failure> {
        let unreadable = |error: std::io::Error| read::failure(path, &error);
        if !read::is_file(path).map_err(unreadable)? {
            return Ok(None);
        }
        // What is no such file at all is told by who reads checkpoints.
        let Ok(bytes) = checkpoint::read_bytes(path, MOST_HEADER).map_err(unreadable)? else { return Ok(None) };
        let is_checkpoint = SafeTensors::read_metadata(&bytes)
            .ok()
            .is_none_or(|(_, found)| found.metadata().as_ref().is_some_and(|keys| keys.contains_key(checkpoint::KEY)));
        if is_checkpoint {
            return Ok(None);
        }
        Self::from_bytes(&path.display().to_string(), &bytes, shape).map(Some)
    }

    /// The weights in the bytes of a file that errors call `file`.
    ///
    /// # Errors
    /// As [`Weights::read`].
    pub fn from_bytes(file: &str, bytes: &[u8], shape: &Shape) -> Result<Self, Failure> {
        let broken = |what: String| Failure::new(Exit::Run, format!("{file}: {what}"));
        let damaged = |error| broken(format!("is damaged: {error}"));
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
        let found = SafeTensors::deserialize(bytes).map_err(damaged)?;
        let description = metadata.metadata().as_ref().and_then(|keys| keys.get(KEY));
        let channels = description.map(|text| {
            let Description { scale, shift, .. } = serde_json::from_str(text)
                .map_err(|error| broken(format!("is damaged: its metadata `{KEY}` is broken: {error}")))?;
            Ok(scale.into_iter().zip(shift).map(|(scale, shift)| Channel { scale, shift }).collect())
        });

        let mut names = found.names();
        names.sort_unstable();
        let theirs = names_of(&names, shape).map_err(broken)?;
        let fit = "choose --hidden and --dataset so that the net has the layers of the file";
        if let Some(name) = names.iter().find(|name| !theirs.iter().any(|known| known == *name)) {
            return Err(broken(format!("holds a tensor `{name}`, which the net {shape} does not have")).hint(fit));
        }
        let shapes = shape.layers().flat_map(|(inputs, outputs)| [vec![outputs, inputs], vec![outputs]]);
        let mut tensors = BTreeMap::new();
        for ((name, own), expected) in theirs.iter().zip(shape.parameter_names()).zip(shapes) {
            let missing = |_| broken(format!("holds no tensor `{name}`, which the net {shape} has")).hint(fit);
            let tensor = found.tensor(name).map_err(missing)?;
            if tensor.dtype() != Dtype::F32 || tensor.shape() != expected {
                let (dtype, dims) = (tensor.dtype(), tensor.shape());
                let is_turned = dims.iter().rev().eq(&expected) && dims.len() == 2;
                let hint = match dtype {
                    Dtype::F32 if is_turned => "store it as torch.nn.Linear has it, [out, in]",
                    Dtype::F32 => fit,
                    _ => "store it in 32-bit floats: net.float().state_dict()",
                };
                let what = format!("`{name}` is {dtype:?} {dims:?}, expected F32 {expected:?}");
                return Err(broken(what).hint(hint));
            }
            let (words, _) = tensor.data().as_chunks::<4>();
            let numbers: Vec<f32> = words.iter().map(|word| f32::from_le_bytes(*word)).collect();
            if let Some(odd) = numbers.iter().find(|number| !number.is_finite()) {
                return Err(broken(format!("`{name}` holds {odd}, expected finite numbers")));
            }
            tensors.insert(own, Numbers { shape: expected, data: Elements::F32(numbers) });
        }
        Ok(Self { tensors, channels: channels.transpose()? })
    }
}

/// The names that the parameters of a net have in a file with these names, in the order of [`Shape::parameter_names`].
fn names_of(names: &[&str], shape: &Shape) -> Result<Vec<String>, String> {
    if names.is_empty() {
        return Err("holds no tensors".into());
    }
    if names.iter().any(|name| name.starts_with("layers.")) {
        return Ok(shape.parameter_names());
    }
    let mut places = BTreeSet::new();
    for name in names {
        let place = name.strip_suffix(".weight").or(name.strip_suffix(".bias"));
        let place = place.and_then(|digits| digits.parse::<u32>().ok().filter(|place| place.to_string() == digits));
        let expected = "expected those of a torch.nn.Sequential (`0.weight`, `0.bias`, `2.weight`, …) or of \
                        `adamtrain export` (`layers.0.weight`, `layers.0.bias`, …)";
        places.insert(place.ok_or_else(|| format!("holds a tensor `{name}`, {expected}"))?);
    }
    let mut before = None;
    for &place in &places {
        if place > 0 && before == Some(place - 1) {
            let (first, second) = (format!("{}.weight", place - 1), format!("{place}.weight"));
            return Err(format!("`{second}` follows `{first}` at once, expected a ReLU between the layers"));
        }
        before = Some(place);
    }
    // Layers that the file does not have are named as if they came next.
    let next = (1..).map(|layer| before.unwrap_or(0).saturating_add(2 * layer));
    let places = places.iter().copied().chain(next).take(shape.hidden.len() + 1);
    Ok(places.flat_map(|place| ["weight", "bias"].map(|part| format!("{place}.{part}"))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn shape() -> Shape {
        Shape { inputs: 3, hidden: vec![2], classes: 4 }
    }

    type Tensor<'a> = (&'a str, Dtype, &'a [usize]);

    /// A file of these tensors, each of which holds 0, 1, 2, ….
    fn file(tensors: &[Tensor<'_>], metadata: Option<&str>) -> Vec<u8> {
        let bytes = |(_, dtype, dims): &Tensor<'_>| -> Vec<u8> {
            let count = dims.iter().product::<usize>();
            let size = dtype.bitsize() / 8;
            (0..count).flat_map(|i| (i as f32).to_le_bytes().repeat(2)[..size].to_vec()).collect()
        };
        let data: Vec<Vec<u8>> = tensors.iter().map(bytes).collect();
        let views = tensors.iter().zip(&data).map(|((name, dtype, dims), data)| {
            (*name, safetensors::tensor::TensorView::new(*dtype, dims.to_vec(), data).unwrap())
        });
        let metadata = metadata.map(|text| HashMap::from([(KEY.to_owned(), text.to_owned())]));
        safetensors::serialize(views, metadata).unwrap()
    }

    const TORCH: [Tensor<'_>; 4] = [
        ("0.weight", Dtype::F32, &[2, 3]),
        ("0.bias", Dtype::F32, &[2]),
        ("2.weight", Dtype::F32, &[4, 2]),
        ("2.bias", Dtype::F32, &[4]),
    ];

    const OWN: [Tensor<'_>; 4] = [
        ("layers.0.weight", Dtype::F32, &[2, 3]),
        ("layers.0.bias", Dtype::F32, &[2]),
        ("layers.1.weight", Dtype::F32, &[4, 2]),
        ("layers.1.bias", Dtype::F32, &[4]),
    ];

    #[test]
    fn both_ways_of_naming_are_read() {
        let torch = Weights::from_bytes("file", &file(&TORCH, None), &shape()).unwrap();
        assert_eq!(
            torch.tensors.keys().cloned().collect::<BTreeSet<_>>(),
            shape().parameter_names().into_iter().collect()
        );
        assert_eq!(torch.tensors["layers.1.weight"].data.numbers().unwrap(), [0., 1., 2., 3., 4., 5., 6., 7.]);
        assert_eq!(torch, Weights::from_bytes("file", &file(&OWN, None), &shape()).unwrap());
        // A layer in front, or others between, move the places.
        let moved = TORCH.map(|(name, dtype, dims)| (name.replace('2', "11").replace('0', "7"), dtype, dims));
        let moved: Vec<_> = moved.iter().map(|(name, dtype, dims)| (name.as_str(), *dtype, *dims)).collect();
        assert_eq!(torch, Weights::from_bytes("file", &file(&moved, None), &shape()).unwrap());
        let told = r#"{"dataset":"","image":[1,1,3],"classes":[],"scale":[2],"shift":[1]}"#;
        let told = Weights::from_bytes("file", &file(&OWN, Some(told)), &shape()).unwrap();
        assert_eq!(told.channels, Some(vec![Channel { scale: 2.0, shift: 1.0 }]));
    }

    #[test]
    fn what_does_not_fit_is_refused_by_name() {
        let with = |at: usize, tensor| {
            let mut tensors = TORCH.to_vec();
            tensors[at] = tensor;
            tensors
        };
        let more = |name| [TORCH.to_vec(), vec![(name, Dtype::F32, &[4_usize, 4][..])]].concat();
        let table: [(Vec<Tensor<'_>>, &[&str]); 13] = [
            (vec![], &["no tensors"]),
            (TORCH[..3].to_vec(), &["holds no tensor `2.bias`"]),
            (TORCH[..2].to_vec(), &["holds no tensor `2.weight`"]),
            (OWN[1..].to_vec(), &["holds no tensor `layers.0.weight`"]),
            (more("4.weight"), &["a tensor `4.weight`, which the net 3-2-4 does not have"]),
            (more("1.weight"), &["`1.weight` follows `0.weight`"]),
            (more("conv.weight"), &["`conv.weight`", "torch.nn.Sequential"]),
            (more("02.weight"), &["`02.weight`"]),
            (more("layers.0.weight"), &["`0.bias`"]),
            (with(0, ("0.weight", Dtype::F32, &[3, 2])), &["`0.weight` is F32 [3, 2], expected F32 [2, 3]"]),
            (with(3, ("2.bias", Dtype::F32, &[4, 1])), &["`2.bias` is F32 [4, 1], expected F32 [4]"]),
            (with(0, ("0.weight", Dtype::F64, &[2, 3])), &["`0.weight` is F64"]),
            (with(0, ("0.weight", Dtype::F16, &[2, 3])), &["`0.weight` is F16"]),
        ];
        for (tensors, words) in table {
            let error = Weights::from_bytes("file", &file(&tensors, None), &shape()).unwrap_err();
            assert_eq!(error.exit(), Exit::Run);
            assert!(words.iter().all(|word| error.to_string().contains(word)), "{error}: {words:?}");
        }
        let mut bytes = file(&TORCH, None);
        let end = bytes.len();
        bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
        assert!(Weights::from_bytes("file", &bytes, &shape()).unwrap_err().to_string().contains("NaN"));
        assert!(Weights::from_bytes("file", &file(&OWN, Some("{}")), &shape()).unwrap_err().to_string().contains(KEY));
    }

    #[test]
    fn mutated_files_are_refused_or_read_and_nothing_else() {
        let told = r#"{"dataset":"","image":[1,1,3],"classes":[],"scale":[2],"shift":[1]}"#;
        let seeds = [file(&TORCH, None), file(&OWN, Some(told))];
        crate::fuzz::run("weights", &seeds, |bytes| Weights::from_bytes("file", bytes, &shape()).is_ok());
        let folder = crate::fuzz::folder();
        let path = folder.path().join("file");
        crate::fuzz::run("weights file", &seeds, |bytes| {
            std::fs::write(&path, bytes).unwrap();
            matches!(Weights::read(&path, &shape()), Ok(Some(_)))
        });
    }
}
