// Memory of the device and pinned memory of the host, freed with their owners.

#pragma once

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "cuda/check.h"

namespace liteft::cuda {

// Waits until everything that was filled or copied on the default stream is complete. Filling, and copying from memory
// that is not pinned, may return before they are done, and the streams of slots do not wait for the default stream.
inline void settle() { check(cudaStreamSynchronize(nullptr), "filling memory of the GPU"); }

// Fills new memory with zeros. For tests, the environment variable LITEFT_CUDA_POISON fills it with NaN, or with the
// value "unfilled" leaves it as it is.
inline void fill(void* memory, std::size_t bytes) {
  const char* const poison = std::getenv("LITEFT_CUDA_POISON");
  const bool zeros = !poison || !*poison;
  if (zeros || std::strcmp(poison, "unfilled") != 0)
    check(cudaMemset(memory, zeros ? 0 : 0xff, bytes), "filling memory of the GPU");
}

class DeviceBuffer {
 public:
  DeviceBuffer() = default;
  // The memory is filled when the default stream has finished.
  explicit DeviceBuffer(std::size_t bytes) {
    void* memory = nullptr;
    check(cudaMalloc(&memory, bytes ? bytes : 1), "memory of the GPU");
    memory_.reset(memory);
    bytes_ = bytes;
    fill(memory, bytes);
  }
  std::size_t bytes() const { return bytes_; }
  template <typename T = void>
  T* as() const {
    return static_cast<T*>(memory_.get());
  }

 private:
  struct Free {
    void operator()(void* p) const { cudaFree(p); }
  };
  std::unique_ptr<void, Free> memory_;
  std::size_t bytes_ = 0;
};

class PinnedBuffer {
 public:
  PinnedBuffer() = default;
  explicit PinnedBuffer(std::size_t bytes) {
    void* memory = nullptr;
    check(cudaMallocHost(&memory, bytes ? bytes : 1), "pinned memory");
    memory_.reset(memory);
  }
  template <typename T = char>
  T* as() const {
    return static_cast<T*>(memory_.get());
  }

 private:
  struct Free {
    void operator()(void* p) const { cudaFreeHost(p); }
  };
  std::unique_ptr<void, Free> memory_;
};

}  // namespace liteft::cuda
