// The kernels of the update rules. Made by running each rule of src/optim on `Expr` numbers (source.rs), in a test:
//     ADAMTRAIN_WRITE=1 cargo test --release --lib the_file_of_kernels
// Do not edit it: the same test compares it with what the rules write. A rule is a structure with its formula; scalars
// and state have the names that they have in Rust.
#include "elementwise.cuh"

struct adabelief {
    static constexpr unsigned S = 2, H = 8;

    static __device__ __forceinline__ void update(const float* h, float& theta, float g, float* state) {
        const float weight1 = h[0], weight2 = h[1], eps = h[2], minus_step = h[3], of_root = h[4], rest = h[5];
        const float coupled = h[6], decoupled = h[7];
        const float m = state[0], s = state[1];
        const float t0 = fmaf(coupled, theta, g);
        const float t1 = t0 - m;
        const float t2 = fmaf(weight1, t1, m);
        const float t3 = weight1 < 1.0f ? t2 : t0;
        const float new_m = fabsf(t3) < 0x1p-126f ? 0.0f : t3;
        const float t4 = t0 - new_m;
        const float t5 = fmaf(t4, t4, -s);
        const float t6 = fmaf(weight2, t5, s);
        const float t7 = t4 * t4;
        const float t8 = weight2 < 1.0f ? t6 : t7;
        const float t9 = fabsf(t8) < 0x1p-126f ? 0.0f : t8;
        const float new_s = t9 + eps;
        const float t10 = sqrtf(new_s);
        const float t11 = fmaf(of_root, t10, rest);
        const float t12 = new_m / t11;
        const float t13 = minus_step * t12;
        const float t14 = fmaf(decoupled, theta, t13);
        const float new_theta = theta + t14;
        state[0] = new_m;
        state[1] = new_s;
        theta = new_theta;
    }
};

extern "C" __global__ void __launch_bounds__(256) update_adabelief(
    const Chunk* __restrict__ chunks,
    const float* __restrict__ scalars,
    const float* __restrict__ factors) {
    elementwise::update<adabelief>(chunks, scalars, factors);
}

struct adabelief_cautious {
    static constexpr unsigned S = 2, H = 8, N = 1, A = 1;

    static __device__ __forceinline__ void first(const float* h, float theta, float g, const float* state, float* term) {
        const float weight1 = h[0], coupled = h[6];
        const float m = state[0];
        const float t0 = fmaf(coupled, theta, g);
        const float t1 = t0 - m;
        const float t2 = fmaf(weight1, t1, m);
        const float t3 = weight1 < 1.0f ? t2 : t0;
        const float t4 = fabsf(t3) < 0x1p-126f ? 0.0f : t3;
        const float t5 = t4 * t0;
        const float term_agreeing = 0.0f < t5 ? 1.0f : 0.0f;
        term[0] = term_agreeing;
    }

    static __device__ __forceinline__ void reduce(const double* h, const double* sum, double count, double* a) {
        const double agreeing = sum[0];
        const double t0 = agreeing / count;
        const double t1 = t0 + 0x1.0624dd2f1a9fcp-10;
        const double t2 = 0x1.0624dd2f1a9fcp-10 <= t0 ? t0 : t1;
        const double t3 = t0 < 0x1.0624dd2f1a9fcp-10 ? 0x1.0624dd2f1a9fcp-10 : t2;
        const double new_spread = 1.0 / t3;
        a[0] = new_spread;
    }

    static __device__ __forceinline__ void second(const float* h, const float* a, float& theta, float g, float* state) {
        const float weight1 = h[0], weight2 = h[1], eps = h[2], minus_step = h[3], of_root = h[4], rest = h[5];
        const float coupled = h[6], decoupled = h[7];
        const float spread = a[0];
        const float m = state[0], s = state[1];
        const float t0 = fmaf(coupled, theta, g);
        const float t1 = t0 - m;
        const float t2 = fmaf(weight1, t1, m);
        const float t3 = weight1 < 1.0f ? t2 : t0;
        const float new_m = fabsf(t3) < 0x1p-126f ? 0.0f : t3;
        const float t4 = t0 - new_m;
        const float t5 = fmaf(t4, t4, -s);
        const float t6 = fmaf(weight2, t5, s);
        const float t7 = t4 * t4;
        const float t8 = weight2 < 1.0f ? t6 : t7;
        const float t9 = fabsf(t8) < 0x1p-126f ? 0.0f : t8;
        const float new_s = t9 + eps;
        const float t10 = sqrtf(new_s);
        const float t11 = fmaf(of_root, t10, rest);
        const float t12 = new_m / t11;
        const float t13 = new_m * t0;
        const float t14 = 0.0f < t13 ? 1.0f : 0.0f;
        const float t15 = t14 * spread;
        const float t16 = t12 * t15;
        const float t17 = minus_step * t16;
        const float t18 = fmaf(decoupled, theta, t17);
        const float new_theta = theta + t18;
        state[0] = new_m;
        state[1] = new_s;
        theta = new_theta;
    }
};

extern "C" __global__ void __launch_bounds__(32) update_adabelief_cautious_first(
    const Chunk* __restrict__ pieces,
    const float* __restrict__ scalars,
    const float* __restrict__ factors,
    double* __restrict__ sums,
    unsigned* __restrict__ arrived) {
    elementwise::first<adabelief_cautious>(pieces, scalars, factors, sums, arrived);
}

extern "C" __global__ void __launch_bounds__(32) update_adabelief_cautious_reduce(
    const TensorPieces* __restrict__ tensors,
    const double* __restrict__ scalars,
    double* __restrict__ sums,
    unsigned* __restrict__ arrived,
    float* __restrict__ reduced) {
    elementwise::reduce<adabelief_cautious>(tensors, scalars, sums, arrived, reduced);
}

extern "C" __global__ void __launch_bounds__(256) update_adabelief_cautious_second(
    const Chunk* __restrict__ chunks,
    const float* __restrict__ scalars,
    const float* __restrict__ factors,
    const float* __restrict__ reduced) {
    elementwise::second<adabelief_cautious>(chunks, scalars, factors, reduced);
}

struct adabelief_cautious_both {
    static constexpr unsigned S = 2, H = 8, N = 1, A = 1;

    static __device__ __forceinline__ void first(const float* h, float theta, float g, const float* state, float* term) {
        const float weight1 = h[0], coupled = h[6];
        const float m = state[0];
        const float t0 = fmaf(coupled, theta, g);
        const float t1 = t0 - m;
        const float t2 = fmaf(weight1, t1, m);
        const float t3 = weight1 < 1.0f ? t2 : t0;
        const float t4 = fabsf(t3) < 0x1p-126f ? 0.0f : t3;
        const float t5 = t4 * t0;
        const float term_agreeing = 0.0f < t5 ? 1.0f : 0.0f;
        term[0] = term_agreeing;
    }

    static __device__ __forceinline__ void reduce(const double* h, const double* sum, double count, double* a) {
        const double agreeing = sum[0];
        const double t0 = agreeing / count;
        const double t1 = t0 + 0x1.0624dd2f1a9fcp-10;
        const double t2 = 0x1.0624dd2f1a9fcp-10 <= t0 ? t0 : t1;
        const double t3 = t0 < 0x1.0624dd2f1a9fcp-10 ? 0x1.0624dd2f1a9fcp-10 : t2;
        const double new_spread = 1.0 / t3;
        a[0] = new_spread;
    }

    static __device__ __forceinline__ void second(const float* h, const float* a, float& theta, float g, float* state) {
        const float weight1 = h[0], weight2 = h[1], eps = h[2], minus_step = h[3], of_root = h[4], rest = h[5];
        const float coupled = h[6], decoupled = h[7];
        const float spread = a[0];
        const float m = state[0], s = state[1];
        const float t0 = fmaf(coupled, theta, g);
        const float t1 = t0 - m;
        const float t2 = fmaf(weight1, t1, m);
        const float t3 = weight1 < 1.0f ? t2 : t0;
        const float new_m = fabsf(t3) < 0x1p-126f ? 0.0f : t3;
        const float t4 = t0 - new_m;
        const float t5 = fmaf(t4, t4, -s);
        const float t6 = fmaf(weight2, t5, s);
        const float t7 = t4 * t4;
        const float t8 = weight2 < 1.0f ? t6 : t7;
        const float t9 = fabsf(t8) < 0x1p-126f ? 0.0f : t8;
        const float new_s = t9 + eps;
        const float t10 = sqrtf(new_s);
        const float t11 = fmaf(of_root, t10, rest);
        const float t12 = new_m / t11;
        const float t13 = new_m * t0;
        const float t14 = 0.0f < t13 ? 1.0f : 0.0f;
        const float t15 = t14 * spread;
        const float t16 = t12 * theta;
        const float t17 = t16 < 0.0f ? 0.0f : decoupled;
        const float t18 = t12 * t15;
        const float t19 = minus_step * t18;
        const float t20 = fmaf(t17, theta, t19);
        const float new_theta = theta + t20;
        state[0] = new_m;
        state[1] = new_s;
        theta = new_theta;
    }
};

extern "C" __global__ void __launch_bounds__(32) update_adabelief_cautious_both_first(
    const Chunk* __restrict__ pieces,
    const float* __restrict__ scalars,
    const float* __restrict__ factors,
    double* __restrict__ sums,
    unsigned* __restrict__ arrived) {
    elementwise::first<adabelief_cautious_both>(pieces, scalars, factors, sums, arrived);
}

extern "C" __global__ void __launch_bounds__(32) update_adabelief_cautious_both_reduce(
    const TensorPieces* __restrict__ tensors,
    const double* __restrict__ scalars,
    double* __restrict__ sums,
    unsigned* __restrict__ arrived,
    float* __restrict__ reduced) {
    elementwise::reduce<adabelief_cautious_both>(tensors, scalars, sums, arrived, reduced);
}

extern "C" __global__ void __launch_bounds__(256) update_adabelief_cautious_both_second(
    const Chunk* __restrict__ chunks,
    const float* __restrict__ scalars,
    const float* __restrict__ factors,
    const float* __restrict__ reduced) {
    elementwise::second<adabelief_cautious_both>(chunks, scalars, factors, reduced);
}

struct adabelief_cautious_decay {
    static constexpr unsigned S = 2, H = 8;

    static __device__ __forceinline__ void update(const float* h, float& theta, float g, float* state) {
        const float weight1 = h[0], weight2 = h[1], eps = h[2], minus_step = h[3], of_root = h[4], rest = h[5];
        const float coupled = h[6], decoupled = h[7];
        const float m = state[0], s = state[1];
        const float t0 = fmaf(coupled, theta, g);
        const float t1 = t0 - m;
        const float t2 = fmaf(weight1, t1, m);
        const float t3 = weight1 < 1.0f ? t2 : t0;
        const float new_m = fabsf(t3) < 0x1p-126f ? 0.0f : t3;
        const float t4 = t0 - new_m;
        const float t5 = fmaf(t4, t4, -s);
        const float t6 = fmaf(weight2, t5, s);
        const float t7 = t4 * t4;
        const float t8 = weight2 < 1.0f ? t6 : t7;
        const float t9 = fabsf(t8) < 0x1p-126f ? 0.0f : t8;
        const float new_s = t9 + eps;
        const float t10 = sqrtf(new_s);
        const float t11 = fmaf(of_root, t10, rest);
        const float t12 = new_m / t11;
        const float t13 = t12 * theta;
        const float t14 = t13 < 0.0f ? 0.0f : decoupled;
        const float t15 = minus_step * t12;
        const float t16 = fmaf(t14, theta, t15);
        const float new_theta = theta + t16;
        state[0] = new_m;
        state[1] = new_s;
        theta = new_theta;
    }
};

extern "C" __global__ void __launch_bounds__(256) update_adabelief_cautious_decay(
    const Chunk* __restrict__ chunks,
    const float* __restrict__ scalars,
    const float* __restrict__ factors) {
    elementwise::update<adabelief_cautious_decay>(chunks, scalars, factors);
}

struct adabound {
    static constexpr unsigned S = 2, H = 7;

    static __device__ __forceinline__ void update(const float* h, float& theta, float g, float* state) {
        const float decay = h[0], weight1 = h[1], weight2 = h[2], eps = h[3], minus_step = h[4], minus_upper = h[5];
        const float minus_lower = h[6];
        const float m = state[0], v = state[1];
        const float t0 = fmaf(decay, theta, g);
        const float t1 = t0 - m;
        const float t2 = fmaf(weight1, t1, m);
        const float t3 = weight1 < 1.0f ? t2 : t0;
        const float new_m = fabsf(t3) < 0x1p-126f ? 0.0f : t3;
        const float t4 = fmaf(t0, t0, -v);
        const float t5 = fmaf(weight2, t4, v);
        const float t6 = t0 * t0;
        const float t7 = weight2 < 1.0f ? t5 : t6;
        const float new_v = fabsf(t7) < 0x1p-126f ? 0.0f : t7;
        const float t8 = sqrtf(new_v);
        const float t9 = t8 + eps;
        const float t10 = minus_step / t9;
        const float t11 = t10 < minus_upper ? minus_upper : t10;
        const float t12 = minus_lower < t10 ? minus_lower : t11;
        const float new_theta = fmaf(t12, new_m, theta);
        state[0] = new_m;
        state[1] = new_v;
        theta = new_theta;
    }
};

extern "C" __global__ void __launch_bounds__(256) update_adabound(
    const Chunk* __restrict__ chunks,
    const float* __restrict__ scalars,
    const float* __restrict__ factors) {
    elementwise::update<adabound>(chunks, scalars, factors);
}

struct adabound_amsgrad {
    static constexpr unsigned S = 3, H = 7;

    static __device__ __forceinline__ void update(const float* h, float& theta, float g, float* state) {
        const float decay = h[0], weight1 = h[1], weight2 = h[2], eps = h[3], minus_step = h[4], minus_upper = h[5];
        const float minus_lower = h[6];
        const float m = state[0], v = state[1], v_max = state[2];
        const float t0 = fmaf(decay, theta, g);
        const float t1 = t0 - m;
        const float t2 = fmaf(weight1, t1, m);
        const float t3 = weight1 < 1.0f ? t2 : t0;
        const float new_m = fabsf(t3) < 0x1p-126f ? 0.0f : t3;
        const float t4 = fmaf(t0, t0, -v);
        const float t5 = fmaf(weight2, t4, v);
        const float t6 = t0 * t0;
        const float t7 = weight2 < 1.0f ? t5 : t6;
        const float new_v = fabsf(t7) < 0x1p-126f ? 0.0f : t7;
        const float t8 = v_max + new_v;
        const float t9 = new_v <= v_max ? v_max : t8;
        const float new_v_max = v_max < new_v ? new_v : t9;
        const float t10 = sqrtf(new_v_max);
        const float t11 = t10 + eps;
        const float t12 = minus_step / t11;
        const float t13 = t12 < minus_upper ? minus_upper : t12;
        const float t14 = minus_lower < t12 ? minus_lower : t13;
        const float new_theta = fmaf(t14, new_m, theta);
        state[0] = new_m;
        state[1] = new_v;
        state[2] = new_v_max;
        theta = new_theta;
    }
};

extern "C" __global__ void __launch_bounds__(256) update_adabound_amsgrad(
    const Chunk* __restrict__ chunks,
    const float* __restrict__ scalars,
    const float* __restrict__ factors) {
    elementwise::update<adabound_amsgrad>(chunks, scalars, factors);
}

struct adabound_cautious {
    static constexpr unsigned S = 2, H = 7, N = 1, A = 1;

    static __device__ __forceinline__ void first(const float* h, float theta, float g, const float* state, float* term) {
        const float decay = h[0], weight1 = h[1];
        const float m = state[0];
        const float t0 = fmaf(decay, theta, g);
        const float t1 = t0 - m;
        const float t2 = fmaf(weight1, t1, m);
        const float t3 = weight1 < 1.0f ? t2 : t0;
        const float t4 = fabsf(t3) < 0x1p-126f ? 0.0f : t3;
        const float t5 = t4 * t0;
        const float term_agreeing = 0.0f < t5 ? 1.0f : 0.0f;
        term[0] = term_agreeing;
    }

    static __device__ __forceinline__ void reduce(const double* h, const double* sum, double count, double* a) {
        const double agreeing = sum[0];
        const double t0 = agreeing / count;
        const double t1 = t0 + 0x1.0624dd2f1a9fcp-10;
        const double t2 = 0x1.0624dd2f1a9fcp-10 <= t0 ? t0 : t1;
        const double t3 = t0 < 0x1.0624dd2f1a9fcp-10 ? 0x1.0624dd2f1a9fcp-10 : t2;
        const double new_spread = 1.0 / t3;
        a[0] = new_spread;
    }

    static __device__ __forceinline__ void second(const float* h, const float* a, float& theta, float g, float* state) {
        const float decay = h[0], weight1 = h[1], weight2 = h[2], eps = h[3], minus_step = h[4], minus_upper = h[5];
        const float minus_lower = h[6];
        const float spread = a[0];
        const float m = state[0], v = state[1];
        const float t0 = fmaf(decay, theta, g);
        const float t1 = t0 - m;
        const float t2 = fmaf(weight1, t1, m);
        const float t3 = weight1 < 1.0f ? t2 : t0;
        const float new_m = fabsf(t3) < 0x1p-126f ? 0.0f : t3;
        const float t4 = fmaf(t0, t0, -v);
        const float t5 = fmaf(weight2, t4, v);
        const float t6 = t0 * t0;
        const float t7 = weight2 < 1.0f ? t5 : t6;
        const float new_v = fabsf(t7) < 0x1p-126f ? 0.0f : t7;
        const float t8 = sqrtf(new_v);
        const float t9 = t8 + eps;
        const float t10 = minus_step / t9;
        const float t11 = t10 < minus_upper ? minus_upper : t10;
        const float t12 = minus_lower < t10 ? minus_lower : t11;
        const float t13 = new_m * t0;
        const float t14 = 0.0f < t13 ? 1.0f : 0.0f;
        const float t15 = t14 * spread;
        const float t16 = new_m * t15;
        const float t17 = t12 * t16;
        const float t18 = fmaf(0.0f, theta, t17);
        const float new_theta = theta + t18;
        state[0] = new_m;
        state[1] = new_v;
        theta = new_theta;
    }
};

