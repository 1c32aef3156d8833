// The kernels in plain C++.

#define LITEFT_INSTRUCTIONS portable
#define LITEFT_NAME "portable"
#define LITEFT_HAS_BF16 0

#include "cpu/simd_portable.h"

namespace liteft::portable {

static bool available() { return true; }

}  // namespace liteft::portable

#include "cpu/kernels.inc"
