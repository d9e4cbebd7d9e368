// Kernels behind fiqa_fast::bn_discrepancy and its backward: raw pointers and sizes, no torch.
//
// For an activation x[N, C, HW] and the running statistics of the BatchNorm that reads it:
//   mean[n, c]          = average of x[n, c, :]
//   var[n, c]           = biased variance of x[n, c, :]
//   squared_error[n]    = sum over c of (mean - running_mean)^2 + (s - running_s)^2
// where s is the variance, or with use_std the standard deviation (GraFIQs, Eq. 4).
#pragma once
#include <cstdint>

#include "ops/dtype.h"

namespace fiqa::cpu {

// Statistics are double for kFloat64, else float; `channels_last` says that x is x[N, HW, C].
void bn_discrepancy(DType dtype, bool channels_last, const void* x,  // [N, C, HW]
                    const void* running_mean,                        // [C]
                    const void* running_var,                         // [C]
                    bool use_std,
                    void* mean,           // [N, C]
                    void* var,            // [N, C]
                    void* squared_error,  // [N]
                    int64_t N, int64_t C, int64_t HW);

// grad_x = alpha + beta * (x - mean)
void bn_discrepancy_backward(DType dtype, bool channels_last, const void* x,  // [N, C, HW]
                             const void* mean,                                // [N, C]
                             const void* alpha,                               // [N, C]
                             const void* beta,                                // [N, C]
                             void* grad_x,                                    // [N, C, HW]
                             int64_t N, int64_t C, int64_t HW);

}  // namespace fiqa::cpu

// CUDA launchers: dtype is float32, float16 or bfloat16; they return 0 or a cudaError_t.
extern "C" {

// How many parts of HW get partial moments of their own. It depends on the layout and on HW alone,
// so that a sample's numbers never depend on its batch.
int64_t fiqa_cuda_bn_discrepancy_splits(bool channels_last, int64_t HW);

int fiqa_cuda_bn_discrepancy(fiqa::DType dtype, bool channels_last, const void* x,
                             const float* running_mean, const float* running_var, bool use_std,
                             float* mean, float* var, float* squared_error,
                             float* workspace,  // [N, splits, C, 2]: partial mean, sum of squares
                             int64_t N, int64_t C, int64_t HW, void* stream);

int fiqa_cuda_bn_discrepancy_backward(fiqa::DType dtype, bool channels_last, const void* x,
                                      const float* mean, const float* alpha, const float* beta,
                                      void* grad_x, int64_t N, int64_t C, int64_t HW, void* stream);
}
