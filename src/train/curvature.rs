//! Estimates of the diagonal of the loss's Hessian, for optimizers that divide by it.
//!
//! ```text
//!     ĥ[W_cj] = (1/B)·Σ_b p_bc·(1 − p_bc)·x_bj²   a net without hidden layers; of a bias without x²
//!     ĥ = (1/B)·Σ_pieces (Σ_b ∂ℓ_b/∂θ)²           others: ℓ_b is the loss of row b for a label drawn from p_b
//! ```
//!
//! with p = softmax(z). The first is the diagonal of the Hessian of the mean cross entropy over the rows of the step itself: logits
//! are linear in the parameters, and ∂²ℓ/∂z² = diag(p) − p·pᵀ. The second is the Gauss–Newton–Bartlett estimator of Liu et al. 2023,
//! arXiv:2305.14342, Algorithm 2, B·ĝ⊙ĝ with the mean gradient ĝ over B rows, and over pieces their mean weighted by rows: its
//! expectation is the diagonal of the Gauss–Newton matrix, the Hessian without the curvature of the net itself. Neither depends on
//! labels, so that smoothing and mixed labels do not change them; rows are those that the gradient sees, with dropout and
//! augmentation as there.
//!
//! A label is a function of seed, step and row: of a lane's stream a word a row, as many as samples have been before. What computes
//! here fails where the device does.

use anyhow::Result;
use candle_core::{Tensor, Var};

use crate::kernel::{self, Views};
use crate::model::backprop::Backprop;
use crate::model::{LinearNet, Shape};
use crate::optim::{Gradients, LaneOptimizer};
use crate::rng::{Purpose, Stream};

/// Estimates, and the room to make them.
pub struct Curvature {
    /// One per parameter, in their order and shape.
    estimates: Vec<Tensor>,
    /// The logits while their place is taken, [B, K, C].
    logits: Tensor,
    /// x² of a net without hidden layers, [B, D].
    squares: Option<Tensor>,
    /// Draws labels, per lane.
    streams: Vec<Stream>,
    /// A word per row and lane, [B, K].
    words: Vec<u32>,
    /// Whether the step takes an estimate.
    is_due: bool,
    /// Lends the tensors without taking memory.
    _views: Views,
}

/// The rows of a step that an estimate is made of.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    /// Rows.
    pub rows: usize,
    /// Rows of the whole step.
    pub of: usize,
    /// Rows of the step before them.
    pub offset: usize,
    /// Number of the first, counted over all steps.
    pub first: u64,
}

impl Curvature {
    /// For lanes with these seeds, whose steps `backprop` computes.
    ///
    /// # Errors
    /// If memory does not suffice.
    pub fn new(net: &LinearNet, backprop: &Backprop, seeds: &[u64]) -> Result<Self> {
        let estimates = backprop.gradients().iter().map(Tensor::zeros_like);
        let estimates = estimates.collect::<candle_core::Result<Vec<_>>>()?;
        let logits = backprop.activations.logits().zeros_like()?;
        let is_linear = net.shape().hidden.is_empty();
        let squares = is_linear.then(|| backprop.activations.x.zeros_like()).transpose()?;
        Ok(Self {
            _views: Views::new(estimates.iter().chain([&logits]).chain(&squares))?,
            streams: seeds.iter().map(|&seed| Stream::new(seed, Purpose::Labels, 0)).collect(),
            words: Vec::with_capacity(backprop.activations.batch() * seeds.len()),
            estimates,
            logits,
            squares,
            is_due: false,
        })
    }

    /// Bytes that [`Curvature::new`] takes for batches of at most `batch` rows.
    pub fn bytes(shape: &Shape, batch: u64) -> u64 {
        let inputs = if shape.hidden.is_empty() { shape.inputs as u64 } else { 0 };
        let of_row = inputs.saturating_add(shape.classes as u64 + 1);
        batch.saturating_mul(of_row).saturating_add(shape.parameters()).saturating_mul(4)
    }

    /// Asks whether the next step of a lane takes an estimate.
    pub fn ask(&mut self, optimizer: &dyn LaneOptimizer) {
        self.is_due = (0..self.streams.len()).any(|lane| optimizer.is_curvature_due(lane));
    }

