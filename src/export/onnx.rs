//! ONNX: the net as a graph from pixels to logits and probabilities, which onnxruntime and others run.
//!
//! ```text
//!     pixels [N, C, H, W] → Cast → Flatten → Gemm → Relu → … → Gemm → logits [N, classes] → Softmax → probabilities
//!
//!     pixels → Flatten → DequantizeLinear → Gemm → Relu → QuantizeLinear → DequantizeLinear → … → Gemm → logits → …       int8
//! ```
//!
//! The scaling of pixels is folded into the first layer; features, `features [N, D, 1, 1]`, are scaled by `Mul` and `Add`. Numbers of fields are those of onnx.proto in release 1.8 (IR version 7), operators
//! those of opset 13, the first whose `DequantizeLinear` has a scale an axis.

use anyhow::Result;

use super::int8::Quantized;
use super::{Input, Layer, Net};
use crate::error::{Exit, Failure};
use crate::protobuf::Message;

/// Version of the set of operators.
pub const OPSET: i64 = 13;

const IR_VERSION: i64 = 7;

/// Names of what a graph takes: images, or features.
const PIXELS: &str = "pixels";
const FEATURES: &str = "features";

/// Types of elements.
#[derive(Clone, Copy)]
enum Type {
    F32 = 1,
    U8 = 2,
    I8 = 3,
    I32 = 6,
}

/// A graph in the making.
#[derive(Default)]
struct Graph {
    nodes: Vec<Message>,
    tensors: Vec<Message>,
}

impl Graph {
    /// Adds an operator on values of these names; answers with the name of what it gives.
    fn node(&mut self, operator: &str, inputs: &[&str], output: &str, attributes: &[(&str, i64)]) -> String {
        let attribute = |(name, value): &(&str, i64)| Message::default().text(1, name).number(3, *value).number(20, 2);
        let attributes: Vec<Message> = attributes.iter().map(attribute).collect();
        let named = inputs.iter().fold(Message::default(), |node, input| node.text(1, input)).text(2, output);
        self.nodes.push(named.text(3, &format!("{operator}_{output}")).text(4, operator).messages(5, &attributes));
        output.to_owned()
    }

    /// Adds a tensor; answers with its name.
    fn tensor(&mut self, name: String, kind: Type, shape: &[usize], data: impl Iterator<Item = u8>) -> String {
        let sides = shape.iter().fold(Message::default(), |tensor, &side| tensor.number(1, side as i64));
        let data: Vec<u8> = data.collect();
        self.tensors.push(sides.number(2, kind as i64).text(8, &name).bytes(9, &data));
        name
    }

    fn floats(&mut self, name: String, shape: &[usize], numbers: &[f32]) -> String {
        self.tensor(name, Type::F32, shape, numbers.iter().flat_map(|number| number.to_le_bytes()))
    }

    /// Features scaled channel by channel: folded into the first layer, large ones would cost digits.
    fn scaled(&mut self, net: &Net) -> String {
        let described = net.description();
        let sides = [described.scale.len(), 1, 1];
        let scale = self.floats("scale".into(), &sides, &described.scale);
        let shift = self.floats("shift".into(), &sides, &described.shift);
        let product = self.node("Mul", &[FEATURES, &scale], "products", &[]);
        self.node("Add", &[&product, &shift], "scaled", &[])
    }

    /// The layers in floats; answers with what the last one gives.
    fn layers(&mut self, pixels: String, layers: &[Layer], input: Input) -> String {
        let mut value = match input {
            Input::U8 => self.node("Cast", &[&pixels], "numbers", &[("to", Type::F32 as i64)]),
            Input::F32 => pixels,
        };
        value = self.node("Flatten", &[&value], "inputs", &[("axis", 1)]);
        for (index, layer) in layers.iter().enumerate() {
            let weight = self.floats(format!("layers.{index}.weight"), &[layer.outputs, layer.inputs], &layer.weights);
            let bias = self.floats(format!("layers.{index}.bias"), &[layer.outputs], &layer.biases);
            value = self.gemm(&[&value, &weight, &bias], index, layers.len());
        }
        value
    }

    /// An affine layer, and a ReLU where another follows.
    fn gemm(&mut self, inputs: &[&str; 3], index: usize, layers: usize) -> String {
        let is_last = index + 1 == layers;
        let output = if is_last { "logits".to_owned() } else { format!("sums.{index}") };
        let sums = self.node("Gemm", inputs, &output, &[("transB", 1)]);
        if is_last { sums } else { self.node("Relu", &[&sums], &format!("hidden.{index}"), &[]) }
    }

