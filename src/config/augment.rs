//! What is done to the images of training batches.

use std::fmt;

use super::Config;
use super::field::{Field, OfKind};
use super::value::{Kind, Value, plain};
use crate::kernel::{Augmentation, ImageSize, Mixup, Ranges};

/// What an augmentation may consist of, in the order in which its name has them.
pub const PARTS: [&str; 6] = ["affine", "elastic", "flip", "shift", "cutout", "mixup"];

/// No augmentation.
const NONE: &str = "none";

/// A kind of augmentation: the parts that give the numbers in `[augment]` their defaults.
///
/// `affine` rotates, shears, scales and shifts an image; `elastic` displaces its pixels by a smooth field; `flip` mirrors it as often as not;
/// `shift` shifts it by whole pixels; `cutout` covers a square of it; `mixup` mixes it with another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Augment([bool; PARTS.len()]);

impl Augment {
    /// `none`, or parts with `+` between them, each once, in any order.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = [false; PARTS.len()];
        if text == NONE || plain(text) == NONE {
            return Some(Self(parts));
        }
        for word in text.split('+') {
            let part = PARTS.iter().position(|part| plain(word) == *part)?;
            if std::mem::replace(&mut parts[part], true) {
                return None;
            }
        }
        Some(Self(parts))
    }

    /// Whether images and labels stay as they are.
    pub fn is_none(self) -> bool {
        self == Self::default()
    }

    /// The parts of both.
    pub(super) fn and(self, other: Self) -> Self {
        let mut parts = self.0;
        parts.iter_mut().zip(other.0).for_each(|(part, other)| *part |= other);
        Self(parts)
    }

    fn has(self, others: Self) -> bool {
        self.and(others) == self
    }
}

impl fmt::Display for Augment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<&str> =
            PARTS.iter().zip(self.0).filter_map(|(part, is_there)| is_there.then_some(*part)).collect();
        f.write_str(if parts.is_empty() { NONE } else { "" })?;
        f.write_str(&parts.join("+"))
    }
}

impl Field for Augment {
    type Set = Self;

    fn read(value: &Value) -> Option<Self> {
        if let Value::Text(text) = value { Self::parse(text) } else { None }
    }
}

impl OfKind for Augment {
    fn kind() -> Kind {
        Kind::Augment
    }
}

/// Defaults of a number, as text, by parts of an augmentation: the last one counts whose parts are all there, and 0 else.
pub type ByAugment = &'static [(&'static str, &'static str)];

/// What a number is by default with this augmentation.
pub(super) fn default_of(by: ByAugment, augment: Augment) -> &'static str {
    let fits = |(parts, _): &&(&str, &str)| Augment::parse(parts).is_some_and(|parts| augment.has(parts));
    by.iter().rfind(fits).map_or("0", |(_, text)| text)
}

// In the order of their settings. The affine ranges are those of the lowest validation error of 784-300-100-10 on MNIST among the few
// in docs/training.md; about half of what Cireşan et al. 2010, arXiv:1003.0358, give nets of many more units. α and σ of `elastic` are
// those of Simard et al. 2003; shift and flip are as usual on CIFAR-10. A square of 8 is what DeVries & Taylor 2017, arXiv:1708.04552,
// found best on CIFAR-100, with 16 on CIFAR-10. Zhang et al. 2018, arXiv:1710.09412, have α in 0.1..0.4 on ImageNet, and larger ones underfit
// where nets are small for their data, as here.
pub(super) const ROTATION: ByAugment = &[("affine", "7.5")];
pub(super) const SHEAR: ByAugment = &[("affine", "5")];
pub(super) const SCALE: ByAugment = &[("affine", "0.1")];
pub(super) const SHIFT: ByAugment = &[("affine", "1"), ("shift", "4")];
pub(super) const FLIP: ByAugment = &[("flip", "0.5")];
pub(super) const ALPHA: ByAugment = &[("elastic", "34"), ("affine+elastic", "15")];
pub(super) const CUTOUT: ByAugment = &[("cutout", "8")];
pub(super) const MIXUP: ByAugment = &[("mixup", "0.2")];

impl Config {
    /// What is done to each image of training batches, whose channels have these means, in 0..=255; none where they stay as they are.
    pub fn augmentation(&self, means: Vec<f32>) -> Option<Augmentation> {
        let ranges = Ranges {
            rotation: self.rotation.to_radians(),
            shear: self.shear.to_radians(),
            scale: self.scale,
            shift: self.shift,
            flip: self.flip,
            alpha: self.alpha,
            sigma: self.sigma,
            cutout: self.cutout,
        };
        let crate::data::Spec { channels, rows, columns, .. } = *self.dataset;
        let size = ImageSize { channels, rows, columns };
        let changes = !self.augment.is_none() && ranges.change();
        changes.then(|| Augmentation::new(ranges, size, self.data_seed, means))
    }

    /// How the images of a training batch of at most `rows` rows are mixed; none where they are not.
    pub fn mixup(&self, rows: usize) -> Option<Mixup> {
        let mixes = !self.augment.is_none() && self.mixup > 0.0;
        mixes.then(|| Mixup::new(self.mixup, self.data_seed, rows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_any_order_and_written_in_one() {
        for (text, name) in [
            ("none", "none"),
            ("None", "none"),
            ("cutout", "cutout"),
            ("elastic+affine", "affine+elastic"),
            ("Mix-Up + cut_out+shift +flip", "flip+shift+cutout+mixup"),
        ] {
            let found = Augment::parse(text).unwrap();
            assert_eq!(found.to_string(), name);
            assert_eq!(Augment::parse(name), Some(found));
            assert_eq!(found.is_none(), name == "none");
        }
        for text in ["", "+", "flip+", "flip+flip", "flip++shift", "none+flip", "flip,shift", "flop"] {
            assert_eq!(Augment::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_number_follows_from_the_parts_that_are_there() {
        let of = |by, text| default_of(by, Augment::parse(text).unwrap());
        let found = ["none", "affine", "elastic", "affine+elastic", "affine+elastic+mixup"].map(|text| of(ALPHA, text));
        assert_eq!(found, ["0", "0", "34", "15", "15"]);
        let found = ["mixup", "affine", "shift", "affine+shift", "flip+shift+cutout"].map(|text| of(SHIFT, text));
        assert_eq!(found, ["0", "1", "4", "4", "4"]);
        for by in [ROTATION, SHEAR, SCALE, SHIFT, FLIP, ALPHA, CUTOUT, MIXUP] {
            assert!(by.iter().all(|(parts, text)| Augment::parse(parts).is_some() && of(by, parts) == *text), "{by:?}");
        }
    }
}
