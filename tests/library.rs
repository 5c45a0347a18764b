//! The crate as another program's library: the optimizers over candle's own variables.

#![allow(clippy::unwrap_used)]

#[path = "../examples/convolution.rs"]
mod convolution;
#[path = "../examples/own_rule.rs"]
mod own_rule;
#[path = "../examples/sweep.rs"]
mod sweep;

use std::collections::HashMap;

use adamtrain::optim::{Adam, FAMILIES, Family, Optimizer, OptimizerConfig};
use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Tensor, Var};
use candle_nn::Optimizer as _;

/// Numbers of either sign.
fn numbers(count: usize, seed: usize) -> Vec<f64> {
    (0..count).map(|i| ((i * 7919 + seed * 104_729 + 13) % 1000) as f64 / 500.0 - 0.9995).collect()
}

fn var(dims: &[usize], dtype: DType) -> Var {
    let count = dims.iter().product();
    let tensor = Tensor::from_vec(numbers(count, 0), dims, &Device::Cpu).unwrap();
    Var::from_tensor(&tensor.to_dtype(dtype).unwrap()).unwrap()
}

/// The gradients of a loss whose every number depends on the step.
fn gradients(vars: &[&Var], step: usize) -> GradStore {
    let mut loss = Tensor::zeros((), DType::F64, &Device::Cpu).unwrap();
    for var in vars {
        let target = Tensor::from_vec(numbers(var.elem_count(), 1 + step), var.shape(), &Device::Cpu).unwrap();
        let off = (var.to_dtype(DType::F64).unwrap() - target).unwrap();
        loss = (loss + off.sqr().unwrap().sum_all().unwrap()).unwrap();
    }
    loss.backward().unwrap()
}

fn read(tensor: &Tensor) -> Vec<u64> {
    let numbers = tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
    numbers.into_iter().map(f64::to_bits).collect()
}

/// Those that gradients alone drive.
fn driven() -> impl Iterator<Item = &'static &'static Family> {
    FAMILIES.iter().filter(|family| !family.needs_curvature && !family.is_full_batch)
}

fn message<T>(outcome: candle_core::Result<T>) -> String {
    // Behind the first line candle has the stack, where `RUST_BACKTRACE` asks for it.
    outcome.err().expect("an error").to_string().lines().next().unwrap().to_owned()
}

fn sorted(state: &HashMap<String, Tensor>) -> Vec<(&String, Vec<u64>)> {
    let mut state: Vec<_> = state.iter().map(|(name, tensor)| (name, read(tensor))).collect();
    state.sort();
    state
}

#[test]
fn a_shape_is_only_a_shape_to_every_rule_in_both_types() {
    for family in driven() {
        for dtype in [DType::F32, DType::F64] {
            let shapes: [&[&[usize]]; 3] =
                [&[&[], &[1]], &[&[3, 4], &[1, 3, 4]], &[&[3, 2, 2, 1], &[3, 4], &[1, 3, 4]]];
            for shapes in shapes {
                let ends = shapes.iter().map(|dims| {
                    let var = var(dims, dtype);
                    // What looks like one lane's matrix is one; a kernel's axes are those of another matrix to Adafactor.
                    let matrix = Var::from_tensor(&var.reshape((var.elem_count().min(3), ())).unwrap()).unwrap();
                    let is_matrix = match family.name {
                        "muon" => dims.len() == 3,
                        "adafactor" => dims.len() == 4,
                        _ => false,
                    };
                    let var = if is_matrix { matrix } else { var };
                    let mut optimizer = Optimizer::new(vec![var.clone()], (*family).into()).unwrap();
                    let start = read(&var);
                    (0..4).for_each(|step| optimizer.step(&gradients(&[&var], step)).unwrap());
                    assert_ne!(read(&var), start, "{} {dims:?}", family.name);
                    read(&var)
                });
                let ends: Vec<_> = ends.collect();
                assert!(ends.windows(2).all(|two| two[0] == two[1]), "{} {dtype:?} {shapes:?}", family.name);
            }
        }
    }
}

#[test]
fn f32_follows_f64_as_far_as_its_rounding_goes() {
    // SOAP takes its bases from the first gradient, and this one has lost rank: in what it has lost any basis is one, and rounding
    // chooses. Its own tests hold it against f64 on gradients of full rank.
    for family in driven().filter(|family| family.name != "soap") {
        let vars = [DType::F32, DType::F64].map(|dtype| {
            let var = var(&[4, 5], dtype);
            let mut optimizer = Optimizer::new(vec![var.clone()], (*family).into()).unwrap();
            (0..5).for_each(|step| optimizer.step(&gradients(&[&var], step)).unwrap());
            var.to_dtype(DType::F64).unwrap()
        });
        let distance = (&vars[0] - &vars[1]).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f64>().unwrap();
        assert!(distance < 2e-6, "{}: {distance:e}", family.name);
    }
}

