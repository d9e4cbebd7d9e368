// Sums over a sample, of a number that each thread has of its tile: added over the block, then over
// the blocks of the sample, always in the same order.
#pragma once
#include "ops/cuda/tile.cuh"

namespace fiqa::cuda {

// Floats behind `partial`, whatever the element type: no tile has fewer than 32 channels.
inline int64_t partial_sums_size(const void* sums, int64_t N, int64_t HW, int64_t C) {
  return sums == nullptr ? 0 : N * ceil_div(HW, kStreamChunk) * ceil_div(C, kWarp);
}

// Every thread of the block must come here.
__device__ __forceinline__ void write_sum(float sum, float* partial) {
  if (partial == nullptr) return;
  sum = block_sum(sum);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

namespace {

// Grid: (N).
__global__ void __launch_bounds__(kBlock)
    add_tiles(const float* __restrict__ partial,  // [N, tiles]
              float* __restrict__ sums,           // [N]
              int tiles) {
  float sum = 0.f;
  for (int i = threadIdx.x; i < tiles; i += kBlock) {
    sum += partial[static_cast<int64_t>(blockIdx.x) * tiles + i];
  }
  sum = block_sum(sum);
  if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

// Launches add_tiles where sums are wanted.
inline int finish_sums(const float* partial, void* sums, int64_t N, int64_t tiles, void* stream) {
  if (sums == nullptr) return 0;
  return FIQA_LAUNCH(add_tiles, dim3(static_cast<unsigned>(N)), dim3(kBlock), stream, partial,
                     static_cast<float*>(sums), static_cast<int>(tiles));
}

}  // namespace
}  // namespace fiqa::cuda
