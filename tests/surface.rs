//! What a user types and what comes back: flags, configuration, JSON, exit codes, standard streams, seeds.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

mod common;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;

use common::{Place, Running, finish, result, small_idx, summary, without_clock};
use serde_json::Value;

/// A run of well under a second.
const FAST: &str = "--limit-train 500 --batch-size 50 --epochs 2 --threads 1";

/// A run on a fixture, faster still.
fn tiny() -> String {
    let folder = small_idx().display();
    format!("--dataset mnist --data-dir {folder} --batch-size 50 --epochs 3 --threads 1")
}

#[test]
fn wrong_flags_are_refused_with_one_message_and_leave_nothing_behind() {
    let table: &[(&str, i32, &[&str])] = &[
        ("--epoch 3", 2, &["--epoch", "--epochs"]),
        ("--lr nan", 2, &["--lr", "`optim.lr`", "`nan`", "number"]),
        ("--lr inf", 2, &["--lr", "`inf`"]),
        ("--lr -1", 2, &["--lr", "`-1`"]),
        ("--lr 0", 2, &["--lr", "`0`"]),
        ("--lr 1e999", 2, &["--lr", "`1e999`"]),
        ("--lr 1e-999", 2, &["--lr", "`1e-999`"]),
        ("--lr fast", 2, &["--lr", "`fast`", "number"]),
        ("--lr", 2, &["--lr"]),
        ("--beta1 1.0", 2, &["--beta1", "`1.0`", "number"]),
        ("--beta1 -0.1", 2, &["--beta1", "`-0.1`"]),
        ("--beta2 1", 2, &["--beta2", "`1`"]),
        ("--eps 0", 2, &["--eps", "`0`"]),
        ("--weight-decay -1", 2, &["--weight-decay", "`-1`"]),
        ("--batch-size 0", 2, &["--batch-size", "`0`"]),
        ("--batch-size 9223372036854775808", 2, &["--batch-size"]),
        ("--epochs 0", 2, &["--epochs", "`0`"]),
        ("--epochs 1.5", 2, &["--epochs", "`1.5`"]),
        ("--hidden 0", 2, &["--hidden", "`0`"]),
        ("--hidden 1099511627776", 2, &["--hidden", "1099511627776"]),
        ("--hidden a,b", 2, &["--hidden", "`a,b`"]),
        ("--hidden 10,,10", 2, &["--hidden"]),
        ("--valid-fraction 1", 2, &["--valid-fraction", "`1`"]),
        ("--valid-fraction 0.99999", 2, &["valid_fraction", "train"]),
        ("--valid-fraction 1e-9", 2, &["valid_fraction", "validate"]),
        ("--limit-train 0", 2, &["--limit-train"]),
        ("--dropout 1", 2, &["--dropout"]),
        ("--dataset mnits", 2, &["mnits", "did you mean `mnist`"]),
        ("--optimizer adma", 2, &["did you mean `adam`"]),
        ("--schedule cosin", 2, &["did you mean `cosine`"]),
        ("--warmup 3s", 2, &["--warmup"]),
        ("--teacher nowhere", 4, &["nowhere", "No such file"]),
        ("--teacher nowhere --set teacher.weight=1.5", 2, &["`teacher.weight`", "`1.5`"]),
        ("--teacher nowhere --set teacher.temperature=0", 2, &["`teacher.temperature`", "`0`"]),
        ("--augment elastc", 2, &["did you mean `elastic`"]),
        ("--augment flip+zoom", 2, &["`flip+zoom`", "cutout, mixup"]),
        ("--augment cutuot+mixup", 2, &["did you mean `cutout+mixup`"]),
        ("--augment flip+flip", 2, &["did you mean `flip`"]),
        ("--augment none+flip", 2, &["`none+flip`"]),
        ("--augment cutout --set augment.cutout=-1", 2, &["`augment.cutout`", "`-1`"]),
        ("--augment cutout --set augment.cutout=8.5", 2, &["`augment.cutout`", "`8.5`"]),
        ("--augment cutout --set augment.cutout=33", 2, &["`augment.cutout` is 33", "`digits`", "augment.cutout="]),
        ("--augment mixup --set augment.mixup=-0.1", 2, &["`augment.mixup`", "`-0.1`"]),
        ("--augment mixup --set augment.mixup=101", 2, &["`augment.mixup`", "`101`", "100"]),
        ("--augment mixup --batch-size 1", 2, &["`augment.mixup`", "`train.batch_size`"]),
        ("--augment affine --set augment.rotation=181", 2, &["`augment.rotation`", "`181`", "180"]),
        ("--augment affine --set augment.scale=1", 2, &["`augment.scale`", "`1`", "0.9"]),
        ("--augment affine --set augment.shift=-1", 2, &["`augment.shift`", "`-1`"]),
        ("--augment elastic --set augment.sigma=0.5", 2, &["`augment.sigma`", "`0.5`"]),
        ("--augment elastic --set augment.alpha=inf", 2, &["`augment.alpha`", "`inf`"]),
        ("--save-every 10", 2, &["--save-every", "`10s`"]),
        ("--save-every 0steps", 2, &["--save-every"]),
        ("--max-time 0s", 2, &["--max-time"]),
        ("--clip-norm 0", 2, &["--clip-norm"]),
        ("--seed -1", 2, &["--seed"]),
        ("--threads 0", 2, &["--threads"]),
        ("--patience 3", 2, &["train.patience", "--valid-fraction"]),
        ("--device gpu", 2, &["--device", "`gpu`", "cuda"]),
        ("--device cuda:-1", 2, &["--device"]),
        ("--expect-accuracy 2", 2, &["--expect-accuracy"]),
        ("--expect-accuracy nan", 2, &["--expect-accuracy"]),
        ("--resume", 2, &["--out"]),
        ("--set optim.lr", 2, &["--set", "KEY=VALUE"]),
        ("--set optim.beta3=0.9", 2, &["`optim.beta3`", "did you mean `optim.beta"]),
        ("--set lr=1", 2, &["`lr`", "did you mean `optim.lr`"]),
        ("--config missing.toml", 2, &["missing.toml", "No such file"]),
        ("--config .", 2, &["directory"]),
        ("--init nowhere", 4, &["nowhere", "No such file"]),
        ("--hidden 1048576,1048576", 5, &["needs about ", " TB, and ", " GB are available", "--hidden"]),
        ("surplus", 2, &["surplus"]),
        ("eval", 2, &["RUN"]),
        ("eval nowhere", 4, &["nowhere", "No such file"]),
        ("eval nowhere --split all", 2, &["all", "valid"]),
        ("predict nowhere", 2, &["INPUT"]),
        ("predict nowhere 7.png", 4, &["nowhere", "No such file"]),
        ("inspect nowhere", 4, &["nowhere"]),
        ("export nowhere --to net.npz", 4, &["nowhere"]),
        ("export nowhere --to net.txt", 2, &["`.txt`", "`.npz`"]),
        ("data mnits", 2, &["mnits", "mnist"]),
        ("completions tcsh", 2, &["tcsh", "bash"]),
    ];
    let place = Place::new();
    for (arguments, code, words) in table {
        let outcome = place.run(arguments);
        assert_eq!(outcome.code(), Some(*code), "{arguments}: {outcome:?}");
        outcome.refused(*code, words);
        let left = place.entries();
        assert!(left.is_empty(), "{arguments} leaves {left:?}");
    }
}

