// y[i] ← value for i < count.
extern "C" __global__ void fill(float* __restrict__ y, float value, unsigned long long count) {
    unsigned long long i = (unsigned long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) y[i] = value;
}
