// Count, mean and sum of squared distances to it: merged by the rule of Chan, Golub and LeVeque
// ("Updating formulae and a pairwise algorithm for computing sample variances", 1979), so that x is
// read once and nearly constant channels keep their variance.
#pragma once
#include "ops/cuda/device.cuh"

namespace fiqa::cuda {

struct Moments {
  float count, mean, squares;
};

__device__ __forceinline__ void merge(Moments& a, const Moments& b) {
  const float count = a.count + b.count;
  if (count == 0.f) return;
  const float delta = b.mean - a.mean, weight = b.count / count;
  a.mean += delta * weight;
  a.squares += b.squares + delta * delta * a.count * weight;
  a.count = count;
}

// Moments of K values that lie in registers. Summed as distances to the first, so that equal values
// have exactly their own mean and no variance: a constant channel's standard deviation is 0.
template <int K>
__device__ __forceinline__ Moments moments_of(const float (&values)[K]) {
  float distance = 0.f;
#pragma unroll
  for (int k = 1; k < K; ++k) distance += values[k] - values[0];
  const float mean = values[0] + distance * (1.f / K);
  float squares = 0.f;
#pragma unroll
  for (int k = 0; k < K; ++k) squares += (values[k] - mean) * (values[k] - mean);
  return {static_cast<float>(K), mean, squares};
}

// Merges over the warp; every lane gets the whole.
__device__ __forceinline__ Moments warp_merge(Moments m) {
#pragma unroll
  for (int offset = kWarp / 2; offset > 0; offset /= 2) {
    merge(m, {__shfl_xor_sync(0xffffffffu, m.count, offset),
              __shfl_xor_sync(0xffffffffu, m.mean, offset),
              __shfl_xor_sync(0xffffffffu, m.squares, offset)});
  }
  return m;
}

}  // namespace fiqa::cuda
