// Times work on a stream.

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

// Times work on a stream with a graph that starts it many times, since single launches would take the host longer than
// small kernels take the GPU.
class Stopwatch {
 public:
  static constexpr int kStarts = 20;

  // `prepare` is called once, before the first measurement, and not at all if nothing is measured.
  explicit Stopwatch(
      cudaStream_t stream, std::function<void()> prepare = [] {})
      : stream_(stream), prepare_(std::move(prepare)) {}

  cudaStream_t stream() const { return stream_; }

  // Milliseconds of `starts` repetitions of what `start` starts, which must have run before: the best of some replays.
  template <typename Start>
  float time(const Start& start, int starts = kStarts) {
    if (!awake_) prepare_();
    const Graph graph = captured(stream_, [&] {
      for (int count = 0; count < starts; ++count) start();
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
  static constexpr int kReplays = 3;
  static constexpr float kWaking = 50.0f;  // milliseconds of work after which an idle GPU has raised its clocks

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
