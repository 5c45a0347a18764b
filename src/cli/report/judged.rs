//! A net on examples that it did not see: what it takes for what, how sure it is, and where it is wrong.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use candle_core::{DType, Device, Tensor};

use crate::cli::eval::{self, Confusion};
use crate::cli::predict::ranked;
use crate::data::images::Images;
use crate::data::{self, Spec, Split};
use crate::draw::{Axis, Chart, Estimate, Figure, Form, Overlay, Panel, Scale};
use crate::kernel::Channel;
use crate::model::LinearNet;
use crate::run::checkpoint::Checkpoint;
use crate::train::Evaluator;

/// Ranges of probability whose hits are counted together.
const BINS: usize = 10;

/// What a net said of an example.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    /// Its place in the split.
    pub index: usize,
    /// Its class.
    pub label: usize,
    /// What it was taken for.
    pub predicted: usize,
    /// With which probability.
    pub probability: f64,
}

/// A run's net on the examples that tell most of it.
#[derive(Debug)]
pub struct Judged {
    /// What they are examples of.
    pub spec: Arc<Spec>,
    /// The images of the split.
    pub images: Images,
    /// The test split, or the validation split where there is none, or what was trained on.
    pub split: &'static str,
    /// Whether the data is what the run was trained on.
    pub is_its: bool,
    /// What the net said.
    pub verdicts: Vec<Verdict>,
}

impl Judged {
    /// Reads the data of the run that `checkpoint`, at `path`, belongs to, and asks its net.
    ///
    /// # Errors
    /// If the data cannot be read, or is of another shape.
    pub fn by(path: &Path, checkpoint: &Checkpoint, net: &LinearNet, data_dir: Option<&Path>) -> Result<Self> {
        let config = eval::config(path, &checkpoint.meta.config, std::iter::empty())?;
        let spec = config.dataset.clone();
        eval::expect_fitting(path, &checkpoint.meta.model.shape, &spec)?;
        let dataset = data::load(&spec, data_dir.or(config.data_dir.as_deref()), true)?;
        let is_its = dataset.imported.sha256 == checkpoint.meta.data.sha256;
        let split = match () {
            () if !dataset.imported.test.is_empty() => "test",
            () if config.valid_fraction > 0.0 && is_its => "valid",
            () => "train",
        };
        let images = if split == "test" { dataset.imported.test.clone() } else { dataset.imported.train.clone() };
        let channels = checkpoint.meta.model.channels();
        let (examples, order) = eval::split(split, is_its.then_some(&config), dataset, &channels, &Device::Cpu)?;
        let verdicts = verdicts(net, &examples, &order, channels)?;
        Ok(Self { spec, images, split, is_its, verdicts })
    }
}

/// The net of a checkpoint, on the CPU.
///
/// # Errors
/// If memory does not suffice.
pub fn net(path: &Path, checkpoint: &Checkpoint) -> Result<LinearNet> {
    let net = LinearNet::new(checkpoint.meta.model.shape.clone(), &[0], &Device::Cpu)?;
    eval::restore(&net, path, checkpoint, false)?;
    Ok(net)
}

/// The verdicts on the examples in `order`.
///
/// # Errors
/// If the device fails.
fn verdicts(net: &LinearNet, split: &Split, order: &Tensor, channels: Vec<Channel>) -> Result<Vec<Verdict>> {
    let evaluator = Evaluator::new(net, order.elem_count(), channels, order.device())?;
    let (labels, order_on_host) = (split.labels.to_vec1::<u32>()?, order.to_vec1::<u32>()?);
    let mut verdicts = Vec::with_capacity(order_on_host.len());
    evaluator.run(net, split, order, |start, logits| {
        let logits = logits.squeeze(1)?.to_dtype(DType::F64)?.to_vec2::<f64>()?;
        for (row, &index) in logits.iter().zip(&order_on_host[start..]) {
            let (index, label) = (index as usize, labels[index as usize] as usize);
            let (predicted, probability) = ranked(row, 1)[0];
            verdicts.push(Verdict { index, label, predicted, probability });
        }
        Ok(())
    })?;
    Ok(verdicts)
}

/// How often each class was taken for each.
pub fn confusion(verdicts: &[Verdict], classes: usize) -> Confusion {
    let mut confusion = Confusion::new(classes);
    for verdict in verdicts {
        confusion.count(verdict.label, verdict.predicted);
    }
    confusion
}

/// The same as a figure: shares of each true class.
#[cfg(feature = "png")]
pub fn confusion_figure(confusion: &Confusion, classes: &[String]) -> Figure {
    let axis = |name: &str| Axis { name: name.into(), labels: classes.to_vec(), ..Axis::default() };
    let mut panel = Panel::default();
    for (label, row) in confusion.rows().iter().enumerate() {
        let all = row.iter().sum::<u64>().max(1) as f64;
        for (predicted, &count) in row.iter().enumerate() {
            let share = count as f64 / all;
            panel.cells.insert((label, predicted), Estimate::of(vec![share]));
        }
    }
    let chart = Chart {
        form: Form::Heat,
        measure: "share of the class".into(),
        scale: Scale::even(&[0.0, 1.0]),
        bounds: (0.0, 1.0),
        x: axis("taken for"),
        y: axis("class"),
        panels: vec![panel],
        best: None,
        diverged: false,
        overlay: Overlay::default(),
    };
    Figure { title: "What is taken for what".into(), note: String::new(), map: None, charts: vec![chart] }
}

