// The kernels for AVX2 and FMA.

#define LITEFT_INSTRUCTIONS avx2
#define LITEFT_NAME "avx2"
#define LITEFT_HAS_BF16 0
#define LITEFT_HAS_VNNI 0

#include "cpu/simd_avx2.h"

namespace liteft::avx2 {

static bool available() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }

}  // namespace liteft::avx2

#include "cpu/kernels.inc"
