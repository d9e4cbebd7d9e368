// Where each pair stands among all pairs by its cosine, summed over the pairs of each image.
//
// A stable radix sort of 64-bit words, the cosine's bits above and the image below, by 11, 11 and
// 10 bits. The last pass writes nothing: a pair's place is known there and goes into the image's
// sum. Sums are of integers, so they are the same for any number of threads.
#include <pybind11/numpy.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdint>
#include <memory>
#include <vector>

#include "host/bindings.h"
#include "host/parallel_for.h"

namespace py = pybind11;

namespace fiqa::host {
namespace {

constexpr int kDigitBits = 11;
constexpr int64_t kDigits = 1 << kDigitBits;
constexpr int kKeyShift = 32;
constexpr int64_t kPairsPerThread = 1 << 16;

// Orders as the numbers do; -0 and 0 are equal.
inline uint64_t sort_word(float cosine, uint32_t image) {
  const uint32_t bits = std::bit_cast<uint32_t>(cosine + 0.0f);
  const uint32_t key = bits ^ (bits >> 31 ? 0xffffffffu : 0x80000000u);
  return uint64_t{key} << kKeyShift | image;
}

// One pass over `count` words, cut into as many parts as there are threads: place(word, position)
// for each, with the word's position after a stable sort by the digit.
template <typename Word, typename Place>
void place_by_digit(int64_t count, int workers, int shift, const Word& word, const Place& place) {
  std::vector<std::vector<int64_t>> next(workers, std::vector<int64_t>(kDigits, 0));
  const auto digit = [&](uint64_t w) { return (w >> shift) & (kDigits - 1); };
  const auto part = [&](int64_t worker) { return count * worker / workers; };
  parallel_for(workers, workers, [&](int64_t worker) {
    int64_t* counts = next[worker].data();
    for (int64_t i = part(worker); i < part(worker + 1); ++i) ++counts[digit(word(i))];
  });
  int64_t position = 0;
  for (int64_t d = 0; d < kDigits; ++d) {
    for (auto& of_worker : next) {
      position += of_worker[d];
      of_worker[d] = position - of_worker[d];
    }
  }
  parallel_for(workers, workers, [&](int64_t worker) {
    int64_t* positions = next[worker].data();
    for (int64_t i = part(worker); i < part(worker + 1); ++i) {
      const uint64_t w = word(i);
      place(w, positions[digit(w)]++);
    }
  });
}

template <typename T>
void add(T* total, T value, bool shared) {
  if (shared) {
    std::atomic_ref<T>(*total).fetch_add(value, std::memory_order_relaxed);
  } else {
    *total += value;
  }
}

py::tuple credited_index_sums(const py::array_t<float, py::array::c_style>& cosines,
                              const py::array_t<uint32_t, py::array::c_style>& credited,
                              int64_t images, int threads) {
  if (cosines.ndim() != 1 || credited.ndim() != 1 || cosines.shape(0) != credited.shape(0)) {
    throw py::value_error("credited_index_sums: expected cosines and credited of one shape [P]");
  }
  if (images < 0 || threads < 0) {
    throw py::value_error("credited_index_sums: expected images >= 0 and threads >= 0");
  }
  const int64_t pairs = cosines.shape(0);
  const float* cosine = cosines.data();
  const uint32_t* image = credited.data();
  if (!std::all_of(image, image + pairs, [&](uint32_t i) { return i < images; })) {
    throw py::value_error("credited_index_sums: expected credited to lie below images");
  }
  py::array_t<int64_t> sums(images), counts(images);
  int64_t *sum = sums.mutable_data(), *credit_count = counts.mutable_data();
  std::fill_n(sum, images, 0);
  std::fill_n(credit_count, images, 0);
  // Arrays of numpy, which asks the system for large pages.
  py::array_t<uint64_t> first(pairs), second(pairs);
  uint64_t *by_low = first.mutable_data(), *by_middle = second.mutable_data();
  {
    py::gil_scoped_release unlocked;
    const int64_t wanted = threads > 0 ? threads : hardware_threads();
    const int workers = static_cast<int>(std::clamp<int64_t>(pairs / kPairsPerThread, 1, wanted));
    const bool shared = workers > 1;
    place_by_digit(
        pairs, workers, kKeyShift, [&](int64_t i) { return sort_word(cosine[i], image[i]); },
        [&](uint64_t w, int64_t position) { by_low[position] = w; });
    place_by_digit(
        pairs, workers, kKeyShift + kDigitBits, [&](int64_t i) { return by_low[i]; },
        [&](uint64_t w, int64_t position) { by_middle[position] = w; });
    place_by_digit(
        pairs, workers, kKeyShift + 2 * kDigitBits, [&](int64_t i) { return by_middle[i]; },
        [&](uint64_t w, int64_t position) {
          const uint32_t credit = static_cast<uint32_t>(w);
          add(sum + credit, position, shared);
        });
    // In the order of the pairs, where those of an image lie near each other.
    parallel_for(workers, workers, [&](int64_t worker) {
      const int64_t end = pairs * (worker + 1) / workers;
      for (int64_t i = pairs * worker / workers; i < end; ++i) {
        add(credit_count + image[i], int64_t{1}, shared);
      }
    });
  }
  return py::make_tuple(sums, counts);
}

}  // namespace

void bind_pair_ranks(py::module_& m) {
  m.def("credited_index_sums", &credited_index_sums, py::arg("cosines"), py::arg("credited"),
        py::arg("images"), py::arg("threads") = 0,
        "(sums, counts), int64 [images]: for each image the sum over its credited pairs of their\n"
        "0-based places among all pairs by ascending cosine, equal ones in their order; and how\n"
        "many they are.");
}

}  // namespace fiqa::host
