//! Sweeps on the engines that people have: Slurm, whose daemons are started here where its packages are unpacked, and GNU parallel.

#![cfg(feature = "cli")]
#![cfg(unix)]
// Helpers panic as tests do, and say what they skip.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::{BINARY, Place};

const SWEEP: &str = "--lr log(1e-4,1e-1,6) --seed 0,1 --valid-fraction 0.1 --epochs 150 --threads 1 --save-every 500ms";

/// Where `scripts/dev/slurm.sh install` has unpacked the packages; none where that was not done.
fn packages() -> Option<PathBuf> {
    let root = PathBuf::from(std::env::var_os("ADAMTRAIN_SLURM")?);
    root.join("complete").exists().then_some(root)
}

/// A Slurm of this test's own, which goes with it.
struct Slurm {
    state: PathBuf,
    environment: String,
}

impl Slurm {
    fn start(root: &Path, state: PathBuf) -> Self {
        let output =
            Command::new("bash").arg(script("dev/slurm.sh")).arg("start").args([root, &state]).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{}", text(&output.stderr));
        Self { state, environment: text(&output.stdout) }
    }

    /// What a shell says with the commands of Slurm on its path.
    fn shell(&self, place: &Place, line: &str) -> String {
        let output = place
            .program("bash")
            .args(["-c", &format!("{}\n{line}", self.environment)])
            .env("ADAMTRAIN", BINARY)
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{line}: {}{}", text(&output.stdout), text(&output.stderr));
        text(&output.stdout)
    }
}

impl Drop for Slurm {
    fn drop(&mut self) {
        let _ = Command::new("bash").arg(script("dev/slurm.sh")).arg("stop").arg(&self.state).status();
    }
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts").join(name)
}

/// Waits until something is so.
fn wait(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_mins(5), "waited for {what}");
        sleep(Duration::from_millis(100));
    }
}

fn table(place: &Place, out: &str) -> String {
    fs::read_to_string(place.path(out).join("results.csv")).unwrap()
}

#[test]
fn an_array_of_slurm_that_is_pushed_back_into_the_queue_ends_as_the_sweep_itself() {
    let Some(root) = packages() else {
        eprintln!("skipped: ADAMTRAIN_SLURM names no folder with Slurm's packages: scripts/dev/slurm.sh install ROOT");
        return;
    };
    let place = Place::new();
    let slurm = Slurm::start(&root, place.path("slurm"));
    let flags = SWEEP.replace("log(1e-4,1e-1,6)", "'log(1e-4,1e-1,6)'");
    let out = place.path("a");
    let submit = format!("'{}' 3 --time=10 -- --out '{}' {flags}", script("slurm_sweep.sh").display(), out.display());
    let submitted = slurm.shell(&place, &submit);
    assert!(submitted.starts_with("array "), "{submitted}");
    wait("a shard in training", || place.path("a/shard-000-of-003/lanes.safetensors").exists());
    // It waits, so that it has not ended before a job that matters more takes both processors: the tasks save, and go back into the queue.
    slurm.shell(&place, &format!("pkill -STOP -f '^{BINARY} sweep .*--out {} '", out.display()));
    slurm.shell(&place, "sbatch -p high -n 2 --output=/dev/null --wrap 'sleep 1'");
    let log = || fs::read_to_string(place.path("a.logs/0.out")).unwrap_or_default();
    wait("preemption", || log().contains("DUE TO PREEMPTION"));
    // It would be two minutes before they are tried again.
    let again =
        "for job in $(squeue -h -t PD -o %i); do scontrol update job=$job StartTime=now 2>/dev/null; done; true";
    wait("the table", || {
        slurm.shell(&place, again);
        place.path("a/done.json").exists()
    });
    place.succeed(&format!("sweep {SWEEP} --out whole -q"));
    assert_eq!(table(&place, "a"), table(&place, "whole"));
}

#[test]
fn shards_under_gnu_parallel_are_the_sweep_itself() {
    let parallel = packages().map(|root| root.join("usr/bin/parallel"));
    let Some(parallel) =
        parallel.filter(|parallel| parallel.exists() && Command::new("perl").arg("-v").output().is_ok())
    else {
        eprintln!("skipped: no GNU parallel: scripts/dev/slurm.sh install ROOT brings it along");
        return;
    };
    let place = Place::new();
    let line = format!(
        "'{}' -j 3 '{BINARY}' sweep {SWEEP} --epochs 5 --out a --shard {{}}/4 --resume -q ::: 0 1 2 3",
        parallel.display()
    );
    let quoted = line.replace("log(1e-4,1e-1,6)", r"'log\(1e-4,1e-1,6\)'");
    let output = place.program("bash").args(["-c", &quoted]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    place.succeed(&format!("sweep {SWEEP} --epochs 5 --out a --resume -q"));
    place.succeed(&format!("sweep {SWEEP} --epochs 5 --out whole -q"));
    assert_eq!(table(&place, "a"), table(&place, "whole"));
}
