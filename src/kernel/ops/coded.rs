//! A rule's step over a parameter whose state is kept as codes, in host memory.

use candle_core::{Result, Tensor};

use crate::kernel::host::coded::{self as host, Coded};
use crate::kernel::host::update::Scalars;
use crate::kernel::lend::lend_all;
use crate::rule::OnePass;
use crate::rule::code::{Bits, Code};

/// One step of rule `U`: θ and g f32 `[K, …]`, codes u8 `[S, K, bytes]`, scales f32 `[S, K, blocks]`, a row of scalars and a number of
/// steps per lane. In place.
pub fn update_coded<U, const S: usize, const P: usize, const H: usize>(
    bits: Bits,
    scalars: &[Scalars<H>],
    steps: &[u64],
    theta: &Tensor,
    gradient: &Tensor,
    codes: &Tensor,
    scales: &Tensor,
) -> Result<()>
where
    U: OnePass<S, P, H>,
{
    lend_all!([gradient: f32, mut theta: f32, mut codes: u8, mut scales: f32] => {
        let (bytes, blocks) = (codes.len() / S.max(1), scales.len() / S.max(1));
        let mut parts = codes.chunks_exact_mut(bytes.max(1)).zip(scales.chunks_exact_mut(blocks.max(1)));
        // `S` parts by construction of the tensors.
        let state = [(); S].map(|()| {
            let (codes, scales) = parts.next().unwrap_or_default();
            Coded { codes, scales }
        });
        host::update::<U, S, P, H>(bits, scalars, steps, theta, gradient, state);
    })
}

/// A state number of one lane as f32 `[elements]`, from codes u8 `[bytes]` and scales f32 `[blocks]`.
pub fn decoded(code: Code, bits: Bits, elements: usize, codes: &Tensor, scales: &Tensor) -> Result<Tensor> {
    let mut numbers = vec![0.0; elements];
    lend_all!([codes: u8, scales: f32] => host::decode(code, bits, codes, scales, &mut numbers))?;
    Tensor::from_vec(numbers, elements, scales.device())
}