#[test]
fn a_word_of_another_program_leads_to_what_is_meant() {
    let table: &[(&str, &[&str])] = &[
        ("--optimizer amsgrad", &["`--optimizer adam --set optim.amsgrad=true`"]),
        ("--optimizer Adam-AMSGrad", &["`--optimizer adam --set optim.amsgrad=true`"]),
        ("--optimizer nesterov", &["`--optimizer sgd --set optim.momentum=0.9 --set optim.nesterov=true`"]),
        ("--optimizer sgdm", &["`--optimizer sgd --set optim.momentum=0.9`"]),
        ("--optimizer adamast", &["`adamax`"]),
        ("--optimizer adamaz", &["`adamax`"]),
        ("--optimizer rms", &["`rmsprop`"]),
        ("--optimizer adamw8bit", &["`--optimizer adamw --state 8bit`"]),
        ("--schedule warmup_cosine", &["`--schedule cosine --warmup 1epoch`"]),
        ("--schedule StepLR", &["`--schedule step --set schedule.step_epochs=10"]),
        ("--schedule MultiStepLR", &["`--schedule milestones --set schedule.milestones="]),
        ("--schedule SGDR", &["`cosine-restarts`"]),
        ("--schedule reduce_on_plateau", &["`plateau`"]),
        ("--dataset cifar", &["`cifar10`"]),
        ("--dataset fmnist", &["`fashion-mnist`"]),
        ("data cifar", &["`cifar10`"]),
        ("optimizers amsgrad", &["optim.amsgrad=true"]),
        ("--momentum 0.9", &["unknown flag `--momentum`", "`--set optim.momentum=0.9`"]),
        ("--plateau-patience=3", &["`--set schedule.plateau_patience=3`"]),
        ("--nesterov", &["`--set optim.nesterov=true`"]),
        ("--nesterov 1", &["`--set optim.nesterov=true`"]),
        ("--betas 0.9,0.99", &["`--beta1 0.9 --beta2 0.99`"]),
        ("--betas=[0.9, 0.99]", &["`--beta1 B1 --beta2 B2`"]),
        ("--resume-from runs/a", &["`--out runs/a --resume`"]),
        ("--dry-run --expect-accuracy 0.5", &["--dry-run cannot be given with --expect-accuracy"]),
        ("--learning_rate 0.1", &["`--lr`"]),
        ("--lr 1e-3,1e-2", &["`adamtrain sweep --lr 1e-3,1e-2`"]),
        ("--set optim.lr=1e-3,1e-2", &["`adamtrain sweep --set optim.lr=1e-3,1e-2`"]),
        ("--lr 1e-3 1e-2", &["`adamtrain sweep --lr 1e-3,1e-2`"]),
        ("sweep --lr 1e-3 1e-2", &["`--lr 1e-3,1e-2`"]),
        ("--hidden 300 100", &["`--hidden 300,100`"]),
        ("--hidden 300x100", &["`300,100`"]),
        ("--hidden 784-300-100-10", &["`300,100`"]),
        ("--health false", &["`--health=false`"]),
        ("--lr 1e39", &["at most 3.4028234663852886e38"]),
        ("--seed 18446744073709551615", &["0..9223372036854775807"]),
        ("--limit-train 4294967296", &["1..4294967295"]),
        ("--device gpu", &["did you mean `cuda`?"]),
        ("--device gpu:1", &["did you mean `cuda:1`?"]),
        ("--device cuda0", &["did you mean `cuda:0`?"]),
        ("--device mps", &["`cpu`, `cuda`"]),
        ("--random 3", &["`adamtrain sweep`"]),
        ("swep", &["`adamtrain sweep`"]),
        ("classify", &["`adamtrain predict`"]),
        ("ls", &["`adamtrain runs`"]),
        ("halp", &["`adamtrain help`"]),
        ("--json runs", &["`adamtrain runs --json`"]),
    ];
    let place = Place::new();
    for (arguments, words) in table {
        let outcome = place.run(arguments);
        assert_eq!(outcome.code(), Some(2), "{arguments}: {outcome:?}");
        outcome.refused(2, words);
    }
    assert!(place.entries().is_empty());
}

#[test]
fn names_are_read_without_regard_to_case_and_flags_with_underscores_or_as_keys() {
    let place = Place::new();
    let config = |arguments: &str| place.answer(&format!("{arguments} --dry-run"))["config"].clone();
    assert_eq!(
        config("--optimizer AdamW --dataset Digits --schedule Cosine --device CPU"),
        config("--optimizer adamw --dataset digits --schedule cosine --device cpu")
    );
    // As agents of sweeps pass them.
    assert_eq!(
        config("--weight_decay=0.1 --batch_size=64 --health=True --clip_norm=None --valid_fraction 0.1"),
        config("--weight-decay 0.1 --batch-size 64 --health --valid-fraction 0.1")
    );
    let config_of = config("--optim.optimizer=sgd --optim.lr=0.1 --optim.momentum 0.9 --train.batch_size=32");
    assert_eq!(config_of, config("--optimizer sgd --lr 0.1 --set optim.momentum=0.9 --batch-size 32"));
    // The last one wins, whichever way it is spelled.
    assert_eq!(config("--lr 1 --optim.lr=2 --set optim.lr=3 --optim.lr 4")["optim"]["lr"], 4.0);
    // Every key of every configuration.
    let all = config("--optimizer sgd");
    for (section, entries) in all.as_object().unwrap() {
        for (name, value) in entries.as_object().unwrap().iter().filter(|(_, value)| !value.is_null()) {
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Array(_) => "none".into(),
                other => other.to_string(),
            };
            assert_eq!(config(&format!("--optimizer sgd --{section}.{name}={text}")), all, "{section}.{name}");
        }
    }
    for arguments in ["--help", "train --help", "sweep --help", "man"] {
        let text = place.succeed(arguments).stdout;
        assert!(!text.contains("--optim.") && !text.contains("--weight_decay"), "{arguments}");
    }
    place.succeed("optimizers SF-AdamW");
    place.succeed("data DIGITS");
    place.run(&format!("{FAST} --expect_accuracy 0 --save_every 1epoch --data_seed 3 --out a")).expect(0);
}

#[test]
fn every_refusal_speaks_with_one_voice() {
    let place = Place::new();
    for arguments in [
        "--epoch 3",
        "--lr",
        "--lr nan",
        "--resume",
        "--optimizer adma",
        "--set x",
        "--expect-accuracy 2",
        "--dry-run=3",
        "-z",
        "swep",
        "eval",
        "eval x --split all",
        "data mnits",
        "optimizers zzz",
        "help zzz",
        "completions tcsh",
        "runs --limit 0",
        "runs --sort zzzz",
        "sweep --index 2 --lr 1,2",
        "sweep --lanes 0 --lr 1,2",
    ] {
        let outcome = place.run(arguments).refused(2, &[]);
        let lines: Vec<&str> = outcome.stderr.lines().collect();
        assert!(lines.len() <= 2 && lines[0].starts_with("error: "), "{arguments}: {outcome:?}");
        assert!(lines.get(1).is_none_or(|line| line.starts_with("  hint: ")), "{arguments}: {outcome:?}");
        assert!(!outcome.stderr.contains('\u{1b}') && !outcome.stderr.contains(".\n"), "{arguments}: {outcome:?}");
        for word in ["tip:", "Usage:", "For more information", " '", "``"] {
            assert!(!outcome.stderr.contains(word), "{arguments}: {outcome:?}");
        }
    }
}

#[test]
fn words_that_no_table_can_hold_are_refused() {
    let place = Place::new();
    for arguments in [
        ["--data-dir", ""],
        ["--dataset", ""],
        ["--hidden", " 10 ten"],
        ["--out", ""],
        ["--config", ""],
        ["--lr", ""],
        ["--set", "=1"],
        ["--set", "optim.lr=\u{1b}[31m"],
    ] {
        let outcome = finish(&mut place.command(&arguments)).refused(2, &[]);
        assert!(!outcome.stderr.contains('\u{1b}'), "{outcome:?}");
    }
    let bytes = OsStr::from_bytes(b"\xff\xfe");
    finish(&mut place.command(&[OsStr::new("--data-dir"), bytes])).refused(2, &[]);
    assert!(place.entries().is_empty());
}

