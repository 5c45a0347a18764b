//! Training for size: the net computes with weights ŵ = mask ⊙ Q(θ), while the optimizer moves θ. The gradient of ŵ is taken for that
//! of θ, so that what is pruned now can come back.
//!
//! The net holds ŵ wherever it computes, is evaluated or saved; θ, the mask and the quantizer are tensors of their own, which a
//! checkpoint has as state. The optimizer finds θ in the net for the time of its step alone.
//!
//! Bengio et al. 2013, arXiv:1308.3432 (straight-through); Guo et al. 2016, arXiv:1608.04493 (what is pruned comes back).
//!
//! What computes here fails where the device does.

mod mask;
pub mod quantizer;

use anyhow::{Result, bail};
use candle_core::{DType, Tensor};

use crate::config::{Config, Granularity, Saliency};
use crate::kernel;
use crate::model::LinearNet;
use crate::optim::{LaneOptimizer, Rounds};
use mask::{Geometry, Selection};
use quantizer::LearnedStep;

/// What the name of a weight ends with where θ itself is meant, in checkpoints.
pub const DENSE: &str = "dense";

/// What is pruned and quantized in a lane, in steps.
#[derive(Clone, Debug)]
struct Plan {
    /// Pruning, if there is any.
    prune: Option<PrunePlan>,
    /// The part of a step that a pruned weight takes.
    regrow: f64,
    /// λ of the proximal step.
    l1: Option<f64>,
    /// Quantization, if there is any.
    quantize: Option<QuantizePlan>,
}

#[derive(Clone, Debug)]
struct PrunePlan {
    sparsity: f64,
    saliency: Saliency,
    granularity: Granularity,
    clustering: f64,
    floor: f64,
    begin: u64,
    end: u64,
    every: u64,
    /// Of the iterative method, and the step to which it rewinds.
    rounds: Option<(Rounds, u64)>,
}

/// How the weights of a lane are quantized.
#[derive(Clone, Debug)]
pub struct QuantizePlan {
    bits: u64,
    begin: u64,
    zero: f32,
    step_rate: f64,
    /// λ per bit.
    rate: f64,
    /// How often the bits of a level are estimated anew.
    every: u64,
}

/// Steps between two estimates of the bits of a level.
const ESTIMATED_EVERY: u64 = 100;

impl Plan {
    /// That of a configuration, of which an epoch has so many steps; none where the net computes with what the optimizer moves.
    fn new(config: &Config, epoch_steps: u64) -> Option<Self> {
        let total = config.epochs.saturating_mul(epoch_steps);
        // What begins does so before the last step, and is there after it.
        let at = |part: f64| (total as f64 * part).round() as u64;
        let begin = |part: f64| at(part).min(total.saturating_sub(1));
        let rounds = config.rounds_of(total).map(|rounds| (rounds, config.rewind.steps(epoch_steps)));
        let prune = config.sparsity.map(|sparsity| PrunePlan {
            sparsity,
            saliency: config.saliency,
            granularity: config.granularity,
            clustering: config.clustering,
            floor: config.floor,
            begin: begin(config.begin),
            end: at(config.end).max(begin(config.begin) + 1),
            every: config.every,
            rounds,
        });
        let quantize = config.bits.map(|bits| QuantizePlan {
            bits,
            begin: begin(config.after),
            zero: config.zero_bin as f32,
            step_rate: config.step_rate,
            rate: config.rate,
            every: ESTIMATED_EVERY,
        });
        config.is_projected().then_some(Self { prune, regrow: config.regrow, l1: config.l1, quantize })
    }

    /// The step from which on the net is as small as it will be.
    fn settles(&self) -> u64 {
        let pruned = self.prune.as_ref().map_or(0, |prune| match prune.rounds {
            Some((Rounds { count, steps }, _)) => (count - 1) * steps,
            None => prune.end,
        });
        // Weights are quantized after the first step behind the beginning.
        pruned.max(self.quantize.as_ref().map_or(0, |quantize| quantize.begin + 1))
    }

