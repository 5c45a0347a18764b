//! The loops of SOAP: a matrix's gradient in the eigenbases of its Gram matrices, Adam's moments there, and the bases.
//!
//! Products are those of the parameter's type; what makes bases is f64: see [`eigen`](super::eigen).

use candle_core::DType;

use super::eigen::{self, Eigen};
use super::product::{Matrix, multiply};
use super::simd::{Width, by_halves, vectorised};
use super::sums::{ACCUMULATORS, LINE, sum_in_pieces};
use super::team::{self, ELEMENT_WORK, Shared};
use crate::kernel::element::Number;

/// What is added to the root mean square that a step is divided by.
const LEAST: f64 = 1e-30;

/// What a step does beside Gram matrices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SoapPhase {
    /// The first: nothing moves, and the bases are the eigenvectors.
    First,
    /// θ moves, the bases stay.
    Between,
    /// θ moves, and then the bases by a step of power iteration.
    Refining,
}

/// The numbers of a step.
#[derive(Clone, Copy, Debug)]
pub struct SoapStep {
    /// What it does.
    pub phase: SoapPhase,
    /// 1 − β₁.
    pub weight1: f64,
    /// 1 − β₂.
    pub weight2: f64,
    /// How far the Gram matrices go towards those of this gradient.
    pub weight3: f64,
    /// ε.
    pub eps: f64,
    /// −α·√(1−β₂ᵗ)/(1−β₁ᵗ).
    pub minus_step: f64,
    /// Decay −α·λ of what has been moved.
    pub decay: f64,
    /// Whether the step is divided by its root mean square.
    pub normalise: bool,
    /// Factor on every gradient.
    pub gradient: f64,
}

/// A matrix and its sides, each with a basis or not.
#[derive(Clone, Copy, Debug)]
pub struct Sides {
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub columns: usize,
    /// Whether rows have a basis.
    pub has_left: bool,
    /// Whether columns have one.
    pub has_right: bool,
}

impl Sides {
    fn size(self) -> usize {
        self.rows * self.columns
    }

    /// The longest side that has a basis.
    fn most(self) -> usize {
        let side = |has: bool, length: usize| if has { length } else { 0 };
        side(self.has_left, self.rows).max(side(self.has_right, self.columns))
    }
}

/// The slices of one lane: θ, g, m and v `[rows, columns]`, Gram matrices and bases `[side, side]`; of a side without a basis, anything.
pub struct SoapSlices<'a, R> {
    /// θ.
    pub theta: &'a mut [R],
    /// Its gradient.
    pub gradient: &'a [R],
    /// m, in the bases.
    pub m: &'a mut [R],
    /// v, in the bases.
    pub v: &'a mut [R],
    /// L and Q_L.
    pub left: [&'a mut [R]; 2],
    /// R and Q_R.
    pub right: [&'a mut [R]; 2],
}

/// Room for steps of matrices of some shapes.
#[derive(Debug)]
pub struct SoapRoom {
    narrow: Vec<f32>,
    wide: Vec<f64>,
    eigen: Eigen,
}

impl SoapRoom {
    /// For matrices of these shapes and types.
    pub fn new(shapes: impl Iterator<Item = (Sides, DType)>) -> Self {
        let (mut narrow, mut wide, mut most) = (0, 0, 0);
        for (sides, dtype) in shapes {
            let numbers = if dtype == DType::F64 { &mut wide } else { &mut narrow };
            *numbers = (3 * sides.size() + sides.most() * sides.most()).max(*numbers);
            most = sides.most().max(most);
        }
        Self { narrow: vec![0.0; narrow], wide: vec![0.0; wide], eigen: Eigen::new(most) }
    }
}

/// A type of parameters with products of matrices.
pub trait Multiplied: Number {
    /// Its room.
    fn room(room: &mut SoapRoom) -> (&mut [Self], &mut Eigen);

    /// `out = a·b`, m × k and k × n, all row-major; with `transposed` one of the two lies in memory as its transpose.
    fn product(out: &mut [Self], size: [usize; 3], a: &[Self], b: &[Self], transposed: Option<Factor>);
}

/// A factor of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Factor {
    /// a.
    First,
    /// b.
    Second,
}

