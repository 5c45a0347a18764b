//! The optimizers and what stands around them, as a user meets them.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

mod common;

use adamtrain::optim::FAMILIES;
use common::{Place, meta, result, summary, tensors};

/// All, in the order of the list.
fn names() -> impl Iterator<Item = &'static str> {
    FAMILIES.iter().map(|family| family.name)
}

/// The arguments that train by an optimizer: those of one that evaluates the whole split in each step, with all of it as a batch.
fn by(name: &str) -> String {
    let is_full_batch = adamtrain::optim::family(name).unwrap().is_full_batch;
    format!("--optimizer {name}{}", if is_full_batch { " --batch-size 100000" } else { "" })
}

/// Nine steps of an MLP on few digits.
const SMALL: &str = "--hidden 12 --limit-train 300 --batch-size 100 --threads 1 -q";

/// Trains undisturbed, then again and again out of time after a step, and compares.
#[track_caller]
fn survives(arguments: &str) {
    let place = Place::new();
    place.succeed(&format!("{SMALL} --epochs 3 {arguments} --out whole"));
    for _ in 0..40 {
        let outcome = place.run(&format!("{SMALL} --epochs 3 {arguments} --out cut --max-time 1ms --resume"));
        match outcome.code() {
            Some(0) => break,
            Some(75) => {}
            _ => panic!("{arguments}: {outcome:?}"),
        }
    }
    result(&place.path("cut")).is(&result(&place.path("whole")), arguments);
}

#[test]
fn every_optimizer_cut_off_after_every_step_ends_where_it_would_have() {
    for name in names() {
        survives(&by(name));
    }
}

#[test]
fn options_with_a_state_of_their_own_survive_too() {
    for arguments in [
        "--set optim.amsgrad=true",
        "--set optim.cautious=true",
        "--optimizer adamw --set optim.cautious_decay=true",
        "--optimizer sgd --set optim.momentum=0.9 --set optim.nesterov=true",
        "--optimizer rmsprop --set optim.centered=true --set optim.momentum=0.5",
        "--optimizer nadamw --weight-decay 0.1 --set optim.constant_beta1=true",
        "--optimizer ademamix --set optim.alpha_warmup=5 --set optim.beta3_warmup=7",
        "--optimizer nadamw --weight-decay 0.1 --set optim.cautious=true --set optim.cautious_decay=true",
        "--optimizer adabound --set optim.amsgrad=true --schedule cosine",
        "--optimizer asgd --set optim.t0=2",
        "--optimizer prodigy --set optim.d0=1e-3 --set optim.growth_rate=1.5 --set optim.bias_correction=true",
        "--set train.ema_decay=0.5 --valid-fraction 0.2",
        "--set train.ema_decay=0.999 --set train.ema_warmup=true",
        "--health --set train.clip_value=0.01 --set train.clip_adaptive=0.1 --clip-norm 0.1",
        "--set train.accumulate=3 --dropout 0.3",
        "--set train.non_finite=skip",
        "--valid-fraction 0.2 --schedule plateau --set schedule.plateau_patience=0 --lr 0.5",
        "--schedule one-cycle",
        "--schedule cosine-restarts --set schedule.period=3steps --set schedule.period_factor=2 --warmup 2steps",
        "--schedule milestones --set schedule.milestones=0.3,0.6 --set schedule.gamma=0.5",
        "--schedule inverse-sqrt --warmup 3steps",
        "--optimizer lookahead --set optim.sync_period=4 --set optim.slow_step_size=0.7 --valid-fraction 0.2",
        "--optimizer muon --set optim.ns_coefficients=2,-1.5,0.5",
        "--optimizer sophia --set optim.update_interval=2 --set train.accumulate=2 --dropout 0.3",
        "--optimizer sophia --set optim.update_interval=3 --hidden none --set train.non_finite=skip --valid-fraction 0.2",
        "--optimizer soap --set optim.precondition_frequency=4 --set optim.max_precond_dim=32 --set optim.normalize_grads=true --health",
        "--prune 0.8 --hidden 8 --set prune.every=2 --set prune.regrow=0.1 --valid-fraction 0.2",
        "--prune 0.8 --hidden 8 --set prune.every=2 --set prune.saliency=fisher --set prune.clustering=0.5 --set prune.l1=1e-3",
        "--prune 0.8 --hidden 8 --set prune.method=iterative --set prune.rounds=3 --set prune.rewind=1steps",
        "--prune 0.8 --hidden 8 --set prune.granularity=unit --set prune.every=2 --optimizer sgd --lr 0.1",
        "--quantize 2 --hidden 8 --set quantize.after=0.2 --set quantize.rate=1e-4",
        "--prune 0.8 --quantize 8 --set quantize.after=0.2 --set train.non_finite=skip",
        "--state 8bit --health",
        "--state 4bit --optimizer adamw --set optim.cautious_decay=true",
        "--state 4bit --set optim.amsgrad=true --set train.non_finite=skip",
    ] {
        survives(arguments);
    }
    let place = Place::new();
    let groups =
        "optim.group=*.bias weight_decay=0; layers.0.* optimizer=sgd momentum=0.9 lr=0.1; * optimizer=schedule-free";
    let train = |more: &[&str]| {
        let mut arguments: Vec<&str> = SMALL.split_whitespace().collect();
        arguments.extend(["--set", groups, "--optimizer", "adamw", "--epochs", "3"]);
        arguments.extend(more);
        common::finish(&mut place.command(&arguments))
    };
    train(&["--out", "whole"]).expect(0);
    while train(&["--out", "cut", "--resume", "--max-time", "1ms"]).code() == Some(75) {}
    result(&place.path("cut")).is(&result(&place.path("whole")), groups);
    // Three optimizers, each with its own state.
    let file = common::checkpoint(&place.path("whole"), "LATEST").unwrap();
    let names: Vec<String> = tensors(&file).into_keys().collect();
    for name in ["layers.0.weight.b", "layers.0.bias.m", "layers.1.weight.y", "layers.1.weight.z", "layers.1.bias.v"] {
        assert!(names.iter().any(|found| found == name), "{name} in {names:?}");
    }
}