#[test]
fn a_device_that_is_not_there_is_5_and_never_falls_back() {
    let place = Place::new();
    // No such number on any machine: right with and without CUDA.
    place.run("--device cuda:99").refused(5, &["cuda:99", "--device cpu"]);
    if place.run("--device cuda --epochs 1 -q").code() != Some(0) {
        place.run("--device cuda").refused(5, &["cuda"]);
    }
    place.succeed(&format!("{FAST} --device auto"));
}

#[test]
fn mistakes_in_a_configuration_are_named_with_line_column_and_suggestion() {
    let table: &[(&str, &[&str])] = &[
        ("[optim]\nlr = 1e-3\n  bta1 = 0.9\n", &["bad.toml:3:3", "`optim.bta1`", "`optim.beta1`"]),
        ("[train]\nlr = 1\n", &["bad.toml:2:1", "did you mean `optim.lr`"]),
        ("[optim]\nlr = \"fast\"\n", &["bad.toml:2:6", "`optim.lr`", "number"]),
        ("[train]\nepochs = 1.5\n", &["bad.toml:2:10", "whole"]),
        ("[train]\nepochs = true\n", &["bad.toml:2:10"]),
        ("[train]\nepochs = \"\"\"\n3\n\"\"\"x", &["bad.toml:4"]),
        ("[optim]\nlr = nan\n", &["bad.toml:2:6"]),
        ("[optim]\nlr = -inf\n", &["bad.toml:2:6"]),
        ("[optim]\nlr = 1\nlr = 2\n", &["bad.toml:3:1"]),
        ("[optim]\nlr = 1\n[optim]\n", &["bad.toml:3"]),
        ("[optmi]\nlr = 1\n", &["bad.toml:2:1", "optim.lr"]),
        ("lr = 1\n", &["bad.toml:1:1", "outside a section"]),
        ("[optim]\nlearning_rate = 1\n", &["did you mean `optim.lr`"]),
        ("[optim]\noptimizer = \"nesterov\"\n", &["bad.toml:2:13", "--set optim.nesterov=true"]),
        ("[optim]\nlr = [1, 2]\n", &["bad.toml:2:6", "adamtrain sweep"]),
        ("[optim\n", &["bad.toml:1:"]),
        ("[optim]\nlr = \0\n", &["bad.toml:2:"]),
        ("[model]\nhidden = [300, \"x\"]\n", &["bad.toml:2:10"]),
        ("[model]\nhidden = [[1]]\n", &["bad.toml:2:10"]),
        ("[data]\ndataset = \"cifar\"\n", &["bad.toml:2:11", "cifar10"]),
    ];
    let place = Place::new();
    for (text, words) in table {
        place.write("bad.toml", text);
        let outcome = place.run("--config bad.toml");
        assert_eq!(outcome.code(), Some(2), "{text:?}: {outcome:?}");
        outcome.refused(2, words);
    }
    place.write("bad.toml", b"\xff\xfe\x00");
    place.run("--config bad.toml").refused(2, &["bad.toml"]);
    place.write("bad.toml", vec![b'#'; 2 << 20]);
    place.run("--config bad.toml").refused(2, &["bad.toml"]);
    assert_eq!(place.entries(), ["bad.toml"]);
}

#[test]
fn a_configuration_may_have_a_byte_order_mark_carriage_returns_and_integers_for_floats() {
    let place = Place::new();
    place.write("odd.toml", "\u{feff}[optim]\r\nlr = 1\r\n[model]\r\nhidden = [3, 4]\r\n");
    let event = place.answer("--config odd.toml --dry-run");
    assert_eq!(event["config"]["optim"]["lr"], 1.0);
    assert_eq!(event["config"]["model"]["hidden"], serde_json::json!([3, 4]));
}

#[test]
fn mistakes_in_the_environment_are_named() {
    let place = Place::new();
    for (name, value, words) in [
        ("ADAMTRAIN_OPTIM__LRR", "1", ["ADAMTRAIN_OPTIM__LRR", "optim.lr"]),
        ("ADAMTRAIN_OPTIM__LR", "-1", ["ADAMTRAIN_OPTIM__LR", "`-1`"]),
        ("ADAMTRAIN_LR", "1", ["ADAMTRAIN_LR", "ADAMTRAIN_OPTIM__LR"]),
        ("ADAMTRAIN_OPTIMLR", "1", ["ADAMTRAIN_OPTIMLR", "ADAMTRAIN_OPTIM__LR"]),
        ("ADAMTRAIN_TRAIN__EPOCHS", "x", ["TRAIN__EPOCHS", "whole"]),
    ] {
        let mut command = place.adamtrain(FAST);
        finish(command.env(name, value)).refused(2, &words);
    }
    assert!(place.entries().is_empty());
}

#[test]
fn what_does_nothing_beside_another_setting_is_refused_with_who_reads_it() {
    let place = Place::new();
    let adamw = "--optimizer adamw --set optim.weight_decay=0";
    for (words, found) in [
        (format!("{adamw} --set optim.cautious_decay=true"), ["optim.cautious_decay", "--weight-decay"]),
        (
            "--optimizer nadam --set optim.constant_beta1=true --set optim.momentum_decay=0.1".to_owned(),
            ["optim.momentum_decay", "optim.constant_beta1"],
        ),
        ("--set train.min_delta=0.1".to_owned(), ["train.min_delta", "--patience"]),
        ("--set train.graph=false --device cpu".to_owned(), ["train.graph", "--device cuda"]),
        ("--data-dir data".to_owned(), ["data.data_dir", "--dataset mnist"]),
        ("--set augment.rotation=5".to_owned(), ["augment.rotation", "--augment affine"]),
        ("--set augment.cutout=4".to_owned(), ["augment.cutout", "--augment"]),
        ("--set augment.mixup=0.4".to_owned(), ["augment.mixup", "--augment"]),
        ("--set teacher.temperature=2".to_owned(), ["teacher.temperature", "--teacher"]),
        ("--augment affine --set augment.sigma=5".to_owned(), ["augment.sigma", "--augment elastic"]),
    ] {
        place.run(&format!("{words} --dry-run")).refused(2, &found);
    }
    for words in [
        format!("{adamw} --set optim.cautious_decay=false"),
        format!("{adamw} --set optim.cautious_decay=true --set optim.group=*.weight~weight_decay=0.1"),
        "--set train.graph=true --device cpu".to_owned(),
        "--set train.min_delta=0.1 --patience 3 --valid-fraction 0.1".to_owned(),
        "--augment affine --set augment.alpha=10 --set augment.sigma=5 --set augment.flip=0.5".to_owned(),
        "--augment flip --set augment.cutout=4 --set augment.mixup=1".to_owned(),
        "--augment cutout+mixup --batch-size 2".to_owned(),
        "--augment cutout --batch-size 1".to_owned(),
    ] {
        let words: Vec<String> = words.split(' ').map(|word| word.replace('~', " ")).collect();
        let outcome = finish(place.command(&words).arg("--dry-run")).expect(0);
        assert!(!outcome.stderr.contains("WARN"), "{outcome:?}");
    }
    // A flag that is no setting is none in the environment.
    let mut command = place.adamtrain("--dry-run");
    finish(command.env("ADAMTRAIN_OUT", "a")).expect(0).says(&["WARN", "$ADAMTRAIN_OUT", "--out"]);
    // What changes no result may stand in the environment of every run, and a point of a sweep may do without.
    let mut command = place.adamtrain("--dry-run");
    finish(command.env("ADAMTRAIN_DATA__DATA_DIR", "data")).expect(0).says(&["WARN", "data.data_dir"]);
    place.succeed("sweep --optimizer adamw --weight-decay 0,0.1 --set optim.cautious_decay=true --expand");
}

