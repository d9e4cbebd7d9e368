// The seam between the kernels and what compiles them: nvcc, or the CPU emulator of tests/cuda.
//
// Kernels use FIQA_LAUNCH and FIQA_SHARED in place of <<<...>>> and __shared__, and no inline PTX;
// so the same source runs, thread by thread, on a machine without a GPU.
#pragma once

#ifdef FIQA_CUDA_EMU
#include "cuda_emu.h"
#define FIQA_LAUNCH(kernel, grid, block, stream, ...) \
  (::emu::launch(#kernel, (grid), (block), 0, [=] { (kernel)(__VA_ARGS__); }), (void)(stream), 0)
#define FIQA_SHARED(type, name, extents) \
  static char name##_tag;                \
  auto& name = ::emu::shared<type extents>(&name##_tag)
#else
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
// Launches and returns the launch's cudaError_t (0 when it was accepted).
// clang-format off: it would tear <<< >>> apart
#define FIQA_LAUNCH(kernel, grid, block, stream, ...)                               \
  ((kernel)<<<(grid), (block), 0, static_cast<cudaStream_t>(stream)>>>(__VA_ARGS__), \
   static_cast<int>(cudaGetLastError()))
// clang-format on
#define FIQA_SHARED(type, name, extents) __shared__ type name extents
#endif

#include <cstdint>

#include "ops/dtype.h"

// Runs `call` with T bound to the element type; cudaErrorInvalidValue (1) for any other dtype.
#define FIQA_DISPATCH_ELEMENT(dtype, call) \
  switch (dtype) {                         \
    case ::fiqa::kFloat32: {               \
      using T = float;                     \
      return call;                         \
    }                                      \
    case ::fiqa::kFloat16: {               \
      using T = __half;                    \
      return call;                         \
    }                                      \
    case ::fiqa::kBFloat16: {              \
      using T = __nv_bfloat16;             \
      return call;                         \
    }                                      \
    default:                               \
      return 1;                            \
  }

namespace fiqa::cuda {

constexpr int kBlock = 256;  // threads of a block, in every kernel
constexpr int kWarp = 32;

template <typename T>
__device__ __forceinline__ float load(T value);
template <>
__device__ __forceinline__ float load<float>(float value) {
  return value;
}
template <>
__device__ __forceinline__ float load<__half>(__half value) {
  return __half2float(value);
}
template <>
__device__ __forceinline__ float load<__nv_bfloat16>(__nv_bfloat16 value) {
  return __bfloat162float(value);
}

template <typename T>
__device__ __forceinline__ T store(float value);
template <>
__device__ __forceinline__ float store<float>(float value) {
  return value;
}
template <>
__device__ __forceinline__ __half store<__half>(float value) {
  return __float2half_rn(value);
}
template <>
__device__ __forceinline__ __nv_bfloat16 store<__nv_bfloat16>(float value) {
  return __float2bfloat16_rn(value);
}

// V adjacent elements, moved by one access: 16 bytes for V = 16 / sizeof(T).
template <typename T, int V>
struct alignas(sizeof(T) * V) Pack {
  T at[V];
};

inline bool aligned_16(const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; }

// Sum over the warp, in every lane, in an order that only depends on the lane numbers.
__device__ __forceinline__ float warp_sum(float value) {
#pragma unroll
  for (int offset = kWarp / 2; offset > 0; offset /= 2) {
    value += __shfl_xor_sync(0xffffffffu, value, offset);
  }
  return value;
}

// Sum over a block of kBlock threads; valid in thread 0.
__device__ __forceinline__ float block_sum(float value) {
  FIQA_SHARED(float, warp_sums, [kBlock / kWarp]);
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  value = warp_sum(value);
  if (lane == 0) warp_sums[warp] = value;
  __syncthreads();
  if (warp == 0) value = warp_sum(lane < kBlock / kWarp ? warp_sums[lane] : 0.f);
  return value;
}

}  // namespace fiqa::cuda
