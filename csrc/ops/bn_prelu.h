// Kernels behind fiqa_fast::bn_prelu and its backward: raw pointers and sizes, no torch.
//
// Forward, in one pass over x[N, HW, C] (channels_last):
//   z = scale * x + shift,  y = z > 0 ? z : slope * z
//   moments: mean and biased variance of x over HW, for each sample and channel
// Backward, in one pass over grad and x:
//   grad_x  = scale * (z > 0 ? 1 : slope) * grad + a + b * x     (a, b for each sample and channel)
//   abs_sum = sum of |grad| over each sample
#pragma once
#include <cstdint>

#include "ops/dtype.h"
#include "ops/rows.h"

namespace fiqa {

struct BnPrelu {
  const void* x;      // [N, HW, C]
  const void* scale;  // [C], double for kFloat64, else float, as all statistics
  const void* shift;  // [C]
  const void* slope;  // [C], or null: y = z
  void* y;            // [N, HW, C], may be x
  Rows moments;       // mean, variance
  int64_t N, HW, C;
};

struct BnPreluBackward {
  const void* grad;   // [N, HW, C]
  const void* x;      // [N, HW, C]
  const void* scale;  // [C]
  const void* shift;  // [C]
  const void* slope;  // [C], or null: y = z
  ConstRows terms;    // a, b
  void* grad_x;       // [N, HW, C], may be grad
  void* abs_sum;      // [N], or null
  int64_t N, HW, C;
};

namespace cpu {
void bn_prelu(DType dtype, const BnPrelu& arguments);
void bn_prelu_backward(DType dtype, const BnPreluBackward& arguments);
}  // namespace cpu

}  // namespace fiqa

// CUDA launchers: dtype is float32, float16 or bfloat16; they return 0 or a cudaError_t. The
// workspace has fiqa_cuda_bn_prelu*_workspace floats, for partial results.
extern "C" {
int64_t fiqa_cuda_bn_prelu_workspace(const fiqa::BnPrelu* arguments);
int fiqa_cuda_bn_prelu(fiqa::DType dtype, const fiqa::BnPrelu* arguments, float* workspace,
                       void* stream);
int64_t fiqa_cuda_bn_prelu_backward_workspace(const fiqa::BnPreluBackward* arguments);
int fiqa_cuda_bn_prelu_backward(fiqa::DType dtype, const fiqa::BnPreluBackward* arguments,
                                float* workspace, void* stream);
}