extern "C" __global__ void __launch_bounds__(32) update_adabound_cautious_first(
    const Chunk* __restrict__ pieces,
    const float* __restrict__ scalars,
    const float* __restrict__ factors,
    double* __restrict__ sums,
    unsigned* __restrict__ arrived) {
    elementwise::first<adabound_cautious>(pieces, scalars, factors, sums, arrived);
}

extern "C" __global__ void __launch_bounds__(32) update_adabound_cautious_reduce(
    const TensorPieces* __restrict__ tensors,
    const double* __restrict__ scalars,
    double* __restrict__ sums,
    unsigned* __restrict__ arrived,
    float* __restrict__ reduced) {
    elementwise::reduce<adabound_cautious>(tensors, scalars, sums, arrived, reduced);
}

extern "C" __global__ void __launch_bounds__(256) update_adabound_cautious_second(
    const Chunk* __restrict__ chunks,
    const float* __restrict__ scalars,
    const float* __restrict__ factors,
    const float* __restrict__ reduced) {
    elementwise::second<adabound_cautious>(chunks, scalars, factors, reduced);
}

struct adadelta {
    static constexpr unsigned S = 2, H = 4;

    static __device__ __forceinline__ void update(const float* h, float& theta, float g, float* state) {
        const float decay = h[0], weight = h[1], eps = h[2], minus_lr = h[3];
        const float v = state[0], d = state[1];
        const float t0 = fmaf(decay, theta, g);
        const float t1 = fmaf(t0, t0, -v);
        const float t2 = fmaf(weight, t1, v);
        const float t3 = t0 * t0;
        const float t4 = weight < 1.0f ? t2 : t3;
        const float new_v = fabsf(t4) < 0x1p-126f ? 0.0f : t4;
        const float t5 = d + eps;
        const float t6 = sqrtf(t5);
        const float t7 = new_v + eps;
        const float t8 = sqrtf(t7);
        const float t9 = t6 / t8;
        const float t10 = t9 * t0;
        const float t11 = fmaf(t10, t10, -d);
        const float t12 = fmaf(weight, t11, d);
        const float t13 = t10 * t10;
        const float t14 = weight < 1.0f ? t12 : t13;
        const float new_d = fabsf(t14) < 0x1p-126f ? 0.0f : t14;
        const float new_theta = fmaf(minus_lr, t10, theta);
        state[0] = new_v;
        state[1] = new_d;
        theta = new_theta;
    }
};

extern "C" __global__ void __launch_bounds__(256) update_adadelta(
    const Chunk* __restrict__ chunks,
    const float* __restrict__ scalars,
    const float* __restrict__ factors) {
    elementwise::update<adadelta>(chunks, scalars, factors);
}

struct adagrad {
    static constexpr unsigned S = 1, H = 3;

    static __device__ __forceinline__ void update(const float* h, float& theta, float g, float* state) {
        const float decay = h[0], minus_lr = h[1], eps = h[2];
        const float sum = state[0];
        const float t0 = fmaf(decay, theta, g);
        const float t1 = fmaf(t0, t0, sum);
        const float new_sum = fabsf(t1) < 0x1p-126f ? 0.0f : t1;
        const float t2 = sqrtf(new_sum);
        const float t3 = t2 + eps;
        const float t4 = t0 / t3;
        const float new_theta = fmaf(minus_lr, t4, theta);
        state[0] = new_sum;
        theta = new_theta;
    }
};

extern "C" __global__ void __launch_bounds__(256) update_adagrad(
    const Chunk* __restrict__ chunks,
    const float* __restrict__ scalars,
    const float* __restrict__ factors) {
    elementwise::update<adagrad>(chunks, scalars, factors);
}

struct adam {
    static constexpr unsigned S = 2, H = 6;

    static __device__ __forceinline__ void update(const float* h, float& theta, float g, float* state) {
        const float weight1 = h[0], weight2 = h[1], minus_step = h[2], eps = h[3], coupled = h[4], decoupled = h[5];
        const float m = state[0], v = state[1];
        const float t0 = fmaf(coupled, theta, g);
        const float t1 = t0 - m;
        const float t2 = fmaf(weight1, t1, m);
        const float t3 = weight1 < 1.0f ? t2 : t0;
        const float new_m = fabsf(t3) < 0x1p-126f ? 0.0f : t3;
        const float t4 = fmaf(t0, t0, -v);
        const float t5 = fmaf(weight2, t4, v);
        const float t6 = t0 * t0;
        const float t7 = weight2 < 1.0f ? t5 : t6;
        const float new_v = fabsf(t7) < 0x1p-126f ? 0.0f : t7;
        const float t8 = sqrtf(new_v);
        const float t9 = t8 + eps;
        const float t10 = new_m / t9;
        const float t11 = minus_step * t10;
        const float t12 = fmaf(decoupled, theta, t11);
        const float new_theta = theta + t12;
        state[0] = new_m;
        state[1] = new_v;
        theta = new_theta;
    }
};

extern "C" __global__ void __launch_bounds__(256) update_adam(
    const Chunk* __restrict__ chunks,
    const float* __restrict__ scalars,
    const float* __restrict__ factors) {
    elementwise::update<adam>(chunks, scalars, factors);
}

struct adam_amsgrad {
    static constexpr unsigned S = 3, H = 6;

    static __device__ __forceinline__ void update(const float* h, float& theta, float g, float* state) {
        const float weight1 = h[0], weight2 = h[1], minus_step = h[2], eps = h[3], coupled = h[4], decoupled = h[5];
        const float m = state[0], v = state[1], v_max = state[2];
        const float t0 = fmaf(coupled, theta, g);
        const float t1 = t0 - m;
        const float t2 = fmaf(weight1, t1, m);
        const float t3 = weight1 < 1.0f ? t2 : t0;
        const float new_m = fabsf(t3) < 0x1p-126f ? 0.0f : t3;
        const float t4 = fmaf(t0, t0, -v);
        const float t5 = fmaf(weight2, t4, v);
        const float t6 = t0 * t0;
        const float t7 = weight2 < 1.0f ? t5 : t6;
        const float new_v = fabsf(t7) < 0x1p-126f ? 0.0f : t7;
        const float t8 = v_max + new_v;
        const float t9 = new_v <= v_max ? v_max : t8;
        const float new_v_max = v_max < new_v ? new_v : t9;
        const float t10 = sqrtf(new_v_max);
        const float t11 = t10 + eps;
        const float t12 = new_m / t11;
        const float t13 = minus_step * t12;
        const float t14 = fmaf(decoupled, theta, t13);
        const float new_theta = theta + t14;
        state[0] = new_m;
        state[1] = new_v;
        state[2] = new_v_max;
        theta = new_theta;
    }
};

extern "C" __global__ void __launch_bounds__(256) update_adam_amsgrad(
    const Chunk* __restrict__ chunks,
    const float* __restrict__ scalars,
    const float* __restrict__ factors) {
    elementwise::update<adam_amsgrad>(chunks, scalars, factors);
}

struct adam_amsgrad_cautious_decay {
    static constexpr unsigned S = 3, H = 6;

    static __device__ __forceinline__ void update(const float* h, float& theta, float g, float* state) {
        const float weight1 = h[0], weight2 = h[1], minus_step = h[2], eps = h[3], coupled = h[4], decoupled = h[5];
        const float m = state[0], v = state[1], v_max = state[2];
        const float t0 = fmaf(coupled, theta, g);
        const float t1 = t0 - m;
        const float t2 = fmaf(weight1, t1, m);
        const float t3 = weight1 < 1.0f ? t2 : t0;
        const float new_m = fabsf(t3) < 0x1p-126f ? 0.0f : t3;
        const float t4 = fmaf(t0, t0, -v);
        const float t5 = fmaf(weight2, t4, v);
        const float t6 = t0 * t0;
        const float t7 = weight2 < 1.0f ? t5 : t6;
        const float new_v = fabsf(t7) < 0x1p-126f ? 0.0f : t7;
        const float t8 = v_max + new_v;
        const float t9 = new_v <= v_max ? v_max : t8;
        const float new_v_max = v_max < new_v ? new_v : t9;
        const float t10 = sqrtf(new_v_max);
        const float t11 = t10 + eps;
        const float t12 = new_m / t11;
        const float t13 = t12 * theta;
        const float t14 = t13 < 0.0f ? 0.0f : decoupled;
        const float t15 = minus_step * t12;
        const float t16 = fmaf(t14, theta, t15);
        const float new_theta = theta + t16;
        state[0] = new_m;
        state[1] = new_v;
        state[2] = new_v_max;
        theta = new_theta;
    }
};

extern "C" __global__ void __launch_bounds__(256) update_adam_amsgrad_cautious_decay(
    const Chunk* __restrict__ chunks,
    const float* __restrict__ scalars,
    const float* __restrict__ factors) {
    elementwise::update<adam_amsgrad_cautious_decay>(chunks, scalars, factors);
}

struct adam_cautious {
    static constexpr unsigned S = 2, H = 6, N = 1, A = 1;

    static __device__ __forceinline__ void first(const float* h, float theta, float g, const float* state, float* term) {
        const float weight1 = h[0], coupled = h[4];
        const float m = state[0];
        const float t0 = fmaf(coupled, theta, g);
        const float t1 = t0 - m;
        const float t2 = fmaf(weight1, t1, m);
        const float t3 = weight1 < 1.0f ? t2 : t0;
        const float t4 = fabsf(t3) < 0x1p-126f ? 0.0f : t3;
        const float t5 = t4 * t0;
        const float term_agreeing = 0.0f < t5 ? 1.0f : 0.0f;
        term[0] = term_agreeing;
    }

    static __device__ __forceinline__ void reduce(const double* h, const double* sum, double count, double* a) {
        const double agreeing = sum[0];
        const double t0 = agreeing / count;
        const double t1 = t0 + 0x1.0624dd2f1a9fcp-10;
        const double t2 = 0x1.0624dd2f1a9fcp-10 <= t0 ? t0 : t1;
        const double t3 = t0 < 0x1.0624dd2f1a9fcp-10 ? 0x1.0624dd2f1a9fcp-10 : t2;
        const double new_spread = 1.0 / t3;
        a[0] = new_spread;
    }

    static __device__ __forceinline__ void second(const float* h, const float* a, float& theta, float g, float* state) {
        const float weight1 = h[0], weight2 = h[1], minus_step = h[2], eps = h[3], coupled = h[4], decoupled = h[5];
        const float spread = a[0];
        const float m = state[0], v = state[1];
        const float t0 = fmaf(coupled, theta, g);
        const float t1 = t0 - m;
        const float t2 = fmaf(weight1, t1, m);
        const float t3 = weight1 < 1.0f ? t2 : t0;
        const float new_m = fabsf(t3) < 0x1p-126f ? 0.0f : t3;
        const float t4 = fmaf(t0, t0, -v);
        const float t5 = fmaf(weight2, t4, v);
        const float t6 = t0 * t0;
        const float t7 = weight2 < 1.0f ? t5 : t6;
        const float new_v = fabsf(t7) < 0x1p-126f ? 0.0f : t7;
        const float t8 = sqrtf(new_v);
        const float t9 = t8 + eps;
        const float t10 = new_m / t9;
        const float t11 = new_m * t0;
        const float t12 = 0.0f < t11 ? 1.0f : 0.0f;
        const float t13 = t12 * spread;
        const float t14 = t10 * t13;
        const float t15 = minus_step * t14;
        const float t16 = fmaf(decoupled, theta, t15);
        const float new_theta = theta + t16;
        state[0] = new_m;
        state[1] = new_v;
        theta = new_theta;
    }
};

extern "C" __global__ void __launch_bounds__(32) update_adam_cautious_first(
    const Chunk* __restrict__ pieces,
    const float* __restrict__ scalars,
    const float* __restrict__ factors,
    double* __restrict__ sums,
    unsigned* __restrict__ arrived) {
    elementwise::first<adam_cautious>(pieces, scalars, factors, sums, arrived);
}

extern "C" __global__ void __launch_bounds__(32) update_adam_cautious_reduce(
    const TensorPieces* __restrict__ tensors,
    const double* __restrict__ scalars,
    double* __restrict__ sums,
    unsigned* __restrict__ arrived,
    float* __restrict__ reduced) {
    elementwise::reduce<adam_cautious>(tensors, scalars, sums, arrived, reduced);
}

extern "C" __global__ void __launch_bounds__(256) update_adam_cautious_second(
    const Chunk* __restrict__ chunks,
    const float* __restrict__ scalars,
    const float* __restrict__ factors,
    const float* __restrict__ reduced) {
    elementwise::second<adam_cautious>(chunks, scalars, factors, reduced);
}

struct adam_cautious_both {
    static constexpr unsigned S = 2, H = 6, N = 1, A = 1;

    static __device__ __forceinline__ void first(const float* h, float theta, float g, const float* state, float* term) {
        const float weight1 = h[0], coupled = h[4];
        const float m = state[0];
        const float t0 = fmaf(coupled, theta, g);
        const float t1 = t0 - m;
        const float t2 = fmaf(weight1, t1, m);
        const float t3 = weight1 < 1.0f ? t2 : t0;
        const float t4 = fabsf(t3) < 0x1p-126f ? 0.0f : t3;
        const float t5 = t4 * t0;
        const float term_agreeing = 0.0f < t5 ? 1.0f : 0.0f;
        term[0] = term_agreeing;
    }

    static __device__ __forceinline__ void reduce(const double* h, const double* sum, double count, double* a) {
        const double agreeing = sum[0];
        const double t0 = agreeing / count;
        const double t1 = t0 + 0x1.0624dd2f1a9fcp-10;
        const double t2 = 0x1.0624dd2f1a9fcp-10 <= t0 ? t0 : t1;
        const double t3 = t0 < 0x1.0624dd2f1a9fcp-10 ? 0x1.0624dd2f1a9fcp-10 : t2;
        const double new_spread = 1.0 / t3;
        a[0] = new_spread;
    }

    static __device__ __forceinline__ void second(const float* h, const float* a, float& theta, float g, float* state) {
        const float weight1 = h[0], weight2 = h[1], minus_step = h[2], eps = h[3], coupled = h[4], decoupled = h[5];
        const float spread = a[0];
        const float m = state[0], v = state[1];
        const float t0 = fmaf(coupled, theta, g);
        const float t1 = t0 - m;
        const float t2 = fmaf(weight1, t1, m);
        const float t3 = weight1 < 1.0f ? t2 : t0;
        const float new_m = fabsf(t3) < 0x1p-126f ? 0.0f : t3;
        const float t4 = fmaf(t0, t0, -v);
        const float t5 = fmaf(weight2, t4, v);
        const float t6 = t0 * t0;
        const float t7 = weight2 < 1.0f ? t5 : t6;
        const float new_v = fabsf(t7) < 0x1p-126f ? 0.0f : t7;
        const float t8 = sqrtf(new_v);
        const float t9 = t8 + eps;
        const float t10 = new_m / t9;
        const float t11 = new_m * t0;
        const float t12 = 0.0f < t11 ? 1.0f : 0.0f;
        const float t13 = t12 * spread;
        const float t14 = t10 * theta;
        const float t15 = t14 < 0.0f ? 0.0f : decoupled;
        const float t16 = t10 * t13;
        const float t17 = minus_step * t16;
        const float t18 = fmaf(t15, theta, t17);
        const float new_theta = theta + t18;
        state[0] = new_m;
        state[1] = new_v;
        theta = new_theta;
    }
};

extern "C" __global__ void __launch_bounds__(32) update_adam_cautious_both_first(
    const Chunk* __restrict__ pieces,
    const float* __restrict__ scalars,
    const float* __restrict__ factors,
    double* __restrict__ sums,
    unsigned* __restrict__ arrived) {
    elementwise::first<adam_cautious_both>(pieces, scalars, factors, sums, arrived);
}

extern "C" __global__ void __launch_bounds__(32) update_adam_cautious_both_reduce(
    const TensorPieces* __restrict__ tensors,
    const double* __restrict__ scalars,
    double* __restrict__ sums,
    unsigned* __restrict__ arrived,
    float* __restrict__ reduced) {
    elementwise::reduce<adam_cautious_both>(tensors, scalars, sums, arrived, reduced);
}

extern "C" __global__ void __launch_bounds__(256) update_adam_cautious_both_second(
    const Chunk* __restrict__ chunks,
    const float* __restrict__ scalars,
    const float* __restrict__ factors,
    const float* __restrict__ reduced) {
    elementwise::second<adam_cautious_both>(chunks, scalars, factors, reduced);
}

struct adam_cautious_decay {
    static constexpr unsigned S = 2, H = 6;

    static __device__ __forceinline__ void update(const float* h, float& theta, float g, float* state) {
        const float weight1 = h[0], weight2 = h[1], minus_step = h[2], eps = h[3], coupled = h[4], decoupled = h[5];
        const float m = state[0], v = state[1];
        const float t0 = fmaf(coupled, theta, g);
        const float t1 = t0 - m;
        const float t2 = fmaf(weight1, t1, m);
        const float t3 = weight1 < 1.0f ? t2 : t0;
        const float new_m = fabsf(t3) < 0x1p-126f ? 0.0f : t3;
        const float t4 = fmaf(t0, t0, -v);
        const float t5 = fmaf(weight2, t4, v);
        const float t6 = t0 * t0;
        const float t7 = weight2 < 1.0f ? t5 : t6;
        const float new_v = fabsf(t7) < 0x1p-126f ? 0.0f : t7;
        const float t8 = sqrtf(new_v);
        const float t9 = t8 + eps;
        const float t10 = new_m / t9;
        const float t11 = t10 * theta;
        const float t12 = t11 < 0.0f ? 0.0f : decoupled;
        const float t13 = minus_step * t10;
        const float t14 = fmaf(t12, theta, t13);
        const float new_theta = theta + t14;
        state[0] = new_m;
        state[1] = new_v;
        theta = new_theta;
    }
};

