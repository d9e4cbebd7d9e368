// CUDA kernels of fiqa_fast::bn_add_bn: one pass over each tensor, and where moments or sums are
// wanted a small kernel that finishes them. See tile.cuh for who does what.
#include "ops/bn_add_bn.h"
#include "ops/cuda/tile_moments.cuh"
#include "ops/cuda/tile_sums.cuh"

namespace fiqa::cuda {
namespace {

// Three activations' moments are 6 numbers for each channel of a thread. With 8 channels they alone
// would take 48 registers, and half of the multiprocessor would stay empty; so 16-bit types go 8
// bytes at a time there, a whole cache line for 16 threads.
template <typename T, bool MOMENTS>
constexpr int kForwardPack = MOMENTS ? 4 : 16 / sizeof(T);
template <bool MOMENTS>
constexpr int kForwardChunk = MOMENTS ? kGatherChunk : kStreamChunk;

template <typename T, int V, bool MOMENTS>
__global__ void __launch_bounds__(kBlock, kMinBlocks)
    bn_add_bn_forward(BnAddBn a, MomentsOut x_moments, MomentsOut skip_moments,
                      MomentsOut y_moments) {
  using Shape = Tile<T, V, kForwardChunk<MOMENTS>>;
  using Floats = Statistics<Shape, V>;
  constexpr int G = Floats::G;
  FIQA_SHARED(Floats, statistics, [5]);
  FIQA_SHARED(Weights<Shape>, weights, [1]);
  const Shape tile(a.HW, a.C);
  statistics[0].fill(tile, a.scale, 0, 1.f);
  statistics[1].fill(tile, a.shift, 0, 0.f);
  statistics[1].add(tile, a.skip_shift);
  statistics[2].fill(tile, a.skip_scale, 0, 1.f);
  statistics[3].fill(tile, a.next_scale, 0, 1.f);
  statistics[4].fill(tile, a.next_shift, 0, 0.f);
  if constexpr (MOMENTS) weights[0].fill();
  __syncthreads();

  // The mean of y is what y makes of the means of x and skip, so that only its squares are
  // gathered: what is not gathered takes no registers.
  ChannelMoments<V> of_x{}, of_skip{}, of_y{};
  if (tile.has_channels()) {
    const auto one_pixel = [&](int pixel, auto& packs) {
      if constexpr (MOMENTS) {
        const float weight = weights[0].of[tile.before(pixel)];
#pragma unroll
        for (int v = 0; v < V; ++v) {
          const float scale = statistics[0].of(v / G, pixel).at[v % G];
          const float skip_scale = statistics[2].of(v / G, pixel).at[v % G];
          const float from_x = gather(of_x, v, load<T>(packs[0].at[v]), weight);
          const float from_skip = gather(of_skip, v, load<T>(packs[1].at[v]), weight);
          of_y.squares[v] += spread(scale * from_x + skip_scale * from_skip, weight);
        }
      }
#pragma unroll
      for (int g = 0; g < V / G; ++g) {
        const Pack<float, G> scale = statistics[0].of(g, pixel);
        const Pack<float, G> shift = statistics[1].of(g, pixel);
        const Pack<float, G> skip_scale = statistics[2].of(g, pixel);
        const Pack<float, G> next_scale = statistics[3].of(g, pixel);
        const Pack<float, G> next_shift = statistics[4].of(g, pixel);
#pragma unroll
        for (int i = 0; i < G; ++i) {
          const int v = g * G + i;
          const float x = load<T>(packs[0].at[v]), skip = load<T>(packs[1].at[v]);
          const float y = scale.at[i] * x + (skip_scale.at[i] * skip + shift.at[i]);
          packs[0].at[v] = store<T>(y);
          packs[1].at[v] = store<T>(next_scale.at[i] * y + next_shift.at[i]);
        }
      }
      tile.store(a.y, pixel, packs[0]);
      if (a.next != nullptr) tile.store(a.next, pixel, packs[1]);
    };
    if constexpr (MOMENTS && sizeof(T) == 4) {  // no registers for more, and 32 bytes are under way
      tile.template for_pixels<false>({a.x, a.skip}, one_pixel);
    } else {
      tile.for_pixels_ahead({a.x, a.skip}, one_pixel);
    }
    if constexpr (MOMENTS) {
#pragma unroll
      for (int v = 0; v < V; ++v) {
        const float scale = statistics[0].of(v / G, 0).at[v % G];
        const float shift = statistics[1].of(v / G, 0).at[v % G];
        const float skip_scale = statistics[2].of(v / G, 0).at[v % G];
        of_y.mean[v] = scale * of_x.mean[v] + (skip_scale * of_skip.mean[v] + shift);
      }
    }
  }
  if constexpr (MOMENTS) {
    write_moments(tile, of_x, x_moments, a.HW);
    write_moments(tile, of_skip, skip_moments, a.HW);
    write_moments(tile, of_y, y_moments, a.HW);
  }
}

template <typename T, int V>
__global__ void __launch_bounds__(kBlock, kMinBlocks)
    bn_add_bn_backward(BnAddBnBackward a, float* partial_sums) {
  using Shape = Tile<T, V, kStreamChunk>;
  using Floats = Statistics<Shape, V>;
  constexpr int G = Floats::G;
  FIQA_SHARED(Floats, statistics, [5]);
  const Shape tile(a.HW, a.C);
  statistics[0].fill(tile, a.y_terms.first, tile.n * a.y_terms.stride, 0.f);
  statistics[1].fill(tile, a.y_terms.second, tile.n * a.y_terms.stride, 0.f);
  statistics[2].fill(tile, a.scale, 0, 1.f);
  statistics[3].fill(tile, a.x_terms.first, tile.n * a.x_terms.stride, 0.f);
  statistics[4].fill(tile, a.x_terms.second, tile.n * a.x_terms.stride, 0.f);
  __syncthreads();

  float sum = 0.f;
  if (tile.has_channels()) {
    tile.template for_pixels<true>({a.grad, a.other, a.y, a.x}, [&](int pixel, auto& packs) {
#pragma unroll
      for (int g = 0; g < V / G; ++g) {
        const Pack<float, G> y_a = statistics[0].of(g, pixel), y_b = statistics[1].of(g, pixel);
        const Pack<float, G> scale = statistics[2].of(g, pixel);
        const Pack<float, G> x_a = statistics[3].of(g, pixel), x_b = statistics[4].of(g, pixel);
#pragma unroll
        for (int i = 0; i < G; ++i) {
          const int v = g * G + i;
          const float from_y = y_a.at[i] + y_b.at[i] * load<T>(packs[2].at[v]);
          const float from_x = x_a.at[i] + x_b.at[i] * load<T>(packs[3].at[v]);
          const float total = load<T>(packs[0].at[v]) + load<T>(packs[1].at[v]) + from_y;
          sum += fabsf(total);
          packs[0].at[v] = store<T>(total);
          packs[3].at[v] = store<T>(scale.at[i] * total + from_x);
        }
      }
      tile.store(a.total, pixel, packs[0]);
      if (a.grad_x != nullptr) tile.store(a.grad_x, pixel, packs[3]);
    });
  }
  write_sum(sum, partial_sums);
}

template <typename T, int V, bool MOMENTS>
int launch_forward(const BnAddBn& a, const MomentsOut& x, const MomentsOut& skip,
                   const MomentsOut& y, void* stream) {
  using Shape = Tile<T, V, kForwardChunk<MOMENTS>>;
  const dim3 grid(static_cast<unsigned>(a.N * Shape::of_sample(a.HW, a.C)));
  return FIQA_LAUNCH((bn_add_bn_forward<T, V, MOMENTS>), grid, dim3(kBlock), stream, a, x, skip, y);
}

template <typename T, bool MOMENTS>
int forward(const BnAddBn& a, const MomentsOut& x, const MomentsOut& skip, const MomentsOut& y,
            void* stream) {
  constexpr int V = kForwardPack<T, MOMENTS>;
  const bool packed = a.C % V == 0 && all_aligned({a.x, a.skip, a.y, a.next});
  return packed ? launch_forward<T, V, MOMENTS>(a, x, skip, y, stream)
                : launch_forward<T, 1, MOMENTS>(a, x, skip, y, stream);
}

template <typename T>
int forward(const BnAddBn& a, float* workspace, void* stream) {
  const auto size = [&](const Rows& rows) { return partial_moments_size(rows, a.N, a.HW, a.C); };
  const MomentsOut x{a.x_moments, workspace};
  const MomentsOut skip{a.skip_moments, x.partial + size(a.x_moments)};
  const MomentsOut y{a.y_moments, skip.partial + size(a.skip_moments)};
  if (a.x_moments.first == nullptr && a.skip_moments.first == nullptr &&
      a.y_moments.first == nullptr) {
    return forward<T, false>(a, x, skip, y, stream);
  }
  const int error = forward<T, true>(a, x, skip, y, stream);
  if (error != 0) return error;
  return finish_moments(x, skip, y, 3, a.N, a.HW, a.C, stream);
}

template <typename T, int V>
int launch_backward(const BnAddBnBackward& a, float* workspace, void* stream) {
  float* partial = a.abs_sum == nullptr ? nullptr : workspace;
  const int64_t tiles = Tile<T, V, kStreamChunk>::of_sample(a.HW, a.C);
  const int error =
      FIQA_LAUNCH((bn_add_bn_backward<T, V>), dim3(static_cast<unsigned>(a.N * tiles)),
                  dim3(kBlock), stream, a, partial);
  if (error != 0) return error;
  return finish_sums(partial, a.abs_sum, a.N, tiles, stream);
}

template <typename T>
int backward(const BnAddBnBackward& a, float* workspace, void* stream) {
  constexpr int V = 16 / sizeof(T);
  const bool packed = a.C % V == 0 && all_aligned({a.grad, a.other, a.y, a.x, a.total, a.grad_x});
  return packed ? launch_backward<T, V>(a, workspace, stream)
                : launch_backward<T, 1>(a, workspace, stream);
}

}  // namespace
}  // namespace fiqa::cuda

