// Draws the mated pairs of one repeat of label optimisation, person by person, and compares them.
//
// The rules stand with the plain twin, fiqa_fast/training/mated_pairs.py. Each image meets some
// twenty others of its person, so their products are taken one by one from unit vectors in the
// core's cache: a tenth of the arithmetic of the whole Gram matrix, and nothing grows with the
// square of a person's images.
#include <pybind11/numpy.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "host/bindings.h"
#include "host/unit_rows.h"
#include "philox.h"

namespace py = pybind11;

namespace fiqa::host {
namespace {

struct Draws {
  uint64_t seed;
  uint32_t stream;
  uint32_t repeat;
};

// One person's images sorted by cluster, and the buffers of a thread.
class Person {
 public:
  Person(const Embeddings& embeddings, int64_t clusters)
      : embeddings_(embeddings),
        units_(embeddings.dimensions),
        ends_(clusters),
        sizes_(clusters),
        partners_(clusters) {}

  int64_t sort_by_cluster(const uint16_t* labels, int64_t count) {
    std::fill(sizes_.begin(), sizes_.end(), 0);
    for (int64_t i = 0; i < count; ++i) ++sizes_[labels[i]];
    int64_t end = 0, used = 0;
    for (size_t c = 0; c < sizes_.size(); ++c) {
      ends_[c] = end;
      end += sizes_[c];
      used += sizes_[c] > 0;
    }
    members_.resize(count);
    for (int64_t i = 0; i < count; ++i) members_[ends_[labels[i]]++] = static_cast<int32_t>(i);
    return used;
  }

  // Fills in the pairs of all images, image by image and cluster by cluster.
  void pair(const Draws& draws, const int64_t* rows, const uint16_t* labels, int64_t count,
            const uint32_t* quality_rank, float* cosines, uint32_t* credited) {
    if (sort_by_cluster(labels, count) < 2) return;
    units_.reserve(count);
    embeddings_.unit_rows(rows, count, units_);
    for (int64_t i = 0; i < count; ++i) {
      const int64_t pairs = draw_partners(draws, rows[i], labels[i]);
      units_.products_with(units_.row(i), partners_.data(), pairs, cosines);
      for (int64_t p = 0; p < pairs; ++p) {
        cosines[p] = std::clamp(cosines[p], -1.0f, 1.0f);
        const int64_t other = rows[partners_[p]];
        credited[p] =
            static_cast<uint32_t>(quality_rank[rows[i]] < quality_rank[other] ? rows[i] : other);
      }
      cosines += pairs;
      credited += pairs;
    }
  }

 private:
  int64_t draw_partners(const Draws& draws, int64_t image, int64_t own) {
    const int64_t clusters = static_cast<int64_t>(sizes_.size());
    int64_t pairs = 0;
    for (int64_t c = 0; c < clusters; c += 4) {
      const uint64_t key = static_cast<uint64_t>(image) | uint64_t{draws.repeat} << 32;
      const philox::Block block =
          philox::block(draws.seed, draws.stream, key, static_cast<uint32_t>(c / 4));
      for (int64_t w = 0; w < std::min<int64_t>(4, clusters - c); ++w) {
        const int64_t cluster = c + w, size = sizes_[cluster];
        if (cluster == own || size == 0) continue;
        const int64_t member = static_cast<int64_t>(uint64_t{block.word[w]} * size >> 32);
        partners_[pairs++] = members_[ends_[cluster] - size + member];
      }
    }
    return pairs;
  }

  const Embeddings& embeddings_;
  UnitRows units_;
  std::vector<int64_t> ends_, sizes_;  // of each cluster in members_
  std::vector<int32_t> members_, partners_;
};

using Labels = py::array_t<uint16_t, py::array::c_style>;

py::tuple compare_mated_pairs(const py::array& embeddings,
                              const py::array_t<float, py::array::c_style>& inverse_norm,
                              const Positions& rows, const Positions& begins, const Labels& labels,
                              int64_t clusters,
                              const py::array_t<uint32_t, py::array::c_style>& quality_rank,
                              uint64_t seed, uint32_t stream, uint32_t repeat, int threads) {
  const Embeddings source = embeddings_of("compare_mated_pairs", embeddings, inverse_norm);
  check_groups("compare_mated_pairs", rows, begins, source.count);
  const int64_t groups = begins.shape(0) - 1;
  if (source.count > int64_t{UINT32_MAX}) {
    throw py::value_error("compare_mated_pairs: expected fewer than 2**32 embeddings");
  }
  if (quality_rank.ndim() != 1 || quality_rank.shape(0) != source.count) {
    throw py::value_error("compare_mated_pairs: expected a quality rank for each embedding");
  }
  if (clusters < 1 || clusters > UINT16_MAX || threads < 0) {
    throw py::value_error("compare_mated_pairs: expected 1 to 65535 clusters and threads >= 0");
  }
  if (labels.ndim() != 1 || labels.shape(0) != rows.shape(0) ||
      !std::all_of(labels.data(), labels.data() + labels.size(),
                   [&](uint16_t label) { return label < clusters; })) {
    throw py::value_error("compare_mated_pairs: expected a label below clusters for each row");
  }
  const int64_t *row = rows.data(), *begin = begins.data();
  const uint16_t* label = labels.data();
  const uint32_t* rank = quality_rank.data();
  std::vector<int64_t> first_pair(groups + 1, 0);
  Person counting(source, clusters);
  for (int64_t g = 0; g < groups; ++g) {
    const int64_t count = begin[g + 1] - begin[g];
    if (count > INT32_MAX) {
      throw py::value_error("compare_mated_pairs: expected fewer than 2**31 rows in a group");
    }
    const int64_t used = counting.sort_by_cluster(label + begin[g], count);
    first_pair[g + 1] = first_pair[g] + (used > 1 ? count * (used - 1) : 0);
  }
  py::array_t<float> cosines(first_pair[groups]);
  py::array_t<uint32_t> credited(first_pair[groups]);
  float* cosine = cosines.mutable_data();
  uint32_t* credit = credited.mutable_data();
  const Draws draws{seed, stream, repeat};
  {
    py::gil_scoped_release unlocked;
    parallel_for_with(Person(source, clusters), groups, threads, [&](Person& person, int64_t g) {
      person.pair(draws, row + begin[g], label + begin[g], begin[g + 1] - begin[g], rank,
                  cosine + first_pair[g], credit + first_pair[g]);
    });
  }
  return py::make_tuple(cosines, credited);
}

}  // namespace

void bind_mated_pairs(py::module_& m) {
  m.def("compare_mated_pairs", &compare_mated_pairs, py::arg("embeddings"), py::arg("inverse_norm"),
        py::arg("rows"), py::arg("begins"), py::arg("labels"), py::arg("clusters"),
        py::arg("quality_rank"), py::arg("seed"), py::arg("stream"), py::arg("repeat"),
        py::arg("threads") = 0,
        "One random partner in every other cluster of each row's group: (cosines, float32 [P];\n"
        "credited, uint32 [P]: the one of the two rows with the lower quality rank).");
}

}  // namespace fiqa::host
