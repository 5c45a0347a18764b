//! How a rule lists its hyperparameters: once.

use super::hyper::{Hyper, Hypers};

/// A rule made of hyperparameters: what [`hyperparameters!`](crate::hyperparameters) implements.
pub trait Hyperparameters: Sized {
    /// All, with their defaults; the first is the learning rate.
    const HYPERS: &'static [Hyper];

    /// With these values.
    fn new(hypers: &Hypers) -> Self;
}

/// A rule as a structure of its hyperparameters, each named once with its default here:
///
/// ```ignore
/// hyperparameters! {
///     /// Adagrad.
///     pub struct Adagrad {
///         lr = LR.or(1e-2),
///         eps: f64 = EPS.or(1e-10),
///         weight_decay: f64 = WEIGHT_DECAY,
///         + CENTERED,
///     }
/// }
/// ```
///
/// makes the structure with public fields, its [`Hyperparameters`](crate::optim::Hyperparameters) and its `Default`. `lr` comes with
/// each step and is no field. What stands behind `+` is no field either: it decides of which type the rule is. A field without
/// `= …` is no hyperparameter; the family sets it. The names of [`hyper`](crate::optim::hyper) are in scope.
#[macro_export]
macro_rules! hyperparameters {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident {
            lr = $lr:expr,
            $($(#[$doc:meta])* $field:ident: $kind:ty $(= $hyper:expr)?,)*
            $(+ $option:expr,)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq)]
        $vis struct $name {
            $(
                $(#[$doc])*
                $(#[doc = concat!("`", stringify!($hyper), "`")])?
                pub $field: $kind,
            )*
        }

        impl $crate::optim::Hyperparameters for $name {
            const HYPERS: &'static [$crate::optim::Hyper] = {
                #[allow(unused_imports, clippy::wildcard_imports)]
                use $crate::optim::hyper::*;
                &[$lr, $($($hyper,)?)* $($option,)*]
            };

            fn new(hypers: &$crate::optim::Hypers) -> Self {
                #[allow(unused_imports, clippy::wildcard_imports)]
                use $crate::optim::hyper::*;
                Self {
                    $($field: {
                        let value = <$kind>::default();
                        $(let value = hypers.field::<$kind>(&$hyper).unwrap_or(value);)?
                        value
                    },)*
                }
            }
        }

        impl Default for $name {
            /// All at their defaults.
            fn default() -> Self {
                let hypers = <Self as $crate::optim::Hyperparameters>::HYPERS;
                <Self as $crate::optim::Hyperparameters>::new(&$crate::optim::Hypers::defaults(hypers))
            }
        }
    };
}
