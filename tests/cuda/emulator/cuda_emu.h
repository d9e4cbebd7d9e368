// The part of CUDA that the kernels of this project use, on the CPU.
//
// A kernel's own source, compiled by a host compiler with -DFIQA_CUDA_EMU, runs with one fiber for
// each CUDA thread, block after block, on the calling OS thread. The emulator is strict: where a
// GPU would do something undefined (a divergent barrier, a shuffle from a lane that is not there,
// too much shared memory), it prints "EMU-ERROR: ..." and aborts. Under ThreadSanitizer only
// barriers order the threads of a block, so that a missing __syncthreads() is seen as the data race
// it is.
//
// The environment variable EMU_ORDER sets the order in which threads run: 0 ascending (default),
// 1 descending, n > 1 shuffled by seed n. No result may depend on it.
#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <driver_types.h>
#include <vector_functions.h>
#include <vector_types.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>

#undef __global__
#undef __device__
#undef __host__
#undef __forceinline__
#undef __launch_bounds__
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)

namespace emu {

// What a running CUDA thread knows about itself.
struct Thread {
  uint3 thread_index, block_index;
  dim3 block_dim, grid_dim;
  unsigned linear, lane, warp;
};

extern Thread* current;

// Runs `kernel` once for every thread of the grid; returns when all have ended.
void launch(const char* name, dim3 grid, dim3 block, size_t dynamic_shared_bytes,
            const std::function<void()>& kernel);

// A barrier of the whole block.
void sync_block(const char* file, int line);

// Collective of the lanes in `mask`: returns the value that each lane of the warp brought, and in
// `present` which lanes took part.
enum class Collective { kShuffleXor, kShuffleDown, kShuffleIndex };
const uint64_t* exchange(unsigned mask, uint64_t value, Collective kind, unsigned* present);

// The block's shared array with this tag; new memory is filled with 0xff, which is NaN in every
// float type, so that a read before the first write shows.
void* shared_bytes(const void* tag, size_t bytes);

template <typename Array>
Array& shared(const void* tag) {
  return *static_cast<Array*>(shared_bytes(tag, sizeof(Array)));
}

[[noreturn]] void fail(const char* message);

template <typename T>
T shuffle(unsigned mask, T value, Collective kind, int argument) {
  static_assert(sizeof(T) <= sizeof(uint64_t));
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  unsigned present;
  const uint64_t* values = exchange(mask, bits, kind, &present);
  const int lane = static_cast<int>(current->lane);
  int source = lane;
  switch (kind) {
    case Collective::kShuffleXor:
      source = lane ^ argument;
      break;
    case Collective::kShuffleDown:
      source = lane + argument < 32 ? lane + argument : lane;
      break;
    case Collective::kShuffleIndex:
      source = argument & 31;
      break;
  }
  if (source > 31 || !((present >> source) & 1)) {
    fail("a shuffle reads a lane that is not in the mask or has exited");
  }
  std::memcpy(&value, &values[source], sizeof(T));
  return value;
}

}  // namespace emu

#define threadIdx (::emu::current->thread_index)
#define blockIdx (::emu::current->block_index)
#define blockDim (::emu::current->block_dim)
#define gridDim (::emu::current->grid_dim)
#define __syncthreads() ::emu::sync_block(__FILE__, __LINE__)

template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask) {
  return emu::shuffle(mask, value, emu::Collective::kShuffleXor, lane_mask);
}
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta) {
  return emu::shuffle(mask, value, emu::Collective::kShuffleDown, static_cast<int>(delta));
}
template <typename T>
T __shfl_sync(unsigned mask, T value, int source) {
  return emu::shuffle(mask, value, emu::Collective::kShuffleIndex, source);
}

// CUDA has these at global scope.
using std::max;
using std::min;
