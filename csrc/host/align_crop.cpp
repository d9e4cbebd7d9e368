// Cuts aligned face crops out of a photograph: bilinear warpAffine, black outside the photograph.
//
// What makes it faster than a general warp: bounds are decided once per row of the crop, because a
// coordinate is monotone along a row and so the pixels whose four taps lie inside form one
// interval. Within it a pixel costs two loads of eight bytes (R G B R G B and two spare ones, above
// and below), which are blended vertically in one vector of eight floats and then horizontally.
// Tried and slower: 64-byte vectors of four pixels with target_clones (gcc lowers them to scalars
// before it clones).
#include <pybind11/numpy.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "host/bindings.h"
#include "host/parallel_for.h"
#include "vectorized.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define FIQA_X86
#endif

namespace fiqa::host {
namespace {

namespace py = pybind11;

constexpr int kTile = 128;     // output pixels per coordinate buffer: a 112 px row is one tile
constexpr int kBandRows = 16;  // rows handed to a thread at a time
constexpr int64_t kPixelsPerThread = 1 << 16;  // fewer do not pay for starting a thread
constexpr int64_t kMaxSize = 1 << 14;

struct Image {
  const uint8_t* data;  // [H, W, 3], pixels of a row dense
  int64_t row_stride;   // bytes; may be negative or larger than 3 W
  int64_t height, width;
};

// Crop pixel (x, y) -> photograph (u, v): u = m[0] x + m[1] y + m[2], v = m[3] x + m[4] y + m[5].
struct Affine {
  double m[6];
};

// Where the pixels of a tile read: top left tap and the fraction of the way to the next one.
struct Taps {
  int32_t u[kTile], v[kTile];
  int64_t offset[kTile];  // bytes from the image's first pixel; of use where the tap is inside
  alignas(64) float fu[kTile], fv[kTile];
};

// Positions farther outside than this all read nothing. Clamping them keeps the conversion to
// integers defined for huge coordinates; NaN fails the first comparison and lands outside too.
inline double clamp_outside(double position, double extent) {
  position = position > -2.0 ? position : -2.0;
  return position < extent + 1.0 ? position : extent + 1.0;
}

inline void split(double position, int32_t& whole, float& fraction) {
  const int32_t truncated = static_cast<int32_t>(position);
  whole = truncated - (position < truncated);  // floor, in a form that every target vectorises
  fraction = static_cast<float>(position - whole);
}

// The taps of `count` pixels of row y of the crop, from column x0 on.
FIQA_VECTORIZED
void locate_taps(const Image& image, const Affine& to_photo, int x0, int y, int count, Taps& taps) {
  const double width = static_cast<double>(image.width);
  const double height = static_cast<double>(image.height);
  const int64_t row_stride = image.row_stride;  // a copy: writing taps cannot change it
  const double* m = to_photo.m;
  const double u0 = m[1] * y + m[2], v0 = m[4] * y + m[5];
  for (int i = 0; i < count; ++i) {
    const double x = x0 + i;
    split(clamp_outside(m[0] * x + u0, width), taps.u[i], taps.fu[i]);
    split(clamp_outside(m[3] * x + v0, height), taps.v[i], taps.fv[i]);
    taps.offset[i] = taps.v[i] * row_stride + int64_t{taps.u[i]} * 3;
  }
}

// All four taps inside. One column less than that on the right: the eight bytes that are loaded
// from the left tap on must belong to the row.
inline bool is_interior(const Image& image, const Taps& taps, int i) {
  return taps.u[i] >= 0 && taps.u[i] + 2 < image.width && taps.v[i] >= 0 &&
         taps.v[i] + 1 < image.height;
}

// Half to even, as the vector path and OpenCV round.
inline uint8_t to_level(float value) { return static_cast<uint8_t>(std::nearbyint(value)); }

void blend_at_border(const Image& image, const Taps& taps, int i, uint8_t* rgb) {
  const int64_t u = taps.u[i], v = taps.v[i];
  const float wu[2] = {1.0f - taps.fu[i], taps.fu[i]};
  const float wv[2] = {1.0f - taps.fv[i], taps.fv[i]};
  float sum[3] = {0.0f, 0.0f, 0.0f};
  for (int dv = 0; dv < 2; ++dv) {
    if (v + dv < 0 || v + dv >= image.height) continue;
    for (int du = 0; du < 2; ++du) {
      if (u + du < 0 || u + du >= image.width) continue;
      const uint8_t* tap = image.data + (v + dv) * image.row_stride + (u + du) * 3;
      for (int c = 0; c < 3; ++c) sum[c] += wu[du] * wv[dv] * tap[c];
    }
  }
  for (int c = 0; c < 3; ++c) rgb[c] = to_level(sum[c]);
}

// Blends the interior pixels [begin, end) of a tile into rgb[3 begin .. 3 end); may spoil the four
// bytes behind.
using BlendInterior = void (*)(const Image& image, const Taps& taps, int begin, int end,
                               uint8_t* rgb);

void blend_interior_portable(const Image& image, const Taps& taps, int begin, int end,
                             uint8_t* rgb) {
  for (int i = begin; i < end; ++i) {
    const uint8_t* above = image.data + taps.offset[i];
    const uint8_t* below = above + image.row_stride;
    for (int c = 0; c < 3; ++c) {
      const float left = above[c] + taps.fv[i] * (below[c] - above[c]);
      const float right = above[c + 3] + taps.fv[i] * (below[c + 3] - above[c + 3]);
      rgb[3 * i + c] = to_level(left + taps.fu[i] * (right - left));
    }
  }
}

#ifdef FIQA_X86
// One pixel: floats R, G, B and one that does not count.
__attribute__((target("avx2,fma"), always_inline)) inline __m128 blend_avx2(const Image& image,
                                                                            const Taps& taps,
                                                                            int i) {
  const uint8_t* corner = image.data + taps.offset[i];
  const __m256 above = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadu_si64(corner)));
  const __m256 below =
      _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadu_si64(corner + image.row_stride)));
  // R G B of the left tap, then R G B of the right one
  const __m256 both =
      _mm256_fmadd_ps(_mm256_broadcast_ss(&taps.fv[i]), _mm256_sub_ps(below, above), above);
  const __m128 left = _mm256_castps256_ps128(both);
  const __m128 right = _mm256_castps256_ps128(
      _mm256_permutevar8x32_ps(both, _mm256_setr_epi32(3, 4, 5, 6, 0, 0, 0, 0)));
  return _mm_fmadd_ps(_mm_broadcast_ss(&taps.fu[i]), _mm_sub_ps(right, left), left);
}

