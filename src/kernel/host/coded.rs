//! One step of a rule over slices whose state is kept as codes: a block at a time is decoded, stepped by the rule's own formula and
//! encoded, so that numbers are in f32 for no longer than a block's step.

use std::ops::Range;

use super::simd::{Width, vectorised};
use super::team::{self, ELEMENT_WORK, Shared};
use super::update::{Scalars, each_element};
use crate::rule::code::{BLOCK, Bits, Code, Map, Positive4, Positive8, Signed4, Signed8, mixed};
use crate::rule::{OnePass, rounded};

/// Of one state number, codes and scales: of all lanes, or of some blocks of one.
#[derive(Debug)]
pub struct Coded<'a> {
    /// The codes, lane after lane.
    pub codes: &'a mut [u8],
    /// A scale for each block.
    pub scales: &'a mut [f32],
}

/// What a block costs beside its rule: about as much again.
const BLOCK_WORK: usize = 2 * BLOCK * ELEMENT_WORK;

/// Applies rule `U` once to every element of all lanes, a row of scalars and the number of this step per lane.
///
/// `theta` and `gradient` have the same length, a multiple of the number of lanes; codes and scales are as [`Bits`] and [`BLOCK`] have
/// it. The bits do not depend on threads, nor those of a lane on the others.
pub fn update<U, const S: usize, const P: usize, const H: usize>(
    bits: Bits,
    scalars: &[Scalars<H>],
    steps: &[u64],
    theta: &mut [f32],
    gradient: &[f32],
    state: [Coded<'_>; S],
) where
    U: OnePass<S, P, H>,
{
    let lanes = scalars.len();
    let size = theta.len() / lanes.max(1);
    let (blocks, bytes) = (size.div_ceil(BLOCK), bits.bytes(size));
    assert!(gradient.len() == theta.len() && steps.len() == lanes);
    assert!(state.iter().all(|own| own.codes.len() == lanes * bytes && own.scales.len() == lanes * blocks));
    let theta = Shared(theta.as_mut_ptr());
    let state = state.map(|own| (Shared(own.codes.as_mut_ptr()), Shared(own.scales.as_mut_ptr())));
    let width = Width::detect();
    team::over_range(lanes * blocks, 1, BLOCK_WORK, |range: Range<usize>| {
        let mut at = range.start;
        while at < range.end {
            // So many blocks from here on are of one lane.
            let (lane, first) = (at / blocks, at % blocks);
            let count = (range.end - at).min(blocks - first);
            let (start, end) = (first * BLOCK, size.min((first + count) * BLOCK));
            let own = lane * size + start..lane * size + end;
            // SAFETY: a block is in one range, and its elements, codes and scale are no other's: within a lane blocks begin at whole
            // bytes. All lie within the slices, whose lengths are asserted above.
            let (theta, state) = unsafe {
                let of = |(codes, scales): (Shared<u8>, Shared<f32>)| Coded {
                    codes: codes.slice(lane * bytes + bits.bytes(start), bits.bytes(end - start)),
                    scales: scales.slice(lane * blocks + first, count),
                };
                (theta.slice(own.start, own.len()), state.map(of))
            };
            // Each step, lane-independent place and state number has chances of its own.
            let key = mixed(steps[lane] as u32 ^ mixed((steps[lane] >> 32) as u32));
            update_blocks::<U, S, P, H>(width, bits, &scalars[lane], key, first, theta, &gradient[own], state);
            at += count;
        }
    });
}

vectorised! {
    fn update_blocks[U, const S: usize, const P: usize, const H: usize][U, S, P, H](
        bits: Bits,
        scalars: &Scalars<H>,
        key: u32,
        first: usize,
        theta: &mut [f32],
        gradient: &[f32],
        state: [Coded<'_>; S],
    ) where [U: OnePass<S, P, H>] {
        let Some(kinds) = U::CODES else { return };
        let (theta, theta_tail) = theta.as_chunks_mut::<BLOCK>();
        let (gradient, gradient_tail) = gradient.as_chunks::<BLOCK>();
        let mut state = state;
        for (block, (theta, gradient)) in theta.iter_mut().zip(gradient).enumerate() {
            let own = state.each_mut().map(|own| own.block(bits, block, BLOCK));
            // Of known length, which makes whole vectors of its loops.
            update_block::<U, S, P, H>(bits, kinds, scalars, mixed(key ^ (first + block) as u32), theta, gradient, own);
        }
        if !theta_tail.is_empty() {
            let block = theta.len();
            let own = state.each_mut().map(|own| own.block(bits, block, theta_tail.len()));
            let key = mixed(key ^ (first + block) as u32);
            update_block::<U, S, P, H>(bits, kinds, scalars, key, theta_tail, gradient_tail, own);
        }
    }
}

impl Coded<'_> {
    /// The codes and the scale of a block of so many elements.
    #[inline(always)]
    fn block(&mut self, bits: Bits, block: usize, elements: usize) -> (&mut [u8], &mut f32) {
        let start = bits.bytes(block * BLOCK);
        (&mut self.codes[start..start + bits.bytes(elements)], &mut self.scales[block])
    }
}

#[inline(always)]
fn update_block<U, const S: usize, const P: usize, const H: usize>(
    bits: Bits,
    kinds: [Code; S],
    scalars: &Scalars<H>,
    key: u32,
    theta: &mut [f32],
    gradient: &[f32],
    state: [(&mut [u8], &mut f32); S],
) where
    U: OnePass<S, P, H>,
{
    let count = theta.len();
    let mut numbers = [[0.0; BLOCK]; S];
    for ((numbers, kind), (codes, scale)) in numbers.iter_mut().zip(kinds).zip(&state) {
        decode_block(kind, bits, codes, **scale, &mut numbers[..count]);
    }
    let (rule, factor): (U::Scalars<f32>, f32) = (rounded(scalars.rule), scalars.gradient as f32);
    let own = numbers.each_mut().map(|numbers| &mut numbers[..count]);
    each_element(theta, gradient, own, |theta, g, s| U::update(rule, theta, g * factor, s));
    for (s, ((numbers, kind), (codes, scale))) in numbers.iter().zip(kinds).zip(state).enumerate() {
        let numbers = &numbers[..count];
        *scale = largest(numbers);
        encode_block(kind, bits, numbers, *scale, mixed(key.wrapping_add(s as u32)), codes);
    }
}

/// The largest magnitude; NaN where there is one, and 0 in place of a denormal, whose inverse may be infinite.
#[inline(always)]
fn largest(numbers: &[f32]) -> f32 {
    /// All bits but the sign. As whole numbers magnitudes have the order of the numbers, and NaN is above infinity.
    const MAGNITUDE: u32 = 0x7FFF_FFFF;
    let bits = numbers.iter().fold(0, |most: u32, x| most.max(x.to_bits() & MAGNITUDE));
    if bits < f32::MIN_POSITIVE.to_bits() { 0.0 } else { f32::from_bits(bits) }
}

/// Decodes one block.
#[inline(always)]
fn decode_block(kind: Code, bits: Bits, codes: &[u8], scale: f32, numbers: &mut [f32]) {
    match (kind, bits) {
        (Code::Signed, Bits::Eight) => decode_as::<Signed8>(codes, scale, numbers),
        (Code::Signed, Bits::Four) => decode_as::<Signed4>(codes, scale, numbers),
        (Code::Positive, Bits::Eight) => decode_as::<Positive8>(codes, scale, numbers),
        (Code::Positive, Bits::Four) => decode_as::<Positive4>(codes, scale, numbers),
    }
}

/// Encodes one block.
#[inline(always)]
fn encode_block(kind: Code, bits: Bits, numbers: &[f32], scale: f32, key: u32, codes: &mut [u8]) {
    match (kind, bits) {
        (Code::Signed, Bits::Eight) => encode_as::<Signed8>(numbers, scale, key, codes),
        (Code::Signed, Bits::Four) => encode_as::<Signed4>(numbers, scale, key, codes),
        (Code::Positive, Bits::Eight) => encode_as::<Positive8>(numbers, scale, key, codes),
        (Code::Positive, Bits::Four) => encode_as::<Positive4>(numbers, scale, key, codes),
    }
}

#[inline(always)]
fn decode_as<M: Map>(codes: &[u8], scale: f32, numbers: &mut [f32]) {
    // What is at rest has no scale, and codes of it mean 0 whatever they are.
    let (low, high) = numbers.split_at_mut(codes.len());
    for (x, &code) in low.iter_mut().zip(codes) {
        *x = scale * M::decode(if M::BITS == Bits::Four { code & 15 } else { code });
    }
    for (x, &code) in high.iter_mut().zip(codes) {
        *x = scale * M::decode(code >> 4);
    }
}

#[inline(always)]
fn encode_as<M: Map>(numbers: &[f32], scale: f32, key: u32, codes: &mut [u8]) {
    /// An odd number without order: the golden ratio's fraction.
    const SPREAD: u32 = 0x9E37_79B9;
    let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
    let encode = |x: f32, place: usize| {
        let chance = if M::BY_CHANCE { mixed(key ^ (place as u32).wrapping_mul(SPREAD)) } else { 0 };
        M::encode(x * inverse, chance)
    };
    let (low, high) = numbers.split_at(codes.len());
    for (place, (code, &x)) in codes.iter_mut().zip(low).enumerate() {
        *code = encode(x, place);
    }
    for (place, (code, &x)) in codes.iter_mut().zip(high).enumerate() {
        *code |= encode(x, low.len() + place) << 4;
    }
}

/// The numbers of one lane that codes and scales stand for.
pub fn decode(kind: Code, bits: Bits, codes: &[u8], scales: &[f32], numbers: &mut [f32]) {
    let blocks = numbers.chunks_mut(BLOCK).zip(codes.chunks(bits.bytes(BLOCK)));
    for ((numbers, codes), &scale) in blocks.zip(scales) {
        decode_block(kind, bits, codes, scale, numbers);
    }
}
