// K-means within each person's embeddings, on unit vectors, one person per thread at a time.
//
// The rules stand with the plain twin, fiqa_fast/training/identity_clusters.py. Products of rows
// and centres are the cost: centres lie transposed, and a tile of 8 rows and 32 centres stays in
// registers over all dimensions.
#include <pybind11/numpy.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

#include "host/bindings.h"
#include "host/unit_rows.h"
#include "philox.h"
#include "vectorized.h"

namespace py = pybind11;

namespace fiqa::host {
namespace {

constexpr int kTileRows = 8;
constexpr int kTileColumns = 2 * kLanes;
constexpr float kSameSquared = 1e-6f;  // unit vectors nearer than this count as the same

// scores[i, c] = rows[i] . columns[:, c]; both counts are whole tiles.
FIQA_VECTORIZED void multiply(const float* rows, int64_t row_width, int64_t row_count,
                              int64_t dimensions, const float* columns, int64_t column_count,
                              float* scores) {
  for (int64_t i = 0; i < row_count; i += kTileRows) {
    for (int64_t c = 0; c < column_count; c += kTileColumns) {
      Lanes sum[kTileRows][2] = {};
      const float* row = rows + i * row_width;
      const float* column = columns + c;
      for (int64_t d = 0; d < dimensions; ++d, column += column_count) {
        const Lanes left = load_lanes(column), right = load_lanes(column + kLanes);
#pragma GCC unroll 8
        for (int r = 0; r < kTileRows; ++r) {
          const float value = row[r * row_width + d];
          sum[r][0] += value * left;
          sum[r][1] += value * right;
        }
      }
      for (int r = 0; r < kTileRows; ++r) {
        std::memcpy(scores + (i + r) * column_count + c, sum[r], sizeof(sum[r]));
      }
    }
  }
}

FIQA_VECTORIZED void add_to(float* sum, const float* row, int64_t width) {
  for (int64_t d = 0; d < width; ++d) sum[d] += row[d];
}

struct Settings {
  int64_t clusters;
  bool plus_plus;
  uint64_t seed;
  uint32_t stream;
  int iterations;
};

// One person's clustering and its buffers.
class Clustering {
 public:
  Clustering(const Embeddings& embeddings, const Settings& settings)
      : embeddings_(embeddings), settings_(settings), units_(embeddings.dimensions) {}

  void run(const int64_t* rows, int64_t count, uint64_t person, uint16_t* labels) {
    count_ = count;
    person_ = person;
    const int64_t padded = whole_tiles(count, kTileRows);
    units_.reserve(padded);
    embeddings_.unit_rows(rows, count, units_);
    const int64_t most = std::min(settings_.clusters, count);
    choose_first_centres(most);
    labels_.assign(count, -1);
    for (int iteration = 0; iteration < settings_.iterations; ++iteration) {
      if (!assign()) break;
      set_centres_to_means();
    }
    for (int64_t i = 0; i < count; ++i) labels[i] = static_cast<uint16_t>(labels_[i]);
  }

 private:
  static int64_t whole_tiles(int64_t count, int64_t tile) {
    return (count + tile - 1) / tile * tile;
  }

  uint32_t draw(int64_t number) const {
    return philox::block(settings_.seed, settings_.stream, person_,
                         static_cast<uint32_t>(number / 4))
        .word[number % 4];
  }

  void choose_first_centres(int64_t most) {
    chosen_.clear();
    if (settings_.plus_plus) {
      choose_plus_plus(most);
    } else {
      choose_at_random(most);
    }
    centre_count_ = static_cast<int64_t>(chosen_.size());
    centres_.assign(centre_count_ * units_.width(), 0.0f);
    for (int64_t c = 0; c < centre_count_; ++c) {
      std::copy_n(units_.row(chosen_[c]), units_.width(), &centres_[c * units_.width()]);
    }
  }

  void choose_at_random(int64_t most) {
    std::vector<std::pair<uint32_t, int64_t>> drawn(count_);
    for (int64_t i = 0; i < count_; ++i) drawn[i] = {draw(i), i};
    std::partial_sort(drawn.begin(), drawn.begin() + most, drawn.end());
    for (int64_t c = 0; c < most; ++c) chosen_.push_back(drawn[c].second);
  }

