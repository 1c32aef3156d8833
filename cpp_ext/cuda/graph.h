// A CUDA graph: work on a stream that is recorded once, and runs again at the cost of one launch.

#pragma once

#include <exception>
#include <utility>

#include "cuda/check.h"

namespace liteft::cuda {

class Graph {
 public:
  Graph() = default;
  explicit Graph(cudaGraphExec_t made) : made_(made) {}
  Graph(Graph&& other) noexcept : made_(std::exchange(other.made_, nullptr)) {}
  Graph& operator=(Graph&& other) noexcept {
    std::swap(made_, other.made_);
    return *this;
  }
  ~Graph() {
    if (made_) cudaGraphExecDestroy(made_);
  }
  // Brings the graph to the GPU, which the first launch would do otherwise.
  void upload(cudaStream_t stream) const { check(cudaGraphUpload(made_, stream), "a graph"); }
  void launch(cudaStream_t stream) const { check(cudaGraphLaunch(made_, stream), "a graph"); }

 private:
  cudaGraphExec_t made_ = nullptr;
};

// Records, without running it, the work that `start` starts on the stream. If `start` throws, the capture is ended and
// what it recorded is destroyed.
template <typename Start>
Graph captured(cudaStream_t stream, const Start& start) {
  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "capturing a graph");
  std::exception_ptr failure;
  try {
    start();
  } catch (...) {
    failure = std::current_exception();
  }
  cudaGraph_t graph = nullptr;
  const cudaError_t ended = cudaStreamEndCapture(stream, &graph);
  if (failure) {
    if (graph) cudaGraphDestroy(graph);
    cudaGetLastError();  // clears the error of an invalidated capture
    std::rethrow_exception(failure);
  }
  check(ended, "capturing a graph");
  cudaGraphExec_t made = nullptr;
  const cudaError_t error = cudaGraphInstantiate(&made, graph, 0);
  cudaGraphDestroy(graph);
  check(error, "a graph");
  return Graph(made);
}

}  // namespace liteft::cuda
