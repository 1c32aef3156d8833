// The kernels for AVX2 with VNNI: processors of 2021 and later that have no AVX-512.

#include "cpu/kernels.h"

#define LITEFT_INSTRUCTIONS avxvnni
#define LITEFT_HAS_BF16 0
#define LITEFT_HAS_VNNI 1
#include "cpu/simd_avx2.h"

#include <cmath>
#include <cstring>
#include <type_traits>

namespace liteft::avxvnni {
namespace {

#include "cpu/kernels.inc"

bool available() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
         __builtin_cpu_supports("avxvnni");
}

constexpr Kernels kernels = table("avxvnni", available);

}  // namespace
}  // namespace liteft::avxvnni

namespace liteft {
const Kernels& avxvnni_kernels() { return avxvnni::kernels; }
}  // namespace liteft
