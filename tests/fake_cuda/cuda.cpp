// A GPU in host memory: the functions of libcuda, libcublas and libcurand that the program calls, for tests.
//
// Work is done at once, in the order in which it is asked for. The kernels are those of the program, compiled by shim.h; matrix
// products are plain loops. A mistake that a real driver answers with an error gets that error here; one that it would not notice, or
// only later, ends the process with a message:
//   - every allocation ends at a page that cannot be touched, and its addresses are not used again: a kernel that leaves its memory, or
//     uses it after it was freed, is stopped. New memory holds NaN, not zeros;
//   - copies and matrix products must lie inside one allocation;
//   - a launch must fit the bounds in the PTX of its kernel, whose parameters must be those of the C++;
//   - while a stream is captured, launches, products, copies on the device and fills are kept, with copies of their arguments, and not
//     done. What a capture cannot hold is refused, and the capture is lost.
// It does not show what a GPU does at once or late: races, and how long things take.
//
// The unit that includes this file has included shim.h and the kernels, and defines KERNELS(X) as X(name) for each of them.
//
// Environment:
//   FAKE_MEMORY   bytes that the GPU has [default: 8 GB]
//   FAKE_FREE     bytes that it says are free, whatever is
//   FAKE_CAPTURE  `begin`, `end` or `instantiate`: this call of a capture fails
//   FAKE_COUNTS   file to which the number of calls of each kind goes at the end, as JSON

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include <sys/mman.h>
#include <unistd.h>