    /// The step to rewind to, where it rewinds.
    fn rewinds_to(&self) -> Option<u64> {
        Some(self.prune.as_ref()?.rounds?.1)
    }
}

impl PrunePlan {
    /// The share of weights to prune after so many steps, where they are chosen anew then:
    ///
    /// ```text
    ///     gradual    s·(1 − (1 − p)³),  p = (step − begin)/(end − begin)     Zhu & Gupta 2017, arXiv:1710.01878, eq. 1
    ///     iterative  1 − (1 − s)^(r/(R − 1)) after round r of R              Frankle & Carbin 2019, arXiv:1803.03635
    /// ```
    fn sparsity_after(&self, steps: u64) -> Option<f64> {
        if let Some((Rounds { count, steps: of_round }, _)) = self.rounds {
            let round = steps / of_round;
            let ends = steps.is_multiple_of(of_round) && (1..count).contains(&round);
            return ends.then(|| 1.0 - (1.0 - self.sparsity).powf(round as f64 / (count - 1) as f64));
        }
        let due = steps == self.end || steps.is_multiple_of(self.every);
        if !due || steps < self.begin || steps > self.end {
            return None;
        }
        let left = 1.0 - (steps - self.begin) as f64 / (self.end - self.begin) as f64;
        Some(self.sparsity * (1.0 - left.powi(3)))
    }
}

/// What belongs to the weights of a layer.
#[derive(Debug)]
struct Layer {
    /// Name of the weights.
    name: String,
    /// θ, `[K, out, in]`.
    dense: Tensor,
    /// 1 for what is kept, 0 for what is pruned, `[K, out, in]`.
    mask: Tensor,
    /// The quantizer of each lane: see [`LearnedStep`].
    quantizer: Tensor,
    /// Where θ is rewound to, `[K, out, in]`.
    rewind: Option<Tensor>,
    /// The optimizer's v, `[K, out, in]`, where it has one.
    v: Option<Tensor>,
}

/// What stands between the weights that an optimizer moves and those that the net computes with.
#[derive(Debug)]
pub struct Projection {
    plans: Vec<Option<Plan>>,
    layers: Vec<Layer>,
    /// The biases are rewound with the weights.
    biases: Vec<(String, Tensor)>,
    geometry: Geometry,
    selection: Selection,
    _views: kernel::Views,
}

/// What is known of the size of a lane.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Size {
    /// Share of the weights that are 0, in 0..=1.
    pub sparsity: f64,
    /// Entropy of masks and levels in bytes, each layer's alone, where weights are quantized.
    pub entropy_bytes: Option<f64>,
}

impl Projection {
    /// That of these lanes, of which an epoch has so many steps; none where no lane prunes or quantizes.
    ///
    /// # Errors
    /// If memory does not suffice.
    pub fn new(
        lanes: &[Config],
        net: &LinearNet,
        optimizer: &dyn LaneOptimizer,
        epoch_steps: u64,
    ) -> Result<Option<Self>> {
        let plans: Vec<Option<Plan>> = lanes.iter().map(|lane| Plan::new(lane, epoch_steps)).collect();
        if plans.iter().all(Option::is_none) {
            return Ok(None);
        }
        let is_rewound = lanes.iter().any(Config::is_rewound);
        let layers = net.parameters().chunks_exact(2).map(|pair| {
            let (name, weight) = &pair[0];
            Ok(Layer {
                name: name.clone(),
                dense: weight.as_tensor().copy()?,
                mask: weight.as_tensor().ones_like()?,
                quantizer: Tensor::zeros((lanes.len(), quantizer::NUMBERS), DType::F32, weight.device())?,
                rewind: is_rewound.then(|| weight.as_tensor().copy()).transpose()?,
                v: None,
            })
        });
        let layers = layers.collect::<candle_core::Result<Vec<Layer>>>()?;
        let biases = net.parameters().chunks_exact(2).filter(|_| is_rewound);
        let biases = biases.map(|pair| Ok((pair[1].0.clone(), pair[1].1.as_tensor().copy()?)));
        let biases = biases.collect::<candle_core::Result<Vec<_>>>()?;
        let spec = &lanes[0].dataset;
        let mut projection = Self {
            plans,
            _views: kernel::Views::new(layers.iter().flat_map(|layer| [&layer.dense, &layer.mask, &layer.quantizer]))?,
            layers,
            biases,
            geometry: Geometry { rows: spec.rows, columns: spec.columns },
            selection: Selection::default(),
        };
        projection.follow(optimizer)?;
        Ok(Some(projection))
    }

