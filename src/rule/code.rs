//! State numbers as codes of 8 or 4 bits, with a scale for each block of them.
//!
//! ```text
//!     s = max |xᵢ| over the block                         kept as f32
//!     xᵢ ≈ s·yᵢ,  |yᵢ| ≤ 1                                yᵢ a number of 8 or 4 bits: see `Map`
//! ```
//!
//! Blocks with a scale of their own are Dettmers et al. 2022, arXiv:2110.02861, §2.1; so is the wish for levels that lie the closer the
//! smaller they are, since moments of one block differ by orders of magnitude (§1.3, dynamic tree quantization). Their levels stand in
//! a table that is searched. Here they are small floating-point numbers, as in the 8-bit formats of Micikevicius et al. 2022,
//! arXiv:2209.05433, but for an exponent that ends at 1 and goes down from there: a code is the leading bits of the f32, moved, so that
//! encoding is an addition and a shift, and decoding a shift.
//!
//! An m of 0 has the code 0. A v above 0 never stands for 0: √v is what m is divided by, and a step along m/0 has no bound (Li, Chen &
//! Zhu 2023, arXiv:2309.01507, §3.2, the zero-point problem). In 4 bits no code of v is 0, as there; in 8 bits v = 0 alone is.
//!
//! m goes to the nearer level. v goes up or down by chance, in the mean to where it is (Gupta et al. 2015, arXiv:1502.02551, §3.1): with
//! β₂ = 0.999 it moves by a thousandth a step, and the nearer level would be the one where it stands, for ever. Chances are a function
//! of step, state number and place ([`mixed`]), so that a run repeats itself bit for bit.

/// Elements that have a scale in common; the last block of a tensor may have fewer.
pub const BLOCK: usize = 128;

/// How long a code is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bits {
    /// A byte.
    Eight,
    /// Half of one. The first half of a block's elements stands in the low bits of its bytes, the second in the high ones.
    Four,
}

impl Bits {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Eight, Self::Four];

    /// How many.
    pub const fn count(self) -> u32 {
        match self {
            Self::Eight => 8,
            Self::Four => 4,
        }
    }

    /// Bytes that the codes of so many elements take.
    pub const fn bytes(self, elements: usize) -> usize {
        match self {
            Self::Eight => elements,
            Self::Four => elements.div_ceil(2),
        }
    }
}

/// What kind of number a state number is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// Of either sign, such as a mean of gradients.
    Signed,
    /// At least 0, and a divisor, such as a mean of squares.
    Positive,
}

/// The bits of 1 as f32.
const ONE: u32 = 0x3F80_0000;

/// How many bits of an f32 stand behind its exponent.
const FRACTION: u32 = 23;

/// How numbers of one kind become codes of one length. A number is given as its share of the block's scale, in −1..=1.
///
/// But for a sign in its highest bit a code is a count of levels, and the highest of them is 1. From one to the next the f32 of a level
/// grows by one in the last of [`Map::MANTISSA`] bits of its fraction; that is 2^`MANTISSA` levels for each factor of 2.
pub trait Map {
    /// How long a code is.
    const BITS: Bits;
    /// Bits of the fraction of a level.
    const MANTISSA: u32;
    /// Whether codes have a sign.
    const HAS_SIGN: bool;
    /// Whether the code 0 stands for 0, else for the lowest level.
    const HAS_ZERO: bool;
    /// Whether rounding is by chance.
    const BY_CHANCE: bool;

    /// Bits of an f32 behind those that a level has.
    const REST: u32 = FRACTION - Self::MANTISSA;
    /// The highest level.
    const MOST: u32 = (1 << (Self::BITS.count() - Self::HAS_SIGN as u32)) - 1;
    /// The f32 of level 0, as bits.
    const LOWEST: u32 = ONE - (Self::MOST << Self::REST);

    /// The share that a code stands for.
    #[inline(always)]
    fn decode(code: u8) -> f32 {
        let code = u32::from(code);
        let level = code & Self::MOST;
        let bits = if Self::HAS_ZERO && level == 0 { 0 } else { Self::LOWEST + (level << Self::REST) };
        let sign = if Self::HAS_SIGN { (code & !Self::MOST) << (32 - Self::BITS.count()) } else { 0 };
        f32::from_bits(bits | sign)
    }

