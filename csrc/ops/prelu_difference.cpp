#include "ops/prelu_difference.h"

#include "ops/fused_arguments.h"
#include "ops/registration.h"

namespace fiqa {
namespace {

constexpr const char* kOp = "fiqa_fast::prelu_difference";
constexpr const char* kBackwardOp = "fiqa_fast::prelu_difference_backward";

// One bit for each element of `like`: uint8 [N, H, W, C / 8], or [0] for none.
uint8_t* mask_of(const Tensor& mask, const Tensor& like, bool required, const char* op) {
  if (!required && mask.numel() == 0) return nullptr;
  STD_TORCH_CHECK(mask.scalar_type() == ScalarType::Byte && mask.is_contiguous() &&
                      mask.numel() * 8 == like.numel() && mask.device() == like.device(),
                  op, ": expected mask as contiguous uint8 with one bit for each of ", like.numel(),
                  " elements, got ", mask.numel(), " elements");
  return static_cast<uint8_t*>(mask.mutable_data_ptr());
}

void check_channels(int64_t C, const char* op) {
  STD_TORCH_CHECK(C % 8 == 0, op, ": expected a number of channels that 8 divides, got ", C);
}

PreluDifference checked(const Tensor& d, const Tensor& x, const Tensor& scale, const Tensor& shift,
                        const Tensor& slope, const Tensor& out, const Tensor& mask) {
  const auto [N, HW, C] = channels_last_shape(x, "x", kOp);
  const auto [copies, HW_d, C_d] = channels_last_shape(d, "d", kOp);
  check_channels(C, kOp);
  STD_TORCH_CHECK(HW == HW_d && C == C_d && d.scalar_type() == x.scalar_type() &&
                      d.device() == x.device() && (N == 0 ? copies == 0 : copies % N == 0),
                  kOp, ": expected d of shape [N * k, C, H, W] for x of [N, C, H, W], of its dtype",
                  " and device");
  PreluDifference a{};
  a.N = N, a.k = N == 0 ? 0 : copies / N, a.HW = HW, a.C = C;
  a.d = d.const_data_ptr();
  a.x = x.const_data_ptr();
  a.scale = per_channel(scale, x, "scale", kOp);
  a.shift = per_channel(shift, x, "shift", kOp);
  a.slope = per_channel(slope, x, "slope", kOp);
  a.out = output_like(out, d, "out", kOp);
  a.mask = mask_of(mask, d, false, kOp);
  return a;
}

PreluDifferenceBackward checked_backward(const Tensor& grad, const Tensor& mask,
                                         const Tensor& slope, const Tensor& grad_d) {
  const auto [N, HW, C] = channels_last_shape(grad, "grad", kBackwardOp);
  check_channels(C, kBackwardOp);
  PreluDifferenceBackward a{};
  a.N = N, a.HW = HW, a.C = C;
  a.grad = grad.const_data_ptr();
  a.mask = mask_of(mask, grad, true, kBackwardOp);
  a.slope = per_channel(slope, grad, "slope", kBackwardOp);
  a.grad_d = output_like(grad_d, grad, "grad_d", kBackwardOp);
  return a;
}

[[maybe_unused]] void prelu_difference_cpu(Tensor d, Tensor x, Tensor scale, Tensor shift,
                                           Tensor slope, Tensor out, Tensor mask) {
  cpu::prelu_difference(dtype_of(d, kOp), checked(d, x, scale, shift, slope, out, mask));
}

[[maybe_unused]] void prelu_difference_backward_cpu(Tensor grad, Tensor mask, Tensor slope,
                                                    Tensor grad_d) {
  cpu::prelu_difference_backward(dtype_of(grad, kBackwardOp),
                                 checked_backward(grad, mask, slope, grad_d));
}

#if defined(FIQA_WITH_CUDA) || defined(FIQA_CUDA_EMU)
void prelu_difference_cuda(Tensor d, Tensor x, Tensor scale, Tensor shift, Tensor slope, Tensor out,
                           Tensor mask) {
  const PreluDifference a = checked(d, x, scale, shift, slope, out, mask);
  const DType dtype = cuda_dtype_of(d, kOp);
  const CudaScope cuda(d);
  check_launch(fiqa_cuda_prelu_difference(dtype, &a, cuda.stream()), kOp);
}

void prelu_difference_backward_cuda(Tensor grad, Tensor mask, Tensor slope, Tensor grad_d) {
  const PreluDifferenceBackward a = checked_backward(grad, mask, slope, grad_d);
  const DType dtype = cuda_dtype_of(grad, kBackwardOp);
  const CudaScope cuda(grad);
  check_launch(fiqa_cuda_prelu_difference_backward(dtype, &a, cuda.stream()), kBackwardOp);
}
#endif

}  // namespace

FIQA_REGISTER_OP("prelu_difference",
                 "prelu_difference(Tensor d, Tensor x, Tensor scale, Tensor shift, Tensor slope,"
                 " Tensor(a!) out, Tensor(b!) mask) -> ()",
                 prelu_difference_cpu, prelu_difference_cuda)
FIQA_REGISTER_OP("prelu_difference_backward",
                 "prelu_difference_backward(Tensor grad, Tensor mask, Tensor slope,"
                 " Tensor(a!) grad_d) -> ()",
                 prelu_difference_backward_cpu, prelu_difference_backward_cuda)

}  // namespace fiqa