    /// Finds the second moments of an optimizer that is new.
    ///
    /// # Errors
    /// If the device fails.
    pub fn follow(&mut self, optimizer: &dyn LaneOptimizer) -> Result<()> {
        let state = optimizer.state()?;
        for (index, layer) in self.layers.iter_mut().enumerate() {
            let name = optimizer.denominator(2 * index, 0).map(|of| format!("{}.{}", layer.name, of.state));
            layer.v = name.and_then(|name| Some(state.iter().find(|(own, _)| *own == name)?.1.clone()));
        }
        let needs = |plan: &Plan| {
            plan.l1.is_some() || plan.prune.as_ref().is_some_and(|prune| prune.saliency == Saliency::Fisher)
        };
        let needs = self.plans.iter().flatten().any(needs);
        let lacks = self.layers.iter().find(|layer| layer.v.is_none());
        if let Some(layer) = lacks.filter(|_| needs) {
            // A configuration that asks for it is refused before it comes to this.
            bail!("the optimizer keeps no second moment of `{}`", layer.name);
        }
        Ok(())
    }

    /// The tensors of a lane by name, which a checkpoint needs; they share this memory.
    ///
    /// # Errors
    /// If the device fails.
    pub fn tensors(&self, lane: usize) -> Result<Vec<(String, Tensor)>> {
        let Some(plan) = &self.plans[lane] else { return Ok(Vec::new()) };
        let rewinds = plan.rewinds_to().is_some();
        let mut tensors = Vec::new();
        for Layer { name, dense, mask, quantizer, rewind, .. } in &self.layers {
            tensors.push((format!("{name}.{DENSE}"), dense.get(lane)?));
            tensors.push((format!("{name}.mask"), mask.get(lane)?));
            tensors.push((format!("{name}.{}", quantizer::NAME), quantizer.get(lane)?));
            if let Some(rewind) = rewind.as_ref().filter(|_| rewinds) {
                tensors.push((format!("{name}.rewind"), rewind.get(lane)?));
            }
        }
        for (name, bias) in self.biases.iter().filter(|_| rewinds) {
            tensors.push((format!("{name}.rewind"), bias.get(lane)?));
        }
        Ok(tensors)
    }

    /// Whether a lane is as small as it will be after so many steps: which of its evaluations is the best is asked from there on.
    pub fn is_settled(&self, lane: usize, steps: u64) -> bool {
        self.plans[lane].as_ref().is_none_or(|plan| steps >= plan.settles())
    }