#[test]
fn what_the_device_that_was_taken_does_not_read_is_said() {
    let place = Place::new();
    let found = place.answer("--dry-run")["device"].clone();
    if found == "cpu" {
        for command in ["--dry-run", "--epochs 1 --limit-train 200", "sweep --seed 0,1 --dry-run"] {
            place.succeed(&format!("{command} --set train.graph=false")).says(&["WARN", "train.graph", "CPU"]);
        }
    }
}

#[test]
fn what_is_merely_odd_is_a_warning() {
    let place = Place::new();
    for (words, found) in [
        ("--warmup 2000steps --limit-train 300 --epochs 2", "schedule.warmup"),
        ("--batch-size 400 --limit-train 300 --epochs 2", "train.batch_size"),
        ("--schedule step --epochs 2 --limit-train 300", "schedule.step_epochs"),
        (
            "--schedule milestones --set schedule.milestones=1,2epochs --epochs 2 --limit-train 300",
            "schedule.milestones",
        ),
        ("--schedule cosine-restarts --set schedule.period=2epochs --epochs 3 --limit-train 300", "schedule.period"),
    ] {
        place.succeed(&format!("{words} --dry-run")).says(&["WARN", found]);
        place.succeed(&format!("{words} -q")).says(&["WARN", found]);
        let outcome =
            place.succeed(&format!("sweep --lr 1e-3,1e-2 --valid-fraction 0.1 {words} -q")).says(&["WARN", found]);
        assert_eq!(outcome.stderr.matches("WARN").count(), 1, "{outcome:?}");
    }
    place.succeed("sweep --lr 1e-3,1e-3 --expand").says(&["WARN", "optim.lr", "twice"]);
    place.succeed("sweep --lr 1e-3,1e-2 --seed 3..3 --expand").says(&["WARN", "train.seed", "one value, 3"]);
}

#[test]
fn expanded_commands_have_their_own_folders_and_what_expands_reads_nothing_else() {
    let place = Place::new();
    let commands = place.succeed("sweep --lr 1e-3,1e-2 --limit-train 100 --epochs 1 --expand --out a").stdout;
    let commands: Vec<&str> = commands.lines().collect();
    for (point, command) in commands.iter().enumerate() {
        assert!(command.ends_with(&format!("--out a/points/0000{point} --resume")), "{command}");
        let arguments = command.strip_prefix("adamtrain ").unwrap();
        place.succeed(&format!("{arguments} -q"));
    }
    let runs = place.succeed("runs a --json").events();
    assert_eq!(runs.iter().filter(|event| event["event"] == "run").count(), 2);
    for words in ["--lanes 3", "--checkpoints all"] {
        place.run(&format!("sweep --lr 1e-3,1e-2 --expand {words}")).refused(2, &["--expand"]);
    }
}

#[test]
fn an_out_that_can_be_no_folder_is_7_whatever_is_asked() {
    let place = Place::new();
    place.write("file", "");
    std::os::unix::fs::symlink("nowhere", place.path("dangling")).unwrap();
    let long = "a".repeat(300);
    for out in ["file", "file/under", "dangling", "/proc/x", "/dev/null", long.as_str()] {
        for command in [FAST.to_owned(), format!("sweep --lr 1e-3,1e-2 {FAST}")] {
            for resume in ["", "--resume"] {
                place.run(&format!("{command} --out {out} {resume}")).refused(7, &[out]);
            }
        }
    }
    assert_eq!(place.entries(), ["dangling", "file"]);
}

#[test]
fn what_a_sweep_says_of_its_best_is_why_there_is_none() {
    let place = Place::new();
    let diverged =
        place.run("sweep --optimizer sgd --lr 1e30,1e31 --hidden 8 --epochs 1 --valid-fraction .1 -q --out a");
    assert!(diverged.stdout.contains("best   none: every point has diverged"), "{diverged:?}");
    assert!(diverged.stdout.contains("valid_accuracy"), "{diverged:?}");
    place.run("eval a").refused(4, &["every point of this sweep has diverged"]);
    let begun =
        place.run("sweep --lr 1e-3,1e-2 --hidden 512,512 --valid-fraction .1 -q --max-time 1ms --out b").expect(75);
    assert_eq!(begun.stdout, "best   none: no point has ended\nout    b\n");
    // Some points do not read what is swept.
    for words in ["--hidden none;8 --dropout 0.1,0.2", "--schedule cosine,step --set schedule.gamma=0.5,0.2"] {
        place.succeed(&format!("sweep {words} --expand")).says(&[
            "WARN",
            "point 1 repeats point 0",
            "does nothing there",
        ]);
    }
    // A folder that begins with a dash is no flag.
    let dash = finish(&mut place.command(&["sweep", "--lr", "1e-3,1e-2", "--max-time", "1ms", "--out=-s"])).expect(75);
    dash.says(&["go on: adamtrain sweep --out ./-s --resume"]);
}

#[test]
fn a_dry_run_refuses_what_the_run_refuses() {
    let place = Place::new();
    for fraction in ["0.99999999", "1e-9"] {
        for words in ["", "--dry-run"] {
            let words = format!("--valid-fraction {fraction} {words}");
            place.run(&words).refused(2, &["data.valid_fraction", "leaves nothing"]);
            place.run(&format!("sweep --lr 1e-3,1e-2 {words}")).refused(2, &["data.valid_fraction"]);
        }
    }
}

#[test]
fn the_manual_has_every_flag_of_every_command() {
    let page = Place::new().succeed("man").stdout.replace('\\', "");
    for flag in ["--best", "--checkpoints", "--columns", "--expand", "--lanes", "--split", "--svg", "--lr"] {
        assert!(page.contains(flag), "{flag}");
    }
}

#[test]
fn later_sources_win_default_file_environment_flag() {
    let place = Place::new();
    place.write("low.toml", "[optim]\nlr = 0.1\nbeta1 = 0.1\n");
    place.write("high.toml", "optim.lr = 0.2\n");
    let lr = |files: &str, environment: Option<&str>, flags: &str| {
        let arguments = format!("--dry-run --json {files} {flags}");
        let mut command = place.adamtrain(&arguments);
        command.envs(environment.map(|value| ("ADAMTRAIN_OPTIM__LR", value)));
        let event = finish(&mut command).expect(0).events().remove(0);
        let origin = event["origin"]["optim.lr"].as_str().unwrap().to_owned();
        (event["config"]["optim"]["lr"].as_f64().unwrap(), origin)
    };
    let files = "--config low.toml --config high.toml";
    let (value, origin) = lr("", None, "");
    assert!(value == 1e-3 && origin.contains("default"), "{origin}");
    assert_eq!(lr("--config low.toml", None, ""), (0.1, "low.toml:2".into()));
    assert_eq!(lr(files, None, ""), (0.2, "high.toml:1".into()));
    let reversed = "--config high.toml --config low.toml";
    assert_eq!(lr(reversed, None, "").0, 0.1);
    // An empty variable is one that is not set.
    assert_eq!(lr(files, Some(""), "").0, 0.2);
    let (value, origin) = lr(files, Some("0.3"), "");
    assert!(value == 0.3 && origin.contains("ADAMTRAIN_OPTIM__LR"));
    assert_eq!(lr(files, Some("0.3"), "--lr 0.4"), (0.4, "--lr".into()));
    assert_eq!(lr(files, Some("0.3"), "--lr 0.4 --lr 0.5").0, 0.5);
    // A flag and `--set` are the same thing: the last one counts.
    assert_eq!(lr("", None, "--lr 0.4 --set optim.lr=0.6").0, 0.6);
    assert_eq!(lr("", None, "--set optim.lr=0.6 --lr 0.4").0, 0.4);
    assert_eq!(lr("", None, "--lr 0.4 --config low.toml").0, 0.4);
}

