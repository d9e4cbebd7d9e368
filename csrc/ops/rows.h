// Two numbers for each sample and channel, as kernels see them: raw pointers, no torch.
#pragma once
#include <cstdint>

namespace fiqa {

// Two matrices [N, C] (a tensor [2, N, C]) that may be slices of wider ones: row n of each begins
// `stride` elements behind row n - 1. Elements are double for kFloat64, else float. Without memory
// (first == nullptr) there are none.
struct Rows {
  void *first, *second;
  int64_t stride;
};
struct ConstRows {
  const void *first, *second;
  int64_t stride;
};

}  // namespace fiqa
