// fiqa_fast::prelu_difference for float32 and bfloat16 where the CPU has AVX-512: comparisons yield
// the bits of the mask as they are, which portable vector types cannot say.
#pragma once
#include <cstdint>

#include "ops/prelu_difference.h"

namespace fiqa::cpu::avx512 {

// Whether these loops can be used: this CPU, this dtype, this number of channels.
bool fits(DType dtype, int64_t C);

// By DType; null where there is none. Ranges as those of the portable loops.
extern void (*const forward[4])(const PreluDifference&, int64_t begin, int64_t end);
extern void (*const backward[4])(const PreluDifferenceBackward&, int64_t begin, int64_t end);

}  // namespace fiqa::cpu::avx512
