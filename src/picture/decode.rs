//! From the bytes of a picture file to its pixels.

use std::io::{BufRead, BufReader, Cursor, Seek};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use image::metadata::Orientation;
use image::{ColorType, DynamicImage, ImageDecoder, ImageFormat, ImageReader};

use super::jpeg::Jpeg;
use super::{Kind, Picture, luma};
use crate::error::{Exit, Failure};
use crate::kernel::simd::{Width, vectorised};
use crate::read;

/// How large a picture may be. What is larger is refused by what its header says, before memory is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of a file.
    pub file_bytes: u64,
    /// Most pixels of a picture, rows times columns.
    pub pixels: u64,
}

impl Default for Limits {
    /// 256 MiB, and 2²⁶ pixels: a square of 8192. Such a picture takes up to 1 GiB while it is decoded, one of 2²⁴ pixels a quarter of that.
    fn default() -> Self {
        Self { file_bytes: 1 << 28, pixels: 1 << 26 }
    }
}

/// Most bytes that a decoded pixel takes: four channels of 16 bits.
const MOST_PIXEL_BYTES: u64 = 8;

/// Pictures of more pixels are decoded one at a time, so that memory does not grow with the number of threads.
const LARGE: u64 = 1 << 24;

static LARGE_IS_DECODED: Mutex<()> = Mutex::new(());

/// Reads and decodes a picture file.
///
/// # Errors
/// If it is no regular file, cannot be read, or as [`decode`] has them ([`Exit::Data`]).
pub fn read(path: &Path, limits: &Limits) -> Result<Picture, Failure> {
    let bytes = read::bytes(path, limits.file_bytes).map_err(|error| format!("cannot be read: {error}"));
    let picture = bytes.and_then(|bytes| decode(&bytes, limits));
    picture.map_err(|why| Failure::new(Exit::Data, format!("{}: {why}", path.display())))
}

/// Channels, rows and columns of a picture file, by its header alone.
///
/// # Errors
/// As [`read()`].
pub fn glance(path: &Path, limits: &Limits) -> Result<[usize; 3], Failure> {
    let refused = |why: String| Failure::new(Exit::Data, format!("{}: {why}", path.display()));
    let unreadable = |error: std::io::Error| refused(format!("cannot be read: {error}"));
    let mut reader = BufReader::new(read::Steady(read::open(path).map_err(unreadable)?));
    let format = format_of(reader.fill_buf().map_err(unreadable)?).map_err(refused)?;
    shape(reader, format, limits).map_err(refused)
}

/// Channels, rows and columns of a picture by the header of its bytes alone.
///
/// # Errors
/// As [`decode`].
pub fn shape_of(bytes: &[u8], limits: &Limits) -> Result<[usize; 3], String> {
    shape(Cursor::new(bytes), format_of(bytes)?, limits)
}

fn shape(from: impl BufRead + Seek, format: ImageFormat, limits: &Limits) -> Result<[usize; 3], String> {
    guarded(|| {
        let mut decoder = opened(from, format, limits)?;
        let (width, height) = decoder.dimensions();
        let channels = if decoder.color_type().has_color() { 3 } else { 1 };
        let is_turned = matches!(
            orientation(&mut decoder),
            Orientation::Rotate90 | Orientation::Rotate270 | Orientation::Rotate90FlipH | Orientation::Rotate270FlipH
        );
        let [rows, columns] = if is_turned { [width, height] } else { [height, width] };
        Ok([channels, rows as usize, columns as usize])
    })
}

/// The picture that a file holds, by its first bytes and not by its name: grey where the file has grey, else colour.
///
/// 16 bits become 8 by rounding. Of an animation this is the first frame. A photo is turned as its EXIF orientation says. Where a picture is
/// transparent, its ground shows: black below what is bright on the whole and white below what is dark, so that it can be seen. A colour
/// profile does nothing.
///
/// # Errors
/// If it is no picture, of another format, broken, or larger than `limits`: what is wrong, in words to stand behind its name.
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Picture, String> {
    let format = format_of(bytes)?;
    guarded(|| whole(opened(Cursor::new(bytes), format, limits)?))
}

