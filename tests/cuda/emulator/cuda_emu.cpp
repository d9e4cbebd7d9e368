// Scheduler of the CUDA emulator: fibers, barriers, warp collectives, shared memory.
//
// Compile this file WITHOUT -fsanitize: its own bookkeeping must be invisible to the sanitizers.
// -DEMU_ASAN or -DEMU_TSAN tells it that the kernels are instrumented, so that it announces fiber
// switches and fences shared memory.
#include "cuda_emu.h"

#undef threadIdx
#undef blockIdx
#undef blockDim
#undef gridDim

#include <sys/mman.h>
#include <ucontext.h>

#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

#ifdef EMU_TSAN
extern "C" {
void* __tsan_get_current_fiber();
void* __tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void* fiber);
void __tsan_switch_to_fiber(void* fiber, unsigned flags);
void __tsan_acquire(void* address);
void __tsan_release(void* address);
}
constexpr unsigned kNoSynchronization = 1;  // the switch itself must not order two CUDA threads
#endif
#ifdef EMU_ASAN
extern "C" {
void __asan_poison_memory_region(const volatile void*, size_t);
void __asan_unpoison_memory_region(const volatile void*, size_t);
void __sanitizer_start_switch_fiber(void** fake_stack, const void* bottom, size_t size);
void __sanitizer_finish_switch_fiber(void* fake_stack, const void** bottom, size_t* size);
}
#endif

