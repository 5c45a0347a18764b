//! A binary range coder: the interval is cut in proportion to the chance of each bit.
//!
//! 32 bits of range, at least 2²⁴ of them in use; a carry runs back into bytes that were held (Martin 1979, as LZMA has it). Beyond
//! its end the stream is zeros, so that zeros at its end are not stored.

/// Chances are in units of 1/65536.
pub const ONE: u32 = 1 << 16;

/// What codes bits: into a stream, out of one, or to a cost.
pub trait Coder {
    /// Codes `bit`, which is 1 with chance `p` of 65536, and gives what was coded: a decoder has its own.
    fn code(&mut self, bit: bool, p: u32) -> bool;

    /// Bits that the stream has taken so far, as far as it counts them.
    fn bits(&self) -> f64 {
        0.0
    }
}

/// Writes a stream.
#[derive(Debug)]
pub struct Encoder {
    low: u64,
    range: u32,
    /// The byte to which a carry may still come, and the number of 0xff behind it.
    held: u8,
    full: usize,
    bytes: Vec<u8>,
}

impl Encoder {
    /// An empty stream.
    pub fn new() -> Self {
        Self { low: 0, range: u32::MAX, held: 0, full: 0, bytes: Vec::new() }
    }

    fn shift(&mut self) {
        let carry = (self.low >> 32) as u8;
        if carry == 1 || self.low < 0xff00_0000 {
            self.bytes.push(self.held.wrapping_add(carry));
            self.bytes.extend(std::iter::repeat_n(0xff_u8.wrapping_add(carry), self.full));
            self.full = 0;
            self.held = (self.low >> 24) as u8;
        } else {
            self.full += 1;
        }
        self.low = (self.low & 0x00ff_ffff) << 8;
    }

    /// The whole stream: of the numbers in the last interval that with the most zeros at its end.
    pub fn finish(mut self) -> Vec<u8> {
        let end = self.low + u64::from(self.range);
        let rounded = |zeros: u32| (self.low + (1 << zeros) - 1) >> zeros << zeros;
        self.low = (0..=32).rev().map(rounded).find(|number| *number < end).unwrap_or(self.low);
        for _ in 0..5 {
            self.shift();
        }
        // The first byte held no digit.
        self.bytes.remove(0);
        while self.bytes.last() == Some(&0) {
            self.bytes.pop();
        }
        self.bytes
    }
}

impl Coder for Encoder {
    fn code(&mut self, bit: bool, p: u32) -> bool {
        let bound = ((u64::from(self.range) * u64::from(p)) >> 16) as u32;
        if bit {
            self.range = bound;
        } else {
            self.low += u64::from(bound);
            self.range -= bound;
        }
        while self.range < 1 << 24 {
            self.range <<= 8;
            self.shift();
        }
        bit
    }
}

/// Reads a stream.
#[derive(Debug)]
pub struct Decoder<'a> {
    bytes: &'a [u8],
    read: usize,
    code: u32,
    range: u32,
}

impl<'a> Decoder<'a> {
    /// Of these bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        let mut new = Self { bytes, read: 0, code: 0, range: u32::MAX };
        for _ in 0..4 {
            new.code = new.code << 8 | u32::from(new.next());
        }
        new
    }

    fn next(&mut self) -> u8 {
        self.read += 1;
        self.bytes.get(self.read - 1).copied().unwrap_or(0)
    }

    /// Whether the stream ends where its writer would have ended it.
    pub fn is_at_end(&self) -> bool {
        self.bytes.len() <= self.read && self.bytes.last() != Some(&0)
    }
}

impl Coder for Decoder<'_> {
    fn code(&mut self, _: bool, p: u32) -> bool {
        let bound = ((u64::from(self.range) * u64::from(p)) >> 16) as u32;
        let bit = self.code < bound;
        if bit {
            self.range = bound;
        } else {
            self.code -= bound;
            self.range -= bound;
        }
        while self.range < 1 << 24 {
            self.range <<= 8;
            self.code = self.code << 8 | u32::from(self.next());
        }
        bit
    }
}

/// Counts the bits that a stream would take.
#[derive(Debug, Default)]
pub struct Cost {
    bits: f64,
}

impl Coder for Cost {
    fn code(&mut self, bit: bool, p: u32) -> bool {
        let p = f64::from(if bit { p } else { ONE - p }) / f64::from(ONE);
        self.bits -= p.log2();
        bit
    }

    fn bits(&self) -> f64 {
        self.bits
    }
}

/// A number of `count` bits, the highest first, each as likely as not.
pub fn plain(coder: &mut impl Coder, number: u32, count: u32) -> u32 {
    let bits = (0..count).rev().map(|place| coder.code(number >> place & 1 == 1, ONE / 2));
    bits.fold(0, |number, bit| number << 1 | u32::from(bit))
}

/// A number from 1 to 2³¹ − 1: as many zeros as it has bits after its first, then these bits (Elias 1975, γ). None where a stream
/// holds no such number.
pub fn gamma(coder: &mut impl Coder, number: u32) -> Option<u32> {
    let length = number.checked_ilog2().unwrap_or(0);
    let mut zeros = 0;
    while !coder.code(zeros == length, ONE / 2) {
        zeros += 1;
        if zeros > 30 {
            return None;
        }
    }
    Some(1 << zeros | plain(coder, number & ((1 << zeros) - 1), zeros))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, Stream};

    #[test]
    fn every_stream_reads_as_it_was_written() {
        for seed in 0..300 {
            let mut random = Stream::new(seed, Purpose::Order, 0);
            let spread = [2, 300, 65_535][seed as usize % 3];
            let mut chance = || 1 + random.below(spread).min(65_534);
            let chances: Vec<u32> =
                (0..seed * 7).map(|_| if seed % 2 == 0 { chance() } else { ONE - chance() }).collect();
            let bits: Vec<bool> = chances.iter().map(|&p| random.below(ONE) < p).collect();
            let (mut encoder, mut cost) = (Encoder::new(), Cost::default());
            for (&bit, &p) in bits.iter().zip(&chances) {
                encoder.code(bit, p);
                cost.code(bit, p);
            }
            let bytes = encoder.finish();
            assert!(bytes.len() as f64 <= cost.bits() / 8.0 + 2.0, "{} bytes for {} bits", bytes.len(), cost.bits());
            let mut decoder = Decoder::new(&bytes);
            for (&bit, &p) in bits.iter().zip(&chances) {
                assert_eq!(decoder.code(false, p), bit);
            }
            assert!(decoder.is_at_end());
        }
    }

    #[test]
    fn numbers_read_as_they_were_written() {
        let numbers = [1, 2, 3, 4, 784, 65_535, (1 << 31) - 1];
        let mut encoder = Encoder::new();
        for number in numbers {
            gamma(&mut encoder, number);
            plain(&mut encoder, number, 31);
        }
        let bytes = encoder.finish();
        let mut decoder = Decoder::new(&bytes);
        for number in numbers {
            assert_eq!((gamma(&mut decoder, 0), plain(&mut decoder, 0, 31)), (Some(number), number));
        }
        assert_eq!(gamma(&mut Decoder::new(&[]), 0), Some(1));
    }
}