#[test]
fn every_setting_of_the_environment_and_set_has_the_name_of_the_file() {
    let place = Place::new();
    let config = place.answer("--dry-run")["config"].clone();
    for (section, entries) in config.as_object().unwrap() {
        for (name, value) in entries.as_object().unwrap() {
            // The value itself, given once more, is always valid where it is set.
            let text = match value {
                Value::Null => continue,
                Value::String(text) => text.clone(),
                Value::Array(_) => "none".into(),
                other => other.to_string(),
            };
            let mut command = place.adamtrain("--dry-run --json");
            let variable = format!("ADAMTRAIN_{section}__{name}").to_uppercase();
            command.env(&variable, &text);
            let event = finish(&mut command).expect(0).events().remove(0);
            let key = format!("{section}.{name}");
            assert_eq!(event["origin"][&key], format!("${variable}"));
            assert_eq!(event["config"], config, "{key}");
        }
    }
}

#[test]
fn a_dry_run_is_a_configuration_that_gives_the_same_one_and_creates_nothing() {
    let place = Place::new();
    let flags = "--hidden 30,20 --lr 3e-4 --optimizer adamw --schedule cosine --warmup 1epoch \
                 --valid-fraction 0.1 --patience 2 --max-time 1h30m --save-every 1epoch --clip-norm 1 \
                 --dropout 0.1 --limit-train 900 --seed 3 --set schedule.final_factor=0.1";
    let event = place.answer(&format!("{flags} --dry-run"));
    assert_eq!(event["event"], "dry_run");
    // 784·30 + 30 + 30·20 + 20 + 20·10 + 10
    assert_eq!(event["parameters"], 24_380);
    assert_eq!(event["examples"]["train"], 900);
    assert_eq!(event["examples"]["valid"], 1000);
    assert_eq!(event["steps"], 10 * 8);
    assert!(event["memory_bytes"].as_u64().unwrap() > 24_380 * 12);

    let text = place.succeed(&format!("{flags} --dry-run")).stdout;
    for words in ["# --lr", "# default", "24380", "steps", "memory"] {
        assert!(text.contains(words), "{text}");
    }
    assert!(place.entries().is_empty());
    place.write("again.toml", &text);
    let again = place.answer("--config again.toml --dry-run");
    assert_eq!(again["config"], event["config"]);
    let origin = again["origin"]["optim.lr"].as_str().unwrap();
    assert!(origin.starts_with("again.toml:"), "{origin}");
    assert_eq!(place.entries(), ["again.toml"]);

    place.run("--dry-run --lr 0").refused(2, &["--lr"]);
    place.run("--dry-run --out again.toml").refused(7, &["again.toml", "--out"]);
}

#[test]
fn json_has_start_epochs_and_end_with_the_fields_of_the_contract() {
    let place = Place::new();
    let outcome = place.succeed(&format!("{FAST} --json --out a"));
    let events = outcome.events();
    let kinds: Vec<_> = events.iter().map(|event| &event["event"]).collect();
    assert_eq!(kinds, ["start", "epoch", "epoch", "end"]);

    let start = &events[0];
    assert_eq!(start["config"]["data"]["dataset"], "digits");
    assert_eq!(start["config"]["data"]["limit_train"], 500);
    assert_eq!(start["config"]["optim"]["lr"], 1e-3);
    assert!(start["device"].is_string());
    assert!(start["versions"]["adamtrain"].is_string());

    let required = ["event", "epoch", "train_loss", "train_accuracy", "test_loss", "test_accuracy", "lr", "seconds"];
    for (index, epoch) in events[1..3].iter().enumerate() {
        assert_eq!(epoch["epoch"], index + 1);
        let fields = epoch.as_object().unwrap();
        for (name, value) in fields {
            let known = required.contains(&name.as_str());
            assert!(known || ["step", "samples_per_second"].contains(&name.as_str()));
            assert!(name == "event" || value.is_number(), "{name}: {value}");
        }
        assert!(required.iter().all(|name| fields.contains_key(*name)));
        for accuracy in ["train_accuracy", "test_accuracy"] {
            assert!((0.0..=1.0).contains(&epoch[accuracy].as_f64().unwrap()));
        }
        assert_eq!(epoch["lr"], 1e-3);
    }

    let (last, end) = (&events[2], &events[3]);
    for (name, value) in last.as_object().unwrap() {
        assert!(name == "event" || end[name] == *value, "{name}");
    }
    assert_eq!(end["status"], "finished");
    assert_eq!(end["epochs"], 2);
    assert_eq!(end["best"], Value::Null);
    assert_eq!(end["out"], "a");
    let written: Vec<_> = fs::read_to_string(place.path("a/metrics.jsonl"))
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .collect();
    assert_eq!(written, events[1..3]);
}

#[test]
fn with_a_validation_split_json_has_its_fields_and_the_best_epoch() {
    let place = Place::new();
    let outcome = place.succeed(&format!("{FAST} --valid-fraction 0.05 --json"));
    let (epochs, end) = (outcome.epochs(), outcome.end());
    for epoch in &epochs {
        assert!(epoch["valid_loss"].is_number() && epoch["valid_accuracy"].is_number());
    }
    let best = epochs.iter().min_by(|a, b| {
        let loss = |epoch: &Value| epoch["valid_loss"].as_f64().unwrap();
        loss(a).total_cmp(&loss(b))
    });
    for (name, value) in best.unwrap().as_object().unwrap() {
        assert!(name == "event" || end["best"][name] == *value, "{name}");
    }
    assert_eq!(end["valid_loss"], epochs[1]["valid_loss"]);
    assert_eq!(end["out"], "runs/digits-linear-001");
}

#[test]
fn two_runs_differ_in_fields_of_the_clock_alone() {
    let place = Place::new();
    let run = |out: &str| {
        let outcome = place.succeed(&format!("{FAST} --valid-fraction 0.1 --json --out {out}"));
        let mut events: Vec<_> = outcome.events().into_iter().map(without_clock).collect();
        for event in &mut events {
            event.as_object_mut().unwrap().remove("out");
        }
        events
    };
    assert_eq!(run("a"), run("b"));
}

#[test]
fn without_json_stdout_has_the_summary_and_stderr_a_line_per_epoch() {
    let place = Place::new();
    let outcome = place.succeed(&format!("{FAST} --out a"));
    for word in ["status", "finished", "epochs", "test_accuracy", "out"] {
        assert!(outcome.stdout.contains(word), "{outcome:?}");
    }
    assert!(!outcome.stdout.contains('{') && outcome.stdout.lines().count() < 15);
    let lines = outcome.stderr.lines();
    let epochs = lines.filter(|line| line.trim_start().starts_with(['1', '2']));
    assert_eq!(epochs.count(), 2, "{outcome:?}");
    assert!(!outcome.stderr.contains(['\r', '\u{1b}']), "{outcome:?}");

    let quiet = place.succeed(&format!("{FAST} --out b -q"));
    assert_eq!(quiet.stderr, "");
    assert_eq!(quiet.stdout.replace("out             b", ""), outcome.stdout.replace("out             a", ""));
    let loud = place.succeed(&format!("{FAST} --out c -v"));
    assert!(loud.stderr.len() > outcome.stderr.len());
}