#[test]
fn pruning_by_a_second_moment_is_refused_where_the_optimizer_keeps_none_before_anything_trains() {
    let place = Place::new();
    let fisher = "--hidden 8 --prune 0.5 --set prune.saliency=fisher";
    let refused = |arguments: &str, parameter: &str| {
        place.run(&format!("{arguments} --dry-run")).refused(2, &["second moment", parameter]);
    };
    refused(&format!("{fisher} --optimizer adabelief"), "adabelief keeps none of `layers.0.weight`");
    refused("--optimizer lion --set prune.l1=1e-3", "prune.l1");
    // Its v is that of the weights in another basis.
    refused(&format!("{fisher} --optimizer soap"), "soap keeps none of `layers.0.weight`");
    // Muon drives the hidden matrix, AdamW the rest.
    refused(&format!("{fisher} --optimizer muon"), "muon keeps none of `layers.0.weight`");
    place.succeed("--prune 0.5 --set prune.saliency=fisher --optimizer muon --dry-run");
    let mut grouped: Vec<&str> = fisher.split_whitespace().collect();
    grouped.extend(["--dry-run", "--set", "optim.group=layers.1.weight optimizer=sgd lr=0.1"]);
    common::finish(&mut place.command(&grouped)).refused(2, &["sgd keeps none of `layers.1.weight`"]);
    refused(&format!("{fisher} --state 4bit"), "`optim.state` keeps codes");
    // Steps that are not the rate over a root: by estimates of the rate, a rectification, a trust ratio or bounds.
    for optimizer in ["dadapt-adam", "radam", "lamb", "stableadamw", "adabound"] {
        let told = format!("{optimizer} moves `layers.0.weight` by another");
        place.run(&format!("--optimizer {optimizer} --set prune.l1=1e-3 --dry-run")).refused(2, &["√v̂ + ε", &told]);
    }
    // Of a sweep, before its first point.
    place.run(&format!("sweep {fisher} --optimizer adam,adabelief --out swept")).refused(2, &["adabelief keeps none"]);
    assert!(!place.path("swept").exists());
}

#[test]
fn the_listing_shows_formula_hyperparameters_and_source_of_each() {
    let place = Place::new();
    let list = place.succeed("optimizers").stdout;
    assert!(list.contains("`adamtrain optimizers NAME`"), "{list}");
    let listed = place.answer("optimizers --json");
    let listed = listed["optimizers"].as_array().unwrap();
    assert!(listed.iter().map(|one| one["name"].as_str().unwrap()).eq(names()));
    for one in listed {
        let name = one["name"].as_str().unwrap();
        let part = |key: &str| one[key].as_str().unwrap();
        let text = place.succeed(&format!("optimizers {name}")).stdout;
        let lines: Vec<&str> = list.lines().filter(|line| line.starts_with(&format!("{name} "))).collect();
        assert!(lines.len() == 1 && lines[0].ends_with(part("about")), "{name}: {list}");
        assert!(part("formula").contains('α') && part("formula").contains('='), "{name}");
        assert!(part("source").contains("19") || part("source").contains("20"), "{name}");
        assert!(text.contains(part("formula").lines().next().unwrap()), "{name}");
        assert!(text.contains(part("source")), "{name}");
        for hyper in one["hyperparameters"].as_array().unwrap() {
            assert!(text.contains(hyper["key"].as_str().unwrap()), "{name}");
            assert!(!hyper["default"].is_null() && !hyper["accepts"].as_str().unwrap().is_empty(), "{name}");
        }
        // What is listed is what a run does.
        let plan = place.answer(&format!("{} --hidden 4 --dry-run --json", by(name)));
        for hyper in one["hyperparameters"].as_array().unwrap() {
            let key = hyper["key"].as_str().unwrap().strip_prefix("optim.").unwrap();
            assert_eq!(plan["config"]["optim"][key], hyper["default"], "{name}: {key}");
        }
    }
    let one = place.succeed("optimizers lion").stdout;
    assert!(one.contains("sign(") && !one.contains("adagrad"), "{one}");
    assert_eq!(place.answer("optimizers schedule-free --json")["optimizers"][0]["name"], "schedule-free-adamw");
    place.run("optimizers lino").refused(2, &["lino"]);
    let help = place.succeed("--help").stdout;
    for name in names() {
        assert!(help.contains(name), "{name}");
    }
}

