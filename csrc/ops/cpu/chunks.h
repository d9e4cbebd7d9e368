// How the fused kernels share out an activation: chunks of pixels of one sample. The partition and
// the order in which partial results are merged depend on one sample's shape alone, so that results
// depend neither on the batch nor on the number of threads.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "ops/rows.h"

namespace fiqa::cpu {

constexpr int64_t kChunk =
    64;  // pixels: with 64 channels of bf16, 8 kB; few enough to sum in float

inline int64_t chunks_of(int64_t HW) { return (HW + kChunk - 1) / kChunk; }

// Partial moments of every chunk: the mean as a value of the chunk's middle plus a small rest, so
// that it keeps its digits next to a large mean, and the sum of squared distances to it.
template <typename A>
class PartialMoments {
 public:
  PartialMoments(bool wanted, int64_t N, int64_t HW, int64_t C)
      : chunks_(chunks_of(HW)), HW_(HW), C_(C), values_(wanted ? N * chunks_ * kParts * C : 0) {}

  enum Part { kMiddle, kRest, kSquares, kParts };

  // Of chunk `task` = n * chunks + chunk, from channel c0 on; null when not wanted.
  A* of(Part part, int64_t task, int64_t c0) {
    return values_.empty() ? nullptr : values_.data() + (kParts * task + part) * C_ + c0;
  }

  // Merges the chunks by the rule of Chan et al. into mean and biased variance.
  void finish(const Rows& out, int64_t N) const {
    if (out.first == nullptr) return;
    std::vector<double> mean(C_), squares(C_);
    for (int64_t n = 0; n < N; ++n) {
      std::fill(mean.begin(), mean.end(), 0.0);
      std::fill(squares.begin(), squares.end(), 0.0);
      for (int64_t chunk = 0; chunk < chunks_; ++chunk) {
        const A* m = values_.data() + kParts * (n * chunks_ + chunk) * C_;
        const double before = static_cast<double>(chunk * kChunk);
        const double count = static_cast<double>(std::min(kChunk, HW_ - chunk * kChunk));
        const double weight = count / (before + count);
        for (int64_t c = 0; c < C_; ++c) {
          const double delta = m[kMiddle * C_ + c] - mean[c] + m[kRest * C_ + c];
          mean[c] += delta * weight;
          squares[c] += m[kSquares * C_ + c] + delta * delta * before * weight;
        }
      }
      A* means = static_cast<A*>(out.first) + n * out.stride;
      A* variances = static_cast<A*>(out.second) + n * out.stride;
      for (int64_t c = 0; c < C_; ++c) {
        means[c] = static_cast<A>(mean[c]);
        variances[c] = static_cast<A>(std::max(squares[c] / static_cast<double>(HW_), 0.0));
      }
    }
  }

 private:
  int64_t chunks_, HW_, C_;
  std::vector<A> values_;
};

// Partial sums of every chunk.
class PartialSums {
 public:
  PartialSums(bool wanted, int64_t N, int64_t HW)
      : chunks_(chunks_of(HW)), values_(wanted ? N * chunks_ : 0) {}

  double* of(int64_t task) { return values_.empty() ? nullptr : values_.data() + task; }

  template <typename A>
  void finish(A* out, int64_t N) const {
    for (int64_t n = 0; out != nullptr && n < N; ++n) {
      double sum = 0;
      for (int64_t chunk = 0; chunk < chunks_; ++chunk) sum += values_[n * chunks_ + chunk];
      out[n] = static_cast<A>(sum);
    }
  }

 private:
  int64_t chunks_;
  std::vector<double> values_;
};

}  // namespace fiqa::cpu
