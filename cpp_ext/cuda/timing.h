// How long work on a stream takes.

#pragma once

#include <algorithm>
#include <functional>
#include <limits>
#include <utility>

#include "cuda/check.h"
#include "cuda/graph.h"

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

// Times work on a stream, as a graph that starts it many times: single launches would take the host longer than small
// kernels take the GPU.
class Stopwatch {
 public:
  // `prepare` is called once, before the first measurement: where nothing is measured, it is not.
  explicit Stopwatch(
      cudaStream_t stream, std::function<void()> prepare = [] {})
      : stream_(stream), prepare_(std::move(prepare)) {}

  cudaStream_t stream() const { return stream_; }

  // Milliseconds of kStarts times what `start` starts, which has run before: the best of some replays.
  template <typename Start>
  float time(const Start& start) {
    if (!awake_) prepare_();
    const Graph graph = captured(stream_, [&] {
      for (int count = 0; count < kStarts; ++count) start();
    });
    if (!awake_) wake(graph);
    awake_ = true;
    const Event begin, end;
    graph.launch(stream_);
    float best = std::numeric_limits<float>::infinity();
    for (int replay = 0; replay < kReplays; ++replay) best = std::min(best, once(graph, begin, end));
    return best;
  }

 private:
  static constexpr int kStarts = 20, kReplays = 3;
  static constexpr float kWaking = 50.0f;  // milliseconds after which a GPU that did nothing has its clocks up

  float once(const Graph& graph, const Event& begin, const Event& end) const {
    check(cudaEventRecord(begin, stream_), "an event");
    graph.launch(stream_);
    check(cudaEventRecord(end, stream_), "an event");
    return milliseconds_between(begin, end);
  }
  void wake(const Graph& graph) const {
    const Event first, begin, end;
    check(cudaEventRecord(first, stream_), "an event");
    do once(graph, begin, end);
    while (milliseconds_between(first, end) < kWaking);
  }

  const cudaStream_t stream_;
  const std::function<void()> prepare_;
  bool awake_ = false;
};

}  // namespace liteft::cuda
