// FIQA_VECTORIZED compiles a function once per x86-64 level and picks the best at load time. The
// attribute does not reach templates: a kernel template is FIQA_INLINE, and instantiated in plain
// functions marked FIQA_VECTORIZED. Not under a sanitizer: its runtime is not up yet when the
// loader resolves the clones.
#pragma once

#if defined(__x86_64__) && defined(__gnu_linux__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define FIQA_VECTORIZED \
  __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define FIQA_VECTORIZED
#endif
#define FIQA_INLINE inline __attribute__((always_inline))