/// [`decode`] and [`Picture::to`] into planes of a shape, and the shape that the picture had. Where it is that one, of 8 bits a channel and
/// not transparent, no other picture is made in between.
///
/// # Errors
/// As [`decode`]; the planes then hold anything.
///
/// # Panics
/// If the planes have not as many bytes as the shape, or as [`Picture::to`].
pub fn decode_into(bytes: &[u8], limits: &Limits, shape: [usize; 3], planes: &mut [u8]) -> Result<[usize; 3], String> {
    assert_eq!(planes.len(), shape.iter().product::<usize>(), "planes of {shape:?}");
    let format = format_of(bytes)?;
    guarded(|| {
        let mut decoder = opened(Cursor::new(bytes), format, limits)?;
        let (width, height) = decoder.dimensions();
        let found = [usize::from(decoder.color_type().channel_count()), height as usize, width as usize];
        if found != shape
            || !matches!(decoder.color_type(), ColorType::L8 | ColorType::Rgb8)
            || orientation(&mut decoder) != Orientation::NoTransforms
        {
            let picture = whole(decoder)?;
            let found = picture.shape();
            let [channels, rows, columns] = shape;
            planes.copy_from_slice(&picture.to(channels, rows, columns).pixels);
            return Ok(found);
        }
        let _turn = turn(&decoder);
        let read = |pixels: &mut [u8]| decoder.read_image(pixels).map_err(|error| error.to_string());
        if shape[0] == 1 {
            read(planes)?;
            return Ok(found);
        }
        let mut pixels = vec![0; planes.len()];
        read(&mut pixels)?;
        part(Width::detect(), &pixels, planes);
        Ok(found)
    })
}

vectorised! {
    /// Puts pixels of three bytes `[N][3]` into planes `[3][N]`.
    fn part [] [] (pixels: &[u8], planes: &mut [u8]) {
        let (pixels, _) = pixels.as_chunks::<3>();
        for (channel, plane) in planes.chunks_exact_mut(pixels.len()).enumerate() {
            for (byte, pixel) in plane.iter_mut().zip(pixels) {
                *byte = pixel[channel];
            }
        }
    }
}

/// The picture of a decoder, as [`decode`] has it.
fn whole(mut decoder: Box<dyn ImageDecoder + '_>) -> Result<Picture, String> {
    let _turn = turn(&decoder);
    let orientation = orientation(&mut decoder);
    let mut decoded = DynamicImage::from_decoder(decoder).map_err(|error| error.to_string())?;
    decoded.apply_orientation(orientation);
    Ok(planes(decoded))
}

/// Waits until no other large picture is decoded, where this one is large.
fn turn(decoder: &impl ImageDecoder) -> Option<MutexGuard<'static, ()>> {
    (pixels_of(decoder) > LARGE).then(|| LARGE_IS_DECODED.lock().unwrap_or_else(PoisonError::into_inner))
}

/// How a picture is turned. One whose EXIF part is broken is still a picture.
fn orientation(decoder: &mut impl ImageDecoder) -> Orientation {
    decoder.orientation().unwrap_or(Orientation::NoTransforms)
}

/// What `work` with a decoder gives. The decoders are not ours to trust: what makes one panic is broken.
fn guarded<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    let outcome = catch_unwind(AssertUnwindSafe(work));
    outcome.unwrap_or_else(|_| Err(PANICKED.to_owned())).map_err(|why| format!("is broken: {why}"))
}

const PANICKED: &str = "its decoder panicked";

/// The format of a file that begins so.
fn format_of(bytes: &[u8]) -> Result<ImageFormat, String> {
    match Kind::of(&bytes[..bytes.len().min(Kind::START)]) {
        Kind::Picture(format) => Ok(format),
        Kind::OtherPicture(name) => Err(format!("is a picture of the format {name}, expected {FORMATS}")),
        Kind::Other if bytes.is_empty() => Err("is empty, expected a picture".to_owned()),
        Kind::Other => Err(format!("is no picture: expected {FORMATS}")),
    }
}

