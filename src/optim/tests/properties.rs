//! What holds for every optimizer, whatever its formula: the table optimizers × properties.

use super::*;
use crate::kernel::simd::{Width, tests::FORCED};
use crate::kernel::team;
use table::Draws;

/// What each case is run as here: its hyperparameters over one vector, Muon's over what it leaves to AdamW.
fn cases() -> impl Iterator<Item = &'static Case> {
    golden().iter()
}

/// The bits of θ and all state after `steps` drawn steps over `count` elements.
fn bits(case: &Case, count: usize, steps: usize) -> Vec<Vec<f64>> {
    let mut draws = Draws::new();
    let mut lone = Lone::of(case, &draws.theta0(count), DType::F32);
    for t in 1..=steps {
        let gradient = draws.gradient(count, t);
        lone.step(&gradient, case.lr());
    }
    let state = lone.optimizer.state().unwrap();
    std::iter::once(lone.theta()).chain(state.iter().map(|(_, tensor)| read(tensor))).collect()
}

#[test]
fn every_width_and_every_tail_give_the_same_bits() {
    for case in cases() {
        for count in [1, 2, 7, 8, 15, 16, 17, 31, 33, 100] {
            let mut runs = Width::available().into_iter().map(|width| {
                *FORCED.lock().unwrap() = Some(width);
                let bits = bits(case, count, 3);
                *FORCED.lock().unwrap() = None;
                bits
            });
            let scalar = runs.next().unwrap();
            assert!(runs.all(|run| run == scalar), "{}, {count} elements", case.name);
        }
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    // More than a piece, and no multiple of anything.
    let count = 3 * 16 * 1024 + 7;
    team::start(3).unwrap();
    for case in cases() {
        let run = |threads: usize| team::with_threads(threads, || bits(case, count, 2));
        assert!(run(1) == run(3), "{}", case.name);
    }
}

/// Two parameters, the second of them a hidden matrix.
fn pair(case: &Case, order: [usize; 2]) -> (Vec<Parameter>, Box<dyn LaneOptimizer>) {
    let mut draws = Draws::new();
    let vector = Var::from_tensor(&tensor(&draws.theta0(11), DType::F32)).unwrap();
    let matrix = tensor(&draws.theta0(15), DType::F32).reshape((1, 3, 5)).unwrap();
    let matrix = Var::from_tensor(&matrix).unwrap();
    let parameters = [
        Parameter::new("layers.1.bias", &vector),
        Parameter { is_hidden: true, ..Parameter::new("layers.0.weight", &matrix) },
    ];
    let parameters: Vec<Parameter> = order.iter().map(|&index| parameters[index].clone()).collect();
    let optimizer = (case.family.build)(&parameters, std::slice::from_ref(&case.hypers)).unwrap();
    (parameters, optimizer)
}

fn drive(parameters: &[Parameter], optimizer: &mut dyn LaneOptimizer, steps: std::ops::Range<usize>) {
    for t in steps {
        let gradient = |parameter: &Parameter| {
            let mut draws = Draws::new();
            (0..t).for_each(|_| {
                draws.next();
            });
            let numbers = draws.gradient(parameter.var.elem_count(), t + 1);
            tensor(&numbers, DType::F32).reshape(parameter.var.dims()).unwrap()
        };
        let gradients: Vec<Tensor> = parameters.iter().map(gradient).collect();
        optimizer.step(&squared(gradients), &[StepScalars { lr: 1e-2, gradient_scale: 1.0 }]).unwrap();
    }
}

fn contents(parameters: &[Parameter], optimizer: &dyn LaneOptimizer) -> std::collections::BTreeMap<String, Vec<f64>> {
    let state = optimizer.state().unwrap();
    let parameters = parameters.iter().map(|p| (p.name.clone(), read(&p.var)));
    parameters.chain(state.into_iter().map(|(name, tensor)| (name, read(&tensor)))).collect()
}

#[test]
fn what_was_saved_and_loaded_takes_the_same_next_steps_in_any_order_of_parameters() {
    for case in cases() {
        let (parameters, mut straight) = pair(case, [0, 1]);
        drive(&parameters, &mut *straight, 0..4);
        straight.at_evaluation_point().unwrap();
        let saved = contents(&parameters, &*straight);
        let (steps, history) = (straight.steps(0), straight.history(0));
        straight.at_training_point().unwrap();
        drive(&parameters, &mut *straight, 4..7);
        let expected = contents(&parameters, &*straight);

        for order in [[0, 1], [1, 0]] {
            let (parameters, mut loaded) = pair(case, order);
            for parameter in &parameters {
                let numbers = tensor(&saved[&parameter.name], DType::F32).reshape(parameter.var.dims()).unwrap();
                crate::kernel::copy(&numbers, &parameter.var).unwrap();
            }
            for (name, state) in loaded.state().unwrap() {
                let numbers = tensor(&saved[&name], DType::F32).reshape(state.dims()).unwrap();
                crate::kernel::copy(&numbers, &state).unwrap();
            }
            loaded.resume_after(&[(steps, history.clone())]).unwrap();
            drive(&parameters, &mut *loaded, 4..7);
            assert!(contents(&parameters, &*loaded) == expected, "{}", case.name);
        }
    }
}

#[test]
fn a_lane_does_what_its_own_optimizer_would() {
    for case in cases() {
        let family = case.family;
        let lanes = [case.hypers.clone(), case.hypers.clone()];
        let mut draws = Draws::new();
        let data = draws.theta0(30);
        let gradients: Vec<Vec<f64>> = (1..4).map(|t| draws.gradient(30, t)).collect();
        let scalars = [1e-2, 3e-2].map(|lr| StepScalars { lr, gradient_scale: 1.0 });
        let hidden = |var: &Var| [Parameter { is_hidden: true, ..Parameter::new("x", var) }];
        let cube = |data: &[f64], lanes: usize| tensor(data, DType::F32).reshape((lanes, 3, 5)).unwrap();
        let both = Var::from_tensor(&cube(&data, 2)).unwrap();
        let mut optimizer = (family.build)(&hidden(&both), &lanes).unwrap();
        for gradient in &gradients {
            optimizer.step(&squared(vec![cube(gradient, 2)]), &scalars).unwrap();
        }
        for lane in 0..2 {
            let own = 15 * lane..15 * (lane + 1);
            let alone = Var::from_tensor(&cube(&data[own.clone()], 1)).unwrap();
            let mut optimizer = (family.build)(&hidden(&alone), &lanes[lane..=lane]).unwrap();
            for gradient in &gradients {
                let gradient = squared(vec![cube(&gradient[own.clone()], 1)]);
                optimizer.step(&gradient, &scalars[lane..=lane]).unwrap();
            }
            assert_eq!(read(&both.get(lane).unwrap()), read(&alone), "{}, lane {lane}", case.name);
        }
    }
}

#[test]
fn maximising_g_is_minimising_minus_g() {
    // An average that begins on one side of 0 is no mirror of itself.
    for case in cases().filter(|case| case.family.starts_at_rest) {
        let mut draws = Draws::new();
        let theta = draws.theta0(20);
        let [mut up, mut down] = [DType::F32; 2].map(|dtype| Lone::of(case, &theta, dtype));
        for t in 1..5 {
            let gradient = draws.gradient(20, t);
            let negative: Vec<f64> = gradient.iter().map(|g| -g).collect();
            up.scaled(&gradient, 1e-2, -1.0);
            down.step(&negative, 1e-2);
        }
        assert_eq!(up.theta(), down.theta(), "{}", case.name);
    }
}

#[test]
fn two_groups_are_two_optimizers() {
    for case in cases() {
        let (together, _) = pair(case, [0, 1]);
        let part = |member: usize, lr_factor: f64| Part {
            optimizer: (case.family.build)(&together[member..=member], std::slice::from_ref(&case.hypers)).unwrap(),
            members: vec![member],
            lr_factors: vec![lr_factor],
        };
        // The parts stand in another order than their parameters.
        let mut grouped = Grouped::new(&together, vec![part(1, 0.5), part(0, 1.0)]);
        let mut draws = Draws::new();
        let gradients: Vec<[Vec<f64>; 2]> = (1..4).map(|t| [draws.gradient(11, t), draws.gradient(15, t)]).collect();
        let shaped = |numbers: &[f64], var: &Var| tensor(numbers, DType::F32).reshape(var.dims()).unwrap();
        for [vector, matrix] in &gradients {
            let both = squared(vec![shaped(vector, &together[0].var), shaped(matrix, &together[1].var)]);
            grouped.step(&both, &[StepScalars { lr: 1e-2, gradient_scale: 1.0 }]).unwrap();
        }
        for (member, lr) in [(0, 1e-2), (1, 5e-3)] {
            let (apart, _) = pair(case, [0, 1]);
            let own = &apart[member..=member];
            let mut optimizer = (case.family.build)(own, std::slice::from_ref(&case.hypers)).unwrap();
            for gradients in &gradients {
                let gradient = squared(vec![shaped(&gradients[member], &own[0].var)]);
                optimizer.step(&gradient, &[StepScalars { lr, gradient_scale: 1.0 }]).unwrap();
            }
            assert_eq!(read(&together[member].var), read(&own[0].var), "{}, `{}`", case.name, own[0].name);
        }
    }
}

#[test]
fn a_zero_gradient_without_decay_moves_only_what_does_not_start_at_rest() {
    for case in cases().filter(|case| !case.decays()) {
        let mut lone = Lone::of(case, &[0.25, -3.0, 1e-3], DType::F32);
        let before = lone.theta();
        for _ in 0..3 {
            lone.step(&[0.0; 3], 1e-2);
        }
        assert_eq!(lone.theta() == before, case.family.starts_at_rest, "{}", case.name);
    }
}

#[test]
fn a_missing_gradient_changes_nothing_and_is_named() {
    for case in cases() {
        let (parameters, mut optimizer) = pair(case, [0, 1]);
        let before = contents(&parameters, &*optimizer);
        let only_one = squared(vec![tensor(&[1.0; 11], DType::F32)]);
        let error = optimizer.step(&only_one, &[StepScalars { lr: 1e-2, gradient_scale: 1.0 }]).unwrap_err();
        assert!(error.to_string().contains("`layers.0.weight` has no gradient"), "{}: {error}", case.name);
        assert!(contents(&parameters, &*optimizer) == before && optimizer.steps(0) == 0, "{}", case.name);
    }
}

#[test]
fn every_optimizer_descends_a_parabola_and_rosenbrock_s_valley() {
    // (learning rate, steps) where the default is made for larger nets.
    let tuned = |name: &str| match name {
        "sgd" | "asgd" => 0.05,
        "adagrad" => 0.5,
        "adadelta" => 10.0,
        "lion" | "sophia" => 3e-3,
        "muon" | "lamb" => 1e-2,
        "schedule-free-sgd" | "adafactor" => 0.1,
        "prodigy" | "dadapt-adam" | "lbfgs" => 1.0,
        _ => 2e-2,
    };
    for family in FAMILIES {
        let lr = tuned(family.name);
        let mut lone = Lone::new(family, &family.defaults(), &[1.5, -1.0, 0.5], DType::F64);
        let steps = 3000;
        for t in 0..steps {
            let gradient: Vec<f64> = lone.theta().iter().map(|x| 2.0 * x).collect();
            lone.optimizer.take_losses(&[lone.theta().iter().map(|x| x * x).sum()]);
            lone.step(&gradient, lr * (1.0 - f64::from(t) / f64::from(steps)));
        }
        lone.optimizer.at_evaluation_point().unwrap();
        let worst = lone.theta().iter().fold(0.0_f64, |a, x| a.max(x.abs()));
        assert!(worst < 2e-2, "{} on the parabola: {:?}", family.name, lone.theta());

        // Rosenbrock 1960: (1 − a)² + 100·(b − a²)², 24.2 at the start, 0 at (1, 1).
        // Steps that are not yet scaled must stay below the valley's curvature.
        let lr = match family.name {
            "sgd" | "asgd" | "schedule-free-sgd" => 1e-3,
            "radam" | "adabelief" => 3e-3,
            // It ends as SGD at a hundred times the rate.
            "adabound" => 1e-4,
            _ => lr,
        };
        let mut lone = Lone::new(family, &family.defaults(), &[-1.2, 1.0], DType::F64);
        let steps = 20_000;
        for t in 0..steps {
            let [a, b] = lone.theta()[..] else { unreachable!() };
            let gradient = [-2.0 * (1.0 - a) - 400.0 * a * (b - a * a), 200.0 * (b - a * a)];
            lone.optimizer.take_losses(&[(1.0 - a).powi(2) + 100.0 * (b - a * a).powi(2)]);
            lone.step(&gradient, lr * (1.0 - f64::from(t) / f64::from(steps)));
        }
        lone.optimizer.at_evaluation_point().unwrap();
        let [a, b] = lone.theta()[..] else { unreachable!() };
        let value = (1.0 - a).powi(2) + 100.0 * (b - a * a).powi(2);
        assert!(value < 0.5, "{} in the valley: {value} at {a}, {b}", family.name);
    }
}

/// Reddi et al. 2018, §3: in an online problem with gradients C, −1, −1 in turn the best point of [−1, 1] is −1. Adam with β₁ = 0
/// and β₂ = 1/(1 + C²) goes to 1.
#[test]
fn adam_fails_on_the_counterexample_of_reddi_and_amsgrad_and_adopt_do_not() {
    const C: f64 = 4.0;
    let end = |name: &str, amsgrad: bool| {
        let family = family(name).unwrap();
        let hyper = |key: &str| family.hypers.iter().find(|hyper| hyper.name() == key).unwrap();
        let mut hypers = family
            .defaults()
            .with(hyper("beta1"), HyperValue::Number(0.0))
            .with(hyper("beta2"), HyperValue::Number(1.0 / (1.0 + C * C)));
        if amsgrad {
            hypers = hypers.with(hyper("amsgrad"), HyperValue::Switch(true));
        }
        let mut lone = Lone::new(family, &hypers, &[0.0], DType::F64);
        for t in 0..30_000 {
            let gradient = if t % 3 == 0 { C } else { -1.0 };
            lone.step(&[gradient], 0.5 / f64::from(t + 1).sqrt());
            let inside = lone.theta()[0].clamp(-1.0, 1.0);
            overwrite(&lone.var, &[inside]);
        }
        lone.theta()[0]
    };
    assert!(end("adam", false) > 0.9, "{}", end("adam", false));
    assert!(end("adam", true) < -0.9, "{}", end("adam", true));
    assert!(end("adopt", false) < -0.9, "{}", end("adopt", false));
}

#[test]
fn without_decay_adam_is_adamw_and_nadam_is_nadamw() {
    for (coupled, decoupled) in [("adam", "adamw"), ("nadam", "nadamw")] {
        let mut ends = [coupled, decoupled].map(|name| {
            let family = family(name).unwrap();
            let decay = family.hypers.iter().find(|hyper| hyper.name() == "weight_decay").unwrap();
            let mut draws = Draws::new();
            let hypers = family.defaults().with(decay, HyperValue::Number(0.0));
            let mut lone = Lone::new(family, &hypers, &draws.theta0(33), DType::F32);
            for t in 1..20 {
                let gradient = draws.gradient(33, t);
                lone.step(&gradient, 1e-2);
            }
            lone
        });
        assert_eq!(ends[0].theta(), ends[1].theta());
        // And with it they are not.
        let gradient = [1.0; 33];
        for lone in &mut ends {
            lone.step(&gradient, 1e-2);
        }
        assert_eq!(ends[0].theta(), ends[1].theta());
    }
}

#[test]
fn the_maximum_of_amsgrad_never_falls() {
    for case in cases().filter(|case| case.states.iter().any(|state| state == "v_max")) {
        let mut draws = Draws::new();
        let mut lone = Lone::of(case, &draws.theta0(40), DType::F32);
        let mut before = vec![0.0; 40];
        for t in 1..200 {
            let gradient: Vec<f64> = draws.gradient(40, t).iter().map(|g| g / t as f64).collect();
            lone.step(&gradient, 1e-3);
            let (now, v) = (read(&lone.state("v_max")), read(&lone.state("v")));
            for i in 0..40 {
                assert!(now[i] >= before[i] && now[i] >= v[i], "{}, step {t}", case.name);
            }
            before = now;
        }
    }
}

#[test]
fn without_epsilon_adam_does_not_feel_a_power_of_two_on_its_gradients() {
    let adam = Adam { eps: 0.0, ..Adam::default() };
    let path = |factor: f64| {
        let mut draws = Draws::new();
        let var = Var::from_tensor(&tensor(&draws.theta0(31), DType::F32)).unwrap();
        let mut optimizer = one_pass(&[Parameter::new("x", &var)], std::iter::once(adam)).unwrap();
        for t in 1..100 {
            // Never 0: 0/0 is what ε is for.
            let gradient: Vec<f64> = draws.gradient(31, t).iter().map(|g| factor * (g + 0.01)).collect();
            let scalars = StepScalars { lr: 1e-2, gradient_scale: 1.0 };
            optimizer.step(&vec![tensor(&gradient, DType::F32)], &[scalars]).unwrap();
        }
        read(&var)
    };
    for power in [-20, -1, 3, 20] {
        assert_eq!(path(2_f64.powi(power)), path(1.0), "2^{power}");
    }
}

#[test]
fn a_schedule_free_net_goes_to_its_evaluation_point_and_back_without_a_trace() {
    let (_, last, count) = table::FREE;
    for case in cases() {
        let Some(expected) = case.free.as_ref().and_then(|free| free.evaluated.as_ref()) else { continue };
        let mut lone = super::free_run(case, DType::F64, last, |_, _| ());
        let training = lone.theta();
        lone.optimizer.at_evaluation_point().unwrap();
        lone.optimizer.at_evaluation_point().unwrap();
        let evaluated = lone.theta();
        for i in 0..count {
            // The steps of SGD are as long as the gradients, and lead far.
            let scale = if case.family.name == "schedule-free-adamw" { 1.0 } else { expected[i].abs().max(1.0) };
            assert!((evaluated[i] - expected[i]).abs() < 1e-12 * scale, "{}", case.name);
        }
        lone.optimizer.at_training_point().unwrap();
        assert_eq!(lone.theta(), training, "{}", case.name);
        assert_ne!(evaluated, training, "{}", case.name);
    }
}

/// The largest differences of a step in f64 from each of the reference's states of two matrices or stacks of them, in ulp of the largest
/// addend: θ, rows and columns.
pub(super) fn differences_of_matrices(
    case: &Case,
    optimizer: &mut dyn LaneOptimizer,
    parameters: &[Parameter],
) -> [f64; 3] {
    let mut draws = Draws::new();
    draws.theta0(93);
    let mut worst = [0.0_f64; 3];
    let state = optimizer.state().unwrap();
    let arrays: Vec<&Tensor> =
        (0..2).flat_map(|k| [parameters[k].var.as_tensor(), &state[2 * k].1, &state[2 * k + 1].1]).collect();
    let mut before: Vec<Vec<f64>> = arrays.iter().map(|tensor| read(tensor)).collect();
    for (t, golden) in case.steps64.iter().enumerate() {
        let gradient = draws.gradient(93, t + 1);
        let (first, second) = gradient.split_at(45);
        let gradients = [first, second].into_iter().zip(parameters);
        let gradients: Vec<Tensor> =
            gradients.map(|(own, parameter)| tensor(own, DType::F64).reshape(parameter.var.dims()).unwrap()).collect();
        optimizer.step(&gradients, &[StepScalars { lr: case.lr_of_step(t + 1), gradient_scale: 1.0 }]).unwrap();
        for (k, array) in arrays.iter().enumerate() {
            for ((found, golden), before) in read(array).iter().zip(&golden[k]).zip(&before[k]) {
                let addend = golden.abs().max(before.abs()).max((golden - before).abs());
                let difference = (found - golden).abs() / ulp(addend, DType::F64);
                worst[k % 3] = worst[k % 3].max(if difference.is_nan() { f64::INFINITY } else { difference });
            }
            let numbers = tensor(&golden[k], DType::F64).reshape(array.dims()).unwrap();
            crate::kernel::copy(&numbers, array).unwrap();
        }
        before.clone_from(golden);
    }
    worst
}

/// The two parameters of a case of matrices, as they begin.
pub(super) fn matrices(case: &Case, dtype: DType) -> Vec<Parameter> {
    let theta = Draws::new().theta0(93);
    let (first, second) = theta.split_at(45);
    let parameter = |(own, shape): (&[f64], &Vec<usize>)| {
        let var = Var::from_tensor(&tensor(own, dtype).reshape(&shape[..]).unwrap()).unwrap();
        Parameter::new(&format!("{shape:?}"), &var)
    };
    [first, second].into_iter().zip(&case.shapes).map(parameter).collect()
}

#[test]
fn one_step_of_matrices_in_f64_from_the_reference_s_state_is_the_reference_s() {
    for case in cases().filter(|case| case.family.name == "adafactor" && !case.shapes.is_empty()) {
        let parameters = matrices(case, DType::F64);
        let mut optimizer = (case.family.build)(&parameters, std::slice::from_ref(&case.hypers)).unwrap();
        let [theta, row, col] = differences_of_matrices(case, &mut *optimizer, &parameters);
        // The reference sums in another order, and squares a root of the sum.
        assert!(
            theta <= case.bound64(None) && row <= 4.0 && col <= 4.0,
            "{}: θ {theta:.2} row {row:.2} col {col:.2}",
            case.name
        );
    }
}

/// The same in f32, from step to step by itself.
#[test]
fn twelve_steps_of_matrices_in_f32_follow_the_reference_in_f64() {
    for case in cases().filter(|case| case.family.name == "adafactor" && !case.shapes.is_empty()) {
        // In f32 ε₁ is another number, unless it is given.
        let parameters = matrices(case, DType::F32);
        let mut optimizer = (case.family.build)(&parameters, std::slice::from_ref(&case.hypers)).unwrap();
        let mut draws = Draws::new();
        draws.theta0(93);
        for (t, golden) in case.steps64.iter().enumerate() {
            let gradient = draws.gradient(93, t + 1);
            let (first, second) = gradient.split_at(45);
            let gradients = [first, second].into_iter().zip(&parameters);
            let gradients: Vec<Tensor> =
                gradients.map(|(own, p)| tensor(own, DType::F32).reshape(p.var.dims()).unwrap()).collect();
            optimizer.step(&gradients, &[StepScalars { lr: case.lr_of_step(t + 1), gradient_scale: 1.0 }]).unwrap();
            for (k, parameter) in parameters.iter().enumerate() {
                let scale = golden[3 * k].iter().fold(0.0_f64, |a, x| a.max(x.abs()));
                for (found, golden) in read(&parameter.var).iter().zip(&golden[3 * k]) {
                    assert!((found - golden).abs() < 2e-6 * scale, "{}, step {}: {found} {golden}", case.name, t + 1);
                }
            }
        }
    }
}

/// How far two matrices through Muon in f32 come from the transcription of PyTorch's rule in f64, in the largest element, and in which
/// step that is.
fn muon_s_difference(case: &Case, hypers: &Hypers) -> (f64, usize) {
    let mut draws = Draws::new();
    let theta = draws.theta0(93);
    let shapes = [(5, 9, 0..45), (12, 4, 45..93)];
    let cube =
        |numbers: &[f64], rows: usize, columns: usize| tensor(numbers, DType::F32).reshape((1, rows, columns)).unwrap();
    let parameters = shapes.clone().map(|(rows, columns, own)| {
        let var = Var::from_tensor(&cube(&theta[own], rows, columns)).unwrap();
        Parameter { is_hidden: true, ..Parameter::new(&format!("layers.{rows}.weight"), &var) }
    });
    let mut optimizer = (case.family.build)(&parameters, std::slice::from_ref(hypers)).unwrap();
    let mut worst = (0.0, 0);
    for (t, golden) in case.steps64.iter().enumerate() {
        let gradient = draws.gradient(93, t + 1);
        let gradients: Vec<Tensor> =
            shapes.clone().map(|(rows, columns, own)| cube(&gradient[own], rows, columns)).into();
        let scalars = StepScalars { lr: case.lr_of_step(t + 1), gradient_scale: 1.0 };
        optimizer.step(&gradients, &[scalars]).unwrap();
        let state = optimizer.state().unwrap();
        for (k, parameter) in parameters.iter().enumerate() {
            for (found, golden) in [(read(&parameter.var), &golden[2 * k]), (read(&state[k].1), &golden[2 * k + 1])] {
                let scale = golden.iter().fold(0.0_f64, |a, x| a.max(x.abs()));
                for (found, golden) in found.iter().zip(golden) {
                    let difference = (found - golden).abs() / scale;
                    let difference = if difference.is_nan() { f64::INFINITY } else { difference };
                    if difference > worst.0 {
                        worst = (difference, t + 1);
                    }
                }
            }
        }
    }
    worst
}

/// Five iterations of products of up to 12 rounded numbers.
const MUON_BOUND: f64 = 2e-6;

fn muon_cases() -> impl Iterator<Item = &'static Case> {
    cases().filter(|case| case.family.name == "muon")
}

