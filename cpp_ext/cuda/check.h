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

// Whether every later call of the process fails with the same error, as after a kernel that read beyond memory.
inline bool is_sticky(cudaError_t error) {
  switch (error) {
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchFailure:
    case cudaErrorLaunchTimeout:
    case cudaErrorAssert:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorECCUncorrectable:
    case cudaErrorNvlinkUncorrectable:
    case cudaErrorExternalDevice:
    case cudaErrorMpsClientTerminated: return true;
    default: return false;
  }
}

inline void check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  cudaGetLastError();  // clears the error, so that the next call does not report it again
  const std::string text = std::string(what) + ": " + cudaGetErrorString(error);
  if (error == cudaErrorMemoryAllocation) throw OutOfMemory(text);
  if (is_sticky(error)) {
    throw std::runtime_error(text +
                             "; after this error no call of CUDA works in this process any more: start a new process");
  }
  throw std::runtime_error(text);
}

}  // namespace liteft::cuda
