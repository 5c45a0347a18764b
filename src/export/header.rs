//! C: one header with the net as arrays and two functions, for C99 and C++, that needs nothing but `stdint.h`.
//!
//! Weights lie `[in][out]`: an input of 0 (most pixels of a digit, half of what a ReLU gives) is passed over, and the loop over outputs is
//! one that compilers turn into vectors without being allowed to reorder sums.

use std::fmt::{Display, Write as _};
use std::path::Path;

use anyhow::Result;

use super::int8::Quantized;
use super::{Layer, Net};
use crate::error::{Exit, Failure};

/// More outputs than this would need a deep stack.
const MOST_OUTPUTS: usize = 1 << 16;

/// Numbers on a line.
const ON_LINE: usize = 12;

/// The file: in floats, or in eight bits.
///
/// # Errors
/// If a layer is too wide ([`Exit::Usage`]).
pub fn bytes(net: &Net, quantized: Option<&[Quantized]>, path: &Path) -> Result<Vec<u8>> {
    if let Some(layer) = net.layers.iter().find(|layer| layer.outputs > MOST_OUTPUTS) {
        let what = format!("a layer of {} outputs, expected at most {MOST_OUTPUTS} in a C header", layer.outputs);
        return Err(Failure::new(Exit::Usage, what).into());
    }
    let name = identifier(path);
    let mut text = opening(net, &name, quantized.is_some());
    let code = match quantized {
        Some(layers) => in_bytes(&mut text, &name, layers),
        None if net.inputs.are_bytes() => in_floats(&mut text, &name, "pixels", &net.folded()?),
        None => {
            let scaled = scaled(&mut text, &name, net);
            scaled + &in_floats(&mut text, &name, "scaled", &net.layers)
        }
    };
    let upper = name.to_ascii_uppercase();
    let (taken, kind, what) = if net.inputs.are_bytes() {
        ("pixels", "uint8_t", format!("an image: {upper}_PIXELS bytes, by channel, row and column,"))
    } else {
        ("features", "float", format!("an example: {upper}_PIXELS features"))
    };
    let _ = write!(
        text,
        "\
/* The logits of {what} to {upper}_CLASSES numbers. */
static inline void {name}_logits(const {kind} *{taken}, float *logits)
{{
{code}}}

/* The class of one: the first of the largest logit. */
static inline int {name}_predict(const {kind} *{taken})
{{
    float logits[{upper}_CLASSES];
    int best = 0;
    {name}_logits({taken}, logits);
    for (int c = 1; c < {upper}_CLASSES; c++)
        if (logits[c] > logits[best])
            best = c;
    return best;
}}

#endif
"
    );
    Ok(text.into_bytes())
}

/// What stands before the arrays.
fn opening(net: &Net, name: &str, is_int8: bool) -> String {
    let upper = name.to_ascii_uppercase();
    let described = net.description();
    let [channels, rows, columns] = described.image;
    let classes: Vec<String> = described.classes.iter().map(|class| literal(class)).collect();
    let scaling = if net.inputs.are_bytes() {
        "The scaling of pixels is part of the first layer.".to_owned()
    } else {
        format!("It takes {} features as they are, and scales them.", net.image.pixels())
    };
    let features: Vec<String> = net.features.iter().map(|name| literal(name)).collect();
    let features = if features.is_empty() {
        String::new()
    } else {
        let (count, names) = (features.len(), features.join(", "));
        format!("static const char *const {name}_features[{count}] = {{{names}}};\n\n")
    };
    let kind = if is_int8 { "eight bits" } else { "32-bit floats" };
    format!(
        "\
/* A net of {} in {kind}, written by adamtrain {}: call {name}_predict or {name}_logits.
   {scaling} */
#ifndef {upper}_H
#define {upper}_H

#include <stdint.h>

#define {upper}_DATASET {}
#define {upper}_CHANNELS {channels}
#define {upper}_ROWS {rows}
#define {upper}_COLUMNS {columns}
#define {upper}_PIXELS {}
#define {upper}_CLASSES {}

static const char *const {name}_classes[{upper}_CLASSES] = {{{}}};

{features}",
        net.shape(),
        env!("CARGO_PKG_VERSION"),
        literal(&described.dataset),
        net.image.pixels(),
        classes.len(),
        classes.join(", ")
    )
}

/// Writes the scaling of features; answers with the code that scales them.
fn scaled(text: &mut String, name: &str, net: &Net) -> String {
    let described = net.description();
    array(text, "float", &format!("{name}_scale"), described.scale.iter().copied().map(float));
    array(text, "float", &format!("{name}_shift"), described.shift.iter().copied().map(float));
    let (inputs, plane) = (net.image.pixels(), net.image.height * net.image.width);
    format!(
        "    float scaled[{inputs}];
    for (int i = 0; i < {inputs}; i++)
        scaled[i] = features[i] * {name}_scale[i / {plane}] + {name}_shift[i / {plane}];
"
    )
}

