//! Training on a GPU, as far as it can be tested without one: the trainer's own host code on the emulated device, beside the trainer
//! in host memory. Matrix products are those of the CPU there, so that every bit must be the same.

use anyhow::{Context as _, Result};
use candle_core::{Device, Tensor};

use crate::config::Config;
use crate::data::Split;
use crate::kernel::gpu::emulated::{self, Log};
use crate::kernel::{self, gpu};
use crate::model::LinearNet;
use crate::train::device::longest;
use crate::train::tests::{bits, bits_of, trainer};
use crate::train::{Batch, Evaluator, Trainer};

/// Batches of an epoch, of which the last is short.
const EPOCH: u64 = 24;

/// Steps of `trainer` on batches of which the last of an epoch is short, as many at once as it takes; each epoch has another order.
fn train(trainer: &mut Trainer, split: &Split, steps: std::ops::Range<u64>) -> Result<()> {
    let members: Vec<u32> = (0..1500).map(|sample| sample % 500).collect();
    let order = |epoch: u64| crate::data::batches::order(&members, 1, epoch, &Device::Cpu);
    let mut step = steps.start;
    while step < steps.end {
        let (order, position) = (order(step / EPOCH)?, step % EPOCH);
        let epoch_ends = step - position + EPOCH;
        let is_last = position == EPOCH - 1;
        let (rows, whole) = if is_last { (7, 1) } else { (trainer.step_samples, epoch_ends - 1 - step) };
        let batch = Batch { split, order: &order, start: position as usize * trainer.step_samples, rows };
        step += trainer.steps(batch, step, whole.min(steps.end - step))?.steps;
    }
    Ok(())
}

/// Trains with these settings on either device, and compares weights, state, hits and losses.
fn compare(settings: &[(&str, &str)]) -> Option<Log> {
    let (mut alone, split, _) = trainer(settings);
    train(&mut alone, &split, 0..3 * EPOCH).unwrap();
    let (emulated, log) = emulated::run(|| {
        let (mut trainer, split, _) = trainer(settings);
        train(&mut trainer, &split, 0..3 * EPOCH).unwrap();
        trainer.optimizer.at_evaluation_point().unwrap();
        (bits(&trainer), trainer.sums().unwrap(), trainer.net.lanes())
    })?;
    alone.optimizer.at_evaluation_point().unwrap();
    assert!(emulated.0 == bits(&alone), "{settings:?}");
    for (found, expected) in emulated.1.iter().zip(alone.sums().unwrap()) {
        assert_eq!(found.hits, expected.hits, "{settings:?}");
        // The device's logarithm is its own.
        assert!((found.loss - expected.loss).abs() < 1e-12 * expected.loss.abs(), "{settings:?}");
    }
    Some(log)
}

#[test]
fn every_setting_trains_on_the_device_as_in_host_memory() {
    let settings = [
        ("model.hidden", "none"),
        ("model.hidden", "9,5"),
        ("model.dropout", "0.5"),
        ("train.label_smoothing", "0.1"),
        ("train.clip_norm", "0.1"),
        ("train.clip_value", "0.001"),
        ("train.clip_adaptive", "0.01"),
        ("train.ema_decay", "0.9"),
        ("train.ema_warmup", "true"),
        ("train.accumulate", "3"),
        ("schedule.schedule", "cosine"),
        ("data.scaling", "standard"),
        ("optim.group", "*.bias weight_decay=0; layers.0.* optimizer=sgd"),
        ("optim.amsgrad", "true"),
        ("optim.cautious", "true"),
        ("train.graph", "false"),
        ("train.health", "true"),
        ("train.non_finite", "skip"),
    ];
    let families = crate::optim::FAMILIES.iter().filter(|family| family.on_gpu);
    let families = families.map(|family| ("optim.optimizer", family.name));
    for setting in settings.into_iter().chain(families) {
        // What says how the average is kept needs one.
        let all = [setting, ("train.ema_decay", "0.9")];
        let Some(log) = compare(if setting.0 == "train.ema_warmup" { &all } else { &all[..1] }) else { return };
        let is_eager = ["train.graph", "train.health", "train.non_finite"].contains(&setting.0);
        // Whole batches and short ones; 2 of each warm up. Of 21 and twice 23 whole ones, launches hold 16, 4 and 1; where each step is
        // one of its own, they are as many as steps.
        let expected = match setting.0 {
            _ if is_eager => (0, 0),
            "train.ema_warmup" => (2, 3 * EPOCH as usize - 4),
            _ => (4, 3 + 5 + 5 + 1),
        };
        assert_eq!((log.captures, log.replays), expected, "{setting:?}");
    }
}