#[test]
fn adamw_is_candle_nn_s() {
    let [ours, theirs] = [var(&[6, 5], DType::F64), var(&[6, 5], DType::F64)];
    let params = candle_nn::ParamsAdamW { lr: 0.01, beta2: 0.99, weight_decay: 0.1, ..Default::default() };
    let mut our = Optimizer::from_slice(&[&ours], params.clone().into()).unwrap();
    let mut their = candle_nn::AdamW::from_slice(&[&theirs], params).unwrap();
    for step in 0..50 {
        our.step(&gradients(&[&ours], step)).unwrap();
        their.step(&gradients(&[&theirs], step)).unwrap();
        our.set_learning_rate(our.learning_rate() * 0.95);
        their.set_learning_rate(their.learning_rate() * 0.95);
    }
    let distance = (ours.as_tensor() - theirs.as_tensor()).unwrap().abs().unwrap().max_all().unwrap();
    assert!(distance.to_scalar::<f64>().unwrap() < 1e-12, "{distance}");
}

#[test]
fn a_rule_as_a_type_is_the_rule_by_its_name() {
    let typed = OptimizerConfig::rule(Adam { beta2: 0.99, ..Adam::default() }, 1e-2);
    let named = OptimizerConfig::of("adam").unwrap().with("beta2", 0.99).unwrap().with("lr", 1e-2).unwrap();
    let ends = [typed, named].map(|config| {
        let var = var(&[7], DType::F32);
        let mut optimizer = Optimizer::new(vec![var.clone()], config).unwrap();
        (0..3).for_each(|step| optimizer.step(&gradients(&[&var], step)).unwrap());
        read(&var)
    });
    assert_eq!(ends[0], ends[1]);
}

/// Two variables under any optimizer, in groups and skipping or not.
fn grouped(config: &OptimizerConfig, skip: bool) -> ([Var; 3], Optimizer) {
    let vars = [var(&[3, 4], DType::F32), var(&[4], DType::F64), var(&[2, 2], DType::F32)];
    let sgd = OptimizerConfig::of("sgd").unwrap().with("momentum", 0.9).unwrap();
    let names = ["body.weight", "body.bias", "head.weight"].map(String::from);
    let optimizer = Optimizer::builder(config.clone()).group("head.*", sgd).skip_missing(skip);
    (vars.clone(), optimizer.build(names.into_iter().zip(vars)).unwrap())
}

#[test]
fn every_optimizer_goes_on_from_its_file_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.safetensors");
    for family in driven() {
        for skip in [false, true] {
            for evaluating in [false, true] {
                let config = OptimizerConfig::from(*family);
                let (vars, mut whole) = grouped(&config, skip);
                let all: Vec<&Var> = vars.iter().collect();
                (0..3).for_each(|step| whole.step(&gradients(&all, step)).unwrap());
                if evaluating {
                    whole.eval().unwrap();
                }
                whole.save(&path).unwrap();
                let (copies, mut again) = grouped(&config, skip);
                copies.iter().zip(&vars).for_each(|(copy, var)| copy.set(var).unwrap());
                again.load(&path).unwrap();
                whole.train().unwrap();
                assert_eq!(again.steps(), 3);
                for step in 3..6 {
                    whole.step(&gradients(&all, step)).unwrap();
                    again.step(&gradients(&copies.iter().collect::<Vec<_>>(), step)).unwrap();
                }
                for (copy, var) in copies.iter().zip(&vars) {
                    assert_eq!(read(copy), read(var), "{} {skip} {evaluating}", family.name);
                }
                assert_eq!(sorted(&again.state().unwrap()), sorted(&whole.state().unwrap()), "{}", family.name);
            }
        }
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing partial is left");
}

