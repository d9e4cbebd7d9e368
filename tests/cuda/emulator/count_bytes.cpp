// Prints how many bytes each fused operator moves, and how many it would at best: every activation
// once, every statistic once. One line of JSON for each case.
#include <string>
#include <vector>

#include "byte_counter.h"
#include "driver_support.h"
#include "ops/bn_add_bn.h"
#include "ops/bn_prelu.h"
#include "ops/prelu_difference.h"

namespace {

// Buffers of one call, and what they may cost.
class Ledger {
 public:
  Ledger() { bytes::reset(); }

  // Read or written by kernels, each time at its price.
  template <typename T>
  T* activation(const char* name, Array<T>& a) {
    add(name, a.data(), a.size() * sizeof(T), a.size() * sizeof(T), false);
    return a.data();
  }
  // Both read and written, in place.
  template <typename T>
  T* in_place(const char* name, Array<T>& a) {
    add(name, a.data(), a.size() * sizeof(T), 2 * a.size() * sizeof(T), false);
    return a.data();
  }
  // Read by many blocks, but from memory only once: the caches have it afterwards.
  const float* statistic(const char* name, Array<float>& a) {
    add(name, a.data(), a.size() * sizeof(float), a.size() * sizeof(float), true);
    return a.data();
  }
  // Results of the size of statistics.
  float* result(const char* name, Array<float>& a) {
    add(name, a.data(), a.size() * sizeof(float), a.size() * sizeof(float), false);
    return a.data();
  }
  // At best there would be none.
  float* workspace(Array<float>& a) {
    add("workspace", a.data(), a.size() * sizeof(float), 0, false);
    return a.data();
  }
  // Neighbours that share a byte read it together.
  void mask(const std::vector<uint8_t>& bits) {
    const int64_t size = static_cast<int64_t>(bits.size());
    add("mask", bits.data(), size, size, true);
  }

  void print(const std::string& name) const {
    int64_t moved = 0, ideal = 0;
    std::string parts;
    for (const Entry& e : entries_) {
      const bytes::Count c = bytes::count(e.buffer);
      const int64_t cost = e.cached ? c.touched : c.read + c.written;
      moved += cost;
      ideal += e.ideal;
      parts += (parts.empty() ? "\"" : ", \"") + e.name + "\": [" + std::to_string(cost) + ", " +
               std::to_string(e.ideal) + "]";
    }
    std::printf("{\"case\": \"%s\", \"moved\": %lld, \"ideal\": %lld, \"parts\": {%s}}\n",
                name.c_str(), static_cast<long long>(moved), static_cast<long long>(ideal),
                parts.c_str());
  }

