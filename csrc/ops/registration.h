// Registers an operator: schema, CPU kernel, and the CUDA kernel where it was compiled.
//
// In the test build (FIQA_CUDA_EMU) the CUDA path, compiled for the CPU, becomes the CPU kernel of
// the namespace fiqa_fast_emu, so that the very same dispatch code can be tested without a GPU.
#pragma once
#include "ops/arguments.h"

#if defined(FIQA_CUDA_EMU)
#define FIQA_REGISTER_OP(name, schema, cpu_kernel, cuda_kernel)      \
  STABLE_TORCH_LIBRARY_FRAGMENT(fiqa_fast_emu, m) { m.def(schema); } \
  STABLE_TORCH_LIBRARY_IMPL(fiqa_fast_emu, CPU, m) { m.impl(name, TORCH_BOX(&cuda_kernel)); }
#elif defined(FIQA_WITH_CUDA)
#define FIQA_REGISTER_OP(name, schema, cpu_kernel, cuda_kernel)                          \
  STABLE_TORCH_LIBRARY_FRAGMENT(fiqa_fast, m) { m.def(schema); }                         \
  STABLE_TORCH_LIBRARY_IMPL(fiqa_fast, CPU, m) { m.impl(name, TORCH_BOX(&cpu_kernel)); } \
  STABLE_TORCH_LIBRARY_IMPL(fiqa_fast, CUDA, m) { m.impl(name, TORCH_BOX(&cuda_kernel)); }
#else
#define FIQA_REGISTER_OP(name, schema, cpu_kernel, cuda_kernel)  \
  STABLE_TORCH_LIBRARY_FRAGMENT(fiqa_fast, m) { m.def(schema); } \
  STABLE_TORCH_LIBRARY_IMPL(fiqa_fast, CPU, m) { m.impl(name, TORCH_BOX(&cpu_kernel)); }
#endif

// Registers an operator that the CPU alone has; the test build has no CPU kernels.
#if defined(FIQA_CUDA_EMU)
#define FIQA_REGISTER_CPU_OP(name, schema, cpu_kernel)
#else
#define FIQA_REGISTER_CPU_OP(name, schema, cpu_kernel)           \
  STABLE_TORCH_LIBRARY_FRAGMENT(fiqa_fast, m) { m.def(schema); } \
  STABLE_TORCH_LIBRARY_IMPL(fiqa_fast, CPU, m) { m.impl(name, TORCH_BOX(&cpu_kernel)); }
#endif
