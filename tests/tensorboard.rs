//! TensorBoard's event files, read back by TensorBoard's own reader where it is installed (`pip install tensorboard`).

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::process::Command;

use common::Place;
use serde_json::Value;

const SMALL: &str = "--hidden 8 --limit-train 400 --batch-size 50 --valid-fraction 0.2 --device cpu --threads 1 -q";

/// What TensorBoard's reader finds in a folder: scalars by tag, pictures and hyperparameters.
#[allow(clippy::print_stderr)]
fn read_back(place: &Place, folder: &str) -> Option<Value> {
    const READER: &str = r#"
import json, sys
try:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import plugin_data_pb2
except ImportError:
    sys.exit(77)
events = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0, "images": 0}).Reload()
tags = events.Tags()
found = {"scalars": {tag: [[e.step, e.value] for e in events.Scalars(tag)] for tag in tags["scalars"]}}
found["images"] = {tag: [[e.step, e.width, e.height, len(e.encoded_image_string)] for e in events.Images(tag)] for tag in tags["images"]}
hparams = events.summary_metadata.get("_hparams_/session_start_info")
if hparams:
    data = plugin_data_pb2.HParamsPluginData.FromString(hparams.plugin_data.content)
    found["hparams"] = {k: v.number_value or v.string_value for k, v in data.session_start_info.hparams.items()}
    data = plugin_data_pb2.HParamsPluginData.FromString(events.summary_metadata["_hparams_/experiment"].plugin_data.content)
    found["metrics"] = [info.name.tag for info in data.experiment.metric_infos]
print(json.dumps(found))
"#;
    place.write("reader.py", READER);
    let mut command = Command::new("python3");
    command.arg(place.path("reader.py")).arg(place.path(folder)).env("TF_CPP_MIN_LOG_LEVEL", "3");
    let output = match command.output() {
        Ok(output) if output.status.code() != Some(77) => output,
        _ => {
            eprintln!("skipped: Python's package tensorboard is not here");
            return None;
        }
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

/// The records of the files in a folder, each checked by its length alone.
fn records(place: &Place, file: &str) -> usize {
    let bytes = fs::read(place.path(file)).unwrap();
    let (mut at, mut count) = (0, 0);
    while at < bytes.len() {
        let length = u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize;
        at += length + 16;
        count += 1;
    }
    assert_eq!(at, bytes.len());
    count
}

const FILE: &str = "events.out.tfevents.0000000000.adamtrain";

#[test]
fn what_a_run_writes_as_it_goes_is_what_its_metrics_say() {
    let place = Place::new();
    place.succeed(&format!("{SMALL} --epochs 2 --health --tensorboard --out run"));
    // The setting stays with the run; what went before is there once.
    place.succeed(&format!("{SMALL} --epochs 4 --health --out run --resume"));
    assert_eq!(records(&place, &format!("run/tb/{FILE}")), 5);
    let Some(found) = read_back(&place, "run/tb") else { return };
    let metrics = common::metrics(&place.path("run"));
    for (tag, name) in
        [("loss/train", "train_loss"), ("accuracy/valid", "valid_accuracy"), ("loss/test", "test_loss"), ("lr", "lr")]
    {
        let points = found["scalars"][tag].as_array().unwrap();
        assert_eq!(points.len(), 4);
        for (point, line) in points.iter().zip(&metrics) {
            assert_eq!(point[0], line["step"], "{tag}");
            assert_eq!(point[1].as_f64().unwrap() as f32, line[name].as_f64().unwrap() as f32, "{tag}");
        }
    }
    assert_eq!(found["scalars"]["health/update_ratio/layers.0.weight"].as_array().unwrap().len(), 4);
}

#[test]
fn exported_runs_have_hyperparameters_and_pictures() {
    let place = Place::new();
    place.succeed(&format!("{SMALL} --epochs 2 --lr 0.02 --out run"));
    place.succeed("export run --to tb/");
    place.succeed(&format!("sweep {SMALL} --lr 1e-3,1e-2 --epochs 2 --out sweep"));
    let told = place.answer("export sweep --to all/");
    assert_eq!((&told["runs"], &told["kind"]), (&2.into(), &"tensorboard".into()));
    assert_eq!(common::names(&place.path("all")), ["sweep-0", "sweep-1"]);
    place.run("export run --to tb/ --input f32").refused(2, &["--input"]);
    place.run("export nowhere --to tb/").refused(4, &["nowhere"]);
    place.run("sweep --tensorboard --lr 1e-3,1e-2").refused(2, &["export SWEEP --to tb/"]);
    let Some(found) = read_back(&place, "tb") else { return };
    assert_eq!(found["hparams"]["optim.lr"], 0.02);
    assert_eq!(found["hparams"]["optim.optimizer"], "adam");
    assert!(found["metrics"].as_array().unwrap().contains(&"end/accuracy/valid".into()));
    assert_eq!(found["scalars"]["end/accuracy/valid"].as_array().unwrap().len(), 1);
    assert_eq!(found["scalars"]["loss/valid"].as_array().unwrap().len(), 2);
    assert_eq!(found["images"]["weights/unit 0"][0][1], 28);
    if cfg!(feature = "png") {
        assert!(found["images"]["confusion"][0][3].as_u64().unwrap() > 1000);
    }
    let swept = read_back(&place, "all/sweep-1").unwrap();
    assert_eq!((&swept["hparams"]["optim.lr"], swept["images"].as_object().unwrap().len()), (&0.01.into(), 0));
}
