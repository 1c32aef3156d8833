// Matrix products by cublasLt, each shape with the algorithm that was fastest on this GPU.
//
// Algorithms are found when a classifier is made, for all buckets, and kept in a file for the next time: never inside
// of a request.

#pragma once

#include <array>
#include <map>
#include <string>

#include "cuda/cublaslt.h"
#include "cuda/memory.h"
#include "cuda/timing.h"

namespace liteft::cuda {

// out (rows, outputs) = x (rows, inputs) weights (inputs, outputs), all by rows.
struct ProductShape {
  int rows, inputs, outputs;
  auto operator<=>(const ProductShape&) const = default;
};

class Products {
 public:
  static constexpr std::size_t kWorkspaceBytes = 32u << 20;

  // type: lt::kFloat16 or lt::kBfloat16. cache: a file of algorithms, or "" for none.
  Products(const CublasLt& library, int type, std::string cache);
  ~Products();
  Products(const Products&) = delete;
  Products& operator=(const Products&) = delete;

  // Finds the algorithm of a shape where it is not known. x, weights, out and workspace are used, with whatever is in
  // them.
  void learn(const ProductShape& shape, const void* x, const void* weights, void* out, void* workspace,
             Stopwatch& stopwatch);
  // Writes what was learnt to the cache, where that is news; a failure to write is no error.
  void save();
  // Throws std::logic_error for a shape that was not learnt.
  void run(const ProductShape& shape, const void* x, const void* weights, void* out, void* workspace,
           cudaStream_t stream) const;

 private:
  struct Plan {
    void *weights = nullptr, *x = nullptr, *out = nullptr;  // layouts
    Algorithm algorithm;
    bool known = false;
  };
  Plan& plan_of(const ProductShape& shape);
  int launch(const Plan& plan, const Algorithm& algorithm, const void* x, const void* weights, void* out,
             void* workspace, cudaStream_t stream) const;
  void load();

  const CublasLt& library_;
  const int type_;
  const std::string cache_;
  CublasLt::Handle handle_ = nullptr;
  void *desc_ = nullptr, *preference_ = nullptr;
  std::map<ProductShape, Plan> plans_;
  std::map<ProductShape, Algorithm> kept_;  // from the cache
  bool news_ = false;                       // something was learnt that the cache does not hold
};

}  // namespace liteft::cuda
