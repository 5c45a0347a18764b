//! A contact sheet: the first images of each class, to look at.

use std::fmt::Write as _;
use std::io::Cursor;

use anyhow::Result;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use image::{GrayImage, ImageFormat, RgbImage};

use crate::data::Spec;
use crate::data::images::Images;
use crate::draw::escaped;

/// Most images of a class.
const COLUMNS: usize = 20;

/// Width of the images of a class beside one another at most, in pixels of the screen.
const MOST_WIDTH: usize = 1200;

/// Least height of an image.
const LEAST_HEIGHT: usize = 32;

/// Space between rows.
const GAP: usize = 4;

/// Width of the names of the classes.
const NAMES: usize = 160;

/// As SVG: a row for each class, its name and the first of its images in the order of the split, each as large as it is or enlarged by a
/// whole number.
///
/// # Errors
/// If a picture cannot be coded.
pub fn sheet(spec: &Spec, images: &Images) -> Result<String> {
    let factor = LEAST_HEIGHT.div_ceil(spec.rows);
    let (height, width) = (spec.rows * factor, spec.columns * factor);
    let columns = (MOST_WIDTH / width).clamp(1, COLUMNS);
    let step = height + GAP;
    let (all_width, all_height) = (NAMES + columns * width, spec.classes.len() * step + GAP);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{all_width}\" height=\"{all_height}\" viewBox=\"0 0 {all_width} {all_height}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n<title>{}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
        escaped(&spec.name)
    );
    for (class, name) in spec.classes.iter().enumerate() {
        let top = GAP + class * step;
        let middle = top + height / 2 + 5;
        let _ = writeln!(text, "<text x=\"8\" y=\"{middle}\">{}</text>", escaped(name));
        let places: Vec<usize> = images
            .labels
            .iter()
            .enumerate()
            .filter(|(_, label)| usize::from(**label) == class)
            .map(|(place, _)| place)
            .take(columns)
            .collect();
        if places.is_empty() {
            continue;
        }
        let png = BASE64_STANDARD.encode(row(spec, images, &places)?);
        let _ = writeln!(
            text,
            "<image x=\"{NAMES}\" y=\"{top}\" width=\"{}\" height=\"{height}\" style=\"image-rendering:pixelated\" \
             href=\"data:image/png;base64,{png}\"/>",
            places.len() * width
        );
    }
    text += "</svg>\n";
    Ok(text)
}

/// Some images side by side, as a PNG file.
pub fn row(spec: &Spec, images: &Images, places: &[usize]) -> Result<Vec<u8>> {
    let (rows, columns, inputs) = (spec.rows, spec.columns, spec.inputs());
    // Where a pixel of the row stands in the images.
    let pixel = |channel: usize, x: u32, y: u32| {
        let (x, y) = (x as usize, y as usize);
        let place = places[x / columns];
        images.pixels[place * inputs + channel * rows * columns + y * columns + x % columns]
    };
    let (width, height) = ((places.len() * columns) as u32, rows as u32);
    let mut bytes = Cursor::new(Vec::new());
    if spec.channels == 1 {
        let image = GrayImage::from_fn(width, height, |x, y| [pixel(0, x, y)].into());
        image.write_to(&mut bytes, ImageFormat::Png)?;
    } else {
        let image = RgbImage::from_fn(width, height, |x, y| [0, 1, 2].map(|channel| pixel(channel, x, y)).into());
        image.write_to(&mut bytes, ImageFormat::Png)?;
    }
    Ok(bytes.into_inner())
}
