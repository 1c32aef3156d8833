// The kernels for AVX2 and FMA.

#include "cpu/kernels.h"

#define LITEFT_INSTRUCTIONS avx2
#define LITEFT_HAS_BF16 0
#define LITEFT_HAS_VNNI 0
#include "cpu/simd_avx2.h"

#include <cmath>
#include <cstring>
#include <type_traits>

namespace liteft::avx2 {
namespace {

#include "cpu/kernels.inc"

bool available() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

constexpr Kernels kernels = table("avx2", available);

}  // namespace
}  // namespace liteft::avx2

namespace liteft {
const Kernels& avx2_kernels() { return avx2::kernels; }
}  // namespace liteft
