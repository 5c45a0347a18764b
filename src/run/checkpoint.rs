//! Checkpoints: one safetensors file with the tensors under PyTorch's names, and one metadata key with the rest as JSON.
//!
//! ```text
//! layers.0.weight    f32 [out, in]     the parameter, as torch.nn.Linear holds it
//! layers.0.weight.m  f32 [out, in]     Adam's moments
//! layers.0.weight.v  f32 [out, in]
//! __metadata__.adamtrain               see `Meta`
//! ```
//!
//! Moments kept as codes of 8 or 4 bits stand there as codes, with a scale for each block of [`BLOCK`] elements in their order:
//!
//! ```text
//! layers.0.weight.m.codes   u8 [bytes]    see `rule::code`
//! layers.0.weight.m.scales  f32 [blocks]
//! ```
//!
//! Parameters are those of the point at which the net is evaluated; a schedule-free optimizer keeps its training point as state.
//!
//! One key, since several would be written in an order that changes from run to run. The file of a step is a function of the
//! run alone but for the seconds in it.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::io::{ErrorKind, Read as _};
use std::path::Path;

use anyhow::{Context as _, Result};
use candle_core::{DType, Tensor};
use safetensors::tensor::{Dtype, SafeTensors, View};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::write::replace;
use crate::data::Description;
use crate::digest::hex;
use crate::error::{Exit, Failure};
use crate::kernel::{Channel, lend, lend_mut};
use crate::model::Shape;
use crate::optim::{CODES, COL, LEFT, RIGHT, ROW, SCALES};
use crate::read;
use crate::rule::code::{BLOCK, Bits};
use crate::train::{Progress, quantizer};

/// Version of the format; a reader refuses any other.
pub const FORMAT: u32 = 2;

/// The metadata key of a checkpoint.
pub(super) const KEY: &str = "adamtrain";

/// A header longer than this is none of ours: the configuration, the columns of a table and a few lines per tensor stay below.
pub(super) const MOST_HEADER: u64 = 1 << 24;

/// What a checkpoint holds beside tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Meta {
    /// [`FORMAT`].
    pub format: u32,
    /// Version of the program that wrote it.
    pub version: String,
    /// The net, and how pixels become its inputs.
    pub model: Model,
    /// What the net was trained on.
    pub data: DataId,
    /// Digest of the teacher that it learnt from, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teacher: Option<String>,
    /// The optimizer.
    pub optimizer: OptimizerState,
    /// Where the run stood.
    pub progress: Progress,
    /// Every setting of the run, as text.
    pub config: BTreeMap<String, String>,
    /// sha256 of the settings that decide what the run computes.
    pub config_hash: String,
    /// sha256 of the tensor bytes, in the order of the file.
    pub sha256: String,
    /// sha256 of this metadata as text, with this field empty.
    pub meta_sha256: String,
}

impl Meta {
    /// The metadata as text, with its own digest filled in.
    fn to_text(&self) -> Result<String, serde_json::Error> {
        let mut meta = Self { meta_sha256: String::new(), ..self.clone() };
        let mut hash = Sha256::new();
        hash.update(serde_json::to_string(&meta)?);
        meta.meta_sha256 = hex(hash);
        serde_json::to_string(&meta)
    }

    /// What cannot be, if something is.
    fn defect(&self) -> Option<String> {
        let Shape { inputs, hidden, classes } = &self.model.shape;
        let channels = self.model.scale.len();
        let mut numbers = self.model.scale.iter().chain(&self.model.shift);
        if *inputs == 0 || *classes == 0 || hidden.contains(&0) {
            return Some("a width of its net is 0".into());
        }
        if channels == 0 || channels != self.model.shift.len() || inputs % channels != 0 {
            return Some(format!("its {inputs} inputs do not divide into {channels} channels"));
        }
        if !numbers.all(|number| number.is_finite()) {
            return Some("the scale of its channels is not finite".into());
        }
        let Progress { step, skipped, .. } = self.progress;
        let begins_anew = self.config.get("prune.method").is_some_and(|method| method == "iterative");
        let taken = self.optimizer.steps.checked_add(skipped);
        (taken != Some(step) && !(begins_anew && taken.is_some_and(|taken| taken < step)))
            .then(|| format!("its optimizer stands at step {}, its run at {step}", self.optimizer.steps))
    }
}