namespace {

using Bytes = std::vector<unsigned char>;
using Pointer = unsigned long long;
enum Result { SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, INVALID_CONTEXT = 201, INVALID_HANDLE = 400, NOT_FOUND = 500,
              NOT_SUPPORTED = 801, CAPTURE_UNSUPPORTED = 900, CAPTURE_INVALIDATED = 901, CAPTURE_UNMATCHED = 903 };

[[noreturn]] void stop(const char* what, const char* name = "", Pointer at = 0) {
    fprintf(stderr, "fake GPU: %s %s at %#llx\n", what, name, at);
    _exit(99);
}

// --- Counts -------------------------------------------------------------------------------------------------------

std::size_t used = 0, most_used = 0;

struct Counts {
    std::map<std::string, long> of;
    std::map<std::string, long> launches;
    ~Counts() {
        const char* path = getenv("FAKE_COUNTS");
        FILE* file = path ? fopen(path, "w") : nullptr;
        if (!file) return;
        fprintf(file, "{");
        fprintf(file, "\"peak_bytes\": %zu, ", most_used);
        for (auto& [name, count] : of) fprintf(file, "\"%s\": %ld, ", name.c_str(), count);
        fprintf(file, "\"kernels\": {");
        const char* comma = "";
        for (auto& [name, count] : launches) fprintf(file, "%s\"%s\": %ld", comma, name.c_str(), count), comma = ", ";
        fprintf(file, "}}\n");
        fclose(file);
    }
} counts;

void count(const char* what, long by = 1) { counts.of[what] += by; }

// --- Memory -------------------------------------------------------------------------------------------------------

constexpr std::size_t PAGE = 4096, ALIGNMENT = 256, ARENA = std::size_t(256) << 30;
// What new memory holds, all NaN, and what lies between its end and the next page.
constexpr unsigned char FILLER = 0xff, BEHIND = 0xa5;

struct Allocation {
    std::size_t bytes, mapped;
    Pointer page;
};

std::map<Pointer, Allocation> live;
Pointer arena = 0, next = 0;
const char* running = "";

std::size_t rounded(std::size_t bytes, std::size_t to) { return (bytes + to - 1) / to * to; }

std::size_t from(const char* name, std::size_t otherwise) {
    const char* text = getenv(name);
    return text ? strtoull(text, nullptr, 10) : otherwise;
}

std::size_t memory() { return from("FAKE_MEMORY", 8000000000); }

void touched(int, siginfo_t* info, void*) {
    const Pointer at = reinterpret_cast<Pointer>(info->si_addr);
    if (at >= arena && at < arena + ARENA) stop("memory that is not allocated is touched by", running, at);
    signal(SIGSEGV, SIG_DFL);
}

Result allocate(Pointer* address, std::size_t bytes) {
    if (!arena) {
        void* place = mmap(nullptr, ARENA, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (place == MAP_FAILED) stop("no room for the memory of the GPU");
        arena = next = reinterpret_cast<Pointer>(place);
        struct sigaction action = {};
        action.sa_sigaction = touched;
        action.sa_flags = SA_SIGINFO | SA_ONSTACK;
        sigaction(SIGSEGV, &action, nullptr);
    }
    const std::size_t length = rounded(bytes, ALIGNMENT), mapped = rounded(length, PAGE);
    if (used + length > memory()) return OUT_OF_MEMORY;
    if (next + mapped + PAGE > arena + ARENA) stop("the addresses are used up");
    if (mprotect(reinterpret_cast<void*>(next), mapped, PROT_READ | PROT_WRITE)) stop("the host has no more memory");
    memset(reinterpret_cast<void*>(next), FILLER, mapped);
    *address = next + mapped - length;
    memset(reinterpret_cast<void*>(*address + bytes), BEHIND, length - bytes);
    live[*address] = {bytes, mapped, next};
    next += mapped + PAGE;
    used += length;
    most_used = std::max(most_used, used);
    count("allocations");
    return SUCCESS;
}

void release(Pointer address) {
    auto found = live.find(address);
    if (found == live.end()) stop("memory is freed that is not allocated,", "", address);
    auto [bytes, mapped, page] = found->second;
    const std::size_t length = rounded(bytes, ALIGNMENT);
    for (std::size_t i = bytes; i < length; ++i)
        if (reinterpret_cast<unsigned char*>(address)[i] != BEHIND) stop("behind its end, memory was written", "", address);
    madvise(reinterpret_cast<void*>(page), mapped, MADV_DONTNEED);
    mprotect(reinterpret_cast<void*>(page), mapped, PROT_NONE);
    used -= length;
    live.erase(found);
    count("frees");
}

// The address as one of the host, if `bytes` bytes from it on lie in one allocation.
template <typename T>
T* inside(Pointer address, std::size_t bytes, const char* user) {
    auto found = live.upper_bound(address);
    if (found == live.begin()) stop("memory that is not allocated is used by", user, address);
    --found;
    if (address + bytes > found->first + found->second.bytes) stop("an allocation is left by", user, address);
    return reinterpret_cast<T*>(address);
}

// --- Streams and captures -----------------------------------------------------------------------------------------

using Work = std::function<void()>;
using Graph = std::vector<Work>;
enum Status { IDLE, CAPTURING, LOST };

struct Stream {
    Status status = IDLE;
    Graph graph;
};

std::recursive_mutex one_at_a_time;
std::map<void*, Stream> streams;
std::map<void*, Graph> graphs;
thread_local void* current = nullptr;
char context;

#define ENTER                                              \
    std::lock_guard<std::recursive_mutex> lock(one_at_a_time); \
    if (!current) return INVALID_CONTEXT;

// Does the work, or keeps it where the stream is captured.
Result ask(void* on, Work work) {
    auto found = streams.find(on);
    if (found == streams.end()) return INVALID_HANDLE;
    Stream& stream = found->second;
    if (stream.status == LOST) return CAPTURE_INVALIDATED;
    if (stream.status == CAPTURING) {
        stream.graph.push_back(std::move(work));
        count("recorded");
    } else {
        work();
    }
    return SUCCESS;
}

// Refuses `what` while any stream is captured, and spoils the capture.
Result expect_no_capture(const char* what) {
    for (auto& [_, stream] : streams) {
        if (stream.status == IDLE) continue;
        if (stream.status == CAPTURING) fprintf(stderr, "fake GPU: %s while a stream is captured\n", what);
        stream.status = LOST;
        return CAPTURE_UNSUPPORTED;
    }
    return SUCCESS;
}

bool fails(const char* call) {
    const char* asked = getenv("FAKE_CAPTURE");
    return asked && !strcmp(asked, call);
}

// --- Kernels ------------------------------------------------------------------------------------------------------

struct Kernel {
    void (*run)(const unsigned*, unsigned, void* const*);
    std::vector<std::size_t> sizes;
};

template <typename... Arguments>
std::vector<std::size_t> sizes(void (*)(Arguments...)) { return {sizeof(Arguments)...}; }

}  // namespace

#define DOOR(NAME) EXPORT(NAME)
KERNELS(DOOR)

namespace {

const std::map<std::string, Kernel>& kernels() {
#define ROW(NAME) {#NAME, {run_##NAME, sizes(NAME)}},
    static const std::map<std::string, Kernel> all = {KERNELS(ROW)};
    return all;
}

struct Function {
    std::string name;
    const Kernel* kernel;
    unsigned most_threads;
};

// A module is the text of its PTX.
using Module = std::string;

// Where the entry `name` stands in a text; npos if it does not.
std::size_t entry(const Module& text, const std::string& name) {
    return text.find(".entry " + name + "(");
}

// Sizes of the parameters of the entry at `at`, as the PTX has them.
std::vector<std::size_t> parameters(const Module& text, std::size_t at) {
    std::vector<std::size_t> found;
    const std::size_t end = text.find(')', at);
    for (std::size_t i = text.find(".param .", at); i < end; i = text.find(".param .", i + 1)) {
        // `.param .u64 .ptr …`, `.param .u32 …`, `.param .align 8 .b8 name[48]`.
        const char* kind = text.c_str() + i + 8;
        if (!strncmp(kind, "align", 5)) found.push_back(strtoul(strchr(kind, '[') + 1, nullptr, 10));
        else found.push_back(strtoul(kind + 1, nullptr, 10) / 8);
    }
    return found;
}

// --- Matrix products ----------------------------------------------------------------------------------------------

// Column-major, as cuBLAS has it.
struct Matrix {
    const float* data;
    long leading, stride;
    bool transposed;
};

float to_tf32(float x) {
    const unsigned bits = std::bit_cast<unsigned>(x) + 0x1000u;
    return std::isfinite(x) ? std::bit_cast<float>(bits & ~0x1fffu) : x;
}

// rows × columns numbers of lane `lane`, one column behind the other.
std::vector<float> packed(const Matrix& m, long lane, long rows, long columns, bool tf32) {
    std::vector<float> all(rows * columns);
    for (long j = 0; j < columns; ++j)
        for (long i = 0; i < rows; ++i) {
            const float x = m.data[lane * m.stride + (m.transposed ? j + i * m.leading : i + j * m.leading)];
            all[i + j * rows] = tf32 ? to_tf32(x) : x;
        }
    return all;
}

// c += a · b for one column, terms in order, each by fma.
__attribute__((optimize("O3"), target_clones("default", "avx2,fma")))
void add_column(long m, long k, const float* a, const float* b, float* __restrict__ c) {
    for (long l = 0; l < k; ++l)
        for (long i = 0; i < m; ++i) c[i] = __builtin_fmaf(a[i + l * m], b[l], c[i]);
}

struct Blas {
    void* stream = nullptr;
    bool has_workspace = false;
};

}  // namespace

// --- The driver ---------------------------------------------------------------------------------------------------

extern "C" {

int cuInit(unsigned) { return SUCCESS; }
int cuDriverGetVersion(int* version) { return *version = 13000, SUCCESS; }
int cuDeviceGetCount(int* count) { return *count = 1, SUCCESS; }
int cuDeviceGet(int* device, int ordinal) { return *device = ordinal, ordinal ? 101 : SUCCESS; }
int cuDeviceGetName(char* name, int size, int) { return snprintf(name, size, "Fake GPU"), SUCCESS; }
int cuDeviceTotalMem_v2(std::size_t* bytes, int) { return *bytes = memory(), SUCCESS; }
int cuDeviceGetAttribute(int* value, int attribute, int) {
    // Capability 9.0, 132 multiprocessors; whatever else is asked for is there.
    *value = attribute == 75 ? 9 : attribute == 76 ? 0 : attribute == 16 ? 132 : 1;
    return SUCCESS;
}
int cuGetErrorName(int error, const char** text) {
    static const std::map<int, const char*> names = {
        {INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE"}, {OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY"},
        {INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT"}, {INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE"},
        {NOT_FOUND, "CUDA_ERROR_NOT_FOUND"}, {NOT_SUPPORTED, "CUDA_ERROR_NOT_SUPPORTED"},
        {CAPTURE_UNSUPPORTED, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"},
        {CAPTURE_INVALIDATED, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED"},
        {CAPTURE_UNMATCHED, "CUDA_ERROR_STREAM_CAPTURE_UNMATCHED"}};
    auto found = names.find(error);
    *text = found == names.end() ? "another error" : found->second;
    return SUCCESS;
}
int cuGetErrorString(int error, const char** text) {
    if (error != OUT_OF_MEMORY) return cuGetErrorName(error, text);
    return *text = "out of memory", SUCCESS;
}

int cuDevicePrimaryCtxRetain(void** made, int) { return *made = &context, SUCCESS; }
int cuDevicePrimaryCtxRelease_v2(int) { return SUCCESS; }
int cuCtxGetCurrent(void** is) { return *is = current, SUCCESS; }
int cuCtxSetCurrent(void* other) { return current = other, SUCCESS; }
int cuCtxSynchronize() {
    ENTER
    count("synchronisations");
    return expect_no_capture("the host waits");
}

int cuDeviceGetDefaultMemPool(void** pool, int) { return *pool = &context, SUCCESS; }
int cuMemPoolSetAttribute(void*, int, void*) { return SUCCESS; }
int cuMemGetInfo_v2(std::size_t* free, std::size_t* total) {
    ENTER
    *total = memory();
    *free = from("FAKE_FREE", *total - used);
    return SUCCESS;
}
int cuMemAllocAsync(Pointer* address, std::size_t bytes, void* stream) {
    ENTER
    if (!streams.count(stream)) return INVALID_HANDLE;
    if (!bytes) return INVALID_VALUE;
    const Result refused = expect_no_capture("memory is taken");
    return refused ? refused : allocate(address, bytes);
}
int cuMemFreeAsync(Pointer address, void* stream) {
    ENTER
    if (!streams.count(stream)) return INVALID_HANDLE;
    const Result refused = expect_no_capture("memory is given back");
    if (!refused) release(address);
    return refused;
}
int cuMemsetD8Async(Pointer to, unsigned char value, std::size_t bytes, void* stream) {
    ENTER
    inside<void>(to, bytes, "a fill");
    count("fills");
    return ask(stream, [=] { memset(inside<void>(to, bytes, "a fill"), value, bytes); });
}
int cuMemcpyHtoDAsync_v2(Pointer to, const void* from, std::size_t bytes, void* stream) {
    ENTER
    if (const Result refused = expect_no_capture("host memory is read")) return refused;
    count("uploads");
    return ask(stream, [=] { memcpy(inside<void>(to, bytes, "an upload"), from, bytes); });
}
int cuMemcpyDtoHAsync_v2(void* to, Pointer from, std::size_t bytes, void* stream) {
    ENTER
    if (const Result refused = expect_no_capture("host memory is written")) return refused;
    count("downloads");
    return ask(stream, [=] { memcpy(to, inside<void>(from, bytes, "a download"), bytes); });
}
int cuMemcpyDtoDAsync_v2(Pointer to, Pointer from, std::size_t bytes, void* stream) {
    ENTER
    if (to < from + bytes && from < to + bytes && bytes) stop("a copy overlaps itself,", "", to);
    count("copies");
    return ask(stream, [=] { memcpy(inside<void>(to, bytes, "a copy"), inside<void>(from, bytes, "a copy"), bytes); });
}

int cuModuleLoadData(Module** module, const char* text) {
    ENTER
    if (const Result refused = expect_no_capture("a module is loaded")) return refused;
    *module = new Module(text);
    count("modules");
    return SUCCESS;
}
int cuModuleUnload(Module* module) { return delete module, SUCCESS; }
int cuModuleGetFunction(Function** function, Module* module, const char* name) {
    ENTER
    const std::size_t at = entry(*module, name);
    if (at == Module::npos) return NOT_FOUND;
    // Loading is lazy: the first use of a kernel may take memory.
    if (const Result refused = expect_no_capture("a kernel is loaded")) return refused;
    auto found = kernels().find(name);
    if (found == kernels().end()) {
        fprintf(stderr, "fake GPU: the kernel `%s` is not one of the program\n", name);
        return NOT_FOUND;
    }
    if (parameters(*module, at) != found->second.sizes) stop("other parameters than in C++ has the PTX of", name);
    const std::size_t body = module->find('{', at), bound = module->find(".maxntid ", at);
    const bool is_bound = bound < body;
    *function = new Function{name, &found->second, is_bound ? unsigned(strtoul(module->c_str() + bound + 9, nullptr, 10)) : 1024};
    return SUCCESS;
}
int cuLaunchKernel(Function* function, unsigned x, unsigned y, unsigned z, unsigned block_x, unsigned block_y, unsigned block_z,
                   unsigned shared, void* stream, void** arguments, void** extra) {
    ENTER
    if (!x || !y || !z || !block_x || x > 0x7fffffff || y > 65535 || z > 65535 || extra || shared) return INVALID_VALUE;
    if (block_y != 1 || block_z != 1 || block_x > function->most_threads) return INVALID_VALUE;
    std::vector<Bytes> kept;
    for (std::size_t i = 0; i < function->kernel->sizes.size(); ++i) {
        auto* bytes = static_cast<unsigned char*>(arguments[i]);
        kept.emplace_back(bytes, bytes + function->kernel->sizes[i]);
    }
    count("launches");
    ++counts.launches[function->name];
    return ask(stream, [=]() mutable {
        std::vector<void*> places;
        for (Bytes& argument : kept) places.push_back(argument.data());
        const unsigned grid[] = {x, y, z};
        running = function->name.c_str();
        function->kernel->run(grid, block_x, places.data());
        running = "the host";
    });
}

int cuStreamCreate(void** stream, unsigned) {
    ENTER
    *stream = malloc(1);
    streams[*stream];
    return SUCCESS;
}
int cuStreamDestroy_v2(void* stream) {
    ENTER
    return streams.erase(stream) ? SUCCESS : INVALID_HANDLE;
}
int cuStreamSynchronize(void* stream) {
    ENTER
    if (!streams.count(stream)) return INVALID_HANDLE;
    count("synchronisations");
    return expect_no_capture("the host waits");
}
int cuStreamIsCapturing(void* stream, int* status) { return *status = streams[stream].status, SUCCESS; }
int cuStreamBeginCapture_v2(void* stream, int) {
    ENTER
    if (!streams.count(stream)) return INVALID_HANDLE;
    if (streams[stream].status != IDLE || fails("begin")) return CAPTURE_UNSUPPORTED;
    streams[stream] = {CAPTURING, {}};
    count("captures");
    return SUCCESS;
}
int cuStreamEndCapture(void* stream, void** graph) {
    ENTER
    *graph = nullptr;
    if (!streams.count(stream)) return INVALID_HANDLE;
    Stream ended;
    std::swap(ended, streams[stream]);
    if (ended.status == IDLE) return CAPTURE_UNMATCHED;
    if (ended.status == LOST || fails("end")) return CAPTURE_INVALIDATED;
    *graph = malloc(1);
    graphs[*graph] = std::move(ended.graph);
    return SUCCESS;
}
int cuGraphInstantiateWithFlags(void** made, void* graph, unsigned long long) {
    ENTER
    if (!graphs.count(graph)) return INVALID_VALUE;
    if (fails("instantiate")) return OUT_OF_MEMORY;
    *made = malloc(1);
    graphs[*made] = graphs[graph];
    count("graphs");
    return SUCCESS;
}
int cuGraphUpload(void* graph, void*) { return graphs.count(graph) ? SUCCESS : INVALID_VALUE; }
int cuGraphLaunch(void* graph, void* stream) {
    ENTER
    if (!graphs.count(graph)) return INVALID_VALUE;
    if (const Result refused = expect_no_capture("a graph is launched")) return refused;
    count("graph_launches");
    count("replayed", graphs[graph].size());
    return ask(stream, [=] {
        for (Work& work : graphs[graph]) work();
    });
}
int cuGraphExecDestroy(void* graph) {
    ENTER
    return graphs.erase(graph) ? SUCCESS : INVALID_VALUE;
}
int cuGraphDestroy(void* graph) { return cuGraphExecDestroy(graph); }

// --- cuBLAS and cuRAND --------------------------------------------------------------------------------------------

enum { BLAS_ALLOC_FAILED = 3, BLAS_INVALID_VALUE = 7, BLAS_EXECUTION_FAILED = 13, BLAS_NOT_SUPPORTED = 15 };

int cublasLtCreate(void**) { return BLAS_NOT_SUPPORTED; }
int cublasCreate_v2(Blas** handle) { return *handle = new Blas, SUCCESS; }
int cublasDestroy_v2(Blas* handle) { return delete handle, SUCCESS; }
int cublasSetStream_v2(Blas* handle, void* stream) {
    // A new stream takes back the default workspace.
    *handle = {stream, false};
    return SUCCESS;
}
int cublasSetWorkspace_v2(Blas* handle, void* at, std::size_t bytes) {
    inside<void>(reinterpret_cast<Pointer>(at), bytes, "cuBLAS's workspace");
    handle->has_workspace = true;
    return SUCCESS;
}
int cublasGemmStridedBatchedEx(Blas* handle, int transposed_a, int transposed_b, int m, int n, int k, const float* alpha, const float* a,
                               int kind_a, int lda, long long stride_a, const float* b, int kind_b, int ldb, long long stride_b,
                               const float* beta, float* c, int kind_c, int ldc, long long stride_c, int lanes, int compute, int) {
    std::lock_guard<std::recursive_mutex> lock(one_at_a_time);
    constexpr int F32 = 0, COMPUTE_F32 = 68, COMPUTE_TF32 = 77;
    if (kind_a != F32 || kind_b != F32 || kind_c != F32 || (compute != COMPUTE_F32 && compute != COMPUTE_TF32)) return BLAS_NOT_SUPPORTED;
    if (m < 0 || n < 0 || k < 0 || lanes < 0 || transposed_a < 0 || transposed_a > 1 || transposed_b < 0 || transposed_b > 1)
        return BLAS_INVALID_VALUE;
    if (lda < std::max(1, transposed_a ? k : m) || ldb < std::max(1, transposed_b ? n : k) || ldc < std::max(1, m)) return BLAS_INVALID_VALUE;
    if (!m || !n || !lanes) return SUCCESS;
    // Lanes of the result lie one behind the other, or side by side in each column.
    const bool is_apart = stride_c >= (long long)ldc * (n - 1) + m || (stride_c >= m && (lanes - 1) * stride_c + m <= ldc);
    if (lanes > 1 && !is_apart) stop("lanes overlap in the result of a product,", "", reinterpret_cast<Pointer>(c));
    auto check = [&](const void* at, long rows, long columns, long leading, long long stride) {
        if (rows && columns)
            inside<void>(reinterpret_cast<Pointer>(at), 4 * ((lanes - 1) * stride + leading * (columns - 1) + rows), "a product");
    };
    check(a, transposed_a ? k : m, transposed_a ? m : k, lda, stride_a);
    check(b, transposed_b ? n : k, transposed_b ? k : n, ldb, stride_b);
    check(c, m, n, ldc, stride_c);
    auto stream = streams.find(handle->stream);
    if (stream == streams.end()) return BLAS_EXECUTION_FAILED;
    // Without a workspace of its own cuBLAS takes memory.
    if (stream->second.status == CAPTURING && !handle->has_workspace) return BLAS_ALLOC_FAILED;
    count("products");
    const Matrix left = {a, lda, stride_a, transposed_a == 1}, right = {b, ldb, stride_b, transposed_b == 1};
    const float scale = *alpha, keep = *beta;
    const bool is_asked = SUCCESS == ask(handle->stream, [=] {
        running = "a product";
        std::vector<float> sum(m);
        for (long lane = 0; lane < lanes; ++lane) {
            const auto x = packed(left, lane, m, k, compute == COMPUTE_TF32), y = packed(right, lane, k, n, compute == COMPUTE_TF32);
            for (long j = 0; j < n; ++j) {
                std::fill(sum.begin(), sum.end(), 0.0f);
                add_column(m, k, x.data(), y.data() + j * k, sum.data());
                float* out = c + lane * stride_c + j * ldc;
                // What is multiplied by 0 is not read: it may be NaN.
                for (long i = 0; i < m; ++i) out[i] = keep == 0 ? scale * sum[i] : scale * sum[i] + keep * out[i];
            }
        }
        running = "the host";
    });
    return is_asked ? int(SUCCESS) : int(BLAS_EXECUTION_FAILED);
}

int curandCreateGenerator(void** generator, int) { return *generator = &context, SUCCESS; }
int curandDestroyGenerator(void*) { return SUCCESS; }
int curandSetStream(void*, void*) { return SUCCESS; }
int curandSetPseudoRandomGeneratorSeed(void*, unsigned long long) { return SUCCESS; }

// --- What the program does without --------------------------------------------------------------------------------

#define NOT_FAKED(NAME)                                           \
    int NAME() {                                                  \
        fprintf(stderr, "fake GPU: %s is not supported\n", #NAME); \
        return NOT_SUPPORTED;                                     \
    }
NOT_FAKED(cuCtxGetDevice) NOT_FAKED(cuEventCreate) NOT_FAKED(cuEventDestroy_v2) NOT_FAKED(cuEventElapsedTime) NOT_FAKED(cuEventQuery)
NOT_FAKED(cuEventRecord) NOT_FAKED(cuEventSynchronize) NOT_FAKED(cuFuncGetAttribute) NOT_FAKED(cuFuncSetAttribute)
NOT_FAKED(cuLaunchCooperativeKernel) NOT_FAKED(cuLaunchHostFunc) NOT_FAKED(cuMemAllocFromPoolAsync) NOT_FAKED(cuMemAllocManaged)
NOT_FAKED(cuMemAlloc_v2) NOT_FAKED(cuMemFreeHost) NOT_FAKED(cuMemFree_v2) NOT_FAKED(cuMemHostAlloc) NOT_FAKED(cuMemcpyDtoD_v2)
NOT_FAKED(cuMemcpyDtoH_v2) NOT_FAKED(cuMemcpyHtoD_v2) NOT_FAKED(cuMemcpyPeerAsync) NOT_FAKED(cuMemsetD8_v2)
NOT_FAKED(cuModuleGetGlobal_v2) NOT_FAKED(cuModuleLoad) NOT_FAKED(cuStreamCreateWithPriority) NOT_FAKED(cuStreamWaitEvent)
NOT_FAKED(cublasGemmEx) NOT_FAKED(cublasHgemm) NOT_FAKED(cublasSgemm_v2) NOT_FAKED(cublasSgemmStridedBatched)
NOT_FAKED(cublasDgemm_v2) NOT_FAKED(curandGenerateNormal) NOT_FAKED(curandGenerateUniform)
NOT_FAKED(cublasSetMathMode) NOT_FAKED(cublasSetPointerMode_v2)

}  // extern "C"
