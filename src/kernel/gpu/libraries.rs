//! CUDA's shared libraries: where they are found.
//!
//! They are opened here, by name, before anything calls them: what is missing is known then, and the calls of cudarc, which take what the
//! process has already, never meet a library that is not there.

use std::ffi::{CStr, CString, OsStr, c_void};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::Library;

/// What a library is called.
pub struct Names {
    name: &'static str,
    /// Whether nothing runs without it.
    pub required: bool,
    /// Files of its versions, the preferred one first.
    files: &'static [&'static str],
    /// One of its functions.
    function: &'static CStr,
}

/// The driver's library.
pub const DRIVER: Names = Names { name: "libcuda", required: true, files: &["libcuda.so.1"], function: c"cuInit" };

/// The toolkit's libraries, each after those that it needs itself.
pub const TOOLKIT: [Names; 4] = [
    Names {
        name: "libcublasLt",
        required: true,
        files: &["libcublasLt.so.13", "libcublasLt.so.12"],
        function: c"cublasLtCreate",
    },
    Names {
        name: "libcublas",
        required: true,
        files: &["libcublas.so.13", "libcublas.so.12"],
        function: c"cublasCreate_v2",
    },
    Names { name: "libcurand", required: true, files: &["libcurand.so.10"], function: c"curandCreateGenerator" },
    // The kernels are compiled with the program.
    Names {
        name: "libnvrtc",
        required: false,
        files: &["libnvrtc.so.13", "libnvrtc.so.12"],
        function: c"nvrtcVersion",
    },
];

/// Looks for all of them.
pub fn libraries() -> Vec<Library> {
    let all = std::iter::once(&DRIVER).chain(&TOOLKIT);
    all.map(|names| Library { name: names.name, required: names.required, place: names.load() }).collect()
}

impl Names {
    /// Opens the library for the rest of the process and answers where it lies: where the system looks for libraries, else in the toolkit that
    /// `CUDA_HOME` or `CUDA_PATH` names, else in the usual one.
    ///
    /// # Errors
    /// What is missing, in words.
    pub fn load(&self) -> Result<PathBuf, String> {
        let mut why = None;
        for file in self.files {
            for folder in [None].into_iter().chain(folders().into_iter().map(Some)) {
                let path = folder.map_or_else(|| PathBuf::from(file), |folder| folder.join(file));
                match open(&path) {
                    Ok(handle) => return Ok(self.place(handle).unwrap_or(path)),
                    // A library that is there but lacks another says more than the others, which are not there.
                    Err(error) if !error.starts_with(&path.display().to_string()) => why = why.or(Some(error)),
                    Err(_) => {}
                }
            }
        }
        let found = why.map(|why| format!(" ({why})")).unwrap_or_default();
        Err(format!("{} not found on this machine{found}", self.files[0]))
    }

    /// The file that `handle` was opened from.
    fn place(&self, handle: *mut c_void) -> Option<PathBuf> {
        // SAFETY: `handle` is that of an open library, the name ends with a null byte.
        let function = unsafe { libc::dlsym(handle, self.function.as_ptr()) };
        let mut info = std::mem::MaybeUninit::<libc::Dl_info>::uninit();
        // SAFETY: dladdr takes any address and fills `info` where it answers other than 0; the file's name then is a text with a null
        // byte at its end that lives as long as the library is open: to the end of the process.
        let name = unsafe {
            if function.is_null() || libc::dladdr(function, info.as_mut_ptr()) == 0 {
                return None;
            }
            CStr::from_ptr(info.assume_init().dli_fname)
        };
        Some(PathBuf::from(OsStr::from_bytes(name.to_bytes())))
    }
}

/// Folders of toolkits, beside those where the system looks.
fn folders() -> Vec<PathBuf> {
    let named = ["CUDA_HOME", "CUDA_PATH"].into_iter().filter_map(std::env::var_os).map(PathBuf::from);
    let homes = named.filter(|home| home.is_absolute()).chain([PathBuf::from("/usr/local/cuda")]);
    homes.flat_map(|home| [home.join("lib64"), home.join("lib")]).collect()
}

/// Opens a library, whose functions others then find by name.
fn open(path: &Path) -> Result<*mut c_void, String> {
    let path = CString::new(path.as_os_str().as_bytes()).map_err(|error| error.to_string())?;
    // SAFETY: the name ends with a null byte. Loading runs the library's own start, as linking against it would.
    let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) };
    if !handle.is_null() {
        return Ok(handle);
    }
    // SAFETY: dlerror answers null or a text of this thread that stands until the next call of these functions.
    let text = unsafe { libc::dlerror() };
    // SAFETY: as above; it is copied at once.
    let text = (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned());
    Err(text.unwrap_or_else(|| "it cannot be opened".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_that_is_there_has_a_place_and_another_a_reason() {
        let libc = Names { name: "libc", required: true, files: &["libnone.so.9", "libc.so.6"], function: c"malloc" };
        assert!(libc.load().is_ok_and(|path| path.is_absolute()), "{:?}", libc.load());
        let none = Names { files: &["libnone.so.9"], ..libc };
        assert_eq!(none.load(), Err("libnone.so.9 not found on this machine".into()));
    }
}
