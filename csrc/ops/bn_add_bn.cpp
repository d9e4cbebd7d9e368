#include "ops/bn_add_bn.h"

#include "ops/fused_arguments.h"
#include "ops/registration.h"

namespace fiqa {
namespace {

constexpr const char* kOp = "fiqa_fast::bn_add_bn";
constexpr const char* kBackwardOp = "fiqa_fast::bn_add_bn_backward";

BnAddBn checked(const Tensor& x, const Tensor& scale, const Tensor& shift, const Tensor& skip,
                const Tensor& skip_scale, const Tensor& skip_shift, const Tensor& next_scale,
                const Tensor& next_shift, const Tensor& y, const Tensor& next,
                const Tensor& x_moments, const Tensor& skip_moments, const Tensor& y_moments) {
  const auto [N, HW, C] = channels_last_shape(x, "x", kOp);
  BnAddBn a{};
  a.N = N, a.HW = HW, a.C = C;
  a.x = x.const_data_ptr();
  a.scale = per_channel(scale, x, "scale", kOp);
  a.shift = per_channel(shift, x, "shift", kOp);
  a.skip = input_like(skip, x, "skip", kOp);
  a.skip_scale = per_channel_or_none(skip_scale, x, "skip_scale", kOp);
  a.skip_shift = per_channel_or_none(skip_shift, x, "skip_shift", kOp);
  check_together(skip_scale, skip_shift, "skip_scale and skip_shift", kOp);
  a.next_scale = per_channel_or_none(next_scale, x, "next_scale", kOp);
  a.next_shift = per_channel_or_none(next_shift, x, "next_shift", kOp);
  check_together(next_scale, next_shift, "next_scale and next_shift", kOp);
  a.y = output_like(y, x, "y", kOp);
  a.next = output_like_or_none(next, x, "next", kOp);
  check_together(next_scale, next, "next_scale and next", kOp);
  a.x_moments = rows_or_none(x_moments, x, "x_moments", kOp);
  a.skip_moments = rows_or_none(skip_moments, x, "skip_moments", kOp);
  a.y_moments = rows_or_none(y_moments, x, "y_moments", kOp);
  return a;
}

BnAddBnBackward checked_backward(const Tensor& grad, const Tensor& other, const Tensor& y,
                                 const Tensor& y_terms, const Tensor& x, const Tensor& scale,
                                 const Tensor& x_terms, const Tensor& total, const Tensor& grad_x,
                                 const Tensor& abs_sum) {
  const auto [N, HW, C] = channels_last_shape(total, "total", kBackwardOp);
  BnAddBnBackward a{};
  a.N = N, a.HW = HW, a.C = C;
  a.grad = input_like_or_none(grad, total, "grad", kBackwardOp);
  a.other = input_like_or_none(other, total, "other", kBackwardOp);
  a.y = input_like_or_none(y, total, "y", kBackwardOp);
  a.y_terms = const_rows_or_none(y_terms, total, "y_terms", kBackwardOp);
  check_together(y, y_terms, "y and y_terms", kBackwardOp);
  a.x = input_like_or_none(x, total, "x", kBackwardOp);
  a.scale = per_channel_or_none(scale, total, "scale", kBackwardOp);
  check_together(x, scale, "x and scale", kBackwardOp);
  a.x_terms = const_rows_or_none(x_terms, total, "x_terms", kBackwardOp);
  a.total = total.mutable_data_ptr();
  a.grad_x = output_like_or_none(grad_x, total, "grad_x", kBackwardOp);
  check_together(x, grad_x, "x and grad_x", kBackwardOp);
  a.abs_sum = per_sample_or_none(abs_sum, total, "abs_sum", kBackwardOp);
  return a;
}

[[maybe_unused]] void bn_add_bn_cpu(Tensor x, Tensor scale, Tensor shift, Tensor skip,
                                    Tensor skip_scale, Tensor skip_shift, Tensor next_scale,
                                    Tensor next_shift, Tensor y, Tensor next, Tensor x_moments,
                                    Tensor skip_moments, Tensor y_moments) {
  cpu::bn_add_bn(dtype_of(x, kOp),
                 checked(x, scale, shift, skip, skip_scale, skip_shift, next_scale, next_shift, y,
                         next, x_moments, skip_moments, y_moments));
}

[[maybe_unused]] void bn_add_bn_backward_cpu(Tensor grad, Tensor other, Tensor y, Tensor y_terms,
                                             Tensor x, Tensor scale, Tensor x_terms, Tensor total,
                                             Tensor grad_x, Tensor abs_sum) {
  cpu::bn_add_bn_backward(
      dtype_of(total, kBackwardOp),
      checked_backward(grad, other, y, y_terms, x, scale, x_terms, total, grad_x, abs_sum));
}

#if defined(FIQA_WITH_CUDA) || defined(FIQA_CUDA_EMU)
void bn_add_bn_cuda(Tensor x, Tensor scale, Tensor shift, Tensor skip, Tensor skip_scale,
                    Tensor skip_shift, Tensor next_scale, Tensor next_shift, Tensor y, Tensor next,
                    Tensor x_moments, Tensor skip_moments, Tensor y_moments) {
  const BnAddBn a = checked(x, scale, shift, skip, skip_scale, skip_shift, next_scale, next_shift,
                            y, next, x_moments, skip_moments, y_moments);
  const DType dtype = cuda_dtype_of(x, kOp);
  Tensor workspace = cuda_workspace(x, fiqa_cuda_bn_add_bn_workspace(&a));
  const CudaScope cuda(x);
  check_launch(fiqa_cuda_bn_add_bn(dtype, &a, data<float>(workspace), cuda.stream()), kOp);
}

void bn_add_bn_backward_cuda(Tensor grad, Tensor other, Tensor y, Tensor y_terms, Tensor x,
                             Tensor scale, Tensor x_terms, Tensor total, Tensor grad_x,
                             Tensor abs_sum) {
  const BnAddBnBackward a =
      checked_backward(grad, other, y, y_terms, x, scale, x_terms, total, grad_x, abs_sum);
  const DType dtype = cuda_dtype_of(total, kBackwardOp);
  Tensor workspace = cuda_workspace(total, fiqa_cuda_bn_add_bn_backward_workspace(&a));
  const CudaScope cuda(total);
  check_launch(fiqa_cuda_bn_add_bn_backward(dtype, &a, data<float>(workspace), cuda.stream()),
               kBackwardOp);
}
#endif

}  // namespace

FIQA_REGISTER_OP("bn_add_bn",
                 "bn_add_bn(Tensor x, Tensor scale, Tensor shift, Tensor skip, Tensor skip_scale,"
                 " Tensor skip_shift, Tensor next_scale, Tensor next_shift, Tensor(a!) y,"
                 " Tensor(b!) next, Tensor(c!) x_moments, Tensor(d!) skip_moments,"
                 " Tensor(e!) y_moments) -> ()",
                 bn_add_bn_cpu, bn_add_bn_cuda)
FIQA_REGISTER_OP("bn_add_bn_backward",
                 "bn_add_bn_backward(Tensor grad, Tensor other, Tensor y, Tensor y_terms, Tensor x,"
                 " Tensor scale, Tensor x_terms, Tensor(a!) total, Tensor(b!) grad_x,"
                 " Tensor(c!) abs_sum) -> ()",
                 bn_add_bn_backward_cpu, bn_add_bn_backward_cuda)

}  // namespace fiqa
