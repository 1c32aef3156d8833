// CUDA's errors as exceptions.

#pragma once

#include <cuda_runtime.h>

#include <stdexcept>
#include <string>

namespace liteft::cuda {

// Memory could not be allocated: this run fails, but the next one may work.
struct OutOfMemory : std::runtime_error {
  using std::runtime_error::runtime_error;
};

inline void check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  cudaGetLastError();  // clears the error, so that the next call does not report it again
  const std::string text = std::string(what) + ": " + cudaGetErrorString(error);
  if (error == cudaErrorMemoryAllocation) throw OutOfMemory(text);
  throw std::runtime_error(text);
}

}  // namespace liteft::cuda