/// The net of a checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// Widths.
    #[serde(flatten)]
    pub shape: Shape,
    /// Factor on the pixels 0..=255 of each channel.
    pub scale: Vec<f32>,
    /// Added to the product.
    pub shift: Vec<f32>,
}

impl Model {
    /// Describes a net.
    pub fn new(shape: Shape, channels: &[Channel]) -> Self {
        Self {
            shape,
            scale: channels.iter().map(|channel| channel.scale).collect(),
            shift: channels.iter().map(|channel| channel.shift).collect(),
        }
    }

    /// The normalisation of each channel.
    pub fn channels(&self) -> Vec<Channel> {
        let pairs = self.scale.iter().zip(&self.shift);
        pairs.map(|(&scale, &shift)| Channel { scale, shift }).collect()
    }
}

/// The data of a checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataId {
    /// Name of the data set.
    pub name: String,
    /// Digest of its pixels and labels.
    pub sha256: String,
    /// What is known of data by path, which may be gone; of a data set with a name nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub described: Option<Description>,
}

/// The optimizer of a checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OptimizerState {
    /// Its name.
    pub name: String,
    /// Steps taken, t.
    pub steps: u64,
    /// Host numbers of the rule, for rules that have some.
    pub history: Vec<f64>,
    /// Names of the tensors of its state, each a parameter's name and what it is: `layers.0.weight.m`.
    pub state: Vec<String>,
}

/// A tensor in host memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Numbers {
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its elements.
    pub data: Elements,
}

/// The elements of a tensor.
#[derive(Clone, Debug, PartialEq)]
pub enum Elements {
    /// Numbers.
    F32(Vec<f32>),
    /// Codes.
    U8(Vec<u8>),
}

impl Elements {
    /// They where they are numbers.
    pub fn numbers(&self) -> Option<&[f32]> {
        if let Self::F32(numbers) = self { Some(numbers) } else { None }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        match self {
            Self::F32(numbers) => numbers.len(),
            Self::U8(codes) => codes.len(),
        }
    }

    /// Bytes that they take in a file.
    pub fn bytes(&self) -> usize {
        match self {
            Self::F32(numbers) => size_of_val(numbers.as_slice()),
            Self::U8(codes) => codes.len(),
        }
    }

    /// Their type, as the file names it.
    pub fn dtype(&self) -> Dtype {
        match self {
            Self::F32(_) => Dtype::F32,
            Self::U8(_) => Dtype::U8,
        }
    }

    /// They as the file has them.
    fn to_bytes(&self) -> Cow<'_, [u8]> {
        match self {
            Self::F32(numbers) => numbers.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Self::U8(codes) => Cow::Borrowed(codes),
        }
    }
}

/// A checkpoint in host memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// All but the tensors.
    pub meta: Meta,
    /// Tensors by name.
    pub tensors: BTreeMap<String, Numbers>,
}

/// Copies tensors to host memory. This is a synchronisation of host and device.
///
/// # Errors
/// If the device fails.
pub fn copy(tensors: &[(String, Tensor)]) -> Result<BTreeMap<String, Numbers>> {
    let copy = |(name, tensor): &(String, Tensor)| {
        let data = match (tensor.dtype(), tensor.device()) {
            (DType::U8, _) => Elements::U8(lend(tensor, <[u8]>::to_vec)?),
            (_, candle_core::Device::Cpu) => Elements::F32(lend(tensor, <[f32]>::to_vec)?),
            _ => Elements::F32(tensor.flatten_all()?.to_vec1::<f32>()?),
        };
        let shape = tensor.dims().to_vec();
        Ok((name.clone(), Numbers { shape, data }))
    };
    tensors.iter().map(copy).collect()
}

/// Overwrites tensors in place with those that are stored under their names.
///
/// # Errors
/// If one is missing or has another size, or the device fails.
pub fn restore(stored: &BTreeMap<String, Numbers>, tensors: &[(String, Tensor)]) -> Result<()> {
    for (name, tensor) in tensors {
        let numbers = stored.get(name).filter(|numbers| numbers.data.count() == tensor.elem_count());
        let absent = || format!("the checkpoint holds no `{name}` of the size of {:?}", tensor.dims());
        match &numbers.with_context(absent)?.data {
            Elements::F32(numbers) => lend_mut(tensor, |data: &mut [f32]| data.copy_from_slice(numbers))?,
            Elements::U8(codes) => lend_mut(tensor, |data: &mut [u8]| data.copy_from_slice(codes))?,
        }
    }
    Ok(())
}

