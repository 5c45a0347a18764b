#!/usr/bin/env python3
"""Makes the archives that a build with the feature `cuda` links where the CUDA libraries are not installed.

usage: cuda_stubs.py CUDARC CANDLE_KERNELS OUT
       cuda_stubs.py test OUT

The second form links the archives in OUT and calls through them into a library made for the test.

CUDARC and CANDLE_KERNELS are the sources of these crates. For each library of which cudarc names functions, OUT gets an archive
lib<name>.a that defines all of them. A function looks for the real one when it is called first: its library is opened by
dlopen, the address kept, and each call jumps there. So the program starts without a driver. Where the library or the function is missing,
the call answers with an error code of its library; cuGetErrorString and cuGetErrorName then name the library.

libcudart.a takes the place of the runtime, which only candle's kernels for quantised nets use. Those are left out of such a build,
and their entry points end the program with a message.

Needs cc and ar. The jumps are x86-64 code of the System V calling convention, which is that of Linux.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

# Name to link by, folder of cudarc, names to open by, and the codes for: no library, no such function in it.
LIBRARIES = [
    ("cuda", "driver", ["libcuda.so.1"], 100, 500),  # CUDA_ERROR_NO_DEVICE, CUDA_ERROR_NOT_FOUND
    ("cublas", "cublas", ["libcublas.so.13", "libcublas.so.12"], 1, 15),  # CUBLAS_STATUS_NOT_INITIALIZED, _NOT_SUPPORTED
    ("cublasLt", "cublaslt", ["libcublasLt.so.13", "libcublasLt.so.12"], 1, 15),
    ("curand", "curand", ["libcurand.so.10"], 101, 999),  # CURAND_STATUS_NOT_INITIALIZED, _INTERNAL_ERROR
    ("nvrtc", "nvrtc", ["libnvrtc.so.13", "libnvrtc.so.12"], 11, 11),  # NVRTC_ERROR_INTERNAL_ERROR
]

STATUS = {"CUresult", "cublasStatus_t", "curandStatus_t", "nvrtcResult"}

# What a function that is not there does instead: one for each type of answer.
RESOLVER = """\
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>

enum answer {{ STATUS, TEXT, ZERO, EXPLAIN }};
struct function {{ const char *name; enum answer answer; }};
static const struct function functions[] = {{
{functions}
}};
static const char *const names[] = {{ {names} }};
static const char absent[] = "{first} not found on this machine";

static long no_library(void) {{ return {no_library}; }}
static long no_function(void) {{ return {no_function}; }}
static long zero(void) {{ return 0; }}
static const char *text(void) {{ return absent; }}
static int explain(int error, const char **text) {{ (void)error; *text = absent; return 0; }}

extern void *{name}_targets[] __attribute__((visibility("hidden")));

/* The address to which function number `index` jumps from now on. */
__attribute__((visibility("hidden"), used)) void *{name}_resolve(size_t index) {{
    void *library = NULL;
    for (size_t i = 0; !library && i < sizeof names / sizeof *names; i++)
        library = dlopen(names[i], RTLD_NOW | RTLD_GLOBAL);
    void *target = library ? dlsym(library, functions[index].name) : NULL;
    if (!target) switch (functions[index].answer) {{
        case TEXT: target = (void *)text; break;
        case ZERO: target = (void *)zero; break;
        case EXPLAIN: if (!library) {{ target = (void *)explain; break; }} /* fall through */
        case STATUS: target = library ? (void *)no_function : (void *)no_library;
    }}
    __atomic_store_n(&{name}_targets[index], target, __ATOMIC_RELEASE);
    return target;
}}
"""

# Number of the function in r11, return address and arguments as the caller left them: finds the target and goes there. All registers
# that may carry arguments are kept, rax too, which counts the vector registers of a variadic call.
COMMON = """\
    .text
    .type {name}_first, @function
{name}_first:
    push %rbp
    mov %rsp, %rbp
    push %rax
    push %rdi
    push %rsi
    push %rdx
    push %rcx
    push %r8
    push %r9
    push %r10
    sub $128, %rsp
{save}
    mov %r11, %rdi
    call {name}_resolve
    mov %rax, %r11
{restore}
    add $128, %rsp
    pop %r10
    pop %r9
    pop %r8
    pop %rcx
    pop %rdx
    pop %rsi
    pop %rdi
    pop %rax
    pop %rbp
    jmp *%r11
