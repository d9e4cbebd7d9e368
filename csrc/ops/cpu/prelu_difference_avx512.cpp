#include "ops/cpu/prelu_difference_avx512.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

#include <algorithm>

#include "ops/cpu/chunks.h"
#include "ops/cpu/element.h"

#define FIQA_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq")))
#define FIQA_AVX512_INLINE inline __attribute__((always_inline)) FIQA_AVX512

namespace fiqa::cpu::avx512 {
namespace {

constexpr int kWidth = 16;

FIQA_AVX512_INLINE __m512 load(const float* p) { return _mm512_loadu_ps(p); }
FIQA_AVX512_INLINE __m512 load(const BFloat16* p) {
  const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}

FIQA_AVX512_INLINE void store(float* p, __m512 values) { _mm512_storeu_ps(p, values); }
FIQA_AVX512_INLINE void store(BFloat16* p, __m512 values) {  // to nearest even; NaN stays NaN
  const __m512i bits = _mm512_castps_si512(values);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i up = _mm512_add_epi32(_mm512_set1_epi32(0x7fff), odd);
  __m512i rounded = _mm512_srli_epi32(_mm512_add_epi32(bits, up), 16);
  const __mmask16 nan = _mm512_cmp_ps_mask(values, values, _CMP_UNORD_Q);
  rounded = _mm512_mask_mov_epi32(rounded, nan, _mm512_set1_epi32(0x7fc0));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(rounded));
}

FIQA_AVX512_INLINE __mmask16 positive(__m512 values) {
  return _mm512_cmp_ps_mask(values, _mm512_setzero_ps(), _CMP_GT_OQ);
}
// values where `kept`, else slope * values
FIQA_AVX512_INLINE __m512 bent(__mmask16 kept, __m512 values, __m512 slope) {
  return _mm512_mask_mul_ps(values, _knot_mask16(kept), values, slope);
}

template <typename T>
FIQA_AVX512_INLINE void forward_tasks(const PreluDifference& a, int64_t begin, int64_t end) {
  const float* scale = static_cast<const float*>(a.scale);
  const float* shift = static_cast<const float*>(a.shift);
  const float* slope = static_cast<const float*>(a.slope);
  const int64_t chunks = chunks_of(a.HW);
  for (int64_t task = begin; task < end; ++task) {
    const int64_t n = task / chunks, first = task % chunks * kChunk;
    const int64_t last = std::min(first + kChunk, a.HW);
    for (int64_t copy = n * a.k; copy < (n + 1) * a.k; ++copy) {
      for (int64_t p = first; p < last; ++p) {
        const T* x = static_cast<const T*>(a.x) + (n * a.HW + p) * a.C;
        const int64_t at = (copy * a.HW + p) * a.C;
        const T* d = static_cast<const T*>(a.d) + at;
        T* out = static_cast<T*>(a.out) + at;
        for (int64_t c = 0; c < a.C; c += kWidth) {
          const __m512 s = _mm512_loadu_ps(slope + c), delta = load(d + c);
          const __m512 z =
              _mm512_fmadd_ps(_mm512_loadu_ps(scale + c), load(x + c), _mm512_loadu_ps(shift + c));
          const __m512 moved = _mm512_add_ps(z, delta);
          const __mmask16 on = positive(moved), was_on = positive(z);
          const __m512 crossed = _mm512_sub_ps(bent(on, moved, s), bent(was_on, z, s));
          const __mmask16 same = _kxnor_mask16(on, was_on);
          store(out + c, _mm512_mask_mov_ps(crossed, same, bent(on, delta, s)));
          if (a.mask != nullptr) {
            const uint16_t bits = static_cast<uint16_t>(on);
            __builtin_memcpy(a.mask + (at + c) / 8, &bits, sizeof(bits));
          }
        }
      }
    }
  }
}

template <typename T>
FIQA_AVX512_INLINE void backward_pixels(const PreluDifferenceBackward& a, int64_t begin,
                                        int64_t end) {
  const float* slope = static_cast<const float*>(a.slope);
  for (int64_t pixel = begin; pixel < end; ++pixel) {
    const int64_t at = pixel * a.C;
    const T* grad = static_cast<const T*>(a.grad) + at;
    T* grad_d = static_cast<T*>(a.grad_d) + at;
    for (int64_t c = 0; c < a.C; c += kWidth) {
      uint16_t bits;
      __builtin_memcpy(&bits, a.mask + (at + c) / 8, sizeof(bits));
      store(grad_d + c,
            bent(static_cast<__mmask16>(bits), load(grad + c), _mm512_loadu_ps(slope + c)));
    }
  }
}

FIQA_AVX512 void forward_float32(const PreluDifference& a, int64_t begin, int64_t end) {
  forward_tasks<float>(a, begin, end);
}
FIQA_AVX512 void forward_bfloat16(const PreluDifference& a, int64_t begin, int64_t end) {
  forward_tasks<BFloat16>(a, begin, end);
}
FIQA_AVX512 void backward_float32(const PreluDifferenceBackward& a, int64_t begin, int64_t end) {
  backward_pixels<float>(a, begin, end);
}
FIQA_AVX512 void backward_bfloat16(const PreluDifferenceBackward& a, int64_t begin, int64_t end) {
  backward_pixels<BFloat16>(a, begin, end);
}

bool has_avx512() {
  static const bool has = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                          __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  return has;
}

}  // namespace

bool fits(DType dtype, int64_t C) {
  return (dtype == kFloat32 || dtype == kBFloat16) && C % kWidth == 0 && has_avx512();
}

void (*const forward[4])(const PreluDifference&, int64_t, int64_t) = {forward_float32, nullptr,
                                                                      forward_bfloat16, nullptr};
void (*const backward[4])(const PreluDifferenceBackward&, int64_t, int64_t) = {
    backward_float32, nullptr, backward_bfloat16, nullptr};

}  // namespace fiqa::cpu::avx512
#else
namespace fiqa::cpu::avx512 {

bool fits(DType, int64_t) { return false; }
void (*const forward[4])(const PreluDifference&, int64_t, int64_t) = {};
void (*const backward[4])(const PreluDifferenceBackward&, int64_t, int64_t) = {};

}  // namespace fiqa::cpu::avx512
#endif