    /// Before the gradients are clipped, in the step with this number from 0: learns the quantizers' steps, and adds the rate term to the
    /// gradients. `factor` is that of the schedule on the rate, per lane.
    pub fn learn(
        &mut self,
        net: &LinearNet,
        gradients: &[Tensor],
        step: u64,
        factor: impl Fn(usize) -> f64,
    ) -> Result<()> {
        for (lane, plan) in self.plans.iter().enumerate() {
            let quantize = plan.as_ref().and_then(|plan| plan.quantize.as_ref());
            let Some(quantize) = quantize.filter(|quantize| step > quantize.begin) else { continue };
            for (index, (layer, (weight, _))) in self.layers.iter().zip(net.layers()).enumerate() {
                let (weight, dense) = (kernel::lane(weight, lane)?, kernel::lane(&layer.dense, lane)?);
                let gradient = kernel::lane(&gradients[2 * index], lane)?;
                let mask = kernel::lane(&layer.mask, lane)?;
                let quantizer = kernel::lane(&layer.quantizer, lane)?;
                let mut learned = LearnedStep::read(&quantizer)?;
                let most = learned.step() * (quantize.levels() + 0.5);
                let found = kernel::step_gradient(&dense, &mask, &weight, &gradient, most)?;
                kernel::add_pull(&dense, learned.step(), learned.pull(quantize.rate), &gradient)?;
                learned.follow(found, quantize.step_rate * factor(lane));
                learned.write(&quantizer)?;
            }
        }
        Ok(())
    }

    /// Before the optimizer's step, the one with this number from 0: brings θ into the net.
    pub fn before(&self, net: &LinearNet, step: u64) -> Result<()> {
        for (lane, _) in self.plans.iter().enumerate().filter(|(_, plan)| plan.is_some()) {
            self.begin(net, step, lane)?;
            for (layer, (weight, _)) in self.layers.iter().zip(net.layers()) {
                kernel::copy(&kernel::lane(&layer.dense, lane)?, &kernel::lane(weight, lane)?)?;
            }
        }
        Ok(())
    }

    /// Takes θ from the net before its first step, and keeps the point to rewind to.
    fn begin(&self, net: &LinearNet, step: u64, lane: usize) -> Result<()> {
        if step == 0 {
            for (layer, (weight, _)) in self.layers.iter().zip(net.layers()) {
                kernel::copy(&kernel::lane(weight, lane)?, &kernel::lane(&layer.dense, lane)?)?;
            }
        }
        if self.plans[lane].as_ref().and_then(Plan::rewinds_to) == Some(step) {
            for ((layer, (_, bias)), (_, own)) in self.layers.iter().zip(&self.biases).zip(net.layers()) {
                if let Some(rewind) = &layer.rewind {
                    kernel::copy(&kernel::lane(&layer.dense, lane)?, &kernel::lane(rewind, lane)?)?;
                }
                kernel::copy(&kernel::lane(own, lane)?, &kernel::lane(bias, lane)?)?;
            }
        }
        Ok(())
    }

    /// After the optimizer's step, with which so many are done: takes θ out of the net, chooses what is pruned, and leaves ŵ there.
    /// `lr` is the rate of the step, per lane. Answers the lanes whose weights were rewound: their optimizer begins anew.
    pub fn after(
        &mut self,
        net: &LinearNet,
        optimizer: &dyn LaneOptimizer,
        steps: u64,
        lr: impl Fn(usize) -> f64,
    ) -> Result<Vec<usize>> {
        let mut rewound = Vec::new();
        for lane in 0..self.plans.len() {
            let Some(Plan { l1, regrow, .. }) = self.plans[lane] else { continue };
            for (index, (layer, (weight, _))) in self.layers.iter().zip(net.layers()).enumerate() {
                let weight = kernel::lane(weight, lane)?;
                if let (Some(l1), Some(v), Some(of)) = (l1, &layer.v, optimizer.denominator(2 * index, lane)) {
                    let rate = lr(lane) * optimizer.lr_factor(2 * index, lane);
                    kernel::soft_threshold(&weight, &kernel::lane(v, lane)?, of.correction, of.eps, l1 * rate)?;
                }
                let (mask, dense) = (kernel::lane(&layer.mask, lane)?, kernel::lane(&layer.dense, lane)?);
                kernel::keep_dense(&mask, regrow, &weight, &dense)?;
            }
            if self.project(net, optimizer, steps, lane)? {
                rewound.push(lane);
            }
        }
        Ok(rewound)
    }

