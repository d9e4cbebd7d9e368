// Moments of sixteen channels over the pixels of a chunk, as they stream by.
#pragma once
#include "ops/cpu/chunks.h"
#include "ops/cpu/lanes.h"

namespace fiqa::cpu {

// Sums distances to a value of their middle (`typical_lanes`), so that equal values have exactly
// their own mean and no variance, and a large mean costs no digits.
template <typename T>
struct MomentLanes {
  using L = lanes_t<T>;
  L centre, sum, square;

  FIQA_INLINE void start(L value) {
    centre = value;
    sum = square = L{};
  }
  FIQA_INLINE void add(L value) {
    const L d = value - centre;
    sum += d;
    square += d * d;
  }
  // Writes what PartialMoments keeps of `pixels` values.
  FIQA_INLINE void write(int64_t pixels, PartialMoments<compute_t<T>>& partials, int64_t task,
                         int64_t c0, int64_t count) const {
    using Partials = PartialMoments<compute_t<T>>;
    if (partials.of(Partials::kMiddle, task, c0) == nullptr) return;
    const L average = sum / static_cast<compute_t<T>>(pixels);
    store_lanes(partials.of(Partials::kMiddle, task, c0), centre, count);
    store_lanes(partials.of(Partials::kRest, task, c0), average, count);
    store_lanes(partials.of(Partials::kSquares, task, c0), square - sum * average, count);
  }
};

// The average of four pixels of a chunk at x: four equal values have exactly their own.
template <typename T>
FIQA_INLINE lanes_t<T> typical_lanes(const T* x, int64_t pixels, int64_t C, int64_t count) {
  const lanes_t<T> first = load_lanes(x, count), second = load_lanes(x + pixels / 4 * C, count);
  const lanes_t<T> third = load_lanes(x + pixels / 2 * C, count);
  const lanes_t<T> fourth = load_lanes(x + 3 * pixels / 4 * C, count);
  return ((first + second) + (third + fourth)) * compute_t<T>(0.25);
}

// Writes the moments of V * kLanes channels from c0 on, of chunk `task` with that many pixels.
template <typename T, int V>
FIQA_INLINE void write_moments(const MomentLanes<T> (&moments)[V], void* partial_moments,
                               int64_t task, int64_t pixels, int64_t c0, int64_t count) {
  auto& partials = *static_cast<PartialMoments<compute_t<T>>*>(partial_moments);
  for (int v = 0; v < V; ++v) {
    const int64_t c = c0 + v * kLanes;
    moments[v].write(pixels, partials, task, c, count);
  }
}

}  // namespace fiqa::cpu