#[test]
fn the_listing_of_schedules_shows_formula_settings_and_end_of_each() {
    let place = Place::new();
    let names = [
        "constant",
        "linear",
        "cosine",
        "cosine-restarts",
        "step",
        "milestones",
        "exponential",
        "exponential-steps",
        "inverse-sqrt",
        "polynomial",
        "one-cycle",
        "wsd",
        "plateau",
    ];
    let text = place.succeed("schedules").stdout;
    let answer = place.answer("schedules --json");
    // Lines are broken where a terminal ends.
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in ["letters", "warm_up"] {
        assert!(words(&text).contains(&words(answer[part].as_str().unwrap())), "{part}");
    }
    let listed = answer["schedules"].as_array().unwrap();
    assert_eq!(listed.iter().map(|one| one["name"].as_str().unwrap()).collect::<Vec<_>>(), names);
    for one in listed {
        let name = one["name"].as_str().unwrap();
        for key in ["about", "source", "formula", "end"] {
            for line in one[key].as_str().unwrap().lines() {
                assert!(!line.is_empty() && words(&text).contains(&words(line)), "{name}: {key}");
            }
        }
        assert!(one["formula"].as_str().unwrap().starts_with('α'), "{name}");
        // What is listed is what a run does.
        let plan = place.answer(&format!("--schedule {name} --valid-fraction 0.1 --dry-run --json"));
        for setting in one["settings"].as_array().unwrap() {
            let key = setting["key"].as_str().unwrap();
            assert!(text.contains(key), "{name}: {key}");
            let value = &plan["config"]["schedule"][key.strip_prefix("schedule.").unwrap()];
            assert_eq!(setting["default"], *value, "{name}: {key}");
        }
    }
    let one = place.succeed("schedules Cosine").stdout;
    assert!(one.contains("cos(π·p)") && !one.contains("OneCycleLR"), "{one}");
    assert!(place.succeed("optimizers LION").stdout.contains("sign("));
    place.run("schedules cosin").refused(2, &["cosin", "`cosine`"]);
    assert!(place.succeed("completions elvish").stdout.contains("schedules"));
    assert!(place.succeed("man").stdout.contains("schedules"));
}

#[test]
fn mistakes_around_optimizers_are_told() {
    let place = Place::new();
    for (arguments, words) in [
        ("--optimizer sgd --beta1 0.5", &["--beta1", "`optim.beta1` is no hyperparameter of sgd", "momentum"][..]),
        ("--optimizer schedule-free --beta1 0", &["--beta1", "`optim.beta1` is `0`", "in [0.01, 1)"]),
        ("--optimizer sgd --set optim.nesterov=true", &["optim.nesterov", "optim.momentum"]),
        ("--optimizer sgd --set optim.cautious=true", &["optim.cautious", "optim.momentum"]),
        ("--optimizer rmsprop --set optim.cautious=true", &["optim.cautious", "optim.momentum"]),
        (
            "--optimizer radam --weight-decay 0.1 --set optim.cautious_decay=true",
            &["optim.cautious_decay", "optim.decoupled"],
        ),
        ("--optimizer rprop --set optim.step_min=100", &["optim.step_min", "optim.step_max"]),
        ("--optimizer rprop --weight-decay 0.1", &["--weight-decay", "no hyperparameter of rprop"]),
        ("--set optim.amsgrad=yes", &["`yes`", "true or false"]),
        ("--set optim.amsgrad=true --set optim.cautious=true", &["optim.cautious", "optim.amsgrad"]),
        (
            "--optimizer muon --set optim.adjust=none",
            &["optim.adjust", "original, match_rms_adamw, spectral_unclamped"],
        ),
        (
            "--optimizer sgd --state 8bit",
            &["--state", "`optim.state` is no hyperparameter of sgd", "is of adam, adamw"],
        ),
        ("--optimizer schedule-free --state 4bit", &["--state", "is of adam, adamw"]),
        (
            "--optimizer muon --set optim.ns_coefficients=3,-4",
            &["optim.ns_coefficients", "three numbers in [-100, 100]"],
        ),
        ("--optimizer lookahead --set optim.sync_period=0", &["optim.sync_period"]),
        ("--optimizer lookahead --set train.ema_decay=0.9", &["train.ema_decay", "lookahead"]),
        ("--optimizer lookahead --prune 0.5", &["lookahead", "neither pruned nor quantized"]),
        ("--state 16bit", &["--state", "`16bit`", "32bit, 8bit, 4bit"]),
        ("--state 8bit --set optim.cautious=true", &["optim.cautious", "optim.state"]),
        ("--state 8bit --device cuda", &["optim.state", "GPU", "--device cpu"]),
        ("--optimizer prodigy --device cuda", &["prodigy", "GPU", "--device cpu"]),
        ("--optimizer adafactor --device cuda", &["adafactor", "GPU", "--device cpu"]),
        ("--optimizer sophia --device cuda", &["sophia", "GPU", "--device cpu"]),
        ("--optimizer sophia --set optim.update_interval=0", &["optim.update_interval"]),
        ("--optimizer sophia --teacher nowhere", &["sophia takes the curvature", "--teacher"]),
        ("--optimizer adafactor --set optim.eps1=1e-20", &["optim.eps1", "1e-18"]),
        ("--optimizer soap --device cuda", &["soap", "GPU", "--device cpu"]),
        ("--optimizer soap --set optim.precondition_frequency=0", &["optim.precondition_frequency"]),
        ("--optimizer soap --set optim.shampoo_beta=1", &["optim.shampoo_beta", "in [-1, 1)"]),
        ("--optimizer lbfgs --limit-train 700", &["lbfgs", "700 samples", "a step sees 128", "--batch-size 700"]),
        ("--optimizer lbfgs --device cuda", &["lbfgs", "GPU", "--device cpu"]),
        ("--optimizer lbfgs --set optim.history_size=0", &["optim.history_size", "at least 1"]),
        ("--optimizer lbfgs --hidden 8 --dropout 0.1", &["model.dropout", "lbfgs", "leave --dropout out"]),
        ("--optimizer lbfgs --augment shift", &["augment.augment", "lbfgs", "leave --augment out"]),
        ("--optimizer lbfgs --clip-norm 1", &["train.clip_norm", "lbfgs", "leave --clip-norm out"]),
        ("--optimizer lbfgs --set train.clip_value=1", &["train.clip_value", "lbfgs"]),
        ("--optimizer lbfgs --set train.clip_adaptive=1", &["train.clip_adaptive", "lbfgs"]),
        ("--optimizer lbfgs --set train.ema_decay=0.9", &["train.ema_decay", "lbfgs"]),
        ("--optimizer lbfgs --set train.non_finite=skip", &["train.non_finite", "lbfgs"]),
        ("--optimizer lbfgs --prune 0.5", &["prune.sparsity", "lbfgs", "--prune"]),
        ("--optimizer lbfgs --quantize 4", &["quantize.bits", "lbfgs", "--quantize"]),
        ("--optimizer lbfgs --schedule cosine", &["schedule.schedule", "lbfgs", "--warmup"]),
        ("--optimizer lbfgs --beta1 0.5", &["--beta1", "no hyperparameter of lbfgs", "history_size"]),
        ("--optimizer dadapt-adam --set optim.growth_rate=0.5", &["optim.growth_rate", "at least 1"]),
        ("--optimizer prodigy --set optim.d0=1e-12 --eps 1e-26", &["optim.d0", "optim.eps"]),
        ("--set optim.group=*.bias", &["optim.group"]),
        ("--schedule plateau", &["plateau", "--valid-fraction"]),
        ("--schedule one-cycle --warmup 5", &["one-cycle", "schedule.warmup"]),
        ("--schedule milestones --set schedule.milestones=", &["schedule.milestones", "`30,60epochs`"]),
        (
            "--schedule milestones --set schedule.milestones=0.75,0.5",
            &["`0.5` does not lie behind `0.75`", "did you mean `0.5,0.75`"],
        ),
        ("--schedule milestones --set schedule.milestones=30,60", &["schedule.milestones", "`30,60epochs`"]),
        ("--set schedule.milestones=0.3", &["schedule.milestones", "--schedule milestones reads it"]),
        ("--schedule cosine-restarts --set schedule.period=0", &["schedule.period", "`500steps`"]),
        ("--schedule cosine-restarts --set schedule.period_factor=0", &["schedule.period_factor", ">= 1"]),
        ("--schedule cosine-restarts --set schedule.period_factor=1.5", &["schedule.period_factor", "whole number"]),
        ("--schedule inverse-sqrt --set schedule.timescale=0steps", &["schedule.timescale", "`auto`"]),
        ("--schedule inverse-sqrt --set schedule.gamma=0.5", &["schedule.gamma", "exponential-steps"]),
        ("--set train.accumulate=0", &["train.accumulate"]),
        ("--set train.ema_decay=1", &["train.ema_decay"]),
        ("--set train.ema_warmup=true", &["train.ema_warmup", "does nothing", "train.ema_decay"]),
        ("--health=maybe", &["--health", "`maybe`"]),
        ("--optimizer schedule-free --set train.ema_decay=0.9", &["train.ema_decay", "schedule-free-adamw"]),
        ("--optimizer asgd --set train.ema_decay=0.9", &["train.ema_decay", "asgd"]),
    ] {
        place.run(arguments).refused(2, words);
    }
    for (group, words) in [
        ("layers.7.* lr_factor=0.5", &["layers.7.*", "matches no parameter", "layers.0.weight"][..]),
        ("*.bias momentum=0.5", &["*.bias", "`momentum` is no hyperparameter of adam"]),
        ("*.bias optimizer=addam", &["optimizer", "addam"]),
        ("*.bias weight_decay=-1", &["weight_decay", "`-1`", ">= 0"]),
        ("*.bias lr_factor=-1", &["lr_factor", ">= 0"]),
        ("*.bias lr_factor=1 lr_factor=2", &["`lr_factor` once"]),
        ("* lr_factor=2; *.bias weight_decay=0", &["*.bias", "groups before it"]),
    ] {
        let group = format!("optim.group={group}");
        common::finish(&mut place.command(&["--set", &group])).refused(2, words);
    }
    let apart = ["--optimizer", "prodigy", "--set", "optim.group=*.bias weight_decay=0"];
    common::finish(&mut place.command(&apart)).refused(2, &["two groups follow prodigy", "another optimizer"]);
    assert!(place.entries().iter().all(|entry| !entry.starts_with("runs")), "{:?}", place.entries());
}

