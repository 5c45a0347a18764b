//! How the state of an optimizer is kept: as numbers, or as codes of 8 or 4 bits with a scale for each block.
//!
//! Codes save memory and the bytes of a checkpoint: see [`rule::code`](crate::rule::code). What is kept so is read, stepped and written
//! back block by block, so that there is never more of it as numbers than a block.

use candle_core::{DType, Tensor};

use super::hyper::{Hypers, STATE};
use crate::rule::code::{BLOCK, Bits};

/// What the codes of a state number are called in checkpoints, after its name.
pub const CODES: &str = "codes";
/// The same of their scales.
pub const SCALES: &str = "scales";

/// How state is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// As numbers of the parameter's type.
    Numbers,
    /// As codes of so many bits, and f32 scales.
    Codes(Bits),
}

impl Store {
    /// As these hyperparameters say.
    pub fn of(hypers: &Hypers) -> Self {
        match hypers.word(&STATE) {
            "8bit" => Self::Codes(Bits::Eight),
            "4bit" => Self::Codes(Bits::Four),
            _ => Self::Numbers,
        }
    }

    /// Bytes of one state number of a parameter of so many f32 elements, in one lane.
    pub fn bytes(self, elements: u64) -> u64 {
        match self {
            Self::Numbers => elements.saturating_mul(4),
            Self::Codes(bits) => bits.bytes(elements as usize) as u64 + 4 * elements.div_ceil(BLOCK as u64),
        }
    }
}

/// The state of one parameter, in memory that stays.
#[derive(Debug)]
pub enum State {
    /// Numbers `[S, K, …]`, those of a lone lane `[S, …]`.
    Numbers(Tensor),
    /// Codes and scales.
    Codes {
        /// How long a code is.
        bits: Bits,
        /// u8 `[S, K, bytes]`.
        codes: Tensor,
        /// f32 `[S, K, blocks]`.
        scales: Tensor,
    },
}

impl State {
    /// `count` state numbers of 0 for K `lanes` of a parameter.
    ///
    /// # Errors
    /// If memory does not suffice.
    pub fn zeros(store: Store, count: usize, lanes: usize, parameter: &Tensor) -> candle_core::Result<Self> {
        let (dtype, device) = (parameter.dtype(), parameter.device());
        let shape = [&[count], parameter.dims()].concat();
        match store {
            // Without state it is a view of one element: not every device gives out memory of no bytes.
            Store::Numbers if count == 0 => {
                Tensor::zeros(1, dtype, device)?.narrow(0, 0, 0)?.reshape(shape).map(Self::Numbers)
            }
            Store::Numbers => Tensor::zeros(shape, dtype, device).map(Self::Numbers),
            Store::Codes(bits) => {
                let elements = parameter.elem_count() / lanes.max(1);
                Ok(Self::Codes {
                    bits,
                    codes: Tensor::zeros((count, lanes, bits.bytes(elements)), DType::U8, device)?,
                    scales: Tensor::zeros((count, lanes, elements.div_ceil(BLOCK)), DType::F32, device)?,
                })
            }
        }
    }

    /// The numbers; none where they are kept as codes.
    pub fn numbers(&self) -> Option<&Tensor> {
        if let Self::Numbers(numbers) = self { Some(numbers) } else { None }
    }

    /// Its tensors.
    pub fn tensors(&self) -> Vec<&Tensor> {
        match self {
            Self::Numbers(numbers) => vec![numbers],
            Self::Codes { codes, scales, .. } => vec![codes, scales],
        }
    }

    /// The tensors of one state number that a checkpoint calls `name`, each `[K, …]`.
    pub fn named(&self, index: usize, name: &str) -> candle_core::Result<Vec<(String, Tensor)>> {
        match self {
            Self::Numbers(numbers) => Ok(vec![(name.to_owned(), numbers.get(index)?)]),
            Self::Codes { codes, scales, .. } => Ok(vec![
                (format!("{name}.{CODES}"), codes.get(index)?),
                (format!("{name}.{SCALES}"), scales.get(index)?),
            ]),
        }
    }
}

/// One of `lanes` lanes of a tensor `[K, …]`; a lone one is the tensor itself, whatever its shape.
pub fn lane_of(tensor: &Tensor, lane: usize, lanes: usize) -> candle_core::Result<Tensor> {
    if lanes == 1 { Ok(tensor.clone()) } else { tensor.get(lane) }
}