extern "C" __global__ void __launch_bounds__(256) update_adam_cautious_decay(
    const Chunk* __restrict__ chunks,
    const float* __restrict__ scalars,
    const float* __restrict__ factors) {
    elementwise::update<adam_cautious_decay>(chunks, scalars, factors);
}

struct adamax {
    static constexpr unsigned S = 2, H = 5;

    static __device__ __forceinline__ void update(const float* h, float& theta, float g, float* state) {
        const float decay = h[0], weight1 = h[1], beta2 = h[2], eps = h[3], minus_step = h[4];
        const float m = state[0], u = state[1];
        const float t0 = fmaf(decay, theta, g);
        const float t1 = t0 - m;
        const float t2 = fmaf(weight1, t1, m);
        const float t3 = weight1 < 1.0f ? t2 : t0;
        const float new_m = fabsf(t3) < 0x1p-126f ? 0.0f : t3;
        const float t4 = fabsf(t0) + eps;
        const float t5 = beta2 * u;
        const float t6 = t4 + t5;
        const float t7 = t5 <= t4 ? t4 : t6;
        const float new_u = t4 < t5 ? t5 : t7;
        const float t8 = new_m / new_u;
        const float new_theta = fmaf(minus_step, t8, theta);
        state[0] = new_m;
        state[1] = new_u;
        theta = new_theta;
    }
};

extern "C" __global__ void __launch_bounds__(256) update_adamax(
    const Chunk* __restrict__ chunks,
    const float* __restrict__ scalars,
    const float* __restrict__ factors) {
    elementwise::update<adamax>(chunks, scalars, factors);
}

struct adan {
    static constexpr unsigned S = 4, H = 10;

    static __device__ __forceinline__ void update(const float* h, float& theta, float g, float* state) {
        const float weight1 = h[0], weight2 = h[1], weight3 = h[2], known = h[3], beta2 = h[4], of_m = h[5];
        const float of_d = h[6], eps = h[7], shrink = h[8], divisor = h[9];
        const float m = state[0], d = state[1], n = state[2], last_g = state[3];
        const float t0 = g - last_g;
        const float t1 = known * t0;
        const float t2 = g - m;
        const float t3 = fmaf(weight1, t2, m);
        const float t4 = weight1 < 1.0f ? t3 : g;
        const float new_m = fabsf(t4) < 0x1p-126f ? 0.0f : t4;
        const float t5 = t1 - d;
        const float t6 = fmaf(weight2, t5, d);
        const float t7 = weight2 < 1.0f ? t6 : t1;
        const float new_d = fabsf(t7) < 0x1p-126f ? 0.0f : t7;
        const float t8 = fmaf(beta2, t1, g);
        const float t9 = fmaf(t8, t8, -n);
        const float t10 = fmaf(weight3, t9, n);
        const float t11 = t8 * t8;
        const float t12 = weight3 < 1.0f ? t10 : t11;
        const float new_n = fabsf(t12) < 0x1p-126f ? 0.0f : t12;
        const float t13 = of_d * new_d;
        const float t14 = fmaf(of_m, new_m, t13);
        const float t15 = sqrtf(new_n);
        const float t16 = t15 + eps;
        const float t17 = t14 / t16;
        const float t18 = fmaf(shrink, theta, t17);
        const float t19 = theta + t18;
        const float new_theta = t19 / divisor;
        state[0] = new_m;
        state[1] = new_d;
        state[2] = new_n;
        state[3] = g;
        theta = new_theta;
    }
};

extern "C" __global__ void __launch_bounds__(256) update_adan(
    const Chunk* __restrict__ chunks,
    const float* __restrict__ scalars,
    const float* __restrict__ factors) {
    elementwise::update<adan>(chunks, scalars, factors);
}

struct ademamix {
    static constexpr unsigned S = 3, H = 8;

    static __device__ __forceinline__ void update(const float* h, float& theta, float g, float* state) {
        const float weight1 = h[0], weight3 = h[1], weight2 = h[2], of_fast = h[3], of_slow = h[4], minus_step = h[5];
        const float eps = h[6], decay = h[7];
        const float m = state[0], slow = state[1], v = state[2];
        const float t0 = g - m;
        const float t1 = fmaf(weight1, t0, m);
        const float t2 = weight1 < 1.0f ? t1 : g;
        const float new_m = fabsf(t2) < 0x1p-126f ? 0.0f : t2;
        const float t3 = g - slow;
        const float t4 = fmaf(weight3, t3, slow);
        const float t5 = weight3 < 1.0f ? t4 : g;
        const float new_slow = fabsf(t5) < 0x1p-126f ? 0.0f : t5;
        const float t6 = fmaf(g, g, -v);
        const float t7 = fmaf(weight2, t6, v);
        const float t8 = g * g;
        const float t9 = weight2 < 1.0f ? t7 : t8;
        const float new_v = fabsf(t9) < 0x1p-126f ? 0.0f : t9;
        const float t10 = of_slow * new_slow;
        const float t11 = fmaf(of_fast, new_m, t10);
        const float t12 = sqrtf(new_v);
        const float t13 = t12 + eps;
        const float t14 = t11 / t13;
        const float t15 = minus_step * t14;
        const float t16 = fmaf(decay, theta, t15);
        const float new_theta = theta + t16;
        state[0] = new_m;
        state[1] = new_slow;
        state[2] = new_v;
        theta = new_theta;
    }
};

extern "C" __global__ void __launch_bounds__(256) update_ademamix(
    const Chunk* __restrict__ chunks,
    const float* __restrict__ scalars,
    const float* __restrict__ factors) {
    elementwise::update<ademamix>(chunks, scalars, factors);
}

struct ademamix_cautious {
    static constexpr unsigned S = 3, H = 8, N = 1, A = 1;

    static __device__ __forceinline__ void first(const float* h, float theta, float g, const float* state, float* term) {
        const float weight1 = h[0], weight3 = h[1], weight2 = h[2], of_fast = h[3], of_slow = h[4], eps = h[6];
        const float m = state[0], slow = state[1], v = state[2];
        const float t0 = g - m;
        const float t1 = fmaf(weight1, t0, m);
        const float t2 = weight1 < 1.0f ? t1 : g;
        const float t3 = fabsf(t2) < 0x1p-126f ? 0.0f : t2;
        const float t4 = g - slow;
        const float t5 = fmaf(weight3, t4, slow);
        const float t6 = weight3 < 1.0f ? t5 : g;
        const float t7 = fabsf(t6) < 0x1p-126f ? 0.0f : t6;
        const float t8 = fmaf(g, g, -v);
        const float t9 = fmaf(weight2, t8, v);
        const float t10 = g * g;
        const float t11 = weight2 < 1.0f ? t9 : t10;
        const float t12 = fabsf(t11) < 0x1p-126f ? 0.0f : t11;
        const float t13 = of_slow * t7;
        const float t14 = fmaf(of_fast, t3, t13);
        const float t15 = sqrtf(t12);
        const float t16 = t15 + eps;
        const float t17 = t14 / t16;
        const float t18 = t17 * g;
        const float term_agreeing = 0.0f < t18 ? 1.0f : 0.0f;
        term[0] = term_agreeing;
    }

    static __device__ __forceinline__ void reduce(const double* h, const double* sum, double count, double* a) {
        const double agreeing = sum[0];
        const double t0 = agreeing / count;
        const double t1 = t0 + 0x1.0624dd2f1a9fcp-10;
        const double t2 = 0x1.0624dd2f1a9fcp-10 <= t0 ? t0 : t1;
        const double t3 = t0 < 0x1.0624dd2f1a9fcp-10 ? 0x1.0624dd2f1a9fcp-10 : t2;
        const double new_spread = 1.0 / t3;
        a[0] = new_spread;
    }

    static __device__ __forceinline__ void second(const float* h, const float* a, float& theta, float g, float* state) {
        const float weight1 = h[0], weight3 = h[1], weight2 = h[2], of_fast = h[3], of_slow = h[4], minus_step = h[5];
        const float eps = h[6], decay = h[7];
        const float spread = a[0];
        const float m = state[0], slow = state[1], v = state[2];
        const float t0 = g - m;
        const float t1 = fmaf(weight1, t0, m);
        const float t2 = weight1 < 1.0f ? t1 : g;
        const float new_m = fabsf(t2) < 0x1p-126f ? 0.0f : t2;
        const float t3 = g - slow;
        const float t4 = fmaf(weight3, t3, slow);
        const float t5 = weight3 < 1.0f ? t4 : g;
        const float new_slow = fabsf(t5) < 0x1p-126f ? 0.0f : t5;
        const float t6 = fmaf(g, g, -v);
        const float t7 = fmaf(weight2, t6, v);
        const float t8 = g * g;
        const float t9 = weight2 < 1.0f ? t7 : t8;
        const float new_v = fabsf(t9) < 0x1p-126f ? 0.0f : t9;
        const float t10 = of_slow * new_slow;
        const float t11 = fmaf(of_fast, new_m, t10);
        const float t12 = sqrtf(new_v);
        const float t13 = t12 + eps;
        const float t14 = t11 / t13;
        const float t15 = t14 * g;
        const float t16 = 0.0f < t15 ? 1.0f : 0.0f;
        const float t17 = t16 * spread;
        const float t18 = t14 * t17;
        const float t19 = minus_step * t18;
        const float t20 = fmaf(decay, theta, t19);
        const float new_theta = theta + t20;
        state[0] = new_m;
        state[1] = new_slow;
        state[2] = new_v;
        theta = new_theta;
    }
};

extern "C" __global__ void __launch_bounds__(32) update_ademamix_cautious_first(
    const Chunk* __restrict__ pieces,
    const float* __restrict__ scalars,
    const float* __restrict__ factors,
    double* __restrict__ sums,
    unsigned* __restrict__ arrived) {
    elementwise::first<ademamix_cautious>(pieces, scalars, factors, sums, arrived);
}

extern "C" __global__ void __launch_bounds__(32) update_ademamix_cautious_reduce(
    const TensorPieces* __restrict__ tensors,
    const double* __restrict__ scalars,
    double* __restrict__ sums,
    unsigned* __restrict__ arrived,
    float* __restrict__ reduced) {
    elementwise::reduce<ademamix_cautious>(tensors, scalars, sums, arrived, reduced);
}

extern "C" __global__ void __launch_bounds__(256) update_ademamix_cautious_second(
    const Chunk* __restrict__ chunks,
    const float* __restrict__ scalars,
    const float* __restrict__ factors,
    const float* __restrict__ reduced) {
    elementwise::second<ademamix_cautious>(chunks, scalars, factors, reduced);
}

struct ademamix_cautious_both {
    static constexpr unsigned S = 3, H = 8, N = 1, A = 1;

    static __device__ __forceinline__ void first(const float* h, float theta, float g, const float* state, float* term) {
        const float weight1 = h[0], weight3 = h[1], weight2 = h[2], of_fast = h[3], of_slow = h[4], eps = h[6];
        const float m = state[0], slow = state[1], v = state[2];
        const float t0 = g - m;
        const float t1 = fmaf(weight1, t0, m);
        const float t2 = weight1 < 1.0f ? t1 : g;
        const float t3 = fabsf(t2) < 0x1p-126f ? 0.0f : t2;
        const float t4 = g - slow;
        const float t5 = fmaf(weight3, t4, slow);
        const float t6 = weight3 < 1.0f ? t5 : g;
        const float t7 = fabsf(t6) < 0x1p-126f ? 0.0f : t6;
        const float t8 = fmaf(g, g, -v);
        const float t9 = fmaf(weight2, t8, v);
        const float t10 = g * g;
        const float t11 = weight2 < 1.0f ? t9 : t10;
        const float t12 = fabsf(t11) < 0x1p-126f ? 0.0f : t11;
        const float t13 = of_slow * t7;
        const float t14 = fmaf(of_fast, t3, t13);
        const float t15 = sqrtf(t12);
        const float t16 = t15 + eps;
        const float t17 = t14 / t16;
        const float t18 = t17 * g;
        const float term_agreeing = 0.0f < t18 ? 1.0f : 0.0f;
        term[0] = term_agreeing;
    }

    static __device__ __forceinline__ void reduce(const double* h, const double* sum, double count, double* a) {
        const double agreeing = sum[0];
        const double t0 = agreeing / count;
        const double t1 = t0 + 0x1.0624dd2f1a9fcp-10;
        const double t2 = 0x1.0624dd2f1a9fcp-10 <= t0 ? t0 : t1;
        const double t3 = t0 < 0x1.0624dd2f1a9fcp-10 ? 0x1.0624dd2f1a9fcp-10 : t2;
        const double new_spread = 1.0 / t3;
        a[0] = new_spread;
    }

    static __device__ __forceinline__ void second(const float* h, const float* a, float& theta, float g, float* state) {
        const float weight1 = h[0], weight3 = h[1], weight2 = h[2], of_fast = h[3], of_slow = h[4], minus_step = h[5];
        const float eps = h[6], decay = h[7];
        const float spread = a[0];
        const float m = state[0], slow = state[1], v = state[2];
        const float t0 = g - m;
        const float t1 = fmaf(weight1, t0, m);
        const float t2 = weight1 < 1.0f ? t1 : g;
        const float new_m = fabsf(t2) < 0x1p-126f ? 0.0f : t2;
        const float t3 = g - slow;
        const float t4 = fmaf(weight3, t3, slow);
        const float t5 = weight3 < 1.0f ? t4 : g;
        const float new_slow = fabsf(t5) < 0x1p-126f ? 0.0f : t5;
        const float t6 = fmaf(g, g, -v);
        const float t7 = fmaf(weight2, t6, v);
        const float t8 = g * g;
        const float t9 = weight2 < 1.0f ? t7 : t8;
        const float new_v = fabsf(t9) < 0x1p-126f ? 0.0f : t9;
        const float t10 = of_slow * new_slow;
        const float t11 = fmaf(of_fast, new_m, t10);
        const float t12 = sqrtf(new_v);
        const float t13 = t12 + eps;
        const float t14 = t11 / t13;
        const float t15 = t14 * g;
        const float t16 = 0.0f < t15 ? 1.0f : 0.0f;
        const float t17 = t16 * spread;
        const float t18 = t14 * theta;
        const float t19 = t18 < 0.0f ? 0.0f : decay;
        const float t20 = t14 * t17;
        const float t21 = minus_step * t20;
        const float t22 = fmaf(t19, theta, t21);
        const float new_theta = theta + t22;
        state[0] = new_m;
        state[1] = new_slow;
        state[2] = new_v;
        theta = new_theta;
    }
};

extern "C" __global__ void __launch_bounds__(32) update_ademamix_cautious_both_first(
    const Chunk* __restrict__ pieces,
    const float* __restrict__ scalars,
    const float* __restrict__ factors,
    double* __restrict__ sums,
    unsigned* __restrict__ arrived) {
    elementwise::first<ademamix_cautious_both>(pieces, scalars, factors, sums, arrived);
}

extern "C" __global__ void __launch_bounds__(32) update_ademamix_cautious_both_reduce(
    const TensorPieces* __restrict__ tensors,
    const double* __restrict__ scalars,
    double* __restrict__ sums,
    unsigned* __restrict__ arrived,
    float* __restrict__ reduced) {
    elementwise::reduce<ademamix_cautious_both>(tensors, scalars, sums, arrived, reduced);
}

extern "C" __global__ void __launch_bounds__(256) update_ademamix_cautious_both_second(
    const Chunk* __restrict__ chunks,
    const float* __restrict__ scalars,
    const float* __restrict__ factors,
    const float* __restrict__ reduced) {
    elementwise::second<ademamix_cautious_both>(chunks, scalars, factors, reduced);
}

struct ademamix_cautious_decay {
    static constexpr unsigned S = 3, H = 8;

    static __device__ __forceinline__ void update(const float* h, float& theta, float g, float* state) {
        const float weight1 = h[0], weight3 = h[1], weight2 = h[2], of_fast = h[3], of_slow = h[4], minus_step = h[5];
        const float eps = h[6], decay = h[7];
        const float m = state[0], slow = state[1], v = state[2];
        const float t0 = g - m;
        const float t1 = fmaf(weight1, t0, m);
        const float t2 = weight1 < 1.0f ? t1 : g;
        const float new_m = fabsf(t2) < 0x1p-126f ? 0.0f : t2;
        const float t3 = g - slow;
        const float t4 = fmaf(weight3, t3, slow);
        const float t5 = weight3 < 1.0f ? t4 : g;
        const float new_slow = fabsf(t5) < 0x1p-126f ? 0.0f : t5;
        const float t6 = fmaf(g, g, -v);
        const float t7 = fmaf(weight2, t6, v);
        const float t8 = g * g;
        const float t9 = weight2 < 1.0f ? t7 : t8;
        const float new_v = fabsf(t9) < 0x1p-126f ? 0.0f : t9;
        const float t10 = of_slow * new_slow;
        const float t11 = fmaf(of_fast, new_m, t10);
        const float t12 = sqrtf(new_v);
        const float t13 = t12 + eps;
        const float t14 = t11 / t13;
        const float t15 = t14 * theta;
        const float t16 = t15 < 0.0f ? 0.0f : decay;
        const float t17 = minus_step * t14;
        const float t18 = fmaf(t16, theta, t17);
        const float new_theta = theta + t18;
        state[0] = new_m;
        state[1] = new_slow;
        state[2] = new_v;
        theta = new_theta;
    }
};

