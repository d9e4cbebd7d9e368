// CUDA kernels of fiqa_fast::abs_sum: partial sums of fixed-size parts, then one block per sample
// adds them in a fixed order. No atomics, so a sum is the same on every run and in any batch.
#include "ops/abs_sum.h"
#include "ops/cuda/device.cuh"

namespace fiqa::cuda {
namespace {

constexpr int64_t kPart = 16384;  // elements behind one partial sum

// Grid: (N * splits).
template <typename T, int V>
__global__ void __launch_bounds__(kBlock) partial_sums(const T* __restrict__ x,      // [N, M]
                                                       float* __restrict__ partial,  // [N, splits]
                                                       int64_t M, int splits) {
  const int64_t n = blockIdx.x / splits;
  const int64_t first = blockIdx.x % splits * kPart;
  const int64_t last = min(first + kPart, M);
  const Pack<T, V>* packs = reinterpret_cast<const Pack<T, V>*>(x + n * M);
  float sum = 0.f;
  for (int64_t i = first / V + threadIdx.x; i < last / V; i += kBlock) {
    const Pack<T, V> pack = packs[i];
#pragma unroll
    for (int v = 0; v < V; ++v) sum += fabsf(load<T>(pack.at[v]));
  }
  sum = block_sum(sum);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

// Grid: (N).
__global__ void __launch_bounds__(kBlock)
    add_parts(const float* __restrict__ partial,  // [N, splits]
              float* __restrict__ out,            // [N]
              int splits) {
  float sum = 0.f;
  for (int i = threadIdx.x; i < splits; i += kBlock) {
    sum += partial[static_cast<int64_t>(blockIdx.x) * splits + i];
  }
  sum = block_sum(sum);
  if (threadIdx.x == 0) out[blockIdx.x] = sum;
}

template <typename T>
int launch(const void* x, float* out, float* partial, int64_t N, int64_t M, void* stream) {
  constexpr int V = 16 / sizeof(T);
  const T* in = static_cast<const T*>(x);
  const int splits = static_cast<int>(fiqa_cuda_abs_sum_splits(M));
  if (splits > 0) {
    const dim3 grid(static_cast<unsigned>(N * splits));
    const int error =
        M % V == 0 && aligned_16(x)
            ? FIQA_LAUNCH((partial_sums<T, V>), grid, dim3(kBlock), stream, in, partial, M, splits)
            : FIQA_LAUNCH((partial_sums<T, 1>), grid, dim3(kBlock), stream, in, partial, M, splits);
    if (error != 0) return error;
  }
  return FIQA_LAUNCH(add_parts, dim3(static_cast<unsigned>(N)), dim3(kBlock), stream, partial, out,
                     splits);
}

}  // namespace
}  // namespace fiqa::cuda

extern "C" int64_t fiqa_cuda_abs_sum_splits(int64_t M) {
  return (M + fiqa::cuda::kPart - 1) / fiqa::cuda::kPart;
}

extern "C" int fiqa_cuda_abs_sum(fiqa::DType dtype, const void* x, float* out, float* workspace,
                                 int64_t N, int64_t M, void* stream) {
  if (N == 0) return 0;
  FIQA_DISPATCH_ELEMENT(dtype, fiqa::cuda::launch<T>(x, out, workspace, N, M, stream));
}
