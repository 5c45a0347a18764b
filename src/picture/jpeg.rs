//! JPEG as `image` has it, by the same decoder, whose header is read once: of a small picture it takes most of the time.

use std::io::Read;

use image::error::{DecodingError, LimitError, LimitErrorKind, UnsupportedError, UnsupportedErrorKind};
use image::metadata::Orientation;
use image::{ColorType, ImageDecoder, ImageError, ImageFormat, ImageResult};
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

/// A picture whose header has been read.
pub(super) struct Jpeg {
    decoder: JpegDecoder<ZCursor<Vec<u8>>>,
    rows: u32,
    columns: u32,
    colour: ColorType,
}

impl Jpeg {
    /// Reads a header.
    ///
    /// # Errors
    /// If it is broken, or of a kind that is not decoded.
    pub fn new(mut from: impl Read) -> ImageResult<Self> {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes)?;
        if !has_end(&bytes) {
            let what = "it is cut: no end marker stands behind its scan";
            return Err(ImageError::Decoding(DecodingError::new(ImageFormat::Jpeg.into(), what)));
        }
        // Sizes are looked at by who asks.
        let options =
            DecoderOptions::default().set_strict_mode(false).set_max_width(usize::MAX).set_max_height(usize::MAX);
        let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
        decoder.decode_headers().map_err(failure)?;
        let (width, height) = decoder.dimensions().unwrap_or_default();
        let side = |pixels: usize| u32::try_from(pixels).unwrap_or(u32::MAX);
        // What is printed in four colours becomes three.
        let (space, colour) = match decoder.input_colorspace() {
            Some(ColorSpace::Luma) => (ColorSpace::Luma, ColorType::L8),
            _ => (ColorSpace::RGB, ColorType::Rgb8),
        };
        decoder.set_options(options.jpeg_set_out_colorspace(space));
        Ok(Self { decoder, rows: side(height), columns: side(width), colour })
    }
}

impl ImageDecoder for Jpeg {
    fn dimensions(&self) -> (u32, u32) {
        (self.columns, self.rows)
    }

    fn color_type(&self) -> ColorType {
        self.colour
    }

    fn orientation(&mut self) -> ImageResult<Orientation> {
        let found = self.decoder.exif().and_then(|exif| Orientation::from_exif_chunk(exif));
        Ok(found.unwrap_or(Orientation::NoTransforms))
    }

    fn read_image(mut self, pixels: &mut [u8]) -> ImageResult<()> {
        self.decoder.decode_into(pixels).map_err(failure)
    }

    fn read_image_boxed(self: Box<Self>, pixels: &mut [u8]) -> ImageResult<()> {
        (*self).read_image(pixels)
    }
}

/// Whether an end marker stands behind the first scan: what is cut is decoded as far as it goes, the rest grey. In a scan no byte 255 is
/// followed by that of the marker. What does not begin as a picture is left to the decoder.
fn has_end(bytes: &[u8]) -> bool {
    const END: [u8; 2] = [0xff, 0xd9];
    const SCAN: u8 = 0xda;
    let mut at = 2;
    while let Some([0xff, marker, high, low]) = bytes.get(at..).and_then(<[u8]>::first_chunk::<4>) {
        match *marker {
            SCAN => return bytes[at..].windows(2).rev().any(|pair| pair == END),
            // Bytes that fill, and markers without a length.
            0xff => at += 1,
            0x01 | 0xd0..=0xd9 => at += 2,
            _ => at += 2 + usize::from(u16::from_be_bytes([*high, *low])),
        }
    }
    true
}

/// An error in the words of `image`.
fn failure(error: DecodeErrors) -> ImageError {
    let format = || ImageFormat::Jpeg.into();
    match error {
        DecodeErrors::Unsupported(what) => {
            let kind = UnsupportedErrorKind::GenericFeature(format!("{what:?}"));
            ImageError::Unsupported(UnsupportedError::from_format_and_kind(format(), kind))
        }
        DecodeErrors::LargeDimensions(_) => ImageError::Limits(LimitError::from_kind(LimitErrorKind::DimensionError)),
        error => ImageError::Decoding(DecodingError::new(format(), error)),
    }
}