#[test]
fn a_dry_run_says_as_a_run_that_muon_has_no_hidden_matrix() {
    let place = Place::new();
    let words = &["muon: there is no hidden matrix", "optim.adam_lr"];
    let arguments = "--optimizer muon --limit-train 300 --epochs 1 -q";
    for arguments in
        [arguments.to_owned(), format!("{arguments} --dry-run"), format!("sweep {arguments} --lr 1e-3,1e-2")]
    {
        let told = place.succeed(&arguments).says(words).stderr.matches(words[0]).count();
        assert_eq!(told, 1, "{arguments}");
    }
    for arguments in ["--hidden 8", "--hidden 8 --dry-run"] {
        let outcome = place.succeed(&format!("--optimizer muon --limit-train 300 --epochs 1 -q {arguments}"));
        assert!(!outcome.stderr.contains("hidden matrix"), "{outcome:?}");
    }
}

#[test]
fn a_file_for_another_optimizer_can_be_used_and_groups_are_written_in_it() {
    let place = Place::new();
    place.write("adam.toml", "[optim]\noptimizer = \"adam\"\nbeta1 = 0.8\neps = 1e-6\n");
    let outcome = place.run("--config adam.toml --optimizer lion --dry-run");
    let outcome = outcome.expect(0).says(&["`optim.eps` is no hyperparameter of lion", "adam.toml:4"]);
    assert!(outcome.stdout.contains("beta1 = 0.8") && !outcome.stdout.contains("eps ="), "{outcome:?}");
    place.write("wrong.toml", "[optim]\noptimizer = \"lion\"\neps = 1e-6\n");
    place.run("--config wrong.toml").refused(2, &["wrong.toml:3", "`optim.eps`", "lion"]);

    place.write(
        "groups.toml",
        "[optim]\noptimizer = \"adamw\"\n\n[[optim.group]]\nname = \"*.bias\"\nweight_decay = 0\n\n\
         [[optim.group]]\nname = \"layers.1.*\"\noptimizer = \"sgd\"\nlr_factor = 0.5\n",
    );
    place.succeed(&format!("{SMALL} --epochs 1 --config groups.toml --out a"));
    place.succeed(&format!("{SMALL} --epochs 1 --config a/config.toml --out b"));
    result(&place.path("b")).is(&result(&place.path("a")), "config.toml repeats the run");
    place.write("nameless.toml", "[[optim.group]]\nweight_decay = 0\n");
    place.run("--config nameless.toml").refused(2, &["nameless.toml", "name"]);
}