extern "C" __global__ void __launch_bounds__(256) update_ademamix_cautious_decay(
    const Chunk* __restrict__ chunks,
    const float* __restrict__ scalars,
    const float* __restrict__ factors) {
    elementwise::update<ademamix_cautious_decay>(chunks, scalars, factors);
}

struct adopt {
    static constexpr unsigned S = 2, H = 7;

    static __device__ __forceinline__ void update(const float* h, float& theta, float g, float* state) {
        const float weight1 = h[0], weight2 = h[1], eps = h[2], bound = h[3], minus_lr = h[4], coupled = h[5];
        const float decoupled = h[6];
        const float m = state[0], v = state[1];
        const float t0 = fmaf(coupled, theta, g);
        const float t1 = sqrtf(v);
        const float t2 = t1 + eps;
        const float t3 = eps <= t1 ? t1 : t2;
        const float t4 = t1 < eps ? eps : t3;
        const float t5 = t0 / t4;
        const float t6 = t5 < -bound ? -bound : t5;
        const float t7 = bound < t5 ? bound : t6;
        const float t8 = t7 - m;
        const float t9 = fmaf(weight1, t8, m);
        const float t10 = weight1 < 1.0f ? t9 : t7;
        const float new_m = fabsf(t10) < 0x1p-126f ? 0.0f : t10;
        const float t11 = fmaf(t0, t0, -v);
        const float t12 = fmaf(weight2, t11, v);
        const float t13 = t0 * t0;
        const float t14 = weight2 < 1.0f ? t12 : t13;
        const float new_v = fabsf(t14) < 0x1p-126f ? 0.0f : t14;
        const float t15 = minus_lr * new_m;
        const float t16 = fmaf(decoupled, theta, t15);
        const float new_theta = theta + t16;
        state[0] = new_m;
        state[1] = new_v;
        theta = new_theta;
    }
};

extern "C" __global__ void __launch_bounds__(256) update_adopt(
    const Chunk* __restrict__ chunks,
    const float* __restrict__ scalars,
    const float* __restrict__ factors) {
    elementwise::update<adopt>(chunks, scalars, factors);
}

struct adopt_cautious {
    static constexpr unsigned S = 2, H = 7, N = 1, A = 1;

    static __device__ __forceinline__ void first(const float* h, float theta, float g, const float* state, float* term) {
        const float weight1 = h[0], eps = h[2], bound = h[3], coupled = h[5];
        const float m = state[0], v = state[1];
        const float t0 = fmaf(coupled, theta, g);
        const float t1 = sqrtf(v);
        const float t2 = t1 + eps;
        const float t3 = eps <= t1 ? t1 : t2;
        const float t4 = t1 < eps ? eps : t3;
        const float t5 = t0 / t4;
        const float t6 = t5 < -bound ? -bound : t5;
        const float t7 = bound < t5 ? bound : t6;
        const float t8 = t7 - m;
        const float t9 = fmaf(weight1, t8, m);
        const float t10 = weight1 < 1.0f ? t9 : t7;
        const float t11 = fabsf(t10) < 0x1p-126f ? 0.0f : t10;
        const float t12 = t11 * t0;
        const float term_agreeing = 0.0f < t12 ? 1.0f : 0.0f;
        term[0] = term_agreeing;
    }

    static __device__ __forceinline__ void reduce(const double* h, const double* sum, double count, double* a) {
        const double agreeing = sum[0];
        const double t0 = agreeing / count;
        const double t1 = t0 + 0x1.0624dd2f1a9fcp-10;
        const double t2 = 0x1.0624dd2f1a9fcp-10 <= t0 ? t0 : t1;
        const double t3 = t0 < 0x1.0624dd2f1a9fcp-10 ? 0x1.0624dd2f1a9fcp-10 : t2;
        const double new_spread = 1.0 / t3;
        a[0] = new_spread;
    }

    static __device__ __forceinline__ void second(const float* h, const float* a, float& theta, float g, float* state) {
        const float weight1 = h[0], weight2 = h[1], eps = h[2], bound = h[3], minus_lr = h[4], coupled = h[5];
        const float decoupled = h[6];
        const float spread = a[0];
        const float m = state[0], v = state[1];
        const float t0 = fmaf(coupled, theta, g);
        const float t1 = sqrtf(v);
        const float t2 = t1 + eps;
        const float t3 = eps <= t1 ? t1 : t2;
        const float t4 = t1 < eps ? eps : t3;
        const float t5 = t0 / t4;
        const float t6 = t5 < -bound ? -bound : t5;
        const float t7 = bound < t5 ? bound : t6;
        const float t8 = t7 - m;
        const float t9 = fmaf(weight1, t8, m);
        const float t10 = weight1 < 1.0f ? t9 : t7;
        const float new_m = fabsf(t10) < 0x1p-126f ? 0.0f : t10;
        const float t11 = fmaf(t0, t0, -v);
        const float t12 = fmaf(weight2, t11, v);
        const float t13 = t0 * t0;
        const float t14 = weight2 < 1.0f ? t12 : t13;
        const float new_v = fabsf(t14) < 0x1p-126f ? 0.0f : t14;
        const float t15 = new_m * t0;
        const float t16 = 0.0f < t15 ? 1.0f : 0.0f;
        const float t17 = t16 * spread;
        const float t18 = new_m * t17;
        const float t19 = minus_lr * t18;
        const float t20 = fmaf(decoupled, theta, t19);
        const float new_theta = theta + t20;
        state[0] = new_m;
        state[1] = new_v;
        theta = new_theta;
    }
};

extern "C" __global__ void __launch_bounds__(32) update_adopt_cautious_first(
    const Chunk* __restrict__ pieces,
    const float* __restrict__ scalars,
    const float* __restrict__ factors,
    double* __restrict__ sums,
    unsigned* __restrict__ arrived) {
    elementwise::first<adopt_cautious>(pieces, scalars, factors, sums, arrived);
}

extern "C" __global__ void __launch_bounds__(32) update_adopt_cautious_reduce(
    const TensorPieces* __restrict__ tensors,
    const double* __restrict__ scalars,
    double* __restrict__ sums,
    unsigned* __restrict__ arrived,
    float* __restrict__ reduced) {
    elementwise::reduce<adopt_cautious>(tensors, scalars, sums, arrived, reduced);
}

extern "C" __global__ void __launch_bounds__(256) update_adopt_cautious_second(
    const Chunk* __restrict__ chunks,
    const float* __restrict__ scalars,
    const float* __restrict__ factors,
    const float* __restrict__ reduced) {
    elementwise::second<adopt_cautious>(chunks, scalars, factors, reduced);
}

struct adopt_cautious_both {
    static constexpr unsigned S = 2, H = 7, N = 1, A = 1;

    static __device__ __forceinline__ void first(const float* h, float theta, float g, const float* state, float* term) {
        const float weight1 = h[0], eps = h[2], bound = h[3], coupled = h[5];
        const float m = state[0], v = state[1];
        const float t0 = fmaf(coupled, theta, g);
        const float t1 = sqrtf(v);
        const float t2 = t1 + eps;
        const float t3 = eps <= t1 ? t1 : t2;
        const float t4 = t1 < eps ? eps : t3;
        const float t5 = t0 / t4;
        const float t6 = t5 < -bound ? -bound : t5;
        const float t7 = bound < t5 ? bound : t6;
        const float t8 = t7 - m;
        const float t9 = fmaf(weight1, t8, m);
        const float t10 = weight1 < 1.0f ? t9 : t7;
        const float t11 = fabsf(t10) < 0x1p-126f ? 0.0f : t10;
        const float t12 = t11 * t0;
        const float term_agreeing = 0.0f < t12 ? 1.0f : 0.0f;
        term[0] = term_agreeing;
    }

    static __device__ __forceinline__ void reduce(const double* h, const double* sum, double count, double* a) {
        const double agreeing = sum[0];
        const double t0 = agreeing / count;
        const double t1 = t0 + 0x1.0624dd2f1a9fcp-10;
        const double t2 = 0x1.0624dd2f1a9fcp-10 <= t0 ? t0 : t1;
        const double t3 = t0 < 0x1.0624dd2f1a9fcp-10 ? 0x1.0624dd2f1a9fcp-10 : t2;
        const double new_spread = 1.0 / t3;
        a[0] = new_spread;
    }

    static __device__ __forceinline__ void second(const float* h, const float* a, float& theta, float g, float* state) {
        const float weight1 = h[0], weight2 = h[1], eps = h[2], bound = h[3], minus_lr = h[4], coupled = h[5];
        const float decoupled = h[6];
        const float spread = a[0];
        const float m = state[0], v = state[1];
        const float t0 = fmaf(coupled, theta, g);
        const float t1 = sqrtf(v);
        const float t2 = t1 + eps;
        const float t3 = eps <= t1 ? t1 : t2;
        const float t4 = t1 < eps ? eps : t3;
        const float t5 = t0 / t4;
        const float t6 = t5 < -bound ? -bound : t5;
        const float t7 = bound < t5 ? bound : t6;
        const float t8 = t7 - m;
        const float t9 = fmaf(weight1, t8, m);
        const float t10 = weight1 < 1.0f ? t9 : t7;
        const float new_m = fabsf(t10) < 0x1p-126f ? 0.0f : t10;
        const float t11 = fmaf(t0, t0, -v);
        const float t12 = fmaf(weight2, t11, v);
        const float t13 = t0 * t0;
        const float t14 = weight2 < 1.0f ? t12 : t13;
        const float new_v = fabsf(t14) < 0x1p-126f ? 0.0f : t14;
        const float t15 = new_m * t0;
        const float t16 = 0.0f < t15 ? 1.0f : 0.0f;
        const float t17 = t16 * spread;
        const float t18 = new_m * theta;
        const float t19 = t18 < 0.0f ? 0.0f : decoupled;
        const float t20 = new_m * t17;
        const float t21 = minus_lr * t20;
        const float t22 = fmaf(t19, theta, t21);
        const float new_theta = theta + t22;
        state[0] = new_m;
        state[1] = new_v;
        theta = new_theta;
    }
};

extern "C" __global__ void __launch_bounds__(32) update_adopt_cautious_both_first(
    const Chunk* __restrict__ pieces,
    const float* __restrict__ scalars,
    const float* __restrict__ factors,
    double* __restrict__ sums,
    unsigned* __restrict__ arrived) {
    elementwise::first<adopt_cautious_both>(pieces, scalars, factors, sums, arrived);
}

extern "C" __global__ void __launch_bounds__(32) update_adopt_cautious_both_reduce(
    const TensorPieces* __restrict__ tensors,
    const double* __restrict__ scalars,
    double* __restrict__ sums,
    unsigned* __restrict__ arrived,
    float* __restrict__ reduced) {
    elementwise::reduce<adopt_cautious_both>(tensors, scalars, sums, arrived, reduced);
}

extern "C" __global__ void __launch_bounds__(256) update_adopt_cautious_both_second(
    const Chunk* __restrict__ chunks,
    const float* __restrict__ scalars,
    const float* __restrict__ factors,
    const float* __restrict__ reduced) {
    elementwise::second<adopt_cautious_both>(chunks, scalars, factors, reduced);
}

struct adopt_cautious_decay {
    static constexpr unsigned S = 2, H = 7;

    static __device__ __forceinline__ void update(const float* h, float& theta, float g, float* state) {
        const float weight1 = h[0], weight2 = h[1], eps = h[2], bound = h[3], minus_lr = h[4], coupled = h[5];
        const float decoupled = h[6];
        const float m = state[0], v = state[1];
        const float t0 = fmaf(coupled, theta, g);
        const float t1 = sqrtf(v);
        const float t2 = t1 + eps;
        const float t3 = eps <= t1 ? t1 : t2;
        const float t4 = t1 < eps ? eps : t3;
        const float t5 = t0 / t4;
        const float t6 = t5 < -bound ? -bound : t5;
        const float t7 = bound < t5 ? bound : t6;
        const float t8 = t7 - m;
        const float t9 = fmaf(weight1, t8, m);
        const float t10 = weight1 < 1.0f ? t9 : t7;
        const float new_m = fabsf(t10) < 0x1p-126f ? 0.0f : t10;
        const float t11 = fmaf(t0, t0, -v);
        const float t12 = fmaf(weight2, t11, v);
        const float t13 = t0 * t0;
        const float t14 = weight2 < 1.0f ? t12 : t13;
        const float new_v = fabsf(t14) < 0x1p-126f ? 0.0f : t14;
        const float t15 = new_m * theta;
        const float t16 = t15 < 0.0f ? 0.0f : decoupled;
        const float t17 = minus_lr * new_m;
        const float t18 = fmaf(t16, theta, t17);
        const float new_theta = theta + t18;
        state[0] = new_m;
        state[1] = new_v;
        theta = new_theta;
    }
};

extern "C" __global__ void __launch_bounds__(256) update_adopt_cautious_decay(
    const Chunk* __restrict__ chunks,
    const float* __restrict__ scalars,
    const float* __restrict__ factors) {
    elementwise::update<adopt_cautious_decay>(chunks, scalars, factors);
}

struct asgd {
    static constexpr unsigned S = 1, H = 4;

    static __device__ __forceinline__ void update(const float* h, float& theta, float g, float* state) {
        const float coupled = h[0], decay = h[1], minus_eta = h[2], mu = h[3];
        const float ax = state[0];
        const float t0 = fmaf(coupled, theta, g);
        const float t1 = minus_eta * t0;
        const float t2 = fmaf(decay, theta, t1);
        const float new_theta = theta + t2;
        const float t3 = new_theta - ax;
        const float t4 = fmaf(mu, t3, ax);
        const float t5 = mu < 1.0f ? t4 : new_theta;
        const float t6 = fabsf(t5) < 0x1p-126f ? 0.0f : t5;
        const float new_ax = 1.0f <= mu ? new_theta : t6;
        state[0] = new_ax;
        theta = new_theta;
    }
};

extern "C" __global__ void __launch_bounds__(256) update_asgd(
    const Chunk* __restrict__ chunks,
    const float* __restrict__ scalars,
    const float* __restrict__ factors) {
    elementwise::update<asgd>(chunks, scalars, factors);
}

struct lamb {
    static constexpr unsigned S = 2, H = 6, N = 2, A = 1;

    static __device__ __forceinline__ void first(const float* h, float theta, float g, const float* state, float* term) {
        const float weight1 = h[0], weight2 = h[1], of_moment = h[2], eps = h[3], decay = h[4];
        const float m = state[0], v = state[1];
        const float t0 = g - m;
        const float t1 = fmaf(weight1, t0, m);
        const float t2 = weight1 < 1.0f ? t1 : g;
        const float t3 = fabsf(t2) < 0x1p-126f ? 0.0f : t2;
        const float t4 = fmaf(g, g, -v);
        const float t5 = fmaf(weight2, t4, v);
        const float t6 = g * g;
        const float t7 = weight2 < 1.0f ? t5 : t6;
        const float t8 = fabsf(t7) < 0x1p-126f ? 0.0f : t7;
        const float t9 = sqrtf(t8);
        const float t10 = t9 + eps;
        const float t11 = t3 / t10;
        const float t12 = of_moment * t11;
        const float t13 = fmaf(decay, theta, t12);
        const float term_of_theta = theta * theta;
        const float term_of_u = t13 * t13;
        term[0] = term_of_theta;
        term[1] = term_of_u;
    }

    static __device__ __forceinline__ void reduce(const double* h, const double* sum, double count, double* a) {
        const double minus_lr = h[5];
        const double of_theta = sum[0], of_u = sum[1];
        const double t0 = of_theta / of_u;
        const double t1 = sqrt(t0);
        const double t2 = 0.0 < of_u ? t1 : 1.0;
        const double t3 = 0.0 < of_theta ? t2 : 1.0;
        const double new_minus_step = minus_lr * t3;
        a[0] = new_minus_step;
    }

    static __device__ __forceinline__ void second(const float* h, const float* a, float& theta, float g, float* state) {
        const float weight1 = h[0], weight2 = h[1], of_moment = h[2], eps = h[3], decay = h[4];
        const float minus_step = a[0];
        const float m = state[0], v = state[1];
        const float t0 = g - m;
        const float t1 = fmaf(weight1, t0, m);
        const float t2 = weight1 < 1.0f ? t1 : g;
        const float new_m = fabsf(t2) < 0x1p-126f ? 0.0f : t2;
        const float t3 = fmaf(g, g, -v);
        const float t4 = fmaf(weight2, t3, v);
        const float t5 = g * g;
        const float t6 = weight2 < 1.0f ? t4 : t5;
        const float new_v = fabsf(t6) < 0x1p-126f ? 0.0f : t6;
        const float t7 = sqrtf(new_v);
        const float t8 = t7 + eps;
        const float t9 = new_m / t8;
        const float t10 = of_moment * t9;
        const float t11 = fmaf(decay, theta, t10);
        const float new_theta = fmaf(minus_step, t11, theta);
        state[0] = new_m;
        state[1] = new_v;
        theta = new_theta;
    }
};

extern "C" __global__ void __launch_bounds__(32) update_lamb_first(
    const Chunk* __restrict__ pieces,
    const float* __restrict__ scalars,
    const float* __restrict__ factors,
    double* __restrict__ sums,
    unsigned* __restrict__ arrived) {
    elementwise::first<lamb>(pieces, scalars, factors, sums, arrived);
}

extern "C" __global__ void __launch_bounds__(32) update_lamb_reduce(
    const TensorPieces* __restrict__ tensors,
    const double* __restrict__ scalars,
    double* __restrict__ sums,
    unsigned* __restrict__ arrived,
    float* __restrict__ reduced) {
    elementwise::reduce<lamb>(tensors, scalars, sums, arrived, reduced);
}

