//! Devices as a user meets them: `adamtrain doctor`, and GPUs that are not there or cannot be used.
//!
//! Where the feature `cuda` is on, a driver made for the test plays the GPU: it answers as much as the program asks before it works
//! with one.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod common;

use std::fs;

use common::{Place, finish, result};
use serde_json::Value;

#[test]
fn the_doctor_trains_on_every_device_that_is_here() {
    let place = Place::new();
    let report = place.answer("doctor");
    assert_eq!(report["event"], "doctor");
    assert_eq!(report["built_with_cuda"], cfg!(feature = "cuda"));
    let devices = report["devices"].as_array().unwrap();
    assert_eq!(devices[0]["device"], "cpu");
    for device in devices {
        assert_eq!((&device["ok"], &device["error"]), (&true.into(), &Value::Null), "{report}");
        let tests = device["self_test"].as_array().unwrap();
        assert_eq!(tests.len(), 2, "{report}");
        for test in tests {
            assert_eq!((&test["ok"], &test["steps"]), (&true.into(), &20.into()), "{report}");
            assert!(test["loss"].is_f64() && test["step"]["seconds"].is_f64(), "{report}");
            assert_eq!(test["weight_difference"].is_null(), device["device"] == "cpu", "{report}");
        }
    }
    let names: Vec<_> = report["libraries"].as_array().unwrap().iter().map(|library| &library["name"]).collect();
    assert_eq!(names.len(), if cfg!(feature = "cuda") { 5 } else { 0 }, "{names:?}");
    assert!(place.entries().is_empty());
}

#[test]
fn the_doctors_table_names_every_device() {
    let place = Place::new();
    let table = place.succeed("doctor").stdout;
    let built = if cfg!(feature = "cuda") { "built with CUDA" } else { "built without CUDA" };
    for words in [built, "processor", "threads", "memory", "self-test: 20 steps", "784-10", "784-64-32-10", "ok"] {
        assert!(table.contains(words), "no `{words}` in\n{table}");
    }
    place.run("doctor cuda:0").refused(2, &["cuda:0"]);
}

#[test]
fn narrower_vectors_than_the_cpu_has_give_the_same_bits_and_are_named() {
    let place = Place::new();
    let run = |vectors: &str| {
        let words = format!("--limit-train 1000 --epochs 1 --hidden 24 --device cpu --quiet --out {vectors}");
        finish(place.adamtrain(&words).env("ADAMTRAIN_VECTORS", vectors))
    };
    for vectors in ["avx512", "avx2", "scalar"] {
        run(vectors).expect(0);
        result(&place.path(vectors)).is(&result(&place.path("avx512")), vectors);
    }
    let told: Value = serde_json::from_slice(&fs::read(place.path("scalar/run.json")).unwrap()).unwrap();
    assert!(told["cpu"].as_str().unwrap().ends_with("scalar"), "{told}");
    run("avx9").refused(2, &["ADAMTRAIN_VECTORS", "`avx9`", "avx2"]);
}

#[cfg(not(feature = "cuda"))]
#[test]
fn a_program_without_cuda_says_so() {
    let place = Place::new();
    place.run("--device cuda").refused(5, &["`cuda:0`", "built without CUDA", "scripts/cuda.sh build", "--device cpu"]);
}

#[cfg(feature = "cuda")]
mod with_cuda {
    use std::path::Path;
    use std::process::Command;

    use super::common::{Outcome, Place, finish};
    use serde_json::Value;

