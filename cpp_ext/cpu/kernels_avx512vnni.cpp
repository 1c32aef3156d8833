// The kernels for AVX-512 with VNNI and without BF16: Cascade Lake, Ice Lake and their like.

#include "cpu/kernels.h"

#define LITEFT_INSTRUCTIONS avx512vnni
#define LITEFT_HAS_BF16 0
#include "cpu/simd_avx512.h"

#include <cmath>
#include <cstring>
#include <type_traits>

namespace liteft::avx512vnni {
namespace {

#include "cpu/kernels.inc"

bool available() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
}

constexpr Kernels kernels = table("avx512vnni", available);

}  // namespace
}  // namespace liteft::avx512vnni

namespace liteft {
const Kernels& avx512vnni_kernels() { return avx512vnni::kernels; }
}  // namespace liteft
