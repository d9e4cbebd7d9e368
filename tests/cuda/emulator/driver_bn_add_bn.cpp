// bn_add_bn and its backward against plain loops in double precision.
#include "driver_support.h"
#include "ops/bn_add_bn.h"

namespace {

struct Options {
  int64_t shift;      // elements in front of an activation, to break its alignment
  bool layers, rows;  // optional statistics; moments, terms and sums
  bool in_place;      // y in skip, next in x; total in grad, grad_x in other
};

template <typename T>
struct Activation {
  Activation(int64_t count, int64_t shift) : given(count), data(count, shift) {
    data.fill_normal(0.5, 1);
    for (int64_t i = 0; i < count; ++i) given.set(i, data[i]);
  }
  Array<T> given, data;
};

template <typename T>
void check_forward(const Shape& s, const Options& o) {
  const int64_t count = s.N * s.HW * s.C;
  Activation<T> x(count, o.shift), skip(count, o.shift);
  Array<T> y(count, o.shift), next(count, o.shift);
  Array<float> scale(s.C), shift(s.C), skip_scale(s.C), skip_shift(s.C), next_scale(s.C),
      next_shift(s.C);
  for (Array<float>* a : {&scale, &skip_scale, &next_scale}) a->fill_normal(1, 0.5);
  for (Array<float>* a : {&shift, &skip_shift, &next_shift}) a->fill_normal(0, 1);
  WideRows of_x(s.N, s.C), of_skip(s.N, s.C), of_y(s.N, s.C);

  fiqa::BnAddBn f{};
  f.N = s.N, f.HW = s.HW, f.C = s.C;
  f.x = x.data.data(), f.scale = scale.data(), f.shift = shift.data(), f.skip = skip.data.data();
  f.y = o.in_place ? skip.data.data() : y.data();
  if (o.layers) {
    f.skip_scale = skip_scale.data(), f.skip_shift = skip_shift.data();
    f.next_scale = next_scale.data(), f.next_shift = next_shift.data();
    f.next = o.in_place ? x.data.data() : next.data();
  }
  if (o.rows) {
    f.x_moments = of_x.rows(), f.y_moments = of_y.rows();
    if (o.layers) f.skip_moments = of_skip.rows();
  }
  Array<float> workspace(fiqa_cuda_bn_add_bn_workspace(&f));
  expect_launched("bn_add_bn", fiqa_cuda_bn_add_bn(kDType<T>, &f, workspace.data(), nullptr));

  const auto sum = [&](int64_t i) {
    const int64_t c = i % s.C;
    const double added = o.layers ? skip_scale[c] * skip.given[i] + skip_shift[c] : skip.given[i];
    return scale[c] * x.given[i] + shift[c] + added;
  };
  const Array<T>&got_y = o.in_place ? skip.data : y, &got_next = o.in_place ? x.data : next;
  for (int64_t i = 0; i < count; ++i) {
    const double exact = sum(i), following = next_scale[i % s.C] * exact + next_shift[i % s.C];
    expect_close("y", got_y[i], exact, 1e-5 + kEpsilon<T> * std::fabs(exact), i);
    if (!o.layers) continue;
    expect_close("next", got_next[i], following, 1e-5 + kEpsilon<T> * std::fabs(following), i);
  }
  if (!o.rows) return;
  expect_moments("x_moments", of_x, s, [&](int64_t i) { return x.given[i]; });
  expect_moments("y_moments", of_y, s, sum);
  if (o.layers) {
    expect_moments("skip_moments", of_skip, s, [&](int64_t i) { return skip.given[i]; });
  }
}

template <typename T>
void check_backward(const Shape& s, const Options& o) {
  const int64_t count = s.N * s.HW * s.C;
  Activation<T> grad(count, o.shift), other(count, o.shift), y(count, o.shift), x(count, o.shift);
  Array<T> total(count, o.shift), grad_x(count, o.shift);
  Array<float> scale(s.C), sums(s.N);
  scale.fill_normal(1, 0.5);
  WideRows y_terms(s.N, s.C), x_terms(s.N, s.C);
  y_terms.fill_normal();
  x_terms.fill_normal();

  fiqa::BnAddBnBackward b{};
  b.N = s.N, b.HW = s.HW, b.C = s.C;
  b.grad = grad.data.data();
  b.total = o.in_place ? grad.data.data() : total.data();
  if (o.layers) b.other = other.data.data();
  if (o.layers || o.rows) {
    b.x = x.data.data(), b.scale = scale.data();
    b.grad_x = o.in_place && o.layers ? other.data.data() : grad_x.data();
  }
  if (o.rows) {
    b.y = y.data.data(), b.y_terms = y_terms.const_rows(), b.x_terms = x_terms.const_rows();
    b.abs_sum = sums.data();
  }
  Array<float> workspace(fiqa_cuda_bn_add_bn_backward_workspace(&b));
  expect_launched("bn_add_bn_backward",
                  fiqa_cuda_bn_add_bn_backward(kDType<T>, &b, workspace.data(), nullptr));

  const auto sum = [&](int64_t i) {
    const int64_t n = i / (s.HW * s.C), c = i % s.C;
    const double from_y = o.rows ? y_terms.first(n, c) + y_terms.second(n, c) * y.given[i] : 0;
    return grad.given[i] + (o.layers ? other.given[i] : 0) + from_y;
  };
  const Array<T>& got = o.in_place ? grad.data : total;
  const Array<T>& got_x = o.in_place && o.layers ? other.data : grad_x;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t n = i / (s.HW * s.C), c = i % s.C;
    const double exact = sum(i);
    expect_close("total", got[i], exact, 1e-5 + kEpsilon<T> * std::fabs(exact), i);
    if (b.x == nullptr) continue;
    const double from_x = o.rows ? x_terms.first(n, c) + x_terms.second(n, c) * x.given[i] : 0;
    const double g = scale[c] * exact + from_x;
    expect_close("grad_x", got_x[i], g, 1e-5 + kEpsilon<T> * std::fabs(g), i);
  }
  if (o.rows) expect_abs_sums("abs_sum of total", sums, s, sum);
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
  const Options variants[] = {
      {0, true, true, false}, {0, true, true, true},    {0, true, false, true},
      {0, false, true, true}, {0, false, false, false},
  };
  for (const Shape& s : shapes) {
    if (small && s.large) continue;
    for (const Options& o : variants) {
      check_forward<T>(s, o);
      check_backward<T>(s, o);
      if (small) break;
    }
  }
  check_forward<T>({1, 8, 16, false}, {1, true, true, false});  // unaligned memory
  check_backward<T>({1, 8, 16, false}, {1, true, true, false});
}

}  // namespace

void check_bn_add_bn(bool small) {
  check_all<float>(small);
  check_all<__half>(small);
  if (!small) check_all<__nv_bfloat16>(small);
  fiqa::BnAddBn nothing{};
  fiqa::BnAddBnBackward no_gradient{};
  expect_launched("empty bn_add_bn",
                  fiqa_cuda_bn_add_bn(fiqa::kFloat32, &nothing, nullptr, nullptr));
  expect_launched("empty bn_add_bn_backward",
                  fiqa_cuda_bn_add_bn_backward(fiqa::kFloat32, &no_gradient, nullptr, nullptr));
}
