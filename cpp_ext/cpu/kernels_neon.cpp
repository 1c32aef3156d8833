// The kernels for ARMv8.2 with dot products of bytes.

#include <sys/auxv.h>

#include "cpu/kernels.h"

#define LITEFT_INSTRUCTIONS neon
#define LITEFT_HAS_BF16 0
#include "cpu/simd_neon.h"

#include <cmath>
#include <cstring>
#include <type_traits>

namespace liteft::neon {
namespace {

#include "cpu/kernels.inc"

constexpr unsigned long kDotProducts = 1ul << 20;  // HWCAP_ASIMDDP

bool available() {
  return getauxval(AT_HWCAP) & kDotProducts;
}

constexpr Kernels kernels = table("neon", available);

}  // namespace
}  // namespace liteft::neon

namespace liteft {
const Kernels& neon_kernels() { return neon::kernels; }
}  // namespace liteft
