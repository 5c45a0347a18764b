//! The trainers of lanes: one for all of them, or in host memory one for each thread, which trains lanes of its own.
//!
//! Threads that share the products of one trainer wait for each other some ten times in a step, and read what the others have just
//! written. With lanes of its own a thread does neither: it takes some steps, and waits once. No lane's bits depend on which lanes are
//! beside it. What is found once a step for all lanes, as augmented images are, is found by each trainer.

use std::time::{Duration, Instant};

use anyhow::Result;
use candle_core::{Device, Tensor};

use super::splits::Splits;
use super::{Parents, trainer};
use crate::config::Config;
use crate::data::Split;
use crate::kernel::{self, Affine, team};
use crate::metrics::{Means, Sums};
use crate::optim::Schedule;
use crate::run::checkpoint::Checkpoint;
use crate::train::health::HealthSums;
use crate::train::{Batch, Evaluator, Taken, Trainer};

/// What threads with trainers of their own take before they wait for each other; a signal waits as long.
const APART: Duration = Duration::from_millis(20);

/// The trainers of lanes that stand at the same step.
pub struct Trainers {
    members: Vec<Member>,
    /// Lanes of each; the last may have fewer.
    each: usize,
    /// Steps that they take apart.
    apart: u64,
}

/// A trainer, the buffers of its evaluations, and what came of its last steps.
struct Member {
    trainer: Trainer,
    evaluator: Evaluator,
    taken: Result<Taken>,
}

impl Trainers {
    /// Those of these lanes, each at its checkpoint; without checkpoints at the start, or at initial weights.
    ///
    /// # Errors
    /// If a checkpoint is another net's, or memory does not suffice.
    pub fn new(
        lanes: &[Config],
        data: &Splits,
        checkpoints: &[Checkpoint],
        parents: &Parents,
        device: &Device,
    ) -> Result<Self> {
        let count = if kernel::is_on_gpu(&data.sample)? { 1 } else { count(lanes, parents) };
        let each = lanes.len().div_ceil(count).max(1);
        let evaluated = data.test_count().max(data.valid.as_ref().map_or(0, Tensor::elem_count));
        let member = |(index, lanes): (usize, &[Config])| {
            let own = checkpoints.chunks(each).nth(index).unwrap_or_default();
            let trainer = trainer(lanes, data, own, parents, device)?;
            let evaluator = Evaluator::new(&trainer.net, evaluated, data.channels.clone(), device)?;
            Ok(Member { trainer, evaluator, taken: Ok(Taken::default()) })
        };
        let members = lanes.chunks(each).enumerate().map(member).collect::<Result<Vec<_>>>()?;
        Ok(Self { members, each, apart: 1 })
    }

    /// The trainer of the lane in this place, and its place there.
    pub fn of(&self, place: usize) -> (&Trainer, usize) {
        (&self.members[place / self.each].trainer, place % self.each)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Trainer> {
        self.members.iter().map(|member| &member.trainer)
    }

    /// The same, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Trainer> {
        self.members.iter_mut().map(|member| &mut member.trainer)
    }

    /// The learning rates of each lane.
    pub fn schedules(&self) -> impl Iterator<Item = &Schedule> {
        self.iter().flat_map(|trainer| &trainer.schedules)
    }

    /// The same, to be changed.
    pub fn schedules_mut(&mut self) -> impl Iterator<Item = &mut Schedule> {
        self.iter_mut().flat_map(|trainer| &mut trainer.schedules)
    }

    /// The step on `batch`, which is the one after `step` others, and some of those that follow it in the order, at most `most` in all and
    /// with as many rows each. The lanes in [`Taken::skipped`] have skipped one of them, or as many as they stand there.
    pub fn steps(&mut self, batch: Batch<'_>, step: u64, most: u64) -> Result<Taken> {
        if let [Member { trainer, .. }] = &mut *self.members {
            return trainer.steps(batch, step, most);
        }
        let started = Instant::now();
        let count = self.apart.min(most);
        team::for_each_of(&mut self.members, |member| {
            member.taken = member.trainer.steps_in_turn(batch, step, count);
        });
        let mut all = Taken { steps: count, skipped: Vec::new() };
        for (index, Member { taken, .. }) in self.members.iter_mut().enumerate() {
            let Taken { skipped, .. } = std::mem::replace(taken, Ok(Taken::default()))?;
            all.skipped.extend(skipped.into_iter().map(|lane| index * self.each + lane));
        }
        let apart = count as f64 * APART.as_secs_f64() / started.elapsed().as_secs_f64();
        self.apart = (apart as u64).max(1);
        Ok(all)
    }

