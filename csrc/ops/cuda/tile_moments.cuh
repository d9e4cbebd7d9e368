// Moments of channels, gathered tile by tile while an activation streams by: each thread's are
// merged over the block, and those of the chunks by a kernel of its own, always in the same order.
#pragma once
#include "ops/cuda/moments.cuh"
#include "ops/cuda/tile.cuh"
#include "ops/rows.h"

namespace fiqa::cuda {

// Where the moments of one activation go. Without rows they are not wanted. A sample of one chunk
// writes its rows at once, else `partial` takes mean and sum of squared distances of each chunk.
struct MomentsOut {
  Rows rows;
  float* partial;  // [N, chunks, 2, C]
};

// Moments of V channels of a thread: they share their count, and with it the division of a merge.
template <int V>
struct ChannelMoments {
  float mean[V], squares[V];
};

// 1, 1/2, 1/3, ...: how a thread's next value weighs against those before it, in every channel. In
// shared memory, because a division among so many numbers in registers makes them spill.
template <typename Shape>
struct Weights {
  static constexpr int kValues = kGatherChunk / Shape::kRows;
  float of[kValues];

  // A barrier must follow.
  __device__ __forceinline__ void fill() {
    const int i = threadIdx.x;
    if (i < kValues) of[i] = 1.f / static_cast<float>(i + 1);
  }
};

// What a value adds to the squares, at this distance from the mean of the values before it.
__device__ __forceinline__ float spread(float delta, float weight) {
  return delta * (delta - delta * weight);  // 0 for the first value: its weight is 1
}

// merge() of moments.cuh for one value of channel v. Returns its distance from the mean before.
template <int V>
__device__ __forceinline__ float gather(ChannelMoments<V>& m, int v, float value, float weight) {
  const float delta = value - m.mean[v];
  m.squares[v] += spread(delta, weight);
  m.mean[v] += delta * weight;
  return delta;
}

inline int64_t gather_chunks(int64_t HW) { return ceil_div(HW, kGatherChunk); }

// Floats behind one `partial`.
inline int64_t partial_moments_size(const Rows& rows, int64_t N, int64_t HW, int64_t C) {
  const int64_t chunks = gather_chunks(HW);
  return rows.first == nullptr || chunks == 1 ? 0 : N * chunks * 2 * C;
}

__device__ __forceinline__ void write_row(const Rows& rows, int64_t n, int64_t c, const Moments& m,
                                          int64_t HW) {
  static_cast<float*>(rows.first)[n * rows.stride + c] = m.mean;
  static_cast<float*>(rows.second)[n * rows.stride + c] = m.squares / static_cast<float>(HW);
}

// Merges m, which each thread has of its channels, over the rows of the block. Every thread of the
// block must come here. Shared memory is written 16 bytes a thread and read by adjacent threads at
// adjacent floats, so that no bank is asked twice.
template <typename T, int V>
__device__ __forceinline__ void write_moments(const Tile<T, V, kGatherChunk>& tile,
                                              const ChannelMoments<V>& m, const MomentsOut& out,
                                              int64_t HW) {
  using Shape = Tile<T, V, kGatherChunk>;
  constexpr int G = V < 4 ? V : 4;
  constexpr int kParts = kBlock / Shape::kChannels;  // threads that share the rows of a channel
  constexpr int kRowsOfPart = Shape::kRows / kParts;
  using Group = Pack<float, G>;
  if (out.rows.first == nullptr) return;
  FIQA_SHARED(Group, means, [V / G][kBlock]);
  FIQA_SHARED(Group, squares, [V / G][kBlock]);
  FIQA_SHARED(Moments, of_parts, [kBlock]);
  const unsigned thread = threadIdx.x;
#pragma unroll
  for (int g = 0; g < V / G; ++g) {
    Group mean, square;
#pragma unroll
    for (int i = 0; i < G; ++i) {
      mean.at[i] = m.mean[g * G + i];
      square.at[i] = m.squares[g * G + i];
    }
    means[g][thread] = mean;
    squares[g][thread] = square;
  }
  __syncthreads();

  const unsigned part = thread / Shape::kChannels, place = thread % Shape::kChannels;
  const unsigned g = place / (Shape::kLanes * G), lane = place / G % Shape::kLanes, i = place % G;
  Moments whole{0.f, 0.f, 0.f};
#pragma unroll 1
  for (int row = part * kRowsOfPart; row < (part + 1) * kRowsOfPart; ++row) {
    const int count = row < tile.pixels ? (tile.pixels - row - 1) / Shape::kRows + 1 : 0;
    const int slot = row * Shape::kLanes + lane;
    merge(whole, {static_cast<float>(count), means[g][slot].at[i], squares[g][slot].at[i]});
  }
  of_parts[thread] = whole;
  __syncthreads();

  const int c = tile.first_channel() + Shape::template channel_of_float<G>(place);
  if (part != 0 || c >= tile.C) return;
#pragma unroll 1
  for (int other = 1; other < kParts; ++other) {
    merge(whole, of_parts[other * Shape::kChannels + place]);
  }
  const int chunks = static_cast<int>(ceil_div(HW, kGatherChunk));
  if (chunks == 1) {
    write_row(out.rows, tile.n, c, whole, HW);
  } else {
    float* partial = out.partial + (tile.n * chunks + tile.chunk) * 2 * tile.C + c;
    partial[0] = whole.mean;
    partial[tile.C] = whole.squares;
  }
}

namespace {

// One thread for each sample and channel. Grid: (ceil(N * C / kBlock), activations).
__global__ void __launch_bounds__(kBlock)
    merge_chunks(MomentsOut first, MomentsOut second, MomentsOut third, int64_t N, int64_t HW,
                 int64_t C) {
  const MomentsOut out = blockIdx.y == 0 ? first : blockIdx.y == 1 ? second : third;
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kBlock + threadIdx.x;
  if (i >= N * C || out.rows.first == nullptr) return;
  const int64_t n = i / C, c = i % C;
  const int chunks = static_cast<int>(ceil_div(HW, kGatherChunk));
  const float* partial = out.partial + n * chunks * 2 * C + c;
  Moments whole{0.f, 0.f, 0.f};
#pragma unroll 4
  for (int chunk = 0; chunk < chunks; ++chunk) {
    const int pixels = min(kGatherChunk, static_cast<int>(HW) - chunk * kGatherChunk);
    merge(whole, {static_cast<float>(pixels), partial[0], partial[C]});
    partial += 2 * C;
  }
  write_row(out.rows, n, c, whole, HW);
}

// Launches merge_chunks where samples have several chunks.
inline int finish_moments(const MomentsOut& first, const MomentsOut& second,
                          const MomentsOut& third, int activations, int64_t N, int64_t HW,
                          int64_t C, void* stream) {
  if (gather_chunks(HW) == 1) return 0;
  const dim3 grid(static_cast<unsigned>(ceil_div(N * C, kBlock)),
                  static_cast<unsigned>(activations));
  return FIQA_LAUNCH(merge_chunks, grid, dim3(kBlock), stream, first, second, third, N, HW, C);
}

}  // namespace
}  // namespace fiqa::cuda
