//! How the numbers of an example are kept, and what the columns of a table are.
//!
//! Images are bytes. Features of tables and arrays are 32-bit floats, little endian, in the same arrays: an example of D inputs then takes
//! 4·D bytes. What is normalised together is a channel: of images a colour, of a table each feature by itself.

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::Scaling;
use super::images::Images;
use crate::kernel::Channel;

/// What an input is in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Numbers {
    /// A pixel 0..=255.
    #[default]
    Bytes,
    /// A 32-bit float.
    Floats,
}

impl Numbers {
    /// Bytes of an input.
    pub fn bytes(self) -> usize {
        match self {
            Self::Bytes => 1,
            Self::Floats => 4,
        }
    }

    /// As files tell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Floats => "floats",
        }
    }

    /// What an example is called: an image or, of numbers, a row.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Bytes => "image",
            Self::Floats => "row",
        }
    }

    /// Whether it is the usual one, which files need not tell.
    #[allow(clippy::trivially_copy_pass_by_ref)] // as serde asks for it
    pub fn are_bytes(&self) -> bool {
        *self == Self::Bytes
    }
}

/// A column of a table whose cells are inputs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Of a categorical column its values, in order: there is an input for each, 1 in the rows that have it and 0 elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values: Option<Vec<String>>,
}

impl Column {
    /// Inputs that it takes.
    pub fn inputs(&self) -> usize {
        self.values.as_ref().map_or(1, Vec::len)
    }
}

/// Names of all inputs of a table: `height`, and of a categorical column `colour=red`.
pub fn names(columns: &[Column]) -> Vec<String> {
    let of_column = |column: &Column| match &column.values {
        None => vec![column.name.clone()],
        Some(values) => values.iter().map(|value| format!("{}={value}", column.name)).collect(),
    };
    columns.iter().flat_map(of_column).collect()
}

/// The floats that some bytes are.
pub fn floats(bytes: &[u8]) -> impl Iterator<Item = f32> {
    bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes))
}

/// Least and greatest number, mean and deviation of a channel, in double precision.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Moments {
    least: f64,
    most: f64,
    mean: f64,
    deviation: f64,
}

/// The normalisation of each of `channels` of equal size, by the floats of the training split: to mean 0 and deviation 1, or from least
/// and greatest to 0 and 1. A channel that never changes becomes 0.
pub(super) fn channels(images: &Images, channels: usize, scaling: Scaling) -> Vec<Channel> {
    let normalised = |moments: &Moments| {
        let (from, width) = match scaling {
            Scaling::Standard => (moments.mean, moments.deviation),
            Scaling::Unit => (moments.least, moments.most - moments.least),
        };
        // What is constant carries nothing; nor can a float hold the scale of what hardly changes.
        let scale = if width > 0.0 && (1.0 / width) as f32 <= f32::MAX { 1.0 / width } else { 1.0 };
        Channel { scale: scale as f32, shift: (-from * scale) as f32 }
    };
    moments(images, channels).iter().map(normalised).collect()
}

fn moments(images: &Images, channels: usize) -> Vec<Moments> {
    let inputs = images.pixels.len() / images.len().max(1) / Numbers::Floats.bytes();
    let plane = (inputs / channels.max(1)).max(1);
    let count = (images.len() * plane) as f64;
    let start = Moments { least: f64::INFINITY, most: f64::NEG_INFINITY, mean: 0.0, deviation: 0.0 };
    let mut moments = vec![start; channels];
    let planes = || images.pixels.chunks_exact(plane * Numbers::Floats.bytes());
    for (index, plane) in planes().enumerate() {
        let of_channel = &mut moments[index % channels];
        for number in floats(plane).map(f64::from) {
            of_channel.least = of_channel.least.min(number);
            of_channel.most = of_channel.most.max(number);
            of_channel.mean += number;
        }
    }
    for of_channel in &mut moments {
        of_channel.mean /= count;
    }
    for (index, plane) in planes().enumerate() {
        let of_channel = &mut moments[index % channels];
        let squares = floats(plane).map(|number| (f64::from(number) - of_channel.mean).powi(2));
        of_channel.deviation += squares.sum::<f64>();
    }
    for of_channel in &mut moments {
        of_channel.deviation = (of_channel.deviation / count).sqrt();
    }
    moments
}

/// Floats `[N, D]` normalised channel by channel.
pub(super) fn normalised(bytes: &[u8], inputs: usize, channels: &[Channel]) -> Result<Vec<f32>> {
    anyhow::ensure!(
        !channels.is_empty() && inputs.is_multiple_of(channels.len()),
        "{inputs} inputs in {} channels",
        channels.len()
    );
    let plane = inputs / channels.len();
    let mut numbers: Vec<f32> = floats(bytes).collect();
    for example in numbers.chunks_exact_mut(inputs) {
        for (plane, &Channel { scale, shift }) in example.chunks_exact_mut(plane).zip(channels) {
            for number in plane {
                *number = number.mul_add(scale, shift);
            }
        }
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images(rows: &[[f32; 3]]) -> Images {
        let pixels = rows.iter().flatten().flat_map(|number| number.to_le_bytes()).collect();
        Images { pixels, labels: vec![0; rows.len()] }
    }

    #[test]
    fn features_come_to_mean_0_and_deviation_1_each_by_itself() {
        let images = images(&[[1.0, 1000.0, 5.0], [3.0, 3000.0, 5.0], [8.0, 2000.0, 5.0]]);
        let standard = channels(&images, 3, Scaling::Standard);
        let numbers = normalised(&images.pixels, 3, &standard).unwrap();
        for feature in 0..2 {
            let of: Vec<f64> = numbers.iter().skip(feature).step_by(3).map(|&number| f64::from(number)).collect();
            let mean = of.iter().sum::<f64>() / 3.0;
            let square = of.iter().map(|number| number * number).sum::<f64>() / 3.0;
            assert!(mean.abs() < 1e-6 && (square - 1.0).abs() < 1e-6, "{of:?}");
        }
        assert_eq!([numbers[2], numbers[5], numbers[8]], [0.0; 3]);
        let unit = normalised(&images.pixels, 3, &channels(&images, 3, Scaling::Unit)).unwrap();
        let found = [unit[0], unit[6], unit[1], unit[4], unit[7], unit[2]];
        assert!(found.iter().zip([0.0, 1.0, 0.0, 1.0, 0.5, 0.0]).all(|(found, exact)| (found - exact).abs() < 1e-6));
        // One channel of three inputs: all are normalised together.
        let [together] = channels(&images, 1, Scaling::Unit)[..] else { panic!("one channel") };
        assert_eq!(together.shift, -1.0 / 2999.0);
    }

    #[test]
    fn names_of_inputs_tell_column_and_value() {
        let columns = [
            Column { name: "size".into(), values: None },
            Column { name: "colour".into(), values: Some(vec!["red".into(), String::new()]) },
        ];
        assert_eq!(names(&columns), ["size", "colour=red", "colour="]);
        assert_eq!(columns.iter().map(Column::inputs).sum::<usize>(), 3);
    }
}
