// Memory of the device and pinned memory of the host, freed with their owners.

#pragma once

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "cuda/check.h"

namespace liteft::cuda {

// The stream on which this thread fills and copies memory: the default one, or that of `Loading`.
inline thread_local cudaStream_t loading_stream = nullptr;

// While it exists, this thread may load kernels and take memory although another thread of the process captures a
// graph, as torch does: neither has to do with that graph.
class BesideCaptures {
 public:
  BesideCaptures() { cudaThreadExchangeStreamCaptureMode(&mode_); }
  ~BesideCaptures() { cudaThreadExchangeStreamCaptureMode(&mode_); }
  BesideCaptures(const BesideCaptures&) = delete;
  BesideCaptures& operator=(const BesideCaptures&) = delete;

 private:
  cudaStreamCaptureMode mode_ = cudaStreamCaptureModeRelaxed;
};

// While it exists, this thread fills and copies memory on a stream of its own: whatever another thread captures, the
// default stream must not be used meanwhile.
class Loading {
 public:
  Loading() { check(cudaStreamCreateWithFlags(&loading_stream, cudaStreamNonBlocking), "a stream"); }
  ~Loading() {
    cudaStreamDestroy(loading_stream);
    loading_stream = nullptr;
  }
  Loading(const Loading&) = delete;
  Loading& operator=(const Loading&) = delete;

 private:
  BesideCaptures beside_;
};

// Waits until everything that was filled or copied is complete. Filling, and copying from memory that is not pinned,
// may return before they are done, and the streams of slots do not wait for this one.
inline void settle() { check(cudaStreamSynchronize(loading_stream), "filling memory of the GPU"); }

// Fills new memory with zeros. For tests, the environment variable LITEFT_CUDA_POISON fills it with NaN, or with the
// value "unfilled" leaves it as it is.
inline void fill(void* memory, std::size_t bytes) {
  const char* const poison = std::getenv("LITEFT_CUDA_POISON");
  const bool zeros = !poison || !*poison;
  if (zeros || std::strcmp(poison, "unfilled") != 0)
    check(cudaMemsetAsync(memory, zeros ? 0 : 0xff, bytes, loading_stream), "filling memory of the GPU");
}

class DeviceBuffer {
 public:
  DeviceBuffer() = default;
  // The memory is filled when `settle` has returned.
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
