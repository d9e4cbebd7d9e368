// What the parts of the driver share: exact-size arrays, comparison, counting of mismatches.
#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <random>
#include <type_traits>

#include "ops/dtype.h"
#include "ops/rows.h"

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
inline std::mt19937 generator(1);
inline int mismatches = 0;

template <typename T>
T from_double(double value) {
  if constexpr (std::is_same_v<T, float>) {
    return static_cast<float>(value);
  } else if constexpr (std::is_same_v<T, __half>) {
    return __float2half_rn(static_cast<float>(value));
  } else {
    return __float2bfloat16_rn(static_cast<float>(value));
  }
}

inline double to_double(float value) { return value; }
inline double to_double(__half value) { return __half2float(value); }
inline double to_double(__nv_bfloat16 value) { return __bfloat162float(value); }

template <typename T>
constexpr fiqa::DType kDType = std::is_same_v<T, float>    ? fiqa::kFloat32
                               : std::is_same_v<T, __half> ? fiqa::kFloat16
                                                           : fiqa::kBFloat16;
// Unit in the last place of 1, and what one rounding may cost.
template <typename T>
constexpr double kEpsilon = std::is_same_v<T, float>    ? 1.2e-7
                            : std::is_same_v<T, __half> ? 9.8e-4
                                                        : 7.9e-3;

// An exact-size heap array. `shift` elements lie in front of it, to break 16-byte alignment.
template <typename T>
class Array {
 public:
  explicit Array(int64_t size, int64_t shift = 0)
      : size_(size),
        memory_(static_cast<T*>(std::malloc((size + shift) * sizeof(T)))),
        data_(memory_ + shift) {
    fill(kNaN);
  }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;
  ~Array() { std::free(memory_); }

  void fill(double value) {
    for (int64_t i = 0; i < size_; ++i) data_[i] = from_double<T>(value);
  }
  void fill_normal(double mean, double deviation) {
    std::normal_distribution<double> normal(mean, deviation);
    for (int64_t i = 0; i < size_; ++i) data_[i] = from_double<T>(normal(generator));
  }
  void fill_positive() {
    std::uniform_real_distribution<double> uniform(0.5, 2);
    for (int64_t i = 0; i < size_; ++i) data_[i] = from_double<T>(uniform(generator));
  }
  T* data() { return data_; }
  double operator[](int64_t i) const { return to_double(data_[i]); }
  void set(int64_t i, double value) { data_[i] = from_double<T>(value); }
  int64_t size() const { return size_; }

 private:
  int64_t size_;
  T* memory_;
  T* data_;
};

inline void expect_close(const char* what, double got, double want, double tolerance, int64_t at) {
  if (std::fabs(got - want) <= tolerance) return;
  if (++mismatches <= 10) {
    std::printf("mismatch: %s[%lld] is %.9g, expected %.9g\n", what, static_cast<long long>(at),
                got, want);
  }
}

inline void expect_launched(const char* what, int error) {
  if (error == 0) return;
  ++mismatches;
  std::printf("mismatch: %s returned error %d\n", what, error);
}

struct Shape {
  int64_t N, C, HW;
  bool large;
};

// Two matrices [N, C] of floats, as slices of wider ones; around them lies NaN.
class WideRows {
 public:
  WideRows(int64_t N, int64_t C) : N_(N), C_(C), stride_(C + 3), memory_(2 * N * (C + 3)) {}

  void fill_normal() {
    Array<float> values(2 * N_ * C_);
    values.fill_normal(0, 1);
    for (int64_t i = 0; i < values.size(); ++i) memory_.set(place(i / C_, i % C_), values[i]);
  }
  fiqa::Rows rows() {
    return {memory_.data() + place(0, 0), memory_.data() + place(N_, 0), stride_};
  }
  fiqa::ConstRows const_rows() {
    const fiqa::Rows r = rows();
    return {r.first, r.second, r.stride};
  }
  double first(int64_t n, int64_t c) const { return memory_[place(n, c)]; }
  double second(int64_t n, int64_t c) const { return memory_[place(N_ + n, c)]; }
  void expect_nothing_around(const char* what) const {
    for (int64_t i = 0; i < memory_.size(); ++i) {
      const int64_t c = i % stride_ - 1;
      if ((c < 0 || c >= C_) && !std::isnan(memory_[i])) expect_close(what, memory_[i], kNaN, 0, i);
    }
  }

 private:
  int64_t place(int64_t row, int64_t c) const { return row * stride_ + 1 + c; }

  int64_t N_, C_, stride_;
  Array<float> memory_;
};

// Mean and biased variance of channel c of sample n, where value(i) is element i of [N, HW, C].
template <typename Value>
void expect_moments(const char* what, const WideRows& got, const Shape& s, const Value& value) {
  for (int64_t n = 0; n < s.N; ++n) {
    for (int64_t c = 0; c < s.C; ++c) {
      double sum = 0, squares = 0;
      for (int64_t i = 0; i < s.HW; ++i) sum += value((n * s.HW + i) * s.C + c);
      const double mean = sum / s.HW;
      for (int64_t i = 0; i < s.HW; ++i) {
        const double distance = value((n * s.HW + i) * s.C + c) - mean;
        squares += distance * distance;
      }
      const double variance = squares / s.HW;
      expect_close(what, got.first(n, c), mean, 2e-5, n * s.C + c);
      expect_close(what, got.second(n, c), variance, 2e-5 * (1 + variance), n * s.C + c);
    }
  }
  got.expect_nothing_around(what);
}

// Sums of |value(i)| over each sample.
template <typename Value>
void expect_abs_sums(const char* what, const Array<float>& got, const Shape& s,
                     const Value& value) {
  for (int64_t n = 0; n < s.N; ++n) {
    double sum = 0;
    for (int64_t i = n * s.HW * s.C; i < (n + 1) * s.HW * s.C; ++i) sum += std::fabs(value(i));
    expect_close(what, got[n], sum, 2e-6 * (1 + sum), n);
  }
}

// The checks of the fused operators; `small` leaves out what is slow under ThreadSanitizer.
void check_bn_prelu(bool small);
void check_bn_add_bn(bool small);
void check_prelu_difference(bool small);
void check_dropout_copies(bool small);
