// How the fused kernels share out an activation [N, HW, C]: a block takes a tile of it, 128 bytes
// of adjacent channels of a chunk of one sample's pixels, and each of its threads V channels of
// every kRows-th pixel. So a warp reads whole cache lines, 16 bytes a thread, and what belongs to a
// channel stays with one thread. Narrow tiles rather than wide ones, because the last stages of a
// network have few pixels and many channels: 7x7x512 makes 8 blocks for each sample.
//
// Kernels get their arguments as the structs of the headers. Their pointers are not __restrict__:
// outputs may be inputs.
#pragma once
#include <cstring>
#include <initializer_list>
#include <type_traits>

#include "ops/cuda/device.cuh"

namespace fiqa::cuda {

// Chunks of pixels: long where moments are gathered, because merging them costs, else short, so
// that a small batch fills a GPU too. They are the same for every batch.
constexpr int kGatherChunk = 256;
constexpr int kStreamChunk = 64;

// Blocks of a multiprocessor that registers must leave room for: at least half of its threads.
#if defined(__CUDA_ARCH__) && \
    (__CUDA_ARCH__ < 800 || (__CUDA_ARCH__ > 800 && __CUDA_ARCH__ < 900) || __CUDA_ARCH__ >= 1200)
constexpr int kMinBlocks = 3;  // of 1024 or 1536 threads
#else
constexpr int kMinBlocks = 4;  // of 2048 threads
#endif

__host__ __device__ inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

template <typename T, int V, int CHUNK>
struct Tile {
  static constexpr int kLine = 128 / static_cast<int>(sizeof(T) * V);
  static constexpr int kLanes = kLine < kWarp ? kLine : kWarp;  // threads side by side
  static constexpr int kRows = kBlock / kLanes;                 // pixels at a time
  static constexpr int kChannels = kLanes * V;

  // What a thread moves at a time, in whole words: 16-bit elements that wait for their turn would
  // take a register each.
  using Word = std::conditional_t<sizeof(T) * V % 4 == 0, uint32_t, uint16_t>;
  using Raw = Pack<Word, static_cast<int>(sizeof(T) * V / sizeof(Word))>;

  static int64_t of_sample(int64_t HW, int64_t C) {
    return ceil_div(HW, CHUNK) * ceil_div(C, kChannels);
  }

  int64_t n, offset;  // sample; index of this thread's channels in the chunk's first pixel
  int C, chunk, c;    // c: the thread's first channel, maybe beyond the last
  int row, pixels;    // the thread's first pixel of the chunk; pixels of the chunk

  __device__ __forceinline__ Tile(int64_t HW, int64_t channels) : C(static_cast<int>(channels)) {
    const int tiles = static_cast<int>(ceil_div(channels, kChannels));
    const int chunks = static_cast<int>(ceil_div(HW, CHUNK));
    const unsigned of_tile = blockIdx.x / tiles;
    n = of_tile / chunks;
    chunk = static_cast<int>(of_tile % chunks);
    c = static_cast<int>(blockIdx.x % tiles) * kChannels +
        static_cast<int>(threadIdx.x) % kLanes * V;
    row = static_cast<int>(threadIdx.x) / kLanes;
    pixels = min(CHUNK, static_cast<int>(HW) - chunk * CHUNK);
    offset = (n * HW + static_cast<int64_t>(chunk) * CHUNK) * channels + c;
  }

  __device__ __forceinline__ int first_channel() const {
    return c - static_cast<int>(threadIdx.x) % kLanes * V;
  }
  __device__ __forceinline__ bool has_channels() const { return c < C; }

  // The channel of the tile whose number is the i-th float where each thread's first groups of G
  // lie side by side, then all their second groups.
  template <int G>
  __device__ __forceinline__ static int channel_of_float(unsigned i) {
    if constexpr (G == V) return i;
    return i % (kLanes * G) / G * V + i / (kLanes * G) * G + i % G;
  }

  // How many of its pixels the thread has behind it at `pixel`.
  __device__ __forceinline__ int before(int pixel) const { return pixel / kRows; }

