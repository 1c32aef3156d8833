// Events of a stream, and the time between two of them.

#pragma once

#include <cuda_runtime.h>

#include "cuda/check.h"

namespace liteft::cuda {

class Event {
 public:
  Event() { check(cudaEventCreate(&event_), "an event"); }
  ~Event() { cudaEventDestroy(event_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  operator cudaEvent_t() const { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};

// Waits for the later one.
inline float milliseconds_between(const Event& begin, const Event& end) {
  check(cudaEventSynchronize(end), "timing");
  float milliseconds = 0.0f;
  check(cudaEventElapsedTime(&milliseconds, begin, end), "timing");
  return milliseconds;
}

}  // namespace liteft::cuda
