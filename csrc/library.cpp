// The module `_host`: facts of this build, and the torch-free host work that csrc/host implements.
#include <pybind11/pybind11.h>

#include "host/bindings.h"

PYBIND11_MODULE(_host, m) {
  m.doc() = "Torch-free native host work of fiqa_fast.";
#ifdef FIQA_WITH_CUDA
  m.attr("built_with_cuda") = true;
#else
  m.attr("built_with_cuda") = false;
#endif
  m.attr("version") = FIQA_VERSION;
  m.attr("cuda_version") = FIQA_CUDA_VERSION;
  m.attr("cuda_archs") = FIQA_CUDA_ARCHS;
  m.attr("compiler") = FIQA_CXX;

  fiqa::host::bind_align_crop(m);
  fiqa::host::bind_identity_clusters(m);
  fiqa::host::bind_mated_pairs(m);
  fiqa::host::bind_pair_ranks(m);
  fiqa::host::bind_philox(m);
}
