//! Runs the kernels on the CPU: the very text, compiled as C++ by `shim.h`, whose threads run one after the other.

use std::collections::HashMap;
use std::ffi::{CStr, CString, c_void};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Where the kernels lie.
pub const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/kernel/gpu");

/// Names a compiled library to take; without it one is made.
pub const LIBRARY: &str = "ADAMTRAIN_EMULATED_KERNELS";

/// A kernel that takes its grid, its block, and a pointer to each argument.
type EntryPoint = unsafe extern "C" fn(*const u32, u32, *const *const c_void);

/// The kernels, as functions.
#[derive(Debug)]
pub struct Emulator {
    entries: HashMap<String, EntryPoint>,
}

impl Emulator {
    /// The kernels, compiled once a process; none where there is no `g++`, which is said.
    pub fn get() -> Option<&'static Self> {
        static EMULATOR: OnceLock<Option<Emulator>> = OnceLock::new();
        EMULATOR.get_or_init(Self::load).as_ref()
    }

    fn load() -> Option<Self> {
        let (_, names) = unit();
        if let Some(library) = std::env::var_os(LIBRARY) {
            return Some(Self::open(Path::new(&library), &names));
        }
        let folder = tempfile::tempdir().unwrap();
        // A library stays in memory when its file is gone.
        compile(folder.path(), &[]).map(|library| Self::open(&library, &names))
    }

    fn open(library: &Path, names: &[String]) -> Self {
        let path = CString::new(library.to_str().unwrap()).unwrap();
        // SAFETY: the path ends with a zero. What the library runs as it is loaded are constructors of C++ alone.
        let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        assert!(!handle.is_null(), "{}: {}", library.display(), last_error());
        let entry = |name: &String| {
            let symbol = CString::new(format!("run_{name}")).unwrap();
            // SAFETY: the handle is open and stays so, and the name ends with a zero.
            let address = unsafe { libc::dlsym(handle, symbol.as_ptr()) };
            assert!(!address.is_null(), "{name}: {}", last_error());
            // SAFETY: `EXPORT` of shim.h gives every function `run_…` this form.
            let entry = unsafe { std::mem::transmute::<*mut c_void, EntryPoint>(address) };
            (name.clone(), entry)
        };
        Self { entries: names.iter().map(entry).collect() }
    }

    /// Runs a launch, one thread after the other. `arguments` points at each argument, as for `cuLaunchKernel`.
    ///
    /// # Safety
    /// The arguments are those of the kernel in number and type, and what they point at is as the kernel expects.
    pub unsafe fn launch(&self, kernel: &str, grid: [u32; 3], block: u32, arguments: &[*const c_void]) {
        let entry = self.entries.get(kernel).unwrap_or_else(|| panic!("there is no kernel `{kernel}`"));
        // SAFETY: the caller promises it.
        unsafe { entry(grid.as_ptr(), block, arguments.as_ptr()) };
    }
}

/// A pointer to an argument of a launch.
pub fn argument<T>(value: &T) -> *const c_void {
    std::ptr::from_ref(value).cast()
}

fn last_error() -> String {
    // SAFETY: after a failed call it is a text that ends with a zero, or null.
    let text = unsafe { libc::dlerror() };
    // SAFETY: as above.
    if text.is_null() { String::new() } else { unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned() }
}

/// The kernels as one unit of C++, and their names.
fn unit() -> (String, Vec<String>) {
    let path = |file: &str| format!("{FOLDER}/{file}");
    let texts = ["kernels.cu", "rules.cu"].map(|file| fs::read_to_string(path(file)).unwrap());
    let names: Vec<String> = texts.iter().flat_map(|text| kernels(text)).collect();
    let includes = ["shim.h", "kernels.cu", "rules.cu"].map(|file| format!("#include \"{}\"\n", path(file)));
    let entries = names.iter().map(|name| format!("EXPORT({name})\n"));
    (includes.into_iter().chain(entries).collect(), names)
}

/// The kernels that a text defines.
pub fn kernels(text: &str) -> Vec<String> {
    let definitions = text.split("extern \"C\" __global__ void ").skip(1);
    let name = |rest: &str| {
        let rest = rest.strip_prefix("__launch_bounds__(").map_or(rest, |rest| rest.split_once(')').unwrap().1);
        rest.trim_start().split('(').next().unwrap().trim_end().to_owned()
    };
    definitions.map(name).collect()
}

/// Compiles the kernels into a library in `folder`; none where there is no `g++`.
pub fn compile(folder: &Path, flags: &[&str]) -> Option<PathBuf> {
    let (source, library) = (folder.join("kernels.cpp"), folder.join("kernels.so"));
    fs::write(&source, unit().0).unwrap();
    let mut command = Command::new("g++");
    command.args(["-O2", "-std=c++20", "-ffp-contract=off", "-fPIC", "-shared", "-Wno-unknown-pragmas"]);
    let Ok(output) = command.args(flags).arg("-o").args([&library, &source]).output() else {
        let _ = writeln!(std::io::stderr(), "skipped: the kernels are not run as C++, for there is no `g++`");
        return None;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(library)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_found_by_their_definition() {
        let text = "extern \"C\" __global__ void a(int x) {}\nextern \"C\" __global__ void __launch_bounds__(256) b(\nint y) {}";
        assert_eq!(kernels(text), ["a", "b"]);
    }
}
