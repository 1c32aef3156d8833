// The kernels for AVX-512 with VNNI and BF16.

#define LITEFT_INSTRUCTIONS avx512
#define LITEFT_NAME "avx512"
#define LITEFT_HAS_BF16 1

#include "cpu/simd_avx512.h"

namespace liteft::avx512 {

static bool available() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni") &&
         __builtin_cpu_supports("avx512bf16");
}

}  // namespace liteft::avx512

#include "cpu/kernels.inc"
