//! Inference in integers and exact doubles.

use rayon::prelude::*;

use super::{BOUND, Net};

/// Images that are computed side by side.
const BLOCK: usize = 16;

/// What images are fed through: the weights of each unit that are not 0.
#[derive(Debug)]
struct Sparse {
    /// Units: where their weights begin.
    starts: Vec<usize>,
    /// Input and level.
    weights: Vec<(u32, f64)>,
}

impl Sparse {
    fn of(levels: &[i32], inputs: usize) -> Self {
        let (mut starts, mut weights) = (vec![0], Vec::new());
        for row in levels.chunks_exact(inputs) {
            let found = row.iter().enumerate().filter(|(_, level)| **level != 0);
            weights.extend(found.map(|(input, &level)| (input as u32, f64::from(level))));
            starts.push(weights.len());
        }
        Self { starts, weights }
    }

    fn unit(&self, unit: usize) -> &[(u32, f64)] {
        &self.weights[self.starts[unit]..self.starts[unit + 1]]
    }
}

/// A block of values per input or unit.
type Values = [f64; BLOCK];

impl Net {
    /// Logits `[N, C]` of images u8 `[N, D]`: the same bits for every number of threads.
    ///
    /// # Panics
    /// If the net is not sound or the pixels are no whole images.
    pub fn logits(&self, pixels: &[u8]) -> Vec<f64> {
        let inputs = self.image.pixels();
        assert!(pixels.len().is_multiple_of(inputs), "pixels are whole images");
        let sparse: Vec<Sparse> = self.layers.iter().map(|layer| Sparse::of(&layer.levels, layer.inputs)).collect();
        let classes = self.classes.len();
        let mut logits = vec![0.0; pixels.len() / inputs * classes];
        let blocks = pixels.par_chunks(BLOCK * inputs).zip(logits.par_chunks_mut(BLOCK * classes));
        blocks.for_each(|(pixels, logits)| {
            let last = self.outputs(&sparse, pixels, self.layers.len());
            for (image, logits) in logits.chunks_exact_mut(classes).enumerate() {
                for (logit, of_class) in logits.iter_mut().zip(&last) {
                    *logit = of_class[image];
                }
            }
        });
        logits
    }

    /// Class of each image: the first of the largest logit.
    pub fn predictions(&self, pixels: &[u8]) -> Vec<usize> {
        self.logits(pixels).chunks_exact(self.classes.len()).map(first_largest).collect()
    }

    /// Predicted class and cross entropy of each image, u8 `[N, D]`, of which these are the classes, `[N]`.
    pub fn judged(&self, pixels: &[u8], labels: &[u8]) -> Vec<(usize, f64)> {
        let logits = self.logits(pixels);
        let rows = logits.chunks_exact(self.classes.len()).zip(labels);
        rows.map(|(row, &label)| (first_largest(row), loss_of(row, usize::from(label)))).collect()
    }

    /// What the first `count` layers give for up to [`BLOCK`] images: z of the last of them, before its ReLU.
    fn outputs(&self, sparse: &[Sparse], pixels: &[u8], count: usize) -> Vec<Values> {
        let mut inputs = vec![[0.0; BLOCK]; self.image.pixels()];
        for (image, pixels) in pixels.chunks_exact(inputs.len()).enumerate() {
            for (input, &pixel) in inputs.iter_mut().zip(pixels) {
                input[image] = f64::from(pixel);
            }
        }
        let mut before = 0;
        for (index, (layer, sparse)) in self.layers.iter().zip(sparse).enumerate().take(count) {
            if index > 0 {
                for value in inputs.as_flattened_mut() {
                    *value = hidden(*value, before);
                }
            }
            let step = f64::from(layer.step) * power_of_two(-before);
            let outputs = (0..layer.outputs).map(|unit| {
                let bias = f64::from(layer.biases[unit]) * f64::from(layer.bias_step);
                let sums = if index == 0 && self.scale.len() > 1 {
                    self.scaled_sums(sparse.unit(unit), &inputs)
                } else {
                    sums(sparse.unit(unit), &inputs)
                };
                sums.map(|sum| sum * step + bias)
            });
            inputs = outputs.collect();
            before = layer.shift;
        }
        inputs
    }

    /// The sums over each channel times its factor, added in the order of the channels.
    fn scaled_sums(&self, mut weights: &[(u32, f64)], inputs: &[Values]) -> Values {
        let plane = inputs.len() / self.scale.len();
        let mut total = [0.0; BLOCK];
        for (channel, &scale) in self.scale.iter().enumerate() {
            let end = weights.partition_point(|(input, _)| (*input as usize) < (channel + 1) * plane);
            let (own, rest) = weights.split_at(end);
            for (total, sum) in total.iter_mut().zip(sums(own, inputs)) {
                *total += sum * f64::from(scale);
            }
            weights = rest;
        }
        total
    }

