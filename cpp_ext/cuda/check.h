// CUDA's errors as exceptions.

#pragma once

#include <cuda_runtime.h>

#include <mutex>
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

// The first of such errors in this process, "" as long as there is none; `error` is it unless there was one before.
inline std::string first_sticky_error(const std::string& error = "") {
  static std::mutex mutex;
  static std::string first;
  const std::lock_guard lock(mutex);
  if (first.empty()) first = error;
  return first;
}

// Throws if CUDA has broken down in this process. What fails next is not always the call that says so best.
inline void require_working_cuda() {
  const std::string error = first_sticky_error();
  if (error.empty()) return;
  throw std::runtime_error("CUDA does not work any more in this process since this error: " + error +
                           "; start a new process");
}

inline void check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  cudaGetLastError();  // clears the error, so that the next call does not report it again
  const std::string text = std::string(what) + ": " + cudaGetErrorString(error);
  if (error == cudaErrorMemoryAllocation) throw OutOfMemory(text);
  if (is_sticky(error)) {
    first_sticky_error(text);
    require_working_cuda();
  }
  throw std::runtime_error(text);
}

}  // namespace liteft::cuda