#[test]
fn no_decay_on_biases_is_one_line() {
    let place = Place::new();
    let train = |out: &str, more: &[&str]| {
        let mut arguments: Vec<&str> = SMALL.split_whitespace().collect();
        arguments.extend([
            "--optimizer",
            "adamw",
            "--lr",
            "1e-2",
            "--weight-decay",
            "0.5",
            "--epochs",
            "1",
            "--out",
            out,
        ]);
        arguments.extend(more);
        common::finish(&mut place.command(&arguments)).expect(0);
        tensors(&common::checkpoint(&place.path(out), "LATEST").unwrap())
    };
    let decayed = train("decayed", &[]);
    let spared = train("spared", &["--set", "optim.group=*.bias weight_decay=0"]);
    let same = train("same", &["--set", "optim.group=*.bias weight_decay=0.5"]);
    assert_eq!(decayed, same);
    assert_ne!(decayed["layers.1.bias"], spared["layers.1.bias"]);
}

#[test]
fn what_is_evaluated_is_what_is_saved_with_an_average_or_without_a_schedule() {
    let place = Place::new();
    let end = place.succeed(&format!("{SMALL} --epochs 2 --optimizer schedule-free --out a --json")).end();
    let eval = place.answer("eval a --json");
    assert_eq!(eval["loss"], end["test_loss"]);
    let end = place.succeed(&format!("{SMALL} --epochs 2 --set train.ema_decay=0.7 --out b --json")).end();
    assert_eq!(place.answer("eval b --json")["loss"], end["test_loss"]);
    assert_eq!(place.answer("eval b --ema --json")["loss"], end["ema_test_loss"]);
    assert_ne!(end["ema_test_loss"], end["test_loss"]);
    place.run("eval a --ema").refused(4, &["no moving average", "train.ema_decay"]);
    // A schedule-free run starts from the evaluation point of another.
    let start =
        place.succeed(&format!("{SMALL} --epochs 1 --optimizer schedule-free --lr 1e-30 --init a --out c --json"));
    let (found, expected) = (start.end()["test_loss"].as_f64().unwrap(), eval["loss"].as_f64().unwrap());
    assert!((found - expected).abs() < 1e-6, "{found} {expected}");
}

#[test]
fn four_batches_of_25_make_the_step_of_one_of_100() {
    let place = Place::new();
    let loss = |arguments: &str| {
        let end = place.succeed(&format!("--hidden 12 --limit-train 350 --epochs 2 -q --json {arguments}")).end();
        assert_eq!(end["step"], 8, "{arguments}");
        end["test_loss"].as_f64().unwrap()
    };
    let whole = loss("--batch-size 100");
    let parts = loss("--batch-size 25 --set train.accumulate=4");
    // Sums of rounded products in another order.
    assert!((whole - parts).abs() < 1e-5, "{whole} {parts}");
}

#[test]
fn health_is_in_the_metrics_with_trouble_in_words() {
    let place = Place::new();
    let outcome = place.succeed("--hidden 16 --limit-train 1000 --epochs 2 --health --lr 1e-2 --json --out a");
    for epoch in outcome.epochs() {
        let health = &epoch["health"];
        let weight = &health["parameters"]["layers.0.weight"];
        for key in ["gradient_norm", "update_ratio", "effective_lr", "update_cosine", "epsilon_share"] {
            assert!(weight[key].is_f64(), "{key} in {health}");
        }
        assert_eq!(health["clipped_share"], 0.0);
        assert!(health["dead_units"]["layers.0"].is_f64(), "{health}");
    }
    // Every step clipped, ε far above every gradient, the steps of plain descent too long.
    for (arguments, word) in [
        ("--clip-norm 1e-6", "clipped"),
        ("--eps 10", "below 10·ε"),
        ("--optimizer sgd --lr 30 --hidden none --batch-size 1000", "oscillates"),
        ("--lr 5", "dead"),
    ] {
        let outcome = place.succeed(&format!("--hidden 16 --limit-train 1000 --epochs 2 --health --json {arguments}"));
        let warnings = outcome.end()["health"]["warnings"].to_string();
        assert!(warnings.contains(word) && outcome.stderr.contains(word), "{arguments}: {warnings} {}", outcome.stderr);
    }
    // Looking changes nothing.
    let without = place.succeed("--hidden 16 --limit-train 1000 --epochs 2 --lr 1e-2 --json");
    assert_eq!(without.end()["test_loss"], outcome.end()["test_loss"]);
}

#[test]
fn a_rate_on_a_plateau_falls_by_the_validation_loss_and_is_told() {
    let place = Place::new();
    let outcome = place.succeed(
        "--valid-fraction 0.2 --schedule plateau --set schedule.plateau_patience=1 --set schedule.gamma=0.5 --lr 0.5 \
         --epochs 12 --json --out a",
    );
    let epochs = outcome.epochs();
    let (mut best, mut bad, mut factor) = (f64::INFINITY, 0, 1.0);
    for epoch in &epochs {
        assert_eq!(epoch["lr"].as_f64().unwrap(), 0.5 * factor, "{epoch}");
        let loss = epoch["valid_loss"].as_f64().unwrap();
        if loss < best * (1.0 - 1e-4) {
            (best, bad) = (loss, 0);
        } else {
            bad += 1;
        }
        if bad > 1 {
            (factor, bad) = (factor * 0.5, 0);
        }
    }
    assert!(factor < 1.0, "the rate never fell: {epochs:?}");
    let file = common::checkpoint(&place.path("a"), "LATEST").unwrap();
    let falls = meta(&file)["progress"]["plateau"]["falls"].as_array().unwrap().len() as i32;
    assert_eq!(factor, 0.5_f64.powi(falls));
}

