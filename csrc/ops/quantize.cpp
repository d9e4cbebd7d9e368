#include "ops/quantize.h"

#include "ops/fused_arguments.h"
#include "ops/registration.h"

namespace fiqa {
namespace {

constexpr const char* kOp = "fiqa_fast::quantize";

void check_bytes_like(const Tensor& q, const Tensor& x) {
  bool fits = q.dim() == 4 && is_channels_last(q) && q.scalar_type() == ScalarType::Byte &&
              q.device() == x.device();
  for (int d = 0; fits && d < 4; ++d) fits = q.size(d) == x.size(d);
  STD_TORCH_CHECK(fits, kOp,
                  ": expected q of dtype uint8, and of the shape, device and channels_last memory "
                  "of the activation");
}

[[maybe_unused]] void quantize_cpu(Tensor x, Tensor scale, Tensor shift, Tensor slope, Tensor q) {
  const auto [N, HW, C] = channels_last_shape(x, "x", kOp);
  check_bytes_like(q, x);
  Quantize a{};
  a.N = N, a.HW = HW, a.C = C;
  a.x = x.const_data_ptr();
  a.scale = per_channel(scale, x, "scale", kOp);
  a.shift = per_channel_or_none(shift, x, "shift", kOp);
  a.slope = per_channel_or_none(slope, x, "slope", kOp);
  a.q = data<uint8_t>(q);
  cpu::quantize(dtype_of(x, kOp), a);
}

}  // namespace

FIQA_REGISTER_CPU_OP(
    "quantize", "quantize(Tensor x, Tensor scale, Tensor shift, Tensor slope, Tensor(a!) q) -> ()",
    quantize_cpu)

}  // namespace fiqa