/// Writes the arrays of the layers; answers with the code of the logits.
fn in_floats(text: &mut String, name: &str, inputs: &str, layers: &[Layer]) -> String {
    let mut code = String::new();
    let mut before = inputs.to_owned();
    for (index, Layer { inputs, outputs, weights, biases }) in layers.iter().enumerate() {
        let is_last = index + 1 == layers.len();
        array(text, "float", &format!("{name}_weight{index}"), turned(weights, *inputs).map(float));
        array(text, "float", &format!("{name}_bias{index}"), biases.iter().copied().map(float));
        let sums = if is_last { "logits".to_owned() } else { format!("h{index}") };
        if !is_last {
            let _ = writeln!(code, "    float {sums}[{outputs}];");
        }
        let _ = write!(
            code,
            "    for (int o = 0; o < {outputs}; o++)
        {sums}[o] = {name}_bias{index}[o];
    for (int i = 0; i < {inputs}; i++) {{
        const float x = {before}[i];
        if (x != 0.0f)
            for (int o = 0; o < {outputs}; o++)
                {sums}[o] += x * {name}_weight{index}[i * {outputs} + o];
    }}
"
        );
        if !is_last {
            let _ = write!(
                code,
                "    for (int o = 0; o < {outputs}; o++)
        {sums}[o] = {sums}[o] > 0.0f ? {sums}[o] : 0.0f;
"
            );
        }
        before = sums;
    }
    code
}

/// The same for layers in eight bits. Scales and biases of hidden layers are in units of what the next layer takes.
fn in_bytes(text: &mut String, name: &str, layers: &[Quantized]) -> String {
    let mut code = String::new();
    let mut before = "pixels".to_owned();
    for (index, layer) in layers.iter().enumerate() {
        let Quantized { inputs, outputs, input_scale, levels, scales, biases } = layer;
        let next = layers.get(index + 1).map_or(1.0, |next| f64::from(next.input_scale));
        let is_last = index + 1 == layers.len();
        // What a unit of the next layer's is too small for lies beyond its 255 all the same.
        let finite = |number: f64| float(number.clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32);
        let scale = |scale: &f32| finite(f64::from(*scale) * f64::from(*input_scale) / next);
        array(text, "int8_t", &format!("{name}_weight{index}"), turned(levels, *inputs));
        array(text, "float", &format!("{name}_scale{index}"), scales.iter().map(scale));
        let bias = |bias: &f32| finite(f64::from(*bias) / next);
        array(text, "float", &format!("{name}_bias{index}"), biases.iter().map(bias));
        let hidden = if is_last { String::new() } else { format!("    uint8_t h{index}[{outputs}];\n") };
        let store = if is_last {
            "logits[o] = z;".to_owned()
        } else {
            format!("h{index}[o] = (uint8_t)(z <= 0.0f ? 0.0f : z >= 255.0f ? 255.0f : z + 0.5f);")
        };
        let _ = write!(
            code,
            "{hidden}    int32_t sum{index}[{outputs}] = {{0}};
    for (int i = 0; i < {inputs}; i++) {{
        const int16_t x = {before}[i];
        if (x != 0)
            for (int o = 0; o < {outputs}; o++)
                sum{index}[o] += x * {name}_weight{index}[i * {outputs} + o];
    }}
    for (int o = 0; o < {outputs}; o++) {{
        const float z = (float)sum{index}[o] * {name}_scale{index}[o] + {name}_bias{index}[o];
        {store}
    }}
"
        );
        before = format!("h{index}");
    }
    code
}

/// `[out, in]` read as `[in, out]`.
fn turned<T: Copy>(weights: &[T], inputs: usize) -> impl Iterator<Item = T> + '_ {
    (0..inputs).flat_map(move |input| weights[input..].iter().step_by(inputs).copied())
}

/// A float with as many digits as its bits need.
fn float(number: f32) -> String {
    format!("{number:e}f")
}

fn array(text: &mut String, kind: &str, name: &str, items: impl Iterator<Item = impl Display>) {
    let mut count = 0;
    let mut body = String::new();
    for item in items {
        body.push_str(if count % ON_LINE == 0 { "\n    " } else { " " });
        let _ = write!(body, "{item},");
        count += 1;
    }
    let _ = write!(text, "static const {kind} {name}[{count}] = {{{body}\n}};\n\n");
}

/// The beginning of the names: that of the file, as C takes it.
fn identifier(path: &Path) -> String {
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    let name: String = stem.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if name.starts_with(|first: char| first.is_ascii_lowercase()) { name } else { format!("net_{name}") }
}

/// Text as C reads it; what is not plain stands as octal digits.
fn literal(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b' ' | b'!' | b'#'..=b'>' | b'@'..=b'[' | b']'..=b'~' => char::from(byte).to_string(),
        other => format!("\\{other:03o}"),
    };
    format!("\"{}\"", text.bytes().map(byte).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_texts_are_those_of_c() {
        for (path, name) in [("a/LeNet-300.h", "lenet_300"), ("3.h", "net_3"), ("é.h", "net__"), ("net.h", "net")] {
            assert_eq!(identifier(Path::new(path)), name);
        }
        assert_eq!(literal("a\"b\\c?\n*/é"), r#""a\042b\134c\077\012*/\303\251""#);
    }

    #[test]
    fn weights_are_turned_and_numbers_keep_their_bits() {
        assert_eq!(turned(&[1, 2, 3, 4, 5, 6], 3).collect::<Vec<_>>(), [1, 4, 2, 5, 3, 6]);
        for number in [1.0, -0.1, 1.5e-42, f32::MAX, 0.0] {
            assert_eq!(float(number).trim_end_matches('f').parse(), Ok(number));
        }
    }
}
