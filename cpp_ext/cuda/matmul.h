// Matmuls with cublasLt, for each shape with the algorithm that is fastest on this GPU.
//
// Algorithms are autotuned for all buckets when a classifier is created, never during a request, and kept in a file for
// the next time.

#pragma once

#include <array>
#include <map>
#include <string>

#include "cuda/cublaslt.h"
#include "cuda/memory.h"
#include "cuda/timing.h"

namespace liteft::cuda {

// out (rows, outputs) = x (rows, inputs) weights (inputs, outputs), all row-major, and with a bias (outputs,) or not.
struct MatmulShape {
  int rows, inputs, outputs;
  bool biased = false;
  auto operator<=>(const MatmulShape&) const = default;
};

// Where a matmul's values are on the device, all of one type; bias is nullptr for a shape that has none.
struct MatmulPlaces {
  const void *x, *weights, *bias;
  void *out, *workspace;
};

class Matmuls {
 public:
  static constexpr std::size_t kWorkspaceBytes = 32u << 20;

  // type: lt::kFloat16 or lt::kBfloat16. cache: a file of algorithms, or "" for none.
  Matmuls(const CublasLt& library, int type, std::string cache);
  ~Matmuls();
  Matmuls(const Matmuls&) = delete;
  Matmuls& operator=(const Matmuls&) = delete;

  // Finds the fastest algorithm of a shape, unless it is known. It is timed on whatever values are there.
  void autotune(const MatmulShape& shape, const MatmulPlaces& places, Stopwatch& stopwatch);
  // Writes the algorithms to the cache if any of them are missing there. A failure to write is not an error.
  void save();
  // Throws std::logic_error for a shape that was not autotuned.
  void run(const MatmulShape& shape, const MatmulPlaces& places, cudaStream_t stream) const;

 private:
  struct Plan {
    void *weights = nullptr, *x = nullptr, *out = nullptr;  // layouts
    Algorithm algorithm;
    bool known = false;
  };
  Plan& plan_of(const MatmulShape& shape);
  int launch(const Plan& plan, const Algorithm& algorithm, const MatmulPlaces& places, cudaStream_t stream) const;
  void load();

  const CublasLt& library_;
  const int type_;
  const std::string cache_;
  CublasLt::Handle handle_ = nullptr;
  void* preference_ = nullptr;
  std::map<MatmulShape, Plan> plans_;
  std::map<MatmulShape, Algorithm> kept_;  // from the cache
  bool news_ = false;                      // some of the algorithms are not in the cache
};

}  // namespace liteft::cuda
