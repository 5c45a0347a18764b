//! Pictures: files of PNG, JPEG, BMP, PNM, GIF and WebP as bytes in the layout of data sets, and as any net takes them.
//!
//! ```text
//! decode(bytes, limits)  →  Picture [channels][rows][columns]  →  .to(channels, rows, columns)  →  .inverted()
//! ```
//!
//! What comes from outside is not trusted: sizes are checked before memory is taken, and a decoder that panics has refused the picture.
//! Not here: which class a picture belongs to, and what a net was trained on.

mod decode;
mod jpeg;
mod kind;
mod resize;
mod walk;

pub use decode::{FORMATS, Limits, decode, decode_into, glance, read, shape_of};
pub use kind::Kind;
pub use walk::{Obstacle, Walk};

/// A picture of 8 bits a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// 1 is grey; 3 is red, green, blue.
    pub channels: usize,
    /// Rows, from the top.
    pub rows: usize,
    /// Columns, from the left.
    pub columns: usize,
    /// `[channels][rows][columns]`: one plane a channel, as [`Images`](crate::data::images::Images) has them.
    pub pixels: Vec<u8>,
}

impl Picture {
    /// Its channels, rows and columns.
    pub fn shape(&self) -> [usize; 3] {
        [self.channels, self.rows, self.columns]
    }

    /// The picture in this shape; where it has it already, the same bytes.
    ///
    /// Colour becomes grey by ITU-R BT.601 as Pillow rounds it, (19595·R + 38470·G + 7471·B + 2¹⁵) / 2¹⁶, so that grey stays what it is;
    /// grey becomes three equal planes. Sizes are changed by the cubic of Catmull and Rom, without regard to the ratio of the sides.
    ///
    /// # Panics
    /// If `channels` is neither 1 nor 3, or a size is 0.
    #[must_use]
    pub fn to(self, channels: usize, rows: usize, columns: usize) -> Self {
        assert!(matches!(channels, 1 | 3) && rows > 0 && columns > 0, "a picture of {channels}x{rows}x{columns}");
        let picture = if channels == 1 { self.grey() } else { self };
        let resized = picture.resized(rows, columns);
        if channels == 3 && resized.channels == 1 {
            return Self { channels, pixels: resized.pixels.repeat(3), ..resized };
        }
        resized
    }

    /// Each pixel p as 255 − p.
    #[must_use]
    pub fn inverted(mut self) -> Self {
        for pixel in &mut self.pixels {
            *pixel = !*pixel;
        }
        self
    }

    fn grey(self) -> Self {
        if self.channels == 1 {
            return self;
        }
        let (red, rest) = self.pixels.split_at(self.rows * self.columns);
        let (green, blue) = rest.split_at(red.len());
        let pixels = red.iter().zip(green).zip(blue).map(|((&red, &green), &blue)| luma([red, green, blue])).collect();
        Self { channels: 1, pixels, ..self }
    }

    fn resized(self, rows: usize, columns: usize) -> Self {
        if (rows, columns) == (self.rows, self.columns) {
            return self;
        }
        let planes = self.pixels.chunks_exact(self.rows * self.columns);
        let pixels =
            planes.flat_map(|plane| resize::resize(plane, [self.rows, self.columns], [rows, columns])).collect();
        Self { rows, columns, pixels, ..self }
    }
}

/// How bright a colour is, 0..=255: ITU-R BT.601 with weights of 2⁻¹⁶, as Pillow's `convert("L")`.
fn luma([red, green, blue]: [u8; 3]) -> u8 {
    ((19_595 * u32::from(red) + 38_470 * u32::from(green) + 7_471 * u32::from(blue) + (1 << 15)) >> 16) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grey_and_colour_become_each_other() {
        // Pillow 13: Image.new("RGB", (1, 1), colour).convert("L").getpixel((0, 0))
        for (colour, expected) in [([255, 0, 0], 76), ([0, 255, 0], 150), ([0, 0, 255], 29), ([12, 200, 77], 130)] {
            let picture = Picture { channels: 3, rows: 1, columns: 1, pixels: colour.to_vec() };
            assert_eq!(picture.to(1, 1, 1).pixels, [expected]);
        }
        let grey = Picture { channels: 1, rows: 2, columns: 3, pixels: vec![0, 1, 2, 100, 254, 255] };
        let colour = grey.clone().to(3, 2, 3);
        assert_eq!((colour.shape(), colour.pixels.len()), ([3, 2, 3], 18));
        assert_eq!(colour.to(1, 2, 3), grey);
        assert_eq!(grey.clone().inverted().pixels, [255, 254, 253, 155, 1, 0]);
    }

    #[test]
    fn every_grey_stays_what_it_is() {
        assert!((0..=255).all(|level| luma([level; 3]) == level));
    }
}