 private:
  struct Entry {
    std::string name;
    int buffer;
    int64_t ideal;
    bool cached;
  };
  void add(const char* name, const void* p, int64_t size, int64_t ideal, bool cached) {
    entries_.push_back({name, bytes::watch(p, size), ideal, cached});
  }
  std::vector<Entry> entries_;
};

template <typename T>
std::string label(const char* op, const Shape& s) {
  const char* type = std::is_same_v<T, float> ? "float32" : "bfloat16";
  return std::string(op) + " " + type + " " + std::to_string(s.N) + "x" + std::to_string(s.HW) +
         "x" + std::to_string(s.C);
}

fiqa::Rows rows_of(float* p, const Shape& s) { return {p, p + s.N * s.C, s.C}; }
fiqa::ConstRows const_rows_of(const float* p, const Shape& s) { return {p, p + s.N * s.C, s.C}; }

template <typename T>
void count_bn_prelu(const Shape& s, bool gathers) {
  const int64_t count = s.N * s.HW * s.C;
  Array<T> x(count), y(count), grad(count);
  Array<float> scale(s.C), shift(s.C), slope(s.C), rows(2 * s.N * s.C), sums(s.N);
  x.fill(1), grad.fill(1), scale.fill(1), shift.fill(1), slope.fill(1), rows.fill(0);
  {
    Ledger ledger;
    fiqa::BnPrelu f{};
    f.N = s.N, f.HW = s.HW, f.C = s.C;
    f.x = ledger.activation("x", x), f.y = ledger.activation("y", y);
    f.scale = ledger.statistic("scale", scale), f.shift = ledger.statistic("shift", shift);
    f.slope = ledger.statistic("slope", slope);
    if (gathers) f.moments = rows_of(ledger.result("moments", rows), s);
    Array<float> workspace(fiqa_cuda_bn_prelu_workspace(&f));
    float* memory = ledger.workspace(workspace);
    expect_launched("bn_prelu", fiqa_cuda_bn_prelu(kDType<T>, &f, memory, nullptr));
    ledger.print(label<T>(gathers ? "bn_prelu with moments" : "bn_prelu", s));
  }
  if (!gathers) return;
  Ledger ledger;
  fiqa::BnPreluBackward b{};
  b.N = s.N, b.HW = s.HW, b.C = s.C;
  b.x = ledger.activation("x", x), b.grad = ledger.in_place("grad", grad);
  b.grad_x = grad.data();
  b.scale = ledger.statistic("scale", scale), b.shift = ledger.statistic("shift", shift);
  b.slope = ledger.statistic("slope", slope);
  b.terms = const_rows_of(ledger.statistic("terms", rows), s);
  b.abs_sum = ledger.result("abs_sum", sums);
  Array<float> workspace(fiqa_cuda_bn_prelu_backward_workspace(&b));
  float* memory = ledger.workspace(workspace);
  expect_launched("bn_prelu_backward", fiqa_cuda_bn_prelu_backward(kDType<T>, &b, memory, nullptr));
  ledger.print(label<T>("bn_prelu_backward", s));
}

template <typename T>
void count_bn_add_bn(const Shape& s, bool gathers) {
  const int64_t count = s.N * s.HW * s.C;
  Array<T> x(count), skip(count), next(count), y(count);
  Array<float> scale(s.C), shift(s.C), skip_scale(s.C), skip_shift(s.C), next_scale(s.C),
      next_shift(s.C), x_rows(2 * s.N * s.C), skip_rows(2 * s.N * s.C), y_rows(2 * s.N * s.C),
      sums(s.N);
  for (Array<T>* a : {&x, &skip, &y}) a->fill(1);
  for (Array<float>* a : {&scale, &shift, &skip_scale, &skip_shift, &next_scale, &next_shift,
                          &x_rows, &skip_rows, &y_rows}) {
    a->fill(1);
  }
  {
    Ledger ledger;
    fiqa::BnAddBn f{};
    f.N = s.N, f.HW = s.HW, f.C = s.C;
    f.x = ledger.activation("x", x), f.skip = ledger.in_place("skip", skip);
    f.y = skip.data(), f.next = ledger.activation("next", next);
    f.scale = ledger.statistic("scale", scale), f.shift = ledger.statistic("shift", shift);
    f.skip_scale = ledger.statistic("skip_scale", skip_scale);
    f.skip_shift = ledger.statistic("skip_shift", skip_shift);
    f.next_scale = ledger.statistic("next_scale", next_scale);
    f.next_shift = ledger.statistic("next_shift", next_shift);
    if (gathers) {
      f.x_moments = rows_of(ledger.result("x_moments", x_rows), s);
      f.skip_moments = rows_of(ledger.result("skip_moments", skip_rows), s);
      f.y_moments = rows_of(ledger.result("y_moments", y_rows), s);
    }
    Array<float> workspace(fiqa_cuda_bn_add_bn_workspace(&f));
    float* memory = ledger.workspace(workspace);
    expect_launched("bn_add_bn", fiqa_cuda_bn_add_bn(kDType<T>, &f, memory, nullptr));
    ledger.print(label<T>(gathers ? "bn_add_bn with moments" : "bn_add_bn", s));
  }
  if (!gathers) return;
  Array<T> grad(count), other(count);
  grad.fill(1), other.fill(1);
  Ledger ledger;
  fiqa::BnAddBnBackward b{};
  b.N = s.N, b.HW = s.HW, b.C = s.C;
  b.grad = ledger.in_place("grad", grad), b.other = ledger.in_place("other", other);
  b.total = grad.data(), b.grad_x = other.data();
  b.y = ledger.activation("y", y), b.x = ledger.activation("x", x);
  b.y_terms = const_rows_of(ledger.statistic("y_terms", y_rows), s);
  b.x_terms = const_rows_of(ledger.statistic("x_terms", x_rows), s);
  b.scale = ledger.statistic("scale", scale), b.abs_sum = ledger.result("abs_sum", sums);
  Array<float> workspace(fiqa_cuda_bn_add_bn_backward_workspace(&b));
  float* memory = ledger.workspace(workspace);
  expect_launched("bn_add_bn_backward",
                  fiqa_cuda_bn_add_bn_backward(kDType<T>, &b, memory, nullptr));
  ledger.print(label<T>("bn_add_bn_backward", s));
}

template <typename T>
void count_prelu_difference(const Shape& s, int64_t k) {
  const int64_t shared = s.N * s.HW * s.C, count = shared * k;
  Array<T> d(count), x(shared);
  Array<float> scale(s.C), shift(s.C), slope(s.C);
  std::vector<uint8_t> mask(count / 8);
  d.fill(1), x.fill(1), scale.fill(1), shift.fill(1), slope.fill(1);
  {
    Ledger ledger;
    fiqa::PreluDifference f{};
    f.N = s.N, f.k = k, f.HW = s.HW, f.C = s.C;
    f.d = ledger.in_place("d", d), f.out = d.data(), f.x = ledger.activation("x", x);
    f.scale = ledger.statistic("scale", scale), f.shift = ledger.statistic("shift", shift);
    f.slope = ledger.statistic("slope", slope);
    f.mask = mask.data();
    ledger.mask(mask);
    expect_launched("prelu_difference", fiqa_cuda_prelu_difference(kDType<T>, &f, nullptr));
    ledger.print(label<T>("prelu_difference", s) + " k=" + std::to_string(k));
  }
  Ledger ledger;
  fiqa::PreluDifferenceBackward b{};
  b.N = s.N * k, b.HW = s.HW, b.C = s.C;
  b.grad = ledger.in_place("grad", d), b.grad_d = d.data(), b.mask = mask.data();
  b.slope = ledger.statistic("slope", slope);
  ledger.mask(mask);
  expect_launched("prelu_difference_backward",
                  fiqa_cuda_prelu_difference_backward(kDType<T>, &b, nullptr));
  ledger.print(label<T>("prelu_difference_backward", s));
}

template <typename T>
void count_all() {
  for (const Shape& s :
       {Shape{1, 64, 56 * 56, true}, Shape{1, 128, 28 * 28, true}, Shape{2, 256, 14 * 14, true}}) {
    for (const bool gathers : {false, true}) {
      count_bn_prelu<T>(s, gathers);
      count_bn_add_bn<T>(s, gathers);
    }
  }
  count_prelu_difference<T>({1, 64, 28 * 28, true}, 10);  // a small batch: blocks for each copy
  count_prelu_difference<T>({6, 64, 56 * 56, true}, 4);   // a block takes all copies
}

}  // namespace

int main() {
  count_all<float>();
  count_all<__nv_bfloat16>();
  return mismatches != 0;
}