#[test]
fn muon_in_f32_follows_its_f64_transcription() {
    for case in muon_cases() {
        let (worst, step) = muon_s_difference(case, &case.hypers);
        assert!(worst < MUON_BOUND, "{}, step {step}: {worst:.1e}", case.name);
    }
}

/// What another option, another count or coefficients in another order do is seen, so that none of them can be mistaken.
#[test]
fn every_mutant_of_muon_is_found() {
    use HyperValue::{Count, Number, Switch, Triple, Word};
    type Mistake = fn(HyperValue) -> HyperValue;
    let mutants: [(&str, Mistake); 10] = [
        ("ns_coefficients", |_| Triple([3.4445, 2.0315, -4.775])),
        ("ns_coefficients", |_| Triple([-4.775, 3.4445, 2.0315])),
        ("ns_coefficients", |own| match own {
            Triple([a, b, c]) => Triple([a, b, c * 1.01]),
            other => other,
        }),
        ("ns_coefficients", |own| match own {
            Triple([3.4445, ..]) => Triple([2.0, -1.5, 0.5]),
            _ => Triple([3.4445, -4.775, 2.0315]),
        }),
        ("ns_steps", |own| if let Count(steps) = own { Count(steps + 1) } else { own }),
        ("ns_steps", |own| if let Count(steps) = own { Count(steps - 1) } else { own }),
        ("nesterov", |own| Switch(own != Switch(true))),
        ("adjust", |own| if own == Word("original") { Word("spectral_unclamped") } else { Word("original") }),
        ("momentum", |own| if let Number(own) = own { Number(own * 0.999) } else { own }),
        ("weight_decay", |_| Number(0.0)),
    ];
    for case in muon_cases() {
        for (name, changed) in mutants {
            let hyper = case.family.hypers.iter().find(|hyper| hyper.name() == name).unwrap();
            let mutant = changed(case.hypers.get(hyper));
            let (worst, _) = muon_s_difference(case, &case.hypers.clone().with(hyper, mutant));
            assert!(worst > 4.0 * MUON_BOUND, "{}: `{name}` as {mutant} is not found: {worst:.1e}", case.name);
        }
    }
}

