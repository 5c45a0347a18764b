//! A teacher: a trained net whose answers to the images of a step the lanes learn beside the labels.

use anyhow::Result;

use crate::config::Config;
use crate::data::Split;
use crate::kernel::{self, Augmentation, Channel, Indices, Lesson};
use crate::model::backprop::Activations;
use crate::model::{LinearNet, Shape};

/// A net that answers, once a batch for all lanes.
pub struct Teacher {
    net: LinearNet,
    channels: Vec<Channel>,
    activations: Activations,
    /// Whether its inputs are the students', who read them.
    shares_inputs: bool,
    weight: Vec<f64>,
    temperature: Vec<f64>,
}

/// The images of a batch, as students see them.
#[derive(Clone, Copy)]
pub struct Seen<'a> {
    /// The split.
    pub split: &'a Split,
    /// Which of its images.
    pub indices: Indices<'a>,
    /// What is done to them, if anything is.
    pub augmentation: Option<&'a Augmentation>,
    /// The number of the first sample, counted over all steps.
    pub first: u64,
    /// λ of each, where they are mixed.
    pub shares: Option<&'a [f32]>,
}

impl Seen<'_> {
    /// Reads the images, normalised, to x f32 [B, D].
    pub fn gather(self, channels: &[Channel], x: &candle_core::Tensor) -> Result<()> {
        let Self { split, indices, augmentation, first, shares } = self;
        match augmentation {
            None => kernel::gather(&split.pixels, indices, channels, x)?,
            Some(how) => kernel::gather_augmented(&split.pixels, indices, channels, how, first, x)?,
        }
        shares.map_or(Ok(()), |shares| kernel::mix(shares, x))?;
        Ok(())
    }
}

impl Teacher {
    /// A teacher of these lanes, of one lane itself, that reads pixels normalised by `channels`. It shares the inputs of the
    /// `students` where theirs, by `their_channels`, are the same.
    ///
    /// # Errors
    /// If memory does not suffice.
    pub fn new(
        net: LinearNet,
        channels: Vec<Channel>,
        lanes: &[Config],
        students: &Activations,
        their_channels: &[Channel],
    ) -> Result<Self> {
        let mut activations = Activations::new(net.shape(), 1, students.batch(), students.x.device())?;
        let shares_inputs = channels == their_channels;
        if shares_inputs {
            activations.x = students.x.clone();
        }
        Ok(Self {
            net,
            channels,
            activations,
            shares_inputs,
            weight: lanes.iter().map(|lane| lane.weight).collect(),
            temperature: lanes.iter().map(|lane| lane.temperature).collect(),
        })
    }

    /// Bytes that one of this shape takes for batches of so many rows.
    pub fn bytes(shape: &Shape, rows: u64) -> u64 {
        (4 * shape.parameters()).saturating_add(Activations::bytes(shape, 1, rows))
    }

    /// Answers to the images of a batch; those of the students have been read.
    pub fn answer(&self, seen: Seen<'_>) -> Result<()> {
        if !self.shares_inputs {
            seen.gather(&self.channels, &self.activations.x)?;
        }
        self.activations.forward(&self.net, seen.indices.rows, &mut [])
    }

    /// The answer, for the loss.
    pub fn lesson(&self) -> Lesson<'_> {
        Lesson { logits: self.activations.logits(), weight: &self.weight, temperature: &self.temperature }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{bits, taken_in_the_end, trainer};
    use super::super::{Batch, Trainer};
    use super::*;
    use candle_core::{D, Device, Tensor};

    /// A trainer with settings, and a teacher of another shape; it reads the pixels as the trainer does, or otherwise.
    fn taught(settings: &[(&str, &str)], reads_otherwise: bool) -> (Trainer, Split, Tensor) {
        let (mut trainer, split, order) = trainer(settings);
        let (config, channels) = config_and_channels(settings, &trainer, reads_otherwise);
        let shape = Shape { hidden: vec![9, 7], ..trainer.net.shape().clone() };
        let net = LinearNet::new(shape, &[5], &Device::Cpu).unwrap();
        trainer.learn_from(net, channels, &[config]).unwrap();
        (trainer, split, order)
    }

    fn config_and_channels(settings: &[(&str, &str)], trainer: &Trainer, otherwise: bool) -> (Config, Vec<Channel>) {
        use crate::config::layers::{Given, Sources};
        let given = settings.iter().chain(&[("teacher.teacher", "somewhere")]);
        let given = given.map(|(key, text)| Given { key: (*key).into(), text: (*text).into(), flag: "--set".into() });
        let config = Config::load(&Sources { command_line: given.collect(), ..Sources::default() }).unwrap();
        let mut channels = trainer.channels.clone();
        if otherwise {
            for channel in &mut channels {
                channel.scale *= 1.5;
            }
        }
        (config, channels)
    }

