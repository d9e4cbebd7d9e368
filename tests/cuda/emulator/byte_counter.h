// Counts the bytes that emulated kernels read and write, buffer by buffer.
//
// Kernels are compiled with -fsanitize=thread, which puts a call before every access to memory, but
// linked with the functions of byte_counter.cpp in place of ThreadSanitizer's.
#pragma once
#include <cstddef>
#include <cstdint>

namespace bytes {

struct Count {
  int64_t read, written;  // by all threads together
  int64_t touched;        // whatever the number of times, in sectors of 32 bytes
};

// Starts to count accesses to this buffer, under the number that it returns.
int watch(const void* buffer, size_t size);
Count count(int buffer);
// Forgets all buffers.
void reset();

}  // namespace bytes
