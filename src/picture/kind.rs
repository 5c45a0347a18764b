//! What a file is by its first bytes, and by its name.

use std::path::Path;

use image::ImageFormat;

/// What a file holds, told by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A picture of a format that is decoded.
    Picture(ImageFormat),
    /// A picture of a format that is not, by its name.
    OtherPicture(&'static str),
    /// Anything else.
    Other,
}

impl Kind {
    /// So many bytes decide.
    pub const START: usize = 32;

    /// What begins with these bytes.
    ///
    /// A BMP and a PNM file begin with two letters only, as a text may; what follows them is looked at too.
    pub fn of(start: &[u8]) -> Self {
        use Kind::{Other, OtherPicture, Picture};
        let size_of_header = start.get(14..18).and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes);
        match start {
            [b'P', b'1'..=b'7', b' ' | b'\t' | b'\r' | b'\n' | b'#', ..] => Picture(ImageFormat::Pnm),
            // The sizes that headers of the format have had.
            [b'B', b'M', ..] if matches!(size_of_header, Some(12 | 16 | 40 | 52 | 56 | 64 | 108 | 124)) => {
                Picture(ImageFormat::Bmp)
            }
            [b'B', b'M', ..] | [b'P', b'1'..=b'7', ..] => Other,
            [0, 0, 0, 0x0c, b'J', b'X', b'L', b' ', ..] | [0xff, 0x0a, ..] => OtherPicture("JPEG XL"),
            [_, _, _, _, b'f', b't', b'y', b'p', b'h' | b'm', b'e' | b'i', ..] => OtherPicture("HEIF"),
            _ => match image::guess_format(start) {
                Ok(format @ (ImageFormat::Png | ImageFormat::Jpeg | ImageFormat::Gif | ImageFormat::WebP)) => {
                    Picture(format)
                }
                Ok(ImageFormat::Tiff) => OtherPicture("TIFF"),
                Ok(ImageFormat::Avif) => OtherPicture("AVIF"),
                _ => Other,
            },
        }
    }

    /// Whether a file of this name is meant to be a picture: by its ending, in letters of either size.
    pub fn is_named(path: &Path) -> bool {
        const ENDINGS: &[&str] = &[
            "png", "jpg", "jpeg", "jpe", "jfif", "bmp", "dib", "pbm", "pgm", "ppm", "pnm", "pam", "gif", "webp", "tif",
            "tiff", "heic", "heif", "avif", "jxl",
        ];
        let ending = path.extension().and_then(|ending| ending.to_str());
        ending.is_some_and(|ending| ENDINGS.iter().any(|one| one.eq_ignore_ascii_case(ending)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_begins_as_a_picture_is_none() {
        let kind = |start: &str| Kind::of(start.as_bytes());
        for text in
            ["", "P", "P5", "P2P networks are", "BMW builds cars and other things with wheels", "BM", "GIF", "\u{feff}"]
        {
            assert_eq!(kind(text), Kind::Other, "{text}");
        }
        assert_eq!(kind("P5 28 28 255\n"), Kind::Picture(ImageFormat::Pnm));
        assert_eq!(kind("GIF89a"), Kind::Picture(ImageFormat::Gif));
        assert_eq!(
            Kind::of(&[0, 0, 0, 0x1c, b'f', b't', b'y', b'p', b'h', b'e', b'i', b'c']),
            Kind::OtherPicture("HEIF")
        );
        assert!(Kind::is_named(Path::new("a/B.JPeG")) && !Kind::is_named(Path::new(".png")));
        assert!(!Kind::is_named(Path::new("Thumbs.db")) && !Kind::is_named(Path::new("png")));
    }
}
