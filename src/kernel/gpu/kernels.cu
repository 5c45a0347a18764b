// The passes of a training step on a GPU, beside the update rules, which write their own text (rules.cu).
//
// Every number that is stored comes from IEEE additions, products, quotients, roots and fused multiply-adds in the order of the
// loops for host memory (../ops, ../host), so both give the same bits; only the loss that is reported passes through the
// machine's logarithm. Compiled without contraction. No thread waits for another: of those that share a sum the last to
// come adds. All grids have one dimension.
//
// What changes from launch to launch lies in device memory, so that recorded steps read it anew: `at` points at the place of the first of
// them in the order of samples, and at the number of its first sample, or is null. Letters: B rows of the batch, K lanes, C classes.

#include "elementwise.cuh"

using elementwise::ACCUMULATORS;
using elementwise::added;
using elementwise::pieces_added;

typedef unsigned u32;
typedef unsigned long long u64;

// This thread among all of the grid.
static __device__ __forceinline__ u64 thread_index() {
    return (u64)blockIdx.x * blockDim.x + threadIdx.x;
}

// number / by and the rest; a division of 32 bits where that does, which takes a fifth of the time.
static __device__ __forceinline__ u64 quotient(u64 number, u32 by, u32& rest) {
    if (number <= 0xffffffffull) {
        const u32 small = (u32)number;
        rest = small % by;
        return small / by;
    }
    rest = (u32)(number % by);
    return number / by;
}

// x [rows, stride] = pixels [N, inputs] in the order of `order`, by channel: pixel · scale + shift. Up to four channels.
extern "C" __global__ void __launch_bounds__(256) gather(
    const unsigned char* __restrict__ pixels, const u32* __restrict__ order, const u64* __restrict__ at, u64 offset,
    u32 rows, u32 inputs, u32 stride, u32 channels, float scale0, float shift0, float scale1, float shift1, float scale2,
    float shift2, float scale3, float shift3, float* __restrict__ x) {
    u64 index = thread_index();
    if (index >= (u64)rows * inputs) return;
    u32 input;
    u64 row = quotient(index, inputs, input), start = (at ? at[0] : 0) + offset;
    u32 channel = input / (inputs / channels);
    float scale = channel == 0 ? scale0 : channel == 1 ? scale1 : channel == 2 ? scale2 : scale3;
    float shift = channel == 0 ? shift0 : channel == 1 ? shift1 : channel == 2 ? shift2 : shift3;
    float pixel = (float)pixels[(u64)order[start + row] * inputs + input];
    x[row * stride + input] = fmaf(pixel, scale, shift);
}

// x [rows, stride] = numbers [N, inputs] in the order of `order`.
extern "C" __global__ void __launch_bounds__(256) gather_rows(
    const float* __restrict__ numbers, const u32* __restrict__ order, const u64* __restrict__ at, u64 offset, u32 rows,
    u32 inputs, u32 stride, float* __restrict__ x) {
    u64 index = thread_index();
    if (index >= (u64)rows * inputs) return;
    u32 input;
    u64 row = quotient(index, inputs, input), start = (at ? at[0] : 0) + offset;
    x[row * stride + input] = numbers[(u64)order[start + row] * inputs + input];
}

// y [rows, width] += bias [width], then ReLU where asked for; a NaN stays one.
extern "C" __global__ void __launch_bounds__(256) bias_activation(
    const float* __restrict__ bias, u32 rows, u32 width, u32 relu, float* __restrict__ y) {
    u64 index = thread_index();
    if (index >= (u64)rows * width) return;
    u32 column;
    quotient(index, width, column);
    float z = y[index] + bias[column];
    y[index] = relu && z < 0.0f ? 0.0f : z;
}

