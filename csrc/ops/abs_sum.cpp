#include "ops/abs_sum.h"

#include "ops/registration.h"

namespace fiqa {
namespace {

constexpr const char* kOp = "fiqa_fast::abs_sum";

struct Samples {
  int64_t N, M;
};

Samples check(const Tensor& x) {
  STD_TORCH_CHECK(x.dim() >= 1, kOp, ": expected x of shape [N, ...], got a scalar");
  STD_TORCH_CHECK(x.is_contiguous() || is_channels_last(x), kOp,
                  ": expected x contiguous or channels_last; call x.contiguous() first");
  const int64_t N = x.size(0);
  return {N, N == 0 ? 0 : x.numel() / N};
}

[[maybe_unused]] Tensor abs_sum_cpu(Tensor x) {  // [N, ...] -> [N]
  const auto [N, M] = check(x);
  Tensor out = torch::stable::new_empty(x, {N}, statistics_dtype(x));
  cpu::abs_sum(dtype_of(x, kOp), x.const_data_ptr(), out.mutable_data_ptr(), N, M);
  return out;
}

#if defined(FIQA_WITH_CUDA) || defined(FIQA_CUDA_EMU)
Tensor abs_sum_cuda(Tensor x) {  // [N, ...] -> [N]
  const auto [N, M] = check(x);
  const DType dtype = cuda_dtype_of(x, kOp);
  Tensor out = torch::stable::new_empty(x, {N}, ScalarType::Float);
  Tensor workspace =
      torch::stable::new_empty(x, {N, fiqa_cuda_abs_sum_splits(M)}, ScalarType::Float);
  const CudaScope cuda(x);
  check_launch(fiqa_cuda_abs_sum(dtype, x.const_data_ptr(), data<float>(out),
                                 data<float>(workspace), N, M, cuda.stream()),
               kOp);
  return out;
}
#endif

}  // namespace

FIQA_REGISTER_OP("abs_sum", "abs_sum(Tensor x) -> Tensor", abs_sum_cpu, abs_sum_cuda)

}  // namespace fiqa
