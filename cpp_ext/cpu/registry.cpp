#include "cpu/registry.h"

namespace liteft {

const Kernels& avx512_kernels();
const Kernels& avx512vnni_kernels();
const Kernels& avxvnni_kernels();
const Kernels& avx2_kernels();
const Kernels& neon_kernels();
const Kernels& portable_kernels();

std::vector<const Kernels*> known_kernels() {
  return {
#if defined(LITEFT_X86)
      &avx512_kernels(), &avx512vnni_kernels(), &avxvnni_kernels(), &avx2_kernels(),
#elif defined(LITEFT_AARCH64)
      &neon_kernels(),
#endif
      &portable_kernels()};
}

}  // namespace liteft