/// Adam with one mistake each, in the words of the formula: the comparison with PyTorch must find every one.
mod mutants {
    use super::*;
    use crate::rule::{OnePass, Real, Rule, named};

    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Mistake {
        None,
        EpsilonInsideTheRoot,
        StepCountFromZero,
        StepCountOneAhead,
        DecayAfterTheUpdate,
        SwappedBetas,
        MaximumOfTheCorrected,
        NoFirstCorrection,
        NoSecondCorrection,
        DecayWithoutTheRate,
        CoupledDecay,
        GradientSquaredTwice,
        EpsilonHat,
        StaleMoment,
        WrongSign,
    }
    use Mistake::*;

    const ALL: [Mistake; 14] = [
        EpsilonInsideTheRoot,
        StepCountFromZero,
        StepCountOneAhead,
        DecayAfterTheUpdate,
        SwappedBetas,
        MaximumOfTheCorrected,
        NoFirstCorrection,
        NoSecondCorrection,
        DecayWithoutTheRate,
        CoupledDecay,
        GradientSquaredTwice,
        EpsilonHat,
        StaleMoment,
        WrongSign,
    ];

    /// AdamW with AMSGrad as the papers print it, and the mistake.
    #[derive(Clone, Copy)]
    struct Mutant {
        mistake: Mistake,
        betas: [f64; 2],
        eps: f64,
        decay: f64,
        amsgrad: bool,
    }