// dy [rows, K, width] = dy · [y > 0] · scales [K].
extern "C" __global__ void __launch_bounds__(256) relu_backward(
    const float* __restrict__ y, const float* __restrict__ scales, u32 rows, u32 lanes, u32 width, float* __restrict__ dy) {
    u64 index = thread_index();
    if (index >= (u64)rows * lanes * width) return;
    u32 unit, lane;
    quotient(quotient(index, width, unit), lanes, lane);
    float scale = scales[lane];
    dy[index] = y[index] > 0.0f ? dy[index] * scale : 0.0f;
}

constexpr u32 BRANCHES = 16;  // of a tree of sums

// How many nodes of the next level a level of so many has.
static __device__ __forceinline__ u32 parents_of(u32 nodes) {
    return (nodes + BRANCHES - 1) / BRANCHES;
}

// Whether the caller, which has stored the sum of its node, is the last child of its parent to come here: it sees what the others
// stored before they came. Nobody waits. The counter is 0 before the first and after the last.
static __device__ __forceinline__ bool comes_last(u32* arrived, u32 children) {
    __threadfence();
    const bool is_last = atomicInc(arrived, children - 1) == children - 1;
    __threadfence();
    return is_last;
}

// Children of a node, in a level of `nodes`: the last node may have fewer.
static __device__ __forceinline__ u32 children_of(u32 parent, u32 nodes) {
    const u32 rest = nodes - BRANCHES * parent;
    return rest < BRANCHES ? rest : BRANCHES;
}

// db [width] = Σ_rows dy [rows, width], by the tree of ../host/sums.rs: a thread adds 16 rows, and the last child of a node to come adds
// its children. sums: room for the nodes of all levels but the root, [nodes, width]; arrived: for their parents, 0 before and after.
extern "C" __global__ void __launch_bounds__(64) column_sums(
    const float* __restrict__ dy, u32 rows, u32 width, float* sums, u32* arrived, float* __restrict__ db) {
    u64 index = thread_index();
    u32 nodes = parents_of(rows), column;
    if (index >= (u64)nodes * width) return;
    u32 node = (u32)quotient(index, width, column);
    float sum = 0.0f;
    const u32 own = children_of(node, rows);
#pragma unroll 16
    for (u32 row = 0; row < own; row++) sum += dy[(u64)(BRANCHES * node + row) * width + column];
    for (; nodes > 1; nodes = parents_of(nodes)) {
        float* level = sums + column;
        level[(u64)node * width] = sum;
        const u32 parent = node / BRANCHES, children = children_of(parent, nodes);
        if (!comes_last(arrived + (u64)parent * width + column, children)) return;
        sum = 0.0f;
        for (u32 child = 0; child < children; child++) sum += __ldcg(level + (u64)(BRANCHES * parent + child) * width);
        sums += (u64)nodes * width;
        arrived += (u64)parents_of(nodes) * width;
        node = parent;
    }
    db[column] = sum;
}

// eˣ for x ≤ 0: the polynomial of softmax.rs.
static __device__ __forceinline__ float exp_of_negative(float x) {
    const float smallest = -87.0f, round = 12582912.0f;
    float clipped = x < smallest ? smallest : x;
    float shifted = clipped * 1.44269504088896340736f + round;
    float n = shifted - round;
    float r = fmaf(n, 2.121944e-4f, fmaf(n, -(355.0f / 512.0f), clipped));
    float e = 1.0f / 5040.0f;
    e = fmaf(r, e, 1.0f / 720.0f);
    e = fmaf(r, e, 1.0f / 120.0f);
    e = fmaf(r, e, 1.0f / 24.0f);
    e = fmaf(r, e, 1.0f / 6.0f);
    e = fmaf(r, e, 0.5f);
    e = fmaf(r, e, 1.0f);
    e = fmaf(r, e, 1.0f);
    float power = __uint_as_float((__float_as_uint(shifted) << 23) + (127u << 23));
    return x < smallest ? 0.0f : e * power;
}

