//! Which weights a lane keeps: those that are worth most, over all layers.

use anyhow::Result;

use super::{Layer, PrunePlan};
use crate::config::{Granularity, Saliency};
use crate::kernel;
use crate::optim::LaneOptimizer;

/// How the inputs of the first layer lie: planes of rows of pixels.
#[derive(Clone, Copy, Debug)]
pub struct Geometry {
    /// Rows of a plane.
    pub rows: usize,
    /// Pixels of a row.
    pub columns: usize,
}

/// What is pruned is worth less than nothing.
const PRUNED: f32 = -1.0;

/// Chooses, and keeps the room that this takes.
#[derive(Debug, Default)]
pub struct Selection {
    /// What each weight is worth, a layer after the other, not negative.
    worth: Vec<Vec<f32>>,
    ranked: Vec<f32>,
    density: Density,
}

impl Selection {
    /// Writes the masks of a lane so that `sparsity` of its weights are pruned.
    ///
    /// # Errors
    /// If the device fails.
    pub fn choose(
        &mut self,
        plan: &PrunePlan,
        sparsity: f64,
        layers: &[Layer],
        lane: usize,
        optimizer: &dyn LaneOptimizer,
        geometry: Geometry,
    ) -> Result<()> {
        self.worth.resize_with(layers.len(), Vec::new);
        for (index, (layer, worth)) in layers.iter().zip(&mut self.worth).enumerate() {
            value(plan, index, layer, lane, optimizer, worth)?;
            if plan.clustering > 0.0 {
                let inputs = layer.mask.dims()[2];
                let image = (index == 0).then_some(geometry);
                let mask = kernel::lane(&layer.mask, lane)?;
                let density = &mut self.density;
                kernel::lend(&mask, |mask: &[f32]| density.weigh(mask, inputs, image, plan.clustering, worth))?;
            }
        }
        match plan.granularity {
            Granularity::Weight => self.keep_weights(sparsity, plan.floor),
            Granularity::Unit => self.keep_units(sparsity, layers),
        }
        for (layer, worth) in layers.iter().zip(&self.worth) {
            kernel::lend_mut(&kernel::lane(&layer.mask, lane)?, |mask: &mut [f32]| {
                for (mask, worth) in mask.iter_mut().zip(worth) {
                    *mask = f32::from(*worth >= 0.0);
                }
            })?;
        }
        Ok(())
    }

    fn count(&self) -> usize {
        self.worth.iter().map(Vec::len).sum()
    }

    /// Prunes single weights. Layers that would fall below their floor are cut first, each alone; the others share what is left.
    fn keep_weights(&mut self, sparsity: f64, floor: f64) {
        let all = self.count();
        let mut left = all - (all as f64 * sparsity).round() as usize;
        let mut open: Vec<&mut Vec<f32>> = self.worth.iter_mut().collect();
        loop {
            let least = threshold(open.iter().flat_map(|worth| worth.iter()), left, &mut self.ranked);
            let floor_of = |worth: &[f32]| (worth.len() as f64 * floor).ceil() as usize;
            let is_starved = |worth: &[f32]| worth.iter().filter(|x| **x >= least).count() < floor_of(worth);
            let Some(starved) = open.iter().position(|worth| is_starved(worth)) else {
                keep(&mut open, least, left);
                return;
            };
            let worth = open.swap_remove(starved);
            let own = floor_of(worth);
            let least = threshold(worth.iter(), own, &mut self.ranked);
            keep(&mut [worth], least, own);
            left = left.saturating_sub(own);
        }
    }

    /// Prunes inputs and hidden units with all their weights: those with the least mean worth of a weight first.
    fn keep_units(&mut self, sparsity: f64, layers: &[Layer]) {
        let inputs = layers.iter().map(|layer| layer.mask.dims()[2]);
        let widths: Vec<usize> = inputs.chain(layers.last().map(|layer| layer.mask.dims()[1])).collect();
        let mut units = self.units(&widths);
        units.sort_by(|a, b| a.worth.total_cmp(&b.worth).then((a.side, a.index).cmp(&(b.side, b.index))));
        let all = self.count();
        let most = all - (all as f64 * sparsity).round() as usize;
        let mut alive: Vec<Vec<bool>> = widths.iter().map(|&width| vec![true; width]).collect();
        let mut counts = widths.clone();
        for Unit { side, index, .. } in units {
            if counts.windows(2).map(|pair| pair[0] * pair[1]).sum::<usize>() <= most {
                break;
            }
            // A layer without a unit would be no net.
            if counts[side] > 1 {
                counts[side] -= 1;
                alive[side][index] = false;
            }
        }
        for (side, worth) in self.worth.iter_mut().enumerate() {
            for (index, worth) in worth.iter_mut().enumerate() {
                if !alive[side][index % widths[side]] || !alive[side + 1][index / widths[side]] {
                    *worth = PRUNED;
                }
            }
        }
    }

