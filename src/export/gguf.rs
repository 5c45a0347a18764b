//! GGUF: tensors of llama.cpp's family, written by candle (version 2 of the format).
//!
//! Weights are f32, or Q8_0: blocks of 32 numbers with an f16 scale. Blocks do not cross rows, so that rows are filled up with zeros to a
//! multiple of 32, 784 to 800; `adamtrain.widths` has the true widths. Biases are f32.

use std::io::Cursor;

use anyhow::Result;
use candle_core::quantized::gguf_file::{self, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};

use super::{Layer, Net};

/// The file.
pub fn bytes(net: &Net, is_int8: bool) -> Result<Vec<u8>> {
    let mut tensors = Vec::new();
    for (index, layer) in net.layers.iter().enumerate() {
        let bias = Tensor::from_slice(&layer.biases, layer.outputs, &Device::Cpu)?;
        tensors.push((format!("layers.{index}.weight"), weights(layer, is_int8)?));
        tensors.push((format!("layers.{index}.bias"), QTensor::quantize(&bias, GgmlDType::F32)?));
    }
    let tensors: Vec<(&str, &QTensor)> = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();

    let described = net.description();
    let widths = std::iter::once(net.image.pixels()).chain(net.layers.iter().map(|layer| layer.outputs));
    let numbers = |numbers: Vec<usize>| Value::Array(numbers.into_iter().map(|n| Value::U32(n as u32)).collect());
    let floats = |numbers: Vec<f32>| Value::Array(numbers.into_iter().map(Value::F32).collect());
    let metadata = [
        ("general.architecture", Value::String("adamtrain".into())),
        ("general.name", Value::String(net.shape().to_string())),
        ("general.alignment", Value::U32(32)),
        ("general.quantization_version", Value::U32(2)),
        // llama.cpp's numbers: all f32, mostly Q8_0.
        ("general.file_type", Value::U32(if is_int8 { 7 } else { 0 })),
        ("adamtrain.dataset", Value::String(described.dataset)),
        ("adamtrain.image", numbers(described.image.to_vec())),
        ("adamtrain.classes", Value::Array(described.classes.into_iter().map(Value::String).collect())),
        ("adamtrain.inputs", Value::String(described.inputs.name().into())),
        ("adamtrain.features", Value::Array(described.features.into_iter().map(Value::String).collect())),
        ("adamtrain.scale", floats(described.scale)),
        ("adamtrain.shift", floats(described.shift)),
        ("adamtrain.widths", numbers(widths.collect())),
    ];
    let metadata: Vec<(&str, &Value)> = metadata.iter().map(|(key, value)| (*key, value)).collect();
    let mut file = Cursor::new(Vec::new());
    gguf_file::write(&mut file, &metadata, &tensors)?;
    Ok(file.into_inner())
}

/// `[out, in]`, rows filled up where they are in blocks.
fn weights(layer: &Layer, is_int8: bool) -> Result<QTensor> {
    let weights = Tensor::from_slice(&layer.weights, (layer.outputs, layer.inputs), &Device::Cpu)?;
    if !is_int8 {
        return Ok(QTensor::quantize(&weights, GgmlDType::F32)?);
    }
    let rest = layer.inputs.next_multiple_of(GgmlDType::Q8_0.block_size()) - layer.inputs;
    let weights = weights.pad_with_zeros(1, 0, rest)?;
    Ok(QTensor::quantize(&weights, GgmlDType::Q8_0)?)
}
