// What programs that run on a real GPU share: where cublasLt lies, whether there is a GPU, and what it means that there
// is none.

#pragma once

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "liteft/liteft.h"

constexpr int kSkipped = 77;  // the exit status that CTest takes for "skipped"

// LITEFT_CUBLAS: folders of libcublasLt, joined by colons. LITEFT_CUDA_CACHE: a folder for the algorithms of matmuls.
inline const char* from_environment(const char* name) {
  const char* const value = std::getenv(name);
  return value ? value : "";
}

// Returns 0 where there is a GPU, whose name gets printed to stderr. Else says why there is none and returns what to
// exit with: kSkipped, or 1 where LITEFT_GPU=required says that there must be one.
inline int look_for_gpu() {
  char name[512] = "";
  if (liteft_cuda_device(0, from_environment("LITEFT_CUBLAS"), name, sizeof(name)) == 0) {
    std::fprintf(stderr, "%s\n", name);
    return 0;
  }
  const bool required = std::strcmp(from_environment("LITEFT_GPU"), "required") == 0;
  std::fprintf(stderr, "%s: %s\n", required ? "failed" : "skipped", liteft_last_error());
  return required ? 1 : kSkipped;
}
