// Makes the kernels C++20 for a test on the CPU: the threads of a launch run one after the other.
//
// It serves kernels whose threads never wait for each other. Compile with -ffp-contract=off: then + - * / sqrt and fma have the
// bits of the device.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#define __global__
#define __device__
#define __host__
#define __launch_bounds__(...)
#define __forceinline__ inline __attribute__((always_inline))

struct Place {
    unsigned x = 0, y = 0, z = 0;
};
inline thread_local Place blockIdx, threadIdx, blockDim, gridDim;

#define __builtin_assume(...)

template <typename T>
inline T __ldg(const T* address) { return *address; }
template <typename T>
inline T __ldcg(const T* address) { return *address; }
inline void __threadfence() {}
inline unsigned atomicInc(unsigned* address, unsigned most) {
    const unsigned before = *address;
    *address = before >= most ? 0 : before + 1;
    return before;
}
inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)((std::uint64_t)a * b >> 32); }
inline float __uint_as_float(unsigned bits) { return std::bit_cast<float>(bits); }
inline unsigned __float_as_uint(float number) { return std::bit_cast<unsigned>(number); }
inline double __longlong_as_double(long long bits) { return std::bit_cast<double>(bits); }
inline long long __double_as_longlong(double number) { return std::bit_cast<long long>(number); }

// Runs all threads of a launch, every other time from the last to the first: nothing may depend on their order. `arguments` points
// at each argument, as for cuLaunchKernel.
template <typename... Arguments, std::size_t... I>
void run_serially(void (*kernel)(Arguments...), const unsigned* grid, unsigned block, void* const* arguments,
                  std::index_sequence<I...>) {
    static thread_local bool is_backwards = true;
    is_backwards = !is_backwards;
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {block, 1, 1};
    const std::uint64_t blocks = (std::uint64_t)grid[0] * grid[1] * grid[2], threads = blocks * block;
    for (std::uint64_t i = 0; i < threads; ++i) {
        const std::uint64_t thread = is_backwards ? threads - 1 - i : i;
        const std::uint64_t own = thread / block;
        threadIdx = {(unsigned)(thread % block), 0, 0};
        blockIdx = {(unsigned)(own % grid[0]), (unsigned)(own / grid[0] % grid[1]), (unsigned)(own / grid[0] / grid[1])};
        kernel(*static_cast<std::remove_cv_t<Arguments>*>(arguments[I])...);
    }
}

// Gives a kernel a door of the same form as all others have.
#define EXPORT(NAME)                                                                                  \
    extern "C" void run_##NAME(const unsigned* grid, unsigned block, void* const* arguments) {        \
        auto go = []<typename... A>(void (*kernel)(A...), auto... rest) {                             \
            run_serially(kernel, rest..., std::index_sequence_for<A...>{});                           \
        };                                                                                            \
        go(NAME, grid, block, arguments);                                                             \
    }
