//! The kernels of the rules, run as C++, against the loops of the CPU: bit for bit.

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::io::Write as _;
use std::process::{Command, Output};
use std::{env, ptr};

use super::emulator::{self, Emulator, argument};
use super::{Chunk, TensorPieces, kernel_name};
use crate::kernel::host::update;
use crate::kernel::simd::Width;
use crate::kernel::{ACCUMULATORS, Scalars, piece_size};
use crate::optim::tests::{sources, written};
use crate::rng::{Purpose, Stream};
use crate::rule::{OnePass, TwoPass};

/// Scalars by step, lane and index.
type Table = Vec<Vec<Vec<f64>>>;

/// Holds the kernels of one rule against the loops of the CPU.
#[derive(Clone, Debug)]
pub(crate) struct Trial {
    /// The scalars of its steps.
    pub scalars: Table,
    run: fn(&Emulator, &Table) -> Tally,
}

/// Numbers that were compared.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    numbers: u64,
    not_a_number: u64,
}

impl Trial {
    pub fn one_pass<U: OnePass<S, P, H>, const S: usize, const P: usize, const H: usize>() -> Self {
        let run: fn(&Emulator, &Table) -> Tally = |emulator, table| {
            let name = kernel_name(U::NAME, U::OPTIONS);
            over_cases(&name, &U::STATE, table, &[], |case| {
                case.on_cpu(|scalars, theta, g, state| {
                    update::update::<f32, U, S, P, H>(Width::detect(), scalars, theta, g, state);
                });
                let chunks = case.chunks(case.chunk);
                let rows = case.rows();
                let (at, rows, factors) = (chunks.as_ptr(), rows.as_ptr(), case.factors());
                let arguments = [argument(&at), argument(&rows), argument(&factors)];
                // SAFETY: the chunks cut the case's own arrays, and the tables have a row per lane.
                unsafe { emulator.launch(&name, [chunks.len() as u32, 1, 1], case.block, &arguments) };
            })
        };
        Self { scalars: Table::new(), run }
    }

    pub fn two_pass<U, const S: usize, const P: usize, const H: usize, const N: usize, const A: usize>() -> Self
    where
        U: TwoPass<S, P, H, N, A>,
    {
        let run: fn(&Emulator, &Table) -> Tally = |emulator, table| {
            let name = kernel_name(U::NAME, U::OPTIONS);
            // More pieces than a sum has columns.
            over_cases(&name, &U::STATE, table, &[17 * 1024 + 1], |case| {
                case.on_cpu(|scalars, theta, g, state| {
                    let width = Width::detect();
                    update::update_in_two_passes::<f32, U, S, P, H, N, A>(width, scalars, theta, g, state);
                });
                let (pieces, chunks) = (case.chunks(piece_size(case.count)), case.chunks(case.chunk));
                let tensors = case.tensors(pieces.len());
                let (rows, scalars64) = (case.rows(), case.scalars.concat());
                let mut sums = vec![f64::NAN; pieces.len() * N * ACCUMULATORS];
                let mut reduced = vec![f32::NAN; tensors.len() * A];
                let (rows, scalars64, factors) = (rows.as_ptr(), scalars64.as_ptr(), case.factors());
                let mut arrived = vec![0_u32; pieces.len()];
                let (sums, counters, reduced) = (sums.as_mut_ptr(), arrived.as_mut_ptr(), reduced.as_mut_ptr());
                let launch = |pass: &str, blocks: usize, block: u32, arguments: &[*const c_void]| {
                    // SAFETY: pieces and chunks cut the case's own arrays, the tables have a row per lane, and there is room for
                    // the sums of all pieces and for what is made of them for all tensors.
                    unsafe { emulator.launch(&format!("{name}_{pass}"), [blocks as u32, 1, 1], block, arguments) };
                };
                let at = pieces.as_ptr();
                let arguments =
                    [argument(&at), argument(&rows), argument(&factors), argument(&sums), argument(&counters)];
                launch("first", pieces.len(), 16, &arguments);
                let at = tensors.as_ptr();
                let arguments =
                    [argument(&at), argument(&scalars64), argument(&sums), argument(&counters), argument(&reduced)];
                launch("reduce", tensors.len(), 16, &arguments);
                let at = chunks.as_ptr();
                let arguments = [argument(&at), argument(&rows), argument(&factors), argument(&reduced)];
                launch("second", chunks.len(), case.block, &arguments);
                assert!(arrived.iter().all(|arrived| *arrived == 0), "a counter does not end where it began");
            })
        };
        Self { scalars: Table::new(), run }
    }
}