extern "C" __global__ void __launch_bounds__(256) update_lamb_second(
    const Chunk* __restrict__ chunks,
    const float* __restrict__ scalars,
    const float* __restrict__ factors,
    const float* __restrict__ reduced) {
    elementwise::second<lamb>(chunks, scalars, factors, reduced);
}

struct lion {
    static constexpr unsigned S = 1, H = 4;

    static __device__ __forceinline__ void update(const float* h, float& theta, float g, float* state) {
        const float weight1 = h[0], weight2 = h[1], minus_lr = h[2], decay = h[3];
        const float m = state[0];
        const float t0 = g - m;
        const float t1 = fmaf(weight1, t0, m);
        const float t2 = t1 < 0.0f ? -1.0f : t1;
        const float t3 = 0.0f < t1 ? 1.0f : t2;
        const float t4 = fmaf(weight2, t0, m);
        const float t5 = weight2 < 1.0f ? t4 : g;
        const float new_m = fabsf(t5) < 0x1p-126f ? 0.0f : t5;
        const float t6 = minus_lr * t3;
        const float t7 = fmaf(decay, theta, t6);
        const float new_theta = theta + t7;
        state[0] = new_m;
        theta = new_theta;
    }
};

extern "C" __global__ void __launch_bounds__(256) update_lion(
    const Chunk* __restrict__ chunks,
    const float* __restrict__ scalars,
    const float* __restrict__ factors) {
    elementwise::update<lion>(chunks, scalars, factors);
}

struct lion_cautious {
    static constexpr unsigned S = 1, H = 4, N = 1, A = 1;

    static __device__ __forceinline__ void first(const float* h, float theta, float g, const float* state, float* term) {
        const float weight1 = h[0];
        const float m = state[0];
        const float t0 = g - m;
        const float t1 = fmaf(weight1, t0, m);
        const float t2 = t1 < 0.0f ? -1.0f : t1;
        const float t3 = 0.0f < t1 ? 1.0f : t2;
        const float t4 = t3 * g;
        const float term_agreeing = 0.0f < t4 ? 1.0f : 0.0f;
        term[0] = term_agreeing;
    }

    static __device__ __forceinline__ void reduce(const double* h, const double* sum, double count, double* a) {
        const double agreeing = sum[0];
        const double t0 = agreeing / count;
        const double t1 = t0 + 0x1.0624dd2f1a9fcp-10;
        const double t2 = 0x1.0624dd2f1a9fcp-10 <= t0 ? t0 : t1;
        const double t3 = t0 < 0x1.0624dd2f1a9fcp-10 ? 0x1.0624dd2f1a9fcp-10 : t2;
        const double new_spread = 1.0 / t3;
        a[0] = new_spread;
    }

    static __device__ __forceinline__ void second(const float* h, const float* a, float& theta, float g, float* state) {
        const float weight1 = h[0], weight2 = h[1], minus_lr = h[2], decay = h[3];
        const float spread = a[0];
        const float m = state[0];
        const float t0 = g - m;
        const float t1 = fmaf(weight1, t0, m);
        const float t2 = t1 < 0.0f ? -1.0f : t1;
        const float t3 = 0.0f < t1 ? 1.0f : t2;
        const float t4 = fmaf(weight2, t0, m);
        const float t5 = weight2 < 1.0f ? t4 : g;
        const float new_m = fabsf(t5) < 0x1p-126f ? 0.0f : t5;
        const float t6 = t3 * g;
        const float t7 = 0.0f < t6 ? 1.0f : 0.0f;
        const float t8 = t7 * spread;
        const float t9 = t3 * t8;
        const float t10 = minus_lr * t9;
        const float t11 = fmaf(decay, theta, t10);
        const float new_theta = theta + t11;
        state[0] = new_m;
        theta = new_theta;
    }
};

extern "C" __global__ void __launch_bounds__(32) update_lion_cautious_first(
    const Chunk* __restrict__ pieces,
    const float* __restrict__ scalars,
    const float* __restrict__ factors,
    double* __restrict__ sums,
    unsigned* __restrict__ arrived) {
    elementwise::first<lion_cautious>(pieces, scalars, factors, sums, arrived);
}

extern "C" __global__ void __launch_bounds__(32) update_lion_cautious_reduce(
    const TensorPieces* __restrict__ tensors,
    const double* __restrict__ scalars,
    double* __restrict__ sums,
    unsigned* __restrict__ arrived,
    float* __restrict__ reduced) {
    elementwise::reduce<lion_cautious>(tensors, scalars, sums, arrived, reduced);
}

extern "C" __global__ void __launch_bounds__(256) update_lion_cautious_second(
    const Chunk* __restrict__ chunks,
    const float* __restrict__ scalars,
    const float* __restrict__ factors,
    const float* __restrict__ reduced) {
    elementwise::second<lion_cautious>(chunks, scalars, factors, reduced);
}

struct lion_cautious_both {
    static constexpr unsigned S = 1, H = 4, N = 1, A = 1;

    static __device__ __forceinline__ void first(const float* h, float theta, float g, const float* state, float* term) {
        const float weight1 = h[0];
        const float m = state[0];
        const float t0 = g - m;
        const float t1 = fmaf(weight1, t0, m);
        const float t2 = t1 < 0.0f ? -1.0f : t1;
        const float t3 = 0.0f < t1 ? 1.0f : t2;
        const float t4 = t3 * g;
        const float term_agreeing = 0.0f < t4 ? 1.0f : 0.0f;
        term[0] = term_agreeing;
    }

    static __device__ __forceinline__ void reduce(const double* h, const double* sum, double count, double* a) {
        const double agreeing = sum[0];
        const double t0 = agreeing / count;
        const double t1 = t0 + 0x1.0624dd2f1a9fcp-10;
        const double t2 = 0x1.0624dd2f1a9fcp-10 <= t0 ? t0 : t1;
        const double t3 = t0 < 0x1.0624dd2f1a9fcp-10 ? 0x1.0624dd2f1a9fcp-10 : t2;
        const double new_spread = 1.0 / t3;
        a[0] = new_spread;
    }

    static __device__ __forceinline__ void second(const float* h, const float* a, float& theta, float g, float* state) {
        const float weight1 = h[0], weight2 = h[1], minus_lr = h[2], decay = h[3];
        const float spread = a[0];
        const float m = state[0];
        const float t0 = g - m;
        const float t1 = fmaf(weight1, t0, m);
        const float t2 = t1 < 0.0f ? -1.0f : t1;
        const float t3 = 0.0f < t1 ? 1.0f : t2;
        const float t4 = fmaf(weight2, t0, m);
        const float t5 = weight2 < 1.0f ? t4 : g;
        const float new_m = fabsf(t5) < 0x1p-126f ? 0.0f : t5;
        const float t6 = t3 * g;
        const float t7 = 0.0f < t6 ? 1.0f : 0.0f;
        const float t8 = t7 * spread;
        const float t9 = t3 * theta;
        const float t10 = t9 < 0.0f ? 0.0f : decay;
        const float t11 = t3 * t8;
        const float t12 = minus_lr * t11;
        const float t13 = fmaf(t10, theta, t12);
        const float new_theta = theta + t13;
        state[0] = new_m;
        theta = new_theta;
    }
};

extern "C" __global__ void __launch_bounds__(32) update_lion_cautious_both_first(
    const Chunk* __restrict__ pieces,
    const float* __restrict__ scalars,
    const float* __restrict__ factors,
    double* __restrict__ sums,
    unsigned* __restrict__ arrived) {
    elementwise::first<lion_cautious_both>(pieces, scalars, factors, sums, arrived);
}

extern "C" __global__ void __launch_bounds__(32) update_lion_cautious_both_reduce(
    const TensorPieces* __restrict__ tensors,
    const double* __restrict__ scalars,
    double* __restrict__ sums,
    unsigned* __restrict__ arrived,
    float* __restrict__ reduced) {
    elementwise::reduce<lion_cautious_both>(tensors, scalars, sums, arrived, reduced);
}

extern "C" __global__ void __launch_bounds__(256) update_lion_cautious_both_second(
    const Chunk* __restrict__ chunks,
    const float* __restrict__ scalars,
    const float* __restrict__ factors,
    const float* __restrict__ reduced) {
    elementwise::second<lion_cautious_both>(chunks, scalars, factors, reduced);
}

struct lion_cautious_decay {
    static constexpr unsigned S = 1, H = 4;

    static __device__ __forceinline__ void update(const float* h, float& theta, float g, float* state) {
        const float weight1 = h[0], weight2 = h[1], minus_lr = h[2], decay = h[3];
        const float m = state[0];
        const float t0 = g - m;
        const float t1 = fmaf(weight1, t0, m);
        const float t2 = t1 < 0.0f ? -1.0f : t1;
        const float t3 = 0.0f < t1 ? 1.0f : t2;
        const float t4 = fmaf(weight2, t0, m);
        const float t5 = weight2 < 1.0f ? t4 : g;
        const float new_m = fabsf(t5) < 0x1p-126f ? 0.0f : t5;
        const float t6 = t3 * theta;
        const float t7 = t6 < 0.0f ? 0.0f : decay;
        const float t8 = minus_lr * t3;
        const float t9 = fmaf(t7, theta, t8);
        const float new_theta = theta + t9;
        state[0] = new_m;
        theta = new_theta;
    }
};

extern "C" __global__ void __launch_bounds__(256) update_lion_cautious_decay(
    const Chunk* __restrict__ chunks,
    const float* __restrict__ scalars,
    const float* __restrict__ factors) {
    elementwise::update<lion_cautious_decay>(chunks, scalars, factors);
}

struct lookahead {
    static constexpr unsigned S = 3, H = 6;

    static __device__ __forceinline__ void update(const float* h, float& theta, float g, float* state) {
        const float weight1 = h[0], weight2 = h[1], minus_step = h[2], eps = h[3], decoupled = h[4], pull = h[5];
        const float m = state[0], v = state[1], slow = state[2];
        const float t0 = fmaf(0.0f, theta, g);
        const float t1 = t0 - m;
        const float t2 = fmaf(weight1, t1, m);
        const float t3 = weight1 < 1.0f ? t2 : t0;
        const float new_m = fabsf(t3) < 0x1p-126f ? 0.0f : t3;
        const float t4 = fmaf(t0, t0, -v);
        const float t5 = fmaf(weight2, t4, v);
        const float t6 = t0 * t0;
        const float t7 = weight2 < 1.0f ? t5 : t6;
        const float new_v = fabsf(t7) < 0x1p-126f ? 0.0f : t7;
        const float t8 = sqrtf(new_v);
        const float t9 = t8 + eps;
        const float t10 = new_m / t9;
        const float t11 = minus_step * t10;
        const float t12 = fmaf(decoupled, theta, t11);
        const float t13 = theta + t12;
        const float t14 = t13 - slow;
        const float t15 = fmaf(pull, t14, slow);
        const float new_slow = 0.0f < pull ? t15 : slow;
        const float new_theta = 0.0f < pull ? new_slow : t13;
        state[0] = new_m;
        state[1] = new_v;
        state[2] = new_slow;
        theta = new_theta;
    }
};

extern "C" __global__ void __launch_bounds__(256) update_lookahead(
    const Chunk* __restrict__ chunks,
    const float* __restrict__ scalars,
    const float* __restrict__ factors) {
    elementwise::update<lookahead>(chunks, scalars, factors);
}

struct mars {
    static constexpr unsigned S = 3, H = 6, N = 1, A = 1;

    static __device__ __forceinline__ void first(const float* h, float theta, float g, const float* state, float* term) {
        const float gain = h[0];
        const float last_g = state[2];
        const float t0 = g - last_g;
        const float t1 = t0 * gain;
        const float t2 = t1 + g;
        const float term_of_c = t2 * t2;
        term[0] = term_of_c;
    }

    static __device__ __forceinline__ void reduce(const double* h, const double* sum, double count, double* a) {
        const double of_c = sum[0];
        const double t0 = sqrt(of_c);
        const double t1 = t0 + 1.0;
        const double t2 = 1.0 <= t0 ? t0 : t1;
        const double new_length = t0 < 1.0 ? 1.0 : t2;
        a[0] = new_length;
    }

    static __device__ __forceinline__ void second(const float* h, const float* a, float& theta, float g, float* state) {
        const float gain = h[0], weight1 = h[1], weight2 = h[2], minus_step = h[3], eps = h[4], decay = h[5];
        const float length = a[0];
        const float m = state[0], v = state[1], last_g = state[2];
        const float t0 = g - last_g;
        const float t1 = t0 * gain;
        const float t2 = t1 + g;
        const float t3 = t2 / length;
        const float t4 = t3 - m;
        const float t5 = fmaf(weight1, t4, m);
        const float t6 = weight1 < 1.0f ? t5 : t3;
        const float new_m = fabsf(t6) < 0x1p-126f ? 0.0f : t6;
        const float t7 = fmaf(t3, t3, -v);
        const float t8 = fmaf(weight2, t7, v);
        const float t9 = t3 * t3;
        const float t10 = weight2 < 1.0f ? t8 : t9;
        const float new_v = fabsf(t10) < 0x1p-126f ? 0.0f : t10;
        const float t11 = sqrtf(new_v);
        const float t12 = t11 + eps;
        const float t13 = new_m / t12;
        const float t14 = minus_step * t13;
        const float t15 = fmaf(decay, theta, t14);
        const float new_theta = theta + t15;
        state[0] = new_m;
        state[1] = new_v;
        state[2] = g;
        theta = new_theta;
    }
};

extern "C" __global__ void __launch_bounds__(32) update_mars_first(
    const Chunk* __restrict__ pieces,
    const float* __restrict__ scalars,
    const float* __restrict__ factors,
    double* __restrict__ sums,
    unsigned* __restrict__ arrived) {
    elementwise::first<mars>(pieces, scalars, factors, sums, arrived);
}

extern "C" __global__ void __launch_bounds__(32) update_mars_reduce(
    const TensorPieces* __restrict__ tensors,
    const double* __restrict__ scalars,
    double* __restrict__ sums,
    unsigned* __restrict__ arrived,
    float* __restrict__ reduced) {
    elementwise::reduce<mars>(tensors, scalars, sums, arrived, reduced);
}

extern "C" __global__ void __launch_bounds__(256) update_mars_second(
    const Chunk* __restrict__ chunks,
    const float* __restrict__ scalars,
    const float* __restrict__ factors,
    const float* __restrict__ reduced) {
    elementwise::second<mars>(chunks, scalars, factors, reduced);
}

struct nadam {
    static constexpr unsigned S = 2, H = 8;

    static __device__ __forceinline__ void update(const float* h, float& theta, float g, float* state) {
        const float weight1 = h[0], weight2 = h[1], of_gradient = h[2], of_moment = h[3], minus_step = h[4], eps = h[5];
        const float coupled = h[6], decoupled = h[7];
        const float m = state[0], v = state[1];
        const float t0 = fmaf(coupled, theta, g);
        const float t1 = t0 - m;
        const float t2 = fmaf(weight1, t1, m);
        const float t3 = weight1 < 1.0f ? t2 : t0;
        const float new_m = fabsf(t3) < 0x1p-126f ? 0.0f : t3;
        const float t4 = fmaf(t0, t0, -v);
        const float t5 = fmaf(weight2, t4, v);
        const float t6 = t0 * t0;
        const float t7 = weight2 < 1.0f ? t5 : t6;
        const float new_v = fabsf(t7) < 0x1p-126f ? 0.0f : t7;
        const float t8 = of_moment * new_m;
        const float t9 = fmaf(of_gradient, t0, t8);
        const float t10 = sqrtf(new_v);
        const float t11 = t10 + eps;
        const float t12 = t9 / t11;
        const float t13 = minus_step * t12;
        const float t14 = fmaf(decoupled, theta, t13);
        const float new_theta = theta + t14;
        state[0] = new_m;
        state[1] = new_v;
        theta = new_theta;
    }
};

extern "C" __global__ void __launch_bounds__(256) update_nadam(
    const Chunk* __restrict__ chunks,
    const float* __restrict__ scalars,
    const float* __restrict__ factors) {
    elementwise::update<nadam>(chunks, scalars, factors);
}

struct nadam_cautious {
    static constexpr unsigned S = 2, H = 8, N = 1, A = 1;

    static __device__ __forceinline__ void first(const float* h, float theta, float g, const float* state, float* term) {
        const float weight1 = h[0], weight2 = h[1], of_gradient = h[2], of_moment = h[3], eps = h[5], coupled = h[6];
        const float m = state[0], v = state[1];
        const float t0 = fmaf(coupled, theta, g);
        const float t1 = t0 - m;
        const float t2 = fmaf(weight1, t1, m);
        const float t3 = weight1 < 1.0f ? t2 : t0;
        const float t4 = fabsf(t3) < 0x1p-126f ? 0.0f : t3;
        const float t5 = fmaf(t0, t0, -v);
        const float t6 = fmaf(weight2, t5, v);
        const float t7 = t0 * t0;
        const float t8 = weight2 < 1.0f ? t6 : t7;
        const float t9 = fabsf(t8) < 0x1p-126f ? 0.0f : t8;
        const float t10 = of_moment * t4;
        const float t11 = fmaf(of_gradient, t0, t10);
        const float t12 = sqrtf(t9);
        const float t13 = t12 + eps;
        const float t14 = t11 / t13;
        const float t15 = t14 * t0;
        const float term_agreeing = 0.0f < t15 ? 1.0f : 0.0f;
        term[0] = term_agreeing;
    }