__attribute__((target("avx2,fma"))) void blend_interior_avx2(const Image& image, const Taps& taps,
                                                             int begin, int end, uint8_t* rgb) {
  const __m256i drop_fourth = _mm256_broadcastsi128_si256(
      _mm_setr_epi8(0, 1, 2, 4, 5, 6, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1));
  int i = begin;
  for (; i + 4 <= end; i += 4) {
    // Packing works within halves of a vector, so pixels 0 and 1 are put into the lower ones.
    const __m256i even = _mm256_cvtps_epi32(
        _mm256_set_m128(blend_avx2(image, taps, i + 2), blend_avx2(image, taps, i)));
    const __m256i odd = _mm256_cvtps_epi32(
        _mm256_set_m128(blend_avx2(image, taps, i + 3), blend_avx2(image, taps, i + 1)));
    const __m256i words = _mm256_packs_epi32(even, odd);
    const __m256i bytes = _mm256_shuffle_epi8(_mm256_packus_epi16(words, words), drop_fourth);
    uint8_t* out = rgb + 3 * i;
    _mm_storel_epi64(reinterpret_cast<__m128i*>(out), _mm256_castsi256_si128(bytes));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(out + 6), _mm256_extracti128_si256(bytes, 1));
  }
  blend_interior_portable(image, taps, i, end, rgb);
}
#endif

BlendInterior fastest_blend() {
#ifdef FIQA_X86
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return blend_interior_avx2;
#endif
  return blend_interior_portable;
}

// Rows [first, last) of one crop of `size` x `size` pixels.
void crop_rows(const Image& image, const Affine& to_photo, int size, int first, int last,
               uint8_t* crop) {  // [size, size, 3]
  static const BlendInterior blend_interior = fastest_blend();
  Taps taps;
  uint8_t rgb[kTile * 3 + 4];
  for (int y = first; y < last; ++y) {
    for (int x0 = 0; x0 < size; x0 += kTile) {
      const int count = std::min(kTile, size - x0);
      locate_taps(image, to_photo, x0, y, count, taps);
      int begin = 0, end = count;
      while (begin < end && !is_interior(image, taps, begin)) ++begin;
      while (end > begin && !is_interior(image, taps, end - 1)) --end;
      blend_interior(image, taps, begin, end, rgb);
      for (int i = 0; i < begin; ++i) blend_at_border(image, taps, i, rgb + 3 * i);
      for (int i = end; i < count; ++i) blend_at_border(image, taps, i, rgb + 3 * i);
      std::memcpy(crop + (int64_t{y} * size + x0) * 3, rgb, 3 * count);
    }
  }
}

std::string shape_of(const py::array& array) {
  std::string text = "[";
  for (py::ssize_t i = 0; i < array.ndim(); ++i) {
    text += (i ? ", " : "") + std::to_string(array.shape(i));
  }
  return text + "]";
}

