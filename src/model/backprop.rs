//! Forward and backward in closed form, into buffers that are kept from step to step.
//!
//! ```text
//!     dWₗ = δₗᵀ · zₗ,  dbₗ = Σ_rows δₗ,  δₗ₋₁ = (δₗ · Wₗ) ⊙ [zₗ > 0]
//! ```
//!
//! with δ_L = ∂loss/∂logits. Two products a layer, a column sum and a mask. All of it fails where the device does or its memory does
//! not suffice.

use anyhow::Result;
use candle_core::{DType, Device, Tensor};

use super::{LinearNet, Shape};
use crate::kernel::{self, Affine, Channel, Dropout, LossBatch, Totals, Views, Visit, VisitedGradients};

/// Buffers of the forward pass for batches of at most B rows.
#[derive(Debug)]
pub struct Activations {
    /// The normalised batch, [B, D]; its rows may be a little longer.
    pub x: Tensor,
    /// Output of each layer, [B, K, out]; the last are the logits.
    outputs: Vec<Tensor>,
    shapes: Vec<Affine>,
    /// Lends them without taking memory.
    _views: Views,
}

impl Activations {
    /// Takes the memory for batches of at most `batch` rows.
    pub fn new(shape: &Shape, lanes: usize, batch: usize, device: &Device) -> Result<Self> {
        let mut outputs = Vec::new();
        let mut shapes = Vec::new();
        for (layer, (inputs, width)) in shape.layers().enumerate() {
            outputs.push(Tensor::zeros((batch, lanes, width), DType::F32, device)?);
            shapes.push(Affine { rows: batch, lanes, inputs, outputs: width, shared_input: layer == 0 });
        }
        let x = Tensor::zeros((batch, kernel::padded(shape.inputs)), DType::F32, device)?;
        let views = Views::new(outputs.iter().chain([&x]))?;
        Ok(Self { x, outputs, shapes, _views: views })
    }

    /// Bytes that [`Activations::new`] takes.
    pub fn bytes(shape: &Shape, lanes: u64, batch: u64) -> u64 {
        let widths: u64 = shape.layers().map(|(_, outputs)| outputs as u64 * lanes).sum();
        4_u64.saturating_mul(batch).saturating_mul(widths + shape.inputs as u64)
    }

    /// The largest number of rows.
    pub fn batch(&self) -> usize {
        self.x.dims()[0]
    }

    /// Logits [B, K, C]; after the loss of a training step, their gradient.
    pub fn logits(&self) -> &Tensor {
        &self.outputs[self.outputs.len() - 1]
    }

    /// Output of each layer, [B, K, out].
    pub fn outputs(&self) -> &[Tensor] {
        &self.outputs
    }

    /// Gathers a batch of `pixels` normalised by `channels`, and computes logits and loss, where that is better done by slices of its rows:
    /// of a net without hidden layers in host memory. Answers whether it has done so, with the bits of one operation after the other; `x`
    /// stays as it was.
    pub fn visit(
        &self,
        net: &LinearNet,
        pixels: &Tensor,
        channels: &[Channel],
        loss: &LossBatch<'_>,
        totals: &Totals,
    ) -> Result<bool> {
        self.visit_for(net, pixels, channels, loss, None, totals)
    }

    fn visit_for(
        &self,
        net: &LinearNet,
        pixels: &Tensor,
        channels: &[Channel],
        loss: &LossBatch<'_>,
        gradients: Option<VisitedGradients<'_>>,
        totals: &Totals,
    ) -> Result<bool> {
        let (Some((weight, bias)), [logits], [layer]) = (net.layers().next(), &*self.outputs, &*self.shapes) else {
            return Ok(false);
        };
        let layer = Affine { rows: loss.indices.rows, ..*layer };
        if kernel::is_on_gpu(logits)? || !layer.is_visited(gradients.is_some()) {
            return Ok(false);
        }
        Visit { layer, weight, bias, logits }.run(pixels, channels, loss, gradients, totals)?;
        Ok(true)
    }

    /// Computes the logits of the first `rows` rows of `x`. `dropout` holds a mask per hidden layer and lane, or nothing.
    pub fn forward(&self, net: &LinearNet, rows: usize, dropout: &mut [Vec<Dropout>]) -> Result<()> {
        let last = self.outputs.len() - 1;
        for (layer, (weight, bias)) in net.layers().enumerate() {
            let shape = Affine { rows, ..self.shapes[layer] };
            let input = if layer == 0 { &self.x } else { &self.outputs[layer - 1] };
            let output = &self.outputs[layer];
            shape.forward(input, weight, bias, layer < last, output)?;
            if let Some(masks) = dropout.get_mut(layer) {
                kernel::dropout(rows, shape.outputs, masks, output)?;
            }
        }
        Ok(())
    }
}