    /// Answers from the environment: a driver for one GPU.
    const DRIVER: &str = r#"
        #include <stdio.h>
        #include <stdlib.h>
        #include <string.h>
        static int from(const char *name, int otherwise) { char *text = getenv(name); return text ? atoi(text) : otherwise; }
        int cuInit(unsigned flags) { return from("FAKE_INIT", 0); }
        int cuDriverGetVersion(int *version) { *version = from("FAKE_VERSION", 13000); return 0; }
        int cuDeviceGetCount(int *count) { *count = from("FAKE_COUNT", 1); return 0; }
        int cuDeviceGet(int *device, int ordinal) { *device = ordinal; return 0; }
        int cuDeviceGetName(char *name, int size, int device) { strncpy(name, "Test GPU", size); return 0; }
        int cuDeviceTotalMem_v2(size_t *bytes, int device) { *bytes = 8000000000; return 0; }
        int cuDeviceGetAttribute(int *value, int attribute, int device) {
            int capability = from("FAKE_CAPABILITY", 90);
            *value = attribute == 75 ? capability / 10 : attribute == 76 ? capability % 10 : attribute == 16 ? 132 : 1;
            return 0;
        }
        int cuDevicePrimaryCtxRetain(void **context, int device) { *context = malloc(1); return from("FAKE_CONTEXT", 0); }
        int cuDevicePrimaryCtxRelease_v2(int device) { return 0; }
        int cuCtxGetCurrent(void **context) { *context = NULL; return 0; }
        int cuCtxSetCurrent(void *context) { return 0; }
        int cuCtxSynchronize(void) { return 0; }
        int cuStreamCreate(void **stream, unsigned flags) { *stream = malloc(1); return 0; }
        int cuStreamDestroy_v2(void *stream) { return 0; }
        int cuStreamSynchronize(void *stream) { return 0; }
        int cuEventCreate(void **event, unsigned flags) { fputs("an event is made\n", stderr); *event = malloc(1); return 0; }
        int cuEventRecord(void *event, void *stream) { return 0; }
        int cuEventDestroy_v2(void *event) { return 0; }
        int cuDeviceGetDefaultMemPool(void **pool, int device) { *pool = malloc(1); return 0; }
        int cuMemPoolSetAttribute(void *pool, int attribute, unsigned long *value) {
            if (attribute == 4 && *value == ~0ul) fputs("memory stays in the pool\n", stderr);
            return 0;
        }
        int cuMemAllocAsync(void **address, size_t bytes, void *stream) { *address = malloc(bytes); return 0; }
        int cuMemFreeAsync(void *address, void *stream) { free(address); return 0; }
        int cuMemsetD8Async(void *address, unsigned char value, size_t count, void *stream) { memset(address, value, count); return 0; }
        int cuMemGetInfo_v2(size_t *free, size_t *total) { *free = 7000000000; *total = 8000000000; return 0; }
    "#;

    /// The functions of cuBLAS and cuRAND that opening a device calls.
    const CUBLAS: &str = r#"
        #include <stdio.h>
        int cublasCreate_v2(void **handle) { *handle = "handle"; return 0; }
        int cublasDestroy_v2(void *handle) { return 0; }
        int cublasSetStream_v2(void *handle, void *stream) { return 0; }
        int cublasSetWorkspace_v2(void *handle, void *address, unsigned long bytes) {
            fprintf(stderr, "a workspace of %lu bytes\n", bytes);
            return 0;
        }
    "#;
    const CURAND: &str = r#"
        int curandCreateGenerator(void **generator, int kind) { *generator = "generator"; return 0; }
        int curandDestroyGenerator(void *generator) { return 0; }
        int curandSetStream(void *generator, void *stream) { return 0; }
        int curandSetPseudoRandomGeneratorSeed(void *generator, unsigned long long seed) { return 0; }
    "#;

    /// Makes a library of this C source in the place.
    fn library(place: &Place, name: &str, source: &str) {
        let source = place.write(&format!("{name}.c"), source);
        let made = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(place.path(name)).arg(&source).status();
        assert!(made.is_ok_and(|status| status.success()), "{name}");
        std::fs::remove_file(source).unwrap();
    }

    /// Runs the binary with the libraries in the place.
    fn run(place: &Place, arguments: &str, environment: &[(&str, &str)]) -> Outcome {
        let mut command = place.adamtrain(arguments);
        command.env_remove("CUDA_HOME").env("LD_LIBRARY_PATH", place.path("")).env("RUST_BACKTRACE", "1");
        finish(command.envs(environment.iter().copied()))
    }

    fn train(place: &Place, device: &str, environment: &[(&str, &str)]) -> Outcome {
        let flags = "--limit-train 200 --epochs 1 --threads 1 --quiet --out run";
        let _ = std::fs::remove_dir_all(place.path("run"));
        run(place, &format!("{flags} --device {device}"), environment)
    }

    #[test]
    fn a_machine_without_a_driver_is_5_and_auto_takes_the_cpu_and_says_so() {
        if Path::new("/proc/driver/nvidia/version").exists() {
            eprintln!("skipped: this machine has a driver");
            return;
        }
        let place = Place::new();
        let outcome = train(&place, "cuda", &[]).refused(5, &["libcuda.so.1 not found", "driver", "--device cpu"]);
        assert_eq!(outcome.stderr.lines().count(), 2, "{outcome:?}");
        let outcome = train(&place, "auto", &[]).expect(0);
        assert_eq!(outcome.stderr, "");
        train(&place, "auto -v", &[]).expect(0).says(&["took the CPU: libcuda.so.1 not found"]);
        place.run("--epochs 1 --limit-train 100").expect(0).says(&["on cpu (auto: libcuda.so.1 not found"]);
    }

