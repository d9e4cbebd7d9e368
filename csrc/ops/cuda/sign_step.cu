// CUDA kernel of fiqa_fast::sign_step: one pass, 16-byte accesses, a tail of single elements.
#include "ops/cuda/device.cuh"
#include "ops/sign_step.h"

namespace fiqa::cuda {
namespace {

template <typename T, int V>
__global__ void __launch_bounds__(kBlock)
    steps(const T* __restrict__ x, const T* __restrict__ grad, T* __restrict__ out, float step,
          float low, float high, int64_t packs) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kBlock + threadIdx.x;
  if (i >= packs) return;
  const Pack<T, V> xs = reinterpret_cast<const Pack<T, V>*>(x)[i];
  const Pack<T, V> grads = reinterpret_cast<const Pack<T, V>*>(grad)[i];
  Pack<T, V> moved;
#pragma unroll
  for (int v = 0; v < V; ++v) {
    const float g = load<T>(grads.at[v]);
    const float m = load<T>(xs.at[v]) + (g > 0.f ? step : g < 0.f ? -step : g * 0.f);  // keeps NaN
    moved.at[v] = store<T>(m < low ? low : m > high ? high : m);
  }
  reinterpret_cast<Pack<T, V>*>(out)[i] = moved;
}

template <typename T, int V>
int launch_packs(const T* x, const T* grad, T* out, float step, float low, float high,
                 int64_t packs, void* stream) {
  if (packs == 0) return 0;
  return FIQA_LAUNCH((steps<T, V>), dim3(static_cast<unsigned>((packs + kBlock - 1) / kBlock)),
                     dim3(kBlock), stream, x, grad, out, step, low, high, packs);
}

template <typename T>
int launch(const void* xv, const void* gradv, void* outv, float step, float low, float high,
           int64_t count, void* stream) {
  constexpr int V = 16 / sizeof(T);
  const T *x = static_cast<const T*>(xv), *grad = static_cast<const T*>(gradv);
  T* out = static_cast<T*>(outv);
  const bool packed = aligned_16(x) && aligned_16(grad) && aligned_16(out);
  const int64_t body = packed ? count / V * V : 0;
  const int error = launch_packs<T, V>(x, grad, out, step, low, high, body / V, stream);
  if (error != 0) return error;
  return launch_packs<T, 1>(x + body, grad + body, out + body, step, low, high, count - body,
                            stream);
}

}  // namespace
}  // namespace fiqa::cuda

extern "C" int fiqa_cuda_sign_step(fiqa::DType dtype, const void* x, const void* grad, void* out,
                                   float step, float low, float high, int64_t count, void* stream) {
  FIQA_DISPATCH_ELEMENT(dtype, fiqa::cuda::launch<T>(x, grad, out, step, low, high, count, stream));
}