    /// In place of a step that a lane skips, the one with this number from 0: what was to be chosen, kept or rewound with it is. Answers
    /// whether its weights were rewound.
    pub fn stand_still(
        &mut self,
        net: &LinearNet,
        optimizer: &dyn LaneOptimizer,
        step: u64,
        lane: usize,
    ) -> Result<bool> {
        self.begin(net, step, lane)?;
        self.project(net, optimizer, step + 1, lane)
    }

    /// With θ in place after so many steps: chooses what is pruned of a lane, where that is due, and leaves ŵ in the net. Answers whether
    /// its weights were rewound.
    fn project(&mut self, net: &LinearNet, optimizer: &dyn LaneOptimizer, steps: u64, lane: usize) -> Result<bool> {
        let Some(plan) = &self.plans[lane] else { return Ok(false) };
        let mut is_rewound = false;
        if let Some(prune) = &plan.prune
            && let Some(sparsity) = prune.sparsity_after(steps)
        {
            self.selection.choose(prune, sparsity, &self.layers, lane, optimizer, self.geometry)?;
            is_rewound = prune.rounds.is_some();
        }
        if is_rewound {
            self.rewind(net, lane)?;
        }
        for (layer, (weight, _)) in self.layers.iter().zip(net.layers()) {
            let dense = kernel::lane(&layer.dense, lane)?;
            let mask = kernel::lane(&layer.mask, lane)?;
            let quantizer = match plan.quantize.as_ref().filter(|quantize| steps > quantize.begin) {
                Some(quantize) => {
                    let tensor = kernel::lane(&layer.quantizer, lane)?;
                    let mut learned = LearnedStep::read(&tensor)?;
                    if learned.is_unset() {
                        learned.fit(&dense, &mask, quantize)?;
                    }
                    if steps.is_multiple_of(quantize.every) || !learned.has_bits() {
                        learned.estimate_bits(&dense, &mask, quantize)?;
                    }
                    learned.write(&tensor)?;
                    Some(learned.quantizer(quantize))
                }
                None => None,
            };
            kernel::project(&dense, &mask, quantizer, &kernel::lane(weight, lane)?)?;
        }
        Ok(is_rewound)
    }

    /// Brings θ and the biases of a lane back to the point to rewind to.
    fn rewind(&self, net: &LinearNet, lane: usize) -> Result<()> {
        for ((layer, (_, bias)), (_, own)) in self.layers.iter().zip(&self.biases).zip(net.layers()) {
            if let Some(rewind) = &layer.rewind {
                kernel::copy(&kernel::lane(rewind, lane)?, &kernel::lane(&layer.dense, lane)?)?;
            }
            kernel::copy(&kernel::lane(bias, lane)?, &kernel::lane(own, lane)?)?;
        }
        Ok(())
    }

