// The kernels for AVX-512 with VNNI and without BF16: Cascade Lake, Ice Lake and their like.

#define LITEFT_INSTRUCTIONS avx512vnni
#define LITEFT_NAME "avx512vnni"
#define LITEFT_HAS_BF16 0

#include "cpu/simd_avx512.h"

namespace liteft::avx512vnni {

static bool available() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
}

}  // namespace liteft::avx512vnni

#include "cpu/kernels.inc"