    /// The code of a share; where rounding is by chance, `chance` is that, of 32 bits. A NaN has some code: the scale of its block is NaN.
    #[inline(always)]
    fn encode(share: f32, chance: u32) -> u8 {
        let bits = share.to_bits();
        let round = if Self::BY_CHANCE { chance >> (32 - Self::REST) } else { 1 << (Self::REST - 1) };
        // A sum of at most ∞ or NaN and less than a level: it has no carry.
        let level = ((bits & !SIGN) + round).saturating_sub(Self::LOWEST) >> Self::REST;
        let least = u32::from(Self::HAS_ZERO && !Self::HAS_SIGN && share > 0.0);
        let level = if level < least { least } else { level };
        let level = if level > Self::MOST { Self::MOST } else { level };
        let sign = if Self::HAS_SIGN { (bits & SIGN) >> (32 - Self::BITS.count()) } else { 0 };
        (level | sign) as u8
    }
}

/// The sign of an f32.
const SIGN: u32 = 1 << 31;

/// [`Code::Signed`] in 8 bits: sixteen factors of 2, by steps of an eighth.
#[derive(Clone, Copy, Debug)]
pub struct Signed8;
/// [`Code::Signed`] in 4 bits: seven factors of 2.
#[derive(Clone, Copy, Debug)]
pub struct Signed4;
/// [`Code::Positive`] in 8 bits: sixteen factors of 2, by steps of a sixteenth.
#[derive(Clone, Copy, Debug)]
pub struct Positive8;
/// [`Code::Positive`] in 4 bits: seven and a half factors of 2, by steps of a half.
#[derive(Clone, Copy, Debug)]
pub struct Positive4;

macro_rules! maps {
    ($($name:ident: $bits:ident, $mantissa:literal, $sign:literal, $zero:literal, $chance:literal;)*) => {$(
        impl Map for $name {
            const BITS: Bits = Bits::$bits;
            const MANTISSA: u32 = $mantissa;
            const HAS_SIGN: bool = $sign;
            const HAS_ZERO: bool = $zero;
            const BY_CHANCE: bool = $chance;
        }
    )*};
}

// Bits, bits of the fraction, sign, zero, by chance.
maps! {
    Signed8: Eight, 3, true, true, false;
    Signed4: Four, 0, true, true, false;
    Positive8: Eight, 4, false, true, true;
    Positive4: Four, 1, false, false, true;
}

