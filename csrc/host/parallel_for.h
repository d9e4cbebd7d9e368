// A plain fork-join loop over [0, count) for host work that does not know torch.
#pragma once
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

namespace fiqa::host {

inline int hardware_threads() {
  static const int count = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  return count;  // asking the system each time would cost more than a small loop
}

// Calls body(i) for every i in [0, count), each exactly once, on at most `threads` threads (0: as
// many as the machine has). The body must not throw. Which thread runs which i is open, so a body
// must not depend on it.
template <typename Body>
void parallel_for(int64_t count, int threads, const Body& body) {
  const int64_t workers = std::min<int64_t>(threads > 0 ? threads : hardware_threads(), count);
  std::atomic<int64_t> next{0};
  auto work = [&] {
    for (int64_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < count;) body(i);
  };
  std::vector<std::thread> pool;
  for (int64_t t = 1; t < workers; ++t) pool.emplace_back(work);
  work();
  for (auto& thread : pool) thread.join();
}

}  // namespace fiqa::host
