// Kernels with one fault each, for device_code_test.py: the gate must name it.
namespace {

__device__ __noinline__ float Half(float x) {
  return x / 2;
}

}  // namespace

extern "C" {

__global__ void FusedDouble(double* x) {
  x[0] = fma(x[1], x[2], x[3]);
}
__global__ void SumByArrival(float* x) {
  atomicAdd(x, 1.0f);
}
__global__ void Approximation(float* x) {
  x[0] = __expf(x[1]);
}
__global__ void RoundedDown(float* x) {
  x[0] = __fadd_rd(x[1], x[2]);
}
__global__ void Call(float* x) {
  x[0] = Half(x[1]);
}
__global__ void LocalMemory(float* x, int k) {
  float copy[64];
  for (int i = 0; i < 64; ++i) copy[i] = x[i];
  for (int i = 0; i < k; ++i) copy[(i * k) % 64] += 1;
  for (int i = 0; i < 64; ++i) x[i] = copy[i];
}
__global__ void __launch_bounds__(1024, 2) Spills(float* x) {
  float copy[64];
  for (int i = 0; i < 64; ++i) copy[i] = x[i];
  __syncthreads();
  for (int i = 0; i < 64; ++i) x[i] = copy[63 - i];
}
}
