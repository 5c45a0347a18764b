//! Nets that are pruned and quantized while they train: what is said of them, and that it is so.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;

use common::{Place, checkpoint, raw_tensors};

/// Ten epochs of four steps.
const SMALL: &str = "--limit-train 120 --batch-size 32 --lr 3e-3 --epochs 10 -q --json";

#[test]
fn the_best_of_a_quantized_run_is_quantized() {
    let place = Place::new();
    let outcome = place.succeed(&format!("{SMALL} --hidden 16 --valid-fraction 0.2 --quantize 2 --out run"));
    let epochs = outcome.epochs();
    for epoch in &epochs {
        assert_eq!(epoch["settled"], !epoch["entropy_bytes"].is_null(), "{epoch}");
    }
    // By default the second half of all steps.
    assert_eq!(epochs.iter().filter(|epoch| epoch["settled"] == true).count(), 5);
    let tensors = raw_tensors(&checkpoint(&place.path("run"), "BEST").unwrap());
    for layer in 0..2 {
        let (_, bytes) = &tensors[&format!("layers.{layer}.weight")];
        let weights = bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
        let levels: BTreeSet<u32> = weights.map(|weight| (weight + 0.0).to_bits()).collect();
        assert!(levels.len() <= 3, "{} levels in layer {layer}", levels.len());
    }
}

#[test]
fn a_plateau_falls_in_the_last_round_too() {
    let place = Place::new();
    let plateau = "--schedule plateau --set schedule.plateau_patience=0 --set schedule.plateau_threshold=0.9 --valid-fraction 0.2";
    let rounds = "--prune 0.5 --set prune.method=iterative --set prune.rounds=2";
    let epochs = place.succeed(&format!("{SMALL} {plateau} {rounds}")).epochs();
    let rates: Vec<f64> = epochs.iter().map(|epoch| epoch["lr"].as_f64().unwrap()).collect();
    // The first evaluation behind the first round is the best, the second none that is better: the rate falls from then on.
    assert!(rates[..6].iter().all(|rate| *rate == 3e-3) && rates[9] < 3e-4 * 1.01, "{rates:?}");
}

#[test]
fn rounds_without_steps_are_refused_and_a_plan_counts_all_steps() {
    let place = Place::new();
    let iterative = "--limit-train 120 --batch-size 32 --prune 0.9 --set prune.method=iterative";
    let run = |more: &str| place.run(&format!("{iterative} {more}"));
    run("--epochs 1 --out run").refused(2, &["`prune.rounds` is 10", "the run has 4 steps", "--epochs"]);
    run("--epochs 10 --set prune.rewind=4steps --out run").refused(2, &["`prune.rewind` is step 4", "has 4 steps"]);
    let swept = format!("sweep {iterative} --lr 1e-3,1e-2 --epochs 1 --out swept");
    place.run(&swept).refused(2, &["`prune.rounds` is 10"]);
    assert!(!place.path("run").exists() && !place.path("swept").exists());

    let told = run("--epochs 10 --set prune.rewind=3steps --dry-run").expect(0).stdout;
    assert!(told.contains("# steps       40 in 10 epochs"), "{told}");
    // Forty steps in seven rounds of five, of which the last has ten.
    let end = run("--epochs 10 --set prune.rounds=7 -q --json").expect(0).end();
    assert!((end["sparsity"].as_f64().unwrap() - 0.9).abs() < 1e-3 && end["settled"] == true, "{end}");
}