namespace emu {

Thread* current = nullptr;

namespace {

// ---- what the sanitizers are told; nothing without them
// ------------------------------------------

inline void acquire([[maybe_unused]] void* object) {
#ifdef EMU_TSAN
  __tsan_acquire(object);
#endif
}

inline void release([[maybe_unused]] void* object) {
#ifdef EMU_TSAN
  __tsan_release(object);
#endif
}

inline void poison([[maybe_unused]] const void* p, [[maybe_unused]] size_t bytes) {
#ifdef EMU_ASAN
  __asan_poison_memory_region(p, bytes);
#endif
}

inline void unpoison([[maybe_unused]] const void* p, [[maybe_unused]] size_t bytes) {
#ifdef EMU_ASAN
  __asan_unpoison_memory_region(p, bytes);
#endif
}

// ---- fibers
// ---------------------------------------------------------------------------------------

#ifdef EMU_TSAN
constexpr size_t kStackBytes = 16 << 10;  // TSan gets fresh stacks for each block
#else
constexpr size_t kStackBytes = 64 << 10;
#endif
constexpr size_t kGuardBytes = 4096;
constexpr unsigned kMaxThreads = 1024;
constexpr unsigned kWarpSize = 32;

enum class State { kReady, kAtBarrier, kAtCollective, kExited };

struct Fiber {
  Thread thread;
  ucontext_t context;
  char* stack = nullptr;
  State state = State::kExited;
  // Where it waits, for messages and for the checks of barriers and collectives.
  const char* file = "";
  int line = 0;
  unsigned mask = 0;
  Collective kind = Collective::kShuffleXor;
  uint64_t value = 0;
  void* tsan_fiber = nullptr;
  void* asan_fake_stack = nullptr;
};

struct WarpExchange {
  uint64_t values[kWarpSize];
  unsigned present;
};

// One for each thread of a block, kept between launches and never destroyed.
std::vector<Fiber*>& fibers = *new std::vector<Fiber*>;
WarpExchange warps[kMaxThreads / kWarpSize];
unsigned thread_count;
Fiber* running;
ucontext_t scheduler_context;
const std::function<void()>* kernel_body;
const char* kernel_name = "";
char barrier_object, end_object;  // addresses that stand for the barrier and the end of a launch
#ifdef EMU_TSAN
void* scheduler_tsan_fiber;
unsigned tsan_rotation = 1;
#endif
#ifdef EMU_ASAN
void* scheduler_fake_stack;
const void* scheduler_stack;
size_t scheduler_stack_bytes;
#endif

void to_scheduler([[maybe_unused]] bool exiting) {
  Fiber* self = running;
#ifdef EMU_ASAN
  __sanitizer_start_switch_fiber(exiting ? nullptr : &self->asan_fake_stack, scheduler_stack,
                                 scheduler_stack_bytes);
#endif
#ifdef EMU_TSAN
  __tsan_switch_to_fiber(scheduler_tsan_fiber, kNoSynchronization);
#endif
  swapcontext(&self->context, &scheduler_context);
#ifdef EMU_ASAN
  __sanitizer_finish_switch_fiber(self->asan_fake_stack, &scheduler_stack, &scheduler_stack_bytes);
#endif
}

void fiber_main() {
#ifdef EMU_ASAN
  __sanitizer_finish_switch_fiber(nullptr, &scheduler_stack, &scheduler_stack_bytes);
#endif
  (*kernel_body)();
  release(&end_object);
  running->state = State::kExited;
  to_scheduler(true);
}

void to_fiber(Fiber* fiber) {
  running = fiber;
  current = &fiber->thread;
#ifdef EMU_ASAN
  __sanitizer_start_switch_fiber(&scheduler_fake_stack, fiber->stack, kStackBytes);
#endif
#ifdef EMU_TSAN
  __tsan_switch_to_fiber(fiber->tsan_fiber, kNoSynchronization);
#endif
  swapcontext(&scheduler_context, &fiber->context);
#ifdef EMU_ASAN
  __sanitizer_finish_switch_fiber(scheduler_fake_stack, nullptr, nullptr);
#endif
}

void print_waiting_threads() {
  static const char* const names[] = {"ready", "__syncthreads", "warp collective", "exited"};
  int lines = 0;
  for (unsigned i = 0; i < thread_count && lines < 8; ++i) {
    const Fiber *f = fibers[i], *previous = i ? fibers[i - 1] : nullptr;
    if (previous && f->state == previous->state && f->line == previous->line) continue;
    std::fprintf(stderr, "  from thread %u: %s %s:%d mask=%08x\n", i,
                 names[static_cast<int>(f->state)], f->file, f->line, f->mask);
    ++lines;
  }
}

// ---- shared memory of the running block
// ------------------------------------------------------------

constexpr size_t kSharedLimit = 48 << 10;  // what a kernel gets without opting in to more
constexpr size_t kRedZone = 32;            // poisoned bytes behind each array
constexpr size_t kArenaBytes = kSharedLimit + 64 * kRedZone;

struct SharedArray {
  const void* tag;
  char* at;
};
std::vector<SharedArray> shared_arrays;
char* arena;
size_t arena_used, shared_used;

// ---- barriers and collectives
// -----------------------------------------------------------------------

// Lets the lanes of warp `w` go on that all reached the same collective; true when some did.
bool release_collectives(unsigned w) {
  bool released = false;
  const unsigned first = w * kWarpSize, lanes = std::min(kWarpSize, thread_count - first);
  for (unsigned l = 0; l < lanes; ++l) {
    const Fiber* waiting = fibers[first + l];
    if (waiting->state != State::kAtCollective) continue;
    unsigned present = 0;
    bool complete = true;
    for (unsigned k = 0; k < lanes && complete; ++k) {
      if (!((waiting->mask >> k) & 1)) continue;
      Fiber* other = fibers[first + k];
      if (other->state == State::kExited) continue;
      if (other->state != State::kAtCollective) {
        complete = false;
      } else if (other->mask != waiting->mask || other->kind != waiting->kind) {
        running = other;
        fail("lanes of one warp meet in different collectives or with different masks");
      }
      present |= 1u << k;
    }
    if (!complete) continue;
    warps[w].present = present;
    for (unsigned k = 0; k < lanes; ++k) {
      if (!((present >> k) & 1)) continue;
      warps[w].values[k] = fibers[first + k]->value;
      fibers[first + k]->state = State::kReady;
    }
    released = true;
  }
  return released;
}

void check_barrier() {
  const Fiber* first = fibers[0];
  for (unsigned i = 0; i < thread_count; ++i) {
    running = fibers[i];
    if (running->state == State::kExited) {
      fail("__syncthreads reached after some threads of the block have exited");
    }
    if (running->line != first->line) fail("threads of one block wait at different __syncthreads");
  }
}

// Called when every thread waits or has exited: decides who may go on. False when all have exited.
bool release_waiting() {
  unsigned alive = 0, at_barrier = 0;
  for (unsigned i = 0; i < thread_count; ++i) {
    alive += fibers[i]->state != State::kExited;
    at_barrier += fibers[i]->state == State::kAtBarrier;
  }
  if (alive == 0) return false;
  if (at_barrier == alive) {
    check_barrier();
    for (unsigned i = 0; i < thread_count; ++i) fibers[i]->state = State::kReady;
    return true;
  }
  bool released = false;
  for (unsigned w = 0; w * kWarpSize < thread_count; ++w) released |= release_collectives(w);
  if (!released) fail("deadlock: a divergent barrier or warp collective");
  return true;
}

// ---- launches
// ---------------------------------------------------------------------------------------

void check_configuration(dim3 grid, dim3 block) {
  const bool valid = thread_count > 0 && thread_count <= kMaxThreads && block.z <= 64 &&
                     grid.x > 0 && grid.x <= 0x7fffffffu && grid.y > 0 && grid.y <= 65535 &&
                     grid.z > 0 && grid.z <= 65535;
  if (valid) return;
  std::fprintf(stderr, "EMU-ERROR: invalid launch configuration of %s: grid %u,%u,%u block %u\n",
               kernel_name, grid.x, grid.y, grid.z, thread_count);
  std::abort();
}

void ensure_fibers() {
  while (fibers.size() < thread_count) {
    char* memory =
        static_cast<char*>(mmap(nullptr, kStackBytes + kGuardBytes, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    mprotect(memory, kGuardBytes, PROT_NONE);  // a stack that overflows faults
    fibers.push_back(new Fiber);
    fibers.back()->stack = memory + kGuardBytes;
  }
}

void prepare_fiber(unsigned i, uint3 block_index, dim3 grid, dim3 block) {
  Fiber* f = fibers[i];
  const uint3 thread_index{i % block.x, i / block.x % block.y, i / (block.x * block.y)};
  f->thread = {thread_index, block_index, block, grid, i, i % kWarpSize, i / kWarpSize};
  f->state = State::kReady;
  f->file = "";
  f->line = 0;
  f->mask = 0;
  f->asan_fake_stack = nullptr;
  getcontext(&f->context);
  f->context.uc_stack.ss_sp = f->stack;
  f->context.uc_stack.ss_size = kStackBytes;
  f->context.uc_link = nullptr;
  makecontext(&f->context, fiber_main, 0);
}

// The order in which the threads of a block run (EMU_ORDER).
class Order {
 public:
  Order() {
    if (const char* text = std::getenv("EMU_ORDER")) mode_ = std::atoi(text);
    random_.seed(static_cast<unsigned>(mode_));
    for (unsigned i = 0; i < thread_count; ++i) threads_.push_back(i);
    if (mode_ == 1) std::reverse(threads_.begin(), threads_.end());
  }
  const std::vector<unsigned>& next() {
    if (mode_ > 1) std::shuffle(threads_.begin(), threads_.end(), random_);
    return threads_;
  }

 private:
  int mode_ = 0;
  std::mt19937 random_;
  std::vector<unsigned> threads_;
};

void run_block(uint3 block_index, dim3 grid, dim3 block, Order& order) {
#ifdef EMU_TSAN  // a reused stack would look like a race between two blocks
  char* stacks =
      static_cast<char*>(mmap(nullptr, thread_count * kStackBytes, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  for (unsigned i = 0; i < thread_count; ++i) fibers[i]->stack = stacks + i * kStackBytes;
#endif
  for (unsigned i = 0; i < thread_count; ++i) prepare_fiber(i, block_index, grid, block);
#ifdef EMU_TSAN  // rotated, so that thread i of two blocks never shares a recycled TSan slot
  for (unsigned i = 0; i < thread_count; ++i) {
    fibers[(i + 37 * tsan_rotation) % thread_count]->tsan_fiber = __tsan_create_fiber(0);
  }
  ++tsan_rotation;
#endif
  do {
    for (unsigned i : order.next()) {
      if (fibers[i]->state == State::kReady) to_fiber(fibers[i]);
    }
  } while (release_waiting());
#ifdef EMU_TSAN
  for (unsigned i = 0; i < thread_count; ++i) __tsan_destroy_fiber(fibers[i]->tsan_fiber);
  munmap(stacks, thread_count * kStackBytes);
#endif
}

}  // namespace

void fail(const char* message) {
  const Thread& t = running->thread;
  std::fprintf(stderr, "EMU-ERROR: %s in %s block (%u,%u,%u) thread %u\n", message, kernel_name,
               t.block_index.x, t.block_index.y, t.block_index.z, t.linear);
  print_waiting_threads();
  std::abort();
}

void sync_block(const char* file, int line) {
  Fiber* self = running;
  self->state = State::kAtBarrier;
  self->file = file;
  self->line = line;
  release(&barrier_object);
  to_scheduler(false);
  acquire(&barrier_object);
}

// Collectives exchange registers and order no memory, as on a GPU: nothing is announced to TSan.
const uint64_t* exchange(unsigned mask, uint64_t value, Collective kind, unsigned* present) {
  Fiber* self = running;
  if (!((mask >> self->thread.lane) & 1)) {
    fail("a lane executes a warp collective whose mask does not name it");
  }
  self->state = State::kAtCollective;
  self->mask = mask;
  self->kind = kind;
  self->value = value;
  to_scheduler(false);
  *present = warps[self->thread.warp].present;
  return warps[self->thread.warp].values;
}

void* shared_bytes(const void* tag, size_t bytes) {
  for (const SharedArray& array : shared_arrays) {
    if (array.tag == tag) return array.at;
  }
  shared_used += bytes;
  if (shared_used > kSharedLimit) fail("static shared memory exceeds 48 KiB");
  const size_t offset = (arena_used + 15) / 16 * 16;
  if (offset + bytes > kArenaBytes) fail("too many shared arrays for the emulator's arena");
  arena_used = offset + bytes + kRedZone;
  char* at = arena + offset;
  unpoison(at, bytes);
  // Not memset: the sanitizers intercept that, and would take it for a write of this CUDA thread.
  for (size_t i = 0; i < bytes; ++i) static_cast<volatile char*>(at)[i] = static_cast<char>(0xff);
  shared_arrays.push_back({tag, at});
  return at;
}

void launch(const char* name, dim3 grid, dim3 block, size_t dynamic_shared_bytes,
            const std::function<void()>& kernel) {
  kernel_name = name;
  kernel_body = &kernel;
  thread_count = block.x * block.y * block.z;
  check_configuration(grid, block);
  if (dynamic_shared_bytes != 0) {
    std::fprintf(stderr, "EMU-ERROR: %s wants dynamic shared memory\n", name);
    std::abort();
  }
  ensure_fibers();
#ifdef EMU_TSAN
  scheduler_tsan_fiber = __tsan_get_current_fiber();
#endif
  Order order;
  std::vector<char*> arenas;  // freed at the end: TSan would take reused memory for shared memory
  for (unsigned z = 0; z < grid.z; ++z) {
    for (unsigned y = 0; y < grid.y; ++y) {
      for (unsigned x = 0; x < grid.x; ++x) {
        arena = static_cast<char*>(std::malloc(kArenaBytes));
        arenas.push_back(arena);
        arena_used = shared_used = 0;
        shared_arrays.clear();
        poison(arena, kArenaBytes);
        run_block({x, y, z}, grid, block, order);
        unpoison(arena, kArenaBytes);
#ifndef EMU_TSAN
        std::free(arena);
        arenas.clear();
#endif
      }
    }
  }
  acquire(&end_object);  // only the end of a launch orders its blocks with the host
  for (char* memory : arenas) std::free(memory);
  current = nullptr;
}

}  // namespace emu
