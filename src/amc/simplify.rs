//! Units that change nothing go, and the others come in order.

use std::cmp::Reverse;

use super::fixed::hidden;
use super::{BOUND, Net};

/// The same net without hidden units that nothing reads or whose output is always 0: its logits are the same to the bit.
///
/// A unit that reads nothing and has a positive output becomes part of the biases of the next layer, each of which is rounded to its
/// step: that alone can move a logit, by as much as half a step of a bias does. Of a layer whose units would all go, one is left.
pub fn simplify(mut net: Net) -> Net {
    loop {
        let before: usize = net.layers.iter().map(|layer| layer.outputs).sum();
        for index in 0..net.layers.len() - 1 {
            simplify_layer(&mut net, index);
        }
        if net.layers.iter().map(|layer| layer.outputs).sum::<usize>() == before {
            return net;
        }
    }
}

fn simplify_layer(net: &mut Net, index: usize) {
    let (front, back) = net.layers.split_at_mut(index + 1);
    let (layer, next) = (&mut front[index], &mut back[0]);
    let is_read = |unit: usize| next.levels.chunks_exact(next.inputs).any(|row| row[unit] != 0);
    let reads = |unit: usize| layer.levels[unit * layer.inputs..][..layer.inputs].iter().any(|level| *level != 0);
    let output = |unit: usize| hidden(f64::from(layer.biases[unit]) * f64::from(layer.bias_step), layer.shift);

    let (mut kept, mut constants) = (Vec::new(), Vec::new());
    for unit in 0..layer.outputs {
        match is_read(unit) {
            true if reads(unit) => kept.push(unit),
            true if output(unit) > 0.0 => constants.push((unit, output(unit))),
            _ => {}
        }
    }
    // What the constant units add, in steps of the next layer's biases.
    let unit = f64::from(next.step) * super::fixed::power_of_two(-layer.shift) / f64::from(next.bias_step);
    let added = |row: &[i32]| constants.iter().map(|&(unit, h)| f64::from(row[unit]) * h).sum::<f64>() * unit;
    let rows = next.levels.chunks_exact(next.inputs).zip(&next.biases);
    let biases: Vec<f64> = rows.map(|(row, &bias)| f64::from(bias) + added(row).round()).collect();
    if biases.iter().all(|bias| bias.abs() < f64::from(BOUND)) {
        next.biases = biases.into_iter().map(|bias| bias as i32).collect();
    } else {
        kept.extend(constants.iter().map(|(unit, _)| *unit));
        kept.sort_unstable();
    }
    if kept.is_empty() {
        layer.levels[..layer.inputs].fill(0);
        layer.biases[0] = 0;
        next.levels.iter_mut().step_by(next.inputs).for_each(|level| *level = 0);
        kept.push(0);
    }
    net.keep_units(index, &kept);
}

impl Net {
    /// The same net with its hidden units in the order of a file: by falling bias, then by falling number of weights that are not 0, then
    /// by their weights. No logit changes.
    pub fn arranged(&self) -> Self {
        let mut net = self.clone();
        for index in 0..net.layers.len().saturating_sub(1) {
            let layer = &net.layers[index];
            let row = |unit: usize| &layer.levels[unit * layer.inputs..][..layer.inputs];
            let count = |unit: usize| row(unit).iter().filter(|level| **level != 0).count();
            let key = |unit: usize| (Reverse(layer.biases[unit]), Reverse(count(unit)));
            let keys: Vec<_> = (0..layer.outputs).map(key).collect();
            let mut units: Vec<usize> = (0..layer.outputs).collect();
            units.sort_by(|&a, &b| keys[a].cmp(&keys[b]).then_with(|| row(a).cmp(row(b))));
            net.keep_units(index, &units);
        }
        net
    }

    /// Keeps these units of a hidden layer, in this order.
    pub(super) fn keep_units(&mut self, index: usize, units: &[usize]) {
        let (front, back) = self.layers.split_at_mut(index + 1);
        let (layer, next) = (&mut front[index], &mut back[0]);
        let rows = units.iter().flat_map(|&unit| &layer.levels[unit * layer.inputs..][..layer.inputs]);
        layer.levels = rows.copied().collect();
        layer.biases = units.iter().map(|&unit| layer.biases[unit]).collect();
        let columns = next.levels.chunks_exact(next.inputs).flat_map(|row| units.iter().map(|&unit| row[unit]));
        next.levels = columns.collect();
        (layer.outputs, next.inputs) = (units.len(), units.len());
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{random_net, random_pixels};
    use super::*;

    #[test]
    fn what_is_left_gives_the_same_logits() {
        let mut fewer = 0;
        for seed in 0..60 {
            let net = random_net(seed);
            let small = simplify(net.clone());
            assert_eq!(small.defect(), None);
            fewer += usize::from(small.layers != net.layers);
            let pixels = random_pixels(&net, 20);
            // Half a step of a bias, through all that follows: here folded exactly or not at all unless a unit is constant.
            let is_constant = |index: usize| {
                let layer = &net.layers[index];
                let rows = layer.levels.chunks_exact(layer.inputs).zip(&layer.biases);
                rows.into_iter().any(|(row, &bias)| bias > 0 && row.iter().all(|level| *level == 0))
            };
            if !(0..net.layers.len() - 1).any(is_constant) {
                assert_eq!(small.logits(&pixels), net.logits(&pixels), "seed {seed}");
            }
        }
        assert!(fewer > 10, "{fewer}");
    }
}
