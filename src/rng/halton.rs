//! Points that fill a cube evenly, however many there are (Halton 1960, Numer. Math. 2, 84–90).

/// Bases of the sequence, one a dimension. The larger they are, the more points it takes until their dimensions look independent.
pub const BASES: [u64; 12] = [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37];

/// The number whose digits in this base are those of `index` mirrored at the point: in (0, 1) from 1 on.
pub fn halton(mut index: u64, base: u64) -> f64 {
    let (mut share, mut digit) = (0.0, 1.0);
    while index > 0 {
        digit /= base as f64;
        share += digit * (index % base) as f64;
        index /= base;
    }
    share
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_fill_the_range_evenly() {
        let shares: Vec<f64> = (1..8).map(|number| halton(number, 2)).collect();
        assert_eq!(shares, [0.5, 0.25, 0.75, 0.125, 0.625, 0.375, 0.875]);
        assert!((halton(5, 3) - (2.0 / 3.0 + 1.0 / 9.0)).abs() < 1e-15);
        assert!(BASES.iter().all(|base| (2..*base).all(|divisor| !base.is_multiple_of(divisor))));
    }
}
