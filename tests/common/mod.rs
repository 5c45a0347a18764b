//! A harness for the binary: a folder of its own, a clean environment, a time-out, and what a run leaves behind.
//!
//! Nothing here knows how the program works inside: it starts the binary and reads its files.

// Each file of tests uses a part of this, and helpers panic as tests do.
#![allow(dead_code, clippy::unwrap_used)]

pub mod terminal;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

/// A process that takes longer hangs.
pub const TIME_OUT: Duration = Duration::from_mins(1);

/// The binary under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_adamtrain");

/// A folder in which the binary runs, with an empty hub cache and a data cache of its own.
pub struct Place {
    folder: TempDir,
    outside: TempDir,
}

impl Place {
    /// An empty one.
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), outside: tempfile::tempdir().unwrap() }
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file into the folder.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// Names of everything in the folder.
    pub fn entries(&self) -> Vec<String> {
        names(self.folder.path())
    }

    /// The folder of the data cache.
    pub fn cache(&self) -> PathBuf {
        self.outside.path().join("cache")
    }

    /// A command in the folder that inherits nothing of the environment but where programs and libraries are.
    pub fn program(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let kept =
            ["LD_LIBRARY_PATH", "CUDA_HOME"].into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
        command
            .current_dir(self.folder.path())
            .env_clear()
            .envs(kept)
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.outside.path())
            .env("XDG_CACHE_HOME", self.cache())
            .env("HF_HOME", self.outside.path().join("hub"))
            // No test reaches the network: nothing listens on this port.
            .env("HF_ENDPOINT", "http://127.0.0.1:9")
            .stdin(Stdio::null());
        command
    }

    /// The binary with these arguments.
    pub fn command<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Command {
        let mut command = self.program(BINARY);
        command.args(arguments);
        command
    }

    /// The binary with arguments that spaces part.
    pub fn adamtrain(&self, arguments: &str) -> Command {
        self.command(&arguments.split_whitespace().collect::<Vec<_>>())
    }

    /// The binary under a shell, after `before`, which may set limits.
    pub fn under_shell(&self, before: &str, arguments: &str) -> Command {
        let mut command = self.program("sh");
        command.args(["-c", &format!("{before}; exec {BINARY} {arguments}")]);
        command
    }

    /// Runs the binary to its end.
    pub fn run(&self, arguments: &str) -> Outcome {
        finish(&mut self.adamtrain(arguments))
    }

    /// Runs the binary, which must leave with 0.
    pub fn succeed(&self, arguments: &str) -> Outcome {
        self.run(arguments).expect(0)
    }

    /// The one JSON object that a command answers with.
    pub fn answer(&self, arguments: &str) -> Value {
        let outcome = self.succeed(&format!("{arguments} --json"));
        let mut events = outcome.events();
        assert_eq!(events.len(), 1, "{outcome:?}");
        events.remove(0)
    }
}

/// Names of the entries of a folder, sorted.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Whether a run left files half written.
pub fn is_unfinished(run: &Path) -> bool {
    let unfinished = |folder: &Path| names(folder).iter().any(|name| name.contains(".tmp"));
    unfinished(run) || unfinished(&run.join("ckpt"))
}

/// How a process ended, and what it said.
pub struct Outcome {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl std::fmt::Debug for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { status, stdout, stderr } = self;
        write!(f, "{status}\n--- stdout\n{stdout}\n--- stderr\n{stderr}\n---")
    }
}

impl Outcome {
    /// The exit code; none if a signal ended the process.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Requires an exit code, and that nothing panicked.
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code(), Some(code), "{self:?}");
        for word in ["panicked", "RUST_BACKTRACE", "internal error", "defect"] {
            assert!(!self.stderr.contains(word), "{self:?}");
        }
        self
    }

    /// Requires a refusal: this code, nothing on stdout, and one error that contains each of `words`.
    pub fn refused(self, code: i32, words: &[&str]) -> Self {
        let outcome = self.expect(code);
        assert_eq!(outcome.stdout, "", "{outcome:?}");
        let errors = outcome.stderr.lines().filter(|l| l.starts_with("error: "));
        assert_eq!(errors.count(), 1, "{outcome:?}");
        outcome.says(words)
    }

    /// Requires words on stderr.
    pub fn says(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.stderr.contains(word), "no `{word}` in {self:?}");
        }
        self
    }

    /// The JSON lines on stdout, each with its `event`.
    pub fn events(&self) -> Vec<Value> {
        let parse = |line: &str| {
            let event: Value = serde_json::from_str(line).unwrap_or_else(|error| {
                panic!("{error} in `{line}` of {self:?}");
            });
            assert!(event["event"].is_string(), "{line}");
            event
        };
        self.stdout.lines().map(parse).collect()
    }

    /// The `end` event, which is the last line.
    pub fn end(&self) -> Value {
        let last = self.events().pop().unwrap_or_default();
        assert_eq!(last["event"], "end", "{self:?}");
        last
    }

    /// The `epoch` events.
    pub fn epochs(&self) -> Vec<Value> {
        let mut events = self.events();
        events.retain(|event| event["event"] == "epoch");
        events
    }
}

