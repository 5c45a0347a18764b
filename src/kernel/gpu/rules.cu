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
        const float new_m = fabsf(t2) < 0x1p-126f ? 0.0f : t2;
        const float t3 = t0 - new_m;
        const float t4 = fmaf(t3, t3, -s);
        const float t5 = fmaf(weight2, t4, s);
        const float t6 = fabsf(t5) < 0x1p-126f ? 0.0f : t5;
        const float new_s = t6 + eps;
        const float t7 = sqrtf(new_s);
        const float t8 = fmaf(of_root, t7, rest);
        const float t9 = new_m / t8;
        const float t10 = minus_step * t9;
        const float t11 = fmaf(decoupled, theta, t10);
        const float new_theta = theta + t11;
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

struct adadelta {
    static constexpr unsigned S = 2, H = 4;

    static __device__ __forceinline__ void update(const float* h, float& theta, float g, float* state) {
        const float decay = h[0], weight = h[1], eps = h[2], minus_lr = h[3];
        const float v = state[0], d = state[1];
        const float t0 = fmaf(decay, theta, g);
        const float t1 = fmaf(t0, t0, -v);
        const float t2 = fmaf(weight, t1, v);
        const float new_v = fabsf(t2) < 0x1p-126f ? 0.0f : t2;
        const float t3 = d + eps;
        const float t4 = sqrtf(t3);
        const float t5 = new_v + eps;
        const float t6 = sqrtf(t5);
        const float t7 = t4 / t6;
        const float t8 = t7 * t0;
        const float t9 = fmaf(t8, t8, -d);
        const float t10 = fmaf(weight, t9, d);
        const float new_d = fabsf(t10) < 0x1p-126f ? 0.0f : t10;
        const float new_theta = fmaf(minus_lr, t8, theta);
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
        const float new_m = fabsf(t2) < 0x1p-126f ? 0.0f : t2;
        const float t3 = fmaf(t0, t0, -v);
        const float t4 = fmaf(weight2, t3, v);
        const float new_v = fabsf(t4) < 0x1p-126f ? 0.0f : t4;
        const float t5 = sqrtf(new_v);
        const float t6 = t5 + eps;
        const float t7 = new_m / t6;
        const float t8 = minus_step * t7;
        const float t9 = fmaf(decoupled, theta, t8);
        const float new_theta = theta + t9;
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
        const float new_m = fabsf(t2) < 0x1p-126f ? 0.0f : t2;
        const float t3 = fmaf(t0, t0, -v);
        const float t4 = fmaf(weight2, t3, v);
        const float new_v = fabsf(t4) < 0x1p-126f ? 0.0f : t4;
        const float t5 = v_max + new_v;
        const float t6 = new_v <= v_max ? v_max : t5;
        const float new_v_max = v_max < new_v ? new_v : t6;
        const float t7 = sqrtf(new_v_max);
        const float t8 = t7 + eps;
        const float t9 = new_m / t8;
        const float t10 = minus_step * t9;
        const float t11 = fmaf(decoupled, theta, t10);
        const float new_theta = theta + t11;
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
        const float new_m = fabsf(t2) < 0x1p-126f ? 0.0f : t2;
        const float t3 = fmaf(t0, t0, -v);
        const float t4 = fmaf(weight2, t3, v);
        const float new_v = fabsf(t4) < 0x1p-126f ? 0.0f : t4;
        const float t5 = v_max + new_v;
        const float t6 = new_v <= v_max ? v_max : t5;
        const float new_v_max = v_max < new_v ? new_v : t6;
        const float t7 = sqrtf(new_v_max);
        const float t8 = t7 + eps;
        const float t9 = new_m / t8;
        const float t10 = t9 * theta;
        const float t11 = t10 < 0.0f ? 0.0f : decoupled;
        const float t12 = minus_step * t9;
        const float t13 = fmaf(t11, theta, t12);
        const float new_theta = theta + t13;
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
        const float t3 = fabsf(t2) < 0x1p-126f ? 0.0f : t2;
        const float t4 = t3 * t0;
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
        const float weight1 = h[0], weight2 = h[1], minus_step = h[2], eps = h[3], coupled = h[4], decoupled = h[5];
        const float spread = a[0];
        const float m = state[0], v = state[1];
        const float t0 = fmaf(coupled, theta, g);
        const float t1 = t0 - m;
        const float t2 = fmaf(weight1, t1, m);
        const float new_m = fabsf(t2) < 0x1p-126f ? 0.0f : t2;
        const float t3 = fmaf(t0, t0, -v);
        const float t4 = fmaf(weight2, t3, v);
        const float new_v = fabsf(t4) < 0x1p-126f ? 0.0f : t4;
        const float t5 = sqrtf(new_v);
        const float t6 = t5 + eps;
        const float t7 = new_m / t6;
        const float t8 = new_m * t0;
        const float t9 = 0.0f < t8 ? 1.0f : 0.0f;
        const float t10 = t9 * spread;
        const float t11 = t7 * t10;
        const float t12 = minus_step * t11;
        const float t13 = fmaf(decoupled, theta, t12);
        const float new_theta = theta + t13;
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
        const float t3 = fabsf(t2) < 0x1p-126f ? 0.0f : t2;
        const float t4 = t3 * t0;
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
        const float weight1 = h[0], weight2 = h[1], minus_step = h[2], eps = h[3], coupled = h[4], decoupled = h[5];
        const float spread = a[0];
        const float m = state[0], v = state[1];
        const float t0 = fmaf(coupled, theta, g);
        const float t1 = t0 - m;
        const float t2 = fmaf(weight1, t1, m);
        const float new_m = fabsf(t2) < 0x1p-126f ? 0.0f : t2;
        const float t3 = fmaf(t0, t0, -v);
        const float t4 = fmaf(weight2, t3, v);
        const float new_v = fabsf(t4) < 0x1p-126f ? 0.0f : t4;
        const float t5 = sqrtf(new_v);
        const float t6 = t5 + eps;
        const float t7 = new_m / t6;
        const float t8 = new_m * t0;
        const float t9 = 0.0f < t8 ? 1.0f : 0.0f;
        const float t10 = t9 * spread;
        const float t11 = t7 * theta;
        const float t12 = t11 < 0.0f ? 0.0f : decoupled;
        const float t13 = t7 * t10;
        const float t14 = minus_step * t13;
        const float t15 = fmaf(t12, theta, t14);
        const float new_theta = theta + t15;
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
        const float new_m = fabsf(t2) < 0x1p-126f ? 0.0f : t2;
        const float t3 = fmaf(t0, t0, -v);
        const float t4 = fmaf(weight2, t3, v);
        const float new_v = fabsf(t4) < 0x1p-126f ? 0.0f : t4;
        const float t5 = sqrtf(new_v);
        const float t6 = t5 + eps;
        const float t7 = new_m / t6;
        const float t8 = t7 * theta;
        const float t9 = t8 < 0.0f ? 0.0f : decoupled;
        const float t10 = minus_step * t7;
        const float t11 = fmaf(t9, theta, t10);
        const float new_theta = theta + t11;
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
        const float new_m = fabsf(t2) < 0x1p-126f ? 0.0f : t2;
        const float t3 = fabsf(t0) + eps;
        const float t4 = beta2 * u;
        const float t5 = t3 + t4;
        const float t6 = t4 <= t3 ? t3 : t5;
        const float new_u = t3 < t4 ? t4 : t6;
        const float t7 = new_m / new_u;
        const float new_theta = fmaf(minus_step, t7, theta);
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
        const float new_m = fabsf(t3) < 0x1p-126f ? 0.0f : t3;
        const float t4 = t1 - d;
        const float t5 = fmaf(weight2, t4, d);
        const float new_d = fabsf(t5) < 0x1p-126f ? 0.0f : t5;
        const float t6 = fmaf(beta2, t1, g);
        const float t7 = fmaf(t6, t6, -n);
        const float t8 = fmaf(weight3, t7, n);
        const float new_n = fabsf(t8) < 0x1p-126f ? 0.0f : t8;
        const float t9 = of_d * new_d;
        const float t10 = fmaf(of_m, new_m, t9);
        const float t11 = sqrtf(new_n);
        const float t12 = t11 + eps;
        const float t13 = t10 / t12;
        const float t14 = fmaf(shrink, theta, t13);
        const float t15 = theta + t14;
        const float new_theta = t15 / divisor;
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
    static constexpr unsigned S = 3, H = 7;

    static __device__ __forceinline__ void update(const float* h, float& theta, float g, float* state) {
        const float weight1 = h[0], weight3 = h[1], weight2 = h[2], of_fast = h[3], of_slow = h[4], eps = h[5];
        const float decay = h[6];
        const float m = state[0], slow = state[1], v = state[2];
        const float t0 = g - m;
        const float t1 = fmaf(weight1, t0, m);
        const float new_m = fabsf(t1) < 0x1p-126f ? 0.0f : t1;
        const float t2 = g - slow;
        const float t3 = fmaf(weight3, t2, slow);
        const float new_slow = fabsf(t3) < 0x1p-126f ? 0.0f : t3;
        const float t4 = fmaf(g, g, -v);
        const float t5 = fmaf(weight2, t4, v);
        const float new_v = fabsf(t5) < 0x1p-126f ? 0.0f : t5;
        const float t6 = of_slow * new_slow;
        const float t7 = fmaf(of_fast, new_m, t6);
        const float t8 = sqrtf(new_v);
        const float t9 = t8 + eps;
        const float t10 = t7 / t9;
        const float t11 = fmaf(decay, theta, t10);
        const float new_theta = theta + t11;
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
        const float new_m = fabsf(t9) < 0x1p-126f ? 0.0f : t9;
        const float t10 = fmaf(t0, t0, -v);
        const float t11 = fmaf(weight2, t10, v);
        const float new_v = fabsf(t11) < 0x1p-126f ? 0.0f : t11;
        const float t12 = minus_lr * new_m;
        const float t13 = fmaf(decoupled, theta, t12);
        const float new_theta = theta + t13;
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

struct lamb {
    static constexpr unsigned S = 2, H = 6, N = 2, A = 1;

    static __device__ __forceinline__ void first(const float* h, float theta, float g, const float* state, float* term) {
        const float weight1 = h[0], weight2 = h[1], of_moment = h[2], eps = h[3], decay = h[4];
        const float m = state[0], v = state[1];
        const float t0 = g - m;
        const float t1 = fmaf(weight1, t0, m);
        const float t2 = fabsf(t1) < 0x1p-126f ? 0.0f : t1;
        const float t3 = fmaf(g, g, -v);
        const float t4 = fmaf(weight2, t3, v);
        const float t5 = fabsf(t4) < 0x1p-126f ? 0.0f : t4;
        const float t6 = sqrtf(t5);
        const float t7 = t6 + eps;
        const float t8 = t2 / t7;
        const float t9 = of_moment * t8;
        const float t10 = fmaf(decay, theta, t9);
        const float term_of_theta = theta * theta;
        const float term_of_u = t10 * t10;
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
        const float new_m = fabsf(t1) < 0x1p-126f ? 0.0f : t1;
        const float t2 = fmaf(g, g, -v);
        const float t3 = fmaf(weight2, t2, v);
        const float new_v = fabsf(t3) < 0x1p-126f ? 0.0f : t3;
        const float t4 = sqrtf(new_v);
        const float t5 = t4 + eps;
        const float t6 = new_m / t5;
        const float t7 = of_moment * t6;
        const float t8 = fmaf(decay, theta, t7);
        const float new_theta = fmaf(minus_step, t8, theta);
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
        const float new_m = fabsf(t4) < 0x1p-126f ? 0.0f : t4;
        const float t5 = minus_lr * t3;
        const float t6 = fmaf(decay, theta, t5);
        const float new_theta = theta + t6;
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
        const float new_m = fabsf(t4) < 0x1p-126f ? 0.0f : t4;
        const float t5 = t3 * g;
        const float t6 = 0.0f < t5 ? 1.0f : 0.0f;
        const float t7 = t6 * spread;
        const float t8 = t3 * t7;
        const float t9 = minus_lr * t8;
        const float t10 = fmaf(decay, theta, t9);
        const float new_theta = theta + t10;
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
        const float new_m = fabsf(t4) < 0x1p-126f ? 0.0f : t4;
        const float t5 = t3 * g;
        const float t6 = 0.0f < t5 ? 1.0f : 0.0f;
        const float t7 = t6 * spread;
        const float t8 = t3 * theta;
        const float t9 = t8 < 0.0f ? 0.0f : decay;
        const float t10 = t3 * t7;
        const float t11 = minus_lr * t10;
        const float t12 = fmaf(t9, theta, t11);
        const float new_theta = theta + t12;
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
        const float new_m = fabsf(t4) < 0x1p-126f ? 0.0f : t4;
        const float t5 = t3 * theta;
        const float t6 = t5 < 0.0f ? 0.0f : decay;
        const float t7 = minus_lr * t3;
        const float t8 = fmaf(t6, theta, t7);
        const float new_theta = theta + t8;
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
        const float new_m = fabsf(t2) < 0x1p-126f ? 0.0f : t2;
        const float t3 = fmaf(t0, t0, -v);
        const float t4 = fmaf(weight2, t3, v);
        const float new_v = fabsf(t4) < 0x1p-126f ? 0.0f : t4;
        const float t5 = sqrtf(new_v);
        const float t6 = t5 + eps;
        const float t7 = new_m / t6;
        const float t8 = minus_step * t7;
        const float t9 = fmaf(decoupled, theta, t8);
        const float t10 = theta + t9;
        const float t11 = t10 - slow;
        const float t12 = fmaf(pull, t11, slow);
        const float new_slow = 0.0f < pull ? t12 : slow;
        const float new_theta = 0.0f < pull ? new_slow : t10;
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

struct nadam {
    static constexpr unsigned S = 2, H = 7;

    static __device__ __forceinline__ void update(const float* h, float& theta, float g, float* state) {
        const float weight1 = h[0], weight2 = h[1], of_gradient = h[2], of_moment = h[3], eps = h[4], coupled = h[5];
        const float decoupled = h[6];
        const float m = state[0], v = state[1];
        const float t0 = fmaf(coupled, theta, g);
        const float t1 = t0 - m;
        const float t2 = fmaf(weight1, t1, m);
        const float new_m = fabsf(t2) < 0x1p-126f ? 0.0f : t2;
        const float t3 = fmaf(t0, t0, -v);
        const float t4 = fmaf(weight2, t3, v);
        const float new_v = fabsf(t4) < 0x1p-126f ? 0.0f : t4;
        const float t5 = of_moment * new_m;
        const float t6 = fmaf(of_gradient, t0, t5);
        const float t7 = sqrtf(new_v);
        const float t8 = t7 + eps;
        const float t9 = t6 / t8;
        const float t10 = fmaf(decoupled, theta, t9);
        const float new_theta = theta + t10;
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

struct radam {
    static constexpr unsigned S = 2, H = 7;

    static __device__ __forceinline__ void update(const float* h, float& theta, float g, float* state) {
        const float weight1 = h[0], weight2 = h[1], minus_step = h[2], of_root = h[3], rest = h[4], coupled = h[5];
        const float decoupled = h[6];
        const float m = state[0], v = state[1];
        const float t0 = fmaf(coupled, theta, g);
        const float t1 = t0 - m;
        const float t2 = fmaf(weight1, t1, m);
        const float new_m = fabsf(t2) < 0x1p-126f ? 0.0f : t2;
        const float t3 = fmaf(t0, t0, -v);
        const float t4 = fmaf(weight2, t3, v);
        const float new_v = fabsf(t4) < 0x1p-126f ? 0.0f : t4;
        const float t5 = sqrtf(new_v);
        const float t6 = fmaf(of_root, t5, rest);
        const float t7 = new_m / t6;
        const float t8 = minus_step * t7;
        const float t9 = fmaf(decoupled, theta, t8);
        const float new_theta = theta + t9;
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

struct rmsprop {
    static constexpr unsigned S = 1, H = 5;

    static __device__ __forceinline__ void update(const float* h, float& theta, float g, float* state) {
        const float decay = h[0], weight = h[1], eps = h[2], minus_lr = h[4];
        const float v = state[0];
        const float t0 = fmaf(decay, theta, g);
        const float t1 = fmaf(t0, t0, -v);
        const float t2 = fmaf(weight, t1, v);
        const float new_v = fabsf(t2) < 0x1p-126f ? 0.0f : t2;
        const float t3 = sqrtf(new_v);
        const float t4 = t3 + eps;
        const float t5 = t0 / t4;
        const float new_theta = fmaf(minus_lr, t5, theta);
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
        const float new_v = fabsf(t2) < 0x1p-126f ? 0.0f : t2;
        const float t3 = t0 - mean;
        const float t4 = fmaf(weight, t3, mean);
        const float new_mean = fabsf(t4) < 0x1p-126f ? 0.0f : t4;
        const float t5 = fmaf(-new_mean, new_mean, new_v);
        const float t6 = new_v < 0x1p-126f ? new_v : t5;
        const float t7 = sqrtf(t6);
        const float t8 = t7 + eps;
        const float t9 = t0 / t8;
        const float new_theta = fmaf(minus_lr, t9, theta);
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
        const float new_v = fabsf(t2) < 0x1p-126f ? 0.0f : t2;
        const float t3 = t0 - mean;
        const float t4 = fmaf(weight, t3, mean);
        const float new_mean = fabsf(t4) < 0x1p-126f ? 0.0f : t4;
        const float t5 = fmaf(-new_mean, new_mean, new_v);
        const float t6 = new_v < 0x1p-126f ? new_v : t5;
        const float t7 = sqrtf(t6);
        const float t8 = t7 + eps;
        const float t9 = t0 / t8;
        const float t10 = fmaf(momentum, b, t9);
        const float new_b = fabsf(t10) < 0x1p-126f ? 0.0f : t10;
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

struct rmsprop_momentum {
    static constexpr unsigned S = 2, H = 5;

    static __device__ __forceinline__ void update(const float* h, float& theta, float g, float* state) {
        const float decay = h[0], weight = h[1], eps = h[2], momentum = h[3], minus_lr = h[4];
        const float v = state[0], b = state[1];
        const float t0 = fmaf(decay, theta, g);
        const float t1 = fmaf(t0, t0, -v);
        const float t2 = fmaf(weight, t1, v);
        const float new_v = fabsf(t2) < 0x1p-126f ? 0.0f : t2;
        const float t3 = sqrtf(new_v);
        const float t4 = t3 + eps;
        const float t5 = t0 / t4;
        const float t6 = fmaf(momentum, b, t5);
        const float new_b = fabsf(t6) < 0x1p-126f ? 0.0f : t6;
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

struct schedule_free {
    static constexpr unsigned S = 2, H = 7;

    static __device__ __forceinline__ void update(const float* h, float& theta, float g, float* state) {
        const float weight2 = h[0], correction2 = h[1], eps = h[2], decay = h[3], c = h[4], of_y = h[5];
        const float minus_lr = h[6];
        const float z = state[0], v = state[1];
        const float t0 = fmaf(g, g, -v);
        const float t1 = fmaf(weight2, t0, v);
        const float new_v = fabsf(t1) < 0x1p-126f ? 0.0f : t1;
        const float t2 = correction2 * g;
        const float t3 = sqrtf(new_v);
        const float t4 = t3 + eps;
        const float t5 = t2 / t4;
        const float t6 = fmaf(decay, theta, t5);
        const float t7 = z - theta;
        const float t8 = of_y * t6;
        const float t9 = fmaf(c, t7, t8);
        const float new_theta = theta + t9;
        const float new_z = fmaf(minus_lr, t6, z);
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

struct stableadamw {
    static constexpr unsigned S = 2, H = 5, N = 1, A = 2;

    static __device__ __forceinline__ void first(const float* h, float theta, float g, const float* state, float* term) {
        const float weight2 = h[1], eps = h[2];
        const float v = state[1];
        const float t0 = fmaf(g, g, -v);
        const float t1 = fmaf(weight2, t0, v);
        const float t2 = fabsf(t1) < 0x1p-126f ? 0.0f : t1;
        const float t3 = sqrtf(t2);
        const float t4 = t3 + eps;
        const float t5 = eps <= t3 ? t3 : t4;
        const float t6 = t3 < eps ? eps : t5;
        const float t7 = g / t6;
        const float term_ratio = t7 * t7;
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
        const float new_m = fabsf(t1) < 0x1p-126f ? 0.0f : t1;
        const float t2 = fmaf(g, g, -v);
        const float t3 = fmaf(weight2, t2, v);
        const float new_v = fabsf(t3) < 0x1p-126f ? 0.0f : t3;
        const float t4 = sqrtf(new_v);
        const float t5 = t4 + eps;
        const float t6 = new_m / t5;
        const float t7 = minus_step * t6;
        const float t8 = fmaf(decay_step, theta, t7);
        const float new_theta = theta + t8;
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
