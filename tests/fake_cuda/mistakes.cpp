// Makes one mistake, which the argument names, on the GPU of cuda.cpp, and prints what it answers; `products` makes none.

#include <cmath>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

using Pointer = unsigned long long;

extern "C" {
int cuCtxSetCurrent(void*);
int cuStreamCreate(void**, unsigned);
int cuStreamSynchronize(void*);
int cuStreamBeginCapture_v2(void*, int);
int cuStreamEndCapture(void*, void**);
int cuMemAllocAsync(Pointer*, std::size_t, void*);
int cuMemFreeAsync(Pointer, void*);
int cuMemcpyHtoDAsync_v2(Pointer, const void*, std::size_t, void*);
int cuMemcpyDtoHAsync_v2(void*, Pointer, std::size_t, void*);
int cuModuleLoadData(void**, const char*);
int cuModuleGetFunction(void**, void*, const char*);
int cuLaunchKernel(void*, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void*, void**, void**);
int cuEventCreate(void**, unsigned);
int cublasCreate_v2(void**);
int cublasSetStream_v2(void*, void*);
int cublasGemmStridedBatchedEx(void*, int, int, int, int, int, const void*, Pointer, int, int, long long, Pointer, int, int, long long,
                               const void*, Pointer, int, int, long long, int, int, int);
}

// A kernel of kernels.cu as the compiler declares it, and with a parameter too few.
const char* const PTX = ".visible .entry bias_activation(\n.param .u64 a,\n.param .u32 b,\n.param .u32 c,\n.param .u32 d,\n"
                        ".param .u64 e\n)\n.maxntid 256, 1, 1\n{\n}\n";
const char* const SHORT = ".visible .entry bias_activation(\n.param .u64 a\n)\n.maxntid 256, 1, 1\n{\n}\n";

void* stream;

Pointer allocated(std::size_t bytes) {
    Pointer address = 0;
    cuMemAllocAsync(&address, bytes, stream);
    return address;
}

// Adds a number to each of `count` at `at`.
int added(const char* ptx, unsigned threads, Pointer at, unsigned count) {
    void *module, *function;
    Pointer bias = allocated(4);
    unsigned width = 1, relu = 1;
    void* arguments[] = {&bias, &count, &width, &relu, &at};
    cuModuleLoadData(&module, ptx);
    if (int error = cuModuleGetFunction(&function, module, "bias_activation")) return error;
    return cuLaunchKernel(function, (count + threads - 1) / threads, 1, 1, threads, 1, 1, 0, stream, arguments, nullptr);
}

struct Product {
    bool transposed_a, transposed_b;
    int lda, ldb, ldc;
    long long stride_c;
};

constexpr int M = 3, N = 4, K = 5, LANES = 2;

int multiplied(void* blas, Product p, Pointer a, Pointer b, Pointer c) {
    const float one = 1, zero = 0;
    const long long stride_a = p.lda * (p.transposed_a ? M : K), stride_b = p.ldb * (p.transposed_b ? K : N);
    return cublasGemmStridedBatchedEx(blas, p.transposed_a, p.transposed_b, M, N, K, &one, a, 0, p.lda, stride_a, b, 0, p.ldb, stride_b,
                                      &zero, c, 0, p.ldc, p.stride_c, LANES, 68, -1);
}

// All four pairs of transpositions against their definition.
int products(void* blas, Pointer a, Pointer b, Pointer c) {
    std::vector<float> x(200), y(200), z(200);
    for (int i = 0; i < 200; ++i) x[i] = i % 7 - 3, y[i] = i % 11 - 5;
    cuMemcpyHtoDAsync_v2(a, x.data(), 800, stream);
    cuMemcpyHtoDAsync_v2(b, y.data(), 800, stream);
    for (int pair = 0; pair < 4; ++pair) {
        // Columns are longer than they must be, and the lanes of the result lie side by side in them.
        const Product p = {pair / 2 == 1, pair % 2 == 1, 7, 6, 2 * M + 1, M};
        if (int error = multiplied(blas, p, a, b, c)) return error;
        cuMemcpyDtoHAsync_v2(z.data(), c, 800, stream);
        for (int lane = 0; lane < LANES; ++lane)
            for (int i = 0; i < M; ++i)
                for (int j = 0; j < N; ++j) {
                    float sum = 0;
                    const float *xs = &x[lane * p.lda * (p.transposed_a ? M : K)], *ys = &y[lane * p.ldb * (p.transposed_b ? K : N)];
                    for (int k = 0; k < K; ++k)
                        sum += xs[p.transposed_a ? k + i * p.lda : i + k * p.lda] * ys[p.transposed_b ? j + k * p.ldb : k + j * p.ldb];
                    if (z[lane * M + i + j * p.ldc] != sum) return -1;
                }
    }
    return 0;
}

int main(int, char** arguments) {
    const std::string mistake = arguments[1];
    char context, host[4096] = {};
    cuCtxSetCurrent(&context);
    cuStreamCreate(&stream, 1);
    const Pointer a = allocated(1000), b = allocated(800), c = allocated(800);
    void *blas, *graph, *event;
    cublasCreate_v2(&blas);
    cublasSetStream_v2(blas, stream);
    auto captured = [&](int answer) { return printf("%d ", answer), cuStreamEndCapture(stream, &graph); };
    int answer = -1;
    if (mistake == "products") answer = products(blas, a, b, c);
    if (mistake == "a longer copy") answer = cuMemcpyHtoDAsync_v2(a, host, 1001, stream);
    if (mistake == "a copy to nowhere") answer = cuMemcpyHtoDAsync_v2(4096, host, 1, stream);
    if (mistake == "freed twice") cuMemFreeAsync(a, stream), answer = cuMemFreeAsync(a, stream);
    if (mistake == "a kernel on freed memory") cuMemFreeAsync(a, stream), answer = added(PTX, 256, a, 250);
    if (mistake == "a kernel behind the end") answer = added(PTX, 256, a, 2500);
    if (mistake == "a kernel just behind the end") added(PTX, 256, a, 251), answer = cuMemFreeAsync(a, stream);
    if (mistake == "too many threads") answer = added(PTX, 257, a, 250);
    if (mistake == "no threads") answer = added(PTX, 256, a, 0);
    if (mistake == "other parameters") answer = added(SHORT, 256, a, 250);
    if (mistake == "no memory") answer = cuMemAllocAsync(const_cast<Pointer*>(&a), 1ull << 40, stream);
    if (mistake == "no event") answer = cuEventCreate(&event, 0);
    if (mistake == "a short leading dimension") answer = multiplied(blas, {false, false, M - 1, K, M, M * N}, a, b, c);
    if (mistake == "overlapping lanes") answer = multiplied(blas, {false, false, M, K, M, 2}, a, b, c);
    if (mistake == "a product behind the end") answer = multiplied(blas, {false, false, M, K, M, 1000}, a, b, c);
    if (mistake.find("while") != std::string::npos) cuStreamBeginCapture_v2(stream, 1);
    if (mistake == "an upload while capturing") answer = captured(cuMemcpyHtoDAsync_v2(a, host, 4, stream));
    if (mistake == "waiting while capturing") answer = captured(cuStreamSynchronize(stream));
    if (mistake == "freeing while capturing") answer = captured(cuMemFreeAsync(a, stream));
    if (mistake == "no workspace while capturing") answer = captured(multiplied(blas, {false, false, M, K, M, M * N}, a, b, c));
    printf("%d\n", answer);
    return 0;
}
