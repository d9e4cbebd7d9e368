// Elements of activations on the CPU: how they are read, written, and accumulated.
#pragma once
#include <bit>
#include <cstdint>

#include "ops/dtype.h"
#include "vectorized.h"

namespace fiqa::cpu {

struct BFloat16 {
  uint16_t bits;
};
// Converted by integer arithmetic below: gcc 12 converts _Float16 one element at a time, which made
// loops 10 to 50 times slower than those of bfloat16.
struct Float16 {
  uint16_t bits;
};

// The type in which an element is computed with.
template <typename T>
struct ComputeType {
  using type = float;
};
template <>
struct ComputeType<double> {
  using type = double;
};
template <typename T>
using compute_t = typename ComputeType<T>::type;

template <typename T>
FIQA_INLINE compute_t<T> load(T value) {
  return static_cast<compute_t<T>>(value);
}
template <>
FIQA_INLINE float load<BFloat16>(BFloat16 value) {
  return std::bit_cast<float>(static_cast<uint32_t>(value.bits) << 16);
}
// `condition ? a : b` by masks. A plain selection would let gcc compute a float only where it is
// selected (floating-point operations may trap), and that branch keeps a loop from vectorising.
FIQA_INLINE uint32_t select(bool condition, uint32_t a, uint32_t b) {
  const uint32_t mask = 0u - static_cast<uint32_t>(condition);
  return (a & mask) | (b & ~mask);
}

template <>
FIQA_INLINE float load<Float16>(Float16 value) {
  const uint32_t magnitude = value.bits & 0x7fffu, sign = (value.bits & 0x8000u) << 16;
  const uint32_t rebias = 112u << 23;  // from an exponent around 15 to one around 127
  const uint32_t normal = (magnitude << 13) + rebias + select(magnitude >= 0x7c00u, rebias, 0);
  const float subnormal = static_cast<float>(static_cast<int32_t>(magnitude)) * 0x1p-24f;
  const uint32_t bits = select(magnitude < 0x400u, std::bit_cast<uint32_t>(subnormal), normal);
  return std::bit_cast<float>(sign | bits);
}

template <typename T>
FIQA_INLINE T store(compute_t<T> value) {
  return static_cast<T>(value);
}
template <>
FIQA_INLINE BFloat16 store<BFloat16>(float value) {  // round to nearest even; NaN stays NaN
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  return {static_cast<uint16_t>(value != value ? 0x7fc0u : rounded)};
}
template <>
FIQA_INLINE Float16 store<Float16>(float value) {  // round to nearest even; NaN stays NaN
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t magnitude = bits & 0x7fffffffu, sign = (bits >> 16) & 0x8000u;
  const uint32_t rounded = (magnitude - (112u << 23) + 0xfffu + ((magnitude >> 13) & 1)) >> 13;
  const uint32_t normal = select(magnitude >= 0x47800000u, 0x7c00u, rounded);  // 2^16: infinity
  // Below 2^-14: the addition rounds to multiples of 2^-24, which are the last bits of the sum.
  const uint32_t subnormal =
      std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) - 0x3f000000u;
  const uint32_t finite = select(magnitude < 0x38800000u, subnormal, normal);
  return {static_cast<uint16_t>(sign | select(magnitude > 0x7f800000u, 0x7e00u, finite))};
}

}  // namespace fiqa::cpu

// From the template `loop<T>(const Arguments&, int64_t begin, int64_t end)` makes the array
// `loop_by_dtype`, indexed by DType, of its vectorised instances.
#define FIQA_VECTORIZE_BY_DTYPE(loop, Arguments)                                         \
  FIQA_VECTORIZED void loop##_float32(const Arguments& a, int64_t begin, int64_t end) {  \
    loop<float>(a, begin, end);                                                          \
  }                                                                                      \
  FIQA_VECTORIZED void loop##_float16(const Arguments& a, int64_t begin, int64_t end) {  \
    loop<::fiqa::cpu::Float16>(a, begin, end);                                           \
  }                                                                                      \
  FIQA_VECTORIZED void loop##_bfloat16(const Arguments& a, int64_t begin, int64_t end) { \
    loop<::fiqa::cpu::BFloat16>(a, begin, end);                                          \
  }                                                                                      \
  FIQA_VECTORIZED void loop##_float64(const Arguments& a, int64_t begin, int64_t end) {  \
    loop<double>(a, begin, end);                                                         \
  }                                                                                      \
  void (*const loop##_by_dtype[])(const Arguments&, int64_t, int64_t) = {                \
      loop##_float32, loop##_float16, loop##_bfloat16, loop##_float64};