    named!(Scalars { b1, b2, c1, c2, lr, before, after, coupled, inside, outside, keep, squared, stale });

    impl Rule<3, 0, 13> for Mutant {
        const NAME: &'static str = "mutant";
        const STATE: [&'static str; 3] = ["m", "v", "v_max"];

        type Scalars<R: Real> = Scalars<R>;

        fn scalars(&self, _: &mut [f64; 0], lr: f64, t: u64) -> Scalars<f64> {
            let is = |mistake| f64::from(self.mistake == mistake);
            let [b1, b2] = if self.mistake == SwappedBetas { [self.betas[1], self.betas[0]] } else { self.betas };
            let t = t as f64 - is(StepCountFromZero) + is(StepCountOneAhead);
            let c1 = if self.mistake == NoFirstCorrection { 1.0 } else { 1.0 - b1.powf(t) };
            let c2 = if self.mistake == NoSecondCorrection { 1.0 } else { 1.0 - b2.powf(t) };
            let rate = if self.mistake == DecayWithoutTheRate { 1.0 } else { lr };
            let sign = if self.mistake == WrongSign { -1.0 } else { 1.0 };
            let coupled = is(CoupledDecay) * self.decay;
            let before = if coupled > 0.0 || self.mistake == DecayAfterTheUpdate { 0.0 } else { rate * self.decay };
            let after = is(DecayAfterTheUpdate) * lr * self.decay;
            let inside = is(EpsilonInsideTheRoot) * self.eps;
            let hat = if self.mistake == EpsilonHat { c2.sqrt() } else { 1.0 };
            let outside = (1.0 - is(EpsilonInsideTheRoot)) * self.eps / hat;
            let keep = f64::from(self.amsgrad) + is(MaximumOfTheCorrected);
            Scalars {
                b1,
                b2,
                c1,
                c2,
                lr: sign * lr,
                before,
                after,
                coupled,
                inside,
                outside,
                keep,
                squared: is(GradientSquaredTwice),
                stale: is(StaleMoment),
            }
        }
    }