  // Calls body(pixel, packs) for each of the thread's pixels, with what lies there in each of the
  // activations; MAYBE_NULL: zeros where there is none. The loop stays a loop: unrolled, it would
  // fill the registers.
  template <bool MAYBE_NULL, int COUNT, typename Body>
  __device__ __forceinline__ void for_pixels(const void* const (&activations)[COUNT],
                                             Body body) const {
#pragma unroll 1
    for (int pixel = row; pixel < pixels; pixel += kRows) {
      Pack<T, V> here[COUNT];
#pragma unroll
      for (int i = 0; i < COUNT; ++i) {
        const Raw raw =
            MAYBE_NULL && activations[i] == nullptr ? Raw{} : load(activations[i], pixel);
        memcpy(&here[i], &raw, sizeof(raw));
      }
      body(pixel, here);
    }
  }

  // The same for few activations, none of them null: the loads for the next pixel are already under
  // way, so that enough bytes are to keep the memory busy.
  template <int COUNT, typename Body>
  __device__ __forceinline__ void for_pixels_ahead(const void* const (&activations)[COUNT],
                                                   Body body) const {
    if (row >= pixels) return;
    Raw ahead[COUNT];
#pragma unroll
    for (int i = 0; i < COUNT; ++i) ahead[i] = load(activations[i], row);
#pragma unroll 1
    for (int pixel = row; pixel < pixels; pixel += kRows) {
      Pack<T, V> here[COUNT];
#pragma unroll
      for (int i = 0; i < COUNT; ++i) memcpy(&here[i], &ahead[i], sizeof(Raw));
      if (pixel + kRows < pixels) {
#pragma unroll
        for (int i = 0; i < COUNT; ++i) ahead[i] = load(activations[i], pixel + kRows);
      }
      body(pixel, here);
    }
  }

  __device__ __forceinline__ Raw load(const void* activation, int pixel) const {
    return *reinterpret_cast<const Raw*>(static_cast<const T*>(activation) + offset + pixel * C);
  }

  __device__ __forceinline__ void store(void* activation, int pixel, const Pack<T, V>& pack) const {
    *reinterpret_cast<Pack<T, V>*>(static_cast<T*>(activation) + offset + pixel * C) = pack;
  }
};

// Statistics of a tile's channels, in shared memory: in registers there is no room for them. With 8
// channels a thread, all first halves lie before all second halves, so that adjacent threads read
// adjacent 16 bytes.
template <typename Shape, int V>
struct Statistics {
  static constexpr int G = V < 4 ? V : 4;
  Pack<float, G> groups[V / G][Shape::kLanes];

  // Takes those of the tile from p[at..], or `none` where p is null. A barrier must follow.
  __device__ __forceinline__ void fill(const Shape& tile, const void* p, int64_t at, float none) {
    const int i = threadIdx.x, c = channel_of(tile);
    if (i >= Shape::kChannels || c >= tile.C) return;
    place_of(i) = p == nullptr ? none : static_cast<const float*>(p)[at + c];
  }

  // Adds more of them, unless q is null, by the threads that filled.
  __device__ __forceinline__ void add(const Shape& tile, const void* q) {
    const int i = threadIdx.x, c = channel_of(tile);
    if (i >= Shape::kChannels || c >= tile.C || q == nullptr) return;
    place_of(i) += static_cast<const float*>(q)[c];
  }

  // Those of group g of the thread's own channels, for one pixel. They are the same for each, but
  // the compiler must not see that (blocks are flat: blockDim.y is 1), or it reads them before the
  // loop over the pixels into more registers than there are.
  __device__ __forceinline__ const Pack<float, G>& of(int g, int pixel) const {
    const int zero = pixel * static_cast<int>(blockDim.y - 1);
    return groups[g][static_cast<int>(threadIdx.x) % Shape::kLanes + zero];
  }

 private:
  __device__ __forceinline__ static int channel_of(const Shape& tile) {
    return tile.first_channel() + Shape::template channel_of_float<G>(threadIdx.x);
  }
  __device__ __forceinline__ float& place_of(unsigned i) {
    return groups[i / (Shape::kLanes * G)][i / G % Shape::kLanes].at[i % G];
  }
};

inline bool all_aligned(std::initializer_list<const void*> pointers) {
  for (const void* p : pointers) {
    if (!aligned_16(p)) return false;  // a null pointer is aligned
  }
  return true;
}

}  // namespace fiqa::cuda
