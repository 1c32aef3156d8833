#include "cpu/registry.h"

namespace liteft {

namespace avx512 {
const Kernels& kernels();
}
namespace avx512vnni {
const Kernels& kernels();
}
namespace avxvnni {
const Kernels& kernels();
}
namespace avx2 {
const Kernels& kernels();
}
namespace neon {
const Kernels& kernels();
}
namespace portable {
const Kernels& kernels();
}

std::vector<const Kernels*> known_kernels() {
  return {
#if defined(LITEFT_X86)
      &avx512::kernels(), &avx512vnni::kernels(), &avxvnni::kernels(), &avx2::kernels(),
#elif defined(LITEFT_AARCH64)
      &neon::kernels(),
#endif
      &portable::kernels()};
}

}  // namespace liteft
