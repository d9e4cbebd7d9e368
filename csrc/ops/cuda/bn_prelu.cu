// CUDA kernels of fiqa_fast::bn_prelu: one pass over each tensor, and where moments or sums are
// wanted a small kernel that finishes them. See tile.cuh for who does what.
#include "ops/bn_prelu.h"
#include "ops/cuda/tile_moments.cuh"
#include "ops/cuda/tile_sums.cuh"

namespace fiqa::cuda {
namespace {

template <bool MOMENTS>
constexpr int kForwardChunk = MOMENTS ? kGatherChunk : kStreamChunk;

template <typename T, int V, bool MOMENTS>
__global__ void __launch_bounds__(kBlock, kMinBlocks)
    bn_prelu_forward(BnPrelu a, MomentsOut moments) {
  using Shape = Tile<T, V, kForwardChunk<MOMENTS>>;
  using Floats = Statistics<Shape, V>;
  constexpr int G = Floats::G;
  FIQA_SHARED(Floats, statistics, [3]);
  FIQA_SHARED(Weights<Shape>, weights, [1]);
  const Shape tile(a.HW, a.C);
  statistics[0].fill(tile, a.scale, 0, 1.f);
  statistics[1].fill(tile, a.shift, 0, 0.f);
  statistics[2].fill(tile, a.slope, 0, 1.f);
  if constexpr (MOMENTS) weights[0].fill();
  __syncthreads();

  ChannelMoments<V> of_x{};
  if (tile.has_channels()) {
    tile.for_pixels_ahead({a.x}, [&](int pixel, auto& packs) {
      if constexpr (MOMENTS) {
        const float weight = weights[0].of[tile.before(pixel)];
#pragma unroll
        for (int v = 0; v < V; ++v) gather(of_x, v, load<T>(packs[0].at[v]), weight);
      }
#pragma unroll
      for (int g = 0; g < V / G; ++g) {
        const Pack<float, G> scale = statistics[0].of(g, pixel);
        const Pack<float, G> shift = statistics[1].of(g, pixel);
        const Pack<float, G> slope = statistics[2].of(g, pixel);
#pragma unroll
        for (int i = 0; i < G; ++i) {
          const int v = g * G + i;
          const float x = load<T>(packs[0].at[v]), z = scale.at[i] * x + shift.at[i];
          packs[0].at[v] = store<T>(z > 0.f ? z : slope.at[i] * z);
        }
      }
      tile.store(a.y, pixel, packs[0]);
    });
  }
  if constexpr (MOMENTS) write_moments(tile, of_x, moments, a.HW);
}

template <typename T, int V>
__global__ void __launch_bounds__(kBlock, kMinBlocks)
    bn_prelu_backward(BnPreluBackward a, float* partial_sums) {
  using Shape = Tile<T, V, kStreamChunk>;
  using Floats = Statistics<Shape, V>;
  constexpr int G = Floats::G;
  FIQA_SHARED(Floats, statistics, [5]);
  const Shape tile(a.HW, a.C);
  statistics[0].fill(tile, a.scale, 0, 1.f);
  statistics[1].fill(tile, a.shift, 0, 0.f);
  statistics[2].fill(tile, a.slope, 0, 1.f);
  statistics[3].fill(tile, a.terms.first, tile.n * a.terms.stride, 0.f);
  statistics[4].fill(tile, a.terms.second, tile.n * a.terms.stride, 0.f);
  __syncthreads();

  float sum = 0.f;
  if (tile.has_channels()) {
    tile.for_pixels_ahead({a.grad, a.x}, [&](int pixel, auto& packs) {
#pragma unroll
      for (int g = 0; g < V / G; ++g) {
        const Pack<float, G> scale = statistics[0].of(g, pixel);
        const Pack<float, G> shift = statistics[1].of(g, pixel);
        const Pack<float, G> slope = statistics[2].of(g, pixel);
        const Pack<float, G> term_a = statistics[3].of(g, pixel);
        const Pack<float, G> term_b = statistics[4].of(g, pixel);
#pragma unroll
        for (int i = 0; i < G; ++i) {
          const int v = g * G + i;
          const float grad = load<T>(packs[0].at[v]), x = load<T>(packs[1].at[v]);
          const float z = scale.at[i] * x + shift.at[i];
          const float through = z > 0.f ? grad : slope.at[i] * grad;
          sum += fabsf(grad);
          packs[0].at[v] = store<T>(scale.at[i] * through + (term_a.at[i] + term_b.at[i] * x));
        }
      }
      tile.store(a.grad_x, pixel, packs[0]);
    });
  }
  write_sum(sum, partial_sums);
}

template <typename T, int V, bool MOMENTS>
int launch_forward(const BnPrelu& a, const MomentsOut& moments, void* stream) {
  using Shape = Tile<T, V, kForwardChunk<MOMENTS>>;
  const dim3 grid(static_cast<unsigned>(a.N * Shape::of_sample(a.HW, a.C)));
  return FIQA_LAUNCH((bn_prelu_forward<T, V, MOMENTS>), grid, dim3(kBlock), stream, a, moments);
}

template <typename T>
int forward(const BnPrelu& a, float* workspace, void* stream) {
  constexpr int V = 16 / sizeof(T);
  const bool packed = a.C % V == 0 && all_aligned({a.x, a.y});
  const MomentsOut moments{a.moments, workspace};
  if (a.moments.first == nullptr) {
    return packed ? launch_forward<T, V, false>(a, moments, stream)
                  : launch_forward<T, 1, false>(a, moments, stream);
  }
  const int error = packed ? launch_forward<T, V, true>(a, moments, stream)
                           : launch_forward<T, 1, true>(a, moments, stream);
  if (error != 0) return error;
  return finish_moments(moments, moments, moments, 1, a.N, a.HW, a.C, stream);
}

template <typename T, int V>
int launch_backward(const BnPreluBackward& a, float* workspace, void* stream) {
  float* partial = a.abs_sum == nullptr ? nullptr : workspace;
  const int64_t tiles = Tile<T, V, kStreamChunk>::of_sample(a.HW, a.C);
  const int error = FIQA_LAUNCH((bn_prelu_backward<T, V>), dim3(static_cast<unsigned>(a.N * tiles)),
                                dim3(kBlock), stream, a, partial);
  if (error != 0) return error;
  return finish_sums(partial, a.abs_sum, a.N, tiles, stream);
}

template <typename T>
int backward(const BnPreluBackward& a, float* workspace, void* stream) {
  constexpr int V = 16 / sizeof(T);
  const bool packed = a.C % V == 0 && all_aligned({a.grad, a.x, a.grad_x});
  return packed ? launch_backward<T, V>(a, workspace, stream)
                : launch_backward<T, 1>(a, workspace, stream);
}

}  // namespace
}  // namespace fiqa::cuda

using namespace fiqa::cuda;  // NOLINT: the launchers below have C names

extern "C" int64_t fiqa_cuda_bn_prelu_workspace(const fiqa::BnPrelu* a) {
  return partial_moments_size(a->moments, a->N, a->HW, a->C);
}

extern "C" int fiqa_cuda_bn_prelu(fiqa::DType dtype, const fiqa::BnPrelu* a, float* workspace,
                                  void* stream) {
  if (a->N == 0) return 0;
  FIQA_DISPATCH_ELEMENT(dtype, forward<T>(*a, workspace, stream));
}

extern "C" int64_t fiqa_cuda_bn_prelu_backward_workspace(const fiqa::BnPreluBackward* a) {
  return partial_sums_size(a->abs_sum, a->N, a->HW, a->C);
}

extern "C" int fiqa_cuda_bn_prelu_backward(fiqa::DType dtype, const fiqa::BnPreluBackward* a,
                                           float* workspace, void* stream) {
  if (a->N == 0) return 0;
  FIQA_DISPATCH_ELEMENT(dtype, backward<T>(*a, workspace, stream));
}