/// A decoder whose header has been read and found within the limits.
fn opened<'a>(
    from: impl BufRead + Seek + 'a,
    format: ImageFormat,
    limits: &Limits,
) -> Result<Box<dyn ImageDecoder + 'a>, String> {
    let decoder = if format == ImageFormat::Jpeg {
        Jpeg::new(from).map(|jpeg| Box::new(jpeg) as Box<dyn ImageDecoder>)
    } else {
        let mut reader = ImageReader::with_format(from, format);
        let mut allowed = image::Limits::default();
        allowed.max_alloc = Some(MOST_PIXEL_BYTES * limits.pixels);
        reader.limits(allowed);
        reader.into_decoder().map(|decoder| Box::new(decoder) as Box<dyn ImageDecoder>)
    };
    let decoder = decoder.map_err(|error| error.to_string())?;
    let (width, height) = decoder.dimensions();
    if !(1..=limits.pixels).contains(&pixels_of(&decoder)) {
        return Err(format!("has {height}x{width} pixels, expected 1 to {} in all", limits.pixels));
    }
    Ok(decoder)
}

fn pixels_of(decoder: &impl ImageDecoder) -> u64 {
    let (width, height) = decoder.dimensions();
    u64::from(width) * u64::from(height)
}

/// What [`decode`] takes.
pub const FORMATS: &str = "PNG, JPEG, BMP, PNM, GIF or WebP";

/// Pixels side by side as planes.
fn planes(decoded: DynamicImage) -> Picture {
    let (rows, columns) = (decoded.height() as usize, decoded.width() as usize);
    let has_colour = decoded.color().has_color();
    let pixels = match (has_colour, decoded.color().has_alpha()) {
        (false, false) => decoded.into_luma8().into_raw(),
        (false, true) => opaque::<2, 1>(decoded.into_luma_alpha8().as_raw()),
        (true, false) => opaque::<3, 3>(decoded.into_rgb8().as_raw()),
        (true, true) => opaque::<4, 3>(decoded.into_rgba8().as_raw()),
    };
    Picture { channels: if has_colour { 3 } else { 1 }, rows, columns, pixels }
}

/// The planes of `C` channels, of pixels that have `P` bytes: with one more, that is how opaque they are.
fn opaque<const P: usize, const C: usize>(pixels: &[u8]) -> Vec<u8> {
    let (pixels, _) = pixels.as_chunks::<P>();
    let alpha = |pixel: &[u8; P]| if P > C { u64::from(pixel[C]) } else { 255 };
    let mut ground = 0;
    if P > C {
        let brightness =
            |pixel: &[u8; P]| u64::from(if C == 1 { pixel[0] } else { luma([pixel[0], pixel[1], pixel[2]]) });
        let (sum, seen) = pixels
            .iter()
            .fold((0, 0), |(sum, seen), pixel| (sum + alpha(pixel) * brightness(pixel), seen + alpha(pixel)));
        ground = if 2 * sum >= 255 * seen { 0 } else { 255 };
    }
    let over_ground = |pixel: &[u8; P], channel: usize| {
        let (alpha, own) = (alpha(pixel), u64::from(pixel[channel]));
        ((alpha * own + (255 - alpha) * ground + 127) / 255) as u8
    };
    let mut planes = Vec::with_capacity(C * pixels.len());
    for channel in 0..C {
        if P > C {
            planes.extend(pixels.iter().map(|pixel| over_ground(pixel, channel)));
        } else {
            planes.extend(pixels.iter().map(|pixel| pixel[channel]));
        }
    }
    planes
}

#[cfg(test)]
mod tests {
    use image::{GrayAlphaImage, GrayImage, ImageBuffer, ImageFormat, LumaA, Rgb, RgbImage, RgbaImage};

    use super::*;
    use crate::fuzz;