/// The signals that interrupt a run, and the code that it leaves with. Where this process was started with SIGHUP ignored, as by `nohup`, so
/// are those that it starts, and by it they are not interrupted.
pub fn interrupts() -> impl Iterator<Item = (&'static str, i32)> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap_or("0");
    let ignores_hang_up = u64::from_str_radix(ignored.trim(), 16).unwrap() & 1 == 1;
    [("HUP", 129), ("INT", 130), ("TERM", 143)].into_iter().skip(usize::from(ignores_hang_up))
}

/// Runs a command to its end.
pub fn finish(command: &mut Command) -> Outcome {
    Running::start(command).finish()
}

/// A process whose standard output is read only as far as the test asks: once the pipe is full, it waits.
pub struct Running {
    child: Child,
    lines: Receiver<String>,
    stderr: Option<JoinHandle<String>>,
    stdout: String,
    ended: Option<ExitStatus>,
    deadline: Instant,
}

impl Running {
    /// Starts a command. A standard output that the command already has is left alone.
    pub fn start(command: &mut Command) -> Self {
        Self::spawn(command.stdout(Stdio::piped()))
    }

    /// Starts a command whose standard output goes to `file`.
    pub fn start_into(command: &mut Command, file: File) -> Self {
        Self::spawn(command.stdout(file))
    }

