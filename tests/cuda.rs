//! Training on a GPU, through the binary: what it comes to beside the CPU, what the host asks for on the way, and what happens where
//! something fails.
//!
//! `fake_cuda/cuda.cpp` plays the GPU: CUDA's libraries in host memory, with the program's own kernels compiled as C++. So all of
//! the host's side runs as it would on a card: launches, cuBLAS, copies, recorded graphs.

#![cfg(all(feature = "cuda", feature = "cli"))]
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod common;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use common::{Outcome, Place, Running, finish, result};
use serde_json::Value;

const KERNELS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/kernel/gpu");
const FAKE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fake_cuda/cuda.cpp");

const MISTAKES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fake_cuda/mistakes.cpp");

/// Losses of the GPU and of the CPU may differ so much, relative to the CPU's: sums of f32 in another order. Two epochs of small steps
/// were found to differ by 1e-7 at most; lion, which takes whole steps by the sign of what may be nearly 0, is left out.
const LOSS_TOLERANCE: f64 = 1e-4;

/// The same of accuracies.
const ACCURACY_TOLERANCE: f64 = 0.01;

/// The folder with the libraries; none where they cannot be made or real ones would be found first, which is said.
fn libraries() -> Option<&'static Path> {
    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
    FOLDER.get_or_init(make).as_deref()
}