  void choose_plus_plus(int64_t most) {
    const int64_t trials = 2 + static_cast<int64_t>(std::log(static_cast<double>(most)));
    candidates_ = {static_cast<int32_t>(uint64_t{draw(0)} * count_ >> 32)};
    nearest_.assign(count_, 4.0f);
    measure_candidates();
    take_candidate(0);
    std::vector<double> cumulative(count_);
    while (static_cast<int64_t>(chosen_.size()) < most) {
      double total = 0;
      for (int64_t i = 0; i < count_; ++i) cumulative[i] = total += nearest_[i];
      if (total == 0) return;  // every row is the same as one of the centres
      const int64_t first = 1 + (static_cast<int64_t>(chosen_.size()) - 1) * trials;
      candidates_.resize(trials);
      for (int64_t t = 0; t < trials; ++t) {
        const double target = draw(first + t) * 0x1p-32 * total;
        const auto at = std::upper_bound(cumulative.begin(), cumulative.end(), target);
        candidates_[t] =
            static_cast<int32_t>(std::min<int64_t>(at - cumulative.begin(), count_ - 1));
      }
      measure_candidates();
      int64_t best = 0;
      double least = 0;
      for (int64_t t = 0; t < trials; ++t) {
        double left = 0;
        for (int64_t i = 0; i < count_; ++i) left += std::min(nearest_[i], distance(i, t));
        if (t == 0 || left < least) best = t, least = left;
      }
      take_candidate(best);
    }
  }

  // Squared distances of all rows to all candidates.
  void measure_candidates() {
    const int64_t trials = static_cast<int64_t>(candidates_.size());
    distances_.resize(count_ * trials);
    for (int64_t i = 0; i < count_; ++i) {
      float* of_row = &distances_[i * trials];
      units_.products_with(units_.row(i), candidates_.data(), trials, of_row);
      for (int64_t t = 0; t < trials; ++t) {
        const float squared = 2.0f - 2.0f * of_row[t];
        of_row[t] = squared < kSameSquared ? 0.0f : squared;
      }
    }
  }

  float distance(int64_t i, int64_t t) const { return distances_[i * candidates_.size() + t]; }

  void take_candidate(int64_t t) {
    for (int64_t i = 0; i < count_; ++i) nearest_[i] = std::min(nearest_[i], distance(i, t));
    chosen_.push_back(candidates_[t]);
  }

  void score() {
    const int64_t padded = whole_tiles(count_, kTileRows);
    scores_.resize(padded * columns_);
    multiply(units_.row(0), units_.width(), padded, embeddings_.dimensions, transposed_.data(),
             columns_, scores_.data());
  }

  // Gives every row its nearest centre; whether a label changed.
  bool assign() {
    columns_ = whole_tiles(centre_count_, kTileColumns);
    transposed_.assign(embeddings_.dimensions * columns_, 0.0f);
    half_squares_.resize(centre_count_);
    for (int64_t c = 0; c < centre_count_; ++c) {
      const float* centre = &centres_[c * units_.width()];
      float square = 0;
      for (int64_t d = 0; d < embeddings_.dimensions; ++d) {
        transposed_[d * columns_ + c] = centre[d];
        square += centre[d] * centre[d];
      }
      half_squares_[c] = square / 2;
    }
    score();
    next_.resize(count_);
    closeness_.resize(count_);
    sizes_.assign(centre_count_, 0);
    for (int64_t i = 0; i < count_; ++i) {
      const float* score_of = &scores_[i * columns_];
      int32_t best = 0;
      float most = score_of[0] - half_squares_[0];
      for (int32_t c = 1; c < centre_count_; ++c) {
        const float closeness = score_of[c] - half_squares_[c];
        if (closeness > most) best = c, most = closeness;
      }
      next_[i] = best;
      closeness_[i] = most;
      ++sizes_[best];
    }
    fill_empty_clusters();
    const bool changed = next_ != labels_;
    std::swap(next_, labels_);
    return changed;
  }

