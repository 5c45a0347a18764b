//! One split as bytes: what every reader and the generator produce, and what the cache keeps.

/// Images and labels of one split.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Images {
    /// Pixels, `[N, D]`; within an image channel, row, column, as the IDX files and CIFAR-10's binary version hold them. Of examples that are
    /// numbers, 32-bit floats, little endian.
    pub pixels: Vec<u8>,
    /// Class of each image, `[N]`, each below the data set's number of classes.
    pub labels: Vec<u8>,
}

impl Images {
    /// Number of images N.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }
}
