//! The teacher that `--teacher` names, as its checkpoint holds it.

use std::path::PathBuf;
use std::rc::Rc;

use anyhow::Result;
use candle_core::{DType, Device};
use sha2::{Digest as _, Sha256};

use crate::config::Config;
use crate::digest::hex;
use crate::error::{Exit, Failure};
use crate::kernel::Channel;
use crate::lanes::Splits;
use crate::model::{LinearNet, Shape};
use crate::run::checkpoint::Checkpoint;
use crate::run::resolve;
use crate::text::counted;
use crate::train::Teacher;

/// A trained net that others learn from.
#[derive(Debug)]
pub struct SavedTeacher {
    path: PathBuf,
    /// Its checkpoint.
    pub checkpoint: Checkpoint,
    /// sha256 of its parameters, and of how it reads pixels.
    pub sha256: String,
}

impl SavedTeacher {
    /// The teacher of a configuration; none where it names none.
    ///
    /// # Errors
    /// If it is missing, broken, or of other inputs or classes than the net ([`Exit::Run`]).
    pub fn of(config: &Config) -> Result<Option<Rc<Self>>> {
        let Some(teacher) = &config.teacher else { return Ok(None) };
        let (path, checkpoint) = resolve::open(teacher, false)?;
        let Shape { inputs, classes, .. } = checkpoint.meta.model.shape;
        let (channels, data) = (checkpoint.meta.model.scale.len(), &config.dataset);
        if (inputs, classes, channels) != (config.shape.inputs, config.shape.classes, data.channels) {
            let (own, shape) = (&checkpoint.meta.model.shape, &config.shape);
            let of = |channels: usize| counted(channels as u64, "channel");
            let what = format!(
                "{}: the teacher's net is {own} of {}, and cannot teach {shape} of {}",
                path.display(),
                of(channels),
                of(data.channels)
            );
            let hint = "a teacher has the inputs and classes of the data set; `adamtrain inspect` shows its net";
            return Err(Failure::new(Exit::Run, what).hint(hint).into());
        }
        if checkpoint.meta.data.name != data.name {
            let other = &checkpoint.meta.data.name;
            tracing::warn!("{}: the teacher was trained on `{other}`, and teaches `{}`", path.display(), data.name);
        }
        let mut hash = Sha256::new();
        for name in checkpoint.meta.model.shape.parameter_names() {
            let numbers = checkpoint.tensors.get(&name).and_then(|numbers| numbers.data.numbers()).unwrap_or_default();
            for number in numbers {
                hash.update(number.to_le_bytes());
            }
        }
        for Channel { scale, shift } in checkpoint.meta.model.channels() {
            hash.update(scale.to_le_bytes());
            hash.update(shift.to_le_bytes());
        }
        Ok(Some(Rc::new(Self { path, checkpoint, sha256: hex(hash) })))
    }

    /// Requires that it reads features as its students do: they are normalised before either sees them.
    ///
    /// # Errors
    /// If it was trained on features that were scaled otherwise ([`Exit::Run`]).
    pub fn expect_reading(&self, data: &Splits) -> Result<(), Failure> {
        if data.train.pixels.dtype() != DType::F32 || self.checkpoint.meta.model.channels() == data.channels {
            return Ok(());
        }
        let what = format!("{}: the teacher was trained on features that were scaled otherwise", self.path.display());
        Err(Failure::new(Exit::Run, what).hint("train the teacher on the same data, with the same data.scaling"))
    }

    /// The net on a device.
    ///
    /// # Errors
    /// If memory does not suffice.
    pub fn net(&self, device: &Device) -> Result<LinearNet> {
        let net = LinearNet::new(self.checkpoint.meta.model.shape.clone(), &[0], device)?;
        let tensors = net.tensors().into_iter().map(|(name, lanes)| Ok((name, lanes.get(0)?)));
        self.checkpoint.restore(&tensors.collect::<Result<Vec<_>>>()?)?;
        Ok(net)
    }

    /// Bytes that it takes for batches of so many rows, in the checkpoint and as a net.
    pub fn bytes(&self, rows: usize) -> u64 {
        let shape = &self.checkpoint.meta.model.shape;
        Teacher::bytes(shape, rows as u64) + 4 * shape.parameters()
    }
}

/// Requires that lanes go on with the teacher that they began with.
///
/// # Errors
/// If a checkpoint names another ([`Exit::Run`]).
pub fn expect_same_teacher(checkpoints: &[Checkpoint], teacher: Option<&SavedTeacher>) -> Result<(), Failure> {
    let now = teacher.map(|teacher| &teacher.sha256);
    let others = checkpoints.iter().find(|checkpoint| checkpoint.meta.teacher.as_ref() != now);
    let (Some(Checkpoint { meta, .. }), Some(teacher)) = (others, teacher) else { return Ok(()) };
    let (path, now) = (teacher.path.display(), &teacher.sha256);
    let then = meta.teacher.as_deref().unwrap_or("none");
    let what = format!("{path}: the teacher has sha256 {now}, but training began with {then}");
    Err(Failure::new(Exit::Run, what).hint("training goes on only with the teacher that it began with; put it back"))
}
