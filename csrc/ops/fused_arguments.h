// Checks of the arguments of the fused operators: activations in channels_last memory, statistics
// of channels, outputs that the caller provides. An empty tensor stands for "none".
#pragma once
#include "ops/arguments.h"
#include "ops/rows.h"

namespace fiqa {

struct ChannelsLastShape {
  int64_t N, HW, C;
};

inline ChannelsLastShape channels_last_shape(const Tensor& x, const char* name, const char* op) {
  STD_TORCH_CHECK(x.dim() == 4 && is_channels_last(x), op, ": expected ", name,
                  " of shape [N, C, H, W] in channels_last memory; call "
                  ".contiguous(memory_format=torch.channels_last) first");
  const ChannelsLastShape s{x.size(0), x.size(2) * x.size(3), x.size(1)};
  STD_TORCH_CHECK(s.C > 0 && s.HW > 0, op, ": expected ", name,
                  " of shape [N, C, H, W] with C, H, W > 0, got C=", s.C, ", H*W=", s.HW);
  const int64_t limit = std::numeric_limits<int32_t>::max();
  STD_TORCH_CHECK(s.N * s.C <= limit && s.C * s.HW <= limit, op,
                  ": expected N*C and C*H*W below 2^31, got N=", s.N, ", C=", s.C, ", H*W=", s.HW);
  return s;
}

inline void check_like(const Tensor& t, const Tensor& like, const char* name, const char* op) {
  bool fits = t.dim() == 4 && is_channels_last(t) && t.scalar_type() == like.scalar_type() &&
              t.device() == like.device();
  for (int d = 0; fits && d < 4; ++d) fits = t.size(d) == like.size(d);
  STD_TORCH_CHECK(fits, op, ": expected ", name,
                  " of the shape, dtype, device and channels_last memory of the activation");
}

inline const void* input_like(const Tensor& t, const Tensor& like, const char* name,
                              const char* op) {
  check_like(t, like, name, op);
  return t.const_data_ptr();
}

inline void* output_like(const Tensor& t, const Tensor& like, const char* name, const char* op) {
  check_like(t, like, name, op);
  return t.mutable_data_ptr();
}

// A batch of no sample has empty activations: "none" is told by the number of dimensions.
inline bool is_none(const Tensor& t) { return t.dim() == 1 && t.numel() == 0; }

inline const void* input_like_or_none(const Tensor& t, const Tensor& like, const char* name,
                                      const char* op) {
  return is_none(t) ? nullptr : input_like(t, like, name, op);
}

inline void* output_like_or_none(const Tensor& t, const Tensor& like, const char* name,
                                 const char* op) {
  return is_none(t) ? nullptr : output_like(t, like, name, op);
}

inline const void* per_channel(const Tensor& t, const Tensor& x, const char* name, const char* op) {
  check_statistic(t, x, x.size(1), name, op);
  return t.const_data_ptr();
}

inline const void* per_channel_or_none(const Tensor& t, const Tensor& x, const char* name,
                                       const char* op) {
  return t.numel() == 0 ? nullptr : per_channel(t, x, name, op);
}

inline void* per_sample_or_none(const Tensor& t, const Tensor& x, const char* name,
                                const char* op) {
  if (t.numel() == 0) return nullptr;
  check_statistic(t, x, x.size(0), name, op);
  return t.mutable_data_ptr();
}

// [2, N, C], a slice of a larger tensor or a tensor of its own: adjacent channels lie side by side.
inline Rows rows_or_none(const Tensor& t, const Tensor& x, const char* name, const char* op) {
  if (t.numel() == 0) return {nullptr, nullptr, 0};
  STD_TORCH_CHECK(t.scalar_type() == statistics_dtype(x), op, ": expected ", name,
                  " in float32 (float64 for a float64 activation)");
  STD_TORCH_CHECK(t.dim() == 3 && t.size(0) == 2 && t.size(1) == x.size(0) &&
                      t.size(2) == x.size(1) && (t.size(2) == 1 || t.stride(2) == 1) &&
                      t.device() == x.device(),
                  op, ": expected ", name, " of shape [2, N, C] = [2, ", x.size(0), ", ", x.size(1),
                  "] with adjacent channels, on the device of the activation");
  const int64_t element = x.scalar_type() == ScalarType::Double ? 8 : 4;
  char* first = static_cast<char*>(t.mutable_data_ptr());
  return {first, first + t.stride(0) * element, t.stride(1)};
}

inline ConstRows const_rows_or_none(const Tensor& t, const Tensor& x, const char* name,
                                    const char* op) {
  const Rows rows = rows_or_none(t, x, name, op);
  return {rows.first, rows.second, rows.stride};
}

inline void check_together(const Tensor& a, const Tensor& b, const char* names, const char* op) {
  STD_TORCH_CHECK(is_none(a) == is_none(b), op, ": expected ", names, " both given or both empty");
}

#if defined(FIQA_WITH_CUDA) || defined(FIQA_CUDA_EMU)
inline Tensor cuda_workspace(const Tensor& x, int64_t floats) {
  return torch::stable::new_empty(x, {floats}, ScalarType::Float);
}
#endif

}  // namespace fiqa