#[test]
fn a_step_whose_gradient_is_not_finite_is_skipped_and_counted_where_asked() {
    let place = Place::new();
    // After a step of this length every product of two layers is infinite.
    let arguments = format!("{SMALL} --optimizer sgd --lr 1e30 --epochs 1 --out");
    place.run(&format!("{arguments} stop")).expect(8).says(&["diverged", "step 2"]);
    let outcome = place.run(&format!("{arguments} skip --set train.non_finite=skip --json"));
    // What is left cannot be evaluated, so the run ends; but the steps were skipped.
    outcome.expect(8).says(&["diverged", "the loss on the test split"]);
    place
        .run(&format!(
            "{SMALL} --optimizer sgd --lr 1e30 --epochs 3 --eval-every 9epochs --out all --set train.non_finite=skip"
        ))
        .expect(8)
        .says(&["epoch 2: all its 3 steps were skipped"]);
    assert_eq!(summary(&place.path("skip"))["status"], "diverged");
}

#[test]
fn another_optimizer_on_resume_is_4_and_named_whatever_the_run_had() {
    let place = Place::new();
    for (began, now) in [
        ("--optimizer ademamix", "--optimizer rmsprop"),
        ("--beta1 0", "--optimizer schedule-free"),
        ("--optimizer sgd --set optim.momentum=0.9", "--optimizer lion"),
    ] {
        let out = format!("run-{}", now.len() + began.len());
        place.succeed(&format!("{SMALL} --epochs 1 {began} --out {out}"));
        let outcome = place.run(&format!("{SMALL} --epochs 2 {now} --out {out} --resume"));
        assert!(!outcome.stderr.contains("WARN"), "{outcome:?}");
        outcome.refused(4, &["`optim.optimizer`", now.rsplit(' ').next().unwrap()]);
    }
}

#[test]
fn a_group_of_another_optimizer_has_its_rate_and_values_have_one_form() {
    let place = Place::new();
    let train = |out: &str, group: &str, more: &[&str]| {
        let group = format!("optim.group={group}");
        let mut arguments: Vec<&str> = SMALL.split_whitespace().collect();
        arguments.extend(["--epochs", "1", "--out", out]);
        if group.len() > "optim.group=".len() {
            arguments.extend(["--set", &group]);
        }
        arguments.extend(more);
        common::finish(&mut place.command(&arguments)).expect(0);
        let mut tensors = tensors(&common::checkpoint(&place.path(out), "LATEST").unwrap());
        // Parameters alone: `layers.0.weight` and not `layers.0.weight.m`.
        tensors.retain(|name, _| name.split('.').count() == 3);
        tensors
    };
    let lion = train("lion", "", &["--optimizer", "lion"]);
    assert_eq!(train("group", "* optimizer=lion", &[]), lion);
    let muon = train("muon", "", &["--optimizer", "muon", "--lr", "0.02", "--set", "optim.adam_lr=0.001"]);
    assert_eq!(train("muon-group", "* optimizer=muon lr=0.02 adam_lr=0.001", &[]), muon);
    assert_eq!(train("muon-factor", "* optimizer=muon lr=0.2 lr_factor=.1 adam_lr=1e-3", &[]), muon);
    // What was written as `.5` and `sf-adamw` is read back, and the same in another form goes on.
    train("form", "*.bias lr_factor=.50 optimizer=sf-adamw", &[]);
    place.succeed("--config form/config.toml --dry-run");
    let same = "optim.group=*.bias optimizer=schedule-free lr_factor=0.5";
    let mut arguments: Vec<&str> = SMALL.split_whitespace().collect();
    arguments.extend(["--epochs", "2", "--out", "form", "--resume", "--set", same]);
    common::finish(&mut place.command(&arguments)).expect(0);
}

#[test]
fn stableadamw_bears_a_small_epsilon_where_no_gradient_ever_comes() {
    let place = Place::new();
    // Pixels of the border are 0 in all images, so their weights rest.
    place.succeed(&format!("{SMALL} --optimizer stableadamw --eps 1e-30 --epochs 1 --set data.scaling=unit"));
}

/// Bytes of the state in the checkpoint of a run of LeNet-300-100 in one lane, and of its parameters.
fn state_bytes(place: &Place, state: &str) -> (f64, f64) {
    let arguments = format!("--hidden 300,100 --limit-train 200 --epochs 1 --state {state} --out {state} -q");
    place.succeed(&arguments);
    let tensors = place.answer(&format!("inspect {state}"))["tensors"].as_array().unwrap().clone();
    let is_state = |name: &str| !matches!(name.rsplit_once('.'), Some((_, "weight" | "bias")));
    let sum = |of_state: bool| {
        let own = tensors.iter().filter(|tensor| is_state(tensor["name"].as_str().unwrap()) == of_state);
        own.map(|tensor| tensor["bytes"].as_f64().unwrap()).sum::<f64>()
    };
    (sum(true), sum(false))
}

