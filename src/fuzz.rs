//! Damages good files in every way that disks, transfers and malice do, and gives them to their reader.
//!
//! A reader must come to an end, without a panic and in bounded memory, whatever it is given. Each test tries inputs for a second;
//! `ADAMTRAIN_FUZZ_SECONDS` makes it longer. The inputs follow from the number of the try alone, and one that is at fault is kept:
//! `ADAMTRAIN_FUZZ_INPUT` gives it to the reader again.
//!
//! ```text
//!     ADAMTRAIN_FUZZ_SECONDS=180 cargo test --release --lib mutated -- --nocapture --test-threads 1
//! ```

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::rng::{Purpose, Stream};

/// Time that a reader may take for one of these small inputs, on a machine that does other work as well.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes that the whole process may take in a long run, where nothing else runs beside it.
const MOST_BYTES: u64 = 1 << 30;

/// A folder in memory where there is one: on a disk most of the time would go into the making of files.
pub(crate) fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

/// Gives mutations of `seeds` to `read`, which says whether it took one, until the time is over.
#[allow(clippy::print_stderr)]
pub(crate) fn run(name: &str, seeds: &[Vec<u8>], mut read: impl FnMut(&[u8]) -> bool) {
    let asked = std::env::var("ADAMTRAIN_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok());
    let end = Instant::now() + Duration::from_secs(asked.unwrap_or(1));
    if let Some(path) = std::env::var_os("ADAMTRAIN_FUZZ_INPUT") {
        let begin = Instant::now();
        let is_taken = read(&std::fs::read(path).unwrap());
        eprintln!("{name}: taken {is_taken}, after {:?}", begin.elapsed());
        return;
    }
    let (mut tried, mut taken, mut slowest) = (0_u64, 0_u64, Duration::ZERO);
    while tried == 0 || Instant::now() < end {
        let mut random = Random(Stream::new(0, Purpose::Order, tried));
        let seed = &seeds[random.below(seeds.len())];
        let input = Input { name, number: tried, bytes: mutated(seed, &seeds[random.below(seeds.len())], &mut random) };
        let begin = Instant::now();
        taken += u64::from(read(&input.bytes));
        slowest = slowest.max(begin.elapsed());
        assert!(slowest < PATIENCE, "{name}: input {tried} takes {slowest:?}");
        tried += 1;
    }
    let peak = crate::device::peak_bytes().unwrap_or(0);
    eprintln!(
        "{name}: {tried} inputs, {taken} of them taken, slowest {slowest:?}, process at most {} MB",
        peak / 1_000_000
    );
    assert!(asked.is_none() || peak < MOST_BYTES, "{name}: {peak} bytes");
}

/// What is being read; it is kept where its reader panics.
struct Input<'a> {
    name: &'a str,
    number: u64,
    bytes: Vec<u8>,
}

impl Drop for Input<'_> {
    #[allow(clippy::print_stderr)]
    fn drop(&mut self) {
        if std::thread::panicking() {
            let path: PathBuf = std::env::temp_dir().join(format!("adamtrain-fuzz-{}-{}", self.name, self.number));
            let kept = std::fs::write(&path, &self.bytes).is_ok();
            eprintln!("{}: input {} is at fault; kept as {}: {kept}", self.name, self.number, path.display());
        }
    }
}

struct Random(Stream);

impl Random {
    /// A number below `end`, which is not 0.
    fn below(&mut self, end: usize) -> usize {
        self.0.below(end as u32) as usize
    }

    /// A place below `end`, more often near its beginning and its end, where headers lie.
    fn place(&mut self, end: usize) -> usize {
        let near = end.min(1 + self.below(256));
        match self.below(4) {
            0 => self.below(near),
            1 => end - 1 - self.below(near),
            _ => self.below(end),
        }
    }
}

/// Numbers at which sizes break.
const ODD: [u64; 12] = [
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    0xffff_ffff_ffff_ffff,
];

/// `seed` with one to four damages; slices of `other` may come in.
fn mutated(seed: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=random.below(4) {
        if bytes.is_empty() {
            break;
        }
        let place = random.place(bytes.len());
        let length = 1 + random.below(64).min(bytes.len() - place - 1);
        let range = place..place + length;
        match random.below(10) {
            0 | 1 => bytes[place] ^= 1 << random.below(8),
            2 => bytes[place] = random.below(256) as u8,
            3 => bytes[range].fill([0, 0xff][random.below(2)]),
            4 => bytes.truncate(place),
            5 => drop(bytes.drain(range)),
            6 => {
                let slice = bytes[range].to_vec();
                let to = random.place(bytes.len());
                bytes.splice(to..to, slice);
            }
            7 => {
                let noise: Vec<u8> = (0..length).map(|_| random.below(256) as u8).collect();
                bytes.splice(place..place, noise);
            }
            8 => {
                let number = ODD[random.below(ODD.len())];
                let (little, big) = (number.to_le_bytes(), number.to_be_bytes());
                let width = [1, 2, 4, 8][random.below(4)];
                let number = if random.below(2) == 0 { &little[..width] } else { &big[8 - width..] };
                for (byte, of_number) in bytes[place..].iter_mut().zip(number) {
                    *byte = *of_number;
                }
            }
            _ => {
                let from = random.place(other.len().max(1)).min(other.len());
                let slice = &other[from..other.len().min(from + length)];
                let end = bytes.len().min(place + slice.len());
                bytes.splice(place..end, slice.iter().copied());
            }
        }
    }
    bytes
}