// A row of a lane: its loss and whether it is a hit, which loss [K] and hits [K] gain by the tree of ../host/sums.rs over the rows; and
// where there is a share, the logits [B, K, C] become (p − q) · share. The logarithm is that of the product of 16 normalisers. rows_of
// [3, B, K] holds the loss without it, the normaliser and the hit of each row; a node of the tree lies in the place of its first row,
// which no other thread reads by then. arrived: for all nodes, [nodes, K], 0 before and after. Smoothing [K].
extern "C" __global__ void __launch_bounds__(64) cross_entropy(
    const u32* __restrict__ labels, const u32* __restrict__ order, const u64* __restrict__ at, u64 offset, u32 rows,
    u32 lanes, u32 classes, const double* __restrict__ smoothing, u32 gradient, float share, float* __restrict__ logits,
    double* rows_of, u32* arrived, double* __restrict__ loss, u32* __restrict__ hits) {
    u64 index = thread_index();
    u64 count = (u64)rows * lanes;
    if (index >= count) return;
    u32 lane;
    u64 row = quotient(index, lanes, lane), start = (at ? at[0] : 0) + offset;
    double epsilon = smoothing[lane];
    u32 label = labels[order[start + row]];
    float* z = logits + index * classes;
    float largest = z[0], target = 0.0f;
    u32 best = 0;
    double total = 0.0;
    for (u32 class_ = 0; class_ < classes; class_++) {
        float own = z[class_];
        best = own > largest ? class_ : best;
        largest = own > largest ? own : largest;
        target = class_ == label ? own : target;
        if (epsilon > 0.0) total += (double)own;
    }
    float sum = 0.0f;
    for (u32 class_ = 0; class_ < classes; class_++) sum += exp_of_negative(z[class_] - largest);
    if (gradient) {
        float everywhere = (float)(epsilon / (double)classes);
        float here = (float)(1.0 - epsilon) + everywhere;
        float normaliser = 1.0f / sum;
        for (u32 class_ = 0; class_ < classes; class_++) {
            float q = class_ == label ? here : everywhere;
            z[class_] = (exp_of_negative(z[class_] - largest) * normaliser - q) * share;
        }
    }
    double mean = epsilon > 0.0 ? total / (double)classes : 0.0;
    rows_of[index] = (double)largest - (1.0 - epsilon) * (double)target - epsilon * mean;
    rows_of[count + index] = (double)sum;
    rows_of[2 * count + index] = best == label && sum == sum ? 1.0 : 0.0;
    // Up the tree.
    u32 node = (u32)row, nodes = rows;
    u64 apart = lanes;
    double found = 0.0, hit = 0.0;
    do {
        const u32 parent = node / BRANCHES, children = children_of(parent, nodes);
        if (!comes_last(arrived + (u64)parent * lanes + lane, children)) return;
        double* first = rows_of + parent * BRANCHES * apart + lane;
        double product = 1.0;
        found = hit = 0.0;
        for (u32 child = 0; child < children; child++) {
            const double* own = first + child * apart;
            found += __ldcg(own);
            hit += __ldcg(own + 2 * count);
            if (nodes == rows) product *= __ldcg(own + count);
        }
        if (nodes == rows) found += log(product);
        first[0] = found;
        first[2 * count] = hit;
        arrived += (u64)parents_of(nodes) * lanes;
        apart *= BRANCHES;
        node = parent;
        nodes = parents_of(nodes);
    } while (nodes > 1);
    loss[lane] += found;
    hits[lane] += (u32)hit;
}

// The number and probability of a lane's dropout.
struct Mask {
    u32 key[8];
    u64 stream;
    u32 threshold;
    float scale;
};

static __device__ __forceinline__ u32 rotated(u32 x, int by) {
    return x << by | x >> (32 - by);
}

#define QUARTER(a, b, c, d) \
    a += b; d = rotated(d ^ a, 16); \
    c += d; b = rotated(b ^ c, 12); \
    a += b; d = rotated(d ^ a, 8); \
    c += d; b = rotated(b ^ c, 7);

