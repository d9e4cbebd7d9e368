#include "ops/sign_step.h"

#include "ops/registration.h"

namespace fiqa {
namespace {

constexpr const char* kOp = "fiqa_fast::sign_step";

void check(const Tensor& x, const Tensor& grad, double low, double high) {
  STD_TORCH_CHECK(x.dim() == grad.dim(), kOp, ": expected grad of the shape of x, got ", grad.dim(),
                  " dimensions instead of ", x.dim());
  for (int64_t d = 0; d < x.dim(); ++d) {
    STD_TORCH_CHECK(x.size(d) == grad.size(d), kOp, ": expected grad of the shape of x, got size ",
                    grad.size(d), " instead of ", x.size(d), " in dimension ", d);
  }
  STD_TORCH_CHECK(x.scalar_type() == grad.scalar_type(), kOp,
                  ": expected grad of the dtype of x; convert it with grad.to(x.dtype)");
  STD_TORCH_CHECK(x.device() == grad.device(), kOp, ": expected grad on the device of x");
  const bool same_layout = (x.is_contiguous() && grad.is_contiguous()) ||
                           (is_channels_last(x) && is_channels_last(grad));
  STD_TORCH_CHECK(same_layout, kOp, ": expected x and grad both contiguous or both channels_last; ",
                  "call .contiguous() on both first");
  STD_TORCH_CHECK(low <= high, kOp, ": expected low <= high, got low=", low, ", high=", high);
}

[[maybe_unused]] Tensor sign_step_cpu(Tensor x, Tensor grad, double step, double low, double high) {
  check(x, grad, low, high);
  Tensor out = torch::stable::empty_like(x);
  cpu::sign_step(dtype_of(x, kOp), x.const_data_ptr(), grad.const_data_ptr(),
                 out.mutable_data_ptr(), step, low, high, x.numel());
  return out;
}

#if defined(FIQA_WITH_CUDA) || defined(FIQA_CUDA_EMU)
Tensor sign_step_cuda(Tensor x, Tensor grad, double step, double low, double high) {
  check(x, grad, low, high);
  const DType dtype = cuda_dtype_of(x, kOp);
  Tensor out = torch::stable::empty_like(x);
  const CudaScope cuda(x);
  check_launch(
      fiqa_cuda_sign_step(dtype, x.const_data_ptr(), grad.const_data_ptr(), out.mutable_data_ptr(),
                          static_cast<float>(step), static_cast<float>(low),
                          static_cast<float>(high), x.numel(), cuda.stream()),
      kOp);
  return out;
}
#endif

}  // namespace

FIQA_REGISTER_OP("sign_step",
                 "sign_step(Tensor x, Tensor grad, float step, float low, float high) -> Tensor",
                 sign_step_cpu, sign_step_cuda)

}  // namespace fiqa
