//! State in 8 and 4 bits: beside f32, and at its edges.

use super::*;
use crate::kernel::simd::{Width, tests::FORCED};
use crate::kernel::{self, team};
use crate::rule::code::{BLOCK, Bits};
use table::Draws;

/// Adam or AdamW whose state is kept as `state` says, over one parameter `[K, …]`.
fn adam(name: &str, state: &'static str, amsgrad: bool, var: &Var, lanes: usize) -> Box<dyn LaneOptimizer> {
    let family = family(name).unwrap();
    let hypers = family.defaults().with(&hyper::STATE, HyperValue::Word(state));
    let hypers = hypers.with(&hyper::AMSGRAD, HyperValue::Switch(amsgrad));
    assert!((family.refuse)(&hypers).is_none());
    (family.build)(&[Parameter::new("x", var)], &vec![hypers; lanes]).unwrap()
}

fn variable(numbers: &[f64], lanes: usize) -> Var {
    let rows = tensor(numbers, DType::F32).reshape((lanes, numbers.len() / lanes)).unwrap();
    Var::from_tensor(&rows).unwrap()
}

/// θ and all state, as bits.
fn contents(var: &Var, optimizer: &dyn LaneOptimizer, lane: usize) -> Vec<Vec<f64>> {
    let state = optimizer.state().unwrap();
    std::iter::once(read(&var.get(lane).unwrap()))
        .chain(state.iter().map(|(_, x)| read(&x.get(lane).unwrap())))
        .collect()
}

fn drive(optimizer: &mut dyn LaneOptimizer, shape: &[usize], steps: std::ops::Range<usize>, lr: f64) {
    for t in steps {
        let mut draws = Draws::new();
        (0..t).for_each(|_| {
            draws.next();
        });
        let numbers = draws.gradient(shape.iter().product(), t + 1);
        let gradient = tensor(&numbers, DType::F32).reshape(shape).unwrap();
        let scalars = vec![StepScalars { lr, gradient_scale: 1.0 }; shape[0]];
        optimizer.step(&vec![gradient], &scalars).unwrap();
    }
}

/// A standard normal number, near enough: the sum of twelve uniform ones.
fn normal(draws: &mut Draws) -> f64 {
    (0..12).map(|_| draws.next()).sum::<f64>() / 2.0
}

/// Numbers of Adam's state that are kept as codes, m and v.
fn decoded(optimizer: &dyn LaneOptimizer, bits: Bits, count: usize) -> [Vec<f64>; 2] {
    let tensors = optimizer.state().unwrap();
    let kinds = <Adam as crate::rule::Rule<2, 0, 6>>::CODES.unwrap();
    [0, 1].map(|s| {
        let [codes, scales] = [0, 1].map(|part| tensors[2 * s + part].1.get(0).unwrap());
        read(&kernel::decoded(kinds[s], bits, count, &codes, &scales).unwrap())
    })
}

/// Adam in f32 and with coded state on the numbers of bitsandbytes' test (tests/test_optim.py, `test_optimizer8bit`), θ of deviation 0.1
/// and gradients of 0.01, over fifty steps: the largest mean error of θ after a step, absolute and relative, and the most numbers of a
/// state that are farther off than 3e-3 + 1e-3·|x|. If `together`, f32 is set to what the other holds after each step, as it is there.
fn errors_over_fifty_steps(state: &'static str, bits: Bits, together: bool) -> (f64, f64, usize) {
    let count = 32 * 1024 + 37;
    let mut draws = Draws::new();
    let theta: Vec<f64> = (0..count).map(|_| 0.1 * normal(&mut draws)).collect();
    let [exact, coded] = [(); 2].map(|()| variable(&theta, 1));
    let mut optimizers = [adam("adam", "32bit", false, &exact, 1), adam("adam", state, false, &coded, 1)];
    let mut most = (0.0_f64, 0.0_f64, 0);
    for _ in 0..50 {
        let gradient: Vec<f64> = (0..count).map(|_| 0.01 * normal(&mut draws)).collect();
        for optimizer in &mut optimizers {
            let scalars = [StepScalars { lr: 1e-3, gradient_scale: 1.0 }];
            optimizer.step(&vec![tensor(&gradient, DType::F32)], &scalars).unwrap();
        }
        let errors: Vec<(f64, f64)> =
            read(&exact).iter().zip(read(&coded)).map(|(a, b)| ((a - b).abs(), a.abs() + 1e-9)).collect();
        let mean = |of: &dyn Fn(&(f64, f64)) -> f64| errors.iter().map(of).sum::<f64>() / count as f64;
        most.0 = most.0.max(mean(&|(error, _)| *error));
        most.1 = most.1.max(mean(&|(error, size)| error / size));
        let own = optimizers[0].state().unwrap();
        for (found, (_, exact)) in decoded(&*optimizers[1], bits, count).iter().zip(&own) {
            let is_far = |(a, b): &(f64, &f64)| (a - *b).abs() > 3e-3 + 1e-3 * a.abs();
            most.2 = most.2.max(read(exact).into_iter().zip(found).filter(is_far).count());
            if together {
                overwrite(exact, found);
            }
        }
        if together {
            kernel::copy(&coded, &exact).unwrap();
        }
    }
    most
}

