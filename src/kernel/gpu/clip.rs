//! Clipping on the device: by value, by unit, and by the norm over all parameters, whose factor stays there for the optimizer.

use std::rc::Rc;

use candle_core::{DType, Result, Tensor, Var};

use super::memory::{ToBytes as _, address, constant};
use super::queue::{Address, Queue};
use super::update::{PieceTable, Squares, Whole};

/// The bounds of each lane; infinity is none.
#[derive(Clone, Debug, Default)]
pub struct Bounds {
    /// Of every element.
    pub value: Vec<f64>,
    /// Of a unit's gradient norm, as a part of its weight norm.
    pub unit: Vec<f64>,
    /// Of the norm over all parameters.
    pub norm: Vec<f64>,
}

/// Clips the gradients of a net.
#[derive(Debug)]
pub struct Clipping {
    bounds: Bounds,
    squares: Squares,
    factors: Tensor,
}

/// Whether some lane has a bound.
fn is_any(bounds: &[f64]) -> bool {
    bounds.iter().any(|bound| *bound < f64::INFINITY)
}

impl Clipping {
    /// For these parameters `[K, …]` and gradients; none where no lane has a bound.
    pub fn new(queue: &dyn Queue, bounds: Bounds, vars: &[&Var], gradients: &[Tensor]) -> Result<Option<Self>> {
        let lanes = bounds.norm.len();
        let Some(beside) = gradients.first() else { return Ok(None) };
        if ![&bounds.value, &bounds.unit, &bounds.norm].into_iter().any(|bounds| is_any(bounds)) {
            return Ok(None);
        }
        let whole = vars.iter().zip(gradients).map(|(var, gradient)| {
            let (theta, gradient) = (address::<f32>(var)?, address::<f32>(gradient)?);
            Ok(Whole { theta, gradient, state: Address::default(), count: var.elem_count(), lanes })
        });
        let table = PieceTable::new(queue, &whole.collect::<Result<Vec<_>>>()?, beside)?;
        Ok(Some(Self {
            bounds,
            squares: Squares::new(table, beside)?,
            factors: Tensor::zeros(lanes, DType::F32, beside.device())?,
        }))
    }

    /// Clips in place by value and by unit; answers the factors f32 `[K]` that the norms ask for.
    pub fn apply(&self, queue: &Rc<dyn Queue>, vars: &[&Var], gradients: &[Tensor]) -> Result<Option<&Tensor>> {
        let Bounds { value, unit, norm } = &self.bounds;
        let lanes = norm.len();
        if is_any(value) {
            let bounds: Vec<f32> = value.iter().map(|bound| *bound as f32).collect();
            let bounds = constant(queue, &self.factors, &bounds.bytes())?;
            let (pieces, count) = self.squares.pieces();
            queue.launch("clip_value", count, 256, &[pieces.into(), bounds.into()])?;
        }
        if is_any(unit) {
            let factors = constant(queue, &self.factors, &unit.bytes())?;
            for (var, gradient) in vars.iter().zip(gradients) {
                // [K, out, in] or [K, out].
                let units = if var.rank() == 3 { var.dims()[1] } else { 1 };
                let size = var.elem_count() / lanes / units.max(1);
                let (w, g) = (address::<f32>(var)?, address::<f32>(gradient)?);
                let arguments = [w.into(), factors.into(), lanes.into(), units.into(), size.into(), g.into()];
                queue.launch("clip_units", (lanes * units).div_ceil(64), 64, &arguments)?;
            }
        }
        if !is_any(norm) {
            return Ok(None);
        }
        let squares = self.squares.run(&**queue)?;
        let arguments = [
            squares.into(),
            vars.len().into(),
            lanes.into(),
            constant(queue, &self.factors, &norm.bytes())?.into(),
            address::<f32>(&self.factors)?.into(),
        ];
        queue.launch("clip_factors", lanes.div_ceil(64), 64, &arguments)?;
        Ok(Some(&self.factors))
    }
}
