// CUDA kernels of fiqa_fast::bn_discrepancy.
//
// Forward, two launches: partial moments of each channel, read once with 16-byte accesses; then one
// block per sample merges them and sums the squared errors. Nothing is added atomically, and the
// partition depends on one sample's shape alone: results are the same on every run and in any
// batch.
#include "ops/bn_discrepancy.h"
#include "ops/cuda/moments.cuh"

namespace fiqa::cuda {
namespace {

constexpr int64_t kRowsPerSplit = 1024;  // channels_last: pixels behind one partial result
constexpr int kUnroll = 4;               // values of one channel that a thread holds at a time

__host__ __device__ inline int64_t splits_of(bool channels_last, int64_t HW) {
  return channels_last ? (HW + kRowsPerSplit - 1) / kRowsPerSplit : 1;
}

// NCHW: WARPS warps for each plane (n, c). Writes partial[plane] = {mean, squares}.
template <typename T, int V, int WARPS>
__global__ void __launch_bounds__(kBlock)
    partial_moments_nchw(const T* __restrict__ x,      // [N * C, HW]
                         float* __restrict__ partial,  // [N * C, 2]
                         int64_t planes, int HW) {
  constexpr int kThreads = WARPS * kWarp;  // of one plane
  const int64_t plane =
      static_cast<int64_t>(blockIdx.x) * (kBlock / kThreads) + threadIdx.x / kThreads;
  const int thread = threadIdx.x % kThreads;
  Moments m{0.f, 0.f, 0.f};
  if (plane < planes) {  // a whole warp or none of it
    const Pack<T, V>* packs = reinterpret_cast<const Pack<T, V>*>(x + plane * HW);
    for (int i = thread; i < HW / V; i += kThreads) {
      const Pack<T, V> pack = packs[i];
      float values[V];
#pragma unroll
      for (int v = 0; v < V; ++v) values[v] = load<T>(pack.at[v]);
      merge(m, moments_of(values));
    }
  }
  m = warp_merge(m);
  if constexpr (WARPS > 1) {
    FIQA_SHARED(Moments, of_warp, [kBlock / kWarp]);
    if (threadIdx.x % kWarp == 0) of_warp[threadIdx.x / kWarp] = m;
    __syncthreads();
    if (thread == 0) {
      for (int w = 1; w < WARPS; ++w) merge(m, of_warp[threadIdx.x / kWarp + w]);
    }
  }
  if (thread == 0 && plane < planes) {
    partial[2 * plane] = m.mean;
    partial[2 * plane + 1] = m.squares;
  }
}

// channels_last: block (lanes, rows) with lanes * rows = kBlock; a thread owns V adjacent channels
// and every rows-th pixel of its split. Grid: (N * splits, channel blocks).
template <typename T, int V>
__global__ void __launch_bounds__(kBlock)
    partial_moments_nhwc(const T* __restrict__ x,      // [N, HW, C]
                         float* __restrict__ partial,  // [N, splits, C, 2]
                         int C, int HW, int splits) {
  FIQA_SHARED(float, means, [V][kBlock]);
  FIQA_SHARED(float, squares, [V][kBlock]);
  FIQA_SHARED(float, counts, [kBlock]);
  const int lanes = blockDim.x, rows = blockDim.y;
  const int slot = threadIdx.y * lanes + threadIdx.x;
  const int64_t n = blockIdx.x / splits;
  const int split = blockIdx.x % splits;
  const int c0 = (blockIdx.y * lanes + threadIdx.x) * V;
  const int first = split * static_cast<int>(kRowsPerSplit);
  const int last = min(first + static_cast<int>(kRowsPerSplit), HW);

  Moments m[V];
#pragma unroll
  for (int v = 0; v < V; ++v) m[v] = {0.f, 0.f, 0.f};
  if (c0 < C) {
    const T* base = x + n * HW * C + c0;
    int row = first + threadIdx.y;
    for (; row + (kUnroll - 1) * rows < last; row += kUnroll * rows) {
      Pack<T, V> packs[kUnroll];
#pragma unroll
      for (int u = 0; u < kUnroll; ++u) {
        packs[u] =
            *reinterpret_cast<const Pack<T, V>*>(base + static_cast<int64_t>(row + u * rows) * C);
      }
#pragma unroll
      for (int v = 0; v < V; ++v) {
        float values[kUnroll];
#pragma unroll
        for (int u = 0; u < kUnroll; ++u) values[u] = load<T>(packs[u].at[v]);
        merge(m[v], moments_of(values));
      }
    }
    for (; row < last; row += rows) {
      const Pack<T, V> pack =
          *reinterpret_cast<const Pack<T, V>*>(base + static_cast<int64_t>(row) * C);
#pragma unroll
      for (int v = 0; v < V; ++v) merge(m[v], {1.f, load<T>(pack.at[v]), 0.f});
    }
  }
#pragma unroll
  for (int v = 0; v < V; ++v) {
    means[v][slot] = m[v].mean;
    squares[v][slot] = m[v].squares;
  }
  counts[slot] = m[0].count;
  __syncthreads();

  for (int channel = slot; channel < lanes * V; channel += kBlock) {
    const int v = channel / lanes, lane = channel % lanes;
    const int c = (blockIdx.y * lanes + lane) * V + v;
    if (c >= C) continue;
    Moments whole{0.f, 0.f, 0.f};
    for (int row = 0; row < rows; ++row) {
      const int at = row * lanes + lane;
      merge(whole, {counts[at], means[v][at], squares[v][at]});
    }
    float* out = partial + ((n * splits + split) * C + c) * 2;
    out[0] = whole.mean;
    out[1] = whole.squares;
  }
}

// One block per sample.
__global__ void __launch_bounds__(kBlock)
    finish(const float* __restrict__ partial,       // [N, splits, C, 2]
           const float* __restrict__ running_mean,  // [C]
           const float* __restrict__ running_var,   // [C]
           bool use_std,
           float* __restrict__ mean,           // [N, C]
           float* __restrict__ var,            // [N, C]
           float* __restrict__ squared_error,  // [N]
           int C, int HW, int splits) {
  const int64_t n = blockIdx.x;
  float error = 0.f;
  for (int c = threadIdx.x; c < C; c += kBlock) {
    Moments m{0.f, 0.f, 0.f};
    for (int split = 0; split < splits; ++split) {
      const float* p = partial + ((n * splits + split) * C + c) * 2;
      const int rows = splits == 1 ? HW
                                   : min(static_cast<int>(kRowsPerSplit),
                                         HW - split * static_cast<int>(kRowsPerSplit));
      merge(m, {static_cast<float>(rows), p[0], p[1]});
    }
    const float v = m.squares / static_cast<float>(HW);
    mean[n * C + c] = m.mean;
    var[n * C + c] = v;
    const float mean_error = m.mean - running_mean[c];
    const float spread_error = use_std ? sqrtf(v) - sqrtf(running_var[c]) : v - running_var[c];
    error += mean_error * mean_error + spread_error * spread_error;
  }
  error = block_sum(error);
  if (threadIdx.x == 0) squared_error[n] = error;
}

// NCHW: grid (planes * parts); each block handles kBlock packs of one plane.
template <typename T, int V>
__global__ void __launch_bounds__(kBlock) backward_nchw(const T* __restrict__ x,  // [N * C, HW]
                                                        const float* __restrict__ mean,   // [N * C]
                                                        const float* __restrict__ alpha,  // [N * C]
                                                        const float* __restrict__ beta,   // [N * C]
                                                        T* __restrict__ grad_x, int HW, int parts) {
  const int64_t plane = blockIdx.x / parts;
  const int i = blockIdx.x % parts * kBlock + threadIdx.x;
  if (i >= HW / V) return;
  const float m = mean[plane], a = alpha[plane], b = beta[plane];
  const Pack<T, V> in = reinterpret_cast<const Pack<T, V>*>(x + plane * HW)[i];
  Pack<T, V> out;
#pragma unroll
  for (int v = 0; v < V; ++v) out.at[v] = store<T>(a + b * (load<T>(in.at[v]) - m));
  reinterpret_cast<Pack<T, V>*>(grad_x + plane * HW)[i] = out;
}

// channels_last: one thread per pack of V channels of one pixel. Grid: (N * parts).
template <typename T, int V>
__global__ void __launch_bounds__(kBlock)
    backward_nhwc(const T* __restrict__ x,          // [N, HW, C]
                  const float* __restrict__ mean,   // [N, C]
                  const float* __restrict__ alpha,  // [N, C]
                  const float* __restrict__ beta,   // [N, C]
                  T* __restrict__ grad_x, int C, int HW, int parts) {
  const int64_t n = blockIdx.x / parts;
  const int i = blockIdx.x % parts * kBlock + threadIdx.x;
  if (i >= HW * (C / V)) return;
  const int64_t statistic = n * C + i % (C / V) * V;
  const Pack<T, V> in = reinterpret_cast<const Pack<T, V>*>(x + n * HW * C)[i];
  Pack<T, V> out;
#pragma unroll
  for (int v = 0; v < V; ++v) {
    out.at[v] = store<T>(alpha[statistic + v] +
                         beta[statistic + v] * (load<T>(in.at[v]) - mean[statistic + v]));
  }
  reinterpret_cast<Pack<T, V>*>(grad_x + n * HW * C)[i] = out;
}

template <typename T, int V>
int launch_nchw(const void* x, float* partial, int64_t planes, int HW, void* stream) {
  const T* in = static_cast<const T*>(x);
  if (HW <= 32 * kWarp) {
    const dim3 grid(static_cast<unsigned>((planes + kBlock / kWarp - 1) / (kBlock / kWarp)));
    return FIQA_LAUNCH((partial_moments_nchw<T, V, 1>), grid, dim3(kBlock), stream, in, partial,
                       planes, HW);
  }
  return FIQA_LAUNCH((partial_moments_nchw<T, V, kBlock / kWarp>),
                     dim3(static_cast<unsigned>(planes)), dim3(kBlock), stream, in, partial, planes,
                     HW);
}

template <typename T, int V>
int launch_nhwc(const void* x, float* partial, int64_t N, int C, int HW, int splits, void* stream) {
  int lanes = 1;  // across channels, a power of two; what is left of the block goes down the rows
  while (lanes < kWarp && lanes * V < C) lanes *= 2;
  const dim3 grid(static_cast<unsigned>(N * splits),
                  static_cast<unsigned>((C + lanes * V - 1) / (lanes * V)));
  return FIQA_LAUNCH((partial_moments_nhwc<T, V>), grid, dim3(lanes, kBlock / lanes), stream,
                     static_cast<const T*>(x), partial, C, HW, splits);
}

template <typename T>
int forward(bool channels_last, const void* x, const float* running_mean, const float* running_var,
            bool use_std, float* mean, float* var, float* squared_error, float* partial, int64_t N,
            int C, int HW, void* stream) {
  constexpr int V = 16 / sizeof(T);
  const int splits = static_cast<int>(splits_of(channels_last, HW));
  const bool packed = (channels_last ? C : HW) % V == 0 && aligned_16(x);
  int error;
  if (channels_last) {
    error = packed ? launch_nhwc<T, V>(x, partial, N, C, HW, splits, stream)
                   : launch_nhwc<T, 1>(x, partial, N, C, HW, splits, stream);
  } else {
    error = packed ? launch_nchw<T, V>(x, partial, N * C, HW, stream)
                   : launch_nchw<T, 1>(x, partial, N * C, HW, stream);
  }
  if (error != 0) return error;
  return FIQA_LAUNCH(finish, dim3(static_cast<unsigned>(N)), dim3(kBlock), stream, partial,
                     running_mean, running_var, use_std, mean, var, squared_error, C, HW, splits);
}

template <typename T, int V>
int launch_backward(bool channels_last, const void* x, const float* mean, const float* alpha,
                    const float* beta, void* grad_x, int64_t N, int C, int HW, void* stream) {
  const T* in = static_cast<const T*>(x);
  T* out = static_cast<T*>(grad_x);
  if (channels_last) {
    const int64_t parts = (static_cast<int64_t>(HW) * (C / V) + kBlock - 1) / kBlock;
    return FIQA_LAUNCH((backward_nhwc<T, V>), dim3(static_cast<unsigned>(N * parts)), dim3(kBlock),
                       stream, in, mean, alpha, beta, out, C, HW, static_cast<int>(parts));
  }
  const int64_t parts = (HW / V + kBlock - 1) / kBlock;
  return FIQA_LAUNCH((backward_nchw<T, V>), dim3(static_cast<unsigned>(N * C * parts)),
                     dim3(kBlock), stream, in, mean, alpha, beta, out, HW, static_cast<int>(parts));
}

template <typename T>
int backward(bool channels_last, const void* x, const float* mean, const float* alpha,
             const float* beta, void* grad_x, int64_t N, int C, int HW, void* stream) {
  constexpr int V = 16 / sizeof(T);
  if ((channels_last ? C : HW) % V == 0 && aligned_16(x) && aligned_16(grad_x)) {
    return launch_backward<T, V>(channels_last, x, mean, alpha, beta, grad_x, N, C, HW, stream);
  }
  return launch_backward<T, 1>(channels_last, x, mean, alpha, beta, grad_x, N, C, HW, stream);
}

}  // namespace
}  // namespace fiqa::cuda

