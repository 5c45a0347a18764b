// How a rule of rules.cu runs over elements: the twin of ../host/update.rs, with its bits.
//
// A rule is a structure of static functions and the sizes S (state numbers), H (scalars), and for two passes N (sums) and
// A (scalars of the second pass). Tables: scalars [K, H + 1], a row per lane K: the rule's own, then the factor on the gradient;
// factors [K]: what clipping on the device adds to that factor, or null. Threads never wait for each other.
#pragma once

struct Chunk {
    float* theta;               // the chunk's first element
    const float* gradient;      // its gradient
    float* state;               // its first state number
    unsigned long long stride;  // from one state number of an element to the next
    unsigned count;             // elements
    unsigned lane;
    unsigned tensor;  // which parameter and lane, in two passes
    unsigned pad;
};
static_assert(sizeof(Chunk) == 48, "as in chunk.rs");

struct TensorPieces {
    unsigned long long elements;
    unsigned first_piece;
    unsigned pieces;
    unsigned lane;
    unsigned pad;
};
static_assert(sizeof(TensorPieces) == 24, "as in chunk.rs");

namespace elementwise {

constexpr unsigned ACCUMULATORS = 16;      // of a sum over a piece
constexpr unsigned IN_FLIGHT = 4;          // elements that a thread loads before it stores the first
constexpr unsigned SUMMED_IN_FLIGHT = 16;  // elements that a thread loads before it adds the first

// C++ has no array of length 0.
constexpr unsigned room(unsigned numbers) { return numbers > 0 ? numbers : 1; }

template <unsigned S>
struct Element {
    float theta, g, state[room(S)];
};

// The chunk of this block.
template <unsigned S>
__device__ __forceinline__ Chunk own_chunk(const Chunk* chunks) {
    const Chunk chunk = chunks[blockIdx.x];
    // Else each access asks what kind of memory it is.
    __builtin_assume(__isGlobal(chunk.theta));
    if constexpr (S > 0) __builtin_assume(__isGlobal(chunk.state));
    return chunk;
}

template <unsigned H>
struct Scalars {
    float rule[room(H)], gradient;

