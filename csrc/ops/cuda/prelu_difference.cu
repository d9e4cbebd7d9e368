// CUDA kernels of fiqa_fast::prelu_difference: one pass over each tensor, V channels a thread. A
// thread keeps what the copies of an image share in its registers and goes from copy to copy, so
// that x is read once and not once for each copy. Nothing is summed: results cannot depend on how
// the copies are shared out.
#include "ops/cuda/tile.cuh"
#include "ops/prelu_difference.h"

namespace fiqa::cuda {
namespace {

constexpr int kBits = 8;          // of a byte of the mask; they divide C
constexpr int kCopiesAtOnce = 2;  // whose loads are under way together
constexpr int64_t kFill = 512;    // blocks that keep a large GPU busy, four a multiprocessor

// V adjacent statistics from channel c on.
template <int V>
__device__ __forceinline__ void load_statistics(const void* statistics, int c, float (&values)[V]) {
  constexpr int G = V < 4 ? V : 4;
#pragma unroll
  for (int g = 0; g < V; g += G) {
    const Pack<float, G> pack =
        *reinterpret_cast<const Pack<float, G>*>(static_cast<const float*>(statistics) + c + g);
#pragma unroll
    for (int i = 0; i < G; ++i) values[g + i] = pack.at[i];
  }
}

// Joins the bits of the 8 / V neighbours that share a byte; every one of them gets the byte. The
// number of packs is a multiple of 8 / V, so that neighbours are all there or have all left.
template <int V>
__device__ __forceinline__ unsigned byte_of(unsigned bits) {
  constexpr int kSharers = kBits / V;
  bits <<= threadIdx.x % kSharers * V;
#pragma unroll
  for (int distance = 1; distance < kSharers; distance *= 2) {
    bits |= __shfl_xor_sync(0xffffffffu, bits, distance);
  }
  return bits;
}

// Grid: (N * parts of a sample, parts of the copies).
template <typename T, int V>
__global__ void __launch_bounds__(kBlock, kMinBlocks)
    prelu_difference_forward(PreluDifference a, int parts, int copies_of_block) {
  const int64_t n = blockIdx.x / parts;
  const unsigned i = blockIdx.x % parts * kBlock + threadIdx.x;
  const int64_t count = a.HW * a.C;  // of a sample
  if (i >= count / V) return;
  const int c = static_cast<int>(i % static_cast<unsigned>(a.C / V)) * V;
  const Pack<T, V> x =
      reinterpret_cast<const Pack<T, V>*>(static_cast<const T*>(a.x) + n * count)[i];
  float scale[V], shift[V], slope[V], z[V];
  load_statistics(a.scale, c, scale);
  load_statistics(a.shift, c, shift);
  load_statistics(a.slope, c, slope);
#pragma unroll
  for (int v = 0; v < V; ++v) z[v] = scale[v] * load<T>(x.at[v]) + shift[v];

  const int k = static_cast<int>(a.k);
  const int first = blockIdx.y * copies_of_block, last = min(first + copies_of_block, k);
  int64_t at = (n * k + first) * count + static_cast<int64_t>(i) * V;
  for (int copy = first; copy < last; copy += kCopiesAtOnce) {
    Pack<T, V> ds[kCopiesAtOnce];
#pragma unroll
    for (int u = 0; u < kCopiesAtOnce; ++u) {
      if (copy + u < last) {
        ds[u] = *reinterpret_cast<const Pack<T, V>*>(static_cast<const T*>(a.d) + at + u * count);
      }
    }
#pragma unroll
    for (int u = 0; u < kCopiesAtOnce; ++u) {
      if (copy + u >= last) break;
      unsigned bits = 0;
#pragma unroll
      for (int v = 0; v < V; ++v) {
        const float d = load<T>(ds[u].at[v]), moved = z[v] + d;
        const bool on = moved > 0.f, was_on = z[v] > 0.f;
        const float crossed = (on ? moved : slope[v] * moved) - (was_on ? z[v] : slope[v] * z[v]);
        ds[u].at[v] = store<T>(on != was_on ? crossed : on ? d : slope[v] * d);
        bits |= static_cast<unsigned>(on) << v;
      }
      *reinterpret_cast<Pack<T, V>*>(static_cast<T*>(a.out) + at) = ds[u];
      if (a.mask != nullptr) {
        const unsigned byte = byte_of<V>(bits);
        if (threadIdx.x % (kBits / V) == 0) a.mask[at / kBits] = static_cast<uint8_t>(byte);
      }
      at += count;
    }
  }
}

// Grid: (N * parts of a sample).
template <typename T, int V>
__global__ void __launch_bounds__(kBlock, kMinBlocks)
    prelu_difference_backward(PreluDifferenceBackward a, int parts) {
  const int64_t n = blockIdx.x / parts;
  const unsigned i = blockIdx.x % parts * kBlock + threadIdx.x;
  const int64_t count = a.HW * a.C;
  if (i >= count / V) return;
  const int c = static_cast<int>(i % static_cast<unsigned>(a.C / V)) * V;
  const int64_t at = n * count + static_cast<int64_t>(i) * V;
  Pack<T, V> grads = *reinterpret_cast<const Pack<T, V>*>(static_cast<const T*>(a.grad) + at);
  const unsigned bits = a.mask[at / kBits] >> (at % kBits);
  float slope[V];
  load_statistics(a.slope, c, slope);
#pragma unroll
  for (int v = 0; v < V; ++v) {
    const float grad = load<T>(grads.at[v]);
    grads.at[v] = store<T>((bits >> v & 1) != 0 ? grad : slope[v] * grad);
  }
  *reinterpret_cast<Pack<T, V>*>(static_cast<T*>(a.grad_d) + at) = grads;
}

template <typename T, int V>
int launch_forward(const PreluDifference& a, void* stream) {
  const int64_t parts = ceil_div(a.HW * a.C / V, kBlock);
  // A small batch shares out the copies too: better x read again, from L2, than an idle GPU.
  int64_t groups = ceil_div(kFill, a.N * parts);
  if (groups > a.k) groups = a.k;
  const int64_t copies = ceil_div(a.k, groups);
  const dim3 grid(static_cast<unsigned>(a.N * parts), static_cast<unsigned>(ceil_div(a.k, copies)));
  return FIQA_LAUNCH((prelu_difference_forward<T, V>), grid, dim3(kBlock), stream, a,
                     static_cast<int>(parts), static_cast<int>(copies));
}

template <typename T>
int forward(const PreluDifference& a, void* stream) {
  constexpr int V = 16 / sizeof(T);
  return all_aligned({a.d, a.x, a.out, a.scale, a.shift, a.slope})
             ? launch_forward<T, V>(a, stream)
             : launch_forward<T, 1>(a, stream);
}

template <typename T, int V>
int launch_backward(const PreluDifferenceBackward& a, void* stream) {
  const int64_t parts = ceil_div(a.HW * a.C / V, kBlock);
  return FIQA_LAUNCH((prelu_difference_backward<T, V>), dim3(static_cast<unsigned>(a.N * parts)),
                     dim3(kBlock), stream, a, static_cast<int>(parts));
}

template <typename T>
int backward(const PreluDifferenceBackward& a, void* stream) {
  constexpr int V = 16 / sizeof(T);
  return all_aligned({a.grad, a.grad_d, a.slope}) ? launch_backward<T, V>(a, stream)
                                                  : launch_backward<T, 1>(a, stream);
}

}  // namespace
}  // namespace fiqa::cuda

using namespace fiqa::cuda;  // NOLINT: the launchers below have C names

extern "C" int fiqa_cuda_prelu_difference(fiqa::DType dtype, const fiqa::PreluDifference* a,
                                          void* stream) {
  if (a->N == 0 || a->k == 0) return 0;
  FIQA_DISPATCH_ELEMENT(dtype, forward<T>(*a, stream));
}

extern "C" int fiqa_cuda_prelu_difference_backward(fiqa::DType dtype,
                                                   const fiqa::PreluDifferenceBackward* a,
                                                   void* stream) {
  if (a->N == 0) return 0;
  FIQA_DISPATCH_ELEMENT(dtype, backward<T>(*a, stream));
}