"""

ENTRY = """\
    .globl {function}
    .hidden {function}
    .type {function}, @function
{function}:
    jmp *{name}_targets+{offset}(%rip)
.L{name}_{index}:
    mov ${index}, %r11d
    jmp {name}_first
"""

# Where each function jumps: at first to the lines below its own jump.
TABLE = """\
    .section .data.rel.local, "aw"
    .balign 8
    .globl {name}_targets
    .hidden {name}_targets
{name}_targets:
{targets}
    .section .note.GNU-stack, "", @progbits
"""


def answer(function, kind):
    """How the stand-in of `function`, which returns `kind`, answers without its library."""
    if function in ("cuGetErrorString", "cuGetErrorName"):
        return "EXPLAIN"
    if kind in STATUS:
        return "STATUS"
    return "TEXT" if kind.endswith("c_char") else "ZERO"


def functions_of(path):
    """Functions of a binding file with their answers, in order of their names."""
    found = re.findall(r"pub unsafe fn (\w+)\([^{]*?\)\s*(?:->\s*([^{]+?))?\s*\{", path.read_text())
    kinds = {name: kind for name, kind in found if re.match(r"cu[A-Z]|cu(blas|rand)|nvrtc", name)}
    if not kinds:
        sys.exit(f"error: {path}: no functions found; this version of cudarc writes its bindings in another way")
    return [(name, answer(name, kind)) for name, kind in sorted(kinds.items())]


def compile_and_archive(sources, archive):
    """Replaces `archive` by the objects of `sources`, pairs of a file name and its text."""
    with tempfile.TemporaryDirectory() as folder:
        objects = []
        for name, text in sources:
            source = Path(folder, name)
            source.write_text(text)
            objects.append(source.with_suffix(source.suffix + ".o"))
            subprocess.run(["cc", "-O1", "-fPIC", "-Wall", "-Werror", "-c", "-o", objects[-1], source], check=True)
        whole = archive.with_suffix(".new")
        whole.unlink(missing_ok=True)
        subprocess.run(["ar", "rcs", whole, *objects], check=True)
        whole.replace(archive)


def library(cudarc, out, name, folder, sonames, no_library, no_function):
    """Writes the archive of one library."""
    functions = functions_of(cudarc / "src" / folder / "sys" / "mod.rs")
    resolver = RESOLVER.format(
        name=name,
        functions="\n".join(f'    {{ "{function}", {answer} }},' for function, answer in functions),
        names=", ".join(f'"{soname}"' for soname in sonames),
        first=sonames[0],
        no_library=no_library,
        no_function=no_function,
    )
    registers = range(8)
    jumps = COMMON.format(
        name=name,
        save="\n".join(f"    movups %xmm{i}, {16 * i}(%rsp)" for i in registers),
        restore="\n".join(f"    movups {16 * i}(%rsp), %xmm{i}" for i in registers),
    )
    for index, (function, _) in enumerate(functions):
        jumps += ENTRY.format(name=name, function=function, index=index, offset=8 * index)
    targets = "\n".join(f"    .quad .L{name}_{index}" for index in range(len(functions)))
    jumps += TABLE.format(name=name, targets=targets)
    compile_and_archive([("resolver.c", resolver), ("jumps.s", jumps)], out / f"lib{name}.a")
    return len(functions)


def quantised(kernels, out):
    """Writes the archive that answers for candle's kernels left out."""
    names = sorted(set(re.findall(r"\bfn (\w+)\s*\(", (kernels / "src" / "ffi.rs").read_text())))
    text = "#include <stdio.h>\n#include <stdlib.h>\n"
    text += "static void end(const char *name) {\n"
    text += '    fprintf(stderr, "%s: candle\'s quantised kernels are left out of this build\\n", name);\n    abort();\n}\n'
    text += "".join(f'void {name}(void) {{ end("{name}"); }}\n' for name in names)
    compile_and_archive([("quantised.c", text)], out / "libcudart.a")
    return len(names)