/// θ and the state of some lanes.
#[derive(Clone)]
struct Arrays {
    /// `[K, n]`.
    theta: Vec<f32>,
    /// `[S, K, n]`.
    state: Vec<f32>,
}

/// A step over some lanes, for the kernels and for the CPU, and how a launch cuts it.
struct Case {
    lanes: usize,
    /// Elements of a lane.
    count: usize,
    /// Elements of a chunk but the last of a lane.
    chunk: usize,
    /// Threads of a block.
    block: u32,
    /// The rule's scalars, a row a lane.
    scalars: Vec<Vec<f64>>,
    /// Factors on the gradient, by lane, from the host and from the device.
    scales: Vec<f32>,
    factors: Option<Vec<f32>>,
    gradient: Vec<f32>,
    kernel: Arrays,
    cpu: Arrays,
}

impl Case {
    /// Steps the CPU's arrays, a lane at a time.
    fn on_cpu<const S: usize, const H: usize>(
        &mut self,
        step: impl Fn(&Scalars<H>, &mut [f32], &[f32], [&mut [f32]; S]),
    ) {
        let (size, count) = (self.lanes * self.count, self.count);
        for lane in 0..self.lanes {
            let own = lane * count..(lane + 1) * count;
            let mut parts = self.cpu.state.chunks_exact_mut(size);
            let state = [(); S].map(|()| &mut parts.next().unwrap()[own.clone()]);
            let factor = self.factors.as_ref().map_or(1.0, |factors| factors[lane]);
            let rule = <[f64; H]>::try_from(self.scalars[lane].as_slice()).unwrap();
            let scalars = Scalars { rule, gradient: f64::from(self.scales[lane] * factor) };
            step(&scalars, &mut self.cpu.theta[own.clone()], &self.gradient[own], state);
        }
    }

    /// The lanes of the kernels' arrays, cut into chunks of `size`.
    fn chunks(&mut self, size: usize) -> Vec<Chunk> {
        let mut chunks = Vec::new();
        for lane in 0..self.lanes {
            for start in (0..self.count).step_by(size) {
                let (first, count) = (lane * self.count + start, size.min(self.count - start));
                let state = if self.kernel.state.is_empty() { &mut [] } else { &mut self.kernel.state[first..] };
                chunks.push(Chunk {
                    theta: self.kernel.theta[first..].as_mut_ptr(),
                    gradient: self.gradient[first..].as_ptr(),
                    state: state.as_mut_ptr(),
                    stride: (self.lanes * self.count) as u64,
                    count: count as u32,
                    lane: lane as u32,
                    tensor: lane as u32,
                    pad: 0,
                });
            }
        }
        chunks
    }

    /// What the sums of `pieces` belong to.
    fn tensors(&self, pieces: usize) -> Vec<TensorPieces> {
        let pieces = (pieces / self.lanes) as u32;
        (0..self.lanes as u32)
            .map(|lane| TensorPieces { elements: self.count as u64, first_piece: lane * pieces, pieces, lane, pad: 0 })
            .collect()
    }

    /// The table of scalars.
    fn rows(&self) -> Vec<f32> {
        let rows = self.scalars.iter().zip(&self.scales);
        rows.flat_map(|(row, scale)| row.iter().map(|h| *h as f32).chain([*scale])).collect()
    }

    fn factors(&self) -> *const f32 {
        self.factors.as_ref().map_or(ptr::null(), Vec::as_ptr)
    }

