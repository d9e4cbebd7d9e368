// CPU kernel of fiqa_fast::quantize: one pass, 64 channels at a time, parameters in registers.
#include "ops/quantize.h"

#include <torch/csrc/stable/ops.h>

#include <type_traits>

#include "ops/cpu/chunks.h"
#include "ops/cpu/lanes.h"

namespace fiqa::cpu {
namespace {

using Bytes = uint8_t __attribute__((vector_size(kLanes)));

// In steps of one half each: gcc 12 takes lanes apart to convert words into bytes at once.
FIQA_INLINE Bytes lowest_bytes(Words words) {
  return __builtin_convertvector(__builtin_convertvector(words, Halves), Bytes);
}
FIQA_INLINE Bytes lowest_bytes(LanesOf<float>::type sums) {
  return lowest_bytes(reinterpret_cast<Words>(sums));
}
FIQA_INLINE Bytes lowest_bytes(LanesOf<double>::type sums) {
  using Longs = uint64_t __attribute__((vector_size(kLanes * 8)));
  return lowest_bytes(__builtin_convertvector(reinterpret_cast<Longs>(sums), Words));
}

template <typename L>
FIQA_INLINE Bytes rounded(L values) {
  using A = std::remove_reference_t<decltype(values[0])>;
  // Adding it leaves no bits for a fraction: the sum is rounded to an integer as the processor
  // rounds, and its lowest bits are that integer.
  const A rounder = (sizeof(A) == sizeof(float) ? A(0x1.8p23) : A(0x1.8p52)) + kQuantizedZero;
  const L low = L{} - kQuantizedZero, high = L{} + (255 - kQuantizedZero);
  values = values == values ? values : L{};
  values = values < low ? low : values;
  values = values > high ? high : values;
  return lowest_bytes(values + rounder);
}

FIQA_INLINE void store_bytes(uint8_t* p, Bytes bytes, int64_t count) {
  std::memcpy(p, &bytes, count >= kLanes ? kLanes : count);
}

template <typename T, int V>
FIQA_INLINE void quantize_channels(const Quantize& a, int64_t task, int64_t c0, int64_t count) {
  using A = compute_t<T>;
  using L = lanes_t<T>;
  const int64_t chunks = chunks_of(a.HW), n = task / chunks, chunk = task % chunks;
  const int64_t pixels = std::min(kChunk, a.HW - chunk * kChunk);
  const int64_t offset = (n * a.HW + chunk * kChunk) * a.C + c0;
  const T* x = static_cast<const T*>(a.x) + offset;
  uint8_t* q = a.q + offset;
  L scale[V], shift[V], slope[V];
#pragma GCC unroll 4
  for (int v = 0; v < V; ++v) {
    const int64_t c = c0 + v * kLanes;
    scale[v] = channel_lanes<A>(a.scale, c, count, 1);
    shift[v] = channel_lanes<A>(a.shift, c, count, 0);
    slope[v] = channel_lanes<A>(a.slope, c, count, 1);
  }
  for (int64_t p = 0; p < pixels; ++p, x += a.C, q += a.C) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      const L z = scale[v] * load_lanes(x + v * kLanes, count) + shift[v];
      store_bytes(q + v * kLanes, rounded(z > 0 ? z : slope[v] * z), count);
    }
  }
}

template <typename T>
FIQA_INLINE void quantize_tasks(const Quantize& a, int64_t begin, int64_t end) {
  for (int64_t task = begin; task < end; ++task) {
    int64_t c = 0;
    for (; c + 4 * kLanes <= a.C; c += 4 * kLanes) quantize_channels<T, 4>(a, task, c, kLanes);
    for (; c < a.C; c += kLanes) quantize_channels<T, 1>(a, task, c, a.C - c);
  }
}
FIQA_VECTORIZE_BY_DTYPE(quantize_tasks, Quantize)

}  // namespace

void quantize(DType dtype, const Quantize& a) {
  torch::stable::parallel_for(0, a.N * chunks_of(a.HW), 1, [&](int64_t begin, int64_t end) {
    quantize_tasks_by_dtype[dtype](a, begin, end);
  });
}

}  // namespace fiqa::cpu