#[test]
fn state_in_8_and_4_bits_makes_a_checkpoint_s_state_smaller_by_as_much() {
    let place = Place::new();
    let (whole, parameters) = state_bytes(&place, "32bit");
    assert_eq!((whole, parameters), (8.0 * 266_610.0, 4.0 * 266_610.0));
    // Blocks of 128 elements, tails among them: 1838 + 3 + 235 + 1 + 8 + 1.
    let scales = 2.0 * 4.0 * 2086.0;
    let (eight, _) = state_bytes(&place, "8bit");
    assert_eq!(eight, 2.0 * 266_610.0 + scales);
    assert!(eight / 266_610.0 <= 2.13 && whole / eight >= 3.7);
    let (four, _) = state_bytes(&place, "4bit");
    assert_eq!(four, 266_610.0 + scales);
    assert!(four / 266_610.0 <= 1.07 && whole / four >= 7.2);
    let size = |state: &str| {
        let file = common::checkpoint(&place.path(state), "LATEST").unwrap();
        std::fs::metadata(file).unwrap().len() as f64
    };
    // The file holds a header beside them.
    assert!(size("32bit") - size("8bit") > whole - eight - 4096.0);
    assert!(size("32bit") - size("4bit") > whole - four - 4096.0);
    let text = place.succeed("inspect 4bit").stdout;
    assert!(text.contains("layers.0.weight.m.codes") && text.contains("layers.2.bias.v.scales"), "{text}");
    let memory = |state: &str| {
        place.answer(&format!("--hidden 300,100 --state {state} --dry-run"))["memory_bytes"].as_f64().unwrap()
    };
    // Three state numbers, as amsgrad has them, four copies, and an eighth.
    let saved = 3.0 * 4.0 * 1.125 * (4.0 * 266_610.0 - (266_610.0 + 4.0 * 2086.0));
    assert!((memory("32bit") - memory("8bit") - saved).abs() < 16.0);
}

#[test]
fn adafactor_keeps_a_number_for_each_row_and_column_of_a_weight() {
    let place = Place::new();
    place.succeed("--hidden 300,100 --limit-train 200 --epochs 1 --optimizer adafactor --out run -q");
    let tensors = place.answer("inspect run")["tensors"].as_array().unwrap().clone();
    let is_state = |name: &str| !matches!(name.rsplit_once('.'), Some((_, "weight" | "bias")));
    let own = tensors.iter().filter(|tensor| is_state(tensor["name"].as_str().unwrap()));
    let bytes: u64 = own.map(|tensor| tensor["bytes"].as_u64().unwrap()).sum();
    assert_eq!(bytes, 4 * ((784 + 300) + (300 + 100) + (100 + 10) + 300 + 100 + 10));
    let memory = |optimizer: &str| {
        place.answer(&format!("--hidden 300,100 --optimizer {optimizer} --dry-run"))["memory_bytes"].as_f64().unwrap()
    };
    // Adam's `v_max` counts too; four copies, and an eighth.
    assert!((memory("adam") - memory("adafactor") - 4.0 * 1.125 * (12.0 * 266_610.0 - bytes as f64)).abs() < 16.0);
}

/// What the defaults of a rule would not show: that it learns.
#[test]
fn rules_that_look_at_curvature_learn() {
    let place = Place::new();
    for (words, least) in [
        ("--optimizer sophia --lr 1e-3", 0.88),
        ("--optimizer sophia --lr 1e-3 --hidden 32", 0.95),
        ("--optimizer soap", 0.89),
        ("--optimizer soap --hidden 32", 0.97),
    ] {
        place.succeed(&format!("{words} --expect-accuracy {least} -q"));
    }
}

#[test]
fn soap_keeps_two_squares_for_each_side_that_is_not_too_long() {
    let place = Place::new();
    place.succeed(
        "--hidden 30,20 --limit-train 200 --epochs 1 --optimizer soap --set optim.max_precond_dim=30 --out run -q",
    );
    let tensors = place.answer("inspect run")["tensors"].as_array().unwrap().clone();
    let is_state = |name: &str| !matches!(name.rsplit_once('.'), Some((_, "weight" | "bias")));
    let own = tensors.iter().filter(|tensor| is_state(tensor["name"].as_str().unwrap()));
    let bytes: u64 = own.map(|tensor| tensor["bytes"].as_u64().unwrap()).sum();
    let parameters = 784 * 30 + 30 + 30 * 20 + 20 + 20 * 10 + 10;
    assert_eq!(bytes, 4 * 2 * (parameters + 30 * 30 + (30 * 30 + 20 * 20) + (20 * 20 + 10 * 10)));
    let memory = |optimizer: &str| {
        let arguments = format!("--hidden 30,20 --optimizer {optimizer} --dry-run");
        place.answer(&arguments)["memory_bytes"].as_f64().unwrap()
    };
    let own = memory("soap --set optim.max_precond_dim=30");
    // Adam's `v_max` counts too; four copies, and an eighth.
    let fewer = 12.0 * parameters as f64 - bytes as f64;
    assert!((memory("adam") - own - 4.0 * 1.125 * fewer).abs() < 16.0);
}

#[test]
fn a_run_with_coded_state_that_diverges_is_8_and_names_where() {
    let place = Place::new();
    let outcome = place.run("--hidden 12 --limit-train 300 --epochs 3 --lr 3e38 --state 8bit --out run -q");
    assert_eq!(outcome.code(), Some(8), "{outcome:?}");
}

#[test]
fn the_number_of_threads_changes_nothing_where_state_is_coded() {
    let place = Place::new();
    for state in ["8bit", "4bit"] {
        for threads in [1, 2] {
            let out = format!("{state}-{threads}");
            place.succeed(&format!(
                "--hidden 300 --limit-train 400 --epochs 1 --state {state} --threads {threads} --out {out} -q"
            ));
        }
        let tensors =
            |threads| tensors(&common::checkpoint(&place.path(&format!("{state}-{threads}")), "LATEST").unwrap());
        assert_eq!(tensors(1), tensors(2), "{state}");
    }
}