    /// Whether both have the same bits; one NaN is as good as another.
    fn compare(&self, name: &str, tally: &mut Tally) {
        let Self { count, chunk, block, kernel, cpu, .. } = self;
        for (array, found, expected) in [("θ", &kernel.theta, &cpu.theta), ("state", &kernel.state, &cpu.state)] {
            for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
                let is_same = found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan();
                assert!(
                    is_same,
                    "{name}: {array}[{i}] is {found:e}, {expected:e} on the CPU; lanes of {count}, chunks of {chunk}, {block} threads"
                );
                tally.numbers += 1;
                tally.not_a_number += u64::from(expected.is_nan());
            }
        }
    }
}

/// Numbers with magnitudes from 1e-20 to 1e10, zeros and denormals among them; if `any`, infinities and NaN too.
fn draw(stream: &mut Stream, count: usize, any: bool) -> Vec<f32> {
    let mut number = |i: usize| match i % 11 {
        0 => 0.0,
        1 => f32::from_bits(stream.below(1 << 23)),
        5 if any => f32::NAN,
        8 if any => [f32::INFINITY, f32::NEG_INFINITY][stream.below(2) as usize],
        _ => 10_f32.powi(stream.below(31) as i32 - 20) * stream.symmetric(1.0),
    };
    // Another start for each array, so that every kind meets every other.
    let shift = count / 3;
    (shift..shift + count).map(|i| number(i * 7 + i / 11)).collect()
}

/// Calls `step` with cases of many lengths and of those in `more`, cut in several ways, and compares after each.
fn over_cases(name: &str, states: &[&str], table: &Table, more: &[usize], step: impl Fn(&mut Case)) -> Tally {
    let mut tally = Tally::default();
    let mut stream = Stream::new(5, Purpose::Weights, 0);
    let lanes = table[0].len();
    let lengths = (1..70).chain([1000, 4095, 4096, 4097]).chain(more.iter().copied());
    for (index, (count, any)) in lengths.flat_map(|count| [(count, false), (count, true)]).enumerate() {
        let size = lanes * count;
        let mut state = Vec::with_capacity(states.len() * size);
        for state_name in states {
            let is_signed = matches!(*state_name, "m" | "b" | "z" | "slow" | "mean" | "g");
            let numbers = draw(&mut stream, size, any);
            state.extend(numbers.into_iter().map(|x| if is_signed { x } else { x.abs() }));
        }
        let arrays = Arrays { theta: draw(&mut stream, size, any), state };
        let gradients: Vec<Vec<f32>> = table.iter().map(|_| draw(&mut stream, size, any)).collect();
        let (chunk, block) = [(count, 256), (1024, 256), (37, 8)][index / 2 % 3];
        let mut case = Case {
            lanes,
            count,
            chunk,
            block,
            scalars: Vec::new(),
            scales: (0..lanes).map(|lane| [1.0, -1.0, 0.37][lane % 3]).collect(),
            factors: (index % 5 < 2).then(|| (0..lanes).map(|lane| 0.9 / (lane as f32 + 1.0)).collect()),
            gradient: Vec::new(),
            kernel: arrays.clone(),
            cpu: arrays,
        };
        for (scalars, gradient) in table.iter().zip(gradients) {
            case.scalars.clone_from(scalars);
            case.gradient = gradient;
            step(&mut case);
            case.compare(name, &mut tally);
        }
    }
    tally
}

/// `rules.cu` as the rules write it, each kernel once.
fn rules() -> String {
    let mut texts: BTreeMap<String, String> = BTreeMap::new();
    for source in sources() {
        let text = texts.entry(source.name).or_insert_with(|| source.text.clone());
        assert_eq!(*text, source.text, "two rules have one name");
    }
    let head = "// The kernels of the update rules. Made by running each rule of src/optim on `Expr` numbers (source.rs), in a test:\n\
                //     ADAMTRAIN_WRITE=1 cargo test --release --lib the_file_of_kernels\n\
                // Do not edit it: the same test compares it with what the rules write. A rule is a structure with its formula; scalars\n\
                // and state have the names that they have in Rust.\n\
                #include \"elementwise.cuh\"\n";
    texts.values().fold(head.to_owned(), |all, text| all + "\n" + text)
}

