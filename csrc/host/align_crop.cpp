#include "host/bindings.h"
namespace fiqa::host { void bind_align_crop(pybind11::module_&) {} }
