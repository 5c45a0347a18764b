//! ln and exp in IEEE double precision from + − × ÷ alone, in a fixed order: the same bits on every machine and in every language.

/// e^x for |x| ≤ 64: (1 + y + y²/2 + y³/6)^256 of y = x/256.
pub fn exp(x: f64) -> f64 {
    let y = x / 256.0;
    let mut power = 1.0 + y * (1.0 + y * (0.5 + y / 6.0));
    for _ in 0..8 {
        power *= power;
    }
    power
}

/// ln x of a normal x > 0: x = m·2ᵉ with m in [0.5, 1), and ln m = 2·artanh t of t = (m − 1)/(m + 1), five terms of its series.
pub fn ln(x: f64) -> f64 {
    let bits = x.to_bits();
    let exponent = (bits >> 52) as i64 - 1022;
    let m = f64::from_bits(bits & ((1 << 52) - 1) | 1022 << 52);
    let t = (m - 1.0) / (m + 1.0);
    let s = t * t;
    let series = 2.0 * t * (1.0 + s * (1.0 / 3.0 + s * (0.2 + s * (1.0 / 7.0 + s / 9.0))));
    exponent as f64 * std::f64::consts::LN_2 + series
}

/// ln(p / (1 − p)).
pub fn stretch(p: f64) -> f64 {
    ln(p / (1.0 - p))
}

/// The inverse of [`stretch`].
pub fn squash(x: f64) -> f64 {
    1.0 / (1.0 + exp(-x))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_near_what_they_are_called() {
        for k in -1500..=1500 {
            let x = f64::from(k) / 100.0;
            assert!((exp(x) / x.exp() - 1.0).abs() < 2e-4, "{x}");
            assert!((ln(x.exp()) - x).abs() < 1e-5, "{x}");
            assert!((stretch(squash(x)) - x).abs() < 2e-3, "{x}");
        }
    }
}