#[test]
fn lbfgs_goes_deeper_than_adam_with_as_many_evaluations() {
    let place = Place::new();
    let least = |arguments: &str| {
        let arguments = format!("--dataset digits --batch-size 100000 --epochs 60 -q --json {arguments}");
        let epochs = place.succeed(&arguments).epochs();
        epochs.iter().map(|epoch| epoch["train_loss"].as_f64().unwrap()).fold(f64::INFINITY, f64::min)
    };
    // The linear net, and one with a hidden layer.
    for (net, share) in [("none", 0.7), ("32", 0.1)] {
        let adam =
            ["1e-3", "1e-2", "3e-2", "1e-1"].map(|lr| least(&format!("--hidden {net} --optimizer adam --lr {lr}")));
        let adam = adam.into_iter().fold(f64::INFINITY, f64::min);
        let found = least(&format!("--hidden {net} --optimizer lbfgs --out lbfgs-{net}"));
        assert!(found < share * adam, "{net}: lbfgs {found}, adam {adam}");
    }
    let judged = place.answer("eval lbfgs-32 --json");
    assert!(judged["accuracy"].as_f64().unwrap() > 0.95, "{judged}");
}

#[test]
fn lbfgs_with_decay_ends_where_the_gradient_is_0_and_stays() {
    let place = Place::new();
    let arguments = "--dataset digits --optimizer lbfgs --batch-size 100000 --weight-decay 0.01 -q";
    place.succeed(&format!("{arguments} --epochs 100 --out a"));
    let at = |run: &str| common::raw_tensors(&common::checkpoint(&place.path(run), "LATEST").unwrap());
    let largest = |bytes: &[u8]| {
        let numbers = bytes.as_chunks::<4>().0.iter().map(|word| f32::from_le_bytes(*word).abs());
        numbers.fold(0.0_f32, f32::max)
    };
    let end = at("a");
    for name in ["layers.0.weight.g", "layers.0.bias.g"] {
        assert!(largest(&end[name].1) < 1e-4, "{name}: {}", largest(&end[name].1));
    }
    // The optimum is one, wherever a net begins and however the first trial is.
    place.succeed(&format!("{arguments} --epochs 100 --seed 1 --lr 0.3 --out b"));
    let other = at("b");
    for name in ["layers.0.weight", "layers.0.bias"] {
        let numbers =
            |bytes: &[u8]| -> Vec<f32> { bytes.as_chunks::<4>().0.iter().map(|w| f32::from_le_bytes(*w)).collect() };
        let pairs = numbers(&end[name].1).into_iter().zip(numbers(&other[name].1));
        let apart = pairs.fold(0.0_f32, |apart, (a, b)| apart.max((a - b).abs()));
        assert!(apart < 5e-3, "{name}: {apart}");
    }
}

#[test]
fn lbfgs_killed_in_a_line_search_ends_where_it_would_have() {
    for arguments in [
        // Trials beyond, and inside an interval; batches that make a step together.
        "--optimizer lbfgs --batch-size 300 --epochs 12 --lr 1e-3",
        "--optimizer lbfgs --batch-size 100 --set train.accumulate=3 --epochs 12 --lr 100 --weight-decay 1e-3",
        "--optimizer lbfgs --batch-size 300 --epochs 12 --warmup 6 --label-smoothing 0.1 --health",
    ] {
        survives(arguments);
    }
}

#[test]
fn lbfgs_in_pieces_is_lbfgs_and_a_sweep_s_points_are_runs() {
    let place = Place::new();
    let small = "--hidden 12 --limit-train 300 --epochs 8 --optimizer lbfgs --threads 1 -q";
    let loss =
        |arguments: &str| place.succeed(&format!("{small} --json {arguments}")).end()["test_loss"].as_f64().unwrap();
    let (whole, parts) = (loss("--batch-size 300"), loss("--batch-size 100 --set train.accumulate=3"));
    assert!((whole / parts - 1.0).abs() < 1e-2, "{whole} {parts}");

    place.succeed(&format!("sweep {small} --batch-size 300 --lr 0.3,1,20 --seed 0,1 --out swept"));
    let table = std::fs::read_to_string(place.path("swept/results.jsonl")).unwrap();
    assert_eq!(table.lines().filter(|line| line.contains("\"finished\"")).count(), 6, "{table}");
    let end = place.succeed(&format!("{small} --batch-size 300 --lr 20 --seed 1 --data-seed 0 --json")).end();
    assert!(table.contains(&format!("\"test_loss\":{}", end["test_loss"])), "{table} {end}");
}

#[test]
fn what_trains_in_steps_of_a_part_is_refused_for_lbfgs_before_anything_trains() {
    let place = Place::new();
    let words = ["lbfgs goes by loss and gradient over the whole training split", "--batch-size"];
    for arguments in [
        "--optimizer lbfgs --out out",
        "--optimizer lbfgs --dry-run",
        "sweep --optimizer adam,lbfgs --limit-train 300 --out out",
    ] {
        place.run(arguments).refused(2, &words);
    }
    place.run("compare adam lbfgs --limit-train 300 --budget 1 --out out").refused(2, &words);
    place.run("compare adam lbfgs --dropout 0.1 --hidden 8 --budget 1 --out out").refused(2, &["model.dropout"]);
    // A warm-up and a compared one are fine.
    let compared =
        "compare adam lbfgs --limit-train 300 --batch-size 300 --budget 2 --seed 0,1 --epochs 3 -q --out duel";
    place.succeed(compared);
    let grouped = "optim.group=*.bias optimizer=sgd";
    common::finish(&mut place.command(&["--optimizer", "lbfgs", "--set", grouped, "--dry-run"]))
        .refused(2, &["optim.group"]);
    let grouped = "optim.group=*.bias optimizer=lbfgs";
    common::finish(&mut place.command(&["--set", grouped, "--dry-run"])).refused(2, &["optim.group", "lbfgs"]);
}