    /// Takes in a piece whose logits have been computed, where the step takes an estimate. The gradients are overwritten, the logits
    /// are not.
    pub fn observe(&mut self, net: &LinearNet, backprop: &Backprop, piece: Piece) -> Result<()> {
        if !self.is_due {
            return Ok(());
        }
        let logits = backprop.activations.logits();
        kernel::copy(logits, &self.logits)?;
        if let Some(squares) = &self.squares {
            kernel::variances(piece.rows, 1.0 / piece.of as f64, logits)?;
            kernel::squares(piece.rows, &backprop.activations.x, squares)?;
            backprop.diagonal(piece.rows, squares)?;
        } else {
            self.draw(piece);
            kernel::drawn_errors(piece.rows, 1.0 / (piece.of as f64).sqrt(), &self.words, logits)?;
            backprop.backward(net, piece.rows)?;
        }
        kernel::copy(&self.logits, logits)?;
        for (estimate, gradient) in self.estimates.iter().zip(backprop.gradients()) {
            if piece.offset == 0 {
                kernel::fill(estimate, 0.0)?;
            }
            match self.squares {
                Some(_) => kernel::add(gradient, estimate)?,
                None => kernel::add_squares(gradient, estimate)?,
            }
        }
        Ok(())
    }

    /// A word for each row and lane of a piece.
    fn draw(&mut self, Piece { rows, first, .. }: Piece) {
        for stream in &mut self.streams {
            stream.seek(first);
        }
        self.words.clear();
        for _ in 0..rows {
            self.words.extend(self.streams.iter_mut().map(Stream::word));
        }
    }
}

/// The gradients of a step, with the estimate that it takes.
pub struct Curved<'a> {
    /// In the order of the parameters.
    pub gradients: &'a Vec<Tensor>,
    /// None of an optimizer that never takes one.
    pub curvature: Option<&'a Curvature>,
}

