// prelu_difference and its backward against plain loops in double precision.
#include "driver_support.h"
#include "ops/prelu_difference.h"

namespace {

struct Bytes {
  explicit Bytes(int64_t size) : data(static_cast<uint8_t*>(std::malloc(size))) {
    for (int64_t i = 0; i < size; ++i) data[i] = 0xa5;
  }
  Bytes(const Bytes&) = delete;
  Bytes& operator=(const Bytes&) = delete;
  ~Bytes() { std::free(data); }
  bool bit(int64_t i) const { return data[i / 8] >> (i % 8) & 1; }

  uint8_t* data;
};

template <typename T>
void check(const Shape& s, int64_t k, int64_t shift, bool with_mask, bool in_place) {
  const int64_t shared = s.N * s.HW * s.C, count = shared * k, sample = s.HW * s.C;
  Array<T> d(count, shift), out(count, shift), grad_d(count, shift), x(shared, shift), given(count);
  Array<float> scale(s.C), shifts(s.C), slope(s.C);
  Bytes mask(count / 8);
  x.fill_normal(0, 1);
  d.fill_normal(0, 0.5);
  for (Array<float>* a : {&scale, &shifts, &slope}) a->fill_normal(0, 1);
  for (int64_t i = 0; i < count; i += 2) d.set(i, d[i] / 1024);  // most cross nothing
  for (int64_t i = 0; i < count; ++i) given.set(i, d[i]);

  fiqa::PreluDifference f{};
  f.N = s.N, f.k = k, f.HW = s.HW, f.C = s.C;
  f.d = d.data(), f.x = x.data(), f.scale = scale.data(), f.shift = shifts.data();
  f.slope = slope.data(), f.mask = with_mask ? mask.data : nullptr;
  f.out = in_place ? d.data() : out.data();
  expect_launched("prelu_difference", fiqa_cuda_prelu_difference(kDType<T>, &f, nullptr));
  const Array<T>& got = in_place ? d : out;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t c = i % s.C;
    const double z =
        static_cast<double>(scale[c]) * x[i / (k * sample) * sample + i % sample] + shifts[c];
    const double moved = z + given[i];
    const double exact = (moved > 0 ? moved : slope[c] * moved) - (z > 0 ? z : slope[c] * z);
    const bool near = std::fabs(z) < 1e-5 || std::fabs(moved) < 1e-5;
    const double rounding = kEpsilon<T> * std::fabs(exact);
    expect_close("prelu_difference", got[i], exact,
                 (z > 0) == (moved > 0) && !near ? rounding + 1e-7 * std::fabs(exact) + 6e-8
                                                 : rounding + 1e-5,
                 i);
    if (with_mask && !near) expect_close("mask", mask.bit(i), moved > 0, 0, i);
  }
  if (!with_mask) return;

  fiqa::PreluDifferenceBackward b{};
  b.N = s.N * k, b.HW = s.HW, b.C = s.C;
  b.grad = got.size() == 0 ? nullptr : (in_place ? d : out).data();
  b.mask = mask.data, b.slope = slope.data();
  for (int64_t i = 0; i < count; ++i) given.set(i, got[i]);
  b.grad_d = in_place ? d.data() : grad_d.data();
  expect_launched("prelu_difference_backward",
                  fiqa_cuda_prelu_difference_backward(kDType<T>, &b, nullptr));
  for (int64_t i = 0; i < count; ++i) {
    const double g = (mask.bit(i) ? 1 : slope[i % s.C]) * given[i];
    expect_close("grad_d", in_place ? d[i] : grad_d[i], g, kEpsilon<T> * std::fabs(g) + 6e-8, i);
  }
}

template <typename T>
void check_all(bool small) {
  check<T>({2, 8, 9, false}, 3, 0, true, false);    // a part of a block
  check<T>({1, 24, 49, false}, 2, 0, true, true);   // channels that fill no power of two
  check<T>({1, 8, 16, false}, 1, 1, true, false);   // unaligned: single elements
  check<T>({2, 16, 5, false}, 5, 0, false, false);  // an odd number of copies, no mask
  if (small) return;
  check<T>({1, 64, 49, false}, 10, 0, true, true);  // more than a block
  check<T>({1, 8, 33, false}, 2, 3, true, true);
  check<T>({3, 8, 1, false}, 1, 0, true, false);  // one pixel
  // So many samples that a block takes several copies.
  check<T>({300, 8, 1, false}, 5, 0, true, false);
  check<T>({530, 8, 1, false}, 3, 0, true, true);
}

}  // namespace

void check_prelu_difference(bool small) {
  check_all<float>(small);
  check_all<__half>(small);
  if (!small) check_all<__nv_bfloat16>(small);
  fiqa::PreluDifference nothing{};
  fiqa::PreluDifferenceBackward no_gradient{};
  expect_launched("empty prelu_difference",
                  fiqa_cuda_prelu_difference(fiqa::kFloat32, &nothing, nullptr));
  nothing.N = 1, nothing.HW = 1, nothing.C = 8;  // no copies
  expect_launched("no copies", fiqa_cuda_prelu_difference(fiqa::kFloat32, &nothing, nullptr));
  expect_launched("empty prelu_difference_backward",
                  fiqa_cuda_prelu_difference_backward(fiqa::kFloat32, &no_gradient, nullptr));
}