    #[test]
    fn a_gradient_is_that_of_candle_s_autograd() -> Result<()> {
        let (weight, temperature) = (0.6, 3.0);
        for (reads_otherwise, augment) in
            [false, true].into_iter().flat_map(|is| [(is, "affine"), (is, "affine+cutout+mixup")])
        {
            let settings = [("teacher.weight", "0.6"), ("teacher.temperature", "3"), ("augment.augment", augment)];
            let (mut trainer, split, order) = taught(&settings, reads_otherwise);
            let rows = 20;
            trainer.gradients(Batch { split: &split, order: &order, start: 40, rows }, 2, false)?;
            let teacher = trainer.teacher.as_ref().unwrap();
            let inputs = trainer.net.shape().inputs;
            let seen = |x: &Tensor| x.narrow(0, 0, rows)?.narrow(1, 0, inputs)?.contiguous();
            let z = trainer.net.forward(&seen(&trainer.backprop.activations.x)?)?.squeeze(1)?;
            let t = teacher.net.forward(&seen(&teacher.activations.x)?)?.squeeze(1)?;
            let targets = split.labels.narrow(0, 40, rows)?;
            let of_labels = candle_nn::ops::log_softmax(&z, D::Minus1)?;
            let of_label = |targets: &Tensor| of_labels.gather(&targets.unsqueeze(1)?, 1)?.squeeze(1);
            let shares = trainer.mixup.as_ref().map_or(vec![1.0; rows], |mixup| mixup.shares(rows).to_vec());
            assert_eq!(shares.iter().any(|share| *share < 1.0), augment.ends_with("mixup"));
            let own = Tensor::from_vec(shares, rows, &Device::Cpu)?;
            let reversed = targets.flip(&[0])?;
            let hard = ((of_label(&targets)? * &own)? + (of_label(&reversed)? * (1.0 - &own)?)?)?;
            let hard = hard.mean_all()?.neg()?;
            let log_softmax = |z: &Tensor| candle_nn::ops::log_softmax(&(z / temperature)?, D::Minus1);
            let (soft, of_teacher) = (log_softmax(&z)?, log_softmax(&t)?);
            let divergence = (of_teacher.exp()? * (of_teacher - soft)?)?.sum_all()?.affine(1.0 / rows as f64, 0.0)?;
            let loss =
                (hard.affine(1.0 - weight, 0.0)? + divergence.affine(weight * temperature * temperature, 0.0)?)?;
            let mean = trainer.sums()?[0].loss / rows as f64;
            assert!((f64::from(loss.to_scalar::<f32>()?) - mean).abs() < 1e-5, "{mean}");
            let gradients = loss.backward()?;
            for ((name, var), ours) in trainer.net.parameters().iter().zip(trainer.backprop.gradients()) {
                let theirs = gradients.get(var).unwrap();
                let largest = theirs.abs()?.max_all()?.to_scalar::<f32>()?;
                let error = (ours - theirs)?.abs()?.max_all()?.to_scalar::<f32>()? / largest;
                // Sums of 20 products of f32.
                assert!(error < 2e-5, "{name}: {error}");
            }
        }
        Ok(())
    }

    #[test]
    fn a_share_of_nothing_is_the_plain_loss_to_the_bit_and_a_step_takes_no_memory() -> Result<()> {
        let of_nothing = [("teacher.weight", "0"), ("train.label_smoothing", "0.1")];
        let (mut plain, split, order) = trainer(&of_nothing[1..]);
        let (mut taught_nothing, ..) = taught(&of_nothing, false);
        let (mut taught_much, ..) = taught(&[("teacher.weight", "0.7"), of_nothing[1]], true);
        let step = |trainer: &mut Trainer, step: u64| -> Result<()> {
            let start = 20 * (step as usize % 8);
            trainer.step(Batch { split: &split, order: &order, start, rows: 20 }, step).map(drop)
        };
        for trainer in [&mut plain, &mut taught_nothing, &mut taught_much] {
            (0..8).try_for_each(|number| step(trainer, number))?;
        }
        assert!(bits(&plain) == bits(&taught_nothing) && bits(&plain) != bits(&taught_much));
        assert_eq!(plain.sums()?, taught_nothing.sums()?);
        for trainer in [&mut plain, &mut taught_nothing, &mut taught_much] {
            assert_eq!(taken_in_the_end(|number| step(trainer, number))?, 0);
        }
        Ok(())
    }
}