// y [B, K, width] ⊙ mask: a unit is dropped where its word of the lane's stream is below the threshold. Bernstein 2008, ChaCha with
// 8 rounds; a thread has a block of 16 words. Lane k's words go on from (first sample of the step + offset) · width.
extern "C" __global__ void __launch_bounds__(128) dropout(
    const Mask* __restrict__ masks, const u64* __restrict__ at, u64 offset, u32 rows, u32 lanes, u32 width, u32 blocks,
    float* __restrict__ y) {
    u64 index = thread_index();
    if (index >= (u64)blocks * lanes) return;
    u32 of_lane;
    u32 lane = (u32)quotient(index, blocks, of_lane);
    Mask mask = masks[lane];
    u64 first = ((at ? at[1] : 0) + offset) * width;
    u64 block = first / 16 + of_lane;
    u32 c0 = 0x61707865, c1 = 0x3320646e, c2 = 0x79622d32, c3 = 0x6b206574;
    u32 s12 = (u32)block, s13 = (u32)(block >> 32), s14 = (u32)mask.stream, s15 = (u32)(mask.stream >> 32);
    u32 x0 = c0, x1 = c1, x2 = c2, x3 = c3, x4 = mask.key[0], x5 = mask.key[1], x6 = mask.key[2], x7 = mask.key[3];
    u32 x8 = mask.key[4], x9 = mask.key[5], x10 = mask.key[6], x11 = mask.key[7], x12 = s12, x13 = s13, x14 = s14, x15 = s15;
#pragma unroll
    for (int round = 0; round < 4; round++) {
        QUARTER(x0, x4, x8, x12)
        QUARTER(x1, x5, x9, x13)
        QUARTER(x2, x6, x10, x14)
        QUARTER(x3, x7, x11, x15)
        QUARTER(x0, x5, x10, x15)
        QUARTER(x1, x6, x11, x12)
        QUARTER(x2, x7, x8, x13)
        QUARTER(x3, x4, x9, x14)
    }
    const u32 words[16] = {
        x0 + c0, x1 + c1, x2 + c2, x3 + c3,
        x4 + mask.key[0], x5 + mask.key[1], x6 + mask.key[2], x7 + mask.key[3],
        x8 + mask.key[4], x9 + mask.key[5], x10 + mask.key[6], x11 + mask.key[7],
        x12 + s12, x13 + s13, x14 + s14, x15 + s15};
    u64 count = (u64)rows * width;
#pragma unroll
    for (int word = 0; word < 16; word++) {
        u64 position = block * 16 + word;
        if (position >= first && position - first < count) {
            u32 unit;
            u64 row = quotient(position - first, width, unit);
            float* own = y + (row * lanes + lane) * width + unit;
            *own = words[word] < mask.threshold ? 0.0f : *own * mask.scale;
        }
    }
}

// at [2], where the launch that ends here has stood, moves on to where the next stands. One thread.
extern "C" __global__ void __launch_bounds__(32) move_on(u64* __restrict__ at, u64 samples) {
    at[0] += samples;
    at[1] += samples;
}

// sum += x.
extern "C" __global__ void __launch_bounds__(256) add(const float* __restrict__ x, u64 count, float* __restrict__ sum) {
    u64 index = thread_index();
    if (index < count) sum[index] += x[index];
}

// a and b change places.
extern "C" __global__ void __launch_bounds__(256) exchange(float* __restrict__ a, float* __restrict__ b, u64 count) {
    u64 index = thread_index();
    if (index >= count) return;
    float kept = a[index];
    a[index] = b[index];
    b[index] = kept;
}

// x = x + weight · (target − x), without denormals.
extern "C" __global__ void __launch_bounds__(256) average(
    const float* __restrict__ target, float weight, u64 count, float* __restrict__ x) {
    u64 index = thread_index();
    if (index >= count) return;
    float mean = weight < 1.0f ? fmaf(weight, target[index] - x[index], x[index]) : target[index];
    x[index] = fabsf(mean) < 1.17549435e-38f ? 0.0f : mean;
}

