//! What is done to the images of training batches.

use super::Config;
use super::field::Choice;
use crate::kernel::{Augmentation, ImageSize, Ranges};

/// Kinds of augmentation: each gives the numbers in `[augment]` their defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Augment {
    /// Images as they are.
    None,
    /// Each rotated, sheared, scaled and shifted.
    Affine,
    /// Each with its pixels displaced by a smooth field.
    Elastic,
    /// Both.
    AffineElastic,
    /// Each shifted by whole pixels, and mirrored as often as not.
    FlipShift,
}

impl Choice for Augment {
    const NAMED: &'static [(&'static str, Self)] = &[
        ("none", Self::None),
        ("affine", Self::Affine),
        ("elastic", Self::Elastic),
        ("affine+elastic", Self::AffineElastic),
        ("flip+shift", Self::FlipShift),
    ];
}

/// Defaults of a number, as text: with each kind of augmentation, in the order of its names.
pub type ByAugment = [&'static str; 5];

// In the order of their settings. The affine ranges are those of the lowest validation error of 784-300-100-10 on MNIST among the few
// in docs/training.md; about half of what Cireşan et al. 2010, arXiv:1003.0358, give nets of many more units. α and σ of `elastic` are
// those of Simard et al. 2003; shift and flip are as usual on CIFAR-10.
pub(super) const ROTATION: ByAugment = ["0", "7.5", "0", "7.5", "0"];
pub(super) const SHEAR: ByAugment = ["0", "5", "0", "5", "0"];
pub(super) const SCALE: ByAugment = ["0", "0.1", "0", "0.1", "0"];
pub(super) const SHIFT: ByAugment = ["0", "1", "0", "1", "4"];
pub(super) const FLIP: ByAugment = ["0", "0", "0", "0", "0.5"];
pub(super) const ALPHA: ByAugment = ["0", "0", "34", "15", "0"];

impl Config {
    /// What is done to the images of training batches; none where they stay as they are.
    pub fn augmentation(&self) -> Option<Augmentation> {
        let ranges = Ranges {
            rotation: self.rotation.to_radians(),
            shear: self.shear.to_radians(),
            scale: self.scale,
            shift: self.shift,
            flip: self.flip,
            alpha: self.alpha,
            sigma: self.sigma,
        };
        let crate::data::Spec { channels, rows, columns, .. } = *self.dataset;
        let size = ImageSize { channels, rows, columns };
        (self.augment != Augment::None).then(|| Augmentation::new(ranges, size, self.data_seed))
    }
}
