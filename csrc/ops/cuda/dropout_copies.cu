// CUDA kernel of fiqa_fast::dropout_copies: a thread draws one block of four values and writes four
// features. Grid: (blocks of a sample's T * F / 4 quads, N).
#include "ops/cuda/device.cuh"
#include "ops/dropout_copies.h"
#include "philox.h"

namespace fiqa::cuda {
namespace {

template <typename T>
__global__ void __launch_bounds__(kBlock) copies(const T* __restrict__ x,             // [N, F]
                                                 const int64_t* __restrict__ sample,  // [N]
                                                 T* __restrict__ out,                 // [N, T, F]
                                                 uint64_t seed, uint32_t stream, uint32_t threshold,
                                                 int64_t quads, int64_t quads_of_features) {
  const int64_t quad = static_cast<int64_t>(blockIdx.x) * kBlock + threadIdx.x;
  if (quad >= quads) return;
  const int64_t n = blockIdx.y;
  const philox::Block block =
      philox::block(seed, stream, static_cast<uint64_t>(sample[n]), static_cast<uint32_t>(quad));
  const Pack<T, 4> in =
      reinterpret_cast<const Pack<T, 4>*>(x)[n * quads_of_features + quad % quads_of_features];
  Pack<T, 4> kept;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    kept.at[i] = block.word[i] >= threshold ? in.at[i] : store<T>(0.f);
  }
  reinterpret_cast<Pack<T, 4>*>(out)[n * quads + quad] = kept;
}

template <typename T>
int launch(const DropoutCopies& a, void* stream) {
  const int64_t quads_of_features = a.F / 4, quads = a.T * quads_of_features;
  const dim3 grid(static_cast<unsigned>((quads + kBlock - 1) / kBlock), static_cast<unsigned>(a.N));
  return FIQA_LAUNCH((copies<T>), grid, dim3(kBlock), stream, static_cast<const T*>(a.x), a.sample,
                     static_cast<T*>(a.out), a.seed, a.stream, a.threshold, quads,
                     quads_of_features);
}

}  // namespace
}  // namespace fiqa::cuda

extern "C" int fiqa_cuda_dropout_copies(fiqa::DType dtype, const fiqa::DropoutCopies* arguments,
                                        void* stream) {
  if (arguments->N == 0 || arguments->T == 0 || arguments->F == 0) return 0;
  FIQA_DISPATCH_ELEMENT(dtype, fiqa::cuda::launch<T>(*arguments, stream));
}
