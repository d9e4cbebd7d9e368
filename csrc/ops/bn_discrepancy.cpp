#include "ops/bn_discrepancy.h"

#include <tuple>

#include "ops/registration.h"

namespace fiqa {
namespace {

constexpr const char* kOp = "fiqa_fast::bn_discrepancy";
constexpr const char* kBackwardOp = "fiqa_fast::bn_discrepancy_backward";

struct Outputs {
  Tensor mean, var, squared_error;
};

ActivationShape check(const Tensor& x, const Tensor& running_mean, const Tensor& running_var) {
  const ActivationShape s = activation_shape(x, kOp);
  check_statistic(running_mean, x, s.C, "running_mean", kOp);
  check_statistic(running_var, x, s.C, "running_var", kOp);
  return s;
}

Outputs allocate(const Tensor& x, const ActivationShape& s) {
  const ScalarType dtype = statistics_dtype(x);
  return {torch::stable::new_empty(x, {s.N, s.C}, dtype),
          torch::stable::new_empty(x, {s.N, s.C}, dtype),
          torch::stable::new_empty(x, {s.N}, dtype)};
}

[[maybe_unused]] std::tuple<Tensor, Tensor, Tensor> bn_discrepancy_cpu(Tensor x,  // [N, C, H, W]
                                                                       Tensor running_mean,  // [C]
                                                                       Tensor running_var,   // [C]
                                                                       bool use_std) {
  const ActivationShape s = check(x, running_mean, running_var);
  auto [mean, var, error] = allocate(x, s);
  cpu::bn_discrepancy(dtype_of(x, kOp), s.channels_last, x.const_data_ptr(),
                      running_mean.const_data_ptr(), running_var.const_data_ptr(), use_std,
                      mean.mutable_data_ptr(), var.mutable_data_ptr(), error.mutable_data_ptr(),
                      s.N, s.C, s.HW);
  return {mean, var, error};
}

ActivationShape check_backward(const Tensor& x, const Tensor& mean, const Tensor& alpha,
                               const Tensor& beta) {
  const ActivationShape s = activation_shape(x, kBackwardOp);
  check_statistic(mean, x, s.N * s.C, "mean", kBackwardOp);
  check_statistic(alpha, x, s.N * s.C, "alpha", kBackwardOp);
  check_statistic(beta, x, s.N * s.C, "beta", kBackwardOp);
  return s;
}

[[maybe_unused]] Tensor bn_discrepancy_backward_cpu(Tensor x,       // [N, C, H, W]
                                                    Tensor mean,    // [N, C]
                                                    Tensor alpha,   // [N, C]
                                                    Tensor beta) {  // [N, C]
  const ActivationShape s = check_backward(x, mean, alpha, beta);
  Tensor grad_x = torch::stable::empty_like(x);
  cpu::bn_discrepancy_backward(dtype_of(x, kBackwardOp), s.channels_last, x.const_data_ptr(),
                               mean.const_data_ptr(), alpha.const_data_ptr(), beta.const_data_ptr(),
                               grad_x.mutable_data_ptr(), s.N, s.C, s.HW);
  return grad_x;
}

#if defined(FIQA_WITH_CUDA) || defined(FIQA_CUDA_EMU)
std::tuple<Tensor, Tensor, Tensor> bn_discrepancy_cuda(Tensor x,             // [N, C, H, W]
                                                       Tensor running_mean,  // [C]
                                                       Tensor running_var,   // [C]
                                                       bool use_std) {
  const ActivationShape s = check(x, running_mean, running_var);
  const DType dtype = cuda_dtype_of(x, kOp);
  auto [mean, var, error] = allocate(x, s);
  const int64_t splits = fiqa_cuda_bn_discrepancy_splits(s.channels_last, s.HW);
  Tensor workspace = torch::stable::new_empty(x, {s.N, splits, s.C, 2}, ScalarType::Float);
  const CudaScope cuda(x);
  check_launch(fiqa_cuda_bn_discrepancy(
                   dtype, s.channels_last, x.const_data_ptr(), data<const float>(running_mean),
                   data<const float>(running_var), use_std, data<float>(mean), data<float>(var),
                   data<float>(error), data<float>(workspace), s.N, s.C, s.HW, cuda.stream()),
               kOp);
  return {mean, var, error};
}

Tensor bn_discrepancy_backward_cuda(Tensor x,       // [N, C, H, W]
                                    Tensor mean,    // [N, C]
                                    Tensor alpha,   // [N, C]
                                    Tensor beta) {  // [N, C]
  const ActivationShape s = check_backward(x, mean, alpha, beta);
  const DType dtype = cuda_dtype_of(x, kBackwardOp);
  Tensor grad_x = torch::stable::empty_like(x);
  const CudaScope cuda(x);
  check_launch(fiqa_cuda_bn_discrepancy_backward(dtype, s.channels_last, x.const_data_ptr(),
                                                 data<const float>(mean), data<const float>(alpha),
                                                 data<const float>(beta), grad_x.mutable_data_ptr(),
                                                 s.N, s.C, s.HW, cuda.stream()),
               kBackwardOp);
  return grad_x;
}
#endif

}  // namespace

FIQA_REGISTER_OP("bn_discrepancy",
                 "bn_discrepancy(Tensor x, Tensor running_mean, Tensor running_var, bool use_std)"
                 " -> (Tensor mean, Tensor var, Tensor squared_error)",
                 bn_discrepancy_cpu, bn_discrepancy_cuda)
FIQA_REGISTER_OP("bn_discrepancy_backward",
                 "bn_discrepancy_backward(Tensor x, Tensor mean, Tensor alpha, Tensor beta)"
                 " -> Tensor",
                 bn_discrepancy_backward_cpu, bn_discrepancy_backward_cuda)

}  // namespace fiqa