    /// Chooses the shift of each hidden layer from the largest output among these images, u8 `[N, D]`, so that twice that would
    /// still not be cut.
    pub fn fit_shifts(&mut self, pixels: &[u8]) {
        let sparse: Vec<Sparse> = self.layers.iter().map(|layer| Sparse::of(&layer.levels, layer.inputs)).collect();
        for index in 0..self.layers.len().saturating_sub(1) {
            let blocks = pixels.par_chunks(BLOCK * self.image.pixels());
            let largest_of = |pixels: &[u8]| {
                let outputs = self.outputs(&sparse, pixels, index + 1);
                outputs.as_flattened().iter().copied().fold(0.0, f64::max)
            };
            let largest = blocks.map(largest_of).reduce(|| 0.0, f64::max);
            let mut shift = 63;
            while shift > -64 && largest * power_of_two(shift) >= f64::from(BOUND / 2) {
                shift -= 1;
            }
            self.layers[index].shift = if largest > 0.0 { shift } else { 0 };
        }
    }
}

/// The exact sums of integers below 2⁵³ in absolute value.
fn sums(weights: &[(u32, f64)], inputs: &[Values]) -> Values {
    let mut sums = [0.0; BLOCK];
    for &(input, level) in weights {
        for (sum, value) in sums.iter_mut().zip(&inputs[input as usize]) {
            *sum += level * value;
        }
    }
    sums
}

/// The integer that a hidden output is kept as.
pub(super) fn hidden(z: f64, shift: i32) -> f64 {
    let most = f64::from(BOUND - 1);
    let positive = if z > 0.0 { z } else { 0.0 };
    let kept = (positive * power_of_two(shift) + 0.5).floor();
    if kept < most { kept } else { most }
}

/// 2^exponent, −1022..=1023.
pub(super) fn power_of_two(exponent: i32) -> f64 {
    f64::from_bits(((1023 + i64::from(exponent)) as u64) << 52)
}

/// Index of the first largest number, as the hits of training count.
pub fn first_largest<T: PartialOrd>(numbers: &[T]) -> usize {
    let mut best = 0;
    for (index, number) in numbers.iter().enumerate() {
        if *number > numbers[best] {
            best = index;
        }
    }
    best
}

/// Cross entropy of one image's logits, in nats.
fn loss_of(logits: &[f64], label: usize) -> f64 {
    let largest = logits[first_largest(logits)];
    logits.iter().map(|logit| (logit - largest).exp()).sum::<f64>().ln() + largest - logits[label]
}

#[cfg(test)]
mod tests {
    use super::super::tests::{random_net, random_pixels};
    use super::*;

    /// The definition: one image, one number at a time, in integers.
    fn slow(net: &Net, pixels: &[u8]) -> Vec<f64> {
        let mut h: Vec<i64> = pixels.iter().map(|&pixel| i64::from(pixel)).collect();
        let mut z = Vec::new();
        let mut before = 0;
        for (index, layer) in net.layers.iter().enumerate() {
            let rows = layer.levels.chunks_exact(layer.inputs).zip(&layer.biases);
            let unit = |(row, &bias): (&[i32], &i32)| {
                let channels = if index == 0 { net.scale.len() } else { 1 };
                let planes = row.chunks_exact(layer.inputs / channels).zip(h.chunks_exact(layer.inputs / channels));
                let sums = planes.map(|(row, h)| row.iter().zip(h).map(|(&q, h)| i64::from(q) * h).sum::<i64>() as f64);
                let sum = if channels == 1 {
                    sums.sum::<f64>()
                } else {
                    sums.zip(&net.scale).fold(0.0, |total, (sum, &scale)| total + sum * f64::from(scale))
                };
                sum * (f64::from(layer.step) * 2_f64.powi(-before)) + f64::from(bias) * f64::from(layer.bias_step)
            };
            z = rows.map(unit).collect();
            h = z
                .iter()
                .map(|z| ((z.max(0.0) * 2_f64.powi(layer.shift) + 0.5).floor() as i64).min(1_048_575))
                .collect();
            before = layer.shift;
        }
        z
    }

    #[test]
    fn logits_are_those_of_the_definition_to_the_bit() {
        for seed in 0..40 {
            let net = random_net(seed);
            let pixels = random_pixels(&net, 37);
            let expected: Vec<f64> =
                pixels.chunks_exact(net.image.pixels()).flat_map(|image| slow(&net, image)).collect();
            let found = net.logits(&pixels);
            assert!(found.iter().zip(&expected).all(|(a, b)| a.to_bits() == b.to_bits()), "seed {seed}");
        }
    }

    #[test]
    fn shifts_leave_a_bit_of_room() {
        let mut net = random_net(7);
        while net.layers.len() < 3 {
            net = random_net(net.layers[0].levels.len() as u64 + 100);
        }
        let pixels = random_pixels(&net, 20);
        net.fit_shifts(&pixels);
        let sparse: Vec<Sparse> = net.layers.iter().map(|layer| Sparse::of(&layer.levels, layer.inputs)).collect();
        for index in 0..net.layers.len() - 1 {
            let outputs: Vec<Values> = pixels
                .chunks(BLOCK * net.image.pixels())
                .flat_map(|pixels| net.outputs(&sparse, pixels, index + 1))
                .collect();
            let largest =
                outputs.as_flattened().iter().fold(0.0, |most: f64, &z| most.max(hidden(z, net.layers[index].shift)));
            assert!(largest <= 524_288.0 && (largest == 0.0 || largest >= 262_144.0), "{largest}");
        }
    }
}