    /// Brings the nets to where they are evaluated.
    pub fn at_evaluation_point(&mut self) -> Result<()> {
        self.iter_mut().try_for_each(|trainer| trainer.optimizer.at_evaluation_point())
    }

    /// Exchanges the nets and the averages of their weights; answers whether there are any.
    pub fn exchange_averages(&self) -> Result<bool> {
        let mut are_some = false;
        for trainer in self.iter() {
            if let Some(average) = &trainer.average {
                average.exchange(&trainer.net)?;
                are_some = true;
            }
        }
        Ok(are_some)
    }

    /// Means of each lane over the examples of a split in `order`.
    pub fn means(&self, split: &Split, order: &Tensor) -> Result<Vec<Means>> {
        self.of_each(|Member { trainer, evaluator, .. }| evaluator.run_lanes(&trainer.net, split, order, |_, _| Ok(())))
    }

    /// For each lane and hidden layer, the share of units that no example in `order` makes active.
    pub fn dead_units(&self, split: &Split, order: &Tensor) -> Result<Vec<Vec<f64>>> {
        self.of_each(|Member { trainer, evaluator, .. }| evaluator.dead_units(&trainer.net, split, order))
    }

    /// Sums of the epoch so far, per lane. This is a synchronisation of host and device.
    pub fn sums(&self) -> Result<Vec<Sums>> {
        self.of_each(|member| member.trainer.sums())
    }

    /// Whether all numbers of all lanes are finite.
    pub fn are_finite(&self) -> Result<bool> {
        self.iter().try_fold(true, |are, trainer| Ok(are && trainer.is_finite()?))
    }

    /// Begins the sums of an epoch.
    pub fn begin_epoch(&mut self) -> Result<()> {
        for trainer in self.iter_mut() {
            trainer.totals.set(&vec![Sums::default(); trainer.net.lanes()])?;
            if let Some(monitor) = &mut trainer.monitor {
                monitor.sums.fill(HealthSums::default());
            }
        }
        Ok(())
    }

    /// What `find` finds for the lanes of each trainer, of all lanes.
    fn of_each<R>(&self, find: impl Fn(&Member) -> Result<Vec<R>>) -> Result<Vec<R>> {
        let mut all = Vec::new();
        for member in &self.members {
            all.extend(find(member)?);
        }
        Ok(all)
    }
}

/// How many trainers lanes have: as many as there are threads, in host memory where few threads would wait for the one with the most lanes,
/// and nothing is found for all lanes at once.
fn count(lanes: &[Config], parents: &Parents) -> usize {
    let threads = team::threads();
    let [config, ..] = lanes else { return 1 };
    // A step may still be one visit of its rows, in which threads wait for each other once.
    let shape = &config.shape;
    let layer = Affine {
        rows: config.batch_size,
        lanes: lanes.len(),
        inputs: shape.inputs,
        outputs: shape.classes,
        shared_input: true,
    };
    let is_visited = shape.hidden.is_empty() && layer.is_visited(true);
    let is_shared = !config.augment.is_none() || parents.teacher.is_some();
    if is_visited || is_shared || !is_even(lanes.len(), threads) { 1 } else { threads }
}

/// So many lanes or a few less, whose threads need not wait.
pub fn even_lanes(lanes: usize, threads: usize) -> usize {
    (1..=lanes).rev().find(|&lanes| is_even(lanes, threads)).unwrap_or(lanes)
}