    /// What the weights of a lane come to, as the net holds them.
    pub fn size(&self, net: &LinearNet, lane: usize) -> Result<Option<Size>> {
        let Some(plan) = &self.plans[lane] else { return Ok(None) };
        let (mut zeros, mut all, mut bits) = (0_usize, 0_usize, Some(0.0));
        for (layer, (weight, _)) in self.layers.iter().zip(net.layers()) {
            let learned = LearnedStep::read(&kernel::lane(&layer.quantizer, lane)?)?;
            kernel::lend(&kernel::lane(weight, lane)?, |weight: &[f32]| {
                zeros += weight.iter().filter(|weight| **weight == 0.0).count();
                all += weight.len();
                bits = bits.filter(|_| plan.quantize.is_some() && !learned.is_unset());
                bits = bits.map(|bits| bits + quantizer::entropy(weight, learned.step()));
            })?;
        }
        Ok(Some(Size { sparsity: zeros as f64 / all.max(1) as f64, entropy_bytes: bits.map(|bits: f64| bits / 8.0) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::tests::{trainer, trainer_on};
    use crate::train::{Batch, Trainer};

    /// Trains on the test split of the digits once; answers with the share of zeros after each step.
    fn trained(settings: &[(&str, &str)]) -> (Trainer, Vec<f64>) {
        let (mut trainer, split, order) = trainer(settings);
        let steps = split.len() / 20;
        let mut zeros = Vec::new();
        for step in 0..steps {
            let batch = Batch { split: &split, order: &order, start: 20 * step, rows: 20 };
            trainer.step(batch, step as u64).unwrap();
            zeros.push(trainer.size(0).unwrap().unwrap().sparsity);
        }
        (trainer, zeros)
    }

    fn numbers(trainer: &Trainer, name: &str) -> Vec<f32> {
        let tensors = trainer.tensors(0).unwrap();
        let found = tensors.iter().find(|(own, _)| own == name).unwrap_or_else(|| panic!("{name}"));
        kernel::lend(&found.1, <[f32]>::to_vec).unwrap()
    }

    #[test]
    fn exactly_the_share_that_was_asked_for_is_pruned_and_it_only_grows() {
        for more in [
            ("prune.saliency", "magnitude"),
            ("prune.saliency", "fisher"),
            ("prune.clustering", "0.5"),
            ("prune.floor", "0.08"),
        ] {
            let settings = [("prune.sparsity", "0.9"), ("prune.every", "5"), ("train.epochs", "1"), more];
            let (trainer, zeros) = trained(&settings);
            assert!(zeros.windows(2).all(|pair| pair[0] <= pair[1] + 1e-9), "{more:?}: {zeros:?}");
            let weights = trainer.net.shape().layers().map(|(inputs, outputs)| inputs * outputs).sum::<usize>() as f64;
            let last = zeros[zeros.len() - 1];
            assert!((last - 0.9).abs() <= 0.5 / weights, "{more:?}: {last}");
            assert!(zeros[0] < 0.1 && zeros[zeros.len() / 2] > 0.5, "{more:?}");
            let floor = numbers(&trainer, "layers.1.weight.mask").iter().sum::<f32>() / 60.0;
            assert!(more.0 != "prune.floor" || floor >= 0.08, "{floor}");
        }
    }

    #[test]
    fn what_is_pruned_comes_back_where_it_may() {
        let changes = |regrow: &str| {
            let settings =
                [("prune.sparsity", "0.9"), ("prune.every", "5"), ("train.epochs", "1"), ("prune.regrow", regrow)];
            let (mut trainer, split, order) = trainer(&settings);
            let (mut before, mut back) = (Vec::new(), 0);
            for step in 0..split.len() / 20 {
                trainer.step(Batch { split: &split, order: &order, start: 20 * step, rows: 20 }, step as u64).unwrap();
                let mask = numbers(&trainer, "layers.0.weight.mask");
                back += mask.iter().zip(&before).filter(|(now, then)| **now > **then).count();
                before = mask;
            }
            back
        };
        assert!(changes("0.5") > 2 * changes("0").max(1), "{} {}", changes("0.5"), changes("0"));
    }

    #[test]
    fn units_are_pruned_whole() {
        let settings =
            [("prune.sparsity", "0.8"), ("prune.granularity", "unit"), ("prune.every", "5"), ("train.epochs", "1")];
        let (trainer, zeros) = trained(&settings);
        assert!(zeros[zeros.len() - 1] >= 0.8);
        let mask = numbers(&trainer, "layers.0.weight.mask");
        let inputs = trainer.net.shape().inputs;
        let rows: Vec<&[f32]> = mask.chunks_exact(inputs).collect();
        let alive: Vec<&&[f32]> = rows.iter().filter(|row| row.contains(&1.0)).collect();
        assert!(
            !alive.is_empty() && alive.iter().all(|row| *row == alive[0]),
            "the units that are left read the same inputs"
        );
    }

    #[test]
    fn rounds_rewind_the_weights_and_the_optimizer() {
        let settings = [
            ("prune.sparsity", "0.75"),
            ("prune.method", "iterative"),
            ("prune.rounds", "3"),
            ("prune.rewind", "2"),
            ("train.epochs", "1"),
        ];
        let (mut trainer, split, order) = trainer(&settings);
        let steps = (split.len() / 20) as u64;
        let round = steps / 3;
        let mut at_rewind = Vec::new();
        for step in 0..steps {
            if step == 2 {
                at_rewind = numbers(&trainer, "layers.0.weight");
            }
            trainer.step(Batch { split: &split, order: &order, start: 20 * step as usize, rows: 20 }, step).unwrap();
            if step + 1 == round {
                let (now, mask) = (numbers(&trainer, "layers.0.weight"), numbers(&trainer, "layers.0.weight.mask"));
                assert_eq!(trainer.optimizer.steps(0), 0);
                assert!(now.iter().zip(&at_rewind).zip(&mask).all(|((now, then), mask)| *now == then * mask));
                assert!((trainer.size(0).unwrap().unwrap().sparsity - 0.5).abs() < 1e-3);
            }
        }
        assert!((trainer.size(0).unwrap().unwrap().sparsity - 0.75).abs() < 1e-3);
    }

    #[test]
    fn quantized_weights_are_levels_and_the_step_is_learned() {
        let settings =
            [("quantize.bits", "3"), ("quantize.after", "0.3"), ("train.epochs", "1"), ("quantize.rate", "1e-5")];
        let (trainer, _) = trained(&settings);
        for layer in 0..2 {
            let learned = numbers(&trainer, &format!("layers.{layer}.weight.quantizer"));
            let step = quantizer::step_of(&learned).unwrap();
            let levels: Vec<f32> =
                numbers(&trainer, &format!("layers.{layer}.weight")).iter().map(|weight| weight / step).collect();
            assert!(levels.iter().all(|level| (level - level.round()).abs() < 1e-4 && level.abs() < 3.1));
            assert!(levels.iter().any(|level| level.round() != 0.0) && learned[4] > 10.0);
        }
        assert!(trainer.size(0).unwrap().unwrap().entropy_bytes.unwrap() > 100.0);
    }

    #[test]
    fn what_is_asked_for_is_there_when_it_is_said_to_be_however_few_steps_there_are() {
        // Of 11 steps in ten rounds, 51 in seven and 71 in ten.
        for (samples, rounds) in [(220, 10), (1020, 7), (1420, 10)] {
            let settings = [
                ("prune.sparsity", "0.9".to_owned()),
                ("prune.method", "iterative".to_owned()),
                ("prune.rounds", rounds.to_string()),
            ];
            let settings: Vec<(&str, &str)> = settings.iter().map(|(key, text)| (*key, text.as_str())).collect();
            let size = last_size(&settings, samples);
            assert!((size.sparsity - 0.9).abs() < 1e-3, "{samples} in {rounds}: {size:?}");
        }
        for after in ["0", "0.5", "0.99"] {
            assert!(last_size(&[("quantize.bits", "3"), ("quantize.after", after)], 20).entropy_bytes.is_some());
        }
        let late = [("prune.sparsity", "0.5"), ("prune.begin", "0.99"), ("prune.end", "1")];
        assert!((last_size(&late, 800).sparsity - 0.5).abs() < 1e-3);
    }

    /// What one epoch of the first samples of the digits' test split leaves, in steps of twenty. No step that counts as settled is before
    /// that.
    fn last_size(settings: &[(&str, &str)], samples: usize) -> Size {
        let (mut trainer, split, order) = trainer_on(&[settings, &[("train.epochs", "1")]].concat(), samples);
        let steps = samples / 20;
        let mut settled = None;
        for step in 0..steps {
            let batch = Batch { split: &split, order: &order, start: 20 * step, rows: 20 };
            trainer.step(batch, step as u64).unwrap();
            let size = trainer.size(0).unwrap().unwrap();
            if trainer.is_settled(0, step as u64 + 1) {
                let first = *settled.get_or_insert(size);
                assert_eq!(first.entropy_bytes.is_some(), size.entropy_bytes.is_some(), "after step {step}");
                assert!((first.sparsity - size.sparsity).abs() < 0.3, "after step {step}: {first:?}, {size:?}");
            }
        }
        assert!(settled.is_some(), "{settings:?} never settles");
        trainer.size(0).unwrap().unwrap()
    }

    #[test]
    fn a_lane_that_skips_a_step_is_pruned_and_rewound_all_the_same() {
        let iterative = [("prune.method", "iterative"), ("prune.rounds", "4"), ("prune.rewind", "0")];
        for more in [&iterative[..], &[("prune.every", "25"), ("prune.end", "0.75")]] {
            let settings = [&[("prune.sparsity", "0.5"), ("train.epochs", "1")], more].concat();
            let (mut trainer, split, order) = trainer(&settings);
            // As if other weights had been loaded before the first step.
            let loaded = kernel::lane(&trainer.net.layers().next().unwrap().0.clone(), 0).unwrap();
            kernel::lend_mut(&loaded, |weights: &mut [f32]| weights.iter_mut().for_each(|weight| *weight += 1.0))
                .unwrap();
            let before = numbers(&trainer, "layers.0.weight");
            for step in 0..100 {
                let is_chosen_after = (step + 1) % 25 == 0;
                if step == 0 || is_chosen_after {
                    trainer.stand_still(step, &[0]).unwrap();
                } else {
                    let batch = Batch { split: &split, order: &order, start: 20 * step as usize, rows: 20 };
                    trainer.step(batch, step).unwrap();
                }
            }
            assert!((trainer.size(0).unwrap().unwrap().sparsity - 0.5).abs() < 1e-3, "{more:?}");
            let (now, mask) = (numbers(&trainer, "layers.0.weight"), numbers(&trainer, "layers.0.weight.mask"));
            let kept = now.iter().zip(&before).zip(&mask).filter(|(_, mask)| **mask > 0.0);
            assert!(kept.map(|((now, before), _)| (now - before).abs()).fold(0.0, f32::max) < 0.2, "{more:?}");
        }
    }

    #[test]
    fn the_proximal_step_goes_by_the_rate_of_its_weights() {
        let trained_with = |more: &[(&str, &str)]| {
            let (trainer, _) = trained(&[&[("prune.l1", "1e-3"), ("train.epochs", "1")], more].concat());
            numbers(&trainer, "layers.0.weight")
        };
        let halved = trained_with(&[("optim.lr", "0.02"), ("optim.group", "* lr_factor=0.5")]);
        assert!(halved == trained_with(&[("optim.lr", "0.01")]));
        assert!(halved.iter().filter(|weight| **weight == 0.0).count() > halved.len() / 20);
    }

    #[test]
    fn bounds_hold_for_the_gradient_with_the_rate_term() {
        let settings = [
            ("optim.optimizer", "sgd"),
            ("optim.lr", "1"),
            ("train.clip_norm", "1e-3"),
            ("quantize.bits", "3"),
            ("quantize.after", "0"),
            ("quantize.rate", "0.1"),
            ("train.epochs", "1"),
        ];
        let (mut trainer, split, order) = trainer(&settings);
        let parameters = || ["layers.0.weight.dense", "layers.0.bias", "layers.1.weight.dense", "layers.1.bias"];
        let mut before: Option<Vec<f32>> = None;
        for step in 0..5 {
            trainer.step(Batch { split: &split, order: &order, start: 20 * step, rows: 20 }, step as u64).unwrap();
            let now = parameters().map(|name| numbers(&trainer, name)).concat();
            if let Some(before) = before {
                let squares = now.iter().zip(&before).map(|(now, before)| f64::from(now - before).powi(2));
                let moved = squares.sum::<f64>().sqrt();
                assert!((moved - 1e-3).abs() < 1e-5, "step {step}: {moved}");
            }
            before = Some(now);
        }
    }
}
