//! Settings that work and are probably not what was meant: a run says so and goes on.

use super::schedule;
use crate::config::{Config, Stretch};
use crate::optim::Decay;
use crate::text::counted;

/// What is odd about this configuration on `examples` samples, in words.
pub fn sanity_warnings(config: &Config, examples: usize) -> Vec<String> {
    let mut odd = Vec::new();
    let plan = schedule(config, examples);
    if plan.warmup_steps > plan.total_steps {
        odd.push(format!(
            "`schedule.warmup` takes {} steps, and the run has {}: the learning rate never reaches `optim.lr`",
            plan.warmup_steps, plan.total_steps
        ));
    }
    if config.batch_size > examples && config.full_batch().is_none() {
        odd.push(format!(
            "`train.batch_size` is {}, more than the {} to train on: an epoch is one step",
            config.batch_size,
            counted(examples as u64, "sample")
        ));
    }
    if let (Some(patience), Stretch::Epochs(every)) = (config.patience, config.eval_every)
        && patience.saturating_mul(every) >= config.epochs
    {
        odd.push(format!("`train.patience` is {patience} evaluations, and the run has no more: it never stops early"));
    }
    if let Some(limit) = config.limit_train.filter(|limit| *limit > examples) {
        let samples = counted(examples as u64, "sample");
        odd.push(format!("`data.limit_train` is {limit}, more than the {samples} to train on: all of them are used"));
    }
    if config.form().decay == Decay::Step && config.form().step_epochs >= config.epochs {
        odd.push(format!(
            "`schedule.step_epochs` is {}, and the run has {}: the learning rate never falls",
            config.form().step_epochs,
            config.epochs
        ));
    }
    if config.form().decay == Decay::CosineRestarts {
        let behind = plan.total_steps.saturating_sub(plan.warmup_steps);
        if plan.period_steps >= behind {
            odd.push(format!(
                "`schedule.period` is {}, and the run has no more: the learning rate never restarts",
                counted(plan.period_steps, "step")
            ));
        } else if plan.of_period(plan.total_steps) > 0.0 {
            let rate = plan.lr(plan.total_steps - 1) / plan.lr.max(f64::MIN_POSITIVE);
            odd.push(format!(
                "`schedule.period` and `schedule.period_factor`: the run ends inside a period, at {rate:.2} of `optim.lr`"
            ));
        }
    }
    if config.form().decay == Decay::Milestones
        && let Some(late) = plan.milestones.iter().find(|milestone| **milestone >= plan.total_steps)
    {
        odd.push(format!(
            "`schedule.milestones` has one at step {late}, and the run has {}: the learning rate does not fall there",
            plan.total_steps
        ));
    }
    odd
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::layers::{Given, Sources};

    #[test]
    fn what_is_merely_odd_is_named() {
        let found = |settings: &[(&str, &str)]| {
            let given =
                |(key, text): &(&str, &str)| Given { key: (*key).into(), text: (*text).into(), flag: "--set".into() };
            let command_line = settings.iter().map(given).collect();
            super::sanity_warnings(&Config::load(&Sources { command_line, ..Sources::default() }).unwrap(), 1000)
        };
        assert!(found(&[]).is_empty());
        assert!(found(&[("schedule.warmup", "10epochs"), ("train.batch_size", "1000")]).is_empty());
        assert!(found(&[("schedule.schedule", "milestones")]).is_empty());
        assert!(found(&[("schedule.schedule", "cosine-restarts")]).is_empty());
        for (settings, word) in [
            (&[("schedule.warmup", "11epochs")][..], "schedule.warmup"),
            (&[("train.batch_size", "1001")], "train.batch_size"),
            (&[("data.limit_train", "1001")], "data.limit_train"),
            (&[("train.patience", "10"), ("data.valid_fraction", "0.1")], "train.patience"),
            (&[("schedule.schedule", "step"), ("train.epochs", "5")], "schedule.step_epochs"),
            (&[("schedule.schedule", "milestones"), ("schedule.milestones", "5,10epochs")], "schedule.milestones"),
            (&[("schedule.schedule", "cosine-restarts"), ("schedule.period", "10epochs")], "never restarts"),
            (&[("schedule.schedule", "cosine-restarts"), ("schedule.period", "3epochs")], "inside a period, at 0.80"),
        ] {
            let told = found(settings);
            assert!(told.len() == 1 && told[0].contains(word), "{told:?}");
        }
    }
}