#[test]
fn the_file_of_kernels_follows_from_the_rules() {
    written("src/kernel/gpu/rules.cu", &rules());
}

#[test]
fn every_kernel_of_a_rule_gives_the_bits_of_the_cpu() {
    let Some(emulator) = Emulator::get() else { return };
    let mut tallies: BTreeMap<String, Tally> = BTreeMap::new();
    for source in sources() {
        let Tally { numbers, not_a_number } = (source.trial.run)(emulator, &source.trial.scalars);
        let tally = tallies.entry(source.name).or_default();
        tally.numbers += numbers;
        tally.not_a_number += not_a_number;
    }
    let numbers: u64 = tallies.values().map(|tally| tally.numbers).sum();
    let not_a_number: u64 = tallies.values().map(|tally| tally.not_a_number).sum();
    let rules = tallies.len();
    let mut out = std::io::stdout();
    writeln!(out, "{rules} rules: {numbers} numbers with the CPU's bits, {not_a_number} of them NaN").unwrap();
    for (name, Tally { numbers, not_a_number }) in tallies {
        assert!(not_a_number * 2 < numbers, "{name}: {not_a_number} of {numbers} are NaN, which says little");
    }
}

/// The tests of this module run once more on kernels that watch their memory.
#[test]
fn kernels_touch_no_memory_but_their_own() {
    if env::var_os(emulator::LIBRARY).is_some() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let flags = ["-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"];
    let Some(library) = emulator::compile(folder.path(), &flags) else { return };
    let found = Command::new("g++").arg("-print-file-name=libasan.so").output().unwrap();
    let sanitizer = String::from_utf8(found.stdout).unwrap().trim().to_owned();
    assert!(sanitizer.starts_with('/'), "g++ has no libasan.so");
    let child = |arguments: &[&str]| -> Output {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(arguments).env(emulator::LIBRARY, &library).env("LD_PRELOAD", &sanitizer);
        command.env("ASAN_OPTIONS", "detect_leaks=0").output().unwrap()
    };
    let text = |output: &Output| [&*output.stdout, &*output.stderr].map(String::from_utf8_lossy).concat();

    // Whether the file is up to date is no matter of memory.
    let all = child(&["kernel::gpu::", "--skip", "the_file_of_kernels"]);
    assert!(all.status.success(), "{}", text(&all));

    let overrun = "kernel::gpu::tests::a_chunk_of_one_element_too_many";
    let caught = child(&[overrun, "--exact", "--ignored"]);
    assert!(!caught.status.success() && text(&caught).contains("heap-buffer-overflow"), "{}", text(&caught));
}

#[test]
#[ignore = "goes past the end of an array, to show that a sanitizer sees it"]
fn a_chunk_of_one_element_too_many() {
    let Some(emulator) = Emulator::get() else { return };
    // Never without a sanitizer, which ends the process.
    assert!(env::var_os(emulator::LIBRARY).is_some());
    let (mut theta, gradient) = (vec![0.0_f32; 37], vec![0.0_f32; 38]);
    let chunk = Chunk {
        theta: theta.as_mut_ptr(),
        gradient: gradient.as_ptr(),
        state: ptr::null_mut(),
        stride: 0,
        count: 38,
        lane: 0,
        tensor: 0,
        pad: 0,
    };
    let (chunks, scalars, factors) = (&raw const chunk, [0.0_f32, 0.0, 1.0].as_ptr(), ptr::null::<f32>());
    // SAFETY: none, on purpose: there are 37 parameters.
    unsafe {
        emulator.launch("update_sgd", [1, 1, 1], 256, &[argument(&chunks), argument(&scalars), argument(&factors)]);
    }
}
