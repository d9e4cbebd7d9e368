// CPU kernels of fiqa_fast::bn_prelu: one pass over each tensor, 64 channels at a time, their
// parameters and moments in registers.
#include "ops/bn_prelu.h"

#include <torch/csrc/stable/ops.h>

#include "ops/cpu/chunks.h"
#include "ops/cpu/moment_lanes.h"

namespace fiqa::cpu {
namespace {

struct Forward {
  BnPrelu op;
  void* partials;  // PartialMoments
};

template <typename T, int V, bool kMoments>
FIQA_INLINE void forward_channels(const Forward& f, int64_t task, int64_t c0, int64_t count) {
  using A = compute_t<T>;
  using L = lanes_t<T>;
  const BnPrelu& a = f.op;
  const int64_t chunks = chunks_of(a.HW), n = task / chunks, chunk = task % chunks;
  const int64_t pixels = std::min(kChunk, a.HW - chunk * kChunk);
  const int64_t offset = (n * a.HW + chunk * kChunk) * a.C + c0;
  const T* x = static_cast<const T*>(a.x) + offset;
  T* y = static_cast<T*>(a.y) + offset;
  L scale[V], shift[V], slope[V];
  MomentLanes<T> moments[V];
#pragma GCC unroll 4
  for (int v = 0; v < V; ++v) {
    const int64_t c = c0 + v * kLanes;
    scale[v] = channel_lanes<A>(a.scale, c, count, 1);
    shift[v] = channel_lanes<A>(a.shift, c, count, 0);
    slope[v] = channel_lanes<A>(a.slope, c, count, 1);
    if constexpr (kMoments) moments[v].start(typical_lanes(x + v * kLanes, pixels, a.C, count));
  }
  for (int64_t p = 0; p < pixels; ++p, x += a.C, y += a.C) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      const L value = load_lanes(x + v * kLanes, count);
      if constexpr (kMoments) moments[v].add(value);
      const L z = scale[v] * value + shift[v];
      store_lanes(y + v * kLanes, z > 0 ? z : slope[v] * z, count);
    }
  }
  if constexpr (kMoments) {
    write_moments(moments, f.partials, task, pixels, c0, count);
  }
}

template <typename T, bool kMoments>
FIQA_INLINE void forward_tasks(const Forward& f, int64_t begin, int64_t end) {
  for (int64_t task = begin; task < end; ++task) {
    int64_t c = 0;
    for (; c + 4 * kLanes <= f.op.C; c += 4 * kLanes) {
      forward_channels<T, 4, kMoments>(f, task, c, kLanes);
    }
    for (; c < f.op.C; c += kLanes) {
      forward_channels<T, 1, kMoments>(f, task, c, f.op.C - c);
    }
  }
}
template <typename T>
FIQA_INLINE void plain(const Forward& f, int64_t begin, int64_t end) {
  forward_tasks<T, false>(f, begin, end);
}
template <typename T>
FIQA_INLINE void with_moments(const Forward& f, int64_t begin, int64_t end) {
  forward_tasks<T, true>(f, begin, end);
}
FIQA_VECTORIZE_BY_DTYPE(plain, Forward)
FIQA_VECTORIZE_BY_DTYPE(with_moments, Forward)

template <typename A>
void forward(DType dtype, const BnPrelu& a) {
  const bool wanted = a.moments.first != nullptr;
  PartialMoments<A> partials(wanted, a.N, a.HW, a.C);
  const Forward f{a, &partials};
  const auto loop = wanted ? with_moments_by_dtype[dtype] : plain_by_dtype[dtype];
  torch::stable::parallel_for(0, a.N * chunks_of(a.HW), 1,
                              [&](int64_t begin, int64_t end) { loop(f, begin, end); });
  partials.finish(a.moments, a.N);
}

struct Backward {
  BnPreluBackward op;
  PartialSums* sums;
};

template <typename T, int V>
FIQA_INLINE double backward_channels(const BnPreluBackward& a, int64_t task, int64_t c0,
                                     int64_t count) {
  using A = compute_t<T>;
  using L = lanes_t<T>;
  const int64_t chunks = chunks_of(a.HW), n = task / chunks, chunk = task % chunks;
  const int64_t pixels = std::min(kChunk, a.HW - chunk * kChunk);
  const int64_t offset = (n * a.HW + chunk * kChunk) * a.C + c0;
  const T* grad = static_cast<const T*>(a.grad) + offset;
  const T* x = static_cast<const T*>(a.x) + offset;
  T* grad_x = static_cast<T*>(a.grad_x) + offset;
  L scale[V], shift[V], slope[V], term_a[V], term_b[V], sum[V];
#pragma GCC unroll 4
  for (int v = 0; v < V; ++v) {
    const int64_t c = c0 + v * kLanes;
    scale[v] = channel_lanes<A>(a.scale, c, count, 1);
    shift[v] = channel_lanes<A>(a.shift, c, count, 0);
    slope[v] = channel_lanes<A>(a.slope, c, count, 1);
    term_a[v] = channel_lanes<A>(a.terms.first, n * a.terms.stride + c, count, 0);
    term_b[v] = channel_lanes<A>(a.terms.second, n * a.terms.stride + c, count, 0);
    sum[v] = L{};
  }
  for (int64_t p = 0; p < pixels; ++p, grad += a.C, x += a.C, grad_x += a.C) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      const L g = load_lanes(grad + v * kLanes, count), value = load_lanes(x + v * kLanes, count);
      sum[v] += magnitude(g);
      const L z = scale[v] * value + shift[v];
      const L through = z > 0 ? g : slope[v] * g;
      store_lanes(grad_x + v * kLanes, scale[v] * through + (term_a[v] + term_b[v] * value), count);
    }
  }
  double total = 0;
  for (int v = 0; v < V; ++v) total += sum_of(sum[v]);
  return total;
}

template <typename T>
FIQA_INLINE void backward_tasks(const Backward& b, int64_t begin, int64_t end) {
  for (int64_t task = begin; task < end; ++task) {
    double total = 0;
    int64_t c = 0;
    for (; c + 4 * kLanes <= b.op.C; c += 4 * kLanes) {
      total += backward_channels<T, 4>(b.op, task, c, kLanes);
    }
    for (; c < b.op.C; c += kLanes) total += backward_channels<T, 1>(b.op, task, c, b.op.C - c);
    if (double* sum = b.sums->of(task)) *sum = total;
  }
}
FIQA_VECTORIZE_BY_DTYPE(backward_tasks, Backward)

}  // namespace

void bn_prelu(DType dtype, const BnPrelu& arguments) {
  dtype == kFloat64 ? forward<double>(dtype, arguments) : forward<float>(dtype, arguments);
}

void bn_prelu_backward(DType dtype, const BnPreluBackward& a) {
  PartialSums sums(a.abs_sum != nullptr, a.N, a.HW);
  const Backward b{a, &sums};
  torch::stable::parallel_for(0, a.N * chunks_of(a.HW), 1, [&](int64_t begin, int64_t end) {
    backward_tasks_by_dtype[dtype](b, begin, end);
  });
  dtype == kFloat64 ? sums.finish(static_cast<double*>(a.abs_sum), a.N)
                    : sums.finish(static_cast<float*>(a.abs_sum), a.N);
}

}  // namespace fiqa::cpu
