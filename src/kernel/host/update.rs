//! One step of a rule over slices: parameter, gradient and state in one pass, in place; or in two, with sums between them.

use std::ops::Range;

use super::simd::{Width, by_halves, vectorised};
use super::sums::{ACCUMULATORS, LINE, sum_in_pieces};
use super::team::{self, ELEMENT_WORK, Shared};
use crate::kernel::element::Number;
use crate::rule::{Named as _, OnePass, Passes, TwoPass, rounded};

/// What a step needs besides the elements.
#[derive(Clone, Copy, Debug)]
pub struct Scalars<const H: usize> {
    /// The rule's scalars; rounded once, to the type of the elements.
    pub rule: [f64; H],
    /// Factor on every gradient, from clipping; 1 leaves its bits alone.
    pub gradient: f64,
}

/// The slices of one tensor and lane, or of a piece of it, which tasks share.
#[derive(Clone, Copy)]
struct Slices<'a, R, const S: usize> {
    theta: Shared<R>,
    gradient: &'a [R],
    state: [Shared<R>; S],
}

impl<'a, R: Number, const S: usize> Slices<'a, R, S> {
    fn new(theta: &'a mut [R], gradient: &'a [R], state: [&'a mut [R]; S]) -> Self {
        assert!(gradient.len() == theta.len() && state.iter().all(|s| s.len() == theta.len()));
        Self { theta: Shared(theta.as_mut_ptr()), gradient, state: state.map(|slice| Shared(slice.as_mut_ptr())) }
    }

    /// θ, g and the state of these elements.
    ///
    /// # Safety
    /// No other task takes one of them.
    unsafe fn cut(self, range: &Range<usize>) -> (&'a mut [R], &'a [R], [&'a mut [R]; S]) {
        let gradient = &self.gradient[range.clone()];
        // SAFETY: all slices have the gradient's length, which holds the range; that no other task has it, the caller promises.
        unsafe {
            let own = |slice: Shared<R>| slice.slice(range.start, range.len());
            (own(self.theta), gradient, self.state.map(own))
        }
    }
}

/// Calls `step` with the number and the slices of each of K `lanes`.
pub fn over_lanes<R: Number, const S: usize>(
    lanes: usize,
    theta: &mut [R],
    gradient: &[R],
    state: [&mut [R]; S],
    step: &(impl Fn(Width, usize, &mut [R], &[R], [&mut [R]; S]) + Sync),
) {
    let size = theta.len() / lanes.max(1);
    let slices = Slices::new(theta, gradient, state);
    let run = |range: Range<usize>| {
        for lane in range {
            // SAFETY: every lane is in one range.
            let (theta, gradient, state) = unsafe { slices.cut(&(lane * size..(lane + 1) * size)) };
            step(Width::detect(), lane, theta, gradient, state);
        }
    };
    share_lanes(lanes, size * ELEMENT_WORK, run);
}

/// Calls `run` with ranges of all lanes: with one where they are few, so that the threads share each lane.
pub fn share_lanes(lanes: usize, work: usize, run: impl Fn(Range<usize>) + Sync) {
    if lanes < 2 * team::threads() {
        run(0..lanes);
    } else {
        team::over_range(lanes, 1, work, run);
    }
}

/// Calls `work` with pieces of the slices, on as many threads as pay.
fn over_pieces<R: Number, const S: usize>(
    theta: &mut [R],
    gradient: &[R],
    state: [&mut [R]; S],
    work: &(impl Fn(&mut [R], &[R], [&mut [R]; S]) + Sync),
) {
    let count = theta.len();
    let slices = Slices::new(theta, gradient, state);
    team::over_range(count, LINE, ELEMENT_WORK, |range| {
        // SAFETY: ranges do not meet.
        let (theta, gradient, state) = unsafe { slices.cut(&range) };
        work(theta, gradient, state);
    });
}

/// Replaces parameter and state of every element by what `step` makes of them.
#[inline(always)]
pub(super) fn each_element<R: Number, const S: usize>(
    theta: &mut [R],
    gradient: &[R],
    state: [&mut [R]; S],
    step: impl Fn(R, R, [R; S]) -> (R, [R; S]),
) {
    let count = theta.len();
    let gradient = &gradient[..count];
    // Slices cut to one length: without it each access is checked and nothing is vectorised.
    let state = state.map(|slice| &mut slice[..count]);
    for i in 0..count {
        let mut s = [R::default(); S];
        for (number, slice) in s.iter_mut().zip(&state) {
            *number = slice[i];
        }
        let (new_theta, new_state) = step(theta[i], gradient[i], s);
        theta[i] = new_theta;
        for k in 0..S {
            state[k][i] = new_state[k];
        }
    }
}

/// Applies rule `U` once to every element, on as many threads as the current pool has.
///
/// `theta`, `gradient` and each slice of `state` have the same length. The bits do not depend on `width` or on threads.
pub fn update<R: Number, U, const S: usize, const P: usize, const H: usize>(
    width: Width,
    scalars: &Scalars<H>,
    theta: &mut [R],
    gradient: &[R],
    state: [&mut [R]; S],
) where
    U: OnePass<S, P, H>,
{
    over_pieces(theta, gradient, state, &|theta, gradient, state| {
        update_piece::<R, U, S, P, H>(width, scalars, theta, gradient, state);
    });
}

vectorised! {
    fn update_piece[R: Number, U, const S: usize, const P: usize, const H: usize][R, U, S, P, H](
        scalars: &Scalars<H>,
        theta: &mut [R],
        gradient: &[R],
        state: [&mut [R]; S],
    ) where [U: OnePass<S, P, H>] {
        let (rule, scale): (U::Scalars<R>, R) = (rounded(scalars.rule), R::constant(scalars.gradient));
        each_element(theta, gradient, state, |theta, g, s| U::update(rule, theta, g * scale, s));
    }
}

/// Applies rule `U` once to all elements of one tensor and lane: the first pass, its sums, the second pass.
///
/// The bits do not depend on `width` or on threads: sums run over 16 logical accumulators a piece, and over 16 more for the pieces,
/// which the length alone decides.
pub fn update_in_two_passes<
    R: Number,
    U,
    const S: usize,
    const P: usize,
    const H: usize,
    const N: usize,
    const A: usize,
>(
    width: Width,
    scalars: &Scalars<H>,
    theta: &mut [R],
    gradient: &[R],
    state: [&mut [R]; S],
) where
    U: TwoPass<S, P, H, N, A>,
{
    let read = state.each_ref().map(|slice| &**slice);
    let sums = first::<R, U, S, P, H, N, A>(width, scalars, theta, gradient, read);
    let (rule, sums) = (<U::Scalars<f64>>::from_array(scalars.rule), <U::Sums<f64>>::from_array(sums));
    let reduced = U::reduce(rule, sums, theta.len() as f64).into_array();
    second::<R, U, S, P, H, N, A>(width, scalars, reduced, theta, gradient, state);
}

/// The first pass over each lane of a tensor: the sums of lane k go to `sums[k]`.
pub fn first_over_lanes<R: Number, U, const S: usize, const P: usize, const H: usize, const N: usize, const A: usize>(
    scalars: &[Scalars<H>],
    theta: &[R],
    gradient: &[R],
    state: [&[R]; S],
    sums: &mut [[f64; N]],
) where
    U: Passes<S, P, H, N, A>,
{
    let lanes = scalars.len();
    assert!(sums.len() == lanes);
    let size = theta.len() / lanes.max(1);
    let sums = Shared(sums.as_mut_ptr());
    share_lanes(lanes, size * ELEMENT_WORK, |range| {
        for lane in range {
            let own = lane * size..(lane + 1) * size;
            let state = state.map(|slice| &slice[own.clone()]);
            let (theta, gradient) = (&theta[own.clone()], &gradient[own]);
            let found = first::<R, U, S, P, H, N, A>(Width::detect(), &scalars[lane], theta, gradient, state);
            // SAFETY: there is an entry per lane, and every lane is in one range.
            let own = unsafe { sums.slice(lane, 1) };
            own[0] = found;
        }
    });
}

fn first<R: Number, U, const S: usize, const P: usize, const H: usize, const N: usize, const A: usize>(
    width: Width,
    scalars: &Scalars<H>,
    theta: &[R],
    gradient: &[R],
    state: [&[R]; S],
) -> [f64; N]
where
    U: Passes<S, P, H, N, A>,
{
    sum_in_pieces(theta.len(), |range| {
        let own = state.map(|slice| &slice[range.clone()]);
        first_piece::<R, U, S, P, H, N, A>(width, scalars, &theta[range.clone()], &gradient[range], own)
    })
}

vectorised! {
    fn first_piece[R: Number, U, const S: usize, const P: usize, const H: usize, const N: usize, const A: usize][R, U, S, P, H, N, A](
        scalars: &Scalars<H>,
        theta: &[R],
        gradient: &[R],
        state: [&[R]; S],
    ) -> [f64; N] where [U: Passes<S, P, H, N, A>] {
        let (rule, scale): (U::Scalars<R>, R) = (rounded(scalars.rule), R::constant(scalars.gradient));
        let (theta, theta_tail) = theta.as_chunks::<ACCUMULATORS>();
        let (gradient, gradient_tail) = gradient.as_chunks::<ACCUMULATORS>();
        let (state, state_tail) = (state.map(|s| s.as_chunks::<ACCUMULATORS>().0), state.map(|s| s.as_chunks::<ACCUMULATORS>().1));
        let state = state.map(|blocks| &blocks[..theta.len()]);
        let mut sums = [[0.0_f64; ACCUMULATORS]; N];
        for (block, (theta, gradient)) in theta.iter().zip(gradient).enumerate() {
            let state = state.map(|blocks| &blocks[block]);
            let mut terms = [[R::default(); ACCUMULATORS]; N];
            for i in 0..ACCUMULATORS {
                let own = U::first(rule, theta[i], gradient[i] * scale, state.map(|block| block[i])).into_array();
                for k in 0..N {
                    terms[k][i] = own[k];
                }
            }
            for (sums, terms) in sums.iter_mut().zip(&terms) {
                for (sum, &term) in sums.iter_mut().zip(terms) {
                    *sum += term.into();
                }
            }
        }
        for i in 0..theta_tail.len() {
            let own = U::first(rule, theta_tail[i], gradient_tail[i] * scale, state_tail.map(|tail| tail[i]));
            for (sums, term) in sums.iter_mut().zip(own.into_array()) {
                sums[i] += term.into();
            }
        }
        sums.map(by_halves)
    }
}

/// The second pass over one tensor and lane, with what lies between the passes.
pub fn second<R: Number, U, const S: usize, const P: usize, const H: usize, const N: usize, const A: usize>(
    width: Width,
    scalars: &Scalars<H>,
    reduced: [f64; A],
    theta: &mut [R],
    gradient: &[R],
    state: [&mut [R]; S],
) where
    U: Passes<S, P, H, N, A>,
{
    let reduced = reduced.map(R::constant);
    over_pieces(theta, gradient, state, &|theta, gradient, state| {
        second_piece::<R, U, S, P, H, N, A>(width, scalars, reduced, theta, gradient, state);
    });
}

vectorised! {
    fn second_piece[R: Number, U, const S: usize, const P: usize, const H: usize, const N: usize, const A: usize][R, U, S, P, H, N, A](
        scalars: &Scalars<H>,
        reduced: [R; A],
        theta: &mut [R],
        gradient: &[R],
        state: [&mut [R]; S],
    ) where [U: Passes<S, P, H, N, A>] {
        let (rule, scale): (U::Scalars<R>, R) = (rounded(scalars.rule), R::constant(scalars.gradient));
        each_element(theta, gradient, state, |theta, g, s| U::second(rule, U::Reduced::from_array(reduced), theta, g * scale, s));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optim::Adam;
    use crate::rng::{Purpose, Stream};
    use crate::rule::Rule as _;

    /// θ, g, m, v of `count` elements with magnitudes from 1e-20 to 1e10, zeros and denormals among them.
    fn elements(count: usize) -> [Vec<f32>; 4] {
        let mut stream = Stream::new(11, Purpose::Weights, 0);
        let mut numbers = |sign: bool| -> Vec<f32> {
            (0..count)
                .map(|i| {
                    let magnitude = 10_f32.powi(stream.below(31) as i32 - 20);
                    let number = magnitude * stream.symmetric(1.0);
                    match i % 7 {
                        0 => 0.0,
                        1 => f32::from_bits(stream.below(1000)),
                        _ if sign => number,
                        _ => number.abs(),
                    }
                })
                .collect()
        };
        [numbers(true), numbers(true), numbers(true), numbers(false)]
    }

    #[test]
    fn every_width_every_tail_and_every_number_of_threads_give_the_same_bits() {
        team::start(3).unwrap();
        let rule = Adam { weight_decay: 0.01, ..Adam::default() };
        let scalars = Scalars { rule: rule.scalars(&mut [], 1e-3, 3).into_array(), gradient: 0.5 };
        let h = rounded(scalars.rule);
        let bits = |slice: &[f32]| slice.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        for count in (0..70).chain([1000, 16_384, 16_385, 49_159]) {
            let [theta, g, m, v] = elements(count);
            let (mut t0, mut m0, mut v0) = (theta.clone(), m.clone(), v.clone());
            for i in 0..count {
                let (t, [a, b]) = <Adam as OnePass<2, 0, 6>>::update(h, theta[i], g[i] * 0.5, [m[i], v[i]]);
                (t0[i], m0[i], v0[i]) = (t, a, b);
            }
            for width in Width::available() {
                for threads in [1, 3] {
                    let (mut t1, mut m1, mut v1) = (theta.clone(), m.clone(), v.clone());
                    team::with_threads(threads, || {
                        update::<f32, Adam, 2, 0, 6>(width, &scalars, &mut t1, &g, [&mut m1, &mut v1]);
                    });
                    for (name, plain, fast) in [("θ", &t0, &t1), ("m", &m0, &m1), ("v", &v0, &v1)] {
                        assert_eq!(bits(plain), bits(fast), "{name}, {count} elements, {width:?}");
                    }
                }
            }
        }
    }
}