/// Numbers mixed to bits that show no trace of them, for chances: the finalizer of MurmurHash3 (Appleby 2011, public domain).
#[inline(always)]
pub const fn mixed(mut z: u32) -> u32 {
    z = (z ^ (z >> 16)).wrapping_mul(0x85EB_CA6B);
    z = (z ^ (z >> 13)).wrapping_mul(0xC2B2_AE35);
    z ^ (z >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, Stream};

    /// Shares from 1 down to 2⁻⁴⁰, of both signs where there are.
    fn shares<M: Map>(count: usize) -> Vec<f32> {
        let mut stream = Stream::new(3, Purpose::Weights, 0);
        let mut share = || {
            let magnitude = 2_f32.powi(-(stream.below(40) as i32)) * (0.5 + 0.25 * (1.0 + stream.symmetric(1.0)));
            if M::HAS_SIGN && stream.below(2) == 1 { -magnitude } else { magnitude }
        };
        (0..count).map(|_| share()).collect()
    }

    /// A map as values.
    struct Seen {
        name: &'static str,
        decode: fn(u8) -> f32,
        encode: fn(f32, u32) -> u8,
        shares: Vec<f32>,
        bits: u32,
        mantissa: u32,
        most: u32,
        has_sign: bool,
        has_zero: bool,
        by_chance: bool,
    }

    fn seen<M: Map>(name: &'static str) -> Seen {
        Seen {
            name,
            decode: M::decode,
            encode: M::encode,
            shares: shares::<M>(20_000),
            bits: M::BITS.count(),
            mantissa: M::MANTISSA,
            most: M::MOST,
            has_sign: M::HAS_SIGN,
            has_zero: M::HAS_ZERO,
            by_chance: M::BY_CHANCE,
        }
    }

    fn maps() -> [Seen; 4] {
        [
            seen::<Signed8>("signed, 8"),
            seen::<Signed4>("signed, 4"),
            seen::<Positive8>("positive, 8"),
            seen::<Positive4>("positive, 4"),
        ]
    }

    #[test]
    fn levels_rise_to_one_and_each_is_its_own_code() {
        for Seen { name, decode, encode, bits, most, has_sign, has_zero, .. } in maps() {
            let levels: Vec<f32> = (0..=most as u8).map(decode).collect();
            assert!(levels.is_sorted_by(|a, b| a < b), "{name}");
            assert_eq!((levels[0] == 0.0, levels[most as usize]), (has_zero, 1.0), "{name}");
            for code in 0..1_u32 << bits {
                assert_eq!(u32::from(encode(decode(code as u8), 0)), code, "{name}");
            }
            if has_sign {
                for (code, level) in levels.iter().enumerate() {
                    assert_eq!(decode((code as u32 | (most + 1)) as u8), -level, "{name}");
                }
            }
        }
    }

    #[test]
    fn a_number_goes_to_a_level_beside_it_and_larger_ones_to_larger_ones() {
        for Seen { name, decode, encode, shares, mantissa, has_zero, by_chance, .. } in maps() {
            // The step to the next level as a part of the lower one; to the nearer it is half of that.
            let step = 0.5_f32.powi(mantissa as i32) * if by_chance { 1.0 } else { 0.5 };
            let lowest = f64::from(decode(u8::from(has_zero)));
            let mut stream = Stream::new(4, Purpose::Weights, 0);
            let mut ordered = shares;
            ordered.sort_unstable_by(f32::total_cmp);
            let mut before = f32::NEG_INFINITY;
            for share in ordered {
                let chance = stream.below(u32::MAX);
                let (found, exact) = (decode(encode(share, chance)), share.abs());
                if f64::from(exact) >= lowest {
                    assert!((found.abs() - exact).abs() <= step * exact, "{name}: {share} {found}");
                    assert!(found * share > 0.0, "{name}: {share} {found}");
                } else {
                    assert!(f64::from(found.abs()) <= lowest, "{name}: {share} {found}");
                }
                let same_chance = decode(encode(share, 7 << 28));
                assert!(same_chance >= before, "{name}: {share}");
                before = same_chance;
            }
        }
    }

    #[test]
    fn zero_is_zero_and_a_divisor_above_it_never_is() {
        for chance in [0, 1 << 31, u32::MAX] {
            assert_eq!(
                (Signed8::encode(0.0, chance), Signed4::encode(0.0, chance), Positive8::encode(0.0, chance)),
                (0, 0, 0)
            );
            for share in [f32::MIN_POSITIVE, 1e-45, 1e-20, 1e-6, 0.5] {
                assert!(Positive8::decode(Positive8::encode(share, chance)) > 0.0);
                assert!(Positive4::decode(Positive4::encode(share, chance)) > 0.0);
            }
            for share in [1.0, 1.0 + f32::EPSILON] {
                assert_eq!(Positive8::decode(Positive8::encode(share, chance)), 1.0);
                assert_eq!(Positive4::decode(Positive4::encode(share, chance)), 1.0);
                assert_eq!(Signed8::decode(Signed8::encode(-share, chance)), -1.0);
                assert_eq!(Signed4::decode(Signed4::encode(-share, chance)), -1.0);
            }
        }
        assert_eq!(Positive4::decode(0), 1.5 / 256.0);
    }

    #[test]
    fn rounding_by_chance_is_right_in_the_mean() {
        fn mean<M: Map>(share: f32) -> f64 {
            let count = 1 << 16;
            let chances = (0..count).map(|place: u32| mixed(mixed(5) ^ place.wrapping_mul(0x9E37_79B9)));
            chances.map(|chance| f64::from(M::decode(M::encode(share, chance)))).sum::<f64>() / f64::from(count)
        }
        for share in [0.9, 0.51, 0.3, 0.013] {
            let exact = f64::from(share);
            // Five standard deviations of the mean of 2¹⁶ draws that are at most half a step of a level away.
            assert!((mean::<Positive8>(share) / exact - 1.0).abs() < 5.0 * 0.5 / 16.0 / 256.0, "{share}");
            assert!((mean::<Positive4>(share) / exact - 1.0).abs() < 5.0 * 0.25 / 256.0, "{share}");
        }
    }
}
