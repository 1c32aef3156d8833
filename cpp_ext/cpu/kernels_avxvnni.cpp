// The kernels for AVX2 with VNNI: processors of 2021 and later that have no AVX-512.

#define LITEFT_INSTRUCTIONS avxvnni
#define LITEFT_NAME "avxvnni"
#define LITEFT_HAS_BF16 0
#define LITEFT_HAS_VNNI 1

#include "cpu/simd_avx2.h"

namespace liteft::avxvnni {

static bool available() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("avxvnni");
}

}  // namespace liteft::avxvnni

#include "cpu/kernels.inc"
