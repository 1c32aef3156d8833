// Records for each shape whether a fused kernel is faster than cublasLt followed by another kernel. This is measured on
// the GPU when a classifier is created, and kept in a file for the next time.

#pragma once

#include <compare>
#include <map>
#include <string>

#include "cuda/kernels.h"
#include "cuda/timing.h"

namespace liteft::cuda {

enum class Fusion : int { act = 0, norm = 1, feed_forward = 2 };

// A step that may be fused. For a feed-forward block, `inputs` is the width and `outputs` the inner width.
struct Fusable {
  Fusion what;
  int rows, inputs, outputs;
  auto operator<=>(const Fusable&) const = default;
};

enum class Policy { measured, never, always };  // always: wherever a kernel supports the shape

class FusionTable {
 public:
  // shared: the most bytes of shared memory that a block may have on the GPU. cache: a file, or "" for none.
  FusionTable(Policy policy, std::size_t shared, std::string cache);

  bool fuses(const Fusable& shape) const;
  // Times both ways, unless the table has the shape already. Each is launched once before it is timed.
  template <typename Plain, typename Fused>
  void autotune(const Fusable& shape, Stopwatch& stopwatch, const Plain& plain, const Fused& fused) {
    if (policy_ != Policy::measured || !takes(shape) || faster_.count(shape)) return;
    plain();
    fused();
    const float plain_time = stopwatch.time(plain);
    faster_[shape] = stopwatch.time(fused) < plain_time;
    news_ = true;
  }
  // Writes the table to the cache if it has changed.
  void save();

 private:
  bool takes(const Fusable& shape) const;

  const Policy policy_;
  const std::size_t shared_;
  const std::string cache_;
  std::map<Fusable, bool> faster_;  // whether the fused kernel is faster
  bool news_ = false;
};

}  // namespace liteft::cuda
