// θ[i] ← θ[i] − lr·g[i] for i < count.
extern "C" __global__ void descend(float* __restrict__ theta, const float* __restrict__ g, float lr, unsigned long long count) {
    unsigned long long i = (unsigned long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) theta[i] = theta[i] - lr * g[i];
}
