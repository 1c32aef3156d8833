// liteft_cuda_create of the emulated library. Making a classifier autotunes on work that the emulator skips:
// that would take the emulator hours at the sizes of a chunk. cuda/api.cpp's own function has another name here
// (CMakeLists.txt).

#include "cuda/api.h"
#include "tests/emulator/emulator.h"

extern "C" int liteft_cuda_create_in_full(const liteft_shape* shape, const liteft_weight* weights, int32_t count,
                                          int32_t precision, int32_t device, int32_t slots, const char* folders,
                                          const char* cache, liteft_cuda** created);

int liteft_cuda_create(const liteft_shape* shape, const liteft_weight* weights, int32_t count, int32_t precision,
                       int32_t device, int32_t slots, const char* folders, const char* cache, liteft_cuda** created) {
  liteft::emulator::skip_work(true);
  const int failed =
      liteft_cuda_create_in_full(shape, weights, count, precision, device, slots, folders, cache, created);
  liteft::emulator::skip_work(false);
  return failed;
}