#[test]
fn a_state_that_does_not_fit_is_refused_by_name_and_changes_nothing() {
    let config = OptimizerConfig::of("schedule-free-adamw").unwrap();
    let (vars, mut optimizer) = grouped(&config, false);
    optimizer.step(&gradients(&vars.iter().collect::<Vec<_>>(), 0)).unwrap();
    let good = optimizer.state().unwrap();
    let (_, mut other) = grouped(&config, false);
    let untouched = other.state().unwrap();
    let mut refused = |change: &dyn Fn(&mut HashMap<String, Tensor>), words: &[&str]| {
        let mut state = good.clone();
        change(&mut state);
        let said = message(other.load_state(&state));
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
        assert_eq!(sorted(&other.state().unwrap()), sorted(&untouched));
    };
    let zeros = |dims: &[usize], dtype| Tensor::zeros(dims, dtype, &Device::Cpu).unwrap();
    refused(&|state| drop(state.remove("body.bias.v")), &["body.bias.v"]);
    refused(&|state| drop(state.remove("head.weight.step")), &["head.weight.step"]);
    refused(&|state| drop(state.insert("tail.m".into(), zeros(&[1], DType::F32))), &["tail.m"]);
    refused(&|state| drop(state.insert("body.bias.z".into(), zeros(&[5], DType::F64))), &["body.bias.z", "[5]", "[4]"]);
    refused(&|state| drop(state.insert("body.bias.z".into(), zeros(&[4], DType::F32))), &["body.bias.z", "F32", "F64"]);
    refused(
        &|state| drop(state.insert("body.bias.history".into(), zeros(&[3], DType::F64))),
        &["history", "[3]", "[2]"],
    );
    refused(
        &|state| drop(state.insert("body.bias.step".into(), Tensor::new(9_i64, &Device::Cpu).unwrap())),
        &["steps"],
    );
}

#[test]
fn a_missing_gradient_is_named_and_nothing_has_moved() {
    let (vars, mut optimizer) = grouped(&OptimizerConfig::of("adamw").unwrap(), false);
    let before = vars.each_ref().map(|var| read(var));
    let said = message(optimizer.step(&gradients(&[&vars[0], &vars[2]], 0)));
    assert!(said.contains("`body.bias` has no gradient"), "{said}");
    assert_eq!((vars.each_ref().map(|var| read(var)), optimizer.steps()), (before, 0));
}

#[test]
fn a_skipped_parameter_is_as_if_the_step_had_not_been() {
    for family in driven() {
        let (vars, mut optimizer) = grouped(&(*family).into(), true);
        let (alone, mut lone) = grouped(&(*family).into(), true);
        for step in 0..5 {
            let all: Vec<&Var> = vars.iter().collect();
            // The bias has a gradient in every other step only.
            if step % 2 == 0 {
                optimizer.step(&gradients(&all, step)).unwrap();
                lone.step(&gradients(&[&alone[1]], step)).unwrap();
            } else {
                let (before, state) = (read(&vars[1]), optimizer.state().unwrap());
                optimizer.step(&gradients(&[&vars[0], &vars[2]], step)).unwrap();
                assert_eq!(read(&vars[1]), before);
                let after = optimizer.state().unwrap();
                for (name, tensor) in state.iter().filter(|(name, _)| name.starts_with("body.bias")) {
                    assert_eq!(read(tensor), read(&after[name]), "{} {name}", family.name);
                }
            }
        }
        assert_eq!(read(&vars[1]), read(&alone[1]), "{}", family.name);
        assert_eq!((optimizer.steps(), lone.steps()), (5, 3));
    }
}

#[test]
fn groups_have_their_own_hyperparameters_and_their_share_of_the_rate() {
    let sgd = || OptimizerConfig::of("sgd").unwrap().with("lr", 0.5).unwrap();
    let vars = [var(&[2], DType::F32), var(&[2, 2], DType::F32), var(&[3], DType::F32)];
    let names = ["a.bias", "a.weight", "b.bias"].map(String::from);
    let mut optimizer = Optimizer::builder(sgd())
        .group(|_: &str, var: &Var| var.rank() == 2, sgd().lr_factor(0.5).unwrap())
        .group("*.bias", sgd().with("lr", 1.0).unwrap())
        .build(names.into_iter().zip(vars.clone()))
        .unwrap();
    optimizer.set_learning_rate(0.05);
    let start = vars.each_ref().map(|var| var.copy().unwrap());
    let gradients = gradients(&vars.each_ref(), 3);
    optimizer.step(&gradients).unwrap();
    for ((var, start), rate) in vars.iter().zip(start).zip([0.1, 0.025, 0.1]) {
        let moved = (start - (gradients.get(var).unwrap() * rate).unwrap()).unwrap();
        let distance = (moved - var.as_tensor()).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        assert!(distance < 1e-7, "{distance}");
    }
    let nobody = Optimizer::builder(sgd()).group("c.*", sgd()).build([("a".into(), vars[0].clone())]);
    assert!(message(nobody).contains("`c.*`"));
}

