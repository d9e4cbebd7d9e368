// Kernels behind fiqa_fast::sign_step: out = clamp(x + step * sign(grad), low, high), the step of
// FaceQAN's attack. sign(0) is 0; NaN in x or grad stays NaN. Raw pointers and sizes, no torch.
#pragma once
#include <cstdint>

#include "ops/dtype.h"

namespace fiqa::cpu {

void sign_step(DType dtype, const void* x, const void* grad, void* out, double step, double low,
               double high, int64_t count);

}  // namespace fiqa::cpu

extern "C" {

// CUDA launcher: float32, float16 or bfloat16; returns 0 or a cudaError_t.
int fiqa_cuda_sign_step(fiqa::DType dtype, const void* x, const void* grad, void* out, float step,
                        float low, float high, int64_t count, void* stream);
}
