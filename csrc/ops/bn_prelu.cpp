#include "ops/bn_prelu.h"

#include "ops/fused_arguments.h"
#include "ops/registration.h"

namespace fiqa {
namespace {

constexpr const char* kOp = "fiqa_fast::bn_prelu";
constexpr const char* kBackwardOp = "fiqa_fast::bn_prelu_backward";

BnPrelu checked(const Tensor& x, const Tensor& scale, const Tensor& shift, const Tensor& slope,
                const Tensor& y, const Tensor& moments) {
  const auto [N, HW, C] = channels_last_shape(x, "x", kOp);
  BnPrelu a{};
  a.N = N, a.HW = HW, a.C = C;
  a.x = x.const_data_ptr();
  a.scale = per_channel(scale, x, "scale", kOp);
  a.shift = per_channel(shift, x, "shift", kOp);
  a.slope = per_channel_or_none(slope, x, "slope", kOp);
  a.y = output_like(y, x, "y", kOp);
  a.moments = rows_or_none(moments, x, "moments", kOp);
  return a;
}

BnPreluBackward checked_backward(const Tensor& grad, const Tensor& x, const Tensor& scale,
                                 const Tensor& shift, const Tensor& slope, const Tensor& terms,
                                 const Tensor& grad_x, const Tensor& abs_sum) {
  const auto [N, HW, C] = channels_last_shape(x, "x", kBackwardOp);
  BnPreluBackward a{};
  a.N = N, a.HW = HW, a.C = C;
  a.grad = input_like(grad, x, "grad", kBackwardOp);
  a.x = x.const_data_ptr();
  a.scale = per_channel(scale, x, "scale", kBackwardOp);
  a.shift = per_channel(shift, x, "shift", kBackwardOp);
  a.slope = per_channel_or_none(slope, x, "slope", kBackwardOp);
  a.terms = const_rows_or_none(terms, x, "terms", kBackwardOp);
  a.grad_x = output_like(grad_x, x, "grad_x", kBackwardOp);
  a.abs_sum = per_sample_or_none(abs_sum, x, "abs_sum", kBackwardOp);
  return a;
}

[[maybe_unused]] void bn_prelu_cpu(Tensor x, Tensor scale, Tensor shift, Tensor slope, Tensor y,
                                   Tensor moments) {
  cpu::bn_prelu(dtype_of(x, kOp), checked(x, scale, shift, slope, y, moments));
}

[[maybe_unused]] void bn_prelu_backward_cpu(Tensor grad, Tensor x, Tensor scale, Tensor shift,
                                            Tensor slope, Tensor terms, Tensor grad_x,
                                            Tensor abs_sum) {
  cpu::bn_prelu_backward(dtype_of(x, kBackwardOp),
                         checked_backward(grad, x, scale, shift, slope, terms, grad_x, abs_sum));
}

#if defined(FIQA_WITH_CUDA) || defined(FIQA_CUDA_EMU)
void bn_prelu_cuda(Tensor x, Tensor scale, Tensor shift, Tensor slope, Tensor y, Tensor moments) {
  const BnPrelu a = checked(x, scale, shift, slope, y, moments);
  const DType dtype = cuda_dtype_of(x, kOp);
  Tensor workspace = cuda_workspace(x, fiqa_cuda_bn_prelu_workspace(&a));
  const CudaScope cuda(x);
  check_launch(fiqa_cuda_bn_prelu(dtype, &a, data<float>(workspace), cuda.stream()), kOp);
}

void bn_prelu_backward_cuda(Tensor grad, Tensor x, Tensor scale, Tensor shift, Tensor slope,
                            Tensor terms, Tensor grad_x, Tensor abs_sum) {
  const BnPreluBackward a = checked_backward(grad, x, scale, shift, slope, terms, grad_x, abs_sum);
  const DType dtype = cuda_dtype_of(x, kBackwardOp);
  Tensor workspace = cuda_workspace(x, fiqa_cuda_bn_prelu_backward_workspace(&a));
  const CudaScope cuda(x);
  check_launch(fiqa_cuda_bn_prelu_backward(dtype, &a, data<float>(workspace), cuda.stream()),
               kBackwardOp);
}
#endif

}  // namespace

// Outputs are arguments: they may be slices of larger buffers, or take the place of an input.
FIQA_REGISTER_OP("bn_prelu",
                 "bn_prelu(Tensor x, Tensor scale, Tensor shift, Tensor slope, Tensor(a!) y,"
                 " Tensor(b!) moments) -> ()",
                 bn_prelu_cpu, bn_prelu_cuda)
FIQA_REGISTER_OP(
    "bn_prelu_backward",
    "bn_prelu_backward(Tensor grad, Tensor x, Tensor scale, Tensor shift, Tensor slope,"
    " Tensor terms, Tensor(a!) grad_x, Tensor(b!) abs_sum) -> ()",
    bn_prelu_backward_cpu, bn_prelu_backward_cuda)

}  // namespace fiqa
