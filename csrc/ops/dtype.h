// The element types that operators accept, as plain numbers: kernels know no torch.
#pragma once

namespace fiqa {

enum DType : int { kFloat32 = 0, kFloat16 = 1, kBFloat16 = 2, kFloat64 = 3 };

}  // namespace fiqa
