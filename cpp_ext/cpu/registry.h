// The instruction sets that the library was compiled for.

#pragma once

#include <vector>

#include "cpu/kernels.h"

namespace liteft {

// The best one first; `available` returns whether this processor supports it. The last one, in plain C++, always is.
std::vector<const Kernels*> known_kernels();

}  // namespace liteft
