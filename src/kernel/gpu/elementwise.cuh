// How a rule of rules.cu runs over elements: the twin of ../elementwise.rs, with its bits.
//
// A rule is a structure of static functions and the sizes S (state numbers), H (scalars), and for two passes N (sums) and
// A (scalars of the second pass). Tables: scalars [K, H + 1], a row per lane K: the rule's own, then the factor on the gradient;
// factors [K]: what clipping on the device adds to that factor, or null. Threads never wait for each other.
#pragma once

struct Chunk {
    float* theta;           // the chunk's first element
    const float* gradient;  // its gradient
    float* state;           // its first state number
    unsigned long long stride;  // from one state number of an element to the next
    unsigned count;         // elements
    unsigned lane;
    unsigned tensor;        // which parameter and lane, in two passes
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

constexpr unsigned ACCUMULATORS = 16;  // of a sum over a piece
constexpr unsigned IN_FLIGHT = 4;      // elements that a thread has loaded before it stores the first
constexpr unsigned SUMMED_IN_FLIGHT = 16;

// C++ has no array of length 0.
constexpr unsigned room(unsigned numbers) { return numbers > 0 ? numbers : 1; }

template <unsigned S>
struct Element {
    float theta, g, state[room(S)];
};

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
        for (unsigned s = 0; s < S; ++s) own.state[s] = chunk.state[s * chunk.stride + i];
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
                for (unsigned s = 0; s < S; ++s) chunk.state[s * chunk.stride + i] = own[k].state[s];
            }
        }
    }
}

// One pass: a block per chunk.
template <class Rule>
__device__ __forceinline__ void update(const Chunk* chunks, const float* scalars, const float* factors) {
    const Chunk chunk = chunks[blockIdx.x];
    const Scalars<Rule::H> h(scalars, factors, chunk.lane);
    each_element<Rule::S>(chunk, h.gradient, [&](float& theta, float g, float* state) {
        Rule::update(h.rule, theta, g, state);
    });
}

// The first of two passes: a block per piece, a thread per accumulator; sums [pieces, N, 16].
template <class Rule>
__device__ __forceinline__ void first(const Chunk* pieces, const float* scalars, const float* factors, double* sums) {
    const unsigned accumulator = threadIdx.x;
    if (accumulator >= ACCUMULATORS) return;
    const Chunk piece = pieces[blockIdx.x];
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
#pragma unroll
    for (unsigned n = 0; n < Rule::N; ++n) {
        sums[(blockIdx.x * (unsigned long long)Rule::N + n) * ACCUMULATORS + accumulator] = sum[n];
    }
}

// The sum of the accumulators of one piece, by halves.
__device__ __forceinline__ double by_halves(const double* accumulators) {
    double own[ACCUMULATORS];
#pragma unroll
    for (unsigned i = 0; i < ACCUMULATORS; ++i) own[i] = accumulators[i];
#pragma unroll
    for (unsigned half = ACCUMULATORS / 2; half > 0; half /= 2) {
#pragma unroll
        for (unsigned i = 0; i < half; ++i) own[i] += own[i + half];
    }
    return own[0];
}

// Between the passes: a thread per parameter and lane; scalars [K, H] in double, reduced [tensors, A].
template <class Rule>
__device__ __forceinline__ void reduce(
    const TensorPieces* tensors, unsigned count, const double* scalars, const double* sums, float* reduced) {
    const unsigned index = blockIdx.x * blockDim.x + threadIdx.x;
    if (index >= count) return;
    const TensorPieces tensor = tensors[index];
    double total[Rule::N];
#pragma unroll
    for (unsigned n = 0; n < Rule::N; ++n) {
        total[n] = 0.0;
#pragma unroll 4
        for (unsigned piece = 0; piece < tensor.pieces; ++piece) {
            const unsigned long long row = (tensor.first_piece + (unsigned long long)piece) * Rule::N + n;
            total[n] += by_halves(sums + row * ACCUMULATORS);
        }
    }
    double a[Rule::A];
    Rule::reduce(scalars + Rule::H * (unsigned long long)tensor.lane, total, (double)tensor.elements, a);
#pragma unroll
    for (unsigned k = 0; k < Rule::A; ++k) reduced[index * (unsigned long long)Rule::A + k] = (float)a[k];
}

// The second pass: a block per chunk.
template <class Rule>
__device__ __forceinline__ void second(
    const Chunk* chunks, const float* scalars, const float* factors, const float* reduced) {
    const Chunk chunk = chunks[blockIdx.x];
    const Scalars<Rule::H> h(scalars, factors, chunk.lane);
    float a[Rule::A];
#pragma unroll
    for (unsigned k = 0; k < Rule::A; ++k) a[k] = __ldg(reduced + chunk.tensor * (unsigned long long)Rule::A + k);
    each_element<Rule::S>(chunk, h.gradient, [&](float& theta, float g, float* state) {
        Rule::second(h.rule, a, theta, g, state);
    });
}