#[test]
fn a_recorded_step_is_repeated_without_a_look_at_the_host() {
    let settings =
        [("model.hidden", "8"), ("model.dropout", "0.5"), ("train.clip_norm", "1"), ("optim.optimizer", "lamb")];
    let Some((before, log)) = emulated::run(|| {
        let (mut trainer, split, _) = trainer(&settings);
        train(&mut trainer, &split, 0..2 * EPOCH).unwrap();
        let queue = gpu::queue_of(&trainer.totals.loss).unwrap().unwrap();
        assert!(!queue.is_capturing());
        trainer.on_device.as_ref().unwrap().recorded()
    }) else {
        return;
    };
    assert_eq!((before, log.captures), (3, 3), "the short batch is not recorded yet");
    assert_eq!(log.downloads, 0, "nothing was brought to the host");
    // Launches outside of graphs: of 2 whole and 2 short batches.
    assert_eq!(log.launches["gather"], 4);
    assert_eq!(log.launches["dropout"], 4);
    assert_eq!(log.launches["clip_factors"], 4);
    // 16, 4 and 1 of 21 whole batches; 16, 4 and three more of 23.
    assert_eq!(log.replays, 3 + 5);
}

#[test]
fn the_host_sends_the_scalars_of_a_launch_and_where_an_epoch_begins() {
    for (optimizer, tables) in [("adam", 1), ("lamb", 2)] {
        let run = |epochs: u64| {
            emulated::run(|| {
                let (mut trainer, split, _) = trainer(&[("optim.optimizer", optimizer)]);
                train(&mut trainer, &split, 0..epochs * EPOCH).unwrap();
            })
        };
        let Some((((), few), ((), many))) = run(3).zip(run(5)) else { return };
        // 23 whole batches are 16, 4 and three launches of one; the short one follows them.
        assert_eq!(many.uploads - few.uploads, 2 * (6 * tables + 1), "{optimizer}");
        assert_eq!((many.replays - few.replays, many.captures), (2 * 6, few.captures), "{optimizer}");
    }
}

#[test]
fn a_launch_holds_no_more_steps_than_a_card_does_in_a_blink() {
    let of = |hidden: &[usize], lanes: usize, samples: usize| {
        let shape = crate::model::Shape { inputs: 784, hidden: hidden.to_vec(), classes: 10 };
        longest(&LinearNet::new(shape, &vec![0; lanes], &Device::Cpu).unwrap(), samples)
    };
    assert_eq!((of(&[], 1, 128), of(&[300, 100], 1, 128), of(&[], 1, 60_000)), (64, 64, 64));
    assert_eq!((of(&[], 1024, 128), of(&[2000, 2000], 1, 4096), of(&[2000, 2000], 1, 1)), (23, 1, 64));
}

#[test]
fn a_device_that_cannot_record_goes_on_launch_by_launch() {
    let (mut alone, split, _) = trainer(&[]);
    train(&mut alone, &split, 0..8).unwrap();
    let Some((found, log)) = emulated::run_without_graphs(|| {
        let (mut trainer, split, _) = trainer(&[]);
        train(&mut trainer, &split, 0..8).unwrap();
        bits(&trainer)
    }) else {
        return;
    };
    assert!(found == bits(&alone));
    assert_eq!((log.captures, log.launches["gather"]), (0, 8));
}

