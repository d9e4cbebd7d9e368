// CPU kernel of fiqa_fast::sign_step: one pass, compared and selected without branches.
#include "ops/sign_step.h"

#include <torch/csrc/stable/ops.h>

#include "ops/cpu/element.h"

namespace fiqa::cpu {
namespace {

struct Arguments {
  const void *x, *grad;
  void* out;
  double step, low, high;
};

template <typename T>
FIQA_INLINE void steps(const Arguments& a, int64_t begin, int64_t end) {
  using A = compute_t<T>;
  const T *x = static_cast<const T*>(a.x), *grad = static_cast<const T*>(a.grad);
  T* out = static_cast<T*>(a.out);
  const A step = static_cast<A>(a.step), low = static_cast<A>(a.low), high = static_cast<A>(a.high);
#pragma omp simd
  for (int64_t i = begin; i < end; ++i) {
    const A g = load(grad[i]);
    const A moved = load(x[i]) + (g > 0 ? step : g < 0 ? -step : g * 0);  // g * 0 keeps a NaN
    out[i] = store<T>(moved < low ? low : moved > high ? high : moved);
  }
}
FIQA_VECTORIZE_BY_DTYPE(steps, Arguments)

}  // namespace

void sign_step(DType dtype, const void* x, const void* grad, void* out, double step, double low,
               double high, int64_t count) {
  const Arguments a{x, grad, out, step, low, high};
  torch::stable::parallel_for(
      0, count, 32768, [&](int64_t begin, int64_t end) { steps_by_dtype[dtype](a, begin, end); });
}

}  // namespace fiqa::cpu