    static __device__ __forceinline__ void reduce(const double* h, const double* sum, double count, double* a) {
        const double agreeing = sum[0];
        const double t0 = agreeing / count;
        const double t1 = t0 + 0x1.0624dd2f1a9fcp-10;
        const double t2 = 0x1.0624dd2f1a9fcp-10 <= t0 ? t0 : t1;
        const double t3 = t0 < 0x1.0624dd2f1a9fcp-10 ? 0x1.0624dd2f1a9fcp-10 : t2;
        const double new_spread = 1.0 / t3;
        a[0] = new_spread;
    }

    static __device__ __forceinline__ void second(const float* h, const float* a, float& theta, float g, float* state) {
        const float weight1 = h[0], weight2 = h[1], of_gradient = h[2], of_moment = h[3], minus_step = h[4], eps = h[5];
        const float coupled = h[6], decoupled = h[7];
        const float spread = a[0];
        const float m = state[0], v = state[1];
        const float t0 = fmaf(coupled, theta, g);
        const float t1 = t0 - m;
        const float t2 = fmaf(weight1, t1, m);
        const float t3 = weight1 < 1.0f ? t2 : t0;
        const float new_m = fabsf(t3) < 0x1p-126f ? 0.0f : t3;
        const float t4 = fmaf(t0, t0, -v);
        const float t5 = fmaf(weight2, t4, v);
        const float t6 = t0 * t0;
        const float t7 = weight2 < 1.0f ? t5 : t6;
        const float new_v = fabsf(t7) < 0x1p-126f ? 0.0f : t7;
        const float t8 = of_moment * new_m;
        const float t9 = fmaf(of_gradient, t0, t8);
        const float t10 = sqrtf(new_v);
        const float t11 = t10 + eps;
        const float t12 = t9 / t11;
        const float t13 = t12 * t0;
        const float t14 = 0.0f < t13 ? 1.0f : 0.0f;
        const float t15 = t14 * spread;
        const float t16 = t12 * t15;
        const float t17 = minus_step * t16;
        const float t18 = fmaf(decoupled, theta, t17);
        const float new_theta = theta + t18;
        state[0] = new_m;
        state[1] = new_v;
        theta = new_theta;
    }
};

extern "C" __global__ void __launch_bounds__(32) update_nadam_cautious_first(
    const Chunk* __restrict__ pieces,
    const float* __restrict__ scalars,
    const float* __restrict__ factors,
    double* __restrict__ sums,
    unsigned* __restrict__ arrived) {
    elementwise::first<nadam_cautious>(pieces, scalars, factors, sums, arrived);
}

extern "C" __global__ void __launch_bounds__(32) update_nadam_cautious_reduce(
    const TensorPieces* __restrict__ tensors,
    const double* __restrict__ scalars,
    double* __restrict__ sums,
    unsigned* __restrict__ arrived,
    float* __restrict__ reduced) {
    elementwise::reduce<nadam_cautious>(tensors, scalars, sums, arrived, reduced);
}

extern "C" __global__ void __launch_bounds__(256) update_nadam_cautious_second(
    const Chunk* __restrict__ chunks,
    const float* __restrict__ scalars,
    const float* __restrict__ factors,
    const float* __restrict__ reduced) {
    elementwise::second<nadam_cautious>(chunks, scalars, factors, reduced);
}

struct nadam_cautious_both {
    static constexpr unsigned S = 2, H = 8, N = 1, A = 1;

    static __device__ __forceinline__ void first(const float* h, float theta, float g, const float* state, float* term) {
        const float weight1 = h[0], weight2 = h[1], of_gradient = h[2], of_moment = h[3], eps = h[5], coupled = h[6];
        const float m = state[0], v = state[1];
        const float t0 = fmaf(coupled, theta, g);
        const float t1 = t0 - m;
        const float t2 = fmaf(weight1, t1, m);
        const float t3 = weight1 < 1.0f ? t2 : t0;
        const float t4 = fabsf(t3) < 0x1p-126f ? 0.0f : t3;
        const float t5 = fmaf(t0, t0, -v);
        const float t6 = fmaf(weight2, t5, v);
        const float t7 = t0 * t0;
        const float t8 = weight2 < 1.0f ? t6 : t7;
        const float t9 = fabsf(t8) < 0x1p-126f ? 0.0f : t8;
        const float t10 = of_moment * t4;
        const float t11 = fmaf(of_gradient, t0, t10);
        const float t12 = sqrtf(t9);
        const float t13 = t12 + eps;
        const float t14 = t11 / t13;
        const float t15 = t14 * t0;
        const float term_agreeing = 0.0f < t15 ? 1.0f : 0.0f;
        term[0] = term_agreeing;
    }

    static __device__ __forceinline__ void reduce(const double* h, const double* sum, double count, double* a) {
        const double agreeing = sum[0];
        const double t0 = agreeing / count;
        const double t1 = t0 + 0x1.0624dd2f1a9fcp-10;
        const double t2 = 0x1.0624dd2f1a9fcp-10 <= t0 ? t0 : t1;
        const double t3 = t0 < 0x1.0624dd2f1a9fcp-10 ? 0x1.0624dd2f1a9fcp-10 : t2;
        const double new_spread = 1.0 / t3;
        a[0] = new_spread;
    }

    static __device__ __forceinline__ void second(const float* h, const float* a, float& theta, float g, float* state) {
        const float weight1 = h[0], weight2 = h[1], of_gradient = h[2], of_moment = h[3], minus_step = h[4], eps = h[5];
        const float coupled = h[6], decoupled = h[7];
        const float spread = a[0];
        const float m = state[0], v = state[1];
        const float t0 = fmaf(coupled, theta, g);
        const float t1 = t0 - m;
        const float t2 = fmaf(weight1, t1, m);
        const float t3 = weight1 < 1.0f ? t2 : t0;
        const float new_m = fabsf(t3) < 0x1p-126f ? 0.0f : t3;
        const float t4 = fmaf(t0, t0, -v);
        const float t5 = fmaf(weight2, t4, v);
        const float t6 = t0 * t0;
        const float t7 = weight2 < 1.0f ? t5 : t6;
        const float new_v = fabsf(t7) < 0x1p-126f ? 0.0f : t7;
        const float t8 = of_moment * new_m;
        const float t9 = fmaf(of_gradient, t0, t8);
        const float t10 = sqrtf(new_v);
        const float t11 = t10 + eps;
        const float t12 = t9 / t11;
        const float t13 = t12 * t0;
        const float t14 = 0.0f < t13 ? 1.0f : 0.0f;
        const float t15 = t14 * spread;
        const float t16 = t12 * theta;
        const float t17 = t16 < 0.0f ? 0.0f : decoupled;
        const float t18 = t12 * t15;
        const float t19 = minus_step * t18;
        const float t20 = fmaf(t17, theta, t19);
        const float new_theta = theta + t20;
        state[0] = new_m;
        state[1] = new_v;
        theta = new_theta;
    }
};

extern "C" __global__ void __launch_bounds__(32) update_nadam_cautious_both_first(
    const Chunk* __restrict__ pieces,
    const float* __restrict__ scalars,
    const float* __restrict__ factors,
    double* __restrict__ sums,
    unsigned* __restrict__ arrived) {
    elementwise::first<nadam_cautious_both>(pieces, scalars, factors, sums, arrived);
}

extern "C" __global__ void __launch_bounds__(32) update_nadam_cautious_both_reduce(
    const TensorPieces* __restrict__ tensors,
    const double* __restrict__ scalars,
    double* __restrict__ sums,
    unsigned* __restrict__ arrived,
    float* __restrict__ reduced) {
    elementwise::reduce<nadam_cautious_both>(tensors, scalars, sums, arrived, reduced);
}

extern "C" __global__ void __launch_bounds__(256) update_nadam_cautious_both_second(
    const Chunk* __restrict__ chunks,
    const float* __restrict__ scalars,
    const float* __restrict__ factors,
    const float* __restrict__ reduced) {
    elementwise::second<nadam_cautious_both>(chunks, scalars, factors, reduced);
}

struct nadam_cautious_decay {
    static constexpr unsigned S = 2, H = 8;

    static __device__ __forceinline__ void update(const float* h, float& theta, float g, float* state) {
        const float weight1 = h[0], weight2 = h[1], of_gradient = h[2], of_moment = h[3], minus_step = h[4], eps = h[5];
        const float coupled = h[6], decoupled = h[7];
        const float m = state[0], v = state[1];
        const float t0 = fmaf(coupled, theta, g);
        const float t1 = t0 - m;
        const float t2 = fmaf(weight1, t1, m);
        const float t3 = weight1 < 1.0f ? t2 : t0;
        const float new_m = fabsf(t3) < 0x1p-126f ? 0.0f : t3;
        const float t4 = fmaf(t0, t0, -v);
        const float t5 = fmaf(weight2, t4, v);
        const float t6 = t0 * t0;
        const float t7 = weight2 < 1.0f ? t5 : t6;
        const float new_v = fabsf(t7) < 0x1p-126f ? 0.0f : t7;
        const float t8 = of_moment * new_m;
        const float t9 = fmaf(of_gradient, t0, t8);
        const float t10 = sqrtf(new_v);
        const float t11 = t10 + eps;
        const float t12 = t9 / t11;
        const float t13 = t12 * theta;
        const float t14 = t13 < 0.0f ? 0.0f : decoupled;
        const float t15 = minus_step * t12;
        const float t16 = fmaf(t14, theta, t15);
        const float new_theta = theta + t16;
        state[0] = new_m;
        state[1] = new_v;
        theta = new_theta;
    }
};

extern "C" __global__ void __launch_bounds__(256) update_nadam_cautious_decay(
    const Chunk* __restrict__ chunks,
    const float* __restrict__ scalars,
    const float* __restrict__ factors) {
    elementwise::update<nadam_cautious_decay>(chunks, scalars, factors);
}

struct radam {
    static constexpr unsigned S = 2, H = 7;

    static __device__ __forceinline__ void update(const float* h, float& theta, float g, float* state) {
        const float weight1 = h[0], weight2 = h[1], minus_step = h[2], of_root = h[3], rest = h[4], coupled = h[5];
        const float decoupled = h[6];
        const float m = state[0], v = state[1];
        const float t0 = fmaf(coupled, theta, g);
        const float t1 = t0 - m;
        const float t2 = fmaf(weight1, t1, m);
        const float t3 = weight1 < 1.0f ? t2 : t0;
        const float new_m = fabsf(t3) < 0x1p-126f ? 0.0f : t3;
        const float t4 = fmaf(t0, t0, -v);
        const float t5 = fmaf(weight2, t4, v);
        const float t6 = t0 * t0;
        const float t7 = weight2 < 1.0f ? t5 : t6;
        const float new_v = fabsf(t7) < 0x1p-126f ? 0.0f : t7;
        const float t8 = sqrtf(new_v);
        const float t9 = fmaf(of_root, t8, rest);
        const float t10 = new_m / t9;
        const float t11 = minus_step * t10;
        const float t12 = fmaf(decoupled, theta, t11);
        const float new_theta = theta + t12;
        state[0] = new_m;
        state[1] = new_v;
        theta = new_theta;
    }
};

extern "C" __global__ void __launch_bounds__(256) update_radam(
    const Chunk* __restrict__ chunks,
    const float* __restrict__ scalars,
    const float* __restrict__ factors) {
    elementwise::update<radam>(chunks, scalars, factors);
}

struct radam_cautious {
    static constexpr unsigned S = 2, H = 7, N = 1, A = 1;

    static __device__ __forceinline__ void first(const float* h, float theta, float g, const float* state, float* term) {
        const float weight1 = h[0], coupled = h[5];
        const float m = state[0];
        const float t0 = fmaf(coupled, theta, g);
        const float t1 = t0 - m;
        const float t2 = fmaf(weight1, t1, m);
        const float t3 = weight1 < 1.0f ? t2 : t0;
        const float t4 = fabsf(t3) < 0x1p-126f ? 0.0f : t3;
        const float t5 = t4 * t0;
        const float term_agreeing = 0.0f < t5 ? 1.0f : 0.0f;
        term[0] = term_agreeing;
    }

    static __device__ __forceinline__ void reduce(const double* h, const double* sum, double count, double* a) {
        const double agreeing = sum[0];
        const double t0 = agreeing / count;
        const double t1 = t0 + 0x1.0624dd2f1a9fcp-10;
        const double t2 = 0x1.0624dd2f1a9fcp-10 <= t0 ? t0 : t1;
        const double t3 = t0 < 0x1.0624dd2f1a9fcp-10 ? 0x1.0624dd2f1a9fcp-10 : t2;
        const double new_spread = 1.0 / t3;
        a[0] = new_spread;
    }

    static __device__ __forceinline__ void second(const float* h, const float* a, float& theta, float g, float* state) {
        const float weight1 = h[0], weight2 = h[1], minus_step = h[2], of_root = h[3], rest = h[4], coupled = h[5];
        const float decoupled = h[6];
        const float spread = a[0];
        const float m = state[0], v = state[1];
        const float t0 = fmaf(coupled, theta, g);
        const float t1 = t0 - m;
        const float t2 = fmaf(weight1, t1, m);
        const float t3 = weight1 < 1.0f ? t2 : t0;
        const float new_m = fabsf(t3) < 0x1p-126f ? 0.0f : t3;
        const float t4 = fmaf(t0, t0, -v);
        const float t5 = fmaf(weight2, t4, v);
        const float t6 = t0 * t0;
        const float t7 = weight2 < 1.0f ? t5 : t6;
        const float new_v = fabsf(t7) < 0x1p-126f ? 0.0f : t7;
        const float t8 = sqrtf(new_v);
        const float t9 = fmaf(of_root, t8, rest);
        const float t10 = new_m / t9;
        const float t11 = new_m * t0;
        const float t12 = 0.0f < t11 ? 1.0f : 0.0f;
        const float t13 = t12 * spread;
        const float t14 = t10 * t13;
        const float t15 = minus_step * t14;
        const float t16 = fmaf(decoupled, theta, t15);
        const float new_theta = theta + t16;
        state[0] = new_m;
        state[1] = new_v;
        theta = new_theta;
    }
};

extern "C" __global__ void __launch_bounds__(32) update_radam_cautious_first(
    const Chunk* __restrict__ pieces,
    const float* __restrict__ scalars,
    const float* __restrict__ factors,
    double* __restrict__ sums,
    unsigned* __restrict__ arrived) {
    elementwise::first<radam_cautious>(pieces, scalars, factors, sums, arrived);
}

extern "C" __global__ void __launch_bounds__(32) update_radam_cautious_reduce(
    const TensorPieces* __restrict__ tensors,
    const double* __restrict__ scalars,
    double* __restrict__ sums,
    unsigned* __restrict__ arrived,
    float* __restrict__ reduced) {
    elementwise::reduce<radam_cautious>(tensors, scalars, sums, arrived, reduced);
}

extern "C" __global__ void __launch_bounds__(256) update_radam_cautious_second(
    const Chunk* __restrict__ chunks,
    const float* __restrict__ scalars,
    const float* __restrict__ factors,
    const float* __restrict__ reduced) {
    elementwise::second<radam_cautious>(chunks, scalars, factors, reduced);
}

struct radam_cautious_both {
    static constexpr unsigned S = 2, H = 7, N = 1, A = 1;

    static __device__ __forceinline__ void first(const float* h, float theta, float g, const float* state, float* term) {
        const float weight1 = h[0], coupled = h[5];
        const float m = state[0];
        const float t0 = fmaf(coupled, theta, g);
        const float t1 = t0 - m;
        const float t2 = fmaf(weight1, t1, m);
        const float t3 = weight1 < 1.0f ? t2 : t0;
        const float t4 = fabsf(t3) < 0x1p-126f ? 0.0f : t3;
        const float t5 = t4 * t0;
        const float term_agreeing = 0.0f < t5 ? 1.0f : 0.0f;
        term[0] = term_agreeing;
    }

    static __device__ __forceinline__ void reduce(const double* h, const double* sum, double count, double* a) {
        const double agreeing = sum[0];
        const double t0 = agreeing / count;
        const double t1 = t0 + 0x1.0624dd2f1a9fcp-10;
        const double t2 = 0x1.0624dd2f1a9fcp-10 <= t0 ? t0 : t1;
        const double t3 = t0 < 0x1.0624dd2f1a9fcp-10 ? 0x1.0624dd2f1a9fcp-10 : t2;
        const double new_spread = 1.0 / t3;
        a[0] = new_spread;
    }

    static __device__ __forceinline__ void second(const float* h, const float* a, float& theta, float g, float* state) {
        const float weight1 = h[0], weight2 = h[1], minus_step = h[2], of_root = h[3], rest = h[4], coupled = h[5];
        const float decoupled = h[6];
        const float spread = a[0];
        const float m = state[0], v = state[1];
        const float t0 = fmaf(coupled, theta, g);
        const float t1 = t0 - m;
        const float t2 = fmaf(weight1, t1, m);
        const float t3 = weight1 < 1.0f ? t2 : t0;
        const float new_m = fabsf(t3) < 0x1p-126f ? 0.0f : t3;
        const float t4 = fmaf(t0, t0, -v);
        const float t5 = fmaf(weight2, t4, v);
        const float t6 = t0 * t0;
        const float t7 = weight2 < 1.0f ? t5 : t6;
        const float new_v = fabsf(t7) < 0x1p-126f ? 0.0f : t7;
        const float t8 = sqrtf(new_v);
        const float t9 = fmaf(of_root, t8, rest);
        const float t10 = new_m / t9;
        const float t11 = new_m * t0;
        const float t12 = 0.0f < t11 ? 1.0f : 0.0f;
        const float t13 = t12 * spread;
        const float t14 = t10 * theta;
        const float t15 = t14 < 0.0f ? 0.0f : decoupled;
        const float t16 = t10 * t13;
        const float t17 = minus_step * t16;
        const float t18 = fmaf(t15, theta, t17);
        const float new_theta = theta + t18;
        state[0] = new_m;
        state[1] = new_v;
        theta = new_theta;
    }
};