// Every gradient into ±bounds [K]; a lane without a bound has infinity. A NaN stays one.
extern "C" __global__ void __launch_bounds__(256) clip_value(const Chunk* __restrict__ pieces, const float* __restrict__ bounds) {
    const Chunk piece = pieces[blockIdx.x];
    float bound = bounds[piece.lane];
    float* gradient = const_cast<float*>(piece.gradient);
    for (u32 i = threadIdx.x; i < piece.count; i += blockDim.x) {
        float g = gradient[i];
        gradient[i] = bound < g ? bound : g < -bound ? -bound : g;
    }
}

// Σ x² as sums.rs sums a slice: 16 accumulators, then by halves.
static __device__ __forceinline__ double sum_of_squares(const float* x, u32 count) {
    double a0 = 0, a1 = 0, a2 = 0, a3 = 0, a4 = 0, a5 = 0, a6 = 0, a7 = 0;
    double a8 = 0, a9 = 0, a10 = 0, a11 = 0, a12 = 0, a13 = 0, a14 = 0, a15 = 0;
    u32 i = 0;
#define SQUARE(sum, at) \
    if (i + at < count) sum = fma((double)x[i + at], (double)x[i + at], sum);
    for (; i < count; i += 16) {
        SQUARE(a0, 0) SQUARE(a1, 1) SQUARE(a2, 2) SQUARE(a3, 3) SQUARE(a4, 4) SQUARE(a5, 5) SQUARE(a6, 6) SQUARE(a7, 7)
        SQUARE(a8, 8) SQUARE(a9, 9) SQUARE(a10, 10) SQUARE(a11, 11) SQUARE(a12, 12) SQUARE(a13, 13) SQUARE(a14, 14)
        SQUARE(a15, 15)
    }
    a0 += a8; a1 += a9; a2 += a10; a3 += a11; a4 += a12; a5 += a13; a6 += a14; a7 += a15;
    a0 += a4; a1 += a5; a2 += a6; a3 += a7;
    a0 += a2; a1 += a3;
    return a0 + a1;
}

// A unit whose gradient is longer than factors [K] · max(‖w‖, 10⁻³) is scaled down to it: w and g [K, units, size]. A lane without a
// factor has infinity.
extern "C" __global__ void __launch_bounds__(64) clip_units(
    const float* __restrict__ w, const double* __restrict__ factors, u32 lanes, u32 units, u32 size, float* __restrict__ g) {
    u64 index = thread_index();
    if (index >= (u64)lanes * units) return;
    w += index * size;
    g += index * size;
    double norm = sqrt(sum_of_squares(w, size)), found = sqrt(sum_of_squares(g, size));
    double most = factors[index / units] * (norm > 1e-3 ? norm : 1e-3);
    if (found > most) {
        float scale = (float)(most / found);
        for (u32 i = 0; i < size; i++) g[i] *= scale;
    }
}

// Σ g² of each piece, in the first of its 16 numbers: sums [pieces, 16], arrived [pieces]. A block of 16 threads a piece.
extern "C" __global__ void __launch_bounds__(32) squares(
    const Chunk* __restrict__ pieces, double* __restrict__ sums, u32* __restrict__ arrived) {
    if (threadIdx.x >= ACCUMULATORS) return;
    const Chunk piece = pieces[blockIdx.x];
    double sum[1] = {}, total[1];
#pragma unroll 8
    for (u32 i = threadIdx.x; i < piece.count; i += ACCUMULATORS) {
        const double g = (double)piece.gradient[i];
        sum[0] = fma(g, g, sum[0]);
    }
    double* own = sums + (u64)blockIdx.x * ACCUMULATORS;
    if (added<1>(sum, threadIdx.x, own, arrived + blockIdx.x, total)) own[0] = total[0];
}

