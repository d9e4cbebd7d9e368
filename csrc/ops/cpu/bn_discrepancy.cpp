// CPU kernels of fiqa_fast::bn_discrepancy.
//
// Two passes over each (sample, channel): the mean first, then squared distances to it. One pass
// with sum and sum of squares would lose the variance of nearly constant channels to cancellation.
// Sums run in the compute type over short runs, and those are added in double: exact to a few ulp
// at vector speed. The order of additions is fixed by the shape of one sample, so results depend
// neither on the batch nor on the number of threads.
#include "ops/bn_discrepancy.h"

#include <torch/csrc/stable/ops.h>

#include <algorithm>
#include <cmath>

#include "ops/cpu/element.h"

namespace fiqa::cpu {
namespace {

constexpr int64_t kRun = 512;          // NCHW: pixels summed before going to double
constexpr int64_t kRows = 64;          // channels_last: the same
constexpr int64_t kChannelBlock = 64;  // channels_last: channels that one task keeps in registers

struct Forward {
  const void* x;
  const void *running_mean, *running_var;
  void *mean, *var;
  bool use_std;
  int64_t C, HW;
};

template <typename T>
FIQA_INLINE void planes(const Forward& a, int64_t begin, int64_t end) {  // over n * C + c
  using A = compute_t<T>;
  for (int64_t plane = begin; plane < end; ++plane) {
    const T* x = static_cast<const T*>(a.x) + plane * a.HW;
    double total = 0;
    for (int64_t start = 0; start < a.HW; start += kRun) {
      const int64_t stop = std::min(start + kRun, a.HW);
      A sum = 0;
#pragma omp simd reduction(+ : sum)
      for (int64_t i = start; i < stop; ++i) sum += load(x[i]);
      total += sum;
    }
    const double mean = total / a.HW;
    const A center = static_cast<A>(mean);
    double squares = 0, rest = 0;
    for (int64_t start = 0; start < a.HW; start += kRun) {
      const int64_t stop = std::min(start + kRun, a.HW);
      A sum = 0, square = 0;
#pragma omp simd reduction(+ : sum, square)
      for (int64_t i = start; i < stop; ++i) {
        const A d = load(x[i]) - center;
        sum += d;
        square += d * d;
      }
      rest += sum;
      squares += square;
    }
    rest /= a.HW;  // what rounding `center` to the compute type left over
    static_cast<A*>(a.mean)[plane] = static_cast<A>(center + rest);
    static_cast<A*>(a.var)[plane] = static_cast<A>(std::max(squares / a.HW - rest * rest, 0.0));
  }
}
FIQA_VECTORIZE_BY_DTYPE(planes, Forward)

template <typename T>
FIQA_INLINE void channel_blocks(const Forward& a, int64_t begin, int64_t end) {  // over (n, block)
  using A = compute_t<T>;
  const int64_t blocks = (a.C + kChannelBlock - 1) / kChannelBlock;
  for (int64_t task = begin; task < end; ++task) {
    const int64_t n = task / blocks, c0 = task % blocks * kChannelBlock;
    const int64_t width = std::min(kChannelBlock, a.C - c0);
    const T* x = static_cast<const T*>(a.x) + n * a.HW * a.C + c0;
    double total[kChannelBlock] = {}, squares[kChannelBlock] = {}, rest[kChannelBlock] = {};
    A center[kChannelBlock], sum[kChannelBlock], square[kChannelBlock];
    for (int64_t start = 0; start < a.HW; start += kRows) {
      std::fill(sum, sum + width, A(0));
      for (int64_t row = start; row < std::min(start + kRows, a.HW); ++row) {
        const T* p = x + row * a.C;
#pragma omp simd
        for (int64_t c = 0; c < width; ++c) sum[c] += load(p[c]);
      }
      for (int64_t c = 0; c < width; ++c) total[c] += sum[c];
    }
    for (int64_t c = 0; c < width; ++c) center[c] = static_cast<A>(total[c] / a.HW);
    for (int64_t start = 0; start < a.HW; start += kRows) {
      std::fill(sum, sum + width, A(0));
      std::fill(square, square + width, A(0));
      for (int64_t row = start; row < std::min(start + kRows, a.HW); ++row) {
        const T* p = x + row * a.C;
#pragma omp simd
        for (int64_t c = 0; c < width; ++c) {
          const A d = load(p[c]) - center[c];
          sum[c] += d;
          square[c] += d * d;
        }
      }
      for (int64_t c = 0; c < width; ++c) {
        rest[c] += sum[c];
        squares[c] += square[c];
      }
    }
    A* mean = static_cast<A*>(a.mean) + n * a.C + c0;
    A* var = static_cast<A*>(a.var) + n * a.C + c0;
    for (int64_t c = 0; c < width; ++c) {
      const double r = rest[c] / a.HW;
      mean[c] = static_cast<A>(center[c] + r);
      var[c] = static_cast<A>(std::max(squares[c] / a.HW - r * r, 0.0));
    }
  }
}
FIQA_VECTORIZE_BY_DTYPE(channel_blocks, Forward)

template <typename A>
void squared_errors(const Forward& a, int64_t N, A* squared_error) {
  const A *running_mean = static_cast<const A*>(a.running_mean),
          *running_var = static_cast<const A*>(a.running_var);
  for (int64_t n = 0; n < N; ++n) {
    const A *mean = static_cast<const A*>(a.mean) + n * a.C,
            *var = static_cast<const A*>(a.var) + n * a.C;
    double total = 0;
    for (int64_t c = 0; c < a.C; ++c) {
      const double dm = static_cast<double>(mean[c]) - running_mean[c];
      const double ds = a.use_std ? std::sqrt(static_cast<double>(var[c])) -
                                        std::sqrt(static_cast<double>(running_var[c]))
                                  : static_cast<double>(var[c]) - running_var[c];
      total += dm * dm + ds * ds;
    }
    squared_error[n] = static_cast<A>(total);
  }
}

struct Backward {
  const void *x, *mean, *alpha, *beta;
  void* grad_x;
  int64_t C, HW;
};

template <typename T>
FIQA_INLINE void backward_planes(const Backward& a, int64_t begin, int64_t end) {  // over n * C + c
  using A = compute_t<T>;
  for (int64_t plane = begin; plane < end; ++plane) {
    const T* x = static_cast<const T*>(a.x) + plane * a.HW;
    T* grad_x = static_cast<T*>(a.grad_x) + plane * a.HW;
    const A mean = static_cast<const A*>(a.mean)[plane];
    const A alpha = static_cast<const A*>(a.alpha)[plane];
    const A beta = static_cast<const A*>(a.beta)[plane];
#pragma omp simd
    for (int64_t i = 0; i < a.HW; ++i) grad_x[i] = store<T>(alpha + beta * (load(x[i]) - mean));
  }
}
FIQA_VECTORIZE_BY_DTYPE(backward_planes, Backward)

template <typename T>
FIQA_INLINE void backward_rows(const Backward& a, int64_t begin, int64_t end) {  // over n * HW + i
  using A = compute_t<T>;
  for (int64_t row = begin; row < end; ++row) {
    const int64_t n = row / a.HW;
    const T* x = static_cast<const T*>(a.x) + row * a.C;
    T* grad_x = static_cast<T*>(a.grad_x) + row * a.C;
    const A* mean = static_cast<const A*>(a.mean) + n * a.C;
    const A* alpha = static_cast<const A*>(a.alpha) + n * a.C;
    const A* beta = static_cast<const A*>(a.beta) + n * a.C;
#pragma omp simd
    for (int64_t c = 0; c < a.C; ++c)
      grad_x[c] = store<T>(alpha[c] + beta[c] * (load(x[c]) - mean[c]));
  }
}
FIQA_VECTORIZE_BY_DTYPE(backward_rows, Backward)

// Tasks of `work` elements each, handed out so that a thread gets at least about 32k elements.
int64_t grain(int64_t work) { return std::max<int64_t>(1, 32768 / std::max<int64_t>(1, work)); }

}  // namespace

void bn_discrepancy(DType dtype, bool channels_last, const void* x, const void* running_mean,
                    const void* running_var, bool use_std, void* mean, void* var,
                    void* squared_error, int64_t N, int64_t C, int64_t HW) {
  const Forward a{x, running_mean, running_var, mean, var, use_std, C, HW};
  const auto loop = channels_last ? channel_blocks_by_dtype[dtype] : planes_by_dtype[dtype];
  const int64_t tasks = channels_last ? N * ((C + kChannelBlock - 1) / kChannelBlock) : N * C;
  const int64_t work = channels_last ? HW * std::min(C, kChannelBlock) : HW;
  torch::stable::parallel_for(0, tasks, grain(work),
                              [&](int64_t begin, int64_t end) { loop(a, begin, end); });
  if (dtype == kFloat64) {
    squared_errors(a, N, static_cast<double*>(squared_error));
  } else {
    squared_errors(a, N, static_cast<float*>(squared_error));
  }
}

void bn_discrepancy_backward(DType dtype, bool channels_last, const void* x, const void* mean,
                             const void* alpha, const void* beta, void* grad_x, int64_t N,
                             int64_t C, int64_t HW) {
  const Backward a{x, mean, alpha, beta, grad_x, C, HW};
  const auto loop = channels_last ? backward_rows_by_dtype[dtype] : backward_planes_by_dtype[dtype];
  torch::stable::parallel_for(0, N * (channels_last ? HW : C), grain(channels_last ? C : HW),
                              [&](int64_t begin, int64_t end) { loop(a, begin, end); });
}

}  // namespace fiqa::cpu
