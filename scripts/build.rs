//! Tells the program which commit and which candle it is built from, for `run.json`, and with the feature `cuda` compiles its kernels to PTX.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_else(|| "unknown".into());
    println!("cargo::rustc-env=ADAMTRAIN_COMMIT={commit}");
    println!("cargo::rustc-env=ADAMTRAIN_CANDLE={}", locked("candle-core").unwrap_or_else(|| "unknown".into()));
    println!("cargo::rerun-if-changed=scripts/build.rs");
    // The file that a commit changes; absent in a source archive.
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"])
        && Path::new(&log).exists()
    {
        println!("cargo::rerun-if-changed={log}");
    }
    if env::var_os("CARGO_FEATURE_CUDA").is_some() {
        compile_kernels();
    }
}

/// The version of a package in `Cargo.lock`.
fn locked(package: &str) -> Option<String> {
    const LOCK: &str = "Cargo.lock";
    let text = std::fs::read_to_string(LOCK).ok()?;
    println!("cargo::rerun-if-changed={LOCK}");
    let (_, after) = text.split_once(&format!("name = \"{package}\"\nversion = \""))?;
    after.split('"').next().map(str::to_owned)
}

/// Where the kernels' sources lie; each `.cu` file there becomes one PTX text of the same name in `OUT_DIR`.
const KERNELS: &str = "src/kernel/gpu";

/// PTX of the oldest capability that CUDA 13 compiles for runs on every card from there on; the driver makes machine code of it
/// when it is loaded. Contraction is off because the CPU's loops round after each product, too.
const FLAGS: [&str; 4] = ["-ptx", "-arch=compute_75", "-fmad=false", "-O3"];

fn compile_kernels() {
    for variable in ["NVCC", "CUDA_HOME", "CUDA_PATH"] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    let nvcc = nvcc();
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    // None may be left of a source that is gone: `scripts/cuda.sh check` assembles all of them.
    for entry in std::fs::read_dir(&out).into_iter().flatten().flatten() {
        if entry.path().extension().is_some_and(|kind| kind == "ptx") {
            let _ = std::fs::remove_file(entry.path());
        }
    }
    let entries = std::fs::read_dir(KERNELS).unwrap_or_else(|error| stop(&format!("{KERNELS}: {error}")));
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let kind = path.extension().and_then(|kind| kind.to_str());
        if matches!(kind, Some("cu" | "cuh" | "h")) {
            println!("cargo::rerun-if-changed={}", path.display());
        }
        if kind == Some("cu") {
            let ptx = out.join(path.with_extension("ptx").file_name().expect("it has a name"));
            let compiled = Command::new(&nvcc).args(FLAGS).arg("-o").arg(&ptx).arg(&path).output();
            match compiled {
                Ok(output) if output.status.success() => {}
                Ok(output) => stop(&format!(
                    "{} does not compile ({} ended with {}):\n{}{}",
                    path.display(),
                    nvcc.display(),
                    output.status,
                    String::from_utf8_lossy(&output.stdout),
                    String::from_utf8_lossy(&output.stderr),
                )),
                Err(error) => stop(&format!("{} cannot be run: {error}", nvcc.display())),
            }
        }
    }
}

/// The compiler: named by `NVCC`, else that of the toolkit named by `CUDA_HOME` or `CUDA_PATH`, else the first in `PATH`, else
/// that of the usual folder.
fn nvcc() -> PathBuf {
    if let Some(nvcc) = env::var_os("NVCC").filter(|nvcc| !nvcc.is_empty()) {
        return nvcc.into();
    }
    let homes = ["CUDA_HOME", "CUDA_PATH"].into_iter().filter_map(env::var_os).map(|home| Path::new(&home).join("bin"));
    let on_path = env::var_os("PATH").unwrap_or_default();
    let folders = homes.chain(env::split_paths(&on_path)).chain([PathBuf::from("/usr/local/cuda/bin")]);
    folders.map(|folder| folder.join("nvcc")).find(|nvcc| nvcc.is_file()).unwrap_or_else(|| {
        stop(
            "the feature `cuda` needs nvcc, and none was found: install the CUDA toolkit and name its folder by CUDA_HOME, or build \
             with `scripts/cuda.sh build`, which needs no toolkit",
        )
    })
}

/// Ends the build with a message.
fn stop(message: &str) -> ! {
    for line in message.lines() {
        println!("cargo::error={line}");
    }
    std::process::exit(1)
}
