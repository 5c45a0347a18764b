//! One step of an element-wise rule over slices: parameter, gradient and state in one pass, in place.

use super::simd::{Width, vectorised};
use crate::rule::Rule;

/// Elements that one thread takes at a time. A piece of θ, g and two state numbers is 256 KB, well within a second-level
/// cache; below it a second thread costs more than it saves.
const PIECE: usize = 16 * 1024;

/// What a step needs besides the elements.
#[derive(Clone, Copy, Debug)]
pub struct Scalars<const H: usize> {
    /// The rule's scalars, rounded to f32.
    pub rule: [f32; H],
    /// Factor on every gradient, from clipping; 1 leaves its bits alone.
    pub gradient: f32,
}

/// Applies rule `U` once to every element, on as many threads as the current pool has.
///
/// `theta`, `gradient` and each slice of `state` have the same length. The bits do not depend on `width` or on threads.
pub fn update<U, const S: usize, const P: usize, const H: usize>(
    width: Width,
    scalars: Scalars<H>,
    theta: &mut [f32],
    gradient: &[f32],
    state: [&mut [f32]; S],
) where
    U: Rule<S, P, H>,
{
    debug_assert!(gradient.len() == theta.len() && state.iter().all(|s| s.len() == theta.len()));
    if theta.len() <= PIECE {
        return update_piece::<U, S, P, H>(width, scalars, theta, gradient, state);
    }
    // Halves are cut at a multiple of a cache line, so that two threads never write to the same one.
    let middle = (theta.len() / 2).next_multiple_of(16);
    let (theta, theta_rest) = theta.split_at_mut(middle);
    let (gradient, gradient_rest) = gradient.split_at(middle);
    let mut state_rest: [&mut [f32]; S] = [(); S].map(|()| Default::default());
    let mut rest = state_rest.iter_mut();
    let state = state.map(|slice| {
        let (first, second) = slice.split_at_mut(middle);
        if let Some(slot) = rest.next() {
            *slot = second;
        }
        first
    });
    rayon::join(
        || update::<U, S, P, H>(width, scalars, theta, gradient, state),
        || update::<U, S, P, H>(width, scalars, theta_rest, gradient_rest, state_rest),
    );
}

vectorised! {
    fn update_piece[U, const S: usize, const P: usize, const H: usize][U, S, P, H](
        scalars: Scalars<H>,
        theta: &mut [f32],
        gradient: &[f32],
        state: [&mut [f32]; S],
    ) where [U: Rule<S, P, H>] {
        let count = theta.len();
        let gradient = &gradient[..count];
        // Slices cut to one length: without it each access is checked and nothing is vectorised.
        let state = state.map(|slice| &mut slice[..count]);
        for i in 0..count {
            let mut s = [0.0; S];
            for (number, slice) in s.iter_mut().zip(&state) {
                *number = slice[i];
            }
            let (new_theta, new_state) = U::update(scalars.rule, theta[i], gradient[i] * scalars.gradient, s);
            theta[i] = new_theta;
            for k in 0..S {
                state[k][i] = new_state[k];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optim::Adam;
    use crate::rng::{Purpose, Stream};

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
        let rule = Adam { weight_decay: 0.01, ..Adam::default() };
        let scalars = Scalars { rule: rule.scalars(&mut [], 1e-3, 3).map(|h| h as f32), gradient: 0.5 };
        let bits = |slice: &[f32]| slice.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        for count in (0..70).chain([1000, PIECE, PIECE + 1, 3 * PIECE + 7]) {
            let [theta, g, m, v] = elements(count);
            let (mut t0, mut m0, mut v0) = (theta.clone(), m.clone(), v.clone());
            for i in 0..count {
                let (t, [a, b]) = <Adam as Rule<2, 0, 6>>::update(scalars.rule, theta[i], g[i] * 0.5, [m[i], v[i]]);
                (t0[i], m0[i], v0[i]) = (t, a, b);
            }
            for width in Width::available() {
                for threads in [1, 3] {
                    let (mut t1, mut m1, mut v1) = (theta.clone(), m.clone(), v.clone());
                    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                    pool.install(|| {
                        update::<Adam, 2, 0, 6>(width, scalars, &mut t1, &g, [&mut m1, &mut v1]);
                    });
                    for (name, plain, fast) in [("θ", &t0, &t1), ("m", &m0, &m1), ("v", &v0, &v1)] {
                        assert_eq!(bits(plain), bits(fast), "{name}, {count} elements, {width:?}");
                    }
                }
            }
        }
    }
}