/// The mistakes of which the net was surest, at most so many.
pub fn surest_mistakes(verdicts: &[Verdict], most: usize) -> Vec<Verdict> {
    let mut wrong: Vec<Verdict> = verdicts.iter().copied().filter(|one| one.label != one.predicted).collect();
    wrong.sort_by(|a, b| b.probability.total_cmp(&a.probability).then(a.index.cmp(&b.index)));
    wrong.truncate(most);
    wrong
}

/// Of the examples whose probability lies in a range: how many, their mean probability, and the share that was right.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bin {
    /// How many.
    pub count: u64,
    /// Their mean probability.
    pub probability: f64,
    /// How many of them are right, as a share.
    pub accuracy: f64,
}

/// The ranges of equal width, from 0 to 1.
pub fn bins(verdicts: &[Verdict]) -> Vec<Bin> {
    let mut bins = vec![Bin::default(); BINS];
    for verdict in verdicts {
        let bin = &mut bins[((verdict.probability * BINS as f64) as usize).min(BINS - 1)];
        bin.count += 1;
        bin.probability += verdict.probability;
        bin.accuracy += f64::from(u8::from(verdict.label == verdict.predicted));
    }
    for bin in &mut bins {
        let count = bin.count.max(1) as f64;
        (bin.probability, bin.accuracy) = (bin.probability / count, bin.accuracy / count);
    }
    bins
}

/// The expected calibration error: the mean distance of probability and accuracy, by the number of examples. Naeini, Cooper & Hauskrecht
/// 2015, "Obtaining Well Calibrated Probabilities Using Bayesian Binning".
pub fn calibration_error(bins: &[Bin]) -> f64 {
    let count: u64 = bins.iter().map(|bin| bin.count).sum();
    let distance = |bin: &Bin| bin.count as f64 * (bin.accuracy - bin.probability).abs();
    bins.iter().map(distance).sum::<f64>() / count.max(1) as f64
}

/// Accuracy over probability, with the line on which both are equal.
pub fn calibration(bins: &[Bin]) -> Figure {
    let there: Vec<&Bin> = bins.iter().filter(|bin| bin.count > 0).collect();
    let numbers: Vec<f64> = [0.0].into_iter().chain(there.iter().map(|bin| bin.probability)).chain([1.0]).collect();
    let mut panel = Panel::default();
    for (k, bin) in there.iter().enumerate() {
        panel.cells.insert((0, k + 1), Estimate::of(vec![bin.accuracy]));
    }
    for (k, &number) in numbers.iter().enumerate() {
        panel.cells.insert((1, k), Estimate::of(vec![number]));
    }
    let chart = Chart {
        form: Form::Lines,
        measure: "share that is right".into(),
        scale: Scale::even(&[0.0, 1.0]),
        bounds: (0.0, 1.0),
        x: Axis {
            name: "probability of the predicted class".into(),
            labels: numbers.iter().map(|number| format!("{number:.2}")).collect(),
            numbers,
            is_time: true,
        },
        y: Axis { name: "net".into(), labels: vec!["this net".into(), "as sure as right".into()], ..Axis::default() },
        panels: vec![panel],
        best: None,
        diverged: false,
        overlay: Overlay { dashed: vec![1], ..Overlay::default() },
    };
    Figure {
        title: "Calibration".into(),
        note: format!("expected calibration error {:.4}", calibration_error(bins)),
        map: None,
        charts: vec![chart],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(index: usize, label: usize, predicted: usize, probability: f64) -> Verdict {
        Verdict { index, label, predicted, probability }
    }

    #[test]
    fn mistakes_and_calibration_are_counted() {
        let all = [verdict(0, 0, 0, 0.9), verdict(1, 1, 0, 0.95), verdict(2, 1, 1, 0.35), verdict(3, 0, 1, 1.0)];
        assert_eq!(confusion(&all, 2).rows(), [[1, 1], [1, 1]]);
        assert_eq!(surest_mistakes(&all, 1), [verdict(3, 0, 1, 1.0)]);
        let bins = bins(&all);
        assert_eq!((bins[3].count, bins[9].count), (1, 3));
        // One of three is right at a mean probability of 0.95; one of one at 0.35.
        let expected = (3.0 * (0.95 - 1.0 / 3.0) + 0.65) / 4.0;
        assert!((calibration_error(&bins) - expected).abs() < 1e-12, "{}", calibration_error(&bins));
        assert!(calibration(&bins).to_svg().contains("as sure as right"));
        assert!((ranked(&[0.0, 0.0], 2)[1].1 - 0.5).abs() < 1e-15 && ranked(&[-1e30, 1e30], 1) == [(1, 1.0)]);
    }
}