#[test]
fn train_is_the_default_command() {
    let place = Place::new();
    place.succeed(&format!("{FAST} --out a"));
    place.succeed(&format!("train {FAST} --out b"));
    result(&place.path("a")).is(&result(&place.path("b")), "");
    place.run("train --lr 0").refused(2, &["--lr"]);
}

#[test]
fn runs_are_numbered_where_no_folder_is_named() {
    let place = Place::new();
    for _ in 0..2 {
        place.succeed(&tiny());
    }
    place.succeed(&format!("{} --hidden 4,3", tiny()));
    let runs = common::names(&place.path("runs"));
    assert_eq!(runs[..2], ["mnist-linear-001", "mnist-linear-002"]);
    assert!(runs.len() == 3 && runs[2].starts_with("mnist-"), "{runs:?}");
}

#[test]
fn an_out_that_holds_something_or_is_no_folder_is_refused_untouched() {
    let place = Place::new();
    fs::create_dir(place.path("full")).unwrap();
    place.write("full/letter", "dear");
    place.write("file", "text");
    std::os::unix::fs::symlink("nowhere", place.path("link")).unwrap();
    let run = |out: &str| place.run(&format!("{FAST} --out {out}"));
    run("full").refused(2, &["full", "--out"]);
    place.run(&format!("{FAST} --out full --resume")).refused(4, &["full", "config.toml"]);
    assert_eq!(common::names(&place.path("full")), ["letter"]);
    run("file").refused(7, &["file"]);
    run("file/below").refused(7, &["file/below"]);
    run("link").refused(7, &["link"]);
    run("/proc/nowhere").refused(7, &["/proc/nowhere"]);
    assert_eq!(place.entries(), ["file", "full", "link"]);

    // An empty folder is as good as none, and a run is named as one.
    fs::create_dir(place.path("empty")).unwrap();
    run("empty").expect(0);
    run("empty").refused(2, &["empty", "--resume"]);
    run("new/deep/er").expect(0);
    assert!(place.path("new/deep/er/run.json").is_file());
}

#[test]
fn what_is_refused_late_leaves_no_folder_behind_either() {
    let place = Place::new();
    let run = |arguments: &str| place.run(&format!("{arguments} --out new/run"));
    run("--dataset mnist --data-dir nowhere").refused(3, &["nowhere"]);
    run("--valid-fraction 0.99999").refused(2, &["valid_fraction"]);
    run("--hidden 1048576,1048576").refused(5, &[]);
    run("--init nowhere").refused(4, &["nowhere"]);
    place.run("--dataset mnist --data-dir nowhere").refused(3, &["nowhere"]);
    assert!(place.entries().is_empty(), "{:?}", place.entries());
}

#[test]
fn an_expected_accuracy_decides_the_exit_code() {
    let place = Place::new();
    place.succeed(&format!("{} --expect-accuracy 0 --out a", tiny()));
    let missed = place
        .run(&format!("{} --expect-accuracy 1 --json --out b", tiny()))
        .expect(1)
        .says(&["expected at least 1", "test accuracy"]);
    assert_eq!(missed.end()["status"], "finished");
    // So it does when the result is printed again.
    let again = format!("{} --out a --resume --expect-accuracy 1", tiny());
    place.run(&again).expect(1);
}

#[test]
fn a_reader_that_goes_away_does_not_stop_the_training() {
    let place = Place::new();
    for (out, flags) in [("a", "--json"), ("b", "")] {
        let arguments = format!("{} {flags} --out {out}", tiny());
        let mut run = Running::start(&mut place.adamtrain(&arguments));
        if out == "a" {
            run.read_until("start");
        }
        run.close();
        run.finish().expect(0);
        assert_eq!(summary(&place.path(out))["status"], "finished");
    }
    // Nor do closed streams.
    let closed = format!("{} --json --out c >&- 2>&- <&-", tiny());
    finish(&mut place.under_shell(":", &closed)).expect(0);
    result(&place.path("a")).is(&result(&place.path("c")), "");
}

#[test]
fn a_full_standard_output_is_told_once_and_the_run_is_whole() {
    let place = Place::new();
    let full = || File::options().write(true).open("/dev/full").unwrap();
    for (out, flags) in [("a", "--json"), ("b", "")] {
        let mut command = place.adamtrain(&format!("{} {flags} --out {out} -q", tiny()));
        let outcome = Running::start_into(&mut command, full()).finish().expect(7).says(&["standard output"]);
        let warnings = outcome.stderr.lines().filter(|line| line.contains("WARN"));
        assert_eq!(warnings.count(), 1, "{outcome:?}");
        assert_eq!(summary(&place.path(out))["status"], "finished");
    }
    for arguments in [
        "data digits",
        "inspect a",
        "eval a",
        "--dry-run",
        "man",
        "help",
        "help eval",
        "help keys",
        "runs -q",
        "runs --json -q",
        "doctor",
        "optimizers",
        "completions bash",
        "--help",
        "eval --help",
        "--version",
        "sweep --lr 1,2 --expand",
    ] {
        let mut command = place.adamtrain(arguments);
        let outcome = Running::start_into(&mut command, full()).finish().expect(7);
        assert_eq!(
            outcome.stderr,
            "error: standard output: cannot be written: No space left on device (os error 28)\n"
        );
        // A reader that has gone away is none.
        let mut command = place.adamtrain(arguments);
        let mut run = Running::start(&mut command);
        run.close();
        run.finish().expect(0);
    }
}

#[test]
fn help_names_every_flag_of_training_with_groups_and_examples() {
    let place = Place::new();
    let help = place.succeed("--help").stdout;
    for flag in [
        "dataset",
        "data-dir",
        "valid-fraction",
        "limit-train",
        "hidden",
        "optimizer",
        "lr",
        "beta1",
        "beta2",
        "eps",
        "weight-decay",
        "state",
        "schedule",
        "warmup",
        "epochs",
        "batch-size",
        "clip-norm",
        "eval-every",
        "seed",
        "data-seed",
        "augment",
        "device",
        "threads",
        "config",
        "set",
        "dry-run",
        "out",
        "resume",
        "init",
        "teacher",
        "save-every",
        "max-time",
        "patience",
        "note",
        "tag",
        "expect-accuracy",
        "json",
        "quiet",
        "verbose",
    ] {
        assert!(help.contains(&format!("--{flag}")), "--{flag}");
    }
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for words in ["-q", "-v", "Optimizer:", "Examples:", "default: 128", "eval"] {
        assert!(help.contains(words), "{words}");
    }
    for command in [
        "train",
        "sweep",
        "compress",
        "runs",
        "help",
        "eval",
        "predict",
        "inspect",
        "export",
        "data",
        "doctor",
        "optimizers",
        "schedules",
        "trace",
        "path",
        "completions",
        "man",
    ] {
        let help = place.succeed(&format!("{command} --help")).stdout;
        assert!(help.contains("Usage: adamtrain"), "{command}");
    }
    assert!(place.succeed("--version").stdout.starts_with("adamtrain 0"));
}

