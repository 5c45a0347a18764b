//! Which kernels the optimizers need.

use super::*;
use crate::kernel::gpu::Source;

/// The kernels of all optimizers: of the golden cases, and of what any of their switches brings besides. Those of a case come with
/// its scalars, so that a kernel may come more than once.
pub(crate) fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    for case in golden() {
        collect(case.family, &case.hypers, &mut found);
    }
    for case in golden() {
        let switches: Vec<_> = case.family.hypers.iter().filter(|hyper| hyper.accepts == Accepts::Switch).collect();
        for on in 0..1_u32 << switches.len() {
            let hypers = switches.iter().enumerate().fold(case.hypers.clone(), |hypers, (i, switch)| {
                hypers.with(switch, HyperValue::Switch(on >> i & 1 == 1))
            });
            if (case.family.refuse)(&hypers).is_none() {
                let mut more = Vec::new();
                collect(case.family, &hypers, &mut more);
                more.retain(|source| found.iter().all(|known| known.name != source.name));
                found.append(&mut more);
            }
        }
    }
    found
}

/// The kernels of an optimizer that drives a hidden matrix and a vector.
fn collect(family: &Family, hypers: &Hypers, found: &mut Vec<Source>) {
    let variable = |dims: &[usize]| Var::zeros(dims, DType::F32, &Device::Cpu).unwrap();
    let parameters = [
        Parameter { is_hidden: true, ..Parameter::new("weight", &variable(&[1, 2, 2])) },
        Parameter::new("bias", &variable(&[1, 2])),
    ];
    let optimizer = (family.build)(&parameters, std::slice::from_ref(hypers)).unwrap();
    optimizer.kernels(found);
}
