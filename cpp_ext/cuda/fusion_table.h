// Records for each step of a layer how it is computed: by cublasLt followed by another kernel, by a fused kernel, or by
// a kernel for Hopper's tensor cores. This is measured on the GPU when a classifier is created, and kept in a file for
// the next time.

#pragma once

#include <compare>
#include <limits>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "cuda/kernels.h"
#include "cuda/timing.h"

namespace liteft::cuda {

enum class Fusion : int { act = 0, norm = 1, feed_forward = 2, bias = 3, forward = 4 };

// A step with a matmul. For a feed-forward block, `inputs` is the width and `outputs` the inner width; for the whole
// forward pass, the width and the number of layers.
struct Fusable {
  Fusion what;
  int rows, inputs, outputs;
  auto operator<=>(const Fusable&) const = default;
};

// How a step is computed. fused: fused.cu, feed_forward.cu and short_forward.cu; hopper: sm90_*.cu, on compute
// capability 9.0.
enum class Way : int { plain = 0, fused = 1, hopper = 2 };

// always, hopper and whole: wherever a kernel supports the shape, the steps of a layer by fused kernels, those steps by
// Hopper's, or the whole forward pass by one; everything else is plain. cautious: measured, without those two.
enum class Policy { measured, never, always, hopper, whole, cautious };

// What the GPU can do.
struct Abilities {
  std::size_t shared = 0;  // the most bytes of shared memory that a block may have
  bool hopper = false;     // compute capability 9.0, and the library has kernels for it
  int multiprocessors = 1;
};

class FusionTable {
 public:
  // cache: a file, or "" for none.
  FusionTable(Policy policy, const Abilities& abilities, std::string cache);

  Way way_of(const Fusable& shape) const;
  const Abilities& abilities() const { return abilities_; }
  // Times the ways in which a step can be computed, unless the table has the shape already. run(way) launches the step;
  // is_right(way) returns whether a way for Hopper, or of a whole forward pass, gives what the plain way gives. If not,
  // or if it cannot be started, it is left out.
  template <typename Run, typename IsRight>
  void autotune(const Fusable& shape, Stopwatch& stopwatch, const Run& run, const IsRight& is_right) {
    if (!measures() || best_.count(shape)) return;
    const std::vector<Way> ways = ways_of(shape);
    if (ways.size() == 1) return;
    float best = std::numeric_limits<float>::infinity();
    for (const Way way : ways) {
      const auto timed = [&] {
        run(way);  // once before it is timed
        return stopwatch.time([&] { run(way); }, shape.what == Fusion::forward ? 3 : Stopwatch::kStarts);
      };
      const float time = is_new(shape, way) ? time_if_right(way, is_right, timed) : timed();
      if (time >= best) continue;
      best = time;
      best_[shape] = way;
    }
    news_ = true;
  }
  // Writes the table to the cache if it has changed.
  void save();

 private:
  bool measures() const { return policy_ == Policy::measured || policy_ == Policy::cautious; }
  // Ways that wait within a kernel, and that no GPU has run yet.
  static bool is_new(const Fusable& shape, Way way) {
    return way == Way::hopper || (way == Way::fused && shape.what == Fusion::forward);
  }
  // Infinity if the way is wrong, or cannot be started.
  template <typename IsRight, typename Timed>
  static float time_if_right(Way way, const IsRight& is_right, const Timed& timed) {
    try {
      if (is_right(way)) return timed();
    } catch (const std::runtime_error&) {
    }
    return std::numeric_limits<float>::infinity();
  }
  bool takes(const Fusable& shape, Way way) const;
  std::vector<Way> ways_of(const Fusable& shape) const;

  const Policy policy_;
  const Abilities abilities_;
  const std::string cache_;
  std::map<Fusable, Way> best_;
  bool news_ = false;
};

}  // namespace liteft::cuda
