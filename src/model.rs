//! The linear net, and with hidden widths the multi-layer perceptron, for K lanes at once.
//!
//! ```text
//!     z₀ = x,  zₗ₊₁ = relu(zₗ · Wₗᵀ + bₗ),  logits = z_L · W_Lᵀ + b_L
//! ```
//!
//! Here are the parameters, their initial values and the forward pass over candle's differentiable operations, which is the
//! definition. What runs in training is the closed form in [`backprop`]; a test holds it against candle's autograd.

pub mod backprop;

use anyhow::Result;
use candle_core::{DType, Device, Tensor, Var};

use crate::rng::{Purpose, Stream};

/// Widths of a net.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Shape {
    /// Inputs D.
    pub inputs: usize,
    /// Hidden widths; none is the linear net.
    pub hidden: Vec<usize>,
    /// Classes C.
    pub classes: usize,
}

impl Shape {
    /// (inputs, outputs) of each layer.
    pub fn layers(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        let widths = self.hidden.iter().copied();
        let inputs = std::iter::once(self.inputs).chain(widths.clone());
        inputs.zip(widths.chain(std::iter::once(self.classes)))
    }

    /// Number of parameters of one lane.
    pub fn parameters(&self) -> u64 {
        self.layers().map(|(inputs, outputs)| (inputs as u64 + 1) * outputs as u64).sum()
    }

    /// Names of the parameters, in their order.
    pub fn parameter_names(&self) -> Vec<String> {
        let layers = 0..=self.hidden.len();
        layers.flat_map(|layer| ["weight", "bias"].map(|part| format!("layers.{layer}.{part}"))).collect()
    }

    /// `linear`, or `mlp-300-100`.
    pub fn name(&self) -> String {
        match self.hidden.as_slice() {
            [] => "linear".into(),
            widths if widths.len() <= 4 => widths.iter().fold("mlp".into(), |name, width| format!("{name}-{width}")),
            widths => format!("mlp-{}-layers", widths.len()),
        }
    }
}

impl std::fmt::Display for Shape {
    /// `784-300-100-10`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.inputs)?;
        for (_, outputs) in self.layers() {
            write!(f, "-{outputs}")?;
        }
        Ok(())
    }
}

/// K nets of one shape, side by side.
#[derive(Clone, Debug)]
pub struct LinearNet {
    shape: Shape,
    lanes: usize,
    /// `layers.0.weight` [K, out, in], `layers.0.bias` [K, out], and so on.
    parameters: Vec<(String, Var)>,
}

impl LinearNet {
    /// Draws the parameters as PyTorch's `Linear` does: weights and biases uniform in ±1/√inputs. One seed per lane.
    ///
    /// # Errors
    /// If memory does not suffice.
    pub fn new(shape: Shape, seeds: &[u64], device: &Device) -> Result<Self> {
        let lanes = seeds.len();
        let mut parameters = Vec::new();
        for (layer, (inputs, outputs)) in shape.layers().enumerate() {
            let limit = 1.0 / (inputs as f64).sqrt();
            let mut weight = Vec::with_capacity(lanes * outputs * inputs);
            let mut bias = Vec::with_capacity(lanes * outputs);
            for &seed in seeds {
                let mut stream = Stream::new(seed, Purpose::Weights, layer as u64);
                weight.extend((0..outputs * inputs).map(|_| stream.symmetric(limit)));
                bias.extend((0..outputs).map(|_| stream.symmetric(limit)));
            }
            let weight = Tensor::from_vec(weight, (lanes, outputs, inputs), device)?;
            let bias = Tensor::from_vec(bias, (lanes, outputs), device)?;
            parameters.extend([Var::from_tensor(&weight)?, Var::from_tensor(&bias)?]);
        }
        let parameters = shape.parameter_names().into_iter().zip(parameters).collect();
        Ok(Self { shape, lanes, parameters })
    }

    /// Parameters in a fixed order, with PyTorch's names.
    pub fn parameters(&self) -> &[(String, Var)] {
        &self.parameters
    }

    /// The parameters as tensors [K, …], by name; they share the net's memory.
    pub fn tensors(&self) -> Vec<(String, Tensor)> {
        self.parameters.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone())).collect()
    }

    /// Widths.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Number of lanes K.
    pub fn lanes(&self) -> usize {
        self.lanes
    }

    /// Weight [K, out, in] and bias [K, out] of each layer.
    pub fn layers(&self) -> impl DoubleEndedIterator<Item = (&Var, &Var)> + ExactSizeIterator {
        self.parameters.chunks_exact(2).map(|pair| (&pair[0].1, &pair[1].1))
    }

    /// Logits f32 [B, K, C] of x f32 [B, D], through candle's differentiable operations.
    ///
    /// # Errors
    /// If the shapes do not fit or the device fails.
    pub fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let (batch, inputs) = x.dims2()?;
        let mut z = x.to_dtype(DType::F32)?.expand((self.lanes, batch, inputs))?.contiguous()?; // [K, B, D]
        for (layer, (weight, bias)) in self.layers().enumerate() {
            if layer > 0 {
                z = z.relu()?;
            }
            z = z.matmul(&weight.transpose(1, 2)?.contiguous()?)?; // [K, B, out]
            z = z.broadcast_add(&bias.unsqueeze(1)?)?;
        }
        z.transpose(0, 1)?.contiguous() // [B, K, C]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn initial_weights_fill_pytorch_s_range_and_depend_on_the_seed_alone() -> Result<()> {
        let shape = Shape { inputs: 784, hidden: vec![30], classes: 10 };
        let net = LinearNet::new(shape.clone(), &[3, 4], &Device::Cpu)?;
        let alone = LinearNet::new(shape, &[4], &Device::Cpu)?;
        for ((name, both), (_, one)) in net.parameters().iter().zip(alone.parameters()) {
            let both = both.get(1)?.flatten_all()?.to_vec1::<f32>()?;
            assert_eq!(both, one.flatten_all()?.to_vec1::<f32>()?, "{name}");
        }
        let weight = net.parameters()[0].1.flatten_all()?.to_vec1::<f32>()?;
        let limit = 1.0 / 28.0;
        let largest = weight.iter().fold(0.0_f32, |a, w| a.max(w.abs()));
        assert!(largest <= limit && largest > 0.999 * limit, "{largest}");
        let mean = weight.iter().sum::<f32>() / weight.len() as f32;
        assert!(mean.abs() < 5.0 * limit / 3_f32.sqrt() / (weight.len() as f32).sqrt());
        Ok(())
    }

    #[test]
    fn a_shape_knows_its_layers_parameters_and_names() {
        let shape = |hidden: &[usize]| Shape { inputs: 784, hidden: hidden.to_vec(), classes: 10 };
        assert_eq!(shape(&[]).parameters(), 7_850);
        assert_eq!(shape(&[300, 100]).parameters(), 266_610);
        assert_eq!(shape(&[300, 100]).to_string(), "784-300-100-10");
        assert_eq!(shape(&[]).name(), "linear");
        assert_eq!(shape(&[300, 100]).name(), "mlp-300-100");
        assert_eq!(shape(&[9; 40]).name(), "mlp-40-layers");
    }
}