    impl OnePass<3, 0, 13> for Mutant {
        fn update<R: Real>(h: Scalars<R>, theta: R, g: R, [m0, v, v_max]: [R; 3]) -> (R, [R; 3]) {
            let Scalars { b1, b2, c1, c2, lr, before, after, coupled, inside, outside, keep, squared, stale } = h;
            let (zero, one) = (R::constant(0.0), R::constant(1.0));
            let g = g + coupled * theta;
            let theta = theta - before * theta;
            let m = b1 * m0 + (one - b1) * g;
            let v = b2 * v + (one - b2) * R::select(zero.less(squared), g * g * g * g, g * g);
            let corrected = v / c2;
            let is_of_the_corrected = one.less(keep);
            let v_max = v_max.larger(R::select(is_of_the_corrected, corrected, v));
            let raw = R::select(zero.less(keep), v_max, v);
            let hat = R::select(is_of_the_corrected, v_max, raw / c2);
            let m_used = R::select(zero.less(stale), m0, m);
            let theta = theta - lr * (m_used / c1) / ((hat + inside).sqrt() + outside);
            (theta - after * theta, [m, v, v_max])
        }
    }

    fn is_found(mistake: Mistake) -> bool {
        cases().filter(|case| matches!(case.name.as_str(), "adamw" | "adamw-other" | "adamw-amsgrad")).any(|case| {
            let mutant = Mutant {
                mistake,
                betas: [case.number("beta1"), case.number("beta2")],
                eps: case.number("eps"),
                decay: case.number("weight_decay"),
                amsgrad: case.states.len() == 3,
            };
            let var = Var::from_tensor(&tensor(&table::inputs().theta0, DType::F64)).unwrap();
            let optimizer = one_pass(&[Parameter::new("x", &var)], std::iter::once(mutant)).unwrap();
            let worst = super::super::one_step_differences(case, Lone { var, optimizer, dtype: DType::F64 });
            // The textbook form itself rounds once more than the rule.
            !judged(case, &worst, |_| 4.0).1
        })
    }

    #[test]
    fn every_mutant_of_adam_is_found() {
        assert!(!is_found(None), "the textbook form without a mistake is held for a mutant");
        for mistake in ALL {
            assert!(is_found(mistake), "{mistake:?} is not found");
        }
    }
}
