// CPU kernel of fiqa_fast::abs_sum. Sums of fixed-size chunks, added in double in a fixed order:
// the result depends neither on the batch nor on the number of threads.
#include "ops/abs_sum.h"

#include <torch/csrc/stable/ops.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "ops/cpu/element.h"

namespace fiqa::cpu {
namespace {

constexpr int64_t kChunk = 16384;
constexpr int64_t kRun = 512;  // elements summed in the compute type before going to double

struct Arguments {
  const void* x;
  double* partial;  // [N, chunks]
  int64_t M, chunks;
};

template <typename T>
FIQA_INLINE void chunk_sums(const Arguments& a, int64_t begin, int64_t end) {  // over (n, chunk)
  for (int64_t task = begin; task < end; ++task) {
    const int64_t n = task / a.chunks, first = task % a.chunks * kChunk;
    const T* x = static_cast<const T*>(a.x) + n * a.M;
    const int64_t last = std::min(first + kChunk, a.M);
    double total = 0;
    for (int64_t start = first; start < last; start += kRun) {
      const int64_t stop = std::min(start + kRun, last);
      compute_t<T> sum = 0;
#pragma omp simd reduction(+ : sum)
      for (int64_t i = start; i < stop; ++i) sum += std::abs(load(x[i]));
      total += sum;
    }
    a.partial[task] = total;
  }
}
FIQA_VECTORIZE_BY_DTYPE(chunk_sums, Arguments)

template <typename A>
void add_chunks(const std::vector<double>& partial, A* out, int64_t N, int64_t chunks) {
  for (int64_t n = 0; n < N; ++n) {
    double total = 0;
    for (int64_t i = 0; i < chunks; ++i) total += partial[n * chunks + i];
    out[n] = static_cast<A>(total);
  }
}

}  // namespace

void abs_sum(DType dtype, const void* x, void* out, int64_t N, int64_t M) {
  const int64_t chunks = (M + kChunk - 1) / kChunk;
  std::vector<double> partial(N * chunks);
  const Arguments a{x, partial.data(), M, chunks};
  torch::stable::parallel_for(0, N * chunks, 2, [&](int64_t begin, int64_t end) {
    chunk_sums_by_dtype[dtype](a, begin, end);
  });
  if (dtype == kFloat64) {
    add_chunks(partial, static_cast<double*>(out), N, chunks);
  } else {
    add_chunks(partial, static_cast<float*>(out), N, chunks);
  }
}

}  // namespace fiqa::cpu