/// Whether so many lanes leave at most an eighth of the threads' time idle.
fn is_even(lanes: usize, threads: usize) -> bool {
    let places = lanes.div_ceil(threads) * threads;
    lanes >= threads && (places - lanes) * 8 <= places
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::layers::{Given, Sources};
    use crate::data::batches;
    use crate::train::all_of;

    #[test]
    fn threads_have_trainers_of_their_own_where_few_of_them_wait() {
        let even = |threads: usize| (1..20).filter(|&lanes| is_even(lanes, threads)).collect::<Vec<_>>();
        assert_eq!(even(1), (1..20).collect::<Vec<_>>());
        assert_eq!(even(2), [2, 4].into_iter().chain(6..20).collect::<Vec<_>>());
        assert_eq!(even(8), [8, 14, 15, 16]);
        assert_eq!([3, 5, 20, 60, 64].map(|lanes| even_lanes(lanes, 16)), [3, 5, 16, 60, 64]);
        assert_eq!([3, 5, 63].map(|lanes| even_lanes(lanes, 2)), [2, 4, 63]);
    }

    /// Seven lanes, of which the last soon skips its steps and the others do not.
    fn configs(hidden: &str) -> Result<Vec<Config>> {
        let lane = |index: usize| {
            let lr = if index == 6 { "3e38".to_owned() } else { format!("{}e-3", index + 1) };
            let given = [
                ("model.hidden", hidden.to_owned()),
                ("train.batch_size", "20".to_owned()),
                ("train.non_finite", "skip".to_owned()),
                ("train.ema_decay", "0.9".to_owned()),
                ("train.health", "true".to_owned()),
                ("train.seed", index.to_string()),
                ("optim.lr", lr),
            ];
            let given = given.map(|(key, text)| Given { key: key.into(), text, flag: "--set".into() });
            Config::load(&Sources { command_line: given.to_vec(), ..Sources::default() })
        };
        (0..7).map(lane).collect()
    }

    /// Everything that can be seen of lanes after some steps, as text; with how many trainers they have.
    fn seen(hidden: &str) -> Result<(usize, Vec<String>)> {
        let configs = configs(hidden)?;
        let dataset = crate::data::load(&configs[0].dataset, None, true)?;
        let data = Splits::new(&configs[0], dataset, &Device::Cpu)?;
        let mut trainers = Trainers::new(&configs, &data, &[], &Parents::default(), &Device::Cpu)?;
        let order = batches::order(&data.members, 3, 0, &Device::Cpu)?;
        let mut seen = Vec::new();
        let (mut step, mut skipped) = (0, [0; 7]);
        while step < 40 {
            let taken = trainers.steps(data.batch(&order, step, 20), step, 40 - step)?;
            taken.skipped.iter().for_each(|&lane| skipped[lane] += 1);
            step += taken.steps;
        }
        seen.push(format!("{skipped:?} {:?} {}", trainers.sums()?, trainers.are_finite()?));
        let of_train = all_of(&data.train, &Device::Cpu)?;
        for _ in 0..2 {
            seen.push(format!("{:?}", trainers.means(&data.train, &of_train)?));
            seen.push(trainers.exchange_averages()?.to_string());
        }
        seen.push(format!("{:?}", trainers.dead_units(&data.train, &data.sample)?));
        seen.extend(trainers.schedules().map(|schedule| schedule.lr(step).to_string()));
        for place in 0..configs.len() {
            let (trainer, lane) = trainers.of(place);
            for (name, tensor) in trainer.tensors(lane)? {
                let numbers = tensor.flatten_all()?.to_vec1::<f32>()?;
                seen.push(format!("{place} {name} {:?}", numbers.iter().map(|x| x.to_bits()).collect::<Vec<_>>()));
            }
            seen.push(format!("{:?}", trainer.monitor.as_ref().map(|monitor| monitor.sums[lane].clone())));
        }
        trainers.begin_epoch()?;
        seen.push(format!("{:?}", trainers.sums()?));
        Ok((trainers.iter().count(), seen))
    }

    #[test]
    fn lanes_are_the_same_whoever_trains_them() -> Result<()> {
        team::start(4)?;
        for hidden in ["9", "none"] {
            let (one, together) = team::with_threads(1, || seen(hidden))?;
            // Another test may have started fewer threads than four.
            let (count, apart) = team::with_threads(2, || seen(hidden))?;
            assert_eq!((one, count), (1, 2), "{hidden}");
            assert!(
                together[0].starts_with("[0, 0, 0, 0, 0, 0, ") && !together[0].starts_with("[0, 0, 0, 0, 0, 0, 0]")
            );
            assert_eq!(together.len(), apart.len());
            for (together, apart) in together.iter().zip(&apart) {
                assert!(together == apart, "{hidden}: {together:.200} {apart:.200}");
            }
        }
        Ok(())
    }
}
