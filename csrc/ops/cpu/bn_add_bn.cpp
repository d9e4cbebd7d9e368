// CPU kernels of fiqa_fast::bn_add_bn: one pass over each tensor, as many channels at a time as
// parameters and moments fit into registers.
#include "ops/bn_add_bn.h"

#include <torch/csrc/stable/ops.h>

#include "ops/cpu/chunks.h"
#include "ops/cpu/moment_lanes.h"

namespace fiqa::cpu {
namespace {

struct Forward {
  BnAddBn op;
  void *x_partials, *skip_partials, *y_partials;  // PartialMoments
};

template <typename T, int V, bool kMoments>
FIQA_INLINE void forward_channels(const Forward& f, int64_t task, int64_t c0, int64_t count) {
  using A = compute_t<T>;
  using L = lanes_t<T>;
  const BnAddBn& a = f.op;
  const int64_t chunks = chunks_of(a.HW), n = task / chunks, chunk = task % chunks;
  const int64_t pixels = std::min(kChunk, a.HW - chunk * kChunk);
  const int64_t offset = (n * a.HW + chunk * kChunk) * a.C + c0;
  const T* x = static_cast<const T*>(a.x) + offset;
  const T* skip = static_cast<const T*>(a.skip) + offset;
  T* y = static_cast<T*>(a.y) + offset;
  T* next = a.next == nullptr ? nullptr : static_cast<T*>(a.next) + offset;
  L scale[V], shift[V], skip_scale[V], next_scale[V], next_shift[V];
  MomentLanes<T> of_x[V], of_skip[V], of_y[V];
#pragma GCC unroll 2
  for (int v = 0; v < V; ++v) {
    const int64_t c = c0 + v * kLanes;
    scale[v] = channel_lanes<A>(a.scale, c, count, 1);
    skip_scale[v] = channel_lanes<A>(a.skip_scale, c, count, 1);
    shift[v] = channel_lanes<A>(a.shift, c, count, 0) + channel_lanes<A>(a.skip_shift, c, count, 0);
    next_scale[v] = channel_lanes<A>(a.next_scale, c, count, 1);
    next_shift[v] = channel_lanes<A>(a.next_shift, c, count, 0);
    if constexpr (kMoments) {
      const L typical = typical_lanes(x + v * kLanes, pixels, a.C, count);
      const L typical_skip = typical_lanes(skip + v * kLanes, pixels, a.C, count);
      of_x[v].start(typical);
      of_skip[v].start(typical_skip);
      of_y[v].start(scale[v] * typical + (skip_scale[v] * typical_skip + shift[v]));
    }
  }
  for (int64_t p = 0; p < pixels; ++p) {
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) {
      const int64_t at = p * a.C + v * kLanes;
      const L value = load_lanes(x + at, count), skipped = load_lanes(skip + at, count);
      const L sum = scale[v] * value + (skip_scale[v] * skipped + shift[v]);
      if constexpr (kMoments) {
        of_x[v].add(value);
        of_skip[v].add(skipped);
        of_y[v].add(sum);
      }
      store_lanes(y + at, sum, count);
      if (next != nullptr) store_lanes(next + at, next_scale[v] * sum + next_shift[v], count);
    }
  }
  if constexpr (kMoments) {
    write_moments(of_x, f.x_partials, task, pixels, c0, count);
    write_moments(of_skip, f.skip_partials, task, pixels, c0, count);
    write_moments(of_y, f.y_partials, task, pixels, c0, count);
  }
}

template <typename T, bool kMoments>
FIQA_INLINE void forward_tasks(const Forward& f, int64_t begin, int64_t end) {
  for (int64_t task = begin; task < end; ++task) {
    int64_t c = 0;
    for (; c + 2 * kLanes <= f.op.C; c += 2 * kLanes) {
      forward_channels<T, 2, kMoments>(f, task, c, kLanes);
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
void forward(DType dtype, const BnAddBn& a) {
  PartialMoments<A> of_x(a.x_moments.first != nullptr, a.N, a.HW, a.C);
  PartialMoments<A> of_skip(a.skip_moments.first != nullptr, a.N, a.HW, a.C);
  PartialMoments<A> of_y(a.y_moments.first != nullptr, a.N, a.HW, a.C);
  const Forward f{a, &of_x, &of_skip, &of_y};
  const bool wanted = a.x_moments.first != nullptr || a.skip_moments.first != nullptr ||
                      a.y_moments.first != nullptr;
  const auto loop = wanted ? with_moments_by_dtype[dtype] : plain_by_dtype[dtype];
  torch::stable::parallel_for(0, a.N * chunks_of(a.HW), 1,
                              [&](int64_t begin, int64_t end) { loop(f, begin, end); });
  of_x.finish(a.x_moments, a.N);
  of_skip.finish(a.skip_moments, a.N);
  of_y.finish(a.y_moments, a.N);
}

struct Backward {
  BnAddBnBackward op;
  PartialSums* sums;
};

template <typename T, int V>
FIQA_INLINE double backward_channels(const BnAddBnBackward& a, int64_t task, int64_t c0,
                                     int64_t count) {
  using A = compute_t<T>;
  using L = lanes_t<T>;
  const int64_t chunks = chunks_of(a.HW), n = task / chunks, chunk = task % chunks;
  const int64_t pixels = std::min(kChunk, a.HW - chunk * kChunk);
  const int64_t offset = (n * a.HW + chunk * kChunk) * a.C + c0;
  const auto at_offset = [offset](const void* p) {
    return p == nullptr ? nullptr : static_cast<const T*>(p) + offset;
  };
  const T *grad = at_offset(a.grad), *other = at_offset(a.other), *y = at_offset(a.y),
          *x = at_offset(a.x);
  T* total = static_cast<T*>(a.total) + offset;
  T* grad_x = a.grad_x == nullptr ? nullptr : static_cast<T*>(a.grad_x) + offset;
  L scale[V], y_a[V], y_b[V], x_a[V], x_b[V], sum[V];
#pragma GCC unroll 4
  for (int v = 0; v < V; ++v) {
    const int64_t c = c0 + v * kLanes;
    scale[v] = channel_lanes<A>(a.scale, c, count, 1);
    y_a[v] = channel_lanes<A>(a.y_terms.first, n * a.y_terms.stride + c, count, 0);
    y_b[v] = channel_lanes<A>(a.y_terms.second, n * a.y_terms.stride + c, count, 0);
    x_a[v] = channel_lanes<A>(a.x_terms.first, n * a.x_terms.stride + c, count, 0);
    x_b[v] = channel_lanes<A>(a.x_terms.second, n * a.x_terms.stride + c, count, 0);
    sum[v] = L{};
  }
  for (int64_t p = 0; p < pixels; ++p) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      const int64_t at = p * a.C + v * kLanes;
      L g = y_a[v];
      if (grad != nullptr) g += load_lanes(grad + at, count);
      if (other != nullptr) g += load_lanes(other + at, count);
      if (y != nullptr) g += y_b[v] * load_lanes(y + at, count);
      sum[v] += magnitude(g);
      store_lanes(total + at, g, count);
      if (grad_x == nullptr) continue;
      const L from_x = x_a[v] + x_b[v] * load_lanes(x + at, count);
      store_lanes(grad_x + at, scale[v] * g + from_x, count);
    }
  }
  double whole = 0;
  for (int v = 0; v < V; ++v) whole += sum_of(sum[v]);
  return whole;
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

void bn_add_bn(DType dtype, const BnAddBn& arguments) {
  dtype == kFloat64 ? forward<double>(dtype, arguments) : forward<float>(dtype, arguments);
}

void bn_add_bn_backward(DType dtype, const BnAddBnBackward& a) {
  PartialSums sums(a.abs_sum != nullptr, a.N, a.HW);
  const Backward b{a, &sums};
  torch::stable::parallel_for(0, a.N * chunks_of(a.HW), 1, [&](int64_t begin, int64_t end) {
    backward_tasks_by_dtype[dtype](b, begin, end);
  });
  dtype == kFloat64 ? sums.finish(static_cast<double*>(a.abs_sum), a.N)
                    : sums.finish(static_cast<float*>(a.abs_sum), a.N);
}

}  // namespace fiqa::cpu