Affine inverted(const double* m) {  // [2, 3], photograph -> crop
  const double determinant = m[0] * m[4] - m[1] * m[3];
  double largest = 0.0;
  for (int i : {0, 1, 3, 4}) largest = std::max(largest, std::abs(m[i]));
  const bool finite = std::all_of(m, m + 6, [](double value) { return std::isfinite(value); });
  // A ratio, so that a strong but uniform reduction is not taken for a singular matrix.
  if (!finite || !(std::abs(determinant / largest / largest) > 1e-12)) {
    throw py::value_error("align_crop: expected matrices that are finite and invertible, got [[" +
                          std::to_string(m[0]) + ", " + std::to_string(m[1]) + ", " +
                          std::to_string(m[2]) + "], [" + std::to_string(m[3]) + ", " +
                          std::to_string(m[4]) + ", " + std::to_string(m[5]) +
                          "]]; check the landmarks they come from");
  }
  const double a = m[4] / determinant, b = -m[1] / determinant;
  const double d = -m[3] / determinant, e = m[0] / determinant;
  return {{a, b, -(a * m[2] + b * m[5]), d, e, -(d * m[2] + e * m[5])}};
}

int64_t worthwhile_threads(int64_t pixels) {
  return std::clamp<int64_t>(pixels / kPixelsPerThread, 1, hardware_threads());
}

py::array align_crop(const py::array& image,     // uint8 [H, W, 3]
                     const py::array& matrices,  // float64 [K, 2, 3]
                     int64_t size, int threads) {
  using Pixels = py::array_t<uint8_t, py::array::c_style>;
  using Matrices = py::array_t<double, py::array::c_style>;
  if (!py::isinstance<py::array_t<uint8_t>>(image)) {
    throw py::type_error("align_crop: expected image of dtype uint8, got " +
                         py::str(image.dtype()).cast<std::string>());
  }
  if (!py::isinstance<py::array_t<double>>(matrices)) {
    throw py::type_error("align_crop: expected matrices of dtype float64, got " +
                         py::str(matrices.dtype()).cast<std::string>());
  }
  if (image.ndim() != 3 || image.shape(2) != 3 || image.shape(0) < 1 || image.shape(1) < 1 ||
      image.shape(0) > INT32_MAX - 4 || image.shape(1) > INT32_MAX - 4) {
    throw py::value_error("align_crop: expected image of shape [H, W, 3] with H, W >= 1, got " +
                          shape_of(image));
  }
  if (matrices.ndim() != 3 || matrices.shape(1) != 2 || matrices.shape(2) != 3) {
    throw py::value_error("align_crop: expected matrices of shape [K, 2, 3], got " +
                          shape_of(matrices));
  }
  if (size < 1 || size > kMaxSize) {
    throw py::value_error("align_crop: expected size in 1.." + std::to_string(kMaxSize) + ", got " +
                          std::to_string(size));
  }
  if (threads < 0) {
    throw py::value_error("align_crop: expected threads >= 0 (0: automatic), got " +
                          std::to_string(threads));
  }

  // A window or a mirrored view of an image keeps its pixels dense and is read where it lies;
  // anything else (channels reversed by a view, planar storage) is copied once.
  const bool dense_pixels = image.strides(2) == 1 && image.strides(1) == 3;
  const py::array source = dense_pixels ? image : py::array(Pixels::ensure(image));
  const Image photo{static_cast<const uint8_t*>(source.data()), source.strides(0), source.shape(0),
                    source.shape(1)};
  const Matrices forward = Matrices::ensure(matrices);
  const int64_t crops = forward.shape(0);
  std::vector<Affine> to_photo;
  to_photo.reserve(crops);
  for (int64_t k = 0; k < crops; ++k) to_photo.push_back(inverted(forward.data(k)));

  py::array_t<uint8_t> out({crops, size, size, int64_t{3}});
  uint8_t* pixels = out.mutable_data();
  const int64_t bands = (size + kBandRows - 1) / kBandRows;
  const auto run = [&](int64_t i) {
    const int64_t k = i / bands, first = i % bands * kBandRows;
    crop_rows(photo, to_photo[k], size, first, std::min(size, first + kBandRows),
              pixels + k * size * size * 3);
  };
  {
    py::gil_scoped_release release;
    const int64_t workers = threads > 0 ? threads : worthwhile_threads(crops * size * size);
    parallel_for(crops * bands, workers, run);
  }
  return out;
}

}  // namespace

void bind_align_crop(py::module_& m) {
  m.def("align_crop", &align_crop, py::arg("image"), py::arg("matrices"), py::arg("size") = 112,
        py::arg("threads") = 0,
        "Bilinear crops, uint8 [K, size, size, 3], of an image, uint8 [H, W, 3]; `matrices`,\n"
        "float64 [K, 2, 3], map image (x, y, 1) to crop (x, y), pixel centres at integers; black\n"
        "outside the image. threads=0: as many as pay. ValueError on shapes and singular or\n"
        "non-finite matrices, TypeError on dtypes.");
}

}  // namespace fiqa::host
