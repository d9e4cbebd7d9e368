// Kernels behind fiqa_fast::prelu_difference and its backward: raw pointers and sizes, no torch.
//
// FaceQAN's noise is too small for low precision, its effect is not: only the difference d to the
// unperturbed image travels. With z = scale * x + shift of the image, which k copies share,
//   out  = f(z + d) - f(z),  f(z) = z > 0 ? z : slope * z
//   mask = z + d > 0, one bit for each element
// and backward
//   grad_d = (mask ? 1 : slope) * grad
// Where z and z + d have the same sign, out is d or slope * d: nothing cancels.
#pragma once
#include <cstdint>

#include "ops/dtype.h"

namespace fiqa {

struct PreluDifference {
  const void* d;        // [N * k, HW, C], the copies of an image one after the other
  const void* x;        // [N, HW, C]
  const void* scale;    // [C], double for kFloat64, else float, as all statistics
  const void* shift;    // [C]
  const void* slope;    // [C]
  void* out;            // [N * k, HW, C], may be d
  uint8_t* mask;        // [N * k, HW, C / 8]: channel c is bit c % 8 of byte c / 8; or null
  int64_t N, k, HW, C;  // C is a multiple of 8
};

struct PreluDifferenceBackward {
  const void* grad;     // [N, HW, C]
  const uint8_t* mask;  // [N, HW, C / 8]
  const void* slope;    // [C]
  void* grad_d;         // [N, HW, C], may be grad
  int64_t N, HW, C;
};

namespace cpu {
void prelu_difference(DType dtype, const PreluDifference& arguments);
void prelu_difference_backward(DType dtype, const PreluDifferenceBackward& arguments);
}  // namespace cpu

}  // namespace fiqa

// CUDA launchers: dtype is float32, float16 or bfloat16; they return 0 or a cudaError_t.
extern "C" {
int fiqa_cuda_prelu_difference(fiqa::DType dtype, const fiqa::PreluDifference* arguments,
                               void* stream);
int fiqa_cuda_prelu_difference_backward(fiqa::DType dtype,
                                        const fiqa::PreluDifferenceBackward* arguments,
                                        void* stream);
}
