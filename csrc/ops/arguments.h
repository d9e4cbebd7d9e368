// Checks of operator arguments, shared by the files that register operators (stable ABI of torch).
//
// The operators are strict: dense memory of a known layout. The Python faces in fiqa_fast/ops bring
// any strided tensor into that form, so users meet these messages only when they call
// torch.ops.fiqa_fast.* themselves.
#pragma once
#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>

#include <cstdint>
#include <limits>
#include <type_traits>

#include "ops/dtype.h"

namespace fiqa {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

// An activation x[N, C, H, W] in memory.
struct ActivationShape {
  int64_t N, C, HW;
  bool channels_last;
};

inline DType dtype_of(const Tensor& x, const char* op) {
  switch (x.scalar_type()) {
    case ScalarType::Float:
      return kFloat32;
    case ScalarType::Half:
      return kFloat16;
    case ScalarType::BFloat16:
      return kBFloat16;
    case ScalarType::Double:
      return kFloat64;
    default:
      STD_TORCH_CHECK(false, op, ": expected a tensor of float32, float16, bfloat16 or float64; ",
                      "convert it with .to(torch.float32)");
  }
}

// CUDA kernels compute in float32; float64 is for references on the CPU.
inline DType cuda_dtype_of(const Tensor& x, const char* op) {
  const DType dtype = dtype_of(x, op);
  STD_TORCH_CHECK(dtype != kFloat64, op, ": expected float32, float16 or bfloat16 on CUDA, got ",
                  "float64; compute float64 references on the CPU");
  return dtype;
}

template <typename T>
T* data(const Tensor& t) {
  if constexpr (std::is_const_v<T>) {
    return static_cast<T*>(t.const_data_ptr());
  } else {
    return static_cast<T*>(t.mutable_data_ptr());
  }
}

// The dtype in which statistics of x are kept: float64 for float64, else float32.
inline ScalarType statistics_dtype(const Tensor& x) {
  return x.scalar_type() == ScalarType::Double ? ScalarType::Double : ScalarType::Float;
}

// The stride of a dimension of size 1 means nothing, here as in torch: a slice may have any there.
inline bool is_channels_last(const Tensor& x) {
  if (x.dim() != 4) return false;
  int64_t expected = 1;
  for (const int d : {1, 3, 2, 0}) {
    if (x.size(d) != 1 && x.stride(d) != expected) return false;
    expected *= x.size(d);
  }
  return true;
}

inline ActivationShape activation_shape(const Tensor& x, const char* op) {
  STD_TORCH_CHECK(x.dim() == 4, op, ": expected x of shape [N, C, H, W], got ", x.dim(),
                  " dimensions");
  const bool contiguous = x.is_contiguous();
  STD_TORCH_CHECK(contiguous || is_channels_last(x), op,
                  ": expected x contiguous or channels_last; call x.contiguous() first");
  const ActivationShape s{x.size(0), x.size(1), x.size(2) * x.size(3), !contiguous};
  STD_TORCH_CHECK(s.C > 0 && s.HW > 0, op, ": expected x of shape [N, C, H, W] with C, H, W > 0, ",
                  "got C=", s.C, ", H*W=", s.HW);
  const int64_t limit = std::numeric_limits<int32_t>::max();
  STD_TORCH_CHECK(s.N * s.C <= limit && s.C * s.HW <= limit, op,
                  ": expected N*C and C*H*W below 2^31, got N=", s.N, ", C=", s.C, ", H*W=", s.HW);
  return s;
}

// A dense float32 (float64 for a float64 x) argument with `size` elements on the device of x.
inline void check_statistic(const Tensor& t, const Tensor& x, int64_t size, const char* name,
                            const char* op) {
  STD_TORCH_CHECK(t.scalar_type() == statistics_dtype(x), op, ": expected ", name,
                  " in float32 (float64 for a float64 x)");
  STD_TORCH_CHECK(t.numel() == size && t.is_contiguous(), op, ": expected contiguous ", name,
                  " with ", size, " elements, got ", t.numel());
  STD_TORCH_CHECK(t.device() == x.device(), op, ": expected ", name, " on the device of x");
}

#if defined(FIQA_WITH_CUDA)
// Makes the device of x current while it lives, and gives torch's current stream there.
class CudaScope {
 public:
  explicit CudaScope(const Tensor& x)
      : guard_(x.get_device_index()),
        stream_(torch::stable::accelerator::getCurrentStream(x.get_device_index()).nativeHandle()) {
  }
  void* stream() const { return stream_; }

 private:
  torch::stable::accelerator::DeviceGuard guard_;
  void* stream_;
};
#elif defined(FIQA_CUDA_EMU)
// The test build runs the CUDA kernels on the CPU: no device, no stream.
class CudaScope {
 public:
  explicit CudaScope(const Tensor&) {}
  void* stream() const { return nullptr; }
};
#endif

inline void check_launch(int error, const char* op) {
  STD_TORCH_CHECK(error == 0, op, ": the CUDA kernel could not be launched, cudaError ", error);
}

}  // namespace fiqa
