// Kernels behind fiqa_fast::bn_add_bn and its backward: raw pointers and sizes, no torch.
//
// Forward: the end of a residual unit and the BatchNorm that follows it, in one pass
// (channels_last):
//   y    = scale * x + shift + (skip_scale * skip + skip_shift)
//   next = next_scale * y + next_shift
//   moments of x, skip and y over HW, for each sample and channel (mean, biased variance)
// Backward, in one pass:
//   total   = grad + other + y_a + y_b * y          (a, b for each sample and channel)
//   grad_x  = scale * total + x_a + x_b * x
//   abs_sum = sum of |total| over each sample
#pragma once
#include <cstdint>

#include "ops/dtype.h"
#include "ops/rows.h"

namespace fiqa {

struct BnAddBn {
  const void* x;           // [N, HW, C]
  const void* scale;       // [C], double for kFloat64, else float, as all statistics
  const void* shift;       // [C]
  const void* skip;        // [N, HW, C]
  const void* skip_scale;  // [C], or null: the skip is added as it is
  const void* skip_shift;  // [C], or null with skip_scale
  const void* next_scale;  // [C], or null: no `next`
  const void* next_shift;  // [C], or null with next_scale
  void* y;                 // [N, HW, C], may be x or skip
  void* next;              // [N, HW, C], may be x or skip (not y), or null
  Rows x_moments, skip_moments, y_moments;
  int64_t N, HW, C;
};

struct BnAddBnBackward {
  const void* grad;   // [N, HW, C], or null: 0
  const void* other;  // [N, HW, C], or null: 0
  const void* y;      // [N, HW, C], or null with y_terms
  ConstRows y_terms;  // a, b
  const void* x;      // [N, HW, C], or null: no grad_x
  const void* scale;  // [C], or null with x
  ConstRows x_terms;  // a, b; without memory: 0
  void* total;        // [N, HW, C], may be grad or other
  void* grad_x;       // [N, HW, C], may be other (not total), or null with x
  void* abs_sum;      // [N], or null
  int64_t N, HW, C;
};

namespace cpu {
void bn_add_bn(DType dtype, const BnAddBn& arguments);
void bn_add_bn_backward(DType dtype, const BnAddBnBackward& arguments);
}  // namespace cpu

}  // namespace fiqa

// CUDA launchers: dtype is float32, float16 or bfloat16; they return 0 or a cudaError_t. The
// workspace has fiqa_cuda_bn_add_bn*_workspace floats, for partial results.
extern "C" {
int64_t fiqa_cuda_bn_add_bn_workspace(const fiqa::BnAddBn* arguments);
int fiqa_cuda_bn_add_bn(fiqa::DType dtype, const fiqa::BnAddBn* arguments, float* workspace,
                        void* stream);
int64_t fiqa_cuda_bn_add_bn_backward_workspace(const fiqa::BnAddBnBackward* arguments);
int fiqa_cuda_bn_add_bn_backward(fiqa::DType dtype, const fiqa::BnAddBnBackward* arguments,
                                 float* workspace, void* stream);
}
