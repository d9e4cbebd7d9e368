// Embeddings as unit vectors in float32, for the work that goes through them person by person.
//
// Sums of products have a fixed order, lane by lane and then over the lanes, so a result depends on
// its two vectors only, to the bit: not on their neighbours, their order or the number of threads.
#pragma once
#include <pybind11/numpy.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "host/parallel_for.h"
#include "vectorized.h"

// The functions below are always inlined, so that no vector is ever passed between functions.
#pragma GCC diagnostic ignored "-Wpsabi"

namespace fiqa::host {

constexpr int kLanes = 16;
using Lanes = float __attribute__((vector_size(64)));

struct alignas(64) Line {
  float value[kLanes];
};

FIQA_INLINE Lanes load_lanes(const float* p) {
  Lanes lanes;
  std::memcpy(&lanes, p, sizeof(lanes));
  return lanes;
}

// A buffer of rows that each begin at a cache line; what is behind the last dimension is 0.
class UnitRows {
 public:
  explicit UnitRows(int64_t dimensions) : lines_((dimensions + kLanes - 1) / kLanes) {}

  // Makes room for `rows` rows; their content is open.
  void reserve(int64_t rows) {
    if (static_cast<int64_t>(memory_.size()) < rows * lines_) memory_.resize(rows * lines_);
  }
  int64_t width() const { return lines_ * kLanes; }
  float* row(int64_t i) { return memory_[i * lines_].value; }
  const float* row(int64_t i) const { return memory_[i * lines_].value; }

  // products[i] = own . row(others[i])
  void products_with(const float* own, const int32_t* others, int64_t count, float* products) const;

 private:
  int64_t lines_;
  std::vector<Line> memory_;
};

// The user's matrix: finite rows, not zero.
struct Embeddings {
  const char* data;
  int64_t row_stride;  // bytes
  int64_t count, dimensions;
  bool half;                  // float16 rather than float32
  const float* inverse_norm;  // [count]

  // Writes the unit vectors of `rows[0..count)` to the first rows of `units`.
  void unit_rows(const int64_t* rows, int64_t count, UnitRows& units) const;
};

// Reads the arguments `embeddings` and `inverse_norm`, which must outlive the result.
//
// Throws type_error or value_error on another dtype, shape or layout.
Embeddings embeddings_of(const std::string& what, const pybind11::array& embeddings,
                         const pybind11::array_t<float, pybind11::array::c_style>& inverse_norm);

using Positions = pybind11::array_t<int64_t, pybind11::array::c_style>;

// Throws value_error unless `rows` [N] lie in [0, count) and `begins` [G + 1] cuts them in groups.
void check_groups(const std::string& what, const Positions& rows, const Positions& begins,
                  int64_t count);

// Calls body(workspace, i) for every i in [0, count); each thread has a workspace of its own, a
// copy of `workspace`. Which thread runs which i is open.
template <typename Workspace, typename Body>
void parallel_for_with(const Workspace& workspace, int64_t count, int threads, const Body& body) {
  const int64_t wanted = threads > 0 ? threads : hardware_threads();
  std::vector<Workspace> workspaces(std::min(wanted, std::max<int64_t>(count, 1)), workspace);
  const int64_t workers = static_cast<int64_t>(workspaces.size());
  std::atomic<int64_t> next{0};
  parallel_for(workers, static_cast<int>(workers), [&](int64_t worker) {
    for (int64_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < count;) {
      body(workspaces[worker], i);
    }
  });
}

}  // namespace fiqa::host
