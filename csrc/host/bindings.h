// What each file of csrc/host adds to the module `_host`.
#pragma once
#include <pybind11/pybind11.h>

namespace fiqa::host {

void bind_align_crop(pybind11::module_& m);
void bind_identity_clusters(pybind11::module_& m);
void bind_mated_pairs(pybind11::module_& m);
void bind_pair_ranks(pybind11::module_& m);
void bind_philox(pybind11::module_& m);

}  // namespace fiqa::host
