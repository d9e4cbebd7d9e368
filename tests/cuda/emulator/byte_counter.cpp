// Compile this file WITHOUT -fsanitize: see byte_counter.h.
#include "byte_counter.h"

#include <unordered_set>
#include <vector>

#include "cuda_emu.h"

namespace bytes {
namespace {

constexpr uintptr_t kSector = 32;

struct Buffer {
  uintptr_t begin, end;
  Count count;
  std::unordered_set<uintptr_t> sectors;
};
std::vector<Buffer> buffers;

void access(const void* p, size_t size, bool write) {
  if (emu::current == nullptr) return;  // the host's own
  const auto at = reinterpret_cast<uintptr_t>(p);
  for (Buffer& b : buffers) {
    if (at < b.begin || at >= b.end) continue;
    (write ? b.count.written : b.count.read) += static_cast<int64_t>(size);
    for (uintptr_t s = at / kSector; s <= (at + size - 1) / kSector; ++s) b.sectors.insert(s);
    return;
  }
}

}  // namespace

int watch(const void* buffer, size_t size) {
  const auto begin = reinterpret_cast<uintptr_t>(buffer);
  buffers.push_back({begin, begin + size, {0, 0, 0}, {}});
  return static_cast<int>(buffers.size()) - 1;
}

Count count(int buffer) {
  const Buffer& b = buffers[buffer];
  return {b.count.read, b.count.written, static_cast<int64_t>(b.sectors.size() * kSector)};
}

void reset() { buffers.clear(); }

}  // namespace bytes

#define FIQA_COUNTED(size)                                                           \
  void __tsan_read##size(const void* p) { bytes::access(p, size, false); }           \
  void __tsan_write##size(const void* p) { bytes::access(p, size, true); }           \
  void __tsan_unaligned_read##size(const void* p) { bytes::access(p, size, false); } \
  void __tsan_unaligned_write##size(const void* p) { bytes::access(p, size, true); }

extern "C" {
FIQA_COUNTED(1)
FIQA_COUNTED(2)
FIQA_COUNTED(4)
FIQA_COUNTED(8)
FIQA_COUNTED(16)
void __tsan_read_range(const void* p, size_t size) { bytes::access(p, size, false); }
void __tsan_write_range(const void* p, size_t size) { bytes::access(p, size, true); }
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void*, void*) {}
void __tsan_vptr_read(void*) {}
uint8_t __tsan_atomic8_load(const volatile uint8_t* p, int) { return *p; }
}
