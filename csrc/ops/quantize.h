// Kernels behind fiqa_fast::quantize: BatchNorm in inference, PReLU, and the step to 8-bit integers
// in one pass over an activation. For convolutions of integers on the CPU; raw pointers, no torch.
#pragma once
#include <cstdint>

#include "ops/dtype.h"

namespace fiqa {

constexpr int kQuantizedZero = 128;  // what stands for 0

// q = 128 + (z > 0 ? z : slope * z) rounded to the nearest integer (to the even one of two), within
// 0..255, where z = scale * x + shift. NaN becomes 128.
struct Quantize {
  const void* x;      // [N, HW, C]
  const void* scale;  // [C]; per-channel numbers are double for kFloat64, else float
  const void* shift;  // [C], or null: 0
  const void* slope;  // [C], or null: q = 128 + z
  uint8_t* q;         // [N, HW, C]
  int64_t N, HW, C;
};

namespace cpu {
void quantize(DType dtype, const Quantize& arguments);
}  // namespace cpu

}  // namespace fiqa