struct NumbersView<'a>(&'a Numbers, Cow<'a, [u8]>);

impl View for NumbersView<'_> {
    fn dtype(&self) -> Dtype {
        self.0.data.dtype()
    }
    fn shape(&self) -> &[usize] {
        &self.0.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.1)
    }
    fn data_len(&self) -> usize {
        self.1.len()
    }
}

impl Checkpoint {
    /// Writes the checkpoint to `path`, whole or not at all.
    ///
    /// # Errors
    /// If it cannot be written ([`Exit::Output`]).
    pub fn write(&self, path: &Path) -> Result<()> {
        Ok(replace(path, &self.to_bytes()?)?)
    }

    /// The checkpoint as the bytes of its file.
    ///
    /// # Errors
    /// If memory does not suffice.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        // The order of safetensors: the larger type first, and tensors of one type by name, as the map has them.
        let mut ordered: Vec<(&String, &Numbers)> = self.tensors.iter().collect();
        ordered.sort_by_key(|(_, numbers)| numbers.data.dtype() == Dtype::U8);
        let mut hash = Sha256::new();
        let mut views = Vec::with_capacity(self.tensors.len());
        for (name, numbers) in ordered {
            let bytes = numbers.data.to_bytes();
            hash.update(&bytes);
            views.push((name, NumbersView(numbers, bytes)));
        }
        let meta = Meta { sha256: hex(hash), ..self.meta.clone() };
        let metadata = HashMap::from([(KEY.to_owned(), meta.to_text()?)]);
        Ok(safetensors::serialize(views, Some(metadata))?)
    }

    /// Overwrites tensors in place with those of the same names.
    ///
    /// # Errors
    /// If one is missing or has another size, or the device fails.
    pub fn restore(&self, tensors: &[(String, Tensor)]) -> Result<()> {
        restore(&self.tensors, tensors)
    }

    /// Reads and checks a checkpoint.
    ///
    /// # Errors
    /// If it is missing, broken or of another format, saying how ([`Exit::Run`]).
    pub fn read(path: &Path) -> Result<Self, Failure> {
        Self::read_whole(path)?
    }

    /// Reads a checkpoint, and apart from that says what is wrong with it: a file that was read whole may be put aside for it.
    ///
    /// # Errors
    /// If it cannot be read, or memory does not suffice.
    pub fn read_whole(path: &Path) -> Result<Result<Self, Failure>, Failure> {
        let unreadable = |error: std::io::Error| read::failure(path, &error);
        match read_bytes(path, MOST_HEADER).map_err(unreadable)? {
            Err(failure) if failure.exit() == Exit::Device => Err(failure),
            Err(failure) => Ok(Err(failure)),
            Ok(bytes) => Ok(Self::from_bytes(&path.display().to_string(), &bytes)),
        }
    }

    /// Reads and checks the bytes of a checkpoint that errors call `name`.
    ///
    /// # Errors
    /// As [`Checkpoint::read`].
    pub fn from_bytes(name: &str, bytes: &[u8]) -> Result<Self, Failure> {
        let broken = |what: String| Failure::new(Exit::Run, format!("{name}: {what}"));
        let (header, metadata) =
            SafeTensors::read_metadata(bytes).map_err(|error| broken(format!("is damaged: {error}")))?;
        let tensors = SafeTensors::deserialize(bytes).map_err(|error| broken(format!("is damaged: {error}")))?;
        let json = metadata
            .metadata()
            .as_ref()
            .and_then(|keys| keys.get(KEY))
            .ok_or_else(|| broken(format!("has no metadata key `{KEY}`: it is no checkpoint of this program")))?;
        let found: serde_json::Value = serde_json::from_str(json)
            .map_err(|error| broken(format!("is damaged: its metadata is broken: {error}")))?;
        match found.get("format").and_then(serde_json::Value::as_u64) {
            Some(format) if format == u64::from(FORMAT) => {}
            Some(format) => {
                return Err(broken(format!("has format {format}, expected {FORMAT}"))
                    .hint("use the version of adamtrain that wrote it"));
            }
            None => return Err(broken("is damaged: its metadata names no format".into())),
        }
        let meta: Meta = serde_json::from_value(found)
            .map_err(|error| broken(format!("is damaged: its metadata is broken: {error}")))?;

        if meta.to_text().ok().as_ref() != Some(json) {
            return Err(broken("is damaged: its metadata does not have the sha256 that it names".into()));
        }
        if let Some(defect) = meta.defect() {
            return Err(broken(defect));
        }

        let data = &bytes[8 + header..];
        let mut hash = Sha256::new();
        hash.update(data);
        let digest = hex(hash);
        if digest != meta.sha256 {
            return Err(broken(format!("is damaged: its tensors have sha256 {digest}, expected {}", meta.sha256)));
        }

        let expected = expected(&meta)
            .ok_or_else(|| broken("its net and the state of its optimizer do not fit together".into()))?;
        if let Some(name) = tensors.names().into_iter().find(|name| !expected.contains_key(*name)) {
            return Err(broken(format!("holds a tensor `{name}`, which its net does not have")));
        }
        let mut numbers = BTreeMap::new();
        for (name, Expected { dtype, shapes }) in expected {
            let tensor = tensors.tensor(&name).map_err(|_| broken(format!("holds no tensor `{name}`")))?;
            let shape = tensor.shape().to_vec();
            if !shapes.contains(&shape) || tensor.dtype() != dtype {
                let shapes: Vec<String> = shapes.iter().map(|shape| format!("{dtype:?} {shape:?}")).collect();
                let found = tensor.dtype();
                return Err(broken(format!("`{name}` is {found:?} {shape:?}, expected {}", shapes.join(" or "))));
            }
            let (words, _) = tensor.data().as_chunks::<4>();
            let data = match dtype {
                Dtype::U8 => Elements::U8(tensor.data().to_vec()),
                _ => Elements::F32(words.iter().map(|word| f32::from_le_bytes(*word)).collect()),
            };
            numbers.insert(name, Numbers { shape, data });
        }
        Ok(Self { meta, tensors: numbers })
    }
}

