// Elements of activations on the CPU: how they are read, written, and accumulated.
#pragma once
#include <bit>
#include <cstdint>

#include "ops/dtype.h"

// Compiles a function once per instruction set and picks the best at load time. The attribute does
// not reach templates, so each file instantiates its kernel in plain functions marked with it.
#if defined(__x86_64__) && defined(__gnu_linux__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(FIQA_CUDA_EMU)
#define FIQA_VECTORIZED \
  __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define FIQA_VECTORIZED
#endif
#define FIQA_INLINE inline __attribute__((always_inline))

namespace fiqa::cpu {

struct BFloat16 {
  uint16_t bits;
};
using Float16 = _Float16;

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