    /// The inputs and hidden units of a net of these widths, each with the mean worth of its weights on both sides.
    fn units(&self, widths: &[usize]) -> Vec<Unit> {
        let mut units = Vec::new();
        for (side, outgoing) in self.worth.iter().enumerate() {
            for index in 0..widths[side] {
                let sum = |worth: &mut dyn Iterator<Item = &f32>| worth.map(|&worth| f64::from(worth)).sum::<f64>();
                let mut total = sum(&mut outgoing.iter().skip(index).step_by(widths[side]));
                let mut count = widths[side + 1];
                if side > 0 {
                    let width = widths[side - 1];
                    total += sum(&mut self.worth[side - 1][index * width..][..width].iter());
                    count += width;
                }
                units.push(Unit { worth: total / count as f64, side, index });
            }
        }
        units
    }
}

/// An input, of side 0, or a unit of a hidden layer.
struct Unit {
    worth: f64,
    side: usize,
    index: usize,
}

/// What the weights of a layer are worth, to `worth`; where weights cannot come back, what is pruned is worth nothing.
fn value(
    plan: &PrunePlan,
    index: usize,
    layer: &Layer,
    lane: usize,
    optimizer: &dyn LaneOptimizer,
    worth: &mut Vec<f32>,
) -> Result<()> {
    kernel::lend(&kernel::lane(&layer.dense, lane)?, |dense: &[f32]| {
        worth.clear();
        worth.extend(dense.iter().map(|x| x.abs()));
    })?;
    let v = layer.v.as_ref().filter(|_| plan.saliency == Saliency::Fisher);
    if let (Some(v), Some(of)) = (v, optimizer.denominator(2 * index, lane)) {
        kernel::lend(&kernel::lane(v, lane)?, |v: &[f32]| {
            // √(θ²·v̂), whose order is that of θ²·v̂.
            worth.iter_mut().zip(v).for_each(|(worth, v)| *worth *= (v / of.correction as f32).sqrt());
        })?;
    }
    if plan.rounds.is_some() {
        kernel::lend(&kernel::lane(&layer.mask, lane)?, |mask: &[f32]| {
            worth.iter_mut().zip(mask).for_each(|(worth, mask)| *worth *= mask);
        })?;
    }
    Ok(())
}

/// The worth of the last that is kept of so many.
fn threshold<'a>(worth: impl Iterator<Item = &'a f32>, count: usize, ranked: &mut Vec<f32>) -> f32 {
    ranked.clear();
    ranked.extend(worth.copied());
    match count {
        0 => f32::INFINITY,
        count if count >= ranked.len() => 0.0,
        count => *ranked.select_nth_unstable_by(count - 1, |a, b| b.total_cmp(a)).1,
    }
}

/// Prunes what is worth less than `least`, and of what is worth as much all but the first, so that `count` are kept.
fn keep(layers: &mut [&mut Vec<f32>], least: f32, count: usize) {
    let above = layers.iter().flat_map(|worth| worth.iter()).filter(|worth| **worth > least).count();
    let mut ties = count.saturating_sub(above);
    for worth in layers.iter_mut().flat_map(|worth| worth.iter_mut()) {
        let is_tie = *worth == least;
        if *worth < least || is_tie && ties == 0 {
            *worth = PRUNED;
        } else if is_tie {
            ties -= 1;
        }
    }
}

/// How densely the kept weights lie.
#[derive(Debug, Default)]
struct Density {
    rows: Vec<f32>,
    columns: Vec<f32>,
}

impl Density {
    /// Multiplies the worth of a layer's weights by (p/p̄)^γ: p is the mean of four shares of kept weights, those of the unit, of the
    /// input, of the pixels around it in the unit, and of the layer, which is p̄.
    fn weigh(&mut self, mask: &[f32], inputs: usize, image: Option<Geometry>, gamma: f64, worth: &mut [f32]) {
        let outputs = mask.len() / inputs;
        self.rows.clear();
        self.rows.extend(mask.chunks_exact(inputs).map(|row| row.iter().sum::<f32>() / inputs as f32));
        self.columns.clear();
        self.columns.resize(inputs, 0.0);
        for row in mask.chunks_exact(inputs) {
            self.columns.iter_mut().zip(row).for_each(|(sum, mask)| *sum += mask / outputs as f32);
        }
        let all = (self.rows.iter().sum::<f32>() / outputs as f32).max(f32::MIN_POSITIVE);
        for (unit, (row, worth)) in mask.chunks_exact(inputs).zip(worth.chunks_exact_mut(inputs)).enumerate() {
            for (input, worth) in worth.iter_mut().enumerate() {
                let around = image.map_or(self.rows[unit], |image| around(row, input, image));
                let density = (self.rows[unit] + self.columns[input] + around + all) / 4.0;
                *worth *= (density / all).powf(gamma as f32);
            }
        }
    }
}

/// The share of kept weights among the pixels around one, itself not counted.
fn around(row: &[f32], input: usize, Geometry { rows, columns }: Geometry) -> f32 {
    let plane = rows * columns;
    let (start, y, x) = (input / plane * plane, input % plane / columns, input % columns);
    let (mut sum, mut count) = (0.0, 0.0);
    for near_y in y.saturating_sub(1)..(y + 2).min(rows) {
        for near_x in x.saturating_sub(1)..(x + 2).min(columns) {
            if (near_y, near_x) != (y, x) {
                sum += row[start + near_y * columns + near_x];
                count += 1.0;
            }
        }
    }
    if count > 0.0 { sum / count } else { 0.0 }
}
