// CPU kernel of fiqa_fast::dropout_copies: draws, compares and writes in one pass. Where the CPU
// has AVX-512, eight blocks advance together in 64-bit lanes: of those a multiplication reads only
// the low halves, so nothing is ever masked or shuffled.
#include "ops/dropout_copies.h"

#include <torch/csrc/stable/ops.h>

#include <algorithm>

#include "ops/cpu/element.h"
#include "philox.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define FIQA_DROPOUT_AVX512
#endif

namespace fiqa::cpu {
namespace {

constexpr int64_t kRun = 4096;  // features of one task

template <typename T>
void portable(const DropoutCopies& a, int64_t n, int64_t t, int64_t begin, int64_t end) {
  const T* x = static_cast<const T*>(a.x) + n * a.F;
  T* out = static_cast<T*>(a.out) + (n * a.T + t) * a.F;
  for (int64_t f = begin; f < end; f += 4) {
    const auto index = static_cast<uint32_t>((t * a.F + f) / 4);
    const auto block = philox::block(a.seed, a.stream, static_cast<uint64_t>(a.sample[n]), index);
    for (int i = 0; i < 4; ++i) out[f + i] = block.word[i] >= a.threshold ? x[f + i] : T{};
  }
}

#ifdef FIQA_DROPOUT_AVX512
#define FIQA_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,bmi2")))

bool has_avx512() {
  static const bool has = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                          __builtin_cpu_supports("avx512vl") &&
                          __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("bmi2");
  return has;
}

// Bit i says whether value 4 * index + i is kept, for 32 values from eight blocks.
FIQA_AVX512 inline __attribute__((always_inline)) uint32_t kept(const DropoutCopies& a,
                                                                uint64_t sample, uint32_t index) {
  const __m512i multiplier0 = _mm512_set1_epi64(philox::kMultiplier0);
  const __m512i multiplier1 = _mm512_set1_epi64(philox::kMultiplier1);
  __m512i w0 =
      _mm512_add_epi64(_mm512_set1_epi64(index), _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7));
  __m512i w1 = _mm512_set1_epi64(a.stream);
  __m512i w2 = _mm512_set1_epi64(static_cast<int64_t>(sample & 0xffffffffu));
  __m512i w3 = _mm512_set1_epi64(static_cast<int64_t>(sample >> 32));
  uint32_t key0 = static_cast<uint32_t>(a.seed), key1 = static_cast<uint32_t>(a.seed >> 32);
#pragma GCC unroll 10
  for (int round = 0; round < philox::kRounds; ++round) {
    const __m512i low = _mm512_mul_epu32(w0, multiplier0);
    const __m512i high = _mm512_mul_epu32(w2, multiplier1);
    w0 = _mm512_ternarylogic_epi64(_mm512_srli_epi64(high, 32), w1, _mm512_set1_epi64(key0), 0x96);
    w1 = high;
    w2 = _mm512_ternarylogic_epi64(_mm512_srli_epi64(low, 32), w3, _mm512_set1_epi64(key1), 0x96);
    w3 = low;
    key0 += philox::kKeyStep0;
    key1 += philox::kKeyStep1;
  }
  // The low halves decide: compared at the top of the lanes.
  const __m512i threshold = _mm512_set1_epi64(static_cast<int64_t>(uint64_t{a.threshold} << 32));
  const auto at_least = [threshold](__m512i w) __attribute__((target("avx512f"))) {
    return static_cast<uint32_t>(_mm512_cmpge_epu64_mask(_mm512_slli_epi64(w, 32), threshold));
  };
  return _pdep_u32(at_least(w0), 0x11111111u) | _pdep_u32(at_least(w1), 0x22222222u) |
         _pdep_u32(at_least(w2), 0x44444444u) | _pdep_u32(at_least(w3), 0x88888888u);
}

FIQA_AVX512 void copies_16_bit(const DropoutCopies& a, int64_t n, int64_t t, int64_t begin,
                               int64_t end) {
  const uint16_t* x = static_cast<const uint16_t*>(a.x) + n * a.F;
  uint16_t* out = static_cast<uint16_t*>(a.out) + (n * a.T + t) * a.F;
  for (int64_t f = begin; f < end; f += 32) {
    const auto index = static_cast<uint32_t>((t * a.F + f) / 4);
    const __mmask32 mask = kept(a, static_cast<uint64_t>(a.sample[n]), index);
    _mm512_storeu_si512(out + f, _mm512_maskz_loadu_epi16(mask, x + f));
  }
}

FIQA_AVX512 void copies_32_bit(const DropoutCopies& a, int64_t n, int64_t t, int64_t begin,
                               int64_t end) {
  const uint32_t* x = static_cast<const uint32_t*>(a.x) + n * a.F;
  uint32_t* out = static_cast<uint32_t*>(a.out) + (n * a.T + t) * a.F;
  for (int64_t f = begin; f < end; f += 32) {
    const auto index = static_cast<uint32_t>((t * a.F + f) / 4);
    const uint32_t mask = kept(a, static_cast<uint64_t>(a.sample[n]), index);
    _mm512_storeu_si512(out + f, _mm512_maskz_loadu_epi32(static_cast<__mmask16>(mask), x + f));
    _mm512_storeu_si512(out + f + 16,
                        _mm512_maskz_loadu_epi32(static_cast<__mmask16>(mask >> 16), x + f + 16));
  }
}
#endif

using Loop = void (*)(const DropoutCopies&, int64_t, int64_t, int64_t, int64_t);

Loop loop_for(DType dtype, int64_t F) {
#ifdef FIQA_DROPOUT_AVX512
  if (F % 32 == 0 && has_avx512() && dtype != kFloat64) {
    return dtype == kFloat32 ? copies_32_bit : copies_16_bit;
  }
#endif
  (void)F;
  constexpr Loop loops[] = {portable<uint32_t>, portable<uint16_t>, portable<uint16_t>,
                            portable<uint64_t>};  // values are moved, not computed with
  return loops[dtype];
}

}  // namespace

void dropout_copies(DType dtype, const DropoutCopies& a) {
  const Loop loop = loop_for(dtype, a.F);
  const int64_t runs = (a.F + kRun - 1) / kRun;
  torch::stable::parallel_for(0, a.N * a.T * runs, 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t row = task / runs, first = task % runs * kRun;
      loop(a, row / a.T, row % a.T, first, std::min(first + kRun, a.F));
    }
  });
}

}  // namespace fiqa::cpu