    __device__ __forceinline__ Scalars(const float* scalars, const float* factors, unsigned lane) {
        const float* const row = scalars + (H + 1) * (unsigned long long)lane;
#pragma unroll
        for (unsigned k = 0; k < H; ++k) rule[k] = __ldg(row + k);
        gradient = __ldg(row + H) * (factors ? __ldg(factors + lane) : 1.0f);
    }
};

// Zeros past the end.
template <unsigned S>
__device__ __forceinline__ Element<S> load(const Chunk& chunk, unsigned i, float scale) {
    Element<S> own = {};
    if (i < chunk.count) {
        own.theta = chunk.theta[i];
        own.g = __ldg(chunk.gradient + i) * scale;
#pragma unroll
        for (unsigned s = 0; s != S; ++s) own.state[s] = chunk.state[s * chunk.stride + i];
    }
    return own;
}

// Replaces parameter and state of every element by what `step` makes of them.
template <unsigned S, typename Step>
__device__ __forceinline__ void each_element(const Chunk& chunk, float scale, Step step) {
    const unsigned apart = blockDim.x;
    for (unsigned start = threadIdx.x; start < chunk.count; start += IN_FLIGHT * apart) {
        Element<S> own[IN_FLIGHT];
#pragma unroll
        for (unsigned k = 0; k < IN_FLIGHT; ++k) own[k] = load<S>(chunk, start + k * apart, scale);
#pragma unroll
        for (unsigned k = 0; k < IN_FLIGHT; ++k) {
            const unsigned i = start + k * apart;
            if (i < chunk.count) {
                step(own[k].theta, own[k].g, own[k].state);
                chunk.theta[i] = own[k].theta;
#pragma unroll
                for (unsigned s = 0; s != S; ++s) chunk.state[s * chunk.stride + i] = own[k].state[s];
            }
        }
    }
}

// One pass: a block per chunk.
template <class Rule>
__device__ __forceinline__ void update(const Chunk* chunks, const float* scalars, const float* factors) {
    const Chunk chunk = own_chunk<Rule::S>(chunks);
    const Scalars<Rule::H> h(scalars, factors, chunk.lane);
    each_element<Rule::S>(chunk, h.gradient, [&](float& theta, float g, float* state) {
        Rule::update(h.rule, theta, g, state);
    });
}

// The sum of the first 2·HALF numbers, by halves, in the first.
template <unsigned HALF>
__device__ __forceinline__ void by_halves(double* numbers) {
#pragma unroll
    for (unsigned i = 0; i < HALF; ++i) numbers[i] += numbers[i + HALF];
    if constexpr (HALF > 1) by_halves<HALF / 2>(numbers);
}

// The sum of 16 numbers that other threads of this launch wrote.
__device__ __forceinline__ double sum_of(const double* numbers) {
    double own[ACCUMULATORS];
#pragma unroll
    for (unsigned i = 0; i < ACCUMULATORS; ++i) own[i] = __ldcg(numbers + i);
    by_halves<ACCUMULATORS / 2>(own);
    return own[0];
}

// Whether the caller is the last of 16 threads to come here: it sees what the others wrote before they came. Nobody waits. The
// counter is 0 before the first and after the last.
__device__ __forceinline__ bool comes_last(unsigned* arrived) {
    __threadfence();
    const bool is_last = atomicInc(arrived, ACCUMULATORS - 1) == ACCUMULATORS - 1;
    __threadfence();
    return is_last;
}

// Adds N numbers of each of 16 threads: the last of them to come here learns the totals, and that it is the last. `own` [N, 16] has room.
template <unsigned N>
__device__ __forceinline__ bool added(
    const double (&numbers)[N], unsigned thread, double* own, unsigned* arrived, double (&total)[N]) {
#pragma unroll
    for (unsigned n = 0; n < N; ++n) own[n * ACCUMULATORS + thread] = numbers[n];
    if (!comes_last(arrived)) return false;
#pragma unroll
    for (unsigned n = 0; n < N; ++n) total[n] = sum_of(own + n * ACCUMULATORS);
    return true;
}

// The sums of the pieces of a tensor, whose room [pieces, N, 16] begins at `own`: thread i of 16 adds those of the pieces i, i + 16, …
// in their order. They then go in the place of the first piece's accumulators, of which only the first is still needed, by the
// thread that replaces it.
template <unsigned N>
__device__ __forceinline__ bool pieces_added(
    const TensorPieces& tensor, unsigned thread, double* own, unsigned* arrived, double (&total)[N]) {
    const unsigned apart = N * ACCUMULATORS;
    double column[N] = {};
#pragma unroll 16
    for (unsigned piece = thread; piece < tensor.pieces; piece += ACCUMULATORS) {
#pragma unroll
        for (unsigned n = 0; n < N; ++n) column[n] += own[piece * (unsigned long long)apart + n * ACCUMULATORS];
    }
    return added<N>(column, thread, own, arrived, total);
}

// The first of two passes: a block per piece, a thread per accumulator; sums [pieces, N, 16], of which the first of 16 becomes
// the piece's sum; arrived [pieces].
template <class Rule>
__device__ __forceinline__ void first(
    const Chunk* pieces, const float* scalars, const float* factors, double* sums, unsigned* arrived) {
    const unsigned accumulator = threadIdx.x;
    if (accumulator >= ACCUMULATORS) return;
    const Chunk piece = own_chunk<Rule::S>(pieces);
    const Scalars<Rule::H> h(scalars, factors, piece.lane);
    double sum[Rule::N] = {};
    for (unsigned start = accumulator; start < piece.count; start += SUMMED_IN_FLIGHT * ACCUMULATORS) {
        Element<Rule::S> own[SUMMED_IN_FLIGHT];
#pragma unroll
        for (unsigned k = 0; k < SUMMED_IN_FLIGHT; ++k) {
            own[k] = load<Rule::S>(piece, start + k * ACCUMULATORS, h.gradient);
        }
#pragma unroll
        for (unsigned k = 0; k < SUMMED_IN_FLIGHT; ++k) {
            if (start + k * ACCUMULATORS < piece.count) {
                float term[Rule::N];
                Rule::first(h.rule, own[k].theta, own[k].g, own[k].state, term);
#pragma unroll
                for (unsigned n = 0; n < Rule::N; ++n) sum[n] += (double)term[n];
            }
        }
    }
    double* const own = sums + blockIdx.x * (unsigned long long)(Rule::N * ACCUMULATORS);
    double total[Rule::N];
    if (added<Rule::N>(sum, accumulator, own, arrived + blockIdx.x, total)) {
#pragma unroll
        for (unsigned n = 0; n < Rule::N; ++n) own[n * ACCUMULATORS] = total[n];
    }
}

// Between the passes: a block per parameter and lane, 16 threads. Scalars [K, H] in double; reduced [tensors, A].
template <class Rule>
__device__ __forceinline__ void reduce(
    const TensorPieces* tensors, const double* scalars, double* sums, unsigned* arrived, float* reduced) {
    const unsigned column = threadIdx.x;
    if (column >= ACCUMULATORS) return;
    const TensorPieces tensor = tensors[blockIdx.x];
    double* const own = sums + tensor.first_piece * (unsigned long long)(Rule::N * ACCUMULATORS);
    double total[Rule::N];
    if (pieces_added<Rule::N>(tensor, column, own, arrived + tensor.first_piece, total)) {
        double a[Rule::A];
        Rule::reduce(scalars + Rule::H * (unsigned long long)tensor.lane, total, (double)tensor.elements, a);
#pragma unroll
        for (unsigned k = 0; k < Rule::A; ++k) reduced[blockIdx.x * (unsigned long long)Rule::A + k] = (float)a[k];
    }
}

// The second pass: a block per chunk.
template <class Rule>
__device__ __forceinline__ void second(
    const Chunk* chunks, const float* scalars, const float* factors, const float* reduced) {
    const Chunk chunk = own_chunk<Rule::S>(chunks);
    const Scalars<Rule::H> h(scalars, factors, chunk.lane);
    float a[Rule::A];
#pragma unroll
    for (unsigned k = 0; k < Rule::A; ++k) a[k] = __ldg(reduced + chunk.tensor * (unsigned long long)Rule::A + k);
    each_element<Rule::S>(chunk, h.gradient, [&](float& theta, float g, float* state) {
        Rule::second(h.rule, a, theta, g, state);
    });
}

}  // namespace elementwise