using namespace fiqa::cuda;  // NOLINT: the launchers below have C names

extern "C" int64_t fiqa_cuda_bn_add_bn_workspace(const fiqa::BnAddBn* a) {
  return partial_moments_size(a->x_moments, a->N, a->HW, a->C) +
         partial_moments_size(a->skip_moments, a->N, a->HW, a->C) +
         partial_moments_size(a->y_moments, a->N, a->HW, a->C);
}

extern "C" int fiqa_cuda_bn_add_bn(fiqa::DType dtype, const fiqa::BnAddBn* a, float* workspace,
                                   void* stream) {
  if (a->N == 0) return 0;
  FIQA_DISPATCH_ELEMENT(dtype, forward<T>(*a, workspace, stream));
}

extern "C" int64_t fiqa_cuda_bn_add_bn_backward_workspace(const fiqa::BnAddBnBackward* a) {
  return partial_sums_size(a->abs_sum, a->N, a->HW, a->C);
}

extern "C" int fiqa_cuda_bn_add_bn_backward(fiqa::DType dtype, const fiqa::BnAddBnBackward* a,
                                            float* workspace, void* stream) {
  if (a->N == 0) return 0;
  FIQA_DISPATCH_ELEMENT(dtype, backward<T>(*a, workspace, stream));
}