impl Multiplied for f32 {
    fn room(room: &mut SoapRoom) -> (&mut [Self], &mut Eigen) {
        (&mut room.narrow, &mut room.eigen)
    }

    fn product(out: &mut [Self], [m, k, n]: [usize; 3], a: &[Self], b: &[Self], transposed: Option<Factor>) {
        let a = match transposed {
            Some(Factor::First) => Matrix::rows(a, k, m, m).transposed(),
            _ => Matrix::rows(a, m, k, k),
        };
        let b = match transposed {
            Some(Factor::Second) => Matrix::rows(b, n, k, k).transposed(),
            _ => Matrix::rows(b, k, n, n),
        };
        multiply(out, n, a, b);
    }
}

impl Multiplied for f64 {
    fn room(room: &mut SoapRoom) -> (&mut [Self], &mut Eigen) {
        (&mut room.wide, &mut room.eigen)
    }

    fn product(out: &mut [Self], [m, k, n]: [usize; 3], a: &[Self], b: &[Self], transposed: Option<Factor>) {
        match transposed {
            None => eigen::product(out, [m, k, n], a, [k, 1], b),
            Some(Factor::First) => eigen::product(out, [m, k, n], a, [1, m], b),
            Some(Factor::Second) => {
                let width = Width::detect();
                team::over_slices(&mut out[..m * n], 1, k, |start, out| {
                    for (at, out) in (start..).zip(out) {
                        let (i, j) = (at / n, at % n);
                        *out = eigen::dot(width, &a[i * k..(i + 1) * k], &b[j * k..(j + 1) * k]);
                    }
                });
            }
        }
    }
}

/// Takes the step of a lane.
pub fn step<R: Multiplied>(step: &SoapStep, sides: Sides, slices: SoapSlices<R>, room: &mut SoapRoom) {
    let Sides { rows, columns, has_left, has_right } = sides;
    let size = sides.size();
    let SoapSlices { theta, gradient, m, v, left: [left, left_basis], right: [right, right_basis] } = slices;
    let width = Width::detect();
    let (room, eigen) = R::room(room);
    let (g, rest) = room.split_at_mut(size);
    let (mut x, rest) = rest.split_at_mut(size);
    let (mut y, gram) = rest.split_at_mut(size);
    over_elements([&mut *g], |range, [g]| scaled(width, step.gradient, &gradient[range], g));

    if step.phase != SoapPhase::First {
        x.copy_from_slice(g);
        [x, y] = turn(sides, left_basis, right_basis, Way::Into, [x, y]);
        over_elements([&mut *m, &mut *v, &mut *x], |_, [m, v, x]| moments(width, step, m, v, x));
        [x, y] = turn(sides, left_basis, right_basis, Way::Back, [x, y]);
        let by = if step.normalise {
            let [squares] = sum_in_pieces(size, |range| [squares(width, &x[range])]);
            step.minus_step / (LEAST + (squares / size as f64).sqrt())
        } else {
            step.minus_step
        };
        over_elements([theta], |range, [theta]| moved(width, step.decay, by, &x[range], theta));
    }

    let is_refining = step.phase == SoapPhase::Refining;
    if is_refining {
        x.copy_from_slice(m);
        [x, y] = turn(sides, left_basis, right_basis, Way::Back, [x, y]);
    }
    if has_left {
        let gram = &mut gram[..rows * rows];
        R::product(gram, [rows, columns, rows], g, g, Some(Factor::Second));
        over_elements([&mut *left], |range, [left]| averaged(width, step.weight3, &gram[range], left));
        match step.phase {
            SoapPhase::First => eigen.decompose(rows, left, left_basis),
            SoapPhase::Between => {}
            SoapPhase::Refining => {
                let order = eigen.refine(rows, left, left_basis);
                y.copy_from_slice(v);
                for (row, &from) in v.chunks_exact_mut(columns).zip(order) {
                    row.copy_from_slice(&y[from * columns..(from + 1) * columns]);
                }
            }
        }
    }
    if has_right {
        let gram = &mut gram[..columns * columns];
        R::product(gram, [columns, rows, columns], g, g, Some(Factor::First));
        over_elements([&mut *right], |range, [right]| averaged(width, step.weight3, &gram[range], right));
        match step.phase {
            SoapPhase::First => eigen.decompose(columns, right, right_basis),
            SoapPhase::Between => {}
            SoapPhase::Refining => {
                let order = eigen.refine(columns, right, right_basis);
                y.copy_from_slice(v);
                for (row, old) in v.chunks_exact_mut(columns).zip(y.chunks_exact(columns)) {
                    for (v, &from) in row.iter_mut().zip(order) {
                        *v = old[from];
                    }
                }
            }
        }
    }
    if is_refining {
        let [x, _] = turn(sides, left_basis, right_basis, Way::Into, [x, y]);
        m.copy_from_slice(x);
    }
}