#[test]
fn short_help_fits_a_screen_and_long_help_has_the_defaults_of_each_optimizer() {
    let place = Place::new();
    let commands = place.succeed("completions zsh -- adamtrain s").stdout;
    assert!(commands.contains("sweep\t") && commands.contains("schedules\t"), "{commands}");
    let all = finish(&mut place.command(&["completions", "zsh", "--", "adamtrain", ""])).expect(0).stdout;
    let commands: Vec<&str> = all.lines().filter_map(|line| line.split('\t').next()).collect();
    assert!(commands.len() > 12, "{commands:?}");
    for command in commands.iter().chain(&[""]) {
        let mut process = place.adamtrain(&format!("{command} -h"));
        let help = finish(process.env("COLUMNS", "80")).expect(0).stdout;
        assert!(help.lines().count() <= 50, "{command}: {} lines", help.lines().count());
        assert!(help.contains("Usage: adamtrain"), "{command}: {help}");
        assert!(help.lines().all(|line| line.chars().count() <= 80), "{command}: {help}");
        // A line each, where flags are many.
        if ["", "train"].contains(command) {
            let flags = help.lines().filter(|line| line.trim_start().starts_with("--")).count();
            let options = help.split("Options:\n").nth(1).unwrap().split("\n\n").next().unwrap();
            assert_eq!(options.lines().count(), flags + if command.is_empty() { 2 } else { 1 }, "{help}");
            assert!((12..=16).contains(&flags) && help.matches("\n  adamtrain ").count() == 3, "{help}");
        }
    }
    let help = place.succeed("--help").stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    for optimizer in place.answer("optimizers")["optimizers"].as_array().unwrap() {
        let (name, lr) = (optimizer["name"].as_str().unwrap(), &optimizer["hyperparameters"][0]["default"]);
        let lr = lr.as_f64().unwrap();
        let of_it = help.split("learning rate [a number").nth(1).unwrap();
        let of_it = of_it.split("[default: ").nth(1).unwrap().split(']').next().unwrap();
        let named = of_it.split("; ").find(|part| part.split([' ', ',']).any(|word| word == name));
        let told = named.unwrap_or_else(|| of_it.split("; ").next().unwrap()).rsplit(' ').next().unwrap();
        assert_eq!(told.parse::<f64>().unwrap(), lr, "{name} in {of_it}");
    }
    assert!(!help.contains("the optimizer's]"), "{help}");
}

#[test]
fn help_explains_commands_keys_events_and_exit_codes() {
    let place = Place::new();
    assert_eq!(place.succeed("help").stdout, place.succeed("-h").stdout);
    for command in ["train", "sweep", "eval", "runs", "help"] {
        let (explained, help) =
            (place.succeed(&format!("help {command}")), place.succeed(&format!("{command} --help")));
        assert_eq!(explained.stdout, help.stdout, "{command}");
    }
    let keys = place.succeed("help keys").stdout;
    let config = place.answer("--dry-run --optimizer sgd")["config"].clone();
    for (section, entries) in config.as_object().unwrap() {
        assert!(keys.contains(&format!("\n[{section}]\n")), "{section}");
        for name in entries.as_object().unwrap().keys() {
            assert!(keys.contains(&format!("\n  {section}.{name}")), "{section}.{name}");
        }
    }
    assert!(keys.contains("\n  optim.lr  --lr\n") && keys.contains("default adopt 0.25"), "{keys}");
    let json = place.succeed("help json").stdout;
    for words in ["\ntrain: start\n  event, format, config,", "\nsweep --expand: none\n", "test_accuracy"] {
        assert!(json.contains(words), "{words} in {json}");
    }
    let codes = place.succeed("help exit-codes").stdout;
    for code in [
        "  0  ",
        "  1  ",
        "  2  ",
        "  3  ",
        "  4  ",
        "  5  ",
        "  6  ",
        "  7  ",
        "  8  ",
        "  9  ",
        "  75 ",
        "  129, 130, 143 ",
    ] {
        assert!(codes.contains(code), "{code} in {codes}");
    }
    for (topic, meant) in [
        ("key", "help keys"),
        ("settings", "help keys"),
        ("exit", "help exit-codes"),
        ("events", "help json"),
        ("swep", "help sweep"),
        ("evaluate", "help eval"),
        ("lr", "`optim.lr` is a setting"),
        ("--batch-size", "`train.batch_size` is a setting"),
    ] {
        let words = ["help", "--", topic];
        finish(&mut place.command(&words)).refused(2, &["there is no help for", topic, meant]);
    }
    place.run("help zzzz").refused(2, &["zzzz", "exit-codes"]);
}

#[test]
fn everything_fits_a_terminal_of_80_columns() {
    let place = Place::new();
    place.write("gradients.csv", "1,-2,3,-4,5,-6,7,-8\n");
    let long = "--valid-fraction 0.1 --seed 1234567890 --lr 1e4 --hidden 8 --health";
    let sweep = "sweep --lr log(1e-3,1e3,5) --beta2 0.99,0.999 --weight-decay 0,0.01 --seed 1234567890..1234567892";
    let mut commands: Vec<String> = vec![
        format!("{FAST} --out a --optimizer schedule-free-adamw {long}"),
        format!("{FAST} --out b"),
        format!("{FAST} {sweep} --out c"),
        format!("{FAST} {sweep} --out d --json"),
    ]
    .into_iter()
    .map(|words| match words.split_once("sweep ") {
        Some((before, rest)) => format!("sweep {rest} {before}"),
        None => words,
    })
    .collect();
    let others = [
        "--help",
        "-h",
        "train --help",
        "sweep --help",
        "runs --help",
        "runs diff --help",
        "runs note --help",
        "runs tag --help",
        "runs rm --help",
        "eval --help",
        "inspect --help",
        "predict --help",
        "export --help",
        "data --help",
        "optimizers --help",
        "doctor --help",
        "trace --help",
        "path --help",
        "path --optimizer adam,amsgrad --function reddi --steps 500",
        "path --optimizer adam,sgd --tune --steps 50",
        "trace --gradients gradients.csv --optimizer schedule-free-adamw",
        "completions --help",
        "man --help",
        "help --help",
        "help keys",
        "help json",
        "help exit-codes",
        "optimizers",
        "optimizers adam",
        "doctor",
        "data digits",
        "eval a",
        "eval a --split train",
        "inspect a",
        "--dry-run",
        "--dry-run --hidden 300,100 --optimizer muon",
        "sweep --lr log(1e-3,1e-1,20) --beta2 0.99,0.999 --hidden none;300,100 --dry-run",
        "runs .",
        "runs c",
        "runs c --by-seed",
        "runs diff a b",
        "runs rm a c",
        "runs . --sort -seed,weight_decay",
    ];
    commands.extend(others.map(str::to_owned));
    for arguments in commands {
        let outcome = finish(place.adamtrain(&arguments).env("COLUMNS", "80")).expect(0);
        let json = outcome.stdout.lines().filter(|line| line.starts_with('{')).count();
        let lines = outcome.stdout.lines().filter(|line| !line.starts_with('{')).chain(outcome.stderr.lines());
        for line in lines.filter(|line| !line.contains("WARN")) {
            assert!(line.chars().count() <= 80, "{arguments}: {} in `{line}`", line.chars().count());
        }
        assert!(json == 0 || arguments.contains("--json"), "{arguments}");
    }
}