    fn file(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        picture.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    fn decoded(picture: impl Into<DynamicImage>) -> Picture {
        decode(&file(&picture.into(), ImageFormat::Png), &Limits::default()).unwrap()
    }

    /// 2 rows of 3 columns.
    fn colour() -> RgbImage {
        RgbImage::from_fn(3, 2, |x, y| Rgb([(10 * x) as u8, 100 + y as u8, 200]))
    }

    #[test]
    fn channels_become_planes() {
        let grey = GrayImage::from_raw(3, 2, vec![1, 2, 3, 4, 5, 6]).unwrap();
        let picture = decoded(grey);
        assert_eq!((picture.shape(), &picture.pixels[..]), ([1, 2, 3], &[1, 2, 3, 4, 5, 6][..]));
        let planes = [0, 10, 20, 0, 10, 20, 100, 100, 100, 101, 101, 101, 200, 200, 200, 200, 200, 200];
        for format in [ImageFormat::Png, ImageFormat::Bmp, ImageFormat::Pnm, ImageFormat::WebP] {
            let picture = decode(&file(&colour().into(), format), &Limits::default()).unwrap();
            assert_eq!((picture.shape(), &picture.pixels[..]), ([3, 2, 3], &planes[..]), "{format:?}");
        }
        let wide = ImageBuffer::<image::Luma<u16>, _>::from_raw(2, 1, vec![257 * 7, 65535]).unwrap();
        assert_eq!(decoded(wide).pixels, [7, 255]);
        let lossy =
            decode(&file(&RgbImage::from_pixel(9, 8, Rgb([60, 60, 60])).into(), ImageFormat::Jpeg), &Limits::default());
        assert!(lossy.unwrap().pixels.iter().all(|pixel| pixel.abs_diff(60) < 3));
    }

    #[test]
    fn the_first_frame_of_an_animation_counts() {
        let frame = |level| image::Frame::new(RgbaImage::from_pixel(4, 4, image::Rgba([level, level, level, 255])));
        let mut bytes = Vec::new();
        image::codecs::gif::GifEncoder::new(&mut bytes).encode_frames([frame(0), frame(255)]).unwrap();
        assert_eq!(decode(&bytes, &Limits::default()).unwrap().to(1, 4, 4).pixels, [0; 16]);
    }

    #[test]
    fn what_is_transparent_shows_a_ground_on_which_the_rest_is_seen() {
        let ink = |level: u8| {
            GrayAlphaImage::from_fn(3, 1, |x, _| LumaA([if x == 1 { level } else { 0 }, [0, 255, 0][x as usize]]))
        };
        assert_eq!(decoded(ink(250)).pixels, [0, 250, 0]);
        assert_eq!(decoded(ink(5)).pixels, [255, 5, 255]);
        let half = RgbaImage::from_pixel(1, 1, image::Rgba([255, 0, 0, 128]));
        assert_eq!(decoded(half).pixels, [255, 127, 127]);
        // Nothing to be seen at all.
        assert_eq!(decoded(GrayAlphaImage::new(2, 1)).pixels, [0, 0]);
    }

    #[test]
    fn a_photo_is_turned_as_its_exif_part_says() {
        let plain =
            file(&RgbImage::from_fn(16, 8, |x, _| Rgb([if x < 8 { 0 } else { 255 }; 3])).into(), ImageFormat::Jpeg);
        // Orientation 6: the top is at the right, so it is turned clockwise.
        let exif = b"\xff\xe1\x00\x22Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
        let turned = [&plain[..2], exif, &plain[2..]].concat();
        let picture = decode(&turned, &Limits::default()).unwrap();
        assert_eq!(picture.shape(), [3, 16, 8]);
        assert!(picture.pixels[0] < 9 && picture.pixels[127] > 246, "{picture:?}");
    }

    #[test]
    fn pictures_are_decoded_into_planes_as_they_are_decoded() {
        let formats = [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Bmp, ImageFormat::Pnm, ImageFormat::WebP];
        let large = RgbImage::from_fn(20, 17, |x, y| Rgb([(x * y) as u8, (9 * x) as u8, (11 * y) as u8]));
        let plain = file(&large.clone().into(), ImageFormat::Jpeg);
        let exif = b"\xff\xe1\x00\x22Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
        let mut files = vec![[&plain[..2], exif, &plain[2..]].concat()];
        files.extend(formats.map(|format| file(&large.clone().into(), format)));
        let large = DynamicImage::from(large);
        files.extend(
            [large.to_luma8().into(), large.to_rgba8().into(), large.to_rgb16().into()]
                .map(|picture: DynamicImage| file(&picture, ImageFormat::Png)),
        );
        for (number, bytes) in files.iter().enumerate() {
            let whole = decode(bytes, &Limits::default()).unwrap();
            for [channels, rows, columns] in [[3, 17, 20], [1, 17, 20], [3, 20, 17], [1, 5, 7]] {
                let mut planes = vec![1; channels * rows * columns];
                let found = decode_into(bytes, &Limits::default(), [channels, rows, columns], &mut planes);
                assert_eq!(found.unwrap(), whole.shape(), "{number}");
                assert_eq!(planes, whole.clone().to(channels, rows, columns).pixels, "{number}");
            }
            let cut = &bytes[..bytes.len() / 2];
            let into = decode_into(cut, &Limits::default(), [3, 17, 20], &mut [0; 1020]);
            assert_eq!(into.err(), decode(cut, &Limits::default()).err(), "{number}");
        }
    }

    #[test]
    fn a_jpeg_has_the_pixels_and_the_errors_that_image_gives_it_and_none_that_is_cut_is_taken() {
        let large = DynamicImage::from(RgbImage::from_fn(20, 17, |x, y| Rgb([(x * y) as u8, (9 * x) as u8, 11])));
        for picture in [large.to_rgb8().into(), large.to_luma8().into()] {
            let whole = file(&picture, ImageFormat::Jpeg);
            for end in 2..=whole.len() {
                let other = image::load_from_memory_with_format(&whole[..end], ImageFormat::Jpeg);
                match (decode(&whole[..end], &Limits::default()), other) {
                    (Ok(picture), Ok(other)) => assert_eq!((picture, end), (planes(other), whole.len())),
                    // As far as it goes, the rest grey.
                    (Err(why), _) if why.contains("it is cut") => assert!(end < whole.len(), "{end}"),
                    (ours, other) => {
                        let other = other.map(planes).map_err(|error| format!("is broken: {error}"));
                        assert!(ours == other || end < Kind::START, "{end}: {ours:?}, {other:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_no_picture_or_too_large_is_refused() {
        let limits = Limits { pixels: 5, ..Limits::default() };
        for format in [ImageFormat::Png, ImageFormat::Bmp, ImageFormat::Pnm, ImageFormat::WebP, ImageFormat::Jpeg] {
            let why = decode(&file(&colour().into(), format), &limits).unwrap_err();
            assert!(why.contains("2x3 pixels, expected 1 to 5") || why.contains("limit"), "{format:?}: {why}");
        }
        let why = |bytes: &[u8]| decode(bytes, &Limits::default()).unwrap_err();
        assert_eq!(why(b""), "is empty, expected a picture");
        assert!(why(b"a text").contains("expected PNG"));
        assert!(why(b"II*\0 and more").contains("format TIFF"));
        // What its header promises is refused before memory is taken.
        assert!(why(b"P5 1000000 1000000 255\n").contains("1000000x1000000 pixels"));
        let whole = file(&colour().into(), ImageFormat::Png);
        for end in 1..whole.len() - 12 {
            assert!(decode(&whole[..end], &Limits::default()).is_err(), "{end}");
        }
    }

    #[test]
    fn mutated_pictures_are_refused_or_read() {
        let formats = [
            ImageFormat::Png,
            ImageFormat::Bmp,
            ImageFormat::Pnm,
            ImageFormat::WebP,
            ImageFormat::Jpeg,
            ImageFormat::Gif,
        ];
        let large = RgbImage::from_fn(20, 17, |x, y| Rgb([(x * y) as u8, x as u8, y as u8]));
        let seeds: Vec<Vec<u8>> = formats.iter().map(|format| file(&large.clone().into(), *format)).collect();
        let limits = Limits { pixels: 1 << 16, ..Limits::default() };
        fuzz::run("pictures", &seeds, |bytes| match decode(bytes, &limits) {
            Ok(picture) => {
                assert_eq!(picture.pixels.len(), picture.shape().iter().product::<usize>());
                assert_eq!(picture.to(1, 5, 5).pixels.len(), 25);
                true
            }
            Err(_) => false,
        });
    }
}