#[test]
fn lanes_on_the_device_are_those_in_host_memory() -> Result<()> {
    let text = |key: &str, text: String| crate::config::layers::Given { key: key.into(), text, flag: "--set".into() };
    let lane = |index: usize| {
        let given = vec![
            text("model.hidden", "12,5".into()),
            text("train.batch_size", "20".into()),
            text("train.seed", index.to_string()),
            text("data.data_seed", "3".into()),
            text("optim.lr", format!("1e-{}", 2 + index % 2)),
            text("optim.weight_decay", format!("0.0{index}")),
            text("train.clip_norm", ["none", "0.1", "1"][index % 3].into()),
            text("train.clip_value", ["0.01", "none"][index % 2].into()),
            text("train.label_smoothing", ["0", "0.1"][index % 2].into()),
            text("model.dropout", ["0.3", "0", "0.5"][index % 3].into()),
        ];
        let sources = crate::config::layers::Sources { command_line: given, ..Default::default() };
        Config::load(&sources)
    };
    let configs = (0..5).map(lane).collect::<Result<Vec<_>>>()?;
    let (_, split, _) = trainer(&[]);
    let dataset = crate::data::load(&configs[0].dataset, None, true)?;
    let (channels, means) = (dataset.channels(configs[0].scaling), dataset.means());
    let run = || -> Result<Vec<Vec<Vec<u32>>>> {
        let mut trainer = Trainer::new(&configs, split.len(), channels.clone(), means.clone(), &Device::Cpu)?;
        train(&mut trainer, &split, 0..EPOCH + 9)?;
        (0..configs.len()).map(|lane| Ok(bits_of(&trainer.tensors(lane)?))).collect()
    };
    let expected = run()?;
    if let Some((found, log)) = emulated::run(run) {
        assert!(found? == expected);
        assert_eq!(log.captures, 3);
    }
    Ok(())
}

#[test]
fn a_checkpoint_goes_from_either_device_to_the_other() -> Result<()> {
    let settings = [("optim.optimizer", "nadam"), ("train.ema_decay", "0.9"), ("model.dropout", "0.2")];
    let stopped = |trainer: &mut Trainer| -> Result<_> {
        trainer.optimizer.at_evaluation_point()?;
        let tensors = trainer.tensors(0)?.into_iter().map(|(name, tensor)| Ok((name, tensor.copy()?)));
        Ok((tensors.collect::<Result<Vec<_>>>()?, trainer.optimizer.steps(0), trainer.optimizer.history(0)))
    };
    let first = || -> Result<_> {
        let (mut trainer, split, _) = trainer(&settings);
        train(&mut trainer, &split, 0..6)?;
        stopped(&mut trainer)
    };
    let second = |(tensors, steps, history): &(Vec<(String, Tensor)>, u64, Vec<f64>)| -> Result<_> {
        let (mut trainer, split, _) = trainer(&settings);
        for ((_, from), (_, to)) in tensors.iter().zip(trainer.tensors(0)?) {
            kernel::copy(from, &to)?;
        }
        trainer.optimizer.resume_after(&[(*steps, history.clone())])?;
        train(&mut trainer, &split, 6..13)?;
        Ok(bits_of(&stopped(&mut trainer)?.0))
    };
    let here = first()?;
    let expected = second(&here)?;
    let Some((there, _)) = emulated::run(first) else { return Ok(()) };
    let there = there?;
    assert!(second(&there)? == expected, "from the device to host memory");
    let moved = emulated::run(|| second(&here)).map(|(found, _)| found).transpose()?;
    assert!(moved == Some(expected.clone()), "from host memory to the device");
    let stayed = emulated::run(|| second(&there)).map(|(found, _)| found).transpose()?;
    assert!(stayed == Some(expected), "on the device");
    Ok(())
}

#[test]
fn an_evaluation_on_the_device_is_that_in_host_memory() -> Result<()> {
    let run = || -> Result<_> {
        let (mut trainer, split, order) = trainer(&[("model.hidden", "7"), ("train.ema_decay", "0.9")]);
        train(&mut trainer, &split, 0..3)?;
        let channels = trainer.channels.clone();
        let evaluator = Evaluator::new(&trainer.net, split.len(), channels, &Device::Cpu)?;
        let plain = evaluator.run(&trainer.net, &split, &order, |_, _| Ok(()))?;
        let average = trainer.average.as_ref().context("there is an average")?;
        average.exchange(&trainer.net)?;
        let averaged = evaluator.run(&trainer.net, &split, &order, |_, _| Ok(()))?;
        Ok([plain, averaged])
    };
    let expected = run()?;
    let Some((found, _)) = emulated::run(run) else { return Ok(()) };
    for (found, expected) in found?.iter().zip(expected) {
        assert_eq!(found.accuracy, expected.accuracy);
        assert!((found.loss - expected.loss).abs() < 1e-12);
    }
    Ok(())
}