#[test]
fn a_dry_run_of_a_sweep_tells_its_points_and_what_they_take_and_leaves_nothing() {
    let place = Place::new();
    let sweep = "sweep --lr 1e-3,1e-2 --hidden none;300,100 --seed 0..2 --limit-train 500 --epochs 3 --batch-size 50";
    let event = place.answer(&format!("{sweep} --dry-run --out a"));
    assert_eq!(event["event"], "dry_run");
    let keys: Vec<_> = event["axes"].as_array().unwrap().iter().map(|axis| axis["key"].as_str().unwrap()).collect();
    assert_eq!(keys, ["model.hidden", "optim.lr", "train.seed"]);
    let points = event["points"].as_array().unwrap();
    assert_eq!(points.len(), 12);
    let last = serde_json::json!({"model.hidden": [300, 100], "optim.lr": 0.01, "train.seed": 2});
    assert_eq!(points[11]["settings"], last);
    let groups = event["groups"].as_array().unwrap();
    assert_eq!(groups.len(), 2);
    for (group, parameters) in groups.iter().zip([7850_u64, 266_610]) {
        assert_eq!((&group["parameters"], &group["steps"]), (&parameters.into(), &30.into()));
        assert_eq!(group["points"].as_array().unwrap().len(), 6);
        let (lanes, rounds) = (group["lanes"].as_u64().unwrap(), group["rounds"].as_u64().unwrap());
        assert!(lanes * rounds >= 6 && lanes <= 6, "{group}");
        assert!(group["memory_bytes"].as_u64().unwrap() > 4 * parameters * lanes, "{group}");
    }
    let text = place.succeed(&format!("{sweep} --dry-run")).stdout;
    for words in
        ["axis     optim.lr: 0.001, 0.01", "12, in 2 groups", "6..11", "784-300-100-10", "memory   about", "none"]
    {
        assert!(text.contains(words), "`{words}` in {text}");
    }
    let one = place.answer(&format!("{sweep} --lanes 2 --random 5 --dry-run"));
    assert_eq!((one["points"].as_array().unwrap().len(), &one["random"]), (5, &5.into()));
    assert_eq!(one["groups"][0]["lanes"], 2);
    assert!(place.entries().is_empty());
    place.run("sweep --lr 1,0 --dry-run").refused(2, &["--lr"]);
}

#[test]
fn health_ends_in_a_table_and_a_trouble_is_told_once_with_its_count() {
    let place = Place::new();
    let outcome = place.succeed("--hidden 16 --limit-train 1000 --epochs 4 --health --eps 10 --threads 1 --out a");
    let table: Vec<&str> = outcome.stdout.lines().take_while(|line| !line.is_empty()).collect();
    assert!(table[0].starts_with("tensor") && table.len() >= 6, "{outcome:?}");
    for tensor in ["layers.0.bias", "layers.0.weight", "layers.1.bias", "layers.1.weight"] {
        assert!(table.iter().any(|line| line.starts_with(tensor)), "{tensor}: {outcome:?}");
        let told = outcome.stderr.lines().filter(|line| line.contains("WARN") && line.contains(&format!("`{tensor}`")));
        assert_eq!(told.count(), 2, "first, and how often: {outcome:?}");
    }
    let outcome = outcome.says(&["epoch 1: `layers.0.bias`", "in 4 epochs from 1 to 4: `layers.0.bias`"]);
    assert!(outcome.stdout.ends_with("out             a\n"), "{outcome:?}");
    let last = place.succeed("--out a --resume").stdout;
    assert!(last.starts_with("tensor") && last.contains("health of epoch 4"), "{last}");
    assert!(!place.succeed(&format!("{FAST} --out b")).stdout.contains("tensor"));
}

#[test]
fn times_sizes_and_numbers_are_written_for_people() {
    let place = Place::new();
    let outcome = place.succeed("--limit-train 50 --epochs 1 --threads 1 --out a");
    assert!(outcome.stderr.contains("1 epoch of 1 step on") && outcome.stderr.contains("ms\n"), "{outcome:?}");
    for arguments in ["--dry-run --epochs 1", "inspect a"] {
        let outcome = place.succeed(arguments);
        assert!(!outcome.stdout.contains("1 epochs") && outcome.stdout.contains("1 epoch"), "{outcome:?}");
    }
    let outcome = place.run("--hidden 1048576,1048576").refused(5, &[" TB, and "]);
    assert!(!outcome.stderr.contains(" MB"), "{outcome:?}");
    let outcome = place.succeed(&format!("{FAST} --lr 1e4 --hidden 8 --out b"));
    let numbers = outcome.stdout.split_whitespace().chain(outcome.stderr.split_whitespace());
    let large: Vec<&str> = numbers.filter(|word| word.parse::<f64>().is_ok_and(|number| number >= 1e6)).collect();
    assert!(!large.is_empty() && large.iter().all(|number| number.contains('e')), "{outcome:?}");
}

#[test]
fn completions_and_the_manual_are_printed() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let text = place.succeed(&format!("completions {shell}")).stdout;
        // Either all flags, or how to ask for them.
        assert!(text.contains("weight-decay") || text.contains(&format!("completions {shell} -- ")), "{shell}");
    }
    let manual = place.succeed("man").stdout;
    assert!(manual.contains(".TH adamtrain") && manual.contains("weight\\-decay"));
}

#[test]
fn a_seed_decides_everything_and_another_gives_another_run() {
    let place = Place::new();
    let run = |out: &str, flags: &str| {
        place.succeed(&format!("{} --hidden 12 --dropout 0.3 --valid-fraction 0.2 --out {out} {flags}", tiny()));
        result(&place.path(out))
    };
    let first = run("a", "--seed 1");
    run("b", "--seed 1").is(&first, "");
    assert_ne!(run("c", "--seed 2").newest, first.newest);
    assert_ne!(run("d", "--seed 1 --data-seed 2").newest, first.newest);
    run("e", "--seed 1 --data-seed 1").is(&first, "");
}

#[test]
fn threads_do_not_change_a_bit() {
    let place = Place::new();
    let run = |threads: u32| {
        let out = format!("t{threads}");
        place.succeed(&format!(
            "--limit-train 700 --batch-size 64 --epochs 2 --hidden 70,30 --dropout 0.2 \
             --valid-fraction 0.1 --clip-norm 1 --threads {threads} --out {out}"
        ));
        result(&place.path(&out))
    };
    let one = run(1);
    for threads in [2, 3, 7] {
        run(threads).is(&one, &format!("{threads} threads"));
    }
}

#[test]
fn when_it_saves_does_not_change_a_bit() {
    let place = Place::new();
    let mut first = None;
    for (index, every) in ["10s", "1steps", "4steps", "1epoch", "1ms"].iter().enumerate() {
        let out = format!("s{index}");
        place.succeed(&format!(
            "{} --hidden 12 --dropout 0.3 --valid-fraction 0.2 --save-every {every} --out {out}",
            tiny()
        ));
        let result = result(&place.path(&out));
        let first = first.get_or_insert_with(|| common::result(&place.path("s0")));
        result.is(first, every);
    }
}

#[test]
fn odd_surroundings_do_not_matter() {
    let place = Place::new();
    let reference = {
        place.succeed(&format!("{} --out a", tiny()));
        result(&place.path("a"))
    };
    for (index, (name, value)) in [
        ("LC_ALL", "tr_TR.UTF-8"),
        ("TZ", "Pacific/Apia"),
        ("RAYON_NUM_THREADS", "0"),
        ("RAYON_NUM_THREADS", "999"),
        ("XDG_CACHE_HOME", "/dev/null/nowhere"),
        ("ADAMTRAIN_BINARY", "other programs use the prefix too"),
        ("TERM", "dumb"),
    ]
    .iter()
    .enumerate()
    {
        let out = format!("odd{index}");
        let mut command = place.adamtrain(&format!("{} --out {out}", tiny()));
        finish(command.env(name, value)).expect(0);
        result(&place.path(&out)).is(&reference, &format!("{name}={value}"));
    }
    let mut command = place.adamtrain(&format!("{} --out homeless", tiny()));
    finish(command.env_remove("HOME").env_remove("XDG_CACHE_HOME")).expect(0);
    let masked = format!("{} --out masked", tiny());
    finish(&mut place.under_shell("umask 077", &masked)).expect(0);
    result(&place.path("masked")).is(&reference, "");
}
