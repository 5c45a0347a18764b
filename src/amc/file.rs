//! The bytes of a file: a start, everything through the range coder, a check sum.

use super::contexts::{self, Grid, WeightBits};
use super::range::{Coder, Cost, Decoder, Encoder, gamma, plain};
use super::{Image, Layer, MOST_HIDDEN, MOST_WEIGHTS, Net};
use crate::error::{Exit, Failure};

/// The first bytes of a file: two letters and the version.
pub const MAGIC: [u8; 3] = [b'A', b'M', 1];

/// Bytes of the check sum at the end.
const CHECK: usize = 4;

/// Weights that a file may hold however short it is, and more for each of its bytes: time and memory of reading stay in proportion.
const FREE_WEIGHTS: usize = 1 << 20;
const WEIGHTS_PER_BYTE: usize = 128;

/// Data sets whose images and classes need no description: name, channels, height, width, classes.
const KNOWN: [(&str, [usize; 3], &str); 4] = [
    ("mnist", [1, 28, 28], DIGITS),
    ("cifar10", [3, 32, 32], "airplane automobile bird cat deer dog frog horse ship truck"),
    ("fashion-mnist", [1, 28, 28], "t-shirt trouser pullover dress coat sandal shirt sneaker bag ankle-boot"),
    ("digits", [1, 28, 28], DIGITS),
];
const DIGITS: &str = "0 1 2 3 4 5 6 7 8 9";

/// What the parts of a layer take, in bits.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LayerBits {
    /// Which weights are 0.
    pub mask: f64,
    /// Signs of the others.
    pub signs: f64,
    /// Their sizes.
    pub sizes: f64,
    /// The biases.
    pub biases: f64,
}

/// What the parts of a file take, in bits.
#[derive(Clone, Debug, PartialEq)]
pub struct Parts {
    /// All that is no weight or bias: start, image, classes, widths, steps, check sum.
    pub header: f64,
    /// The layers.
    pub layers: Vec<LayerBits>,
}

impl Parts {
    /// All of it, in whole bytes: within one or two of the file's size.
    pub fn bytes(&self) -> usize {
        let of_layer = |layer: &LayerBits| layer.mask + layer.signs + layer.sizes + layer.biases;
        ((self.header + self.layers.iter().map(of_layer).sum::<f64>()) / 8.0).ceil() as usize
    }
}

/// The bytes of a net. Its hidden units come in the order of [`Net::arranged`].
///
/// # Errors
/// If the net is not sound, or has far more weights than its bytes can answer for ([`Exit::Run`]).
pub fn encode(net: &Net) -> Result<Vec<u8>, Failure> {
    net.expect_sound()?;
    let mut encoder = Encoder::new();
    code(&mut encoder, &net.arranged(), usize::MAX)?;
    let mut bytes = MAGIC.to_vec();
    bytes.extend(encoder.finish());
    bytes.extend(crc32(&bytes).to_le_bytes());
    let weights: usize = net.layers.iter().map(|layer| layer.levels.len()).sum();
    if weights > most_weights(bytes.len()) {
        let what = format!("{weights} weights in {} bytes: almost all are 0", bytes.len());
        return Err(Failure::new(Exit::Run, what).hint("simplify the net first"));
    }
    Ok(bytes)
}

/// The net that a file holds.
///
/// # Errors
/// If the bytes are not what [`encode`] writes: another start, version, check sum, or numbers out of range ([`Exit::Run`]).
pub fn decode(bytes: &[u8]) -> Result<Net, Failure> {
    let broken = |what: String| Failure::new(Exit::Run, what);
    let start = bytes.get(..MAGIC.len()).unwrap_or(bytes);
    if !start.starts_with(&MAGIC[..2]) {
        return Err(broken(format!("begins with {start:02x?}, expected {:02x?} of a compressed net", &MAGIC)));
    }
    if start != MAGIC {
        let version = start.get(2).map_or("none".into(), u8::to_string);
        return Err(broken(format!("is of format version {version}, expected {}", MAGIC[2])));
    }
    let Some((content, check)) = bytes.split_last_chunk::<CHECK>().filter(|(content, _)| content.len() >= MAGIC.len())
    else {
        return Err(broken(format!("is {} bytes long, expected at least {}", bytes.len(), MAGIC.len() + CHECK)));
    };
    let (found, expected) = (crc32(content), u32::from_le_bytes(*check));
    if found != expected {
        return Err(broken(format!("its check sum is {found:08x}, expected {expected:08x}: it is cut or damaged")));
    }
    let mut decoder = Decoder::new(&content[MAGIC.len()..]);
    let empty = Net {
        dataset: String::new(),
        image: Image { channels: 1, height: 1, width: 1 },
        classes: Vec::new(),
        scale: Vec::new(),
        layers: Vec::new(),
    };
    let (net, _) = code(&mut decoder, &empty, most_weights(bytes.len()))?;
    net.expect_sound()?;
    if !decoder.is_at_end() {
        return Err(broken("does not end where its last number does".into()));
    }
    Ok(net)
}

