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

template <typename T>
inline T __ldg(const T* address) { return *address; }
inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)((std::uint64_t)a * b >> 32); }
inline float __uint_as_float(unsigned bits) { return std::bit_cast<float>(bits); }
inline unsigned __float_as_uint(float number) { return std::bit_cast<unsigned>(number); }
inline double __longlong_as_double(long long bits) { return std::bit_cast<double>(bits); }
inline long long __double_as_longlong(double number) { return std::bit_cast<long long>(number); }

// Runs all threads of a launch; `arguments` points at each argument, as for cuLaunchKernel.
template <typename... Arguments, std::size_t... I>
void run_serially(void (*kernel)(Arguments...), const unsigned* grid, unsigned block, void* const* arguments,
                  std::index_sequence<I...>) {
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {block, 1, 1};
    for (blockIdx.z = 0; blockIdx.z < grid[2]; ++blockIdx.z)
        for (blockIdx.y = 0; blockIdx.y < grid[1]; ++blockIdx.y)
            for (blockIdx.x = 0; blockIdx.x < grid[0]; ++blockIdx.x)
                for (threadIdx = {}; threadIdx.x < block; ++threadIdx.x)
                    kernel(*static_cast<std::remove_cv_t<Arguments>*>(arguments[I])...);
}

// Gives a kernel a door of the same form as all others have.
#define EXPORT(NAME)                                                                                  \
    extern "C" void run_##NAME(const unsigned* grid, unsigned block, void* const* arguments) {        \
        auto go = []<typename... A>(void (*kernel)(A...), auto... rest) {                             \
            run_serially(kernel, rest..., std::index_sequence_for<A...>{});                           \
        };                                                                                            \
        go(NAME, grid, block, arguments);                                                             \
    }