  // An empty cluster gets the row that is farthest from its centre and not alone there.
  void fill_empty_clusters() {
    for (int32_t c = 0; c < centre_count_; ++c) {
      if (sizes_[c] > 0) continue;
      int64_t farthest = -1;
      for (int64_t i = 0; i < count_; ++i) {
        if (sizes_[next_[i]] < 2 || 1.0f - 2.0f * closeness_[i] < kSameSquared) continue;
        if (farthest < 0 || closeness_[i] < closeness_[farthest]) farthest = i;
      }
      if (farthest < 0) return;
      --sizes_[next_[farthest]];
      ++sizes_[c];
      next_[farthest] = c;
      closeness_[farthest] = 0.5f;
    }
  }

  // A cluster that stays empty keeps its centre.
  void set_centres_to_means() {
    const int64_t width = units_.width();
    for (int64_t c = 0; c < centre_count_; ++c) {
      if (sizes_[c] > 0) std::fill_n(&centres_[c * width], width, 0.0f);
    }
    for (int64_t i = 0; i < count_; ++i)
      add_to(&centres_[labels_[i] * width], units_.row(i), width);
    for (int64_t c = 0; c < centre_count_; ++c) {
      const float count = static_cast<float>(std::max<int64_t>(sizes_[c], 1));
      for (int64_t d = 0; d < width; ++d) centres_[c * width + d] /= count;
    }
  }

  const Embeddings& embeddings_;
  const Settings& settings_;
  UnitRows units_;
  int64_t count_ = 0, centre_count_ = 0, columns_ = 0;
  uint64_t person_ = 0;
  std::vector<int64_t> chosen_, sizes_;
  std::vector<int32_t> labels_, next_, candidates_;
  std::vector<float> centres_, transposed_, scores_, half_squares_, nearest_, distances_,
      closeness_;
};

py::array_t<uint16_t> cluster_identities(const py::array& embeddings,
                                         const py::array_t<float, py::array::c_style>& inverse_norm,
                                         const Positions& rows, const Positions& begins,
                                         const py::array_t<uint64_t, py::array::c_style>& persons,
                                         int64_t clusters, bool plus_plus, uint64_t seed,
                                         uint32_t stream, int iterations, int threads) {
  const Embeddings source = embeddings_of("cluster_identities", embeddings, inverse_norm);
  check_groups("cluster_identities", rows, begins, source.count);
  const int64_t groups = begins.shape(0) - 1;
  if (persons.ndim() != 1 || persons.shape(0) != groups) {
    throw py::value_error("cluster_identities: expected a person for each group");
  }
  if (clusters < 1 || clusters > UINT16_MAX || iterations < 1 || threads < 0) {
    throw py::value_error(
        "cluster_identities: expected 1 to 65535 clusters, iterations >= 1 and threads >= 0");
  }
  py::array_t<uint16_t> labels(rows.shape(0));
  uint16_t* label = labels.mutable_data();
  const int64_t *row = rows.data(), *begin = begins.data();
  if (rows.shape(0) > INT32_MAX) {
    throw py::value_error("cluster_identities: expected fewer than 2**31 rows at once");
  }
  const uint64_t* person = persons.data();
  const Settings settings{clusters, plus_plus, seed, stream, iterations};
  {
    py::gil_scoped_release unlocked;
    parallel_for_with(Clustering(source, settings), groups, threads,
                      [&](Clustering& clustering, int64_t g) {
                        const int64_t first = begin[g], count = begin[g + 1] - first;
                        if (count > 0) clustering.run(row + first, count, person[g], label + first);
                      });
  }
  return labels;
}

}  // namespace

void bind_identity_clusters(py::module_& m) {
  m.def(
      "cluster_identities", &cluster_identities, py::arg("embeddings"), py::arg("inverse_norm"),
      py::arg("rows"), py::arg("begins"), py::arg("persons"), py::arg("clusters"),
      py::arg("plus_plus"), py::arg("seed"), py::arg("stream"), py::arg("iterations"),
      py::arg("threads") = 0,
      "K-means of each group of rows: labels, uint16 [N]. Group g is rows[begins[g]:begins[g+1]];\n"
      "its draws are keyed by persons[g].");
}

}  // namespace fiqa::host