/// What the parts of a net's file take, of a net that is sound.
///
/// # Errors
/// If it is not ([`Exit::Run`]).
pub fn parts(net: &Net) -> Result<Parts, Failure> {
    net.expect_sound()?;
    let mut cost = Cost::default();
    let (_, layers) = code(&mut cost, &net.arranged(), usize::MAX)?;
    let all = cost.bits() + 8.0 * (MAGIC.len() + CHECK) as f64;
    let of_layers: f64 = layers.iter().map(|layer| layer.mask + layer.signs + layer.sizes + layer.biases).sum();
    Ok(Parts { header: all - of_layers, layers })
}

fn most_weights(bytes: usize) -> usize {
    (FREE_WEIGHTS + WEIGHTS_PER_BYTE * bytes).min(MOST_WEIGHTS)
}

/// CRC-32 as gzip and PNG have it (polynomial 0xedb88320, reflected, complemented).
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0_u32, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

/// Codes a whole net, and gives what was coded and what its layers take.
fn code(coder: &mut impl Coder, net: &Net, most: usize) -> Result<(Net, Vec<LayerBits>), Failure> {
    let broken = |what: &str| Failure::new(Exit::Run, format!("its header holds {what}"));
    let number = |coder: &mut _, number: usize| {
        let found = gamma(coder, number as u32).ok_or_else(|| broken("a number of more than 31 bits"))?;
        Ok::<_, Failure>(found as usize)
    };
    let mut coded = data_set(coder, net)?;
    let hidden = number(coder, net.layers.len().max(1))? - 1;
    if hidden > MOST_HIDDEN {
        return Err(broken(&format!("{hidden} hidden layers, expected at most {MOST_HIDDEN}")));
    }
    let mut widths = vec![coded.image.pixels()];
    for index in 0..hidden {
        widths.push(number(coder, net.layers.get(index).map_or(1, |layer| layer.outputs))?);
    }
    widths.push(coded.classes.len());
    let weights = widths.windows(2).map(|pair| pair[0].saturating_mul(pair[1])).fold(0, usize::saturating_add);
    if weights > most {
        return Err(broken(&format!("{weights} weights, expected at most {most} in a file of its length")));
    }
    if coded.image.channels > 1 {
        let are_one = coder.code(net.scale.iter().all(|scale| *scale == 1.0), 1 << 15);
        if !are_one {
            let scale = |channel: usize| net.scale.get(channel).copied().unwrap_or_default().to_bits();
            let channels = 0..coded.image.channels;
            coded.scale = channels.map(|channel| f32::from_bits(plain(coder, scale(channel), 32))).collect();
        }
    }
    let (mut bits, mut degrees) = (Vec::new(), None);
    for (index, pair) in widths.windows(2).enumerate() {
        let known = net.layers.get(index);
        let mut layer = known.cloned().unwrap_or_else(|| Layer {
            inputs: pair[0],
            outputs: pair[1],
            step: 1.0,
            levels: vec![0; pair[0] * pair[1]],
            bias_step: 1.0,
            biases: vec![0; pair[1]],
            shift: 0,
        });
        layer.step = step(coder, layer.step, USUAL[usize::from(index > 0)])?;
        layer.bias_step = step(coder, layer.bias_step, USUAL[2])?;
        if index < hidden {
            layer.shift = plain(coder, (layer.shift + 64) as u32, 7) as i32 - 64;
        }
        let grid = if index == 0 {
            let Image { channels, height, width } = coded.image;
            Grid { channels, height, width }
        } else {
            Grid { channels: 1, height: 1, width: layer.inputs }
        };
        let mark = coder.bits();
        contexts::biases(coder, &mut layer.biases, index < hidden);
        let biases = coder.bits() - mark;
        let WeightBits { mask, signs, sizes } =
            contexts::weights(coder, grid, &mut layer.levels, &layer.biases, degrees.as_deref(), index < hidden);
        bits.push(LayerBits { mask, signs, sizes, biases });
        let degree = |row: &[i32]| row.iter().filter(|level| **level != 0).count();
        degrees = Some(layer.levels.chunks_exact(layer.inputs).map(degree).collect::<Vec<usize>>());
        coded.layers.push(layer);
    }
    Ok((coded, bits))
}

