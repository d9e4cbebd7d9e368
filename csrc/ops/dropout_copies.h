// Kernels behind fiqa_fast::dropout_copies: raw pointers and sizes, no torch.
//
// T copies of each sample's features, in which value i = t * F + f of its random stream decides
// whether feature f of copy t is kept (Philox, see philox.h):
//   out[n, t, f] = word(seed, stream, sample[n], i) >= threshold ? x[n, f] : 0
#pragma once
#include <cstdint>

#include "ops/dtype.h"

namespace fiqa {

struct DropoutCopies {
  const void* x;          // [N, F]
  const int64_t* sample;  // [N], the samples' keys, unsigned
  uint64_t seed;
  uint32_t stream, threshold;
  void* out;        // [N, T, F]
  int64_t N, T, F;  // 4 divides F, so that no block of four values spans two copies
};

namespace cpu {
void dropout_copies(DType dtype, const DropoutCopies& arguments);
}  // namespace cpu

}  // namespace fiqa

// CUDA launcher: dtype is float32, float16 or bfloat16; returns 0 or a cudaError_t.
extern "C" int fiqa_cuda_dropout_copies(fiqa::DType dtype, const fiqa::DropoutCopies* arguments,
                                        void* stream);
