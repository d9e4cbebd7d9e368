#include "host/unit_rows.h"

#include <algorithm>

namespace py = pybind11;

namespace fiqa::host {
namespace {

using Halves = uint16_t __attribute__((vector_size(32)));
using Words = uint32_t __attribute__((vector_size(64)));

// float16 to float32 by moving the exponent, exact for subnormal numbers too; not for infinity and
// NaN, which embeddings do not hold.
FIQA_INLINE Lanes widen(const char* p) {
  Halves half;
  std::memcpy(&half, p, sizeof(half));
  const Words bits = __builtin_convertvector(half, Words);
  const Lanes magnitude = reinterpret_cast<Lanes>((bits & 0x7fffu) << 13) * 0x1p112f;
  return reinterpret_cast<Lanes>(reinterpret_cast<Words>(magnitude) | ((bits & 0x8000u) << 16));
}

template <bool kHalf>
FIQA_INLINE Lanes read(const char* row, int64_t first) {
  if constexpr (kHalf) return widen(row + first * 2);
  return load_lanes(reinterpret_cast<const float*>(row) + first);
}

template <bool kHalf>
FIQA_INLINE void scale_row(const char* row, int64_t dimensions, float factor, float* out) {
  constexpr int64_t kSize = kHalf ? 2 : 4;
  const int64_t whole = dimensions - dimensions % kLanes;
  for (int64_t d = 0; d < whole; d += kLanes) {
    const Lanes scaled = read<kHalf>(row, d) * factor;
    std::memcpy(out + d, &scaled, sizeof(scaled));
  }
  if (whole < dimensions) {
    alignas(64) char tail[kLanes * kSize] = {};
    std::memcpy(tail, row + whole * kSize, (dimensions - whole) * kSize);
    const Lanes scaled = read<kHalf>(tail, 0) * factor;
    std::memcpy(out + whole, &scaled, sizeof(scaled));
  }
}

constexpr int kAtOnce = 4;  // products whose sums advance together, to hide an addition's latency

FIQA_INLINE float sum_of_lanes(const Lanes& lanes) {
  float half[kLanes];
  std::memcpy(half, &lanes, sizeof(lanes));
  for (int count = kLanes / 2; count > 0; count /= 2) {
    for (int i = 0; i < count; ++i) half[i] += half[i + count];
  }
  return half[0];
}

template <int kCount>
FIQA_INLINE void some_products(const float* own, const float* units, int64_t width,
                               const int32_t* others, float* products) {
  Lanes sum[kCount] = {};
  const float* other[kCount];
  for (int i = 0; i < kCount; ++i) other[i] = units + others[i] * width;
  for (int64_t d = 0; d < width; d += kLanes) {
    const Lanes left = load_lanes(own + d);
    for (int i = 0; i < kCount; ++i) sum[i] += left * load_lanes(other[i] + d);
  }
  for (int i = 0; i < kCount; ++i) products[i] = sum_of_lanes(sum[i]);
}

FIQA_VECTORIZED void all_products(const float* own, const float* units, int64_t width,
                                  const int32_t* others, int64_t count, float* products) {
  int64_t i = 0;
  for (; i + kAtOnce <= count; i += kAtOnce) {
    some_products<kAtOnce>(own, units, width, others + i, products + i);
  }
  for (; i < count; ++i) some_products<1>(own, units, width, others + i, products + i);
}

FIQA_VECTORIZED void scale_half_row(const char* row, int64_t dimensions, float factor, float* out) {
  scale_row<true>(row, dimensions, factor, out);
}

FIQA_VECTORIZED void scale_float_row(const char* row, int64_t dimensions, float factor,
                                     float* out) {
  scale_row<false>(row, dimensions, factor, out);
}

}  // namespace

void UnitRows::products_with(const float* own, const int32_t* others, int64_t count,
                             float* products) const {
  all_products(own, row(0), width(), others, count, products);
}

void Embeddings::unit_rows(const int64_t* rows, int64_t wanted, UnitRows& units) const {
  const auto scale = half ? scale_half_row : scale_float_row;
  for (int64_t i = 0; i < wanted; ++i) {
    scale(data + rows[i] * row_stride, dimensions, inverse_norm[rows[i]], units.row(i));
  }
}

Embeddings embeddings_of(const std::string& what, const py::array& embeddings,
                         const py::array_t<float, py::array::c_style>& inverse_norm) {
  const bool half = embeddings.dtype().is(py::dtype("float16"));
  if (!half && !py::isinstance<py::array_t<float>>(embeddings)) {
    throw py::type_error(what + ": expected embeddings of dtype float16 or float32, got " +
                         py::str(embeddings.dtype()).cast<std::string>());
  }
  if (embeddings.ndim() != 2 || embeddings.shape(1) < 1 ||
      (embeddings.shape(0) > 0 && embeddings.strides(1) != embeddings.itemsize())) {
    throw py::value_error(what + ": expected embeddings of shape [S, D] with dense rows");
  }
  if (inverse_norm.ndim() != 1 || inverse_norm.shape(0) != embeddings.shape(0)) {
    throw py::value_error(what + ": expected an inverse norm for each embedding");
  }
  return {static_cast<const char*>(embeddings.data()),
          embeddings.strides(0),
          embeddings.shape(0),
          embeddings.shape(1),
          half,
          inverse_norm.data()};
}

void check_groups(const std::string& what, const Positions& rows, const Positions& begins,
                  int64_t count) {
  if (rows.ndim() != 1 || begins.ndim() != 1 || begins.shape(0) < 1) {
    throw py::value_error(what + ": expected rows of shape [N] and begins of shape [G + 1]");
  }
  const int64_t *row = rows.data(), *begin = begins.data();
  const int64_t entries = rows.shape(0), groups = begins.shape(0) - 1;
  if (begin[0] != 0 || begin[groups] != entries || !std::is_sorted(begin, begin + groups + 1)) {
    throw py::value_error(what + ": expected begins that ascend from 0 to the number of rows");
  }
  if (!std::all_of(row, row + entries, [&](int64_t r) { return r >= 0 && r < count; })) {
    throw py::value_error(what + ": expected rows among those of embeddings");
  }
}

}  // namespace fiqa::host
