//! NPZ: a zip archive of arrays, stored as they are, that `numpy.load` opens.
//!
//! An array is a magic number, the length of a header, the header (a Python literal with type and shape, so long that the data begin at a
//! multiple of 64) and the data: numpy's NEP 1. The archive has for each entry a local header before its data and a central one at the end:
//! PKWARE's APPNOTE 6.3, sections 4.3.7 to 4.3.16, sizes of 32 bits.

use anyhow::{Context as _, Result};
use flate2::Crc;

use super::Net;

/// The file: `layers`, `image`, `classes`, `dataset`, `scale` and `shift` of each channel `[C, 1, 1]`, and the parameters.
pub fn bytes(net: &Net) -> Result<Vec<u8>> {
    let channels = net.channels.len();
    let description = net.description();
    let mut archive = Archive::default();
    let sides = description.image.map(|side| side as i64);
    archive.add("layers", &integers(&[net.layers.len() as i64], &[]))?;
    archive.add("image", &integers(&sides, &[3]))?;
    archive.add("classes", &words(&description.classes, &[description.classes.len()]))?;
    archive.add("inputs", &words(&[description.inputs.name().to_owned()], &[]))?;
    archive.add("features", &words(&description.features, &[description.features.len()]))?;
    archive.add("dataset", &words(&[description.dataset], &[]))?;
    archive.add("scale", &floats(&description.scale, &[channels, 1, 1]))?;
    archive.add("shift", &floats(&description.shift, &[channels, 1, 1]))?;
    for (index, layer) in net.layers.iter().enumerate() {
        archive.add(&format!("layers.{index}.weight"), &floats(&layer.weights, &[layer.outputs, layer.inputs]))?;
        archive.add(&format!("layers.{index}.bias"), &floats(&layer.biases, &[layer.outputs]))?;
    }
    archive.finish()
}

fn floats(numbers: &[f32], shape: &[usize]) -> Vec<u8> {
    array("<f4", shape, numbers.iter().flat_map(|number| number.to_le_bytes()))
}

fn integers(numbers: &[i64], shape: &[usize]) -> Vec<u8> {
    array("<i8", shape, numbers.iter().flat_map(|number| number.to_le_bytes()))
}

/// Texts of one length in UTF-32, filled up with 0.
fn words(words: &[String], shape: &[usize]) -> Vec<u8> {
    let longest = words.iter().map(|word| word.chars().count()).max().unwrap_or(0).max(1);
    let letters = words.iter().flat_map(|word| word.chars().map(u32::from).chain(std::iter::repeat(0)).take(longest));
    array(&format!("<U{longest}"), shape, letters.flat_map(u32::to_le_bytes))
}

fn array(dtype: &str, shape: &[usize], data: impl Iterator<Item = u8>) -> Vec<u8> {
    let sides = shape.iter().fold(String::new(), |sides, side| sides + &side.to_string() + ", ");
    let mut header = format!("{{'descr': '{dtype}', 'fortran_order': False, 'shape': ({}), }}", sides.trim_end());
    let before = b"\x93NUMPY\x01\x00".len() + 2;
    let end = (before + header.len() + 1).next_multiple_of(64);
    header.push_str(&" ".repeat(end - before - header.len() - 1));
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.into_bytes());
    bytes.extend(data);
    bytes
}

/// A zip archive in the making.
#[derive(Default)]
struct Archive {
    bytes: Vec<u8>,
    /// The central headers.
    index: Vec<u8>,
    entries: u16,
}

impl Archive {
    fn add(&mut self, name: &str, data: &[u8]) -> Result<()> {
        let name = format!("{name}.npy");
        let mut crc = Crc::new();
        crc.update(data);
        let size = u32::try_from(data.len()).context("an array of more than 4 GB")?;
        let place = u32::try_from(self.bytes.len()).context("an archive of more than 4 GB")?;
        // Version 2.0, no flags, stored, midnight of the first day of 1980, which is the earliest.
        let mut shared = [20_u16, 0, 0, 0, 0x21].map(u16::to_le_bytes).concat();
        shared.extend([crc.sum(), size, size].map(u32::to_le_bytes).as_flattened());
        shared.extend([name.len() as u16, 0].map(u16::to_le_bytes).as_flattened());

        self.bytes.extend(b"PK\x03\x04");
        self.bytes.extend(&shared);
        self.bytes.extend(name.as_bytes());
        self.bytes.extend(data);

        self.index.extend(b"PK\x01\x02");
        self.index.extend(20_u16.to_le_bytes());
        self.index.extend(&shared);
        // No comment, on the first disk, and no attributes.
        self.index.extend([0; 10]);
        self.index.extend(place.to_le_bytes());
        self.index.extend(name.as_bytes());
        self.entries = self.entries.checked_add(1).context("more than 65535 arrays")?;
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<u8>> {
        let place = u32::try_from(self.bytes.len()).context("an archive of more than 4 GB")?;
        let size = self.index.len() as u32;
        self.bytes.append(&mut self.index);
        self.bytes.extend(b"PK\x05\x06");
        self.bytes.extend([0, 0, self.entries, self.entries].map(u16::to_le_bytes).as_flattened());
        self.bytes.extend([size, place].map(u32::to_le_bytes).as_flattened());
        self.bytes.extend([0, 0]);
        Ok(self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_is_what_numpy_writes() {
        // import io, numpy; f = io.BytesIO(); numpy.save(f, numpy.array(["ab", "c"])); f.getvalue()
        let bytes = words(&["ab".into(), "c".into()], &[2]);
        let header = b"\x93NUMPY\x01\x00v\x00{'descr': '<U2', 'fortran_order': False, 'shape': (2,), }";
        assert_eq!(&bytes[..header.len()], header);
        assert_eq!((bytes[127], bytes.len()), (b'\n', 128 + 16));
        assert_eq!(&bytes[128..], b"a\0\0\0b\0\0\0c\0\0\0\0\0\0\0");
        assert!(String::from_utf8_lossy(&integers(&[7], &[])).contains("'shape': (), }"));
        assert!(String::from_utf8_lossy(&floats(&[1.0; 6], &[2, 3])).contains("'shape': (2, 3,), }"));
    }
}
