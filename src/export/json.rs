//! JSON: everything as text, numbers with as many digits as their bits need.

use anyhow::Result;
use serde::Serialize;

use super::Net;
use crate::run::weights::Description;

#[derive(Serialize)]
struct Document<'a> {
    /// Changes where a field goes away or means something else.
    version: u32,
    #[serde(flatten)]
    description: Description,
    layers: Vec<Affine<'a>>,
}

#[derive(Serialize)]
struct Affine<'a> {
    inputs: usize,
    outputs: usize,
    activation: &'static str,
    /// `[out][in]`
    weight: Vec<&'a [f32]>,
    /// `[out]`
    bias: &'a [f32],
}

/// The file.
pub fn bytes(net: &Net) -> Result<Vec<u8>> {
    let last = net.layers.len() - 1;
    let layers = net.layers.iter().enumerate().map(|(index, layer)| Affine {
        inputs: layer.inputs,
        outputs: layer.outputs,
        activation: if index < last { "relu" } else { "none" },
        weight: layer.weights.chunks_exact(layer.inputs).collect(),
        bias: &layer.biases,
    });
    let layers = layers.collect();
    let mut bytes = serde_json::to_vec(&Document { version: 1, description: net.description(), layers })?;
    bytes.push(b'\n');
    Ok(bytes)
}
