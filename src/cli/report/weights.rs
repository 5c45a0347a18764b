//! What the first layer looks at: the weights of each output of a linear net, and of the strongest units of another, as pictures.

use std::io::Cursor;

use anyhow::Result;
use image::{ImageFormat, RgbImage};

use crate::data::Spec;
use crate::model::LinearNet;

/// Most units that are shown.
const MOST: usize = 48;

/// A first layer, `[out, in]`, and the layer that follows it, if one does.
#[derive(Debug)]
pub struct Layer {
    /// Its weights, row by row.
    pub rows: Vec<Vec<f32>>,
    /// Those of the next layer.
    pub next: Option<Vec<Vec<f32>>>,
}

impl Layer {
    /// Whether weights of nets for such data can be seen.
    pub fn is_seen(spec: &Spec) -> bool {
        spec.numbers.are_bytes() && (spec.channels == 1 || spec.channels == 3)
    }

    /// That of a net.
    ///
    /// # Errors
    /// If the device fails.
    pub fn of(net: &LinearNet) -> Result<Option<Self>> {
        let tensors = net.tensors();
        let matrix = |k: usize| {
            let lanes = tensors.iter().find(|(name, _)| *name == format!("layers.{k}.weight")).map(|(_, lanes)| lanes);
            lanes.map(|lanes| Ok::<_, anyhow::Error>(lanes.get(0)?.to_vec2::<f32>()?)).transpose()
        };
        let next = matrix(1)?;
        Ok(matrix(0)?.map(|rows| Self { rows, next }))
    }

    /// The units that count most: of a linear net all its outputs, else those of the largest product of the norms of what goes in and what
    /// comes out.
    pub fn strongest(&self) -> Vec<usize> {
        let Some(next) = &self.next else { return (0..self.rows.len().min(MOST)).collect() };
        let norm =
            |numbers: &mut dyn Iterator<Item = f32>| numbers.map(|x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
        let strength =
            |unit: usize| norm(&mut self.rows[unit].iter().copied()) * norm(&mut next.iter().map(|row| row[unit]));
        let mut units: Vec<(f64, usize)> = (0..self.rows.len()).map(|unit| (strength(unit), unit)).collect();
        units.sort_by(|a, b| b.0.total_cmp(&a.0));
        units.into_iter().take(MOST).map(|(_, unit)| unit).collect()
    }

    /// The weights of a unit as a picture of the shape of the images: of one channel red above 0, blue below, white at 0; of three
    /// channels their colours around a middle grey. `most` is the weight of full colour.
    ///
    /// # Errors
    /// If the picture cannot be coded.
    pub fn picture(&self, unit: usize, most: f32, spec: &Spec) -> Result<Vec<u8>> {
        let pixels = spec.rows * spec.columns;
        let weights = &self.rows[unit];
        let share = |channel: usize, pixel: usize| (weights[channel * pixels + pixel] / most).clamp(-1.0, 1.0);
        let image = RgbImage::from_fn(spec.columns as u32, spec.rows as u32, |x, y| {
            let pixel = y as usize * spec.columns + x as usize;
            if spec.channels == 1 {
                return diverging(share(0, pixel)).into();
            }
            [0, 1, 2].map(|channel| (127.5 * (1.0 + share(channel.min(spec.channels - 1), pixel))) as u8).into()
        });
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, ImageFormat::Png)?;
        Ok(bytes.into_inner())
    }

    /// The largest weight of a unit, not 0.
    pub fn most(&self, unit: usize) -> f32 {
        self.rows[unit].iter().fold(f32::MIN_POSITIVE, |most, weight| most.max(weight.abs()))
    }
}

/// A colour for −1 to 1: blue, white, red, which are told apart by the colour-blind and as grey from the ground.
fn diverging(share: f32) -> [u8; 3] {
    let end: [f32; 3] = if share < 0.0 { [5.0, 80.0, 160.0] } else { [178.0, 24.0, 43.0] };
    // Small weights are seen too.
    let part = share.abs().powf(0.8);
    end.map(|end| (255.0 + part * (end - 255.0)).round() as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_counts_most_comes_first() {
        let layer = Layer {
            rows: vec![vec![1.0, 0.0], vec![3.0, 4.0], vec![0.5, 0.0]],
            next: Some(vec![vec![1.0, 1.0, 100.0]]),
        };
        assert_eq!(layer.strongest(), [2, 1, 0]);
        assert_eq!(layer.most(1), 4.0);
        let linear = Layer { next: None, ..layer };
        assert_eq!(linear.strongest(), [0, 1, 2]);
    }

    #[test]
    fn zero_is_white_and_signs_are_told_apart() {
        assert_eq!(diverging(0.0), [255, 255, 255]);
        assert_eq!((diverging(1.0), diverging(-1.0)), ([178, 24, 43], [5, 80, 160]));
    }
}