#[test]
fn a_map_of_variables_is_taken_in_the_order_of_names() {
    let map = candle_nn::VarMap::new();
    let root = candle_nn::VarBuilder::from_varmap(&map, DType::F32, &Device::Cpu);
    for name in ["c", "a", "b"] {
        candle_nn::linear(3, 2, root.pp(name)).unwrap();
    }
    let mut optimizer = Optimizer::builder(OptimizerConfig::of("lamb").unwrap()).build_map(&map).unwrap();
    let nothing = Tensor::new(0.0_f32, &Device::Cpu).unwrap().backward().unwrap();
    assert_eq!(message(optimizer.step(&nothing)), "parameter `a.bias` has no gradient");
}

#[test]
fn what_no_rule_computes_in_is_refused_before_anything_moves() {
    let adam = || OptimizerConfig::of("adam").unwrap();
    for dtype in [DType::F16, DType::BF16, DType::U32] {
        for name in ["adam", "lamb", "muon"] {
            let vars = vec![var(&[2, 2], DType::F32), var(&[2, 2], dtype)];
            let said = message(Optimizer::new(vars, OptimizerConfig::of(name).unwrap()));
            assert_eq!(said, format!("parameter `1` is {dtype:?}, expected F32 or F64"));
        }
    }
    let one = var(&[2], DType::F32);
    let twice = message(Optimizer::new(vec![one.clone(), one.clone()], adam()));
    assert!(twice.contains("`0` and `1` share storage"), "{twice}");
    let names = Optimizer::builder(adam()).build([("a".into(), one.clone()), ("a".into(), var(&[2], DType::F32))]);
    assert!(message(names).contains("two parameters are called `a`"));
    let mut none = Optimizer::empty(adam()).unwrap();
    none.step(&gradients(&[&one], 0)).unwrap();
    let mut optimizer = Optimizer::new(vec![one.clone(), var(&[0, 3], DType::F32)], adam()).unwrap();
    assert!(message(optimizer.step(&gradients(&[&one], 0))).contains("`1` has no gradient"));
    optimizer.set_learning_rate(f64::NAN);
    assert!(message(optimizer.step(&gradients(&[&one], 0))).contains("NaN"));
    assert_eq!((optimizer.steps(), read(&one)), (0, read(&var(&[2], DType::F32))));
}

#[test]
fn a_rule_that_takes_the_curvature_of_a_net_is_refused() {
    let said = message(Optimizer::new(vec![var(&[2], DType::F32)], OptimizerConfig::of("sophia").unwrap()));
    assert!(said.contains("sophia takes the curvature"), "{said}");
}

#[test]
fn a_hyperparameter_that_is_wrong_is_refused_in_words() {
    let adam = || OptimizerConfig::of("adam").unwrap();
    assert!(message(OptimizerConfig::of("adm")).contains("`adm`, expected one of sgd, adam"));
    assert_eq!(message(adam().with("beta2", 1)), "`beta2` is 1, expected a number in [0, 1)");
    assert!(message(adam().with("beta3", 0.5)).contains("which has lr, beta1, beta2"));
    assert_eq!(message(adam().with("amsgrad", 0.5)), "`amsgrad` is 0.5, expected true or false");
    assert!(message(adam().lr_factor(-1.0)).contains("`lr` is -0.001"));
    let both = adam().with("amsgrad", true).unwrap().with("cautious", true).unwrap();
    assert!(message(Optimizer::empty(both)).contains("not defined"));
    let params = candle_nn::ParamsAdamW { eps: 0.0, ..Default::default() };
    assert!(message(Optimizer::empty(params.into())).contains("`eps` is 0"));
    OptimizerConfig::of("muon").unwrap().with("adjust", "match_rms_adamw").unwrap();
}

#[test]
fn gradients_need_not_lie_in_the_order_of_their_elements() {
    let weight = var(&[3, 4], DType::F32);
    let x = var(&[3, 5], DType::F32);
    let gradients = weight.t().unwrap().matmul(&x).unwrap().sqr().unwrap().sum_all().unwrap().backward().unwrap();
    let mut optimizer = Optimizer::new(vec![weight.clone()], OptimizerConfig::of("adam").unwrap()).unwrap();
    optimizer.step(&gradients).unwrap();
}

