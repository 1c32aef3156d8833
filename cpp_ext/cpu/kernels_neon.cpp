// The kernels for ARMv8.2 with dot products of bytes.

#define LITEFT_INSTRUCTIONS neon
#define LITEFT_NAME "neon"
#define LITEFT_HAS_BF16 0

#include <sys/auxv.h>

#include "cpu/simd_neon.h"

namespace liteft::neon {

constexpr unsigned long kDotProducts = 1ul << 20;  // HWCAP_ASIMDDP

static bool available() { return getauxval(AT_HWCAP) & kDotProducts; }

}  // namespace liteft::neon

#include "cpu/kernels.inc"
