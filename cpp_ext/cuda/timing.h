// How long work on a stream takes.

#pragma once

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

// Milliseconds between two events; waits for the later one.
inline float milliseconds_between(const Event& begin, const Event& end) {
  check(cudaEventSynchronize(end), "timing");
  float milliseconds = 0.0f;
  check(cudaEventElapsedTime(&milliseconds, begin, end), "timing");
  return milliseconds;
}

// Milliseconds of so many runs of what `start` starts, which has run before.
template <typename Start>
float timed(cudaStream_t stream, const Start& start, int runs = 20) {
  const Event begin, end;
  check(cudaEventRecord(begin, stream), "an event");
  for (int run = 0; run < runs; ++run) start();
  check(cudaEventRecord(end, stream), "an event");
  return milliseconds_between(begin, end);
}

}  // namespace liteft::cuda