# A library of the name that the stand-ins open, and a program that calls it through them. All registers that carry arguments are in
# use, and the stack; the first call goes another way than the second.
LIBRARY = """\
double cublasGemmStridedBatchedEx(long a, long b, long c, long d, long e, long f, double p, double q, double r, double s, double t,
                                  double u, double v, double w, double x, long g, char h) {
    return a + 2*b + 3*c + 4*d + 5*e + 6*f + 7*g + 8*h + 10*(p + 2*q + 3*r + 4*s + 5*t + 6*u + 7*v + 8*w + 9*x);
}
"""
PROGRAM = """\
#include <stdio.h>
#include <string.h>
double cublasGemmStridedBatchedEx(long, long, long, long, long, long, double, double, double, double, double, double, double,
                                  double, double, long, char);
int cublasCreate_v2(void **), curandCreateGenerator(void **, int), cuGetErrorString(int, const char **);
static int check(const char *what, double found, double expected) {
    if (found != expected) fprintf(stderr, "error: %s: %g, expected %g\\n", what, found, expected);
    return found != expected;
}
int main(void) {
    void *handle = NULL;
    const char *text = "";
    int wrong = 0;
    for (int i = 0; i < 2; i++) {
        double sum = cublasGemmStridedBatchedEx(1, 2, 3, 4, 5, 6, .5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5, 8.5, 7, 8);
        wrong += check("arguments", sum, 204 + 10 * 262.5);
        wrong += check("a function that is not in its library", cublasCreate_v2(&handle), 15);
        wrong += check("a library that is not there", curandCreateGenerator(&handle, 0), 101);
        wrong += check("the text of an error", cuGetErrorString(100, &text), 0);
    }
    return wrong + check("its words", strstr(text, "libcuda.so.1 not found") == NULL, 0) != 0;
}
"""


def test(archives):
    """Calls through the stand-ins; answers whether all arguments arrived and what is missing was named."""
    with tempfile.TemporaryDirectory() as folder:
        library, program = Path(folder, "library.c"), Path(folder, "program.c")
        library.write_text(LIBRARY)
        program.write_text(PROGRAM)
        subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", Path(folder, "libcublas.so.13"), library], check=True)
        stubs = [archives / f"lib{name}.a" for name in ("cublas", "curand", "cuda")]
        subprocess.run(["cc", "-O1", "-o", Path(folder, "program"), program, *stubs, "-ldl"], check=True)
        # Nothing but the library above is found.
        works = subprocess.run([Path(folder, "program")], env={"LD_LIBRARY_PATH": folder}).returncode == 0
    if works:
        print("all arguments arrive, and what is missing is named", file=sys.stderr)
    return works


def main():
    if len(sys.argv) == 3 and sys.argv[1] == "test":
        sys.exit(not test(Path(sys.argv[2])))
    if len(sys.argv) != 4:
        sys.exit(__doc__.strip())
    cudarc, kernels, out = map(Path, sys.argv[1:])
    out.mkdir(parents=True, exist_ok=True)
    counts = [f"{line[0]} {library(cudarc, out, *line)}" for line in LIBRARIES]
    counts.append(f"quantised kernels {quantised(kernels, out)}")
    print("stand-ins:", ", ".join(counts), file=sys.stderr)


if __name__ == "__main__":
    main()
