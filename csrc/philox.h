// Philox4x32-10, the counter-based generator of Salmon et al., "Parallel random numbers: as easy as
// 1, 2, 3" (SC 2011): value i of a sample is a function of (seed, stream, sample, i) and of nothing
// else, so draws depend neither on the batch nor on the order.
//
//   key     = seed (64 bits)
//   counter = { i / 4, stream, low word of the sample's key, high word of the sample's key }
//   value i = word i % 4 of the block; as a uniform number its upper 24 bits over 2^24
#pragma once
#include <cstdint>

#if defined(__CUDACC__)
#define FIQA_PHILOX_INLINE __host__ __device__ __forceinline__
#else
#define FIQA_PHILOX_INLINE inline
#endif

namespace fiqa::philox {

constexpr int kRounds = 10;
constexpr uint32_t kMultiplier0 = 0xD2511F53, kMultiplier1 = 0xCD9E8D57;
constexpr uint32_t kKeyStep0 = 0x9E3779B9, kKeyStep1 = 0xBB67AE85;

struct Block {
  uint32_t word[4];
};

// The block of values 4 * index .. 4 * index + 3.
FIQA_PHILOX_INLINE Block block(uint64_t seed, uint32_t stream, uint64_t sample, uint32_t index) {
  uint32_t w0 = index, w1 = stream;
  uint32_t w2 = static_cast<uint32_t>(sample), w3 = static_cast<uint32_t>(sample >> 32);
  uint32_t key0 = static_cast<uint32_t>(seed), key1 = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < kRounds; ++round) {
    const uint64_t a = static_cast<uint64_t>(kMultiplier0) * w0;
    const uint64_t b = static_cast<uint64_t>(kMultiplier1) * w2;
    w0 = static_cast<uint32_t>(b >> 32) ^ w1 ^ key0;
    w1 = static_cast<uint32_t>(b);
    w2 = static_cast<uint32_t>(a >> 32) ^ w3 ^ key1;
    w3 = static_cast<uint32_t>(a);
    key0 += kKeyStep0;
    key1 += kKeyStep1;
  }
  return {{w0, w1, w2, w3}};
}

}  // namespace fiqa::philox