// The sum of the pieces of each tensor: totals [tensors]. A block of 16 threads a tensor.
extern "C" __global__ void __launch_bounds__(32) tensor_sums(
    const TensorPieces* __restrict__ tensors, double* __restrict__ sums, u32* __restrict__ arrived, double* __restrict__ totals) {
    if (threadIdx.x >= ACCUMULATORS) return;
    const TensorPieces tensor = tensors[blockIdx.x];
    double total[1];
    double* own = sums + (u64)tensor.first_piece * ACCUMULATORS;
    if (pieces_added<1>(tensor, threadIdx.x, own, arrived + tensor.first_piece, total)) totals[blockIdx.x] = total[0];
}

// factors [K] = min(1, most [K]/(norm + 10⁻⁶)) with the norm over all tensors of the lane, in their order; a NaN stays one. A lane
// without a bound has infinity, and keeps its gradient. squares [parameters, K].
extern "C" __global__ void __launch_bounds__(64) clip_factors(
    const double* __restrict__ squares, u32 parameters, u32 lanes, const double* __restrict__ most, float* __restrict__ factors) {
    u64 lane = thread_index();
    if (lane >= lanes) return;
    double sum = 0.0;
    for (u32 parameter = 0; parameter < parameters; parameter++) sum += squares[(u64)parameter * lanes + lane];
    double factor = most[lane] / (sqrt(sum) + 1e-6);
    factors[lane] = most[lane] == 1.0 / 0.0 || factor > 1.0 ? 1.0f : (float)factor;
}

// The numbers of a lane's step of Muon: see MuonStep.
struct MuonStep {
    float weight, ahead, gradient, minus_step, toward, away;
};

// b [K, size] follows the gradient, and u looks ahead from it; factors [K] or none.
extern "C" __global__ void __launch_bounds__(256) look_ahead(
    const float* __restrict__ gradient, const MuonStep* __restrict__ steps, const float* __restrict__ factors, u64 size,
    u64 count, float* __restrict__ b, float* __restrict__ u) {
    u64 index = thread_index();
    if (index >= count) return;
    u64 lane = index / size;
    MuonStep step = steps[lane];
    float g = gradient[index] * (step.gradient * (factors ? factors[lane] : 1.0f));
    float mean = step.weight < 1.0f ? fmaf(step.weight, g - b[index], b[index]) : g;
    mean = fabsf(mean) < 1.17549435e-38f ? 0.0f : mean;
    b[index] = mean;
    u[index] = fmaf(step.ahead, mean - g, g);
}

// 1/‖x‖ of each tensor from its sum of squares; a norm is not taken for less than 10⁻⁷, and a NaN stays one.
extern "C" __global__ void __launch_bounds__(64) inverse_norms(
    const double* __restrict__ squares, u32 count, float* __restrict__ inverse) {
    u64 index = thread_index();
    if (index >= count) return;
    double norm = sqrt(squares[index]);
    inverse[index] = (float)(1.0 / (norm < 1e-7 ? 1e-7 : norm));
}

// x [K, size] = x · factors [K].
extern "C" __global__ void __launch_bounds__(256) scale(const float* __restrict__ factors, u64 size, u64 count, float* __restrict__ x) {
    u64 index = thread_index();
    if (index < count) x[index] *= factors[index / size];
}

// y = a · x + c · y.
extern "C" __global__ void __launch_bounds__(256) blend(
    float a, const float* __restrict__ x, float c, u64 count, float* __restrict__ y) {
    u64 index = thread_index();
    if (index < count) y[index] = fmaf(a, x[index], c * y[index]);
}

// θ [K, size] decays and moves along u.
extern "C" __global__ void __launch_bounds__(256) decay_and_move(
    const float* __restrict__ u, const MuonStep* __restrict__ steps, u64 size, u64 count, float* __restrict__ theta) {
    u64 index = thread_index();
    if (index >= count) return;
    MuonStep step = steps[index / size];
    float own = theta[index], along = u[index];
    float decay = along * own < 0.0f ? step.away : step.toward;
    theta[index] = own + fmaf(decay, own, step.minus_step * along);
}