    /// The layers in levels; answers with what the last one gives.
    fn quantized(&mut self, pixels: &str, layers: &[Quantized], input: Input) -> String {
        let zero = self.tensor("zero".into(), Type::U8, &[], [0].into_iter());
        let mut value = self.node("Flatten", &[pixels], "inputs", &[("axis", 1)]);
        for (index, layer) in layers.iter().enumerate() {
            let scale = self.floats(format!("layers.{index}.input_scale"), &[], &[layer.input_scale]);
            if index > 0 || matches!(input, Input::F32) {
                value = self.node("QuantizeLinear", &[&value, &scale, &zero], &format!("levels.{index}"), &[]);
            }
            value = self.node("DequantizeLinear", &[&value, &scale, &zero], &format!("numbers.{index}"), &[]);
            let scales = self.floats(format!("layers.{index}.weight_scale"), &[layer.outputs], &layer.scales);
            let levels = layer.levels.iter().map(|level| level.cast_unsigned());
            let shape = [layer.outputs, layer.inputs];
            let weight = self.tensor(format!("layers.{index}.weight_levels"), Type::I8, &shape, levels);
            let name = format!("layers.{index}.weight");
            let weight = self.node("DequantizeLinear", &[&weight, &scales], &name, &[("axis", 0)]);
            let steps: Vec<f32> = layer.scales.iter().map(|scale| scale * layer.input_scale).collect();
            let steps = self.floats(format!("layers.{index}.bias_scale"), &[layer.outputs], &steps);
            let levels = layer.bias_levels().into_iter().flat_map(i32::to_le_bytes);
            let bias = self.tensor(format!("layers.{index}.bias_levels"), Type::I32, &[layer.outputs], levels);
            let bias = self.node("DequantizeLinear", &[&bias, &steps], &format!("layers.{index}.bias"), &[("axis", 0)]);
            value = self.gemm(&[&value, &weight, &bias], index, layers.len());
        }
        value
    }
}

/// What a message of protocol buffers may take.
const MOST_BYTES: usize = i32::MAX as usize;

/// A value at the edge of the graph, whose first side is N.
fn edge(name: &str, kind: Type, sides: &[usize]) -> Message {
    let first = Message::default().text(2, "N");
    let sides: Vec<Message> = sides.iter().map(|&side| Message::default().number(1, side as i64)).collect();
    let shape = Message::default().message(1, &first).messages(1, &sides);
    let tensor = Message::default().number(1, kind as i64).message(2, &shape);
    Message::default().text(1, name).message(2, &Message::default().message(1, &tensor))
}

/// The file: of floats, or of `quantized` layers.
///
/// # Errors
/// If it would be too large for its format ([`Exit::Usage`]).
pub fn bytes(net: &Net, quantized: Option<&[Quantized]>, input: Input) -> Result<Vec<u8>> {
    let mut graph = Graph::default();
    let is_of_images = net.inputs.are_bytes();
    let name = if is_of_images { PIXELS } else { FEATURES };
    let input = if is_of_images { input } else { Input::F32 };
    let logits = match quantized {
        Some(layers) => graph.quantized(name, layers, input),
        None if is_of_images => graph.layers(name.to_owned(), &net.folded()?, input),
        None => {
            let scaled = graph.scaled(net);
            graph.layers(scaled, &net.layers, input)
        }
    };
    graph.node("Softmax", &[&logits], "probabilities", &[("axis", 1)]);

    let described = net.description();
    let kind = if matches!(input, Input::U8) { Type::U8 } else { Type::F32 };
    let outputs = ["logits", "probabilities"].map(|name| edge(name, Type::F32, &[described.classes.len()]));
    let whole = Message::default()
        .messages(1, &graph.nodes)
        .text(2, "adamtrain")
        .messages(5, &graph.tensors)
        .message(11, &edge(name, kind, &described.image))
        .messages(12, &outputs);
    let properties = [
        ("dataset", described.dataset),
        ("inputs", described.inputs.name().to_owned()),
        ("features", serde_json::to_string(&described.features)?),
        ("image", serde_json::to_string(&described.image)?),
        ("classes", serde_json::to_string(&described.classes)?),
        ("scale", serde_json::to_string(&described.scale)?),
        ("shift", serde_json::to_string(&described.shift)?),
    ]
    .map(|(key, value)| Message::default().text(1, key).text(2, &value));
    let model = Message::default()
        .number(1, IR_VERSION)
        .text(2, "adamtrain")
        .text(3, env!("CARGO_PKG_VERSION"))
        .message(7, &whole)
        .message(8, &Message::default().text(1, "").number(2, OPSET))
        .messages(14, &properties);
    let bytes = model.into_bytes();
    if bytes.len() > MOST_BYTES {
        let what = format!("{} bytes, of which an ONNX file takes at most {MOST_BYTES}", bytes.len());
        return Err(Failure::new(Exit::Usage, what).hint("export to .safetensors, or with --quantize int8").into());
    }
    Ok(bytes)
}
