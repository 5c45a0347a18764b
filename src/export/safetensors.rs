//! Safetensors: parameters under this program's names, which are PyTorch's layout, and one metadata key with a [`Description`] as JSON.
//!
//! [`Description`]: crate::run::weights::Description

use std::borrow::Cow;
use std::collections::HashMap;

use ::safetensors::tensor::{Dtype, View};
use anyhow::Result;

use super::Net;
use crate::run::weights::KEY;

struct Numbers<'a> {
    shape: Vec<usize>,
    data: &'a [f32],
}

impl View for Numbers<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        self.data.iter().flat_map(|number| number.to_le_bytes()).collect()
    }
    fn data_len(&self) -> usize {
        size_of_val(self.data)
    }
}

/// The file; the same bytes for the same net, since there is one key.
pub fn bytes(net: &Net) -> Result<Vec<u8>> {
    let tensors = net.layers.iter().flat_map(|layer| {
        let weight = Numbers { shape: vec![layer.outputs, layer.inputs], data: &layer.weights };
        [weight, Numbers { shape: vec![layer.outputs], data: &layer.biases }]
    });
    let metadata = HashMap::from([(KEY.to_owned(), serde_json::to_string(&net.description())?)]);
    Ok(::safetensors::serialize(net.shape().parameter_names().into_iter().zip(tensors), Some(metadata))?)
}