/// What a file must hold under a name.
struct Expected {
    dtype: Dtype,
    /// The shapes that it may have.
    shapes: Vec<Vec<usize>>,
}

/// The tensors that a file with this metadata must hold; `None` where the numbers overflow or a state is no parameter's.
fn expected(meta: &Meta) -> Option<BTreeMap<String, Expected>> {
    let mut parameters = BTreeMap::new();
    for (layer, (inputs, outputs)) in meta.model.shape.layers().enumerate() {
        inputs.checked_mul(outputs)?;
        parameters.insert(format!("layers.{layer}.weight"), vec![outputs, inputs]);
        parameters.insert(format!("layers.{layer}.bias"), vec![outputs]);
    }
    let f32s = |shape: Vec<usize>| Expected { dtype: Dtype::F32, shapes: vec![shape] };
    let mut expected: BTreeMap<String, Expected> =
        parameters.iter().map(|(name, shape)| (name.clone(), f32s(shape.clone()))).collect();
    for state in &meta.optimizer.state {
        let (before, last) = state.rsplit_once('.')?;
        let own = if let Some(shape) = parameters.get(before) {
            f32s(match (last, &shape[..]) {
                (quantizer::NAME, _) => vec![quantizer::NUMBERS],
                (ROW, &[outputs, _]) => vec![outputs],
                (COL, &[_, inputs]) => vec![inputs],
                (name, &[outputs, _]) if LEFT.contains(&name) => vec![outputs, outputs],
                (name, &[_, inputs]) if RIGHT.contains(&name) => vec![inputs, inputs],
                _ => shape.clone(),
            })
        } else {
            let (parameter, _) = before.rsplit_once('.')?;
            let elements = parameters.get(parameter)?.iter().product();
            match last {
                CODES => {
                    let shapes = Bits::ALL.map(|bits| vec![bits.bytes(elements)]).to_vec();
                    Expected { dtype: Dtype::U8, shapes }
                }
                SCALES => f32s(vec![elements.div_ceil(BLOCK)]),
                _ => return None,
            }
        };
        expected.insert(state.clone(), own);
    }
    Some(expected)
}

