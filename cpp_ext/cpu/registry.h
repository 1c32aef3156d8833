// The instruction sets that the library was compiled for.

#pragma once

#include <vector>

#include "cpu/kernels.h"

namespace liteft {

// The best first; `available` says whether this processor has them. The last one, in plain C++, always is.
std::vector<const Kernels*> known_kernels();

}  // namespace liteft
