// Sixteen adjacent channels at a time, by the vector types of gcc and clang: what a machine has no
// registers for, the compiler splits.
#pragma once
#include <cstdint>
#include <cstring>

#include "ops/cpu/element.h"

// The functions below are always inlined, so that no vector is ever passed between functions.
#pragma GCC diagnostic ignored "-Wpsabi"

namespace fiqa::cpu {

constexpr int kLanes = 16;

template <typename A>
struct LanesOf;
template <>
struct LanesOf<float> {
  using type = float __attribute__((vector_size(64)));
};
template <>
struct LanesOf<double> {
  using type = double __attribute__((vector_size(128)));
};
template <typename T>
using lanes_t = typename LanesOf<compute_t<T>>::type;

using Words = uint32_t __attribute__((vector_size(64)));
using Halves = uint16_t __attribute__((vector_size(32)));

template <typename T>
FIQA_INLINE lanes_t<T> load_lanes(const T* p) {
  lanes_t<T> values;
  if constexpr (sizeof(T) == sizeof(compute_t<T>)) {
    std::memcpy(&values, p, sizeof(values));
  } else {
    for (int i = 0; i < kLanes; ++i) values[i] = load(p[i]);
  }
  return values;
}
template <>
FIQA_INLINE lanes_t<BFloat16> load_lanes<BFloat16>(const BFloat16* p) {
  Halves bits;
  std::memcpy(&bits, p, sizeof(bits));
  return reinterpret_cast<lanes_t<BFloat16>>(__builtin_convertvector(bits, Words) << 16);
}

template <typename T>
FIQA_INLINE void store_lanes(T* p, lanes_t<T> values) {
  if constexpr (sizeof(T) == sizeof(compute_t<T>)) {
    std::memcpy(p, &values, sizeof(values));
  } else {
    for (int i = 0; i < kLanes; ++i) p[i] = store<T>(values[i]);
  }
}
template <>
FIQA_INLINE void store_lanes<BFloat16>(BFloat16* p, lanes_t<BFloat16> values) {
  const Words bits = reinterpret_cast<Words>(values);
  const Words rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const Words quiet_nan = rounded * 0u + 0x7fc0u;
  const Halves halves = __builtin_convertvector(values != values ? quiet_nan : rounded, Halves);
  std::memcpy(p, &halves, sizeof(halves));
}

// The first `count` lanes; the others are 0, or left alone.
template <typename T>
FIQA_INLINE lanes_t<T> load_lanes(const T* p, int64_t count) {
  if (count >= kLanes) return load_lanes(p);
  T padded[kLanes] = {};
  std::memcpy(padded, p, count * sizeof(T));
  return load_lanes(static_cast<const T*>(padded));
}
template <typename T>
FIQA_INLINE void store_lanes(T* p, lanes_t<T> values, int64_t count) {
  if (count >= kLanes) return store_lanes(p, values);
  T padded[kLanes];
  store_lanes(static_cast<T*>(padded), values);
  std::memcpy(p, padded, count * sizeof(T));
}

// Statistics of channels c0.. (float, or double for double); where there are none, `none`.
template <typename A>
FIQA_INLINE typename LanesOf<A>::type channel_lanes(const void* p, int64_t c0, int64_t count,
                                                    A none) {
  if (p == nullptr) return typename LanesOf<A>::type{} + none;
  return load_lanes(static_cast<const A*>(p) + c0, count);
}

template <typename L>
FIQA_INLINE L magnitude(L values) {
  return values < 0 ? -values : values;
}

template <typename L>
FIQA_INLINE double sum_of(L values) {
  double sum = 0;
  for (int i = 0; i < kLanes; ++i) sum += values[i];
  return sum;
}

}  // namespace fiqa::cpu