/// Buffers of the backward pass beside those of the forward pass.
#[derive(Debug)]
pub struct Backprop {
    /// The forward pass.
    pub activations: Activations,
    /// ∂loss/∂z of each hidden layer, [B, K, width].
    deltas: Vec<Tensor>,
    /// One gradient per parameter, in their order and shape.
    gradients: Vec<Tensor>,
    /// Lends all of these without taking memory.
    _views: Views,
    /// Room for the weights' gradient of each layer, where it is of use.
    rooms: Vec<Option<Tensor>>,
    /// Room for the biases' gradient of any layer, where it takes some.
    sums_room: Option<Tensor>,
    /// Factor on what dropout kept, per lane.
    keep_scales: Vec<f32>,
}

impl Backprop {
    /// Takes the memory for batches of at most `batch` rows; `dropout` holds the probability of each lane.
    pub fn new(net: &LinearNet, batch: usize, dropout: &[f64]) -> Result<Self> {
        let (lanes, shape) = (net.lanes(), net.shape());
        let device = net.parameters()[0].1.device();
        let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, device);
        let hidden = shape.hidden.iter().map(|&width| zeros(&[batch, lanes, width]));
        let gradients = net.parameters().iter().map(|(_, var)| zeros(var.dims()));
        let activations = Activations::new(shape, lanes, batch, device)?;
        let rooms = activations.shapes.iter().map(|layer| match layer.weight_gradient_room(&activations.x)? {
            0 => Ok(None),
            room => zeros(&[room]).map(Some),
        });
        let rooms = rooms.collect::<candle_core::Result<Vec<Option<Tensor>>>>()?;
        let deltas = hidden.collect::<candle_core::Result<Vec<Tensor>>>()?;
        let gradients = gradients.collect::<candle_core::Result<Vec<Tensor>>>()?;
        let widest = shape.layers().map(|(_, width)| width).max().unwrap_or_default();
        let sums_room = match kernel::column_sums_room(batch, widest * lanes, &activations.x)? {
            0 => None,
            room => Some(zeros(&[room])?),
        };
        Ok(Self {
            sums_room,
            _views: Views::new(rooms.iter().flatten().chain(&deltas).chain(&gradients))?,
            rooms,
            activations,
            deltas,
            gradients,
            keep_scales: dropout.iter().map(|&p| kernel::keep_scale(p)).collect(),
        })
    }

    /// Bytes that [`Backprop::new`] takes.
    pub fn bytes(shape: &Shape, lanes: u64, batch: u64) -> u64 {
        let hidden: u64 = shape.hidden.iter().map(|&width| width as u64 * lanes).sum();
        Activations::bytes(shape, lanes, batch)
            .saturating_add(4_u64.saturating_mul(batch).saturating_mul(hidden))
            .saturating_add(4 * lanes * shape.parameters())
    }

    /// Gradients in the order of the net's parameters.
    pub fn gradients(&self) -> &Vec<Tensor> {
        &self.gradients
    }

    /// Computes Σ_rows q_c·xⱼ² in place of the gradients of a net without hidden layers, Σ_rows q_c for its biases, from q in place of
    /// the logits and `squares`, the squares of its inputs in their shape.
    pub fn diagonal(&self, rows: usize, squares: &Tensor) -> Result<()> {
        let (shape, q) = (Affine { rows, ..self.activations.shapes[0] }, self.activations.logits());
        shape.weight_gradient(q, squares, &self.gradients[0], self.rooms[0].as_ref())?;
        Ok(kernel::column_sums(rows, q, &self.gradients[1], None)?)
    }

    /// Gathers a batch of `pixels` normalised by `channels`, and computes its loss and all gradients, where that is better done by slices
    /// of its rows: see [`Activations::visit`].
    pub fn visit(
        &self,
        net: &LinearNet,
        pixels: &Tensor,
        channels: &[Channel],
        loss: &LossBatch<'_>,
        totals: &Totals,
    ) -> Result<bool> {
        let [Some(room)] = &*self.rooms else { return Ok(false) };
        let gradients = VisitedGradients { weight: &self.gradients[0], bias: &self.gradients[1], room };
        self.activations.visit_for(net, pixels, channels, loss, Some(gradients), totals)
    }

    /// Computes all gradients from the gradient of the logits.
    pub fn backward(&self, net: &LinearNet, rows: usize) -> Result<()> {
        let Activations { x, outputs, shapes, .. } = &self.activations;
        for (layer, (weight, _)) in net.layers().enumerate().rev() {
            let shape = Affine { rows, ..shapes[layer] };
            let delta = self.deltas.get(layer).unwrap_or(self.activations.logits());
            let input = if layer == 0 { x } else { &outputs[layer - 1] };
            let room = self.rooms[layer].as_ref();
            shape.weight_gradient(delta, input, &self.gradients[2 * layer], room)?;
            kernel::column_sums(rows, delta, &self.gradients[2 * layer + 1], self.sums_room.as_ref())?;
            if layer > 0 {
                let below = &self.deltas[layer - 1];
                shape.input_gradient(delta, weight, below)?;
                kernel::relu_backward(rows, shape.inputs, &self.keep_scales, input, below)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Indices;
    use crate::rng::{Purpose, Stream};
    use candle_core::D;

    /// The largest difference, relative to the largest number.
    fn distance(a: &Tensor, b: &Tensor) -> Result<f32> {
        let largest = b.abs()?.max_all()?.to_scalar::<f32>()?;
        Ok((a - b)?.abs()?.max_all()?.to_scalar::<f32>()? / largest)
    }

    fn against_autograd(hidden: &[usize], lanes: &[u64], rows: usize) -> Result<()> {
        let device = Device::Cpu;
        let shape = Shape { inputs: 20, hidden: hidden.to_vec(), classes: 5 };
        let net = LinearNet::new(shape, lanes, &device)?;
        let mut stream = Stream::new(1, Purpose::Weights, 9);
        let x: Vec<f32> = (0..8 * 20).map(|_| stream.symmetric(1.0)).collect();
        let labels: Vec<u32> = (0..8).map(|_| stream.below(5)).collect();
        let order = Tensor::from_vec((0..8_u32).collect::<Vec<_>>(), 8, &device)?;
        let labels = Tensor::from_vec(labels, 8, &device)?;

        let dropout = vec![0.0; lanes.len()];
        let mut backprop = Backprop::new(&net, 8, &dropout)?;
        backprop.activations.x = Tensor::from_vec(x, (8, 20), &device)?;
        backprop.activations.forward(&net, rows, &mut [])?;
        let totals = Totals::zeros(lanes.len(), 8, &device)?;
        let smoothing = vec![0.0; lanes.len()];
        let used = backprop.activations.logits().narrow(0, 0, rows)?.copy()?;
        let batch = LossBatch {
            labels: &labels,
            indices: Indices { order: &order, start: 0, rows },
            divisor: rows,
            classes: 5,
            smoothing: &smoothing,
            shares: None,
            gradient: true,
        };
        kernel::cross_entropy(&batch, backprop.activations.logits(), &totals)?;
        backprop.backward(&net, rows)?;

        let logits = net.forward(&backprop.activations.x.narrow(0, 0, rows)?)?;
        assert!(distance(&used, &logits)? < 1e-6);
        let targets = labels.narrow(0, 0, rows)?;
        let mut loss = Tensor::zeros((), DType::F32, &device)?;
        for lane in 0..lanes.len() {
            let logits = logits.narrow(1, lane, 1)?.squeeze(1)?;
            let of_lane = candle_nn::loss::cross_entropy(&logits, &targets)?;
            let mean = totals.loss.to_vec1::<f64>()?[lane] / rows as f64;
            assert!((f64::from(of_lane.to_scalar::<f32>()?) - mean).abs() < 1e-6);
            let hits = logits.argmax(D::Minus1)?.eq(&targets)?.to_dtype(DType::U32)?;
            assert_eq!(hits.sum_all()?.to_scalar::<u32>()?, totals.hits.to_vec1::<u32>()?[lane]);
            loss = (loss + of_lane)?;
        }
        let gradients = loss.backward()?;
        for ((name, var), ours) in net.parameters().iter().zip(backprop.gradients()) {
            let theirs = gradients.get(var).unwrap_or_else(|| panic!("{name}"));
            // Sums of at most 20 products of f32.
            assert!(distance(ours, theirs)? < 3e-6, "{name} of {hidden:?}");
        }
        Ok(())
    }

    #[test]
    fn the_closed_form_equals_candle_s_autograd() -> Result<()> {
        for hidden in [&[][..], &[7], &[9, 6], &[4, 4, 4]] {
            for lanes in [&[0_u64][..], &[1, 2, 3]] {
                for rows in [8, 5, 1] {
                    against_autograd(hidden, lanes, rows)?;
                }
            }
        }
        Ok(())
    }
}