/// Where a matrix is turned.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Q_Lᵀ·X·Q_R.
    Into,
    /// Q_L·X·Q_Rᵀ.
    Back,
}

/// x as it is in the bases, or out of them, and room; in either of the two that were given.
fn turn<'a, R: Multiplied>(
    Sides { rows, columns, has_left, has_right }: Sides,
    left: &[R],
    right: &[R],
    way: Way,
    [mut x, mut y]: [&'a mut [R]; 2],
) -> [&'a mut [R]; 2] {
    if has_left {
        R::product(y, [rows, rows, columns], left, x, (way == Way::Into).then_some(Factor::First));
        std::mem::swap(&mut x, &mut y);
    }
    if has_right {
        R::product(y, [rows, columns, columns], x, right, (way == Way::Back).then_some(Factor::Second));
        std::mem::swap(&mut x, &mut y);
    }
    [x, y]
}

/// Calls `body` with ranges that cover the slices, which are of one length, and what of them lies there.
fn over_elements<R: Number, const N: usize>(
    slices: [&mut [R]; N],
    body: impl Fn(std::ops::Range<usize>, [&mut [R]; N]) + Sync,
) {
    let count = slices.first().map_or(0, |slice| slice.len());
    assert!(slices.iter().all(|slice| slice.len() == count));
    let slices = slices.map(|slice| Shared(slice.as_mut_ptr()));
    team::over_range(count, LINE, ELEMENT_WORK, |range| {
        // SAFETY: ranges lie within `count` elements and do not meet.
        let own = slices.map(|slice| unsafe { slice.slice(range.start, range.len()) });
        body(range, own);
    });
}

vectorised! {
    fn scaled[R: Number][R](by: f64, from: &[R], to: &mut [R]) {
        let by = R::constant(by);
        for (to, &from) in to.iter_mut().zip(from) {
            *to = from * by;
        }
    }
}

vectorised! {
    /// The moments of x, and `x ← m/(√v + ε)`.
    fn moments[R: Number][R](step: &SoapStep, m: &mut [R], v: &mut [R], x: &mut [R]) {
        let [weight1, weight2, eps] = [step.weight1, step.weight2, step.eps].map(R::constant);
        let (m, v) = (&mut m[..x.len()], &mut v[..x.len()]);
        for (i, x) in x.iter_mut().enumerate() {
            m[i] = m[i].averaged(weight1, *x);
            v[i] = v[i].averaged_square(weight2, *x);
            *x = m[i] / (v[i].sqrt() + eps);
        }
    }
}

vectorised! {
    /// `θ ← (θ + by·x) + decay·(θ + by·x)`.
    fn moved[R: Number][R](decay: f64, by: f64, x: &[R], theta: &mut [R]) {
        let [decay, by] = [decay, by].map(R::constant);
        for (theta, &x) in theta.iter_mut().zip(x) {
            let step = by * x;
            *theta = *theta + decay.mul_add(*theta + step, step);
        }
    }
}

vectorised! {
    fn averaged[R: Number][R](weight: f64, target: &[R], x: &mut [R]) {
        let weight = R::constant(weight);
        for (x, &target) in x.iter_mut().zip(target) {
            *x = x.averaged(weight, target);
        }
    }
}

