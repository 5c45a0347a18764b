//! Numbers of the normal distribution: √(−2·ln u)·cos(2πv) of uniform u and v (Box & Muller 1958), with the powers of `libm`.

use super::Stream;

impl Stream {
    /// A number of mean 0 and deviation 1. It takes two words.
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * libm::log(self.inside())).sqrt();
        radius * libm::cos(2.0 * std::f64::consts::PI * self.inside())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Purpose;
    use super::*;

    #[test]
    fn moments_are_those_of_the_definition() {
        const COUNT: usize = 100_000;
        let mut stream = Stream::new(1, Purpose::Gradients, 0);
        let drawn: Vec<f64> = (0..COUNT).map(|_| stream.normal()).collect();
        let moment = |power| drawn.iter().map(|x| x.powi(power)).sum::<f64>() / COUNT as f64;
        // Five deviations of each mean: those of x, x², x³ and x⁴ are 1, √2, √15 and √96.
        for (power, expected, deviation) in [(1, 0.0, 1.0_f64), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0)] {
            let bound = 5.0 * deviation.sqrt() / (COUNT as f64).sqrt();
            assert!((moment(power) - expected).abs() < bound, "{power}: {}", moment(power));
        }
    }
}