/// The bytes of a safetensors file whose header has a credible length, at most `most_header`; apart from the errors of reading,
/// what is wrong with the file: it is cut ([`Exit::Run`]), or memory does not suffice for it ([`Exit::Device`]).
///
/// # Errors
/// If it is missing or cannot be read.
pub fn read_bytes(path: &Path, most_header: u64) -> std::io::Result<Result<Vec<u8>, Failure>> {
    let broken = |what: String| Ok(Err(Failure::new(Exit::Run, format!("{}: {what}", path.display()))));
    let mut file = match read::open(path) {
        Err(error) if error.kind() == ErrorKind::InvalidInput => return broken(error.to_string()),
        outcome => outcome?,
    };
    let length = read::uninterrupted(|| file.metadata())?.len();
    if length == 0 {
        return broken("is empty".into());
    }
    let mut start = [0; 9];
    let found = (length as usize).min(start.len());
    file.read_exact(&mut start[..found])?;
    let (size, [first]) = start.split_at(8) else { return broken("is too short".into()) };
    if found == start.len() && *first != b'{' {
        return broken("is no safetensors file: no header stands at its beginning".into());
    }
    if length < 9 && size[..found.min(8)].iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace()) {
        return broken("is no safetensors file: it is a short text".into());
    }
    if length < 9 {
        return broken(format!("is cut: {length} bytes are too short for a safetensors file"));
    }
    let header = u64::from_le_bytes(size.try_into().unwrap_or_default());
    if header > most_header {
        return broken(format!("is damaged: claims a header of {header} bytes, expected at most {most_header}"));
    }
    if header > length - 8 {
        return broken(format!("is cut: holds {} bytes of a header of {header}", length - 8));
    }
    let mut text = vec![*first];
    file.by_ref().take(header.saturating_sub(1)).read_to_end(&mut text)?;
    let Some(data) = data_bytes(&text) else {
        return broken("is damaged: its header is no safetensors header".into());
    };
    let found = length - 8 - header;
    if data > found {
        return broken(format!("is cut: holds {found} bytes of tensors, expected the {data} that its header promises"));
    }
    if data < found {
        return broken(format!("is damaged: goes on for {} bytes after its tensors", found - data));
    }
    if crate::device::available_bytes().is_some_and(|available| length > available / 2) {
        let what = format!("{}: its {length} bytes are more than memory holds", path.display());
        return Ok(Err(Failure::new(Exit::Device, what)));
    }
    let mut bytes = Vec::with_capacity(length as usize);
    bytes.extend_from_slice(size);
    bytes.extend_from_slice(&text);
    file.take(data).read_to_end(&mut bytes)?;
    Ok(Ok(bytes))
}

