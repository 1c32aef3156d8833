// The kernels for AVX-512 with VNNI and BF16.

#include "cpu/kernels.h"

#define LITEFT_INSTRUCTIONS avx512
#define LITEFT_HAS_BF16 1
#include "cpu/simd_avx512.h"

#include <cmath>
#include <cstring>
#include <type_traits>

namespace liteft::avx512 {
namespace {

#include "cpu/kernels.inc"

bool available() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni") &&
         __builtin_cpu_supports("avx512bf16");
}

constexpr Kernels kernels = table("avx512", available);

}  // namespace
}  // namespace liteft::avx512

namespace liteft {
const Kernels& avx512_kernels() { return avx512::kernels; }
}  // namespace liteft
