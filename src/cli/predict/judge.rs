//! The net that is asked: a checkpoint's or a compressed one.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use candle_core::Device;
use clap::ArgMatches;

use crate::amc::Net;
use crate::cli::{checkpoint, compressed, eval};
use crate::config::layers::Given;
use crate::data::Spec;
use crate::data::images::Images;
use crate::data::numbers::{Column, Numbers};
use crate::error::{Exit, Failure};
use crate::kernel::Channel;
use crate::model::LinearNet;
use crate::train::{Evaluator, all_of};

/// A net, and what is known of it.
#[derive(Debug)]
pub struct Judge {
    /// The file that it was read from.
    pub path: PathBuf,
    /// The data set that it was trained on; empty where it is not known.
    pub dataset: String,
    /// Whether that is the name of a folder or file of somebody's own, whatever set is called the same.
    pub is_own: bool,
    /// What it looks at: channels, rows, columns.
    pub shape: [usize; 3],
    /// Names of the classes.
    pub classes: Vec<String>,
    /// How pixels become its inputs, where that is known.
    pub channels: Vec<Channel>,
    /// What an input is.
    pub numbers: Numbers,
    /// The columns that are the inputs of a net that looks at a table.
    pub table: Vec<Column>,
    net: AnyNet,
}

#[derive(Debug)]
enum AnyNet {
    Trained { net: LinearNet, spec: Arc<Spec>, device: Device, evaluator: Evaluator },
    Compressed(Net),
}

impl Judge {
    /// Reads the net that was asked for, to be asked about `most` pictures at a time.
    ///
    /// # Errors
    /// If there is none, or what it takes are no pictures.
    pub fn open(typed: &ArgMatches, most: usize) -> Result<Self> {
        let judge = match compressed::asked(typed, "RUN")? {
            Some(path) => Self::compressed(path, typed)?,
            None => Self::trained(typed, most)?,
        };
        if judge.numbers.are_bytes() && !matches!(judge.shape[0], 1 | 3) {
            let what = format!("{}: its net takes {} channels, expected 1 or 3", judge.path.display(), judge.shape[0]);
            return Err(Failure::new(Exit::Run, what).hint("pictures are grey or of three colours").into());
        }
        Ok(judge)
    }

    fn trained(typed: &ArgMatches, most: usize) -> Result<Self> {
        let (path, saved) = checkpoint(typed, "RUN")?;
        let device = typed.get_one::<String>("device").cloned();
        let device = device.map(|text| Given { key: "train.device".to_owned(), text, flag: "--device".to_owned() });
        let (config, spec) = eval::known(&path, &saved, device.into_iter())?;
        let shape = &saved.meta.model.shape;
        eval::expect_fitting(&path, shape, &spec)?;
        let device = config.device.open_at(config.precision)?;
        let net = LinearNet::new(shape.clone(), &[0], &device)?;
        eval::restore(&net, &path, &saved, typed.get_flag("ema"))?;
        let channels = saved.meta.model.channels();
        let evaluator = Evaluator::new(&net, most, channels.clone(), &device)?;
        Ok(Self {
            path,
            dataset: spec.name.clone(),
            is_own: saved.meta.data.described.is_some(),
            shape: [spec.channels, spec.rows, spec.columns],
            classes: spec.classes.clone(),
            channels,
            numbers: spec.numbers,
            table: spec.table.clone(),
            net: AnyNet::Trained { net, spec, device, evaluator },
        })
    }

    fn compressed(path: PathBuf, typed: &ArgMatches) -> Result<Self> {
        let net = Net::read(&path)?;
        compressed::expect_no_choice(&path, typed)?;
        Ok(Self {
            path,
            dataset: net.dataset.clone(),
            is_own: false,
            shape: [net.image.channels, net.image.height, net.image.width],
            classes: net.classes.clone(),
            channels: Vec::new(),
            numbers: Numbers::Bytes,
            table: Vec::new(),
            net: AnyNet::Compressed(net),
        })
    }

    /// Logits of each example, `[N, C]`, of pixels u8 `[N, D]` or floats in as many bytes as they take; what one example gets does not
    /// depend on the others.
    ///
    /// # Errors
    /// If the device fails.
    pub fn logits(&self, pixels: Vec<u8>) -> Result<Vec<Vec<f64>>> {
        let mut logits = Vec::new();
        match &self.net {
            AnyNet::Compressed(net) => {
                logits.extend(net.logits(&pixels).chunks_exact(self.classes.len()).map(<[f64]>::to_vec));
            }
            AnyNet::Trained { net, spec, device, evaluator } => {
                // An evaluation asks for labels; what it finds with them is of no use here.
                let labels = vec![0; pixels.len() / spec.example_bytes()];
                let split = spec.split(Images { pixels, labels }, &self.channels, device)?;
                evaluator.run(net, &split, &all_of(&split, device)?, |_, of_batch| {
                    let rows = of_batch.squeeze(1)?.to_vec2::<f32>()?; // [rows, C]
                    logits.extend(rows.into_iter().map(|row| row.into_iter().map(f64::from).collect()));
                    Ok(())
                })?;
            }
        }
        Ok(logits)
    }
}
