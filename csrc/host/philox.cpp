// Uniform numbers from the counter-based generator of philox.h, on the host's threads.
#include "philox.h"

#include <pybind11/numpy.h>

#include <array>
#include <cstdint>

#include "host/bindings.h"
#include "host/parallel_for.h"
#include "vectorized.h"

namespace py = pybind11;

namespace fiqa::host {
namespace {

constexpr int64_t kLanes = 16;         // counters that advance together
constexpr int64_t kChunk = 16 * 1024;  // values of one task; a multiple of 4 * kLanes

// Values [first, last) of one sample, uniform in [0, 1) with 24 bits; `first` is a multiple of 4.
FIQA_VECTORIZED void uniform_values(uint64_t seed, uint32_t stream, uint64_t sample, int64_t first,
                                    int64_t last, float* out) {
  for (int64_t at = first; at < last; at += 4 * kLanes) {
    uint32_t word[4][kLanes];
    for (int64_t lane = 0; lane < kLanes; ++lane) {
      word[0][lane] = static_cast<uint32_t>(at / 4 + lane);
      word[1][lane] = stream;
      word[2][lane] = static_cast<uint32_t>(sample);
      word[3][lane] = static_cast<uint32_t>(sample >> 32);
    }
    uint32_t key[2] = {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)};
    for (int round = 0; round < philox::kRounds; ++round) {
      for (int64_t lane = 0; lane < kLanes; ++lane) {
        const uint64_t a = uint64_t{philox::kMultiplier0} * word[0][lane];
        const uint64_t b = uint64_t{philox::kMultiplier1} * word[2][lane];
        const uint32_t first_word = static_cast<uint32_t>(b >> 32) ^ word[1][lane] ^ key[0];
        const uint32_t third_word = static_cast<uint32_t>(a >> 32) ^ word[3][lane] ^ key[1];
        word[0][lane] = first_word;
        word[1][lane] = static_cast<uint32_t>(b);
        word[2][lane] = third_word;
        word[3][lane] = static_cast<uint32_t>(a);
      }
      key[0] += philox::kKeyStep0;
      key[1] += philox::kKeyStep1;
    }
    float values[4 * kLanes];
    for (int64_t lane = 0; lane < kLanes; ++lane) {
      for (int w = 0; w < 4; ++w) {
        values[4 * lane + w] =
            static_cast<float>(static_cast<int32_t>(word[w][lane] >> 8)) * 0x1p-24f;
      }
    }
    std::copy_n(values, std::min(4 * kLanes, last - at), out + (at - first));
  }
}

py::array_t<float> philox_uniform(uint64_t seed, uint32_t stream,
                                  const py::array_t<uint64_t, py::array::c_style>& samples,
                                  int64_t count, int threads) {
  if (samples.ndim() != 1) throw py::value_error("philox_uniform: expected samples of shape [N]");
  if (count < 0 || count > (int64_t{1} << 34)) {
    throw py::value_error("philox_uniform: expected 0 <= count <= 2**34");
  }
  const int64_t n = samples.shape(0), chunks = (count + kChunk - 1) / kChunk;
  py::array_t<float> out({n, count});
  const uint64_t* sample = samples.data();
  float* values = out.mutable_data();
  {
    py::gil_scoped_release unlocked;
    parallel_for(n * chunks, threads, [&](int64_t task) {
      const int64_t i = task / chunks, first = task % chunks * kChunk;
      uniform_values(seed, stream, sample[i], first, std::min(first + kChunk, count),
                     values + i * count + first);
    });
  }
  return out;
}

}  // namespace

void bind_philox(py::module_& m) {
  m.def("philox_uniform", &philox_uniform, py::arg("seed"), py::arg("stream"), py::arg("samples"),
        py::arg("count"), py::arg("threads") = 0,
        "Uniform float32 [N, count] in [0, 1); row i is keyed by (seed, stream, samples[i]).");
}

}  // namespace fiqa::host
