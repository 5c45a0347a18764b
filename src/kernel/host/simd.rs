//! Which vector instructions the element-wise loops use, chosen once at run time.
//!
//! A loop is written once as plain Rust and compiled three times, by `vectorised!`, with different instructions allowed.
//! Element-wise code gives the same bits in each: every operation is IEEE, and a fused multiply-add is written as one.

use std::sync::OnceLock;

/// Vector instructions of the CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Width {
    /// Whatever the target guarantees.
    Scalar,
    /// 256 bits, with fused multiply-add.
    Avx2,
    /// 512 bits.
    Avx512,
}

/// The variable that names the widest instructions to use, to measure with narrower ones than a CPU has; bits are the same.
pub const VARIABLE: &str = "ADAMTRAIN_VECTORS";

impl Width {
    /// All, from narrow to wide.
    const ALL: [Self; 3] = [Self::Scalar, Self::Avx2, Self::Avx512];

    /// The widest that [`VARIABLE`] allows.
    ///
    /// # Errors
    /// With what it holds, if that is the name of none.
    pub fn asked() -> Result<Self, String> {
        match std::env::var(VARIABLE) {
            Ok(word) if word.is_empty() => Ok(Self::Avx512),
            Ok(word) => Self::ALL.into_iter().find(|width| width.name() == word).ok_or(word),
            Err(std::env::VarError::NotPresent) => Ok(Self::Avx512),
            Err(std::env::VarError::NotUnicode(word)) => Err(word.to_string_lossy().into_owned()),
        }
    }

    /// The widest that this CPU has, and that may be used.
    pub fn detect() -> Self {
        static WIDTH: OnceLock<Width> = OnceLock::new();
        #[cfg(test)]
        if let Some(width) = tests::FORCED.lock().ok().and_then(|forced| *forced) {
            return width;
        }
        *WIDTH.get_or_init(|| {
            let most = Self::asked().unwrap_or(Self::Avx512);
            Self::available().into_iter().rfind(|width| *width <= most).unwrap_or(Self::Scalar)
        })
    }

    /// All that this CPU has, from narrow to wide.
    pub fn available() -> Vec<Self> {
        #[cfg_attr(not(target_arch = "x86_64"), allow(unused_mut))]
        let mut widths = vec![Self::Scalar];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                widths.push(Self::Avx2);
                if is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vl")
                {
                    widths.push(Self::Avx512);
                }
            }
        }
        widths
    }

    /// The name as `run.json` holds it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }
}

/// Asks for `values` to be brought into the second-level cache: the first has few places for lines on their way, and who asks for more waits.
pub fn prefetch<T>(values: &[T]) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        const LINE: usize = 64;
        for line in values.chunks((LINE / size_of::<T>()).max(1)) {
            // SAFETY: a prefetch is a hint, and its address lies in the slice.
            unsafe { _mm_prefetch::<_MM_HINT_T1>(line.as_ptr().cast()) };
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = values;
}

/// Asks for the line in which a number lies to be brought into the first-level cache.
#[inline(always)]
pub fn prefetch_near(number: *const f32) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch is a hint, wherever it points.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(number.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = number;
}

/// The sum of N numbers, a power of two, by halves: an order that does not depend on the vector width.
#[inline(always)]
pub fn by_halves<T: Copy + std::ops::AddAssign, const N: usize>(mut numbers: [T; N]) -> T {
    let mut half = N / 2;
    while half > 0 {
        for i in 0..half {
            numbers[i] += numbers[i + half];
        }
        half /= 2;
    }
    numbers[0]
}

/// Declares a function whose body is compiled once per [`Width`]; the first argument of a call chooses. Generic parameters stand in
/// brackets, as declared and then by name.
///
/// The body must be `#[inline(always)]` code: what it calls is compiled with the caller's instructions only when inlined.
macro_rules! vectorised {
    (
        $(#[$meta:meta])*
        $visibility:vis fn $name:ident [$($generics:tt)*] [$($names:tt)*] ($($argument:ident: $type:ty),* $(,)?) $(-> $answer:ty)?
        $(where [$($bounds:tt)*])?
        $body:block
    ) => {
        $(#[$meta])*
        #[allow(clippy::too_many_arguments)]
        $visibility fn $name<$($generics)*>(width: $crate::kernel::simd::Width, $($argument: $type),*) $(-> $answer)?
        $(where $($bounds)*)?
        {
            #[inline(always)]
            fn body<$($generics)*>($($argument: $type),*) $(-> $answer)? $(where $($bounds)*)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2<$($generics)*>($($argument: $type),*) $(-> $answer)? $(where $($bounds)*)? {
                body::<$($names)*>($($argument),*)
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx2,fma")]
            fn avx512<$($generics)*>($($argument: $type),*) $(-> $answer)? $(where $($bounds)*)? {
                body::<$($names)*>($($argument),*)
            }

            match width {
                #[cfg(target_arch = "x86_64")]
                // SAFETY: a `Width` above `Scalar` comes from `Width::available`, which asked the CPU.
                $crate::kernel::simd::Width::Avx512 => unsafe { avx512::<$($names)*>($($argument),*) },
                #[cfg(target_arch = "x86_64")]
                // SAFETY: as above.
                $crate::kernel::simd::Width::Avx2 => unsafe { avx2::<$($names)*>($($argument),*) },
                _ => body::<$($names)*>($($argument),*),
            }
        }
    };
}

pub(crate) use vectorised;

#[cfg(test)]
pub(crate) mod tests {
    use super::Width;
    use std::sync::Mutex;

    /// What [`Width::detect`] answers instead, in any thread. Tests run side by side: only for code whose bits do not depend on it.
    pub static FORCED: Mutex<Option<Width>> = Mutex::new(None);
}