impl Gradients for Curved<'_> {
    fn gradient(&self, index: usize, _: &Var) -> Option<&Tensor> {
        self.gradients.get(index)
    }

    fn curvature(&self, index: usize) -> Option<&Tensor> {
        self.curvature.filter(|curvature| curvature.is_due)?.estimates.get(index)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{bits, bits_of, taken_in_the_end, trainer};
    use super::super::{Batch, Trainer, all_of};
    use super::*;
    use crate::config::Config;
    use crate::config::layers::{Given, Sources};
    use crate::data::Split;
    use crate::kernel::team;
    use candle_core::DType;
    use candle_core::Device::Cpu;

    const ROWS: usize = 7;
    const INPUTS: usize = 5;
    const CLASSES: usize = 4;

    /// A net of 5 inputs and 4 classes with a batch of 7 rows.
    struct Small {
        net: LinearNet,
        backprop: Backprop,
        curvature: Curvature,
        x: Vec<f64>,
    }

    impl Small {
        /// With weights `size` times those that a net begins with.
        fn new(hidden: &[usize], size: f64) -> Self {
            let shape = Shape { inputs: INPUTS, hidden: hidden.to_vec(), classes: CLASSES };
            let net = LinearNet::new(shape, &[3], &Cpu).unwrap();
            for (_, var) in net.parameters() {
                var.set(&var.affine(size, 0.0).unwrap()).unwrap();
            }
            let mut backprop = Backprop::new(&net, ROWS, &[0.0]).unwrap();
            let mut stream = Stream::new(1, Purpose::Weights, 9);
            let x: Vec<f32> = (0..ROWS * INPUTS).map(|_| stream.symmetric(1.0)).collect();
            backprop.activations.x = Tensor::from_vec(x.clone(), (ROWS, INPUTS), &Cpu).unwrap();
            let mut curvature = Curvature::new(&net, &backprop, &[3]).unwrap();
            curvature.is_due = true;
            Self { net, backprop, curvature, x: x.into_iter().map(f64::from).collect() }
        }

        /// The estimate of the whole batch, of which the first row is sample `first`.
        fn estimate(&mut self, first: u64) -> Vec<Vec<f64>> {
            self.backprop.activations.forward(&self.net, ROWS, &mut []).unwrap();
            let piece = Piece { rows: ROWS, of: ROWS, offset: 0, first };
            self.curvature.observe(&self.net, &self.backprop, piece).unwrap();
            numbers(&self.curvature.estimates)
        }

        fn parameters(&self) -> Vec<Vec<f64>> {
            numbers(&self.net.tensors().into_iter().map(|(_, tensor)| tensor).collect::<Vec<_>>())
        }

        /// The diagonal of the Gauss–Newton matrix of the mean cross entropy, in f64: of each row the variance of ∂z/∂θ under p.
        fn gauss_newton(&self) -> Vec<Vec<f64>> {
            let parameters = self.parameters();
            let mut diagonal: Vec<Vec<f64>> = parameters.iter().map(|own| vec![0.0; own.len()]).collect();
            for x in self.x.chunks(INPUTS) {
                let (z, inputs) = forward(&parameters, x);
                let p = softmax(&z);
                let (last, width) = (parameters.len() - 2, inputs.len());
                let of_label = |label: usize| p[label] - p[label] * p[label];
                for label in 0..CLASSES {
                    for (unit, input) in inputs.iter().enumerate() {
                        diagonal[last][label * width + unit] += of_label(label) * input * input / ROWS as f64;
                    }
                    diagonal[last + 1][label] += of_label(label) / ROWS as f64;
                }
                if last == 0 {
                    continue;
                }
                for (unit, _) in inputs.iter().enumerate().filter(|(_, input)| **input > 0.0) {
                    let slope = |label: usize| parameters[last][label * width + unit];
                    let mean: f64 = (0..CLASSES).map(|label| p[label] * slope(label)).sum();
                    let square: f64 = (0..CLASSES).map(|label| p[label] * slope(label) * slope(label)).sum();
                    let variance = (square - mean * mean) / ROWS as f64;
                    for (input, x) in x.iter().enumerate() {
                        diagonal[0][unit * INPUTS + input] += variance * x * x;
                    }
                    diagonal[1][unit] += variance;
                }
            }
            diagonal
        }
    }

    fn numbers(tensors: &[Tensor]) -> Vec<Vec<f64>> {
        let of = |tensor: &Tensor| tensor.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap();
        tensors.iter().map(of).collect()
    }

    /// Logits of a row in f64, and the inputs of the last layer.
    fn forward(parameters: &[Vec<f64>], x: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let (mut inputs, mut z) = (x.to_vec(), Vec::new());
        for (layer, own) in parameters.chunks(2).enumerate() {
            if layer > 0 {
                inputs = z.iter().map(|z: &f64| z.max(0.0)).collect();
            }
            let sum = |w: &[f64]| -> f64 { w.iter().zip(&inputs).map(|(w, x)| w * x).sum() };
            z = own[0].chunks(inputs.len()).zip(&own[1]).map(|(w, b)| sum(w) + b).collect();
        }
        (z, inputs)
    }

    fn softmax(z: &[f64]) -> Vec<f64> {
        let sum: f64 = z.iter().map(|z| z.exp()).sum();
        z.iter().map(|z| z.exp() / sum).collect()
    }

    #[test]
    fn without_hidden_layers_an_estimate_is_the_second_difference_of_the_loss_whatever_the_targets() {
        const STEP: f64 = 1e-3;
        let mut small = Small::new(&[], 3.0);
        let found = small.estimate(0);
        for smoothing in [0.0, 0.3] {
            let loss = |parameters: &[Vec<f64>]| -> f64 {
                let rows = small.x.chunks(INPUTS).enumerate().map(|(row, x)| {
                    let p = softmax(&forward(parameters, x).0);
                    let wanted = |class: usize| {
                        smoothing / CLASSES as f64 + if class == row % CLASSES { 1.0 - smoothing } else { 0.0 }
                    };
                    -(0..CLASSES).map(|class| wanted(class) * p[class].ln()).sum::<f64>()
                });
                rows.sum::<f64>() / ROWS as f64
            };
            let parameters = small.parameters();
            let middle = loss(&parameters);
            for (tensor, found) in found.iter().enumerate() {
                for (element, found) in found.iter().enumerate() {
                    let at = |by: f64| {
                        let mut moved = parameters.clone();
                        moved[tensor][element] += by;
                        loss(&moved)
                    };
                    let expected = (at(STEP) - 2.0 * middle + at(-STEP)) / (STEP * STEP);
                    // The fourth derivative is at most 1/8, a twelfth of it by the squared step 1e-8; and roundings of f32.
                    assert!((found - expected).abs() < 1e-7, "{tensor} {element}: {found} {expected}");
                }
            }
        }
    }

    #[test]
    fn without_hidden_layers_an_estimate_is_exact_however_sure_the_net_is() {
        for size in [0.1, 1.0, 10.0] {
            let mut small = Small::new(&[], size);
            let found = small.estimate(0);
            for (found, expected) in found.iter().flatten().zip(small.gauss_newton().iter().flatten()) {
                // A sum of seven products of f32, whose logits are rounded.
                assert!((found - expected).abs() < 1e-5 * expected, "{size}: {found} {expected}");
            }
        }
    }

    #[test]
    fn over_many_draws_the_mean_of_estimates_is_the_diagonal_of_the_gauss_newton_matrix() {
        const DRAWS: u64 = 10_000;
        let mut small = Small::new(&[6], 2.0);
        let expected: Vec<f64> = small.gauss_newton().concat();
        let mut sums = vec![[0.0; 2]; expected.len()];
        for draw in 0..DRAWS {
            for (sums, h) in sums.iter_mut().zip(small.estimate(draw * ROWS as u64).concat()) {
                sums[0] += h;
                sums[1] += h * h;
            }
        }
        let mut noise = 0.0;
        for ([sum, squares], expected) in sums.iter().zip(&expected) {
            let mean = sum / DRAWS as f64;
            let deviation = ((squares / DRAWS as f64 - mean * mean).max(0.0) / DRAWS as f64).sqrt();
            // Five standard deviations of the mean, and roundings of f32.
            assert!((mean - expected).abs() <= 5.0 * deviation + 1e-6 * expected, "{mean} {expected} {deviation}");
            noise += deviation;
        }
        // The bound tells a factor of 1.15 from 1.
        let total: f64 = expected.iter().sum();
        assert!(5.0 * noise < 0.15 * total, "{noise} {total}");
        // A draw is a function of the sample's number.
        assert_eq!(small.estimate(14), small.estimate(14));
        assert_ne!(small.estimate(14), small.estimate(21));
    }

    fn of_step(settings: &[(&str, &str)], start: usize, rows: usize, step: u64) -> (Trainer, Vec<Vec<f64>>) {
        let (mut trainer, split, order) = trainer(&[&[("optim.optimizer", "sophia")], settings].concat());
        trainer.gradients(Batch { split: &split, order: &order, start, rows }, step, false).unwrap();
        let estimates = numbers(&trainer.curvature.as_ref().unwrap().estimates);
        (trainer, estimates)
    }

    #[test]
    fn pieces_are_the_whole_batch_where_an_estimate_is_exact_and_the_mean_of_their_own_elsewhere() {
        let close = |found: &[Vec<f64>], expected: &[Vec<f64>]| {
            for (found, expected) in found.iter().zip(expected) {
                let scale = expected.iter().fold(0.0_f64, |a, h| a.max(*h));
                // A few roundings of f32.
                assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6 * scale));
            }
        };
        let linear = ("model.hidden", "none");
        let (_, whole) = of_step(&[linear, ("train.batch_size", "70")], 0, 70, 0);
        let (_, pieces) = of_step(&[linear, ("train.accumulate", "4")], 0, 70, 0);
        close(&pieces, &whole);
        let (_, pieces) = of_step(&[("train.accumulate", "4")], 0, 80, 0);
        let mut mean: Vec<Vec<f64>> = pieces.iter().map(|own| vec![0.0; own.len()]).collect();
        for piece in 0..4 {
            let (_, own) = of_step(&[], 20 * piece, 20, piece as u64);
            mean.iter_mut().flatten().zip(own.concat()).for_each(|(sum, h)| *sum += h / 4.0);
        }
        close(&pieces, &mean);
    }

    #[test]
    fn an_estimate_changes_neither_gradients_nor_sums_and_does_not_ask_for_labels() {
        for hidden in ["none", "6", "7,5"] {
            let more = [("model.hidden", hidden), ("model.dropout", "0.3"), ("augment.augment", "mixup")];
            let (with, estimates) = of_step(&more, 20, 20, 3);
            let (smoothed, same) = of_step(&[&more[..], &[("train.label_smoothing", "0.2")]].concat(), 20, 20, 3);
            assert!(estimates == same && estimates.iter().flatten().all(|h| *h >= 0.0));
            let (mut without, split, order) = trainer(&more);
            assert!(without.curvature.is_none());
            without.gradients(Batch { split: &split, order: &order, start: 20, rows: 20 }, 3, false).unwrap();
            let gradients = |of: &Trainer| {
                bits_of(&of.backprop.gradients().iter().map(|g| (String::new(), g.clone())).collect::<Vec<_>>())
            };
            assert!(gradients(&with) == gradients(&without) && gradients(&with) != gradients(&smoothed));
            assert_eq!(with.sums().unwrap(), without.sums().unwrap());
        }
    }

    fn lane(hidden: &str, index: usize) -> Config {
        let text = |key: &str, text: String| Given { key: key.into(), text, flag: "--set".into() };
        let given = vec![
            text("model.hidden", hidden.into()),
            text("optim.optimizer", "sophia".into()),
            text("optim.update_interval", (1 + index).to_string()),
            text("optim.lr", "1e-3".into()),
            text("train.batch_size", "16".into()),
            text("train.accumulate", "2".into()),
            text("data.data_seed", "3".into()),
            text("train.seed", index.to_string()),
            text("model.dropout", ["0.3", "0", "0.5"][index % 3].into()),
        ];
        Config::load(&Sources { command_line: given, ..Sources::default() }).unwrap()
    }

    #[test]
    fn a_lane_with_an_interval_of_its_own_is_its_own_run_on_any_number_of_threads() -> Result<()> {
        team::start(3)?;
        for hidden in ["none", "6", "30,20"] {
            let configs: Vec<Config> = (0..3).map(|index| lane(hidden, index)).collect();
            let dataset = crate::data::load(&configs[0].dataset, None, true)?;
            let (channels, means) = (dataset.channels(configs[0].scaling), dataset.means());
            let split = Split::new(dataset.imported.test, &Cpu)?;
            let order = all_of(&split, &Cpu)?;
            let run = |configs: &[Config]| -> Result<Trainer> {
                let mut trainer = Trainer::new(configs, split.len(), channels.clone(), means.clone(), &Cpu)?;
                for step in 0..7 {
                    // The last batch is short.
                    let rows = if step == 6 { 21 } else { 32 };
                    trainer.step(Batch { split: &split, order: &order, start: step * 32, rows }, step as u64)?;
                }
                Ok(trainer)
            };
            let together = run(&configs)?;
            for (index, config) in configs.iter().enumerate() {
                let alone = team::with_threads(1, || run(std::slice::from_ref(config)))?;
                assert!(bits_of(&together.tensors(index)?) == bits(&alone), "lane {index} of {hidden}");
                assert_eq!(together.sums()?[index], alone.sums()?[0]);
            }
        }
        Ok(())
    }

    #[test]
    fn groups_take_the_estimate_of_their_own_parameters() -> Result<()> {
        let step = |settings: &[(&str, &str)]| -> Result<Vec<(String, Vec<u32>)>> {
            let (mut trainer, split, order) = trainer(settings);
            trainer.step(Batch { split: &split, order: &order, start: 0, rows: 20 }, 0)?;
            let tensors = trainer.tensors(0)?;
            Ok(tensors.iter().map(|(name, _)| name.clone()).zip(bits_of(&tensors)).collect())
        };
        let whole = step(&[("optim.optimizer", "sophia")])?;
        let part = step(&[("optim.group", "layers.1.* optimizer=sophia")])?;
        for name in ["layers.1.weight.h", "layers.1.bias.h", "layers.1.weight"] {
            let of = |all: &[(String, Vec<u32>)]| all.iter().find(|(own, _)| own == name).map(|(_, bits)| bits.clone());
            assert!(of(&whole).is_some() && of(&whole) == of(&part), "{name}");
        }
        assert!(part.iter().all(|(name, _)| name != "layers.0.weight.h"));
        Ok(())
    }

    #[test]
    fn a_step_that_takes_an_estimate_takes_no_memory() -> Result<()> {
        for more in [("model.hidden", "none"), ("model.dropout", "0.5"), ("optim.group", "*.bias optimizer=adam")] {
            let settings = [("optim.optimizer", "sophia"), ("optim.update_interval", "2"), more];
            let (mut trainer, split, order) = trainer(&settings);
            let taken = taken_in_the_end(|step| {
                let start = 20 * (step as usize % 5);
                trainer.step(Batch { split: &split, order: &order, start, rows: 20 }, step).map(drop)
            })?;
            assert_eq!(taken, 0, "{more:?}");
        }
        Ok(())
    }

    #[test]
    fn a_skipped_step_takes_no_estimate() -> Result<()> {
        let settings = [("optim.optimizer", "sophia"), ("train.non_finite", "skip")];
        let (mut trainer, split, order) = trainer(&settings);
        let batch = Batch { split: &split, order: &order, start: 0, rows: 20 };
        let weight = trainer.net.parameters()[0].1.clone();
        let kept = weight.as_tensor().copy()?;
        let before = bits(&trainer);
        kernel::fill(&weight, f64::INFINITY)?;
        assert_eq!(trainer.step(batch, 0)?, [0]);
        kernel::copy(&kept, &weight)?;
        assert!(bits(&trainer) == before && trainer.optimizer.is_curvature_due(0));
        assert!(trainer.step(batch, 1)?.is_empty() && !trainer.optimizer.is_curvature_due(0));
        Ok(())
    }
}
