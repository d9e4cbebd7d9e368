// bn_prelu and its backward against plain loops in double precision.
#include "driver_support.h"
#include "ops/bn_prelu.h"

namespace {

struct Options {
  int64_t shift;  // elements in front of an activation, to break its alignment
  bool slope, rows, in_place;
};

template <typename T>
void check(const Shape& s, const Options& o) {
  const int64_t count = s.N * s.HW * s.C;
  Array<T> x(count, o.shift), y(count, o.shift), grad(count, o.shift), grad_x(count, o.shift);
  Array<float> scale(s.C), shift(s.C), slope(s.C), sums(s.N);
  WideRows moments(s.N, s.C), terms(s.N, s.C);
  x.fill_normal(1, 1.7);
  grad.fill_normal(0, 1);
  scale.fill_normal(0.5, 1);
  shift.fill_normal(0, 1);
  slope.fill_normal(0, 1);
  terms.fill_normal();
  Array<T> given_x(count), given_grad(count);
  for (int64_t i = 0; i < count; ++i) {
    given_x.set(i, x[i]);
    given_grad.set(i, grad[i]);
  }
  const auto z = [&](int64_t i) {
    return static_cast<double>(scale[i % s.C]) * given_x[i] + shift[i % s.C];
  };
  const auto bend = [&](int64_t i) { return z(i) > 0 || !o.slope ? 1 : slope[i % s.C]; };

  fiqa::BnPreluBackward b{};
  b.N = s.N, b.HW = s.HW, b.C = s.C;
  b.grad = grad.data(), b.x = x.data(), b.scale = scale.data(), b.shift = shift.data();
  b.slope = o.slope ? slope.data() : nullptr;
  if (o.rows) b.terms = terms.const_rows(), b.abs_sum = sums.data();
  b.grad_x = o.in_place ? grad.data() : grad_x.data();
  Array<float> sum_workspace(fiqa_cuda_bn_prelu_backward_workspace(&b));
  expect_launched("bn_prelu_backward",
                  fiqa_cuda_bn_prelu_backward(kDType<T>, &b, sum_workspace.data(), nullptr));
  const Array<T>& got_grad = o.in_place ? grad : grad_x;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t n = i / (s.HW * s.C), c = i % s.C;
    const double added = o.rows ? terms.first(n, c) + terms.second(n, c) * given_x[i] : 0;
    const double g = scale[c] * bend(i) * given_grad[i] + added;
    if (std::fabs(z(i)) < 1e-5) continue;  // rounding decides which side of 0 this is
    expect_close("grad_x", got_grad[i], g, 1e-5 + kEpsilon<T> * std::fabs(g), i);
  }
  if (o.rows) {
    expect_abs_sums("abs_sum", sums, s, [&](int64_t i) { return given_grad[i]; });
  }

  fiqa::BnPrelu f{};
  f.N = s.N, f.HW = s.HW, f.C = s.C;
  f.x = x.data(), f.scale = scale.data(), f.shift = shift.data();
  f.slope = o.slope ? slope.data() : nullptr;
  f.y = o.in_place ? x.data() : y.data();
  if (o.rows) f.moments = moments.rows();
  Array<float> workspace(fiqa_cuda_bn_prelu_workspace(&f));
  expect_launched("bn_prelu", fiqa_cuda_bn_prelu(kDType<T>, &f, workspace.data(), nullptr));
  const Array<T>& got = o.in_place ? x : y;
  for (int64_t i = 0; i < count; ++i) {
    const double exact = bend(i) * z(i);
    expect_close("bn_prelu", got[i], exact, 1e-5 + kEpsilon<T> * std::fabs(exact), i);
  }
  if (o.rows) expect_moments("moments", moments, s, [&](int64_t i) { return given_x[i]; });
}

template <typename T>
void check_all(bool small) {
  const Shape shapes[] = {
      {2, 5, 49, false},   // nothing divides by the pack: single elements
      {2, 8, 264, false},  // packs; two chunks for moments, five without
      {1, 72, 12, false},  // two tiles of channels or three, the last with few of them
      {2, 70, 1, false},   // one pixel
      {1, 64, 600, true},  // full tiles; three chunks for moments
      {1, 33, 300, true},  // single elements; two tiles and two chunks
  };
  for (const Shape& s : shapes) {
    if (small && s.large) continue;
    check<T>(s, {0, true, true, false});
    if (!small) check<T>(s, {0, false, false, true});
    if (!small) check<T>(s, {0, true, true, true});
  }
  check<T>({1, 8, 16, false}, {1, true, true, false});  // packs fit but memory is unaligned
}

}  // namespace

void check_bn_prelu(bool small) {
  check_all<float>(small);
  check_all<__half>(small);
  if (!small) check_all<__nv_bfloat16>(small);
  fiqa::BnPrelu nothing{};
  fiqa::BnPreluBackward no_gradient{};
  expect_launched("empty bn_prelu", fiqa_cuda_bn_prelu(fiqa::kFloat32, &nothing, nullptr, nullptr));
  expect_launched("empty bn_prelu_backward",
                  fiqa_cuda_bn_prelu_backward(fiqa::kFloat32, &no_gradient, nullptr, nullptr));
}
