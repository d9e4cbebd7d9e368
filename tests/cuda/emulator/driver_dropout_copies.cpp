// dropout_copies against the generator written out in plain loops.
#include "driver_support.h"
#include "ops/dropout_copies.h"

namespace {

// Word i % 4 of block i / 4: Philox4x32-10, on its own so that philox.h is checked too.
uint32_t word(uint64_t seed, uint32_t stream, uint64_t sample, int64_t i) {
  uint32_t c[4] = {static_cast<uint32_t>(i / 4), stream, static_cast<uint32_t>(sample),
                   static_cast<uint32_t>(sample >> 32)};
  uint32_t k[2] = {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)};
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53} * c[0], b = uint64_t{0xCD9E8D57} * c[2];
    const uint32_t next[4] = {
        static_cast<uint32_t>(b >> 32) ^ c[1] ^ k[0], static_cast<uint32_t>(b),
        static_cast<uint32_t>(a >> 32) ^ c[3] ^ k[1], static_cast<uint32_t>(a)};
    for (int w = 0; w < 4; ++w) c[w] = next[w];
    k[0] += 0x9E3779B9;
    k[1] += 0xBB67AE85;
  }
  return c[i % 4];
}

template <typename T>
void check(int64_t N, int64_t T_, int64_t F) {
  Array<T> x(N * F), out(N * T_ * F);
  x.fill_normal(3, 1);
  int64_t* sample = static_cast<int64_t*>(std::malloc(N * sizeof(int64_t)));
  for (int64_t n = 0; n < N; ++n) sample[n] = (n + 1) * 0x123456789abcdef;
  fiqa::DropoutCopies a{};
  a.x = x.data(), a.sample = sample, a.seed = 0x0123456700000005, a.stream = 2;
  a.threshold = word(a.seed, 2, static_cast<uint64_t>(sample[0]), 1), a.out = out.data(), a.N = N,
  a.T = T_, a.F = F;
  expect_launched("dropout_copies", fiqa_cuda_dropout_copies(kDType<T>, &a, nullptr));
  for (int64_t i = 0; i < N * T_ * F; ++i) {
    const int64_t n = i / (T_ * F), at = i % (T_ * F);
    const bool kept = word(a.seed, a.stream, static_cast<uint64_t>(sample[n]), at) >= a.threshold;
    expect_close("dropout_copies", out[i], kept ? x[n * F + at % F] : 0, 0, i);
  }
  std::free(sample);
}

template <typename T>
void check_all(bool small) {
  check<T>(1, 1, 4);
  check<T>(2, 3, 36);                // several copies of several samples
  if (!small) check<T>(2, 2, 1032);  // more than a block, and a part of one
}

}  // namespace

void check_dropout_copies(bool small) {
  check_all<float>(small);
  check_all<__half>(small);
  if (!small) check_all<__nv_bfloat16>(small);
  fiqa::DropoutCopies nothing{};
  expect_launched("empty", fiqa_cuda_dropout_copies(fiqa::kFloat32, &nothing, nullptr));
}