/// Where the last tensor of a safetensors header ends, counted from the end of the header.
fn data_bytes(header: &[u8]) -> Option<u64> {
    let entries: HashMap<String, serde_json::Value> = serde_json::from_slice(header).ok()?;
    let tensors = entries.iter().filter(|(name, _)| *name != "__metadata__");
    let ends = tensors.map(|(_, entry)| entry.get("data_offsets")?.get(1)?.as_u64());
    ends.collect::<Option<Vec<_>>>().map(|ends| ends.into_iter().max().unwrap_or(0))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn small() -> Checkpoint {
        let shape = Shape { inputs: 3, hidden: vec![], classes: 2 };
        let channels = [Channel { scale: 1.0 / 255.0, shift: -0.5 }];
        let meta = Meta {
            format: FORMAT,
            version: "0".into(),
            model: Model::new(shape, &channels),
            data: DataId { name: "digits".into(), sha256: "00".into(), described: None },
            teacher: None,
            optimizer: OptimizerState {
                name: "adam".into(),
                steps: 7,
                history: vec![0.1],
                state: ["weight.m", "weight.v", "bias.m", "bias.v"].map(|name| format!("layers.0.{name}")).into(),
            },
            progress: Progress { step: 7, loss_sum: 0.1 + 0.2, ..Progress::default() },
            config: BTreeMap::new(),
            config_hash: String::new(),
            sha256: String::new(),
            meta_sha256: String::new(),
        };
        let tensors = expected(&meta).unwrap().into_iter().map(|(name, Expected { dtype, shapes })| {
            let shape = shapes[0].clone();
            let count = shape.iter().product::<usize>();
            let data = match dtype {
                Dtype::U8 => Elements::U8((0..count).map(|i| 37 * i as u8).collect()),
                _ => Elements::F32((0..count).map(|i| i as f32 * 0.37 - 1.0).collect()),
            };
            (name, Numbers { shape, data })
        });
        Checkpoint { tensors: tensors.collect(), meta }
    }

    fn written() -> (tempfile::TempDir, std::path::PathBuf, Vec<u8>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("step.safetensors");
        small().write(&path).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        (folder, path, bytes)
    }

    #[test]
    fn what_is_written_is_read_back_bit_for_bit_and_its_bytes_are_always_the_same() {
        let (_folder, path, bytes) = written();
        let read = Checkpoint::read(&path).unwrap();
        assert_eq!(read.tensors, small().tensors);
        assert_eq!(read.meta.progress, small().meta.progress);
        read.write(&path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }

    #[test]
    fn a_file_cut_anywhere_is_refused() {
        let (_folder, path, bytes) = written();
        for length in 0..bytes.len() {
            std::fs::write(&path, &bytes[..length]).unwrap();
            let error = Checkpoint::read(&path).unwrap_err();
            assert_eq!(error.exit(), Exit::Run, "cut to {length}");
        }
    }

    #[test]
    fn a_flipped_bit_is_found_wherever_it_is() {
        let (_folder, path, bytes) = written();
        let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1 << (at % 8);
            std::fs::write(&path, &bad).unwrap();
            let read = Checkpoint::read(&path);
            // A bit that turns padding of the header into other white space changes nothing.
            let same = read.as_ref().is_ok_and(|read| at < 8 + header && read.tensors == small().tensors);
            assert!(read.is_err() || same, "byte {at}");
        }
    }

    #[test]
    fn mutated_files_are_refused_or_read_and_nothing_else() {
        let (_folder, _, bytes) = written();
        crate::fuzz::run("checkpoint", &[bytes], |bytes| Checkpoint::from_bytes("file", bytes).is_ok());
        let folder = crate::fuzz::folder();
        let path = folder.path().join("file");
        crate::fuzz::run("checkpoint file", &[small().to_bytes().unwrap()], |bytes| {
            std::fs::write(&path, bytes).unwrap();
            Checkpoint::read(&path).is_ok()
        });
    }

    #[test]
    fn mutated_metadata_with_the_right_digest_is_refused_or_read_and_nothing_else() {
        let text = small().meta.to_text().unwrap();
        crate::fuzz::run("checkpoint metadata", &[text.into_bytes()], |json| {
            let Ok(meta) = serde_json::from_slice(json) else { return false };
            let forged = Checkpoint { meta, ..small() };
            // JSON has no number that is not finite.
            forged.to_bytes().is_ok_and(|bytes| Checkpoint::from_bytes("file", &bytes).is_ok())
        });
    }

    #[test]
    fn hostile_headers_are_refused_without_taking_memory() {
        let (_folder, path, _) = written();
        let forge = |header: &str| {
            let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
            bytes.extend_from_slice(header.as_bytes());
            bytes
        };
        for bytes in [
            (1_u64 << 63).to_le_bytes().to_vec(),
            u64::MAX.to_le_bytes().to_vec(),
            100_000_000_u64.to_le_bytes().to_vec(),
            forge("{}"),
            forge("not json"),
            forge(r#"{"a":{"dtype":"F32","shape":[1152921504606846976,0],"data_offsets":[0,0]}}"#),
            forge(r#"{"a":{"dtype":"F32","shape":[18446744073709551615,2],"data_offsets":[0,8]}}"#),
            forge(r#"{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,8]}}"#),
            forge(&("[".repeat(100_000) + &"]".repeat(100_000))),
            forge(r#"{"__metadata__":{"adamtrain":"{\"format\":99}"}}"#),
            forge(r#"{"__metadata__":{"adamtrain":"[]"}}"#),
        ] {
            std::fs::write(&path, &bytes).unwrap();
            assert_eq!(Checkpoint::read(&path).unwrap_err().exit(), Exit::Run);
        }
        assert_eq!(Checkpoint::read(path.parent().unwrap()).unwrap_err().exit(), Exit::Run);
    }

    #[test]
    fn metadata_that_promises_another_net_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("step.safetensors");
        for (inputs, hidden) in [(4, vec![]), (3, vec![5]), (usize::MAX, vec![usize::MAX])] {
            let mut forged = small();
            forged.meta.model.shape.inputs = inputs;
            forged.meta.model.shape.hidden = hidden;
            forged.write(&path).unwrap();
            assert_eq!(Checkpoint::read(&path).unwrap_err().exit(), Exit::Run);
        }
    }
}
