// Kernels behind fiqa_fast::abs_sum: out[n] = sum of |x[n, :]|. Raw pointers and sizes, no torch.
#pragma once
#include <cstdint>

#include "ops/dtype.h"

namespace fiqa::cpu {

// `out` is double for kFloat64, else float.
void abs_sum(DType dtype, const void* x,  // [N, M]
             void* out,                   // [N]
             int64_t N, int64_t M);

}  // namespace fiqa::cpu

extern "C" {

// How many parts of M are summed apart before they are added; it depends on M alone.
int64_t fiqa_cuda_abs_sum_splits(int64_t M);

// CUDA launcher: float32, float16 or bfloat16; returns 0 or a cudaError_t.
int fiqa_cuda_abs_sum(fiqa::DType dtype, const void* x, float* out,
                      float* workspace,  // [N, splits]
                      int64_t N, int64_t M, void* stream);
}