using namespace fiqa::cuda;  // NOLINT: the launchers below have C names

extern "C" int64_t fiqa_cuda_bn_discrepancy_splits(bool channels_last, int64_t HW) {
  return splits_of(channels_last, HW);
}

extern "C" int fiqa_cuda_bn_discrepancy(fiqa::DType dtype, bool channels_last, const void* x,
                                        const float* running_mean, const float* running_var,
                                        bool use_std, float* mean, float* var, float* squared_error,
                                        float* workspace, int64_t N, int64_t C, int64_t HW,
                                        void* stream) {
  if (N == 0) return 0;
  FIQA_DISPATCH_ELEMENT(dtype, forward<T>(channels_last, x, running_mean, running_var, use_std,
                                          mean, var, squared_error, workspace, N,
                                          static_cast<int>(C), static_cast<int>(HW), stream));
}

extern "C" int fiqa_cuda_bn_discrepancy_backward(fiqa::DType dtype, bool channels_last,
                                                 const void* x, const float* mean,
                                                 const float* alpha, const float* beta,
                                                 void* grad_x, int64_t N, int64_t C, int64_t HW,
                                                 void* stream) {
  if (N == 0) return 0;
  FIQA_DISPATCH_ELEMENT(dtype, backward<T>(channels_last, x, mean, alpha, beta, grad_x, N,
                                           static_cast<int>(C), static_cast<int>(HW), stream));
}