/// Codes what the net looks at and tells apart; the layers are to come.
fn data_set(coder: &mut impl Coder, net: &Net) -> Result<Net, Failure> {
    let broken = |what: &str| Failure::new(Exit::Run, format!("its header holds {what}"));
    let names = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let is_known = |(name, sides, classes): &(&str, [usize; 3], &str)| {
        net.dataset == *name
            && [net.image.channels, net.image.height, net.image.width] == *sides
            && net.classes == names(classes)
    };
    let place = KNOWN.iter().position(is_known).unwrap_or(KNOWN.len());
    let place = plain(coder, place as u32, 3) as usize;
    let (dataset, sides, classes) = match KNOWN.get(place) {
        Some((name, sides, classes)) => ((*name).to_owned(), *sides, names(classes)),
        None if place == KNOWN.len() => {
            let dataset = text(coder, &net.dataset)?;
            let mut sides = [net.image.channels, net.image.height, net.image.width];
            for side in &mut sides {
                *side = gamma(coder, *side as u32).ok_or_else(|| broken("a side of more than 31 bits"))? as usize;
                if *side > super::MOST_WIDTH {
                    return Err(broken(&format!("an image's side of {side}, expected at most {}", super::MOST_WIDTH)));
                }
            }
            let count = gamma(coder, net.classes.len() as u32).ok_or_else(|| broken("too many classes"))? as usize;
            // A name takes a bit at least: a stream of zeros beyond its end would go on for long.
            if count > 1 << 16 {
                return Err(broken(&format!("{count} classes, expected at most 65536")));
            }
            let numbers: Vec<String> = (0..count).map(|class| class.to_string()).collect();
            let are_numbers = coder.code(net.classes == numbers, 1 << 15);
            let name = |class: usize| net.classes.get(class).map_or("", String::as_str);
            let classes = if are_numbers {
                numbers
            } else {
                (0..count).map(|class| text(coder, name(class))).collect::<Result<_, _>>()?
            };
            (dataset, sides, classes)
        }
        None => return Err(broken(&format!("the data set {place}, expected at most {}", KNOWN.len()))),
    };
    let image = Image { channels: sides[0], height: sides[1], width: sides[2] };
    if image.pixels() > super::MOST_WIDTH {
        return Err(broken(&format!("an image of {} pixels, expected at most {}", image.pixels(), super::MOST_WIDTH)));
    }
    Ok(Net { dataset, image, classes, scale: vec![1.0; image.channels], layers: Vec::new() })
}

/// Codes text of up to 255 bytes.
fn text(coder: &mut impl Coder, text: &str) -> Result<String, Failure> {
    let bytes = &text.as_bytes()[..text.len().min(255)];
    let length = gamma(coder, bytes.len() as u32 + 1).filter(|length| *length <= 256);
    let length = length.ok_or_else(|| Failure::new(Exit::Run, "its header holds a name of more than 255 bytes"))? - 1;
    let byte = |place: usize| bytes.get(place).copied().unwrap_or(0);
    let coded = (0..length as usize).map(|place| plain(coder, u32::from(byte(place)), 8) as u8).collect();
    String::from_utf8(coded).map_err(|_| Failure::new(Exit::Run, "its header holds a name that is no UTF-8 text"))
}

/// Exponents that steps of the first layer, of the others and of biases often have; a file holds the difference.
const USUAL: [i32; 3] = [-11, -3, -6];

/// Bits of a short mantissa, that of [`round_step`](super::round_step).
const SHORT: u32 = 5;

/// Codes a positive normal number: its exponent as the difference to `usual`, whether its mantissa is short, else how many of its bits are
/// coded, and these.
fn step(coder: &mut impl Coder, step: f32, usual: i32) -> Result<f32, Failure> {
    let bits = step.to_bits();
    let difference = (bits >> 23) as i32 - 127 - usual;
    // 0, 1, −1, 2, −2, … as numbers from 1.
    let told = if difference > 0 { 2 * difference } else { 1 - 2 * difference };
    let told = i64::from(gamma(coder, told as u32).unwrap_or(u32::MAX));
    let difference = if told % 2 == 0 { told / 2 } else { (1 - told) / 2 };
    let exponent = difference + i64::from(usual) + 127;
    if !(1..=254).contains(&exponent) {
        return Err(Failure::new(Exit::Run, format!("its header holds a step of 2^{}", exponent - 127)));
    }
    let mantissa = bits & 0x7f_ffff;
    let needed = 23 - mantissa.trailing_zeros().min(23);
    let count = if coder.code(needed <= SHORT, 1 << 15) { SHORT } else { plain(coder, needed, 5).min(23) };
    let mantissa = plain(coder, mantissa >> (23 - count), count) << (23 - count);
    Ok(f32::from_bits((exponent as u32) << 23 | mantissa))
}

/// The same bytes with the start and the check sum that belong to them, for tests that damage what lies between.
#[cfg(test)]
pub(super) fn with_check_sum(bytes: &[u8]) -> Option<Vec<u8>> {
    let content = bytes.get(MAGIC.len()..bytes.len().checked_sub(CHECK)?)?;
    let mut repaired = [&MAGIC, content].concat();
    repaired.extend(crc32(&repaired).to_le_bytes());
    Some(repaired)
}