    #[test]
    fn what_keeps_a_gpu_from_working_is_named_and_auto_warns() {
        let place = Place::new();
        library(&place, "libcuda.so.1", DRIVER);
        for (environment, is_there, words) in [
            (("FAKE_INIT", "100"), false, "the driver finds no GPU"),
            (("FAKE_COUNT", "0"), false, "the driver finds no GPU"),
            (("FAKE_INIT", "803"), true, "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH"),
            (("FAKE_VERSION", "11040"), true, "the driver runs CUDA 11.4, the kernels need "),
            (("FAKE_CAPABILITY", "70"), true, "its compute capability is 7.0, this program is built for 7.5 and later"),
        ] {
            let outcome = train(&place, "cuda", &[environment]).refused(5, &["`cuda:0`", words, "hint: "]);
            assert_eq!(outcome.stderr.lines().count(), 2, "{outcome:?}");
            let outcome = train(&place, "auto", &[environment]).expect(0);
            assert_eq!(outcome.stderr.contains(words), is_there, "{outcome:?}");
            assert_eq!(run(&place, "doctor", &[environment]).code(), Some(i32::from(is_there)), "{environment:?}");
        }
        train(&place, "cuda:1", &[]).refused(5, &["the last GPU is `cuda:0`"]);
    }

    #[test]
    fn a_library_that_is_missing_or_lacks_a_function_is_named() {
        if Path::new("/usr/local/cuda").exists() {
            eprintln!("skipped: this machine has a toolkit");
            return;
        }
        let place = Place::new();
        library(&place, "libcuda.so.1", DRIVER);
        for (next, word) in [
            ("libcublasLt.so.13", "libcublasLt.so.13 not found"),
            ("libcublas.so.13", "libcublas.so.13 not found"),
            ("libcurand.so.10", "libcurand.so.10 not found"),
        ] {
            train(&place, "cuda", &[]).refused(5, &[word, "LD_LIBRARY_PATH", "CUDA_HOME"]);
            train(&place, "auto", &[]).expect(0).says(&["took the CPU", word]);
            library(&place, next, "int nothing;");
        }
        // All are there, but have no function.
        for (environment, word) in [
            (("FAKE_CONTEXT", "2"), "CUDA_ERROR_OUT_OF_MEMORY"),
            (("FAKE_CONTEXT", "0"), "cuBLAS answers CUBLAS_STATUS_NOT_SUPPORTED"),
        ] {
            let outcome = train(&place, "cuda", &[environment]).refused(5, &[word]);
            assert_eq!(outcome.stderr.lines().count(), 2, "{outcome:?}");
        }
        library(&place, "libcublas.so.13", CUBLAS);
        train(&place, "cuda", &[]).refused(5, &["cuRAND answers CURAND_STATUS_INTERNAL_ERROR"]);

        let outcome = run(&place, "doctor --json", &[]).expect(1).says(&["not fit to train: cuda:0"]);
        let report: Value = serde_json::from_str(&outcome.stdout).unwrap();
        let device = &report["devices"][1];
        assert_eq!((&device["name"], &device["compute_capability"]), (&"Test GPU".into(), &"9.0".into()));
        assert_eq!((&report["driver"]["cuda"], &report["ok"]), (&"13.0".into(), &false.into()));
        assert!(report["libraries"][0]["path"].as_str().unwrap().ends_with("/libcuda.so.1"), "{report}");
    }
    #[test]
    fn an_open_gpu_keeps_its_memory_and_has_a_workspace_and_no_events() {
        if Path::new("/usr/local/cuda").exists() {
            eprintln!("skipped: this machine has a toolkit");
            return;
        }
        let place = Place::new();
        library(&place, "libcuda.so.1", DRIVER);
        library(&place, "libcublasLt.so.13", "int nothing;");
        library(&place, "libcublas.so.13", CUBLAS);
        library(&place, "libcurand.so.10", CURAND);
        // This GPU runs no kernel: the self-test fails, in words.
        let outcome = run(&place, "doctor --json", &[]).expect(1);
        let report: Value = serde_json::from_str(&outcome.stdout).unwrap();
        let device = &report["devices"][1];
        assert_eq!((&device["free_bytes"], &device["error"]), (&7_000_000_000_u64.into(), &Value::Null), "{report}");
        assert!(device["self_test"][0]["error"].is_string(), "{report}");
        let outcome = outcome.says(&["memory stays in the pool", "a workspace of 33554432 bytes"]);
        assert!(!outcome.stderr.contains("an event is made"), "{outcome:?}");
    }
}