#[test]
fn fifty_steps_in_8_bits_are_within_the_bounds_of_bitsandbytes() {
    let (absolute, relative, far) = errors_over_fifty_steps("8bit", Bits::Eight, true);
    assert!(absolute < 6e-5 && relative < 6e-4 && far < 20, "{absolute:e} {relative:e} {far}");
}

#[test]
fn fifty_steps_with_coded_state_stay_near_those_of_f32() {
    // Measured, and a margin: θ goes 1e-3 a step at most. There is no bound of others for errors that add up.
    let (absolute, _, far) = errors_over_fifty_steps("8bit", Bits::Eight, false);
    assert!(absolute < 5e-4 && far < 20, "8 bits: {absolute:e} {far}");
    let (absolute, ..) = errors_over_fifty_steps("4bit", Bits::Four, false);
    assert!(absolute < 3e-3, "4 bits: {absolute:e}");
}

#[test]
fn coded_state_takes_the_bytes_that_the_formula_says() {
    for (state, per_element) in [("8bit", 2.0), ("4bit", 1.0)] {
        for count in [1, 2, 127, 128, 129, 300, 1000] {
            let optimizer = adam("adam", state, false, &variable(&vec![0.5; count], 1), 1);
            let tensors = optimizer.state().unwrap();
            let bytes = |(_, x): &(String, Tensor)| x.elem_count() * x.dtype().size_in_bytes();
            let found: usize = tensors.iter().map(bytes).sum();
            let codes = (count as f64 * per_element / 2.0).ceil() as usize;
            assert_eq!(found, 2 * (codes + 4 * count.div_ceil(BLOCK)), "{state}, {count}");
            let store = Store::of(&family("adam").unwrap().defaults().with(&hyper::STATE, HyperValue::Word(state)));
            assert_eq!(found as u64, 2 * store.bytes(count as u64));
        }
    }
}

#[test]
fn every_width_any_threads_and_what_was_loaded_give_the_same_bits() {
    team::start(3).unwrap();
    for (name, state, amsgrad) in [("adam", "8bit", false), ("adam", "4bit", true), ("adamw", "4bit", false)] {
        for count in [1, 7, 64, 127, 128, 131, 3 * 16 * 1024 + 7] {
            let theta = Draws::new().theta0(count);
            let run = |threads: usize| {
                team::with_threads(threads, || {
                    let var = variable(&theta, 1);
                    let mut optimizer = adam(name, state, amsgrad, &var, 1);
                    drive(&mut *optimizer, &[1, count], 0..4, 1e-2);
                    contents(&var, &*optimizer, 0)
                })
            };
            let expected = run(1);
            assert!(run(3) == expected, "{name} {state}, {count} elements");
            if count < 1000 {
                for width in Width::available() {
                    *FORCED.lock().unwrap() = Some(width);
                    let found = run(1);
                    *FORCED.lock().unwrap() = None;
                    assert!(found == expected, "{name} {state}, {count} elements, {width:?}");
                }
            }
            // Two steps, saved, loaded, and two more.
            let (var, again) = (variable(&theta, 1), variable(&theta, 1));
            let [mut first, mut second] = [&var, &again].map(|var| adam(name, state, amsgrad, var, 1));
            drive(&mut *first, &[1, count], 0..2, 1e-2);
            kernel::copy(&var, &again).unwrap();
            for ((_, from), (_, to)) in first.state().unwrap().iter().zip(second.state().unwrap()) {
                kernel::copy(from, &to).unwrap();
            }
            second.resume_after(&[(2, Vec::new())]).unwrap();
            drive(&mut *second, &[1, count], 2..4, 1e-2);
            assert!(contents(&again, &*second, 0) == expected, "{name} {state}, {count} elements");
        }
    }
}