    fn spawn(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = sync_channel(0);
        if let Some(stdout) = child.stdout.take() {
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stdout);
                let mut line = Vec::new();
                while reader.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
                    let text = String::from_utf8_lossy(&line).into_owned();
                    if sender.send(text).is_err() {
                        break;
                    }
                    line.clear();
                }
            });
        }
        let mut stderr = child.stderr.take().unwrap();
        let stderr = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = stderr.read_to_end(&mut bytes);
            String::from_utf8_lossy(&bytes).into_owned()
        });
        Self {
            child,
            lines,
            stderr: Some(stderr),
            stdout: String::new(),
            ended: None,
            deadline: Instant::now() + TIME_OUT,
        }
    }

    /// Reads standard output up to the first line with `word`.
    pub fn read_until(&mut self, word: &str) {
        loop {
            let left = self.deadline.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left);
            let line = line.unwrap_or_else(|error| panic!("{error}: no `{word}`: {}", self.stdout));
            self.stdout.push_str(&line);
            if line.contains(word) {
                return;
            }
        }
    }

    /// Sends a signal by its name, such as `INT`.
    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status();
        assert!(sent.unwrap().success());
    }

    /// A field of `/proc/PID/status`.
    fn field(&self, name: &str) -> String {
        let path = format!("/proc/{}/status", self.child.id());
        let text = fs::read_to_string(path).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_default().trim().to_owned()
    }

    /// Waits until the process sleeps and has not written to `file` for a while: its standard output is full.
    pub fn wait_until_blocked(&mut self, file: &Path) {
        let length = || fs::metadata(file).map_or(0, |metadata| metadata.len());
        let (mut last, mut calm) = (0, 0);
        while calm < 30 {
            assert!(Instant::now() < self.deadline && !self.has_ended());
            sleep(Duration::from_millis(10));
            let sleeps = self.field("State:").starts_with('S');
            calm = if sleeps && length() == last { calm + 1 } else { 0 };
            last = length();
        }
    }

    /// Waits until no signal is pending.
    pub fn wait_until_handled(&self) {
        while self.field("ShdPnd:").contains(|digit| digit != '0') {
            assert!(Instant::now() < self.deadline);
            sleep(Duration::from_millis(1));
        }
    }

    /// Whether the process has ended.
    pub fn has_ended(&mut self) -> bool {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().unwrap();
        }
        self.ended.is_some()
    }

    /// Kills the process with SIGKILL after `delay`, if it has not ended by then.
    pub fn kill_after(mut self, delay: Duration) -> Outcome {
        let until = Instant::now() + delay;
        while !self.has_ended() && Instant::now() < until {
            sleep(Duration::from_micros(500));
        }
        let _ = self.child.kill();
        self.finish()
    }

    /// Closes standard output unread.
    pub fn close(&mut self) {
        self.lines = sync_channel(0).1;
    }

    /// Reads the rest of standard output and waits for the end.
    pub fn finish(mut self) -> Outcome {
        loop {
            let left = self.deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => self.stdout.push_str(&line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it hangs: {}", self.stdout),
            }
        }
        while !self.has_ended() {
            assert!(Instant::now() < self.deadline, "it hangs: {}", self.stdout);
            sleep(Duration::from_millis(1));
        }
        Outcome {
            status: self.ended.unwrap(),
            stdout: std::mem::take(&mut self.stdout),
            stderr: self.stderr.take().unwrap().join().unwrap(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.has_ended() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// The number of the signal that ended a process.
pub fn signal_of(outcome: &Outcome) -> Option<i32> {
    outcome.status.signal()
}

/// All that a run directory holds of a result: two runs that computed the same compare equal. Times are left out.
#[derive(Debug, PartialEq)]
pub struct Result {
    pub status: Value,
    pub epochs: Value,
    pub best: Value,
    pub last: Value,
    pub metrics: Vec<Value>,
    /// Where the newest checkpoint stands.
    pub progress: Value,
    /// Digest of each tensor of the newest checkpoint: weights and moments.
    pub newest: BTreeMap<String, String>,
    /// The same of the best one.
    pub best_tensors: BTreeMap<String, String>,
}

impl Result {
    /// Requires the same result as `expected`, naming what differs and nothing else.
    #[track_caller]
    pub fn is(&self, expected: &Self, context: &str) {
        let mut different = Vec::new();
        let mut compare = |name: &str, found: String, expected: String| {
            if found != expected {
                different.push(format!("{name}\n   found {found}\nexpected {expected}"));
            }
        };
        let pairs = [
            ("status", &self.status, &expected.status),
            ("epochs", &self.epochs, &expected.epochs),
            ("best", &self.best, &expected.best),
            ("last", &self.last, &expected.last),
            ("progress", &self.progress, &expected.progress),
        ];
        for (name, found, expected) in pairs {
            compare(name, found.to_string(), expected.to_string());
        }
        let (found, lines) = (self.metrics.len(), expected.metrics.len());
        compare("lines of metrics", found.to_string(), lines.to_string());
        for (line, (found, expected)) in self.metrics.iter().zip(&expected.metrics).enumerate() {
            let name = format!("line {} of metrics", line + 1);
            compare(&name, found.to_string(), expected.to_string());
        }
        let pairs = [
            ("newest", &self.newest, &expected.newest),
            ("best checkpoint", &self.best_tensors, &expected.best_tensors),
        ];
        for (name, found, expected) in pairs {
            compare(name, format!("{found:?}"), format!("{expected:?}"));
        }
        different.truncate(4);
        assert!(different.is_empty(), "{context}\n{}", different.join("\n"));
        assert_eq!(self, expected);
    }
}

/// Reads the result of a run.
pub fn result(run: &Path) -> Result {
    let summary = summary(run);
    let newest = checkpoint(run, "LATEST").unwrap();
    let mut progress = without_clock(meta(&newest)["progress"].clone());
    // The length of the lines depends on the digits of times.
    progress.as_object_mut().unwrap().remove("metrics_bytes");
    Result {
        status: summary["status"].clone(),
        epochs: summary["epochs"].clone(),
        best: without_clock(summary["best"].clone()),
        last: without_clock(summary["last"].clone()),
        metrics: metrics(run),
        progress,
        newest: tensors(&newest),
        best_tensors: checkpoint(run, "BEST").map(|path| tensors(&path)).unwrap_or_default(),
    }
}

/// `run.json`.
pub fn summary(run: &Path) -> Value {
    serde_json::from_slice(&fs::read(run.join("run.json")).unwrap()).unwrap()
}

/// The lines of `metrics.jsonl` without times.
pub fn metrics(run: &Path) -> Vec<Value> {
    metrics_of(&run.join("metrics.jsonl"))
}

/// The lines of a file of JSON lines without times.
pub fn metrics_of(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'), "{text}");
    let parse = |line| without_clock(serde_json::from_str(line).unwrap());
    text.lines().map(parse).collect()
}

/// Fields that depend on the clock, or on what else the machine does: those of events, and those that `run.json` alone has.
const OF_THE_CLOCK: [&str; 5] = ["seconds", "samples_per_second", "start", "end", "peak_bytes"];

/// A value without the fields that depend on the clock.
pub fn without_clock(mut value: Value) -> Value {
    match &mut value {
        Value::Object(fields) => {
            fields.retain(|key, _| !OF_THE_CLOCK.contains(&key.as_str()));
            for field in fields.values_mut() {
                *field = without_clock(field.take());
            }
        }
        Value::Array(items) => {
            for item in items {
                *item = without_clock(item.take());
            }
        }
        _ => {}
    }
    value
}

/// What stands in the folder of a sweep and does not depend on the clock: the table of its points, and its checkpoints.
pub fn kept(out: &Path) -> Vec<(String, Vec<u8>)> {
    let mut kept = vec![("results.csv".to_owned(), fs::read(out.join("results.csv")).unwrap())];
    let mut names: Vec<_> = fs::read_dir(out.join("ckpt")).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    kept.extend(names.into_iter().map(|path| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        (name, behind_header(&path))
    }));
    kept
}

/// The part of a checkpoint behind its header, which knows the clock.
fn behind_header(path: &Path) -> Vec<u8> {
    let bytes = fs::read(path).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    bytes[8 + header..].to_vec()
}

/// The lines of a sweep's results by point, without what the clock says, in the order of each point.
pub fn sweep_lines(out: &Path) -> Vec<String> {
    let lines = metrics_of(&out.join("results.jsonl")).into_iter();
    let mut lines: Vec<(u64, String)> = lines.map(|line| (line["point"].as_u64().unwrap(), line.to_string())).collect();
    lines.sort_by_key(|(point, _)| *point);
    lines.into_iter().map(|(_, line)| line).collect()
}

/// The checkpoint that LATEST or BEST names.
pub fn checkpoint(run: &Path, label: &str) -> Option<PathBuf> {
    let name = fs::read_to_string(run.join("ckpt").join(label)).ok()?;
    Some(run.join("ckpt").join(name.trim()))
}

/// All checkpoints of a run, oldest first.
pub fn checkpoints(run: &Path) -> Vec<PathBuf> {
    let folder = run.join("ckpt");
    let mut names = names(&folder);
    names.retain(|name| name.starts_with("step-"));
    names.iter().map(|name| folder.join(name)).collect()
}

/// Shape and bytes of each tensor of a checkpoint.
pub fn raw_tensors(path: &Path) -> BTreeMap<String, (Vec<usize>, Vec<u8>)> {
    let bytes = fs::read(path).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let tensor = |(name, view): (String, safetensors::tensor::TensorView<'_>)| {
        (name, (view.shape().to_vec(), view.data().to_vec()))
    };
    file.tensors().into_iter().map(tensor).collect()
}

/// Digest of each tensor of a checkpoint, short enough to print.
pub fn tensors(path: &Path) -> BTreeMap<String, String> {
    let digest = |(name, (shape, bytes)): (String, (Vec<usize>, Vec<u8>))| {
        let mut text = format!("{shape:?} ");
        for byte in &Sha256::digest(&bytes)[..8] {
            let _ = write!(text, "{byte:02x}");
        }
        (name, text)
    };
    raw_tensors(path).into_iter().map(digest).collect()
}

/// The JSON in a checkpoint's metadata.
pub fn meta(path: &Path) -> Value {
    let bytes = fs::read(path).unwrap();
    let (_, metadata) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    let keys = metadata.metadata().as_ref().unwrap();
    assert_eq!(keys.len(), 1, "{keys:?}");
    serde_json::from_str(&keys["adamtrain"]).unwrap()
}

/// How many kills a test makes: as many as the variable KILLS says, for a long night.
pub fn kills(usual: usize) -> usize {
    let asked = std::env::var("KILLS").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// Numbers that look random and are always the same (splitmix64; Steele, Lea & Flood 2014).
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.number() % end
    }
}

/// Images of ten classes that a net can learn: a bright bar whose place tells the class, in noise. Pixels, then labels.
pub fn images(count: usize, image_bytes: usize, seed: u64) -> (Vec<u8>, Vec<u8>) {
    let mut random = Random(seed);
    let mut pixels = Vec::with_capacity(count * image_bytes);
    let mut labels = Vec::with_capacity(count);
    for _ in 0..count {
        let label = random.below(10) as usize;
        let bar = label * image_bytes / 10..(label + 1) * image_bytes / 10;
        pixels.extend((0..image_bytes).map(|place| {
            let light = if bar.contains(&place) { 60 } else { 0 };
            (random.below(180) + light) as u8
        }));
        labels.push(label as u8);
    }
    (pixels, labels)
}

/// An IDX file of images.
pub fn idx_images(count: u32, rows: u32, columns: u32, pixels: &[u8]) -> Vec<u8> {
    let header = [2051, count, rows, columns];
    let mut bytes: Vec<u8> = header.iter().flat_map(|n: &u32| n.to_be_bytes()).collect();
    bytes.extend_from_slice(pixels);
    bytes
}

/// An IDX file of labels.
pub fn idx_labels(count: u32, labels: &[u8]) -> Vec<u8> {
    let header = [2049, count];
    let mut bytes: Vec<u8> = header.iter().flat_map(|n: &u32| n.to_be_bytes()).collect();
    bytes.extend_from_slice(labels);
    bytes
}

/// Names of MNIST's four files.
pub const IDX_NAMES: [&str; 4] =
    ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"];

/// Contents of MNIST's four files in the order of [`IDX_NAMES`], with this many images.
pub fn idx_files(train: usize, test: usize) -> [Vec<u8>; 4] {
    let (train_pixels, train_labels) = images(train, 784, 1);
    let (test_pixels, test_labels) = images(test, 784, 2);
    [
        idx_images(train as u32, 28, 28, &train_pixels),
        idx_labels(train as u32, &train_labels),
        idx_images(test as u32, 28, 28, &test_pixels),
        idx_labels(test as u32, &test_labels),
    ]
}

/// A folder with MNIST's four files, raw.
pub fn idx_folder(folder: &Path, train: usize, test: usize) {
    fs::create_dir_all(folder).unwrap();
    for (name, bytes) in IDX_NAMES.iter().zip(idx_files(train, test)) {
        fs::write(folder.join(name), bytes).unwrap();
    }
}

/// Names of CIFAR-10's six files.
pub const CIFAR_NAMES: [&str; 6] = [
    "data_batch_1.bin",
    "data_batch_2.bin",
    "data_batch_3.bin",
    "data_batch_4.bin",
    "data_batch_5.bin",
    "test_batch.bin",
];

/// Contents of a CIFAR-10 batch.
pub fn cifar_batch(count: usize, seed: u64) -> Vec<u8> {
    let (pixels, labels) = images(count, 3072, seed);
    let records = labels.iter().zip(pixels.chunks(3072));
    records.flat_map(|(label, pixels)| std::iter::once(label).chain(pixels)).copied().collect()
}

/// A folder with CIFAR-10's six files, `count` images in each.
pub fn cifar_folder(folder: &Path, count: usize) {
    fs::create_dir_all(folder).unwrap();
    for (seed, name) in CIFAR_NAMES.iter().enumerate() {
        fs::write(folder.join(name), cifar_batch(count, seed as u64)).unwrap();
    }
}

/// Bytes as a gzip stream.
pub fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A folder with MNIST's files and few images, which all tests of a process share and none changes.
pub fn small_idx() -> &'static Path {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        idx_folder(folder.path(), 300, 100);
        folder
    });
    folder.path()
}

/// A folder of the real data, if it is there; else says that the test is skipped.
#[allow(clippy::print_stderr)]
pub fn shared(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data").join(name);
    if !path.is_dir() {
        eprintln!("skipped: {} is not there", path.display());
        return None;
    }
    Some(path.canonicalize().unwrap())
}