vectorised! {
    /// Σ x² in f64, over 16 logical accumulators and a fixed tree.
    fn squares[R: Number][R](x: &[R]) -> f64 {
        let mut sums = [0.0_f64; ACCUMULATORS];
        let (blocks, tail) = x.as_chunks::<ACCUMULATORS>();
        for block in blocks {
            for (sum, &x) in sums.iter_mut().zip(block) {
                let x: f64 = x.into();
                *sum = x.mul_add(x, *sum);
            }
        }
        for (sum, &x) in sums.iter_mut().zip(tail) {
            let x: f64 = x.into();
            *sum = x.mul_add(x, *sum);
        }
        by_halves(sums)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, Stream};

    fn numbers(count: usize, stream: &mut Stream) -> Vec<f64> {
        (0..count).map(|_| f64::from(stream.symmetric(1.0))).collect()
    }

    /// θ, m, v, L, Q_L, R and Q_R.
    type State = [Vec<f64>; 7];

    fn start(Sides { rows, columns, .. }: Sides) -> State {
        let squares = [rows, rows, columns, columns].map(|side| vec![0.0; side * side]);
        let [left, left_basis, right, right_basis] = squares;
        let zeros = || vec![0.0; rows * columns];
        [vec![0.5; rows * columns], zeros(), zeros(), left, left_basis, right, right_basis]
    }

    fn room(sides: Sides) -> SoapRoom {
        SoapRoom::new(std::iter::once((sides, DType::F64)))
    }

    fn numbers_of(phase: SoapPhase) -> SoapStep {
        SoapStep {
            phase,
            weight1: 0.1,
            weight2: 0.05,
            weight3: 0.05,
            eps: 1e-8,
            minus_step: -1e-2,
            decay: 0.0,
            normalise: false,
            gradient: 1.0,
        }
    }

    fn take(phase: SoapPhase, sides: Sides, state: &mut State, gradient: &[f64], room: &mut SoapRoom) {
        let [theta, m, v, left, left_basis, right, right_basis] = state;
        let slices = SoapSlices { theta, gradient, m, v, left: [left, left_basis], right: [right, right_basis] };
        step(&numbers_of(phase), sides, slices, room);
    }

    fn phase_of(step: usize) -> SoapPhase {
        match step {
            0 => SoapPhase::First,
            step if step % 3 == 0 => SoapPhase::Refining,
            _ => SoapPhase::Between,
        }
    }

    const SHAPES: [Sides; 4] = [
        Sides { rows: 6, columns: 6, has_left: true, has_right: true },
        Sides { rows: 5, columns: 9, has_left: true, has_right: true },
        Sides { rows: 13, columns: 4, has_left: true, has_right: true },
        Sides { rows: 7, columns: 5, has_left: false, has_right: true },
    ];

    /// The largest element of QᵀQ − 1, and of QᵀAQ beside the diagonal in units of A's largest element.
    fn defects(n: usize, matrix: &[f64], basis: &[f64]) -> [f64; 2] {
        let [mut image, mut gram, mut turned] = [vec![0.0; n * n], vec![0.0; n * n], vec![0.0; n * n]];
        f64::product(&mut image, [n, n, n], matrix, basis, None);
        f64::product(&mut gram, [n, n, n], basis, basis, Some(Factor::First));
        f64::product(&mut turned, [n, n, n], basis, &image, Some(Factor::First));
        let size = matrix.iter().fold(0.0_f64, |a, x| a.max(x.abs()));
        let (mut off_one, mut beside) = (0.0_f64, 0.0_f64);
        for at in 0..n * n {
            let on = at % (n + 1) == 0;
            off_one = off_one.max((gram[at] - f64::from(on)).abs());
            beside = if on { beside } else { beside.max(turned[at].abs() / size) };
        }
        [off_one, beside]
    }

    #[test]
    fn bases_stay_orthonormal_and_come_to_diagonalise_their_gram_matrices() {
        for sides in SHAPES {
            let mut stream = Stream::new(4, Purpose::Weights, 0);
            let (mut state, mut room) = (start(sides), room(sides));
            // Gradients of one distribution, whose elements differ in size.
            let sizes: Vec<f64> = (0..sides.size()).map(|at| 0.7_f64.powi((at % 11) as i32)).collect();
            for step in 0..300 {
                let gradient: Vec<f64> =
                    numbers(sides.size(), &mut stream).iter().zip(&sizes).map(|(x, size)| x * size).collect();
                take(phase_of(step), sides, &mut state, &gradient, &mut room);
                let [_, _, _, left, left_basis, right, right_basis] = &state;
                let both = [
                    (sides.has_left, sides.rows, left, left_basis),
                    (sides.has_right, sides.columns, right, right_basis),
                ];
                for (_, n, gram, basis) in both.into_iter().filter(|(has, ..)| *has) {
                    let [off_one, beside] = defects(n, gram, basis);
                    assert!(off_one < 1e-10, "{sides:?}, step {step}: {off_one:.1e}");
                    // The Gram matrix moves on by a twentieth a step, and the basis follows it.
                    assert!(beside < if step == 0 { 1e-13 } else { 0.5 }, "{sides:?}, step {step}: {beside:.1e}");
                }
            }
            // A Gram matrix that has come to rest.
            let rest = numbers(sides.size(), &mut stream);
            for step in 0..1200 {
                take(phase_of(step + 1), sides, &mut state, &rest, &mut room);
            }
            let [_, _, _, _, _, right, right_basis] = &state;
            let [off_one, beside] = defects(sides.columns, right, right_basis);
            assert!(off_one < 1e-10 && beside < 1e-6, "{sides:?}: {off_one:.1e} {beside:.1e}");
        }
    }

    #[test]
    fn the_path_does_not_know_the_signs_of_a_basis() {
        for sides in SHAPES.into_iter().filter(|sides| sides.has_left) {
            let ends = [false, true].map(|is_turned| {
                let mut stream = Stream::new(4, Purpose::Weights, 0);
                let (mut state, mut room) = (start(sides), room(sides));
                for step in 0..40 {
                    let gradient = numbers(sides.size(), &mut stream);
                    take(phase_of(step), sides, &mut state, &gradient, &mut room);
                    if step == 0 && is_turned {
                        for (side, basis) in [(sides.rows, 4), (sides.columns, 6)] {
                            let columns = state[basis].iter_mut().enumerate();
                            columns.filter(|(at, _)| at % side % 3 == 1).for_each(|(_, x)| *x = -*x);
                        }
                    }
                }
                state[0].clone()
            });
            let worst = ends[0].iter().zip(&ends[1]).fold(0.0_f64, |a, (x, y)| a.max((x - y).abs()));
            assert!(worst < 1e-12, "{sides:?}: {worst:.1e}");
        }
    }

    #[test]
    fn nothing_and_too_much_and_what_is_no_number_are_borne() {
        for sides in SHAPES {
            let size = sides.size();
            let run = |gradients: &[f64]| {
                let (mut state, mut room) = (start(sides), room(sides));
                let mut stream = Stream::new(4, Purpose::Weights, 0);
                for (step, scale) in gradients.iter().enumerate() {
                    let gradient: Vec<f64> = numbers(size, &mut stream).iter().map(|x| x * scale).collect();
                    take(phase_of(step), sides, &mut state, &gradient, &mut room);
                }
                state
            };
            let [theta, ..] = run(&[0.0; 9]);
            assert!(theta.iter().all(|x| *x == 0.5), "{sides:?}");
            for scale in [1e-150, 1e-30, 1e30, 1e150] {
                let state = run(&[scale; 9]);
                assert!(state.iter().flatten().all(|x| x.is_finite()), "{sides:?} {scale:e}");
            }
            let state = run(&[0.0, 0.0, 1.0, 0.0, 1e3, 1e-9, 0.0, 0.0, 1.0]);
            assert!(state.iter().flatten().all(|x| x.is_finite()), "{sides:?}");
            for bad in [f64::NAN, f64::INFINITY, 1e300] {
                let [theta, ..] = run(&[1.0, bad, 1.0, 1.0, 1.0, 1.0, 1.0]);
                assert!(theta.iter().any(|x| x.is_nan()), "{sides:?} {bad}");
            }
        }
    }
}
