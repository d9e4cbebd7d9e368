// CPU kernels of fiqa_fast::prelu_difference: one pass over each tensor. The copies of an image run
// one after the other over a chunk of pixels, so that what they share stays in the cache.
#include "ops/prelu_difference.h"

#include <torch/csrc/stable/ops.h>

#include "ops/cpu/chunks.h"
#include "ops/cpu/lanes.h"
#include "ops/cpu/prelu_difference_avx512.h"

namespace fiqa::cpu {
namespace {

constexpr int kBits = 8;  // of a byte of the mask, and channels at a time

template <typename T>
FIQA_INLINE void forward_tasks(const PreluDifference& a, int64_t begin, int64_t end) {
  using A = compute_t<T>;
  const A* scale = static_cast<const A*>(a.scale);
  const A* shift = static_cast<const A*>(a.shift);
  const A* slope = static_cast<const A*>(a.slope);
  const int64_t chunks = chunks_of(a.HW);
  for (int64_t task = begin; task < end; ++task) {
    const int64_t n = task / chunks, first = task % chunks * kChunk;
    const int64_t last = std::min(first + kChunk, a.HW);
    for (int64_t copy = n * a.k; copy < (n + 1) * a.k; ++copy) {
      for (int64_t p = first; p < last; ++p) {
        const T* x = static_cast<const T*>(a.x) + (n * a.HW + p) * a.C;
        const int64_t at = (copy * a.HW + p) * a.C;
        const T* d = static_cast<const T*>(a.d) + at;
        T* out = static_cast<T*>(a.out) + at;
        for (int64_t c = 0; c < a.C; c += kBits) {
          unsigned bits = 0;
          for (int i = 0; i < kBits; ++i) {
            const A z = scale[c + i] * load(x[c + i]) + shift[c + i], delta = load(d[c + i]);
            const A moved = z + delta, s = slope[c + i];
            const A crossed = (moved > 0 ? moved : s * moved) - (z > 0 ? z : s * z);
            const A straight = moved > 0 ? delta : s * delta;
            out[c + i] = store<T>((moved > 0) == (z > 0) ? straight : crossed);
            bits |= static_cast<unsigned>(moved > 0) << i;
          }
          if (a.mask != nullptr) a.mask[(at + c) / kBits] = static_cast<uint8_t>(bits);
        }
      }
    }
  }
}
FIQA_VECTORIZE_BY_DTYPE(forward_tasks, PreluDifference)

template <typename T>
FIQA_INLINE void backward_tasks(const PreluDifferenceBackward& a, int64_t begin, int64_t end) {
  using A = compute_t<T>;
  const A* slope = static_cast<const A*>(a.slope);
  for (int64_t pixel = begin; pixel < end; ++pixel) {
    const T* grad = static_cast<const T*>(a.grad) + pixel * a.C;
    T* grad_d = static_cast<T*>(a.grad_d) + pixel * a.C;
    for (int64_t c = 0; c < a.C; ++c) {
      const bool passes = (a.mask[(pixel * a.C + c) / kBits] >> (c % kBits)) & 1;
      grad_d[c] = store<T>(passes ? load(grad[c]) : slope[c] * load(grad[c]));
    }
  }
}
FIQA_VECTORIZE_BY_DTYPE(backward_tasks, PreluDifferenceBackward)

}  // namespace

void prelu_difference(DType dtype, const PreluDifference& a) {
  const auto loop =
      avx512::fits(dtype, a.C) ? avx512::forward[dtype] : forward_tasks_by_dtype[dtype];
  torch::stable::parallel_for(0, a.N * chunks_of(a.HW), 1,
                              [&](int64_t begin, int64_t end) { loop(a, begin, end); });
}

void prelu_difference_backward(DType dtype, const PreluDifferenceBackward& a) {
  const auto loop =
      avx512::fits(dtype, a.C) ? avx512::backward[dtype] : backward_tasks_by_dtype[dtype];
  torch::stable::parallel_for(0, a.N * a.HW, kChunk,
                              [&](int64_t begin, int64_t end) { loop(a, begin, end); });
}

}  // namespace fiqa::cpu