extern "C" __global__ void __launch_bounds__(32) update_radam_cautious_both_first(
    const Chunk* __restrict__ pieces,
    const float* __restrict__ scalars,
    const float* __restrict__ factors,
    double* __restrict__ sums,
    unsigned* __restrict__ arrived) {
    elementwise::first<radam_cautious_both>(pieces, scalars, factors, sums, arrived);
}

extern "C" __global__ void __launch_bounds__(32) update_radam_cautious_both_reduce(
    const TensorPieces* __restrict__ tensors,
    const double* __restrict__ scalars,
    double* __restrict__ sums,
    unsigned* __restrict__ arrived,
    float* __restrict__ reduced) {
    elementwise::reduce<radam_cautious_both>(tensors, scalars, sums, arrived, reduced);
}

extern "C" __global__ void __launch_bounds__(256) update_radam_cautious_both_second(
    const Chunk* __restrict__ chunks,
    const float* __restrict__ scalars,
    const float* __restrict__ factors,
    const float* __restrict__ reduced) {
    elementwise::second<radam_cautious_both>(chunks, scalars, factors, reduced);
}

struct radam_cautious_decay {
    static constexpr unsigned S = 2, H = 7;

    static __device__ __forceinline__ void update(const float* h, float& theta, float g, float* state) {
        const float weight1 = h[0], weight2 = h[1], minus_step = h[2], of_root = h[3], rest = h[4], coupled = h[5];
        const float decoupled = h[6];
        const float m = state[0], v = state[1];
        const float t0 = fmaf(coupled, theta, g);
        const float t1 = t0 - m;
        const float t2 = fmaf(weight1, t1, m);
        const float t3 = weight1 < 1.0f ? t2 : t0;
        const float new_m = fabsf(t3) < 0x1p-126f ? 0.0f : t3;
        const float t4 = fmaf(t0, t0, -v);
        const float t5 = fmaf(weight2, t4, v);
        const float t6 = t0 * t0;
        const float t7 = weight2 < 1.0f ? t5 : t6;
        const float new_v = fabsf(t7) < 0x1p-126f ? 0.0f : t7;
        const float t8 = sqrtf(new_v);
        const float t9 = fmaf(of_root, t8, rest);
        const float t10 = new_m / t9;
        const float t11 = t10 * theta;
        const float t12 = t11 < 0.0f ? 0.0f : decoupled;
        const float t13 = minus_step * t10;
        const float t14 = fmaf(t12, theta, t13);
        const float new_theta = theta + t14;
        state[0] = new_m;
        state[1] = new_v;
        theta = new_theta;
    }
};

extern "C" __global__ void __launch_bounds__(256) update_radam_cautious_decay(
    const Chunk* __restrict__ chunks,
    const float* __restrict__ scalars,
    const float* __restrict__ factors) {
    elementwise::update<radam_cautious_decay>(chunks, scalars, factors);
}

struct rmsprop {
    static constexpr unsigned S = 1, H = 5;

    static __device__ __forceinline__ void update(const float* h, float& theta, float g, float* state) {
        const float decay = h[0], weight = h[1], eps = h[2], minus_lr = h[4];
        const float v = state[0];
        const float t0 = fmaf(decay, theta, g);
        const float t1 = fmaf(t0, t0, -v);
        const float t2 = fmaf(weight, t1, v);
        const float t3 = t0 * t0;
        const float t4 = weight < 1.0f ? t2 : t3;
        const float new_v = fabsf(t4) < 0x1p-126f ? 0.0f : t4;
        const float t5 = sqrtf(new_v);
        const float t6 = t5 + eps;
        const float t7 = t0 / t6;
        const float new_theta = fmaf(minus_lr, t7, theta);
        state[0] = new_v;
        theta = new_theta;
    }
};

extern "C" __global__ void __launch_bounds__(256) update_rmsprop(
    const Chunk* __restrict__ chunks,
    const float* __restrict__ scalars,
    const float* __restrict__ factors) {
    elementwise::update<rmsprop>(chunks, scalars, factors);
}

struct rmsprop_centered {
    static constexpr unsigned S = 2, H = 5;

    static __device__ __forceinline__ void update(const float* h, float& theta, float g, float* state) {
        const float decay = h[0], weight = h[1], eps = h[2], minus_lr = h[4];
        const float v = state[0], mean = state[1];
        const float t0 = fmaf(decay, theta, g);
        const float t1 = fmaf(t0, t0, -v);
        const float t2 = fmaf(weight, t1, v);
        const float t3 = t0 * t0;
        const float t4 = weight < 1.0f ? t2 : t3;
        const float new_v = fabsf(t4) < 0x1p-126f ? 0.0f : t4;
        const float t5 = t0 - mean;
        const float t6 = fmaf(weight, t5, mean);
        const float t7 = weight < 1.0f ? t6 : t0;
        const float new_mean = fabsf(t7) < 0x1p-126f ? 0.0f : t7;
        const float t8 = fmaf(-new_mean, new_mean, new_v);
        const float t9 = new_v < 0x1p-126f ? new_v : t8;
        const float t10 = sqrtf(t9);
        const float t11 = t10 + eps;
        const float t12 = t0 / t11;
        const float new_theta = fmaf(minus_lr, t12, theta);
        state[0] = new_v;
        state[1] = new_mean;
        theta = new_theta;
    }
};

extern "C" __global__ void __launch_bounds__(256) update_rmsprop_centered(
    const Chunk* __restrict__ chunks,
    const float* __restrict__ scalars,
    const float* __restrict__ factors) {
    elementwise::update<rmsprop_centered>(chunks, scalars, factors);
}

struct rmsprop_centered_momentum {
    static constexpr unsigned S = 3, H = 5;

    static __device__ __forceinline__ void update(const float* h, float& theta, float g, float* state) {
        const float decay = h[0], weight = h[1], eps = h[2], momentum = h[3], minus_lr = h[4];
        const float v = state[0], mean = state[1], b = state[2];
        const float t0 = fmaf(decay, theta, g);
        const float t1 = fmaf(t0, t0, -v);
        const float t2 = fmaf(weight, t1, v);
        const float t3 = t0 * t0;
        const float t4 = weight < 1.0f ? t2 : t3;
        const float new_v = fabsf(t4) < 0x1p-126f ? 0.0f : t4;
        const float t5 = t0 - mean;
        const float t6 = fmaf(weight, t5, mean);
        const float t7 = weight < 1.0f ? t6 : t0;
        const float new_mean = fabsf(t7) < 0x1p-126f ? 0.0f : t7;
        const float t8 = fmaf(-new_mean, new_mean, new_v);
        const float t9 = new_v < 0x1p-126f ? new_v : t8;
        const float t10 = sqrtf(t9);
        const float t11 = t10 + eps;
        const float t12 = t0 / t11;
        const float t13 = fmaf(momentum, b, t12);
        const float new_b = fabsf(t13) < 0x1p-126f ? 0.0f : t13;
        const float new_theta = fmaf(minus_lr, new_b, theta);
        state[0] = new_v;
        state[1] = new_mean;
        state[2] = new_b;
        theta = new_theta;
    }
};

extern "C" __global__ void __launch_bounds__(256) update_rmsprop_centered_momentum(
    const Chunk* __restrict__ chunks,
    const float* __restrict__ scalars,
    const float* __restrict__ factors) {
    elementwise::update<rmsprop_centered_momentum>(chunks, scalars, factors);
}

struct rmsprop_centered_momentum_cautious {
    static constexpr unsigned S = 3, H = 5, N = 1, A = 1;

    static __device__ __forceinline__ void first(const float* h, float theta, float g, const float* state, float* term) {
        const float decay = h[0], weight = h[1], eps = h[2], momentum = h[3];
        const float v = state[0], mean = state[1], b = state[2];
        const float t0 = fmaf(decay, theta, g);
        const float t1 = fmaf(t0, t0, -v);
        const float t2 = fmaf(weight, t1, v);
        const float t3 = t0 * t0;
        const float t4 = weight < 1.0f ? t2 : t3;
        const float t5 = fabsf(t4) < 0x1p-126f ? 0.0f : t4;
        const float t6 = t0 - mean;
        const float t7 = fmaf(weight, t6, mean);
        const float t8 = weight < 1.0f ? t7 : t0;
        const float t9 = fabsf(t8) < 0x1p-126f ? 0.0f : t8;
        const float t10 = fmaf(-t9, t9, t5);
        const float t11 = t5 < 0x1p-126f ? t5 : t10;
        const float t12 = sqrtf(t11);
        const float t13 = t12 + eps;
        const float t14 = t0 / t13;
        const float t15 = fmaf(momentum, b, t14);
        const float t16 = fabsf(t15) < 0x1p-126f ? 0.0f : t15;
        const float t17 = t16 * t0;
        const float term_agreeing = 0.0f < t17 ? 1.0f : 0.0f;
        term[0] = term_agreeing;
    }

    static __device__ __forceinline__ void reduce(const double* h, const double* sum, double count, double* a) {
        const double agreeing = sum[0];
        const double t0 = agreeing / count;
        const double t1 = t0 + 0x1.0624dd2f1a9fcp-10;
        const double t2 = 0x1.0624dd2f1a9fcp-10 <= t0 ? t0 : t1;
        const double t3 = t0 < 0x1.0624dd2f1a9fcp-10 ? 0x1.0624dd2f1a9fcp-10 : t2;
        const double new_spread = 1.0 / t3;
        a[0] = new_spread;
    }

    static __device__ __forceinline__ void second(const float* h, const float* a, float& theta, float g, float* state) {
        const float decay = h[0], weight = h[1], eps = h[2], momentum = h[3], minus_lr = h[4];
        const float spread = a[0];
        const float v = state[0], mean = state[1], b = state[2];
        const float t0 = fmaf(decay, theta, g);
        const float t1 = fmaf(t0, t0, -v);
        const float t2 = fmaf(weight, t1, v);
        const float t3 = t0 * t0;
        const float t4 = weight < 1.0f ? t2 : t3;
        const float new_v = fabsf(t4) < 0x1p-126f ? 0.0f : t4;
        const float t5 = t0 - mean;
        const float t6 = fmaf(weight, t5, mean);
        const float t7 = weight < 1.0f ? t6 : t0;
        const float new_mean = fabsf(t7) < 0x1p-126f ? 0.0f : t7;
        const float t8 = fmaf(-new_mean, new_mean, new_v);
        const float t9 = new_v < 0x1p-126f ? new_v : t8;
        const float t10 = sqrtf(t9);
        const float t11 = t10 + eps;
        const float t12 = t0 / t11;
        const float t13 = fmaf(momentum, b, t12);
        const float new_b = fabsf(t13) < 0x1p-126f ? 0.0f : t13;
        const float t14 = new_b * t0;
        const float t15 = 0.0f < t14 ? 1.0f : 0.0f;
        const float t16 = t15 * spread;
        const float t17 = new_b * t16;
        const float t18 = minus_lr * t17;
        const float t19 = fmaf(0.0f, theta, t18);
        const float new_theta = theta + t19;
        state[0] = new_v;
        state[1] = new_mean;
        state[2] = new_b;
        theta = new_theta;
    }
};

extern "C" __global__ void __launch_bounds__(32) update_rmsprop_centered_momentum_cautious_first(
    const Chunk* __restrict__ pieces,
    const float* __restrict__ scalars,
    const float* __restrict__ factors,
    double* __restrict__ sums,
    unsigned* __restrict__ arrived) {
    elementwise::first<rmsprop_centered_momentum_cautious>(pieces, scalars, factors, sums, arrived);
}

extern "C" __global__ void __launch_bounds__(32) update_rmsprop_centered_momentum_cautious_reduce(
    const TensorPieces* __restrict__ tensors,
    const double* __restrict__ scalars,
    double* __restrict__ sums,
    unsigned* __restrict__ arrived,
    float* __restrict__ reduced) {
    elementwise::reduce<rmsprop_centered_momentum_cautious>(tensors, scalars, sums, arrived, reduced);
}

extern "C" __global__ void __launch_bounds__(256) update_rmsprop_centered_momentum_cautious_second(
    const Chunk* __restrict__ chunks,
    const float* __restrict__ scalars,
    const float* __restrict__ factors,
    const float* __restrict__ reduced) {
    elementwise::second<rmsprop_centered_momentum_cautious>(chunks, scalars, factors, reduced);
}

struct rmsprop_momentum {
    static constexpr unsigned S = 2, H = 5;

    static __device__ __forceinline__ void update(const float* h, float& theta, float g, float* state) {
        const float decay = h[0], weight = h[1], eps = h[2], momentum = h[3], minus_lr = h[4];
        const float v = state[0], b = state[1];
        const float t0 = fmaf(decay, theta, g);
        const float t1 = fmaf(t0, t0, -v);
        const float t2 = fmaf(weight, t1, v);
        const float t3 = t0 * t0;
        const float t4 = weight < 1.0f ? t2 : t3;
        const float new_v = fabsf(t4) < 0x1p-126f ? 0.0f : t4;
        const float t5 = sqrtf(new_v);
        const float t6 = t5 + eps;
        const float t7 = t0 / t6;
        const float t8 = fmaf(momentum, b, t7);
        const float new_b = fabsf(t8) < 0x1p-126f ? 0.0f : t8;
        const float new_theta = fmaf(minus_lr, new_b, theta);
        state[0] = new_v;
        state[1] = new_b;
        theta = new_theta;
    }
};

extern "C" __global__ void __launch_bounds__(256) update_rmsprop_momentum(
    const Chunk* __restrict__ chunks,
    const float* __restrict__ scalars,
    const float* __restrict__ factors) {
    elementwise::update<rmsprop_momentum>(chunks, scalars, factors);
}

struct rmsprop_momentum_cautious {
    static constexpr unsigned S = 2, H = 5, N = 1, A = 1;

    static __device__ __forceinline__ void first(const float* h, float theta, float g, const float* state, float* term) {
        const float decay = h[0], weight = h[1], eps = h[2], momentum = h[3];
        const float v = state[0], b = state[1];
        const float t0 = fmaf(decay, theta, g);
        const float t1 = fmaf(t0, t0, -v);
        const float t2 = fmaf(weight, t1, v);
        const float t3 = t0 * t0;
        const float t4 = weight < 1.0f ? t2 : t3;
        const float t5 = fabsf(t4) < 0x1p-126f ? 0.0f : t4;
        const float t6 = sqrtf(t5);
        const float t7 = t6 + eps;
        const float t8 = t0 / t7;
        const float t9 = fmaf(momentum, b, t8);
        const float t10 = fabsf(t9) < 0x1p-126f ? 0.0f : t9;
        const float t11 = t10 * t0;
        const float term_agreeing = 0.0f < t11 ? 1.0f : 0.0f;
        term[0] = term_agreeing;
    }

    static __device__ __forceinline__ void reduce(const double* h, const double* sum, double count, double* a) {
        const double agreeing = sum[0];
        const double t0 = agreeing / count;
        const double t1 = t0 + 0x1.0624dd2f1a9fcp-10;
        const double t2 = 0x1.0624dd2f1a9fcp-10 <= t0 ? t0 : t1;
        const double t3 = t0 < 0x1.0624dd2f1a9fcp-10 ? 0x1.0624dd2f1a9fcp-10 : t2;
        const double new_spread = 1.0 / t3;
        a[0] = new_spread;
    }

    static __device__ __forceinline__ void second(const float* h, const float* a, float& theta, float g, float* state) {
        const float decay = h[0], weight = h[1], eps = h[2], momentum = h[3], minus_lr = h[4];
        const float spread = a[0];
        const float v = state[0], b = state[1];
        const float t0 = fmaf(decay, theta, g);
        const float t1 = fmaf(t0, t0, -v);
        const float t2 = fmaf(weight, t1, v);
        const float t3 = t0 * t0;
        const float t4 = weight < 1.0f ? t2 : t3;
        const float new_v = fabsf(t4) < 0x1p-126f ? 0.0f : t4;
        const float t5 = sqrtf(new_v);
        const float t6 = t5 + eps;
        const float t7 = t0 / t6;
        const float t8 = fmaf(momentum, b, t7);
        const float new_b = fabsf(t8) < 0x1p-126f ? 0.0f : t8;
        const float t9 = new_b * t0;
        const float t10 = 0.0f < t9 ? 1.0f : 0.0f;
        const float t11 = t10 * spread;
        const float t12 = new_b * t11;
        const float t13 = minus_lr * t12;
        const float t14 = fmaf(0.0f, theta, t13);
        const float new_theta = theta + t14;
        state[0] = new_v;
        state[1] = new_b;
        theta = new_theta;
    }
};

extern "C" __global__ void __launch_bounds__(32) update_rmsprop_momentum_cautious_first(
    const Chunk* __restrict__ pieces,
    const float* __restrict__ scalars,
    const float* __restrict__ factors,
    double* __restrict__ sums,
    unsigned* __restrict__ arrived) {
    elementwise::first<rmsprop_momentum_cautious>(pieces, scalars, factors, sums, arrived);
}

extern "C" __global__ void __launch_bounds__(32) update_rmsprop_momentum_cautious_reduce(
    const TensorPieces* __restrict__ tensors,
    const double* __restrict__ scalars,
    double* __restrict__ sums,
    unsigned* __restrict__ arrived,
    float* __restrict__ reduced) {
    elementwise::reduce<rmsprop_momentum_cautious>(tensors, scalars, sums, arrived, reduced);
}

extern "C" __global__ void __launch_bounds__(256) update_rmsprop_momentum_cautious_second(
    const Chunk* __restrict__ chunks,
    const float* __restrict__ scalars,
    const float* __restrict__ factors,
    const float* __restrict__ reduced) {
    elementwise::second<rmsprop_momentum_cautious>(chunks, scalars, factors, reduced);
}

