//! What the kernels of the rules are told about memory: the twins of the structures in `elementwise.cuh`.

/// Some consecutive elements of one parameter and lane, which one block updates. The pointers are addresses on the device.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Chunk {
    /// The first element of the chunk.
    pub theta: *mut f32,
    /// Its gradient.
    pub gradient: *const f32,
    /// Its first state number; the s-th is `s · stride` numbers further.
    pub state: *mut f32,
    /// Numbers from a state number to the next of the same element.
    pub stride: u64,
    /// Elements.
    pub count: u32,
    /// The lane, a row in the table of scalars.
    pub lane: u32,
    /// Which parameter and lane this is among all that are reduced; only for rules in two passes.
    pub tensor: u32,
    /// Unused.
    pub pad: u32,
}

/// The pieces of one parameter and lane whose sums are added.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct TensorPieces {
    /// Elements of the parameter and lane.
    pub elements: u64,
    /// Its first piece.
    pub first_piece: u32,
    /// Its pieces.
    pub pieces: u32,
    /// Its lane.
    pub lane: u32,
    /// Unused.
    pub pad: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::{offset_of, size_of};

    /// `elementwise.cuh` asserts the same sizes.
    #[test]
    fn structures_lie_in_memory_as_those_of_the_kernels_do() {
        let chunk = [
            offset_of!(Chunk, theta),
            offset_of!(Chunk, gradient),
            offset_of!(Chunk, state),
            offset_of!(Chunk, stride),
            offset_of!(Chunk, count),
            offset_of!(Chunk, lane),
            offset_of!(Chunk, tensor),
        ];
        assert_eq!((chunk, size_of::<Chunk>()), ([0, 8, 16, 24, 32, 36, 40], 48));
        let pieces = [
            offset_of!(TensorPieces, elements),
            offset_of!(TensorPieces, first_piece),
            offset_of!(TensorPieces, pieces),
            offset_of!(TensorPieces, lane),
        ];
        assert_eq!((pieces, size_of::<TensorPieces>()), ([0, 8, 12, 16], 24));
    }
}
