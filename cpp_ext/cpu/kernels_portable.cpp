// The kernels in plain C++.

#include "cpu/kernels.h"

#define LITEFT_INSTRUCTIONS portable
#define LITEFT_HAS_BF16 0
#include "cpu/simd_portable.h"

#include <cmath>
#include <cstring>
#include <type_traits>

namespace liteft::portable {
namespace {

#include "cpu/kernels.inc"

bool available() {
  return true;
}

constexpr Kernels kernels = table("portable", available);

}  // namespace
}  // namespace liteft::portable

namespace liteft {
const Kernels& portable_kernels() { return portable::kernels; }
}  // namespace liteft
