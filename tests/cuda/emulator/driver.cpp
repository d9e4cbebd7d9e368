// Runs every CUDA launcher on the emulator and compares with plain loops in double precision.
//
// For sanitizers and mutation tests: buffers are exact-size heap allocations, so that one element
// beyond the end is caught; outputs start as NaN, so that one element left out is caught. Each
// shape below is there for a path of the kernels. `driver small` leaves out the large ones, which
// are slow under ThreadSanitizer. Exit status 1 and "mismatch" lines when a number is wrong. Here
// are the first operators; those that are fused have a file each.
#include <cstring>

#include "driver_support.h"
#include "ops/abs_sum.h"
#include "ops/bn_discrepancy.h"
#include "ops/sign_step.h"

namespace {

template <typename T>
void check_bn_discrepancy(const Shape& s, bool channels_last, bool use_std, int64_t shift) {
  const int64_t planes = s.N * s.C, count = planes * s.HW;
  const auto at = [&](int64_t n, int64_t c, int64_t i) {
    return channels_last ? (n * s.HW + i) * s.C + c : (n * s.C + c) * s.HW + i;
  };
  Array<T> x(count, shift), grad_x(count, shift);
  Array<float> running_mean(s.C), running_var(s.C), mean(planes), var(planes), error(s.N);
  Array<float> workspace(s.N * fiqa_cuda_bn_discrepancy_splits(channels_last, s.HW) * s.C * 2);
  x.fill_normal(3, 1.7);  // a mean that differs from 0 shows a wrong centre
  running_mean.fill_normal(3, 1);
  running_var.fill_positive();
  expect_launched("bn_discrepancy", fiqa_cuda_bn_discrepancy(
                                        kDType<T>, channels_last, x.data(), running_mean.data(),
                                        running_var.data(), use_std, mean.data(), var.data(),
                                        error.data(), workspace.data(), s.N, s.C, s.HW, nullptr));
  for (int64_t n = 0; n < s.N; ++n) {
    double total = 0;
    for (int64_t c = 0; c < s.C; ++c) {
      double sum = 0, squares = 0;
      for (int64_t i = 0; i < s.HW; ++i) sum += x[at(n, c, i)];
      const double m = sum / s.HW;
      for (int64_t i = 0; i < s.HW; ++i) squares += (x[at(n, c, i)] - m) * (x[at(n, c, i)] - m);
      const double v = squares / s.HW;
      expect_close("mean", mean[n * s.C + c], m, 4e-6, n * s.C + c);
      expect_close("var", var[n * s.C + c], v, 1e-6 + 4e-6 * v, n * s.C + c);
      const double spread = use_std ? std::sqrt(v) - std::sqrt(running_var[c]) : v - running_var[c];
      total += (m - running_mean[c]) * (m - running_mean[c]) + spread * spread;
    }
    expect_close("squared_error", error[n], total, 1e-5 * (1 + total), n);
  }

  Array<float> alpha(planes), beta(planes);
  alpha.fill_normal(0, 1);
  beta.fill_normal(0, 1);
  expect_launched("bn_discrepancy_backward",
                  fiqa_cuda_bn_discrepancy_backward(kDType<T>, channels_last, x.data(), mean.data(),
                                                    alpha.data(), beta.data(), grad_x.data(), s.N,
                                                    s.C, s.HW, nullptr));
  for (int64_t plane = 0; plane < planes; ++plane) {
    for (int64_t i = 0; i < s.HW; ++i) {
      const int64_t k = at(plane / s.C, plane % s.C, i);
      const double g = alpha[plane] + beta[plane] * (x[k] - mean[plane]);
      expect_close("grad_x", grad_x[k], g, 2e-6 + kEpsilon<T> * std::fabs(g), k);
    }
  }
}

template <typename T>
void check_abs_sum(int64_t N, int64_t M, int64_t shift) {
  Array<T> x(N * M, shift);
  Array<float> out(N), workspace(N * fiqa_cuda_abs_sum_splits(M));
  x.fill_normal(0, 1);
  expect_launched("abs_sum", fiqa_cuda_abs_sum(kDType<T>, x.data(), out.data(), workspace.data(), N,
                                               M, nullptr));
  for (int64_t n = 0; n < N; ++n) {
    double total = 0;
    for (int64_t i = 0; i < M; ++i) total += std::fabs(x[n * M + i]);
    expect_close("abs_sum", out[n], total, 2e-6 * (1 + total), n);
  }
}

template <typename T>
void check_sign_step(int64_t count, int64_t shift) {
  Array<T> x(count, shift), grad(count, shift), out(count, shift);
  x.fill_normal(0, 1);
  grad.fill_normal(0, 1);
  for (int64_t i = 0; i < count; i += 3) grad.set(i, 0);
  if (count > 1) grad.set(count - 1, kNaN);
  const float step = 0.125f, low = -1.f, high = 0.75f;  // exact in every type
  expect_launched("sign_step", fiqa_cuda_sign_step(kDType<T>, x.data(), grad.data(), out.data(),
                                                   step, low, high, count, nullptr));
  for (int64_t i = 0; i < count; ++i) {
    if (std::isnan(grad[i])) {
      if (!std::isnan(out[i])) expect_close("sign_step of NaN", out[i], kNaN, 0, i);
      continue;
    }
    const double sign = grad[i] > 0 ? 1 : grad[i] < 0 ? -1 : 0;
    const double moved = std::fmin(std::fmax(x[i] + step * sign, low), high);
    expect_close("sign_step", out[i], moved, kEpsilon<T>, i);
  }
}

template <typename T>
void check_all(bool small) {
  const Shape shapes[] = {
      {2, 5, 49, false},    // nothing divides by the pack: single elements
      {2, 8, 64, false},    // packs in both layouts
      {1, 16, 1, false},    // one pixel
      {1, 3, 1096, false},  // 8 warps for a plane; two splits
      {2, 8, 2056, true},   // the same with packs and three splits
      {1, 264, 6, true},    // two blocks of channels; more channels than threads
      {2, 72, 12, false},   // channels that fill no power of two
  };
  for (const Shape& s : shapes) {
    if (small && s.large) continue;
    for (const bool channels_last : {false, true}) {
      check_bn_discrepancy<T>(s, channels_last, channels_last, 0);
    }
  }
  check_bn_discrepancy<T>({1, 8, 16, false}, false, false, 1);  // packs fit but memory is unaligned
  check_bn_discrepancy<T>({1, 8, 16, false}, true, true, 1);
  check_abs_sum<T>(3, 37, 0);
  check_abs_sum<T>(2, 1024, 0);
  check_abs_sum<T>(1, 64, 1);
  check_abs_sum<T>(2, 16384 + 8, 0);          // two parts with packs
  if (!small) check_abs_sum<T>(2, 32771, 0);  // three parts of single elements
  check_sign_step<T>(1, 0);
  check_sign_step<T>(2051, 0);  // more than a block of packs, and a tail
  check_sign_step<T>(300, 1);   // unaligned: single elements
}

}  // namespace

int main(int argc, char** argv) {
  const bool small = argc > 1 && std::strcmp(argv[1], "small") == 0;
  check_all<float>(small);
  check_all<__half>(small);
  if (!small) check_all<__nv_bfloat16>(small);
  check_bn_prelu(small);
  check_bn_add_bn(small);
  check_prelu_difference(small);
  check_dropout_copies(small);
  std::printf("driver: %d mismatches\n", mismatches);
  return mismatches != 0;
}