#[test]
fn a_lane_with_coded_state_does_what_its_own_optimizer_would() {
    for state in ["8bit", "4bit"] {
        let count = 3 * 301;
        let mut draws = Draws::new();
        let theta = draws.theta0(count);
        let together = variable(&theta, 3);
        let mut optimizer = adam("adam", state, false, &together, 3);
        let gradients: Vec<Vec<f64>> = (1..5).map(|t| draws.gradient(count, t)).collect();
        let scalars = [1e-2, 3e-2, 1e-3].map(|lr| StepScalars { lr, gradient_scale: 1.0 });
        for gradient in &gradients {
            optimizer.step(&vec![variable(gradient, 3).as_tensor().clone()], &scalars).unwrap();
        }
        for lane in 0..3 {
            let own = 301 * lane..301 * (lane + 1);
            let alone = variable(&theta[own.clone()], 1);
            let mut single = adam("adam", state, false, &alone, 1);
            for gradient in &gradients {
                let gradient = tensor(&gradient[own.clone()], DType::F32);
                single.step(&vec![gradient], &scalars[lane..=lane]).unwrap();
            }
            assert!(contents(&together, &*optimizer, lane) == contents(&alone, &*single, 0), "{state}, lane {lane}");
        }
    }
}

#[test]
fn what_is_not_finite_is_seen_in_the_scales_and_zeros_stay_at_rest() {
    for state in ["8bit", "4bit"] {
        let count = 3 * BLOCK;
        let step = |gradient: Vec<f64>| {
            let var = variable(&vec![0.25; count], 1);
            let mut optimizer = adam("adam", state, false, &var, 1);
            for _ in 0..3 {
                let scalars = [StepScalars { lr: 1e-2, gradient_scale: 1.0 }];
                optimizer.step(&vec![tensor(&gradient, DType::F32)], &scalars).unwrap();
            }
            let tensors = optimizer.state().unwrap();
            let finite = tensors.iter().all(|(_, x)| kernel::all_finite(x, x.elem_count()).unwrap());
            (read(&var), finite)
        };
        for bad in [f64::NAN, f64::INFINITY, -f64::INFINITY, 1e30] {
            // The square of 1e30 is none of f32 either.
            let mut gradient = vec![1.0; count];
            gradient[BLOCK + 3] = bad;
            assert!(!step(gradient).1, "{state}: {bad}");
        }
        let (theta, finite) = step(vec![0.0; count]);
        assert!(finite && theta.iter().all(|x| *x == 0.25), "{state}");
        // One huge element: its block's others have a moment too small for the codes, and no more than Adam's longest first steps.
        let mut gradient = vec![1e-9; count];
        gradient[5] = 1e15;
        let (theta, finite) = step(gradient);
        assert!(finite && theta.iter().all(|x| (x - 0.25).abs() <= 0.0301), "{state}: {theta:?}");
    }
}

#[test]
fn coded_state_of_another_type_is_refused_and_the_share_of_epsilon_is_told() {
    let family = family("adam").unwrap();
    let hypers = family.defaults().with(&hyper::STATE, HyperValue::Word("8bit"));
    let double = Var::from_tensor(&tensor(&[1.0], DType::F64)).unwrap();
    let error = (family.build)(&[Parameter::new("x", &double)], std::slice::from_ref(&hypers)).err().unwrap();
    assert!(error.to_string().contains("`x` is F64, expected F32"), "{error}");
    let var = variable(&[0.5; 200], 1);
    let mut optimizer = adam("adam", "8bit", false, &var, 1);
    let gradient: Vec<f64> = (0..200).map(|i| if i < 128 { 1.0 } else { 1e-9 }).collect();
    optimizer.step(&vec![tensor(&gradient, DType::F32)], &[StepScalars { lr: 1e-3, gradient_scale: 1.0 }]).unwrap();
    let share = optimizer.ruled_by_epsilon(0).unwrap()[0].1.unwrap();
    assert!((share - 72.0 / 200.0).abs() < 1e-9, "{share}");
}
