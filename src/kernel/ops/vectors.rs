//! Vectors that lie in tensors, combined in host memory: see `host::vectors`.

use std::ops::Range;

use candle_core::{Result, Tensor};

use crate::kernel::host::vectors as host;
use crate::kernel::lend::{by_type, lend_all};

/// A vector: so many elements of a contiguous tensor.
#[derive(Clone, Copy, Debug)]
pub struct Vector<'a> {
    /// The tensor.
    pub tensor: &'a Tensor,
    /// The first element.
    pub start: usize,
    /// How many there are.
    pub count: usize,
}

/// A gradient as it came, and what is made of it: g·scale + decay·θ.
#[derive(Clone, Copy, Debug)]
pub struct Regularised<'a> {
    /// g.
    pub gradient: Vector<'a>,
    /// Factor on it.
    pub scale: f64,
    /// θ.
    pub theta: Vector<'a>,
    /// Factor on that.
    pub decay: f64,
}

impl Vector<'_> {
    fn range(self) -> Range<usize> {
        self.start..self.start + self.count
    }
}

/// Σ a·b in f64.
pub fn product(a: Vector<'_>, b: Vector<'_>) -> Result<f64> {
    let (x, y) = (a.tensor, b.tensor);
    by_type!(x, R => lend_all!([x: R, y: R] => host::product(&x[a.range()], &y[b.range()])))
}

/// Σ x² in f64.
pub fn square(a: Vector<'_>) -> Result<f64> {
    let x = a.tensor;
    by_type!(x, R => lend_all!([x: R] => host::product(&x[a.range()], &x[a.range()])))
}

/// Σ g·d in f64, of the gradient that is made so.
pub fn slope(of: Regularised<'_>, d: Vector<'_>) -> Result<f64> {
    let Regularised { gradient, scale, theta, decay } = of;
    let (g, x, way) = (gradient.tensor, theta.tensor, d.tensor);
    by_type!(g, R => lend_all!([g: R, x: R, way: R] => {
        let of = host::Gradient { g: &g[gradient.range()], scale, theta: &x[theta.range()], decay };
        host::slope(of, &way[d.range()])
    }))
}

/// With s = t·d and y = new − old: Σ y·s and Σ y·y in f64.
pub fn curvature(t: f64, d: Vector<'_>, new: Vector<'_>, old: Vector<'_>) -> Result<[f64; 2]> {
    let (way, a, b) = (d.tensor, new.tensor, old.tensor);
    by_type!(way, R => lend_all!([way: R, a: R, b: R] => {
        host::curvature::<R>(t, &way[d.range()], &a[new.range()], &b[old.range()])
    }))
}

/// Σ |x| in f64.
pub fn magnitude(of: Vector<'_>) -> Result<f64> {
    let x = of.tensor;
    by_type!(x, R => lend_all!([x: R] => host::magnitude::<R>(&x[of.range()])))
}

/// The largest |x|.
pub fn largest(of: Vector<'_>) -> Result<f64> {
    let x = of.tensor;
    by_type!(x, R => lend_all!([x: R] => host::largest::<R>(&x[of.range()])))
}

/// `out` ← the gradient that is made so.
pub fn gather_gradient(of: Regularised<'_>, out: Vector<'_>) -> Result<()> {
    let Regularised { gradient, scale, theta, decay } = of;
    let (g, x, to) = (gradient.tensor, theta.tensor, out.tensor);
    by_type!(g, R => lend_all!([g: R, x: R, mut to: R] => {
        let of = host::Gradient { g: &g[gradient.range()], scale, theta: &x[theta.range()], decay };
        host::gather(of, &mut to[out.range()]);
    }))
}

/// `out` ← x, in another tensor.
pub fn copy(of: Vector<'_>, out: Vector<'_>) -> Result<()> {
    let (x, to) = (of.tensor, out.tensor);
    by_type!(x, R => lend_all!([x: R, mut to: R] => to[out.range()].copy_from_slice(&x[of.range()])))
}

/// `out` ← by·x, in another tensor.
pub fn scale_into(by: f64, of: Vector<'_>, out: Vector<'_>) -> Result<()> {
    let (x, to) = (of.tensor, out.tensor);
    by_type!(x, R => lend_all!([x: R, mut to: R] => host::scale_into::<R>(by, &x[of.range()], &mut to[out.range()])))
}

/// `x` ← by·x.
pub fn scale(by: f64, of: Vector<'_>) -> Result<()> {
    let x = of.tensor;
    by_type!(x, R => lend_all!([mut x: R] => host::scale::<R>(by, &mut x[of.range()])))
}

/// `out` ← x + by·d, in another tensor.
pub fn move_into(from: Vector<'_>, by: f64, d: Vector<'_>, out: Vector<'_>) -> Result<()> {
    let (x, way, to) = (from.tensor, d.tensor, out.tensor);
    by_type!(x, R => lend_all!([x: R, way: R, mut to: R] => {
        host::move_into::<R>(&x[from.range()], by, &way[d.range()], &mut to[out.range()]);
    }))
}

/// `x` ← x + by·d, of another tensor.
pub fn move_along(by: f64, d: Vector<'_>, of: Vector<'_>) -> Result<()> {
    let (way, x) = (d.tensor, of.tensor);
    by_type!(x, R => lend_all!([way: R, mut x: R] => host::move_along::<R>(by, &way[d.range()], &mut x[of.range()])))
}

/// `out` ← a − b, in another tensor.
pub fn subtract_into(a: Vector<'_>, b: Vector<'_>, out: Vector<'_>) -> Result<()> {
    let (x, y, to) = (a.tensor, b.tensor, out.tensor);
    by_type!(x, R => lend_all!([x: R, y: R, mut to: R] => {
        host::subtract_into::<R>(&x[a.range()], &y[b.range()], &mut to[out.range()]);
    }))
}