fn make() -> Option<PathBuf> {
    if Path::new("/usr/local/cuda").exists() {
        eprintln!("skipped: this machine has a toolkit");
        return None;
    }
    // A folder that Cargo keeps: libraries are of use until the last test ends.
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fake_cuda");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    let files = ["shim.h", "kernels.cu", "rules.cu"].map(|file| format!("{KERNELS}/{file}"));
    let names: Vec<String> = files.iter().flat_map(|file| kernels(&fs::read_to_string(file).unwrap())).collect();
    let includes = files.iter().map(|file| format!("#include \"{file}\"")).collect::<Vec<_>>().join("\n");
    let list = names.iter().map(|name| format!("X({name})")).collect::<Vec<_>>().join(" ");
    let unit = folder.join("unit.cpp");
    fs::write(&unit, format!("{includes}\n#define KERNELS(X) {list}\n#include \"{FAKE}\"\n")).unwrap();
    let mut compiler = Command::new("g++");
    compiler.args(["-O2", "-std=c++20", "-ffp-contract=off", "-ftls-model=initial-exec", "-fPIC", "-shared"]);
    compiler.args(["-Wall", "-Werror", "-Wno-unknown-pragmas", "-o"]).arg(folder.join("libcuda.so.1")).arg(unit);
    let Ok(output) = compiler.output() else {
        eprintln!("skipped: there is no `g++` to make a GPU of");
        return None;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for name in ["libcublas.so.13", "libcublasLt.so.13", "libcurand.so.10"] {
        symlink("libcuda.so.1", folder.join(name)).unwrap();
    }
    Some(folder)
}

/// The kernels that a text defines.
fn kernels(text: &str) -> Vec<String> {
    let name = |rest: &str| {
        let rest = rest.strip_prefix("__launch_bounds__(").map_or(rest, |rest| rest.split_once(')').unwrap().1);
        rest.trim_start().split('(').next().unwrap().trim_end().to_owned()
    };
    text.split("extern \"C\" __global__ void ").skip(1).map(name).collect()
}

/// A folder in which the binary finds the GPU.
struct Machine {
    place: Place,
    libraries: &'static Path,
}

impl Machine {
    fn new() -> Option<Self> {
        libraries().map(|libraries| Self { place: Place::new(), libraries })
    }

    fn command(&self, arguments: &str, environment: &[(&str, &str)]) -> Command {
        let mut command = self.place.adamtrain(arguments);
        command.env_remove("CUDA_HOME").env("LD_LIBRARY_PATH", self.libraries);
        command.env("FAKE_COUNTS", self.place.path("counts.json")).envs(environment.iter().copied());
        command
    }

    fn run(&self, arguments: &str, environment: &[(&str, &str)]) -> Outcome {
        let outcome = finish(&mut self.command(arguments, environment));
        assert!(!outcome.stderr.contains("fake GPU"), "{outcome:?}");
        outcome
    }

    /// Runs to the end and answers what was asked of the GPU.
    fn counted(&self, arguments: &str, environment: &[(&str, &str)]) -> Counts {
        self.run(arguments, environment).expect(0);
        Counts(serde_json::from_slice(&fs::read(self.place.path("counts.json")).unwrap()).unwrap())
    }

    fn result(&self, run: &str) -> common::Result {
        result(&self.place.path(run))
    }

    /// Requires that the lines of `found` tell what those of `expected` do, within the tolerances.
    #[track_caller]
    fn agree(&self, found: &str, expected: &str, context: &str) {
        let [found, expected] = [found, expected].map(|run| common::metrics(&self.place.path(run)));
        assert_eq!(found.len(), expected.len(), "{context}");
        for (found, expected) in found.iter().zip(&expected) {
            for (key, expected) in expected.as_object().unwrap() {
                let tolerance = if key.ends_with("loss") {
                    LOSS_TOLERANCE * expected.as_f64().unwrap_or(0.0)
                } else if key.ends_with("accuracy") {
                    ACCURACY_TOLERANCE
                } else {
                    0.0
                };
                let is_near = match (found[key].as_f64(), expected.as_f64()) {
                    (Some(found), Some(expected)) => (found - expected).abs() <= tolerance,
                    _ => found[key] == *expected,
                };
                assert!(is_near, "{context}: `{key}` is {}, expected {expected}", found[key]);
            }
        }
    }
}

/// How often the GPU was asked for what.
#[derive(Debug)]
struct Counts(Value);

impl Counts {
    fn of(&self, name: &str) -> u64 {
        self.0[name].as_u64().unwrap_or(0)
    }
}

/// 32 steps an epoch, of which the last has 8 rows.
const SMALL: &str = "--limit-train 1000 --batch-size 32 --epochs 2 --lr 1e-3 --quiet";

#[test]
fn a_gpu_comes_to_what_the_cpu_comes_to_and_a_graph_to_what_single_launches_come_to() {
    let Some(machine) = Machine::new() else { return };
    for (index, words) in [
        "",
        "--hidden 32,16 --dropout 0.2 --clip-norm 0.5 --set train.ema_decay=0.9",
        "--hidden 20 --optimizer sgd --set train.accumulate=3",
        "--hidden 32,16 --optimizer lamb --schedule cosine",
        "--hidden 32,16 --optimizer muon --set train.clip_value=0.1",
        "--hidden 20 --optimizer schedule-free-adamw --set train.clip_adaptive=0.1",
        "--hidden 20 --optimizer adamw --set optim.cautious=true --set train.label_smoothing=0.1",
        "--valid-fraction 0.1 --eval-every 10steps --schedule plateau",
    ]
    .into_iter()
    .enumerate()
    {
        let [cpu, eager, graph] = ["cpu", "eager", "graph"].map(|name| format!("{name}-{index}"));
        machine.run(&format!("{SMALL} {words} --device cpu --out {cpu}"), &[]).expect(0);
        let launched =
            machine.counted(&format!("{SMALL} {words} --device cuda --set train.graph=false --out {eager}"), &[]);
        let recorded = machine.counted(&format!("{SMALL} {words} --device cuda --out {graph}"), &[]);
        assert!(launched.of("captures") == 0 && recorded.of("graph_launches") > 4, "{words}: {recorded:?}");
        assert!(launched.of("replayed") == 0 && recorded.of("replayed") > 300, "{words}: {recorded:?}");
        machine.agree(&graph, &cpu, words);
        machine.result(&eager).is(&machine.result(&graph), words);
    }
}

#[test]
fn what_has_no_kernel_is_refused_on_a_gpu_and_the_cpu_is_named() {
    let Some(machine) = Machine::new() else { return };
    for device in ["cuda", "auto"] {
        for command in ["", "sweep --seed 0,1"] {
            for more in ["", "--dry-run"] {
                for augment in ["affine", "cutout", "mixup"] {
                    let words = format!("{command} {SMALL} --augment {augment} --device {device} {more}");
                    machine.run(words.trim_start(), &[]).refused(2, &["augment.augment", "--device cpu"]);
                }
            }
        }
    }
}

#[test]
fn what_looks_at_each_step_on_the_host_works_on_a_gpu() {
    let Some(machine) = Machine::new() else { return };
    let small = SMALL.replace("1000", "300");
    for (index, words) in ["--set train.health=true", "--set train.non_finite=skip"].into_iter().enumerate() {
        let [cpu, cuda] = ["cpu", "cuda"].map(|device| format!("{device}-{index}"));
        machine.run(&format!("{small} --hidden 20 {words} --device cpu --out {cpu}"), &[]).expect(0);
        machine.run(&format!("{small} --hidden 20 {words} --device cuda --out {cuda}"), &[]).expect(0);
        let [found, expected] = [&cuda, &cpu].map(|run| common::metrics(&machine.place.path(run)));
        for key in ["train_loss", "test_loss"] {
            let [found, expected] = [&found, &expected].map(|lines| lines[1][key].as_f64().unwrap());
            assert!((found - expected).abs() < LOSS_TOLERANCE * expected, "{words}: {found}, expected {expected}");
        }
        assert_eq!(found[1]["health"].is_object(), expected[1]["health"].is_object());
    }
}

/// Those that a GPU would have to wait for in every step, or that have no kernels.
const CPU_ALONE: [&str; 6] = ["prodigy", "dadapt-adam", "adafactor", "sophia", "soap", "lbfgs"];

#[test]
fn every_optimizer_trains_on_a_gpu() {
    let Some(machine) = Machine::new() else { return };
    let families = machine.place.answer("optimizers");
    let families = families["optimizers"].as_array().unwrap();
    assert!(families.len() > 15, "{families:?}");
    for name in families.iter().map(|family| family["name"].as_str().unwrap()) {
        let batch = if name == "lbfgs" { 300 } else { 32 };
        let words = format!("--limit-train 300 --batch-size {batch} --epochs 1 --quiet --hidden 16 --optimizer {name}");
        machine.run(&format!("{words} --device cpu --out cpu-{name}"), &[]).expect(0);
        if CPU_ALONE.contains(&name) {
            machine.run(&format!("{words} --device cuda --out cuda-{name}"), &[]).refused(2, &[name, "GPU"]);
            continue;
        }
        machine.run(&format!("{words} --device cuda --out cuda-{name}"), &[]).expect(0);
        machine.agree(&format!("cuda-{name}"), &format!("cpu-{name}"), name);
    }
}

#[test]
fn tf32_rounds_the_factors_and_trains_as_well() {
    let Some(machine) = Machine::new() else { return };
    let train = |precision: &str| {
        machine.run(&format!("{SMALL} --device cuda --precision {precision} --out {precision}"), &[]).expect(0);
        common::metrics(&machine.place.path(precision))[1]["test_loss"].as_f64().unwrap()
    };
    let (exact, rounded) = (train("f32"), train("tf32"));
    let difference = ((rounded - exact) / exact).abs();
    // 10 bits behind the point.
    assert!(difference > 0.0 && difference < 1e-3, "{rounded}, exactly {exact}");
}

#[test]
fn the_host_asks_for_an_epoch_in_a_few_calls_and_waits_for_none() {
    let Some(machine) = Machine::new() else { return };
    let count = |steps: u32, words: &str| {
        let words = format!("--limit-train {} --batch-size 8 --epochs 3 --save-every 1h --quiet {words}", 8 * steps);
        let began = Instant::now();
        let counts = machine.counted(&format!("{words} --device cuda --out {steps}"), &[]);
        fs::remove_dir_all(machine.place.path(&steps.to_string())).unwrap();
        (counts, began.elapsed())
    };
    for words in ["", "--hidden 16 --dropout 0.5 --clip-norm 1"] {
        let ((few, _), (many, took)) = (count(128, words), count(256, words));
        let more = |name: &str| many.of(name) as i64 - few.of(name) as i64;
        // For 64 steps more, the scalars of their rule and a graph.
        assert_eq!(more("uploads"), 3 * 2, "{words}: {few:?} {many:?}");
        assert_eq!(more("graph_launches"), 3 * 2, "{words}: {few:?} {many:?}");
        for name in ["launches", "products", "recorded", "graphs", "allocations", "frees", "fills", "copies"] {
            assert_eq!(more(name), 0, "{words}: `{name}`: {few:?} {many:?}");
        }
        // The sums are looked at every 200 ms, however many steps that are.
        let looks = (took.as_millis() / 200) as i64;
        for name in ["synchronisations", "downloads"] {
            assert!(more(name) <= 2 * looks, "{words}: `{name}` in {took:?}: {few:?} {many:?}");
        }
        assert!(many.of("synchronisations") < 100 + 2 * looks as u64, "{many:?}");
    }
    // One step of the linear net: the batch, two products, bias, loss, the bias's gradient, the update; and the move behind it.
    let [(few, _), (many, _)] = [16, 128].map(|steps| count(steps, "--set train.graph=false"));
    let more = |name: &str| many.of(name) as i64 - few.of(name) as i64;
    let steps = 3 * (128 - 16);
    assert_eq!((more("launches"), more("products")), (6 * steps, 2 * steps), "{few:?} {many:?}");
    // Behind two steps that are not, 14 of the first epoch are launches of 4 and 1, 16 of the others one; each ends with a move.
    let counts = count(16, "").0;
    let asked = ["graphs", "graph_launches", "recorded"].map(|name| counts.of(name));
    assert_eq!(asked, [3, 5 + 2, 7 * (16 + 4 + 1) + 3], "{counts:?}");
}

#[test]
fn where_recording_fails_steps_run_launch_by_launch_and_a_warning_says_so() {
    let Some(machine) = Machine::new() else { return };
    let words = format!("{SMALL} --hidden 16 --device cuda");
    machine.run(&format!("{words} --out graph"), &[]).expect(0);
    for call in ["begin", "end", "instantiate"] {
        let outcome = machine.run(&format!("{words} --out {call}"), &[("FAKE_CAPTURE", call), ("RUST_BACKTRACE", "1")]);
        let outcome = outcome.says(&["the step is not recorded as a graph", "CUDA_ERROR_"]);
        assert_eq!((outcome.code(), outcome.stderr.lines().count()), (Some(0), 1), "{outcome:?}");
        machine.result(call).is(&machine.result("graph"), call);
    }
}

#[test]
fn a_run_that_was_killed_on_a_gpu_goes_on_bit_for_bit() {
    let Some(machine) = Machine::new() else { return };
    let words = format!(
        "{} --hidden 16 --dropout 0.3 --optimizer adamw --save-every 7steps --json --device cuda",
        SMALL.replace("--epochs 2", "--epochs 4")
    );
    machine.run(&format!("{words} --out whole"), &[]).expect(0);
    let mut killed = Running::start(&mut machine.command(&format!("{words} --out killed"), &[]));
    killed.read_until("\"event\":\"epoch\"");
    killed.kill_after(Duration::ZERO);
    machine.run(&format!("{words} --out killed --resume"), &[]).expect(0);
    machine.result("killed").is(&machine.result("whole"), "killed");
}

#[test]
fn a_run_that_is_stopped_between_launches_of_many_steps_goes_on_bit_for_bit() {
    let Some(machine) = Machine::new() else { return };
    let words = "--limit-train 4000 --batch-size 8 --epochs 6 --save-every 1h --hidden 8 --optimizer nadam --json --device cuda";
    machine.run(&format!("{words} --out whole"), &[]).expect(0);
    let mut stopped = Running::start(&mut machine.command(&format!("{words} --out stopped"), &[]));
    stopped.read_until("\"event\":\"epoch\"");
    stopped.signal("TERM");
    let outcome = stopped.finish();
    assert_eq!(outcome.code(), Some(143), "{outcome:?}");
    let newest = common::checkpoint(&machine.place.path("stopped"), "LATEST").unwrap();
    let step = common::meta(&newest)["progress"]["step"].as_u64().unwrap();
    assert!((500..3000).contains(&step), "{step}");
    machine.run(&format!("{words} --out stopped --resume"), &[]).expect(0);
    machine.result("stopped").is(&machine.result("whole"), "stopped");
}

#[test]
fn a_run_moves_between_devices_and_starts_from_a_checkpoint_of_the_other() {
    let Some(machine) = Machine::new() else { return };
    let words = |epochs: u32| {
        format!("{} --hidden 16 --set train.ema_decay=0.9", SMALL.replace("--epochs 2", &format!("--epochs {epochs}")))
    };
    machine.run(&format!("{} --device cpu --out cpu", words(4)), &[]).expect(0);
    machine.run(&format!("{} --device cpu --out moved", words(1)), &[]).expect(0);
    machine.run(&format!("{} --device cuda --out moved --resume", words(3)), &[]).expect(0);
    machine.run(&format!("{} --device cpu --out moved --resume", words(4)), &[]).expect(0);
    machine.agree("moved", "cpu", "moved");
    for device in ["cpu", "cuda"] {
        machine.run(&format!("{} --init moved --device {device} --out from-{device}", words(1)), &[]).expect(0);
    }
    machine.agree("from-cuda", "from-cpu", "--init");
}

#[test]
fn an_evaluation_on_a_gpu_counts_what_one_on_the_cpu_counts() {
    let Some(machine) = Machine::new() else { return };
    machine.run(&format!("{SMALL} --hidden 16 --valid-fraction 0.1 --device cuda --out run"), &[]).expect(0);
    for words in ["", "--split valid", "--split train --best"] {
        let [cpu, cuda] = ["cpu", "cuda"].map(|device| {
            let outcome = machine.run(&format!("eval run {words} --device {device} --json"), &[]).expect(0);
            outcome.events().remove(0)
        });
        assert_eq!(cuda["confusion"], cpu["confusion"], "{words}");
        let [found, expected] = [&cuda, &cpu].map(|event| event["loss"].as_f64().unwrap());
        assert!((found - expected).abs() < 1e-5 * expected, "{words}: {found}, expected {expected}");
    }
}

#[test]
fn every_lane_of_a_sweep_on_a_gpu_is_its_own_run() {
    let Some(machine) = Machine::new() else { return };
    for (out, axes) in [
        ("linear", "--lr 1e-3,1e-2 --seed 0..1"),
        ("deep", "--beta2 0.9,0.999 --hidden 12 --dropout 0,0.3 --clip-norm 0.1"),
    ] {
        let words = format!("{axes} --limit-train 400 --batch-size 64 --epochs 2");
        machine.run(&format!("sweep {words} --quiet --checkpoints all --device cuda --out {out}"), &[]).expect(0);
        let commands = machine.run(&format!("sweep {words} --expand"), &[]).expect(0).stdout;
        assert_eq!(commands.lines().count(), 4);
        for (point, command) in commands.lines().enumerate() {
            let own = format!("{out}-{point}");
            let arguments = command.strip_prefix("adamtrain ").unwrap();
            machine.run(&format!("{arguments} --device cuda --quiet --out {own}"), &[]).expect(0);
            let lane = common::tensors(&machine.place.path(&format!("{out}/ckpt/point-{point:05}.safetensors")));
            assert_eq!(lane, machine.result(&own).newest, "{command}");
        }
    }
}

/// The number before ` MB` that follows `words`.
fn megabytes(outcome: &Outcome, words: &str) -> u64 {
    let rest = outcome.stderr.split_once(words).unwrap_or_else(|| panic!("{outcome:?}")).1;
    rest.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn a_run_that_a_gpu_cannot_hold_is_5_and_the_batch_that_is_named_fits() {
    let Some(machine) = Machine::new() else { return };
    let words = |batch_size: &str| {
        format!("--hidden 64 --limit-train 9000 --epochs 1 --quiet --batch-size {batch_size} --device cuda --out run")
    };
    // Of this, 34 MB are cuBLAS's workspace.
    let memory = [("FAKE_MEMORY", "60000000")];
    let refused = machine.run(&words("8192"), &memory).refused(5, &["the run needs about", "on cuda:0", "fits"]);
    assert_eq!(refused.stderr.lines().count(), 2, "{refused:?}");
    assert!(!machine.place.path("run").join("run.json").exists());
    let hint = refused.stderr.split_once("--batch-size ").unwrap().1;
    machine.run(&words(hint.split_whitespace().next().unwrap()), &memory).expect(0);
}

#[test]
fn the_estimate_of_a_gpus_memory_is_what_a_run_takes() {
    let Some(machine) = Machine::new() else { return };
    let mut wrong = Vec::new();
    for words in [
        "",
        "--hidden 64 --optimizer adan --set train.health=true --batch-size 512",
        "--hidden 64,32 --optimizer schedule-free-adamw",
        "--hidden 32,16 --optimizer muon",
        "--hidden 500,500 --optimizer muon --set optim.ns_steps=1 --limit-train 384 --batch-size 128",
        "--hidden 64 --optimizer lamb --dropout 0.5 --clip-norm 1 --set train.ema_decay=0.9",
        "--hidden 64 --optimizer sgd --batch-size 4096 --set train.accumulate=2",
    ] {
        // A long run takes no more: all memory is taken before the third step.
        let words = format!("--limit-train 4096 --epochs 1 --quiet --batch-size 1024 {words} --device cuda");
        let refused = machine.run(&format!("{words} --out refused"), &[("FAKE_FREE", "1")]);
        let estimate = megabytes(&refused.refused(5, &["on cuda:0"]), "needs about ");
        let counts = machine.counted(&format!("{words} --out run"), &[]);
        fs::remove_dir_all(machine.place.path("run")).unwrap();
        let taken = (counts.of("peak_bytes") - (32 << 20)).div_ceil(1_000_000);
        if taken > estimate || estimate > taken * 3 / 2 {
            wrong.push(format!("{words}: {estimate} MB are foretold, {taken} taken"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_gpu_that_runs_out_of_memory_on_the_way_is_5_with_what_to_try() {
    let Some(machine) = Machine::new() else { return };
    // More is promised than there is.
    let environment = [("FAKE_MEMORY", "60000000"), ("FAKE_FREE", "900000000")];
    let words = "--hidden 1024 --batch-size 4096 --quiet --device cuda --out run";
    let outcome =
        machine.run(words, &environment).refused(5, &["cuda:0 is out of memory", "needs about", "--batch-size 2048"]);
    assert_eq!(outcome.stderr.lines().count(), 2, "{outcome:?}");
    let words = "sweep --lr 1e-3,1e-2 --seed 0..31 --hidden 128 --epochs 1 --quiet --device cuda --out sweep";
    machine.run(words, &environment).refused(5, &["cuda:0 is out of memory", "try --lanes "]);
    // Not even cuBLAS's workspace fits.
    let outcome = machine.run("--quiet --device cuda --out run", &[("FAKE_MEMORY", "1000000")]);
    outcome.refused(5, &["`cuda:0` cannot be opened: out of memory"]);
}

#[test]
fn the_doctor_trains_on_the_gpu() {
    let Some(machine) = Machine::new() else { return };
    let outcome = machine.run("doctor --json", &[]).expect(0);
    let report = outcome.events().remove(0);
    let device = &report["devices"][1];
    assert_eq!((&device["name"], &device["ok"]), (&"Fake GPU".into(), &true.into()), "{report}");
    for test in device["self_test"].as_array().unwrap() {
        assert!(test["loss_difference"].as_f64().unwrap() < 1e-6, "{report}");
    }
    let table = machine.run("doctor", &[]).expect(0).stdout;
    assert!(table.contains("cuda:0       Fake GPU") && !table.contains("cannot be opened"), "{table}");
}

#[test]
fn the_gpu_of_these_tests_stops_at_mistakes() {
    let Some(machine) = Machine::new() else { return };
    let program = machine.place.path("mistakes");
    let mut compiler = Command::new("g++");
    compiler.args(["-std=c++20", "-Wall", "-Werror", "-o"]).arg(&program).arg(MISTAKES);
    assert!(compiler.arg(machine.libraries.join("libcuda.so.1")).status().unwrap().success());
    for (mistake, answer) in [
        ("products", "0"),
        ("a longer copy", "an allocation is left by an upload"),
        ("a copy to nowhere", "memory that is not allocated is used by an upload"),
        ("freed twice", "memory is freed that is not allocated"),
        ("a kernel on freed memory", "memory that is not allocated is touched by bias_activation"),
        ("a kernel behind the end", "memory that is not allocated is touched by bias_activation"),
        ("a kernel just behind the end", "behind its end, memory was written"),
        ("too many threads", "1"),
        ("no threads", "1"),
        ("other parameters", "other parameters than in C++ has the PTX of bias_activation"),
        ("no memory", "2"),
        ("no event", "801"),
        ("a short leading dimension", "7"),
        ("overlapping lanes", "lanes overlap in the result of a product"),
        ("a product behind the end", "an allocation is left by a product"),
        ("an upload while capturing", "900 901"),
        ("waiting while capturing", "900 901"),
        ("freeing while capturing", "900 901"),
        ("no workspace while capturing", "3 0"),
    ] {
        let mut command = machine.place.program(program.to_str().unwrap());
        let outcome = finish(command.arg(mistake).env("LD_LIBRARY_PATH", machine.libraries));
        if answer.starts_with(|first: char| first.is_ascii_digit()) {
            assert_eq!((outcome.code(), outcome.stdout.trim()), (Some(0), answer), "{mistake}: {outcome:?}");
        } else {
            assert!(outcome.code() == Some(99) && outcome.stderr.contains(answer), "{mistake}: {outcome:?}");
        }
    }
}