#[test]
fn a_schedule_free_net_is_evaluated_elsewhere_and_trains_on_where_it_was() {
    let var = var(&[5], DType::F32);
    let config = OptimizerConfig::of("schedule-free-adamw").unwrap().with("lr", 0.1).unwrap();
    let mut optimizer = Optimizer::new(vec![var.clone()], config).unwrap();
    (0..9).for_each(|step| optimizer.step(&gradients(&[&var], step)).unwrap());
    let here = read(&var);
    optimizer.eval().unwrap();
    assert_ne!(read(&var), here);
    assert!(message(optimizer.step(&gradients(&[&var], 9))).contains("`train`"));
    optimizer.train().unwrap();
    assert_eq!((read(&var), optimizer.steps()), (here, 9));
}

/// Bytes that this process holds in memory.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    4096 * pages.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
}

#[test]
fn what_is_built_on_one_thread_and_dropped_on_another_is_freed() {
    let round = || {
        let var = Var::ones(10_000_000, DType::F32, &Device::Cpu).unwrap();
        let optimizer = Optimizer::new(vec![var], OptimizerConfig::of("adam").unwrap()).unwrap();
        std::thread::spawn(move || drop(optimizer)).join().unwrap();
    };
    round();
    let before = resident();
    (0..4).for_each(|_| round());
    let grown = resident().saturating_sub(before);
    // θ, m and v of one round have 120 MB, θ alone 40.
    assert!(grown < 80_000_000, "{grown} bytes more");
}

#[test]
fn the_examples_run() {
    convolution::main().unwrap();
    sweep::main().unwrap();
    own_rule::main().unwrap();
}

/// Rosenbrock's valley.
fn valley(x: &Var) -> Tensor {
    let (a, b) = (x.narrow(0, 0, 1).unwrap(), x.narrow(0, 1, 1).unwrap());
    let across = ((&b - a.sqr().unwrap()).unwrap().sqr().unwrap() * 100.0).unwrap();
    (across + (1.0 - a).unwrap().sqr().unwrap()).unwrap().sum_all().unwrap()
}

#[test]
fn lbfgs_is_told_the_loss_by_a_backward_step_and_goes_on_from_its_state() {
    let config = OptimizerConfig::of("l-bfgs").unwrap();
    let start = Var::new(&[-1.2, 1.0], &Device::Cpu).unwrap();
    let mut lbfgs = Optimizer::new(vec![start.clone()], config.clone()).unwrap();
    let mut again = (start.clone(), None);
    for evaluation in 0..60 {
        lbfgs.backward_step(&valley(&start)).unwrap();
        if let (copy, Some(other)) = &mut again {
            let other: &mut Optimizer = other;
            other.backward_step(&valley(copy)).unwrap();
            assert_eq!(read(copy), read(&start), "{evaluation}");
        }
        // In the middle of a search as well, whether the variables are saved at its trial or where the net is evaluated.
        if evaluation % 7 == 6 {
            if evaluation % 2 == 0 {
                lbfgs.eval().unwrap();
            }
            let copy = Var::from_tensor(&start.as_tensor().copy().unwrap()).unwrap();
            let mut other = Optimizer::new(vec![copy.clone()], config.clone()).unwrap();
            other.load_state(&lbfgs.state().unwrap()).unwrap();
            lbfgs.train().unwrap();
            again = (copy, Some(other));
        }
    }
    lbfgs.eval().unwrap();
    let loss = valley(&start).to_scalar::<f64>().unwrap();
    assert!(loss < 1e-10, "{loss:e}");
}

#[test]
fn lbfgs_refuses_a_step_without_a_loss_groups_and_skipping() {
    let var = var(&[3], DType::F32);
    let lbfgs = OptimizerConfig::of("lbfgs").unwrap();
    let mut optimizer = Optimizer::new(vec![var.clone()], lbfgs.clone()).unwrap();
    let said = message(optimizer.step(&gradients(&[&var], 0)));
    assert!(said.contains("the loss of each step") && said.contains("backward_step"), "{said}");
    let vars = || ["a", "b"].map(|name| (name.to_owned(), self::var(&[2], DType::F32)));
    let grouped = Optimizer::builder(OptimizerConfig::of("adam").unwrap()).group("a", lbfgs.clone()).build(vars());
    assert!(message(grouped).contains("lbfgs searches along the loss of all parameters"));
    let skipping = Optimizer::builder(lbfgs).skip_missing(true).build(vars());
    assert!(message(skipping).contains("skips none"));
}