struct rprop {
    static constexpr unsigned S = 2, H = 5;

    static __device__ __forceinline__ void update(const float* h, float& theta, float g, float* state) {
        const float start = h[0], eta_minus = h[1], eta_plus = h[2], step_min = h[3], step_max = h[4];
        const float last_g = state[0], step_size = state[1];
        const float t0 = g * last_g;
        const float t1 = t0 < 0.0f ? eta_minus : 1.0f;
        const float t2 = 0.0f < t0 ? eta_plus : t1;
        const float t3 = step_size + start;
        const float t4 = t3 * t2;
        const float t5 = t4 < step_min ? step_min : t4;
        const float new_step_size = step_max < t4 ? step_max : t5;
        const float new_g = t0 < 0.0f ? 0.0f : g;
        const float t6 = new_g < 0.0f ? -1.0f : new_g;
        const float t7 = 0.0f < new_g ? 1.0f : t6;
        const float t8 = t7 * new_step_size;
        const float new_theta = theta - t8;
        state[0] = new_g;
        state[1] = new_step_size;
        theta = new_theta;
    }
};

extern "C" __global__ void __launch_bounds__(256) update_rprop(
    const Chunk* __restrict__ chunks,
    const float* __restrict__ scalars,
    const float* __restrict__ factors) {
    elementwise::update<rprop>(chunks, scalars, factors);
}

struct schedule_free {
    static constexpr unsigned S = 2, H = 7;

    static __device__ __forceinline__ void update(const float* h, float& theta, float g, float* state) {
        const float weight2 = h[0], correction2 = h[1], eps = h[2], decay = h[3], c = h[4], of_y = h[5];
        const float minus_lr = h[6];
        const float z = state[0], v = state[1];
        const float t0 = fmaf(g, g, -v);
        const float t1 = fmaf(weight2, t0, v);
        const float t2 = g * g;
        const float t3 = weight2 < 1.0f ? t1 : t2;
        const float new_v = fabsf(t3) < 0x1p-126f ? 0.0f : t3;
        const float t4 = correction2 * g;
        const float t5 = sqrtf(new_v);
        const float t6 = t5 + eps;
        const float t7 = t4 / t6;
        const float t8 = fmaf(decay, theta, t7);
        const float t9 = z - theta;
        const float t10 = of_y * t8;
        const float t11 = fmaf(c, t9, t10);
        const float new_theta = theta + t11;
        const float new_z = fmaf(minus_lr, t8, z);
        state[0] = new_z;
        state[1] = new_v;
        theta = new_theta;
    }
};

extern "C" __global__ void __launch_bounds__(256) update_schedule_free(
    const Chunk* __restrict__ chunks,
    const float* __restrict__ scalars,
    const float* __restrict__ factors) {
    elementwise::update<schedule_free>(chunks, scalars, factors);
}

struct schedule_free_sgd {
    static constexpr unsigned S = 1, H = 4;

    static __device__ __forceinline__ void update(const float* h, float& theta, float g, float* state) {
        const float decay = h[0], c = h[1], of_y = h[2], minus_lr = h[3];
        const float z = state[0];
        const float t0 = fmaf(decay, theta, g);
        const float t1 = z - theta;
        const float t2 = of_y * t0;
        const float t3 = fmaf(c, t1, t2);
        const float new_theta = theta + t3;
        const float new_z = fmaf(minus_lr, t0, z);
        state[0] = new_z;
        theta = new_theta;
    }
};

extern "C" __global__ void __launch_bounds__(256) update_schedule_free_sgd(
    const Chunk* __restrict__ chunks,
    const float* __restrict__ scalars,
    const float* __restrict__ factors) {
    elementwise::update<schedule_free_sgd>(chunks, scalars, factors);
}

struct sgd {
    static constexpr unsigned S = 0, H = 2;

    static __device__ __forceinline__ void update(const float* h, float& theta, float g, float* state) {
        const float decay = h[0], minus_lr = h[1];
        const float t0 = fmaf(decay, theta, g);
        const float new_theta = fmaf(minus_lr, t0, theta);
        theta = new_theta;
    }
};

extern "C" __global__ void __launch_bounds__(256) update_sgd(
    const Chunk* __restrict__ chunks,
    const float* __restrict__ scalars,
    const float* __restrict__ factors) {
    elementwise::update<sgd>(chunks, scalars, factors);
}

struct sgd_momentum {
    static constexpr unsigned S = 1, H = 6;

    static __device__ __forceinline__ void update(const float* h, float& theta, float g, float* state) {
        const float decay = h[0], momentum = h[1], fresh = h[2], of_gradient = h[3], of_buffer = h[4], minus_lr = h[5];
        const float b = state[0];
        const float t0 = fmaf(decay, theta, g);
        const float t1 = fresh * t0;
        const float t2 = fmaf(momentum, b, t1);
        const float new_b = fabsf(t2) < 0x1p-126f ? 0.0f : t2;
        const float t3 = of_gradient * t0;
        const float t4 = fmaf(of_buffer, new_b, t3);
        const float new_theta = fmaf(minus_lr, t4, theta);
        state[0] = new_b;
        theta = new_theta;
    }
};

extern "C" __global__ void __launch_bounds__(256) update_sgd_momentum(
    const Chunk* __restrict__ chunks,
    const float* __restrict__ scalars,
    const float* __restrict__ factors) {
    elementwise::update<sgd_momentum>(chunks, scalars, factors);
}

struct sgd_momentum_cautious {
    static constexpr unsigned S = 1, H = 6, N = 1, A = 1;

    static __device__ __forceinline__ void first(const float* h, float theta, float g, const float* state, float* term) {
        const float decay = h[0], momentum = h[1], fresh = h[2], of_gradient = h[3], of_buffer = h[4];
        const float b = state[0];
        const float t0 = fmaf(decay, theta, g);
        const float t1 = fresh * t0;
        const float t2 = fmaf(momentum, b, t1);
        const float t3 = fabsf(t2) < 0x1p-126f ? 0.0f : t2;
        const float t4 = of_gradient * t0;
        const float t5 = fmaf(of_buffer, t3, t4);
        const float t6 = t5 * t0;
        const float term_agreeing = 0.0f < t6 ? 1.0f : 0.0f;
        term[0] = term_agreeing;
    }

    static __device__ __forceinline__ void reduce(const double* h, const double* sum, double count, double* a) {
        const double agreeing = sum[0];
        const double t0 = agreeing / count;
        const double t1 = t0 + 0x1.0624dd2f1a9fcp-10;
        const double t2 = 0x1.0624dd2f1a9fcp-10 <= t0 ? t0 : t1;
        const double t3 = t0 < 0x1.0624dd2f1a9fcp-10 ? 0x1.0624dd2f1a9fcp-10 : t2;
        const double new_spread = 1.0 / t3;
        a[0] = new_spread;
    }

    static __device__ __forceinline__ void second(const float* h, const float* a, float& theta, float g, float* state) {
        const float decay = h[0], momentum = h[1], fresh = h[2], of_gradient = h[3], of_buffer = h[4], minus_lr = h[5];
        const float spread = a[0];
        const float b = state[0];
        const float t0 = fmaf(decay, theta, g);
        const float t1 = fresh * t0;
        const float t2 = fmaf(momentum, b, t1);
        const float new_b = fabsf(t2) < 0x1p-126f ? 0.0f : t2;
        const float t3 = of_gradient * t0;
        const float t4 = fmaf(of_buffer, new_b, t3);
        const float t5 = t4 * t0;
        const float t6 = 0.0f < t5 ? 1.0f : 0.0f;
        const float t7 = t6 * spread;
        const float t8 = t4 * t7;
        const float t9 = minus_lr * t8;
        const float t10 = fmaf(0.0f, theta, t9);
        const float new_theta = theta + t10;
        state[0] = new_b;
        theta = new_theta;
    }
};

extern "C" __global__ void __launch_bounds__(32) update_sgd_momentum_cautious_first(
    const Chunk* __restrict__ pieces,
    const float* __restrict__ scalars,
    const float* __restrict__ factors,
    double* __restrict__ sums,
    unsigned* __restrict__ arrived) {
    elementwise::first<sgd_momentum_cautious>(pieces, scalars, factors, sums, arrived);
}

extern "C" __global__ void __launch_bounds__(32) update_sgd_momentum_cautious_reduce(
    const TensorPieces* __restrict__ tensors,
    const double* __restrict__ scalars,
    double* __restrict__ sums,
    unsigned* __restrict__ arrived,
    float* __restrict__ reduced) {
    elementwise::reduce<sgd_momentum_cautious>(tensors, scalars, sums, arrived, reduced);
}

extern "C" __global__ void __launch_bounds__(256) update_sgd_momentum_cautious_second(
    const Chunk* __restrict__ chunks,
    const float* __restrict__ scalars,
    const float* __restrict__ factors,
    const float* __restrict__ reduced) {
    elementwise::second<sgd_momentum_cautious>(chunks, scalars, factors, reduced);
}

struct stableadamw {
    static constexpr unsigned S = 2, H = 5, N = 1, A = 2;

    static __device__ __forceinline__ void first(const float* h, float theta, float g, const float* state, float* term) {
        const float weight2 = h[1], eps = h[2];
        const float v = state[1];
        const float t0 = fmaf(g, g, -v);
        const float t1 = fmaf(weight2, t0, v);
        const float t2 = g * g;
        const float t3 = weight2 < 1.0f ? t1 : t2;
        const float t4 = fabsf(t3) < 0x1p-126f ? 0.0f : t3;
        const float t5 = sqrtf(t4);
        const float t6 = t5 + eps;
        const float t7 = eps <= t5 ? t5 : t6;
        const float t8 = t5 < eps ? eps : t7;
        const float t9 = g / t8;
        const float term_ratio = t9 * t9;
        term[0] = term_ratio;
    }

    static __device__ __forceinline__ void reduce(const double* h, const double* sum, double count, double* a) {
        const double minus_lr = h[3], decay = h[4];
        const double ratio = sum[0];
        const double t0 = ratio / count;
        const double t1 = sqrt(t0);
        const double t2 = t1 + 1.0;
        const double t3 = 1.0 <= t1 ? t1 : t2;
        const double t4 = t1 < 1.0 ? 1.0 : t3;
        const double new_minus_step = minus_lr / t4;
        const double new_decay_step = decay / t4;
        a[0] = new_minus_step;
        a[1] = new_decay_step;
    }

    static __device__ __forceinline__ void second(const float* h, const float* a, float& theta, float g, float* state) {
        const float weight1 = h[0], weight2 = h[1], eps = h[2];
        const float minus_step = a[0], decay_step = a[1];
        const float m = state[0], v = state[1];
        const float t0 = g - m;
        const float t1 = fmaf(weight1, t0, m);
        const float t2 = weight1 < 1.0f ? t1 : g;
        const float new_m = fabsf(t2) < 0x1p-126f ? 0.0f : t2;
        const float t3 = fmaf(g, g, -v);
        const float t4 = fmaf(weight2, t3, v);
        const float t5 = g * g;
        const float t6 = weight2 < 1.0f ? t4 : t5;
        const float new_v = fabsf(t6) < 0x1p-126f ? 0.0f : t6;
        const float t7 = sqrtf(new_v);
        const float t8 = t7 + eps;
        const float t9 = new_m / t8;
        const float t10 = minus_step * t9;
        const float t11 = fmaf(decay_step, theta, t10);
        const float new_theta = theta + t11;
        state[0] = new_m;
        state[1] = new_v;
        theta = new_theta;
    }
};

extern "C" __global__ void __launch_bounds__(32) update_stableadamw_first(
    const Chunk* __restrict__ pieces,
    const float* __restrict__ scalars,
    const float* __restrict__ factors,
    double* __restrict__ sums,
    unsigned* __restrict__ arrived) {
    elementwise::first<stableadamw>(pieces, scalars, factors, sums, arrived);
}

extern "C" __global__ void __launch_bounds__(32) update_stableadamw_reduce(
    const TensorPieces* __restrict__ tensors,
    const double* __restrict__ scalars,
    double* __restrict__ sums,
    unsigned* __restrict__ arrived,
    float* __restrict__ reduced) {
    elementwise::reduce<stableadamw>(tensors, scalars, sums, arrived, reduced);
}

extern "C" __global__ void __launch_bounds__(256) update_stableadamw_second(
    const Chunk* __restrict__ chunks,
    const float* __restrict__ scalars,
    const float* __restrict__ factors,
    const float* __restrict__ reduced) {
    elementwise::second<stableadamw>(chunks, scalars, factors, reduced);
}

struct yogi {
    static constexpr unsigned S = 2, H = 5;

    static __device__ __forceinline__ void update(const float* h, float& theta, float g, float* state) {
        const float decay = h[0], weight1 = h[1], weight2 = h[2], minus_step = h[3], eps = h[4];
        const float m = state[0], v = state[1];
        const float t0 = fmaf(decay, theta, g);
        const float t1 = t0 - m;
        const float t2 = fmaf(weight1, t1, m);
        const float t3 = weight1 < 1.0f ? t2 : t0;
        const float new_m = fabsf(t3) < 0x1p-126f ? 0.0f : t3;
        const float t4 = t0 * t0;
        const float t5 = t4 < v ? -weight2 : 0.0f;
        const float t6 = v < t4 ? weight2 : t5;
        const float t7 = fmaf(t6, t4, v);
        const float new_v = fabsf(t7) < 0x1p-126f ? 0.0f : t7;
        const float t8 = sqrtf(new_v);
        const float t9 = t8 + eps;
        const float t10 = new_m / t9;
        const float new_theta = fmaf(minus_step, t10, theta);
        state[0] = new_m;
        state[1] = new_v;
        theta = new_theta;
    }
};

extern "C" __global__ void __launch_bounds__(256) update_yogi(
    const Chunk* __restrict__ chunks,
    const float* __restrict__ scalars,
    const float* __restrict__ factors) {
    elementwise::update<yogi>(chunks, scalars, factors);
}

struct yogi_cautious {
    static constexpr unsigned S = 2, H = 5, N = 1, A = 1;

    static __device__ __forceinline__ void first(const float* h, float theta, float g, const float* state, float* term) {
        const float decay = h[0], weight1 = h[1];
        const float m = state[0];
        const float t0 = fmaf(decay, theta, g);
        const float t1 = t0 - m;
        const float t2 = fmaf(weight1, t1, m);
        const float t3 = weight1 < 1.0f ? t2 : t0;
        const float t4 = fabsf(t3) < 0x1p-126f ? 0.0f : t3;
        const float t5 = t4 * t0;
        const float term_agreeing = 0.0f < t5 ? 1.0f : 0.0f;
        term[0] = term_agreeing;
    }

    static __device__ __forceinline__ void reduce(const double* h, const double* sum, double count, double* a) {
        const double agreeing = sum[0];
        const double t0 = agreeing / count;
        const double t1 = t0 + 0x1.0624dd2f1a9fcp-10;
        const double t2 = 0x1.0624dd2f1a9fcp-10 <= t0 ? t0 : t1;
        const double t3 = t0 < 0x1.0624dd2f1a9fcp-10 ? 0x1.0624dd2f1a9fcp-10 : t2;
        const double new_spread = 1.0 / t3;
        a[0] = new_spread;
    }

    static __device__ __forceinline__ void second(const float* h, const float* a, float& theta, float g, float* state) {
        const float decay = h[0], weight1 = h[1], weight2 = h[2], minus_step = h[3], eps = h[4];
        const float spread = a[0];
        const float m = state[0], v = state[1];
        const float t0 = fmaf(decay, theta, g);
        const float t1 = t0 - m;
        const float t2 = fmaf(weight1, t1, m);
        const float t3 = weight1 < 1.0f ? t2 : t0;
        const float new_m = fabsf(t3) < 0x1p-126f ? 0.0f : t3;
        const float t4 = t0 * t0;
        const float t5 = t4 < v ? -weight2 : 0.0f;
        const float t6 = v < t4 ? weight2 : t5;
        const float t7 = fmaf(t6, t4, v);
        const float new_v = fabsf(t7) < 0x1p-126f ? 0.0f : t7;
        const float t8 = sqrtf(new_v);
        const float t9 = t8 + eps;
        const float t10 = new_m / t9;
        const float t11 = new_m * t0;
        const float t12 = 0.0f < t11 ? 1.0f : 0.0f;
        const float t13 = t12 * spread;
        const float t14 = t10 * t13;
        const float t15 = minus_step * t14;
        const float t16 = fmaf(0.0f, theta, t15);
        const float new_theta = theta + t16;
        state[0] = new_m;
        state[1] = new_v;
        theta = new_theta;
    }
};

extern "C" __global__ void __launch_bounds__(32) update_yogi_cautious_first(
    const Chunk* __restrict__ pieces,
    const float* __restrict__ scalars,
    const float* __restrict__ factors,
    double* __restrict__ sums,
    unsigned* __restrict__ arrived) {
    elementwise::first<yogi_cautious>(pieces, scalars, factors, sums, arrived);
}

extern "C" __global__ void __launch_bounds__(32) update_yogi_cautious_reduce(
    const TensorPieces* __restrict__ tensors,
    const double* __restrict__ scalars,
    double* __restrict__ sums,
    unsigned* __restrict__ arrived,
    float* __restrict__ reduced) {
    elementwise::reduce<yogi_cautious>(tensors, scalars, sums, arrived, reduced);
}

extern "C" __global__ void __launch_bounds__(256) update_yogi_cautious_second(
    const Chunk* __restrict__ chunks,
    const float* __restrict__ scalars,
    const float* __restrict__ factors,
    const float* __restrict__ reduced) {
    elementwise::second<yogi_cautious>(chunks, scalars, factors, reduced);
}
