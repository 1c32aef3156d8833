// Everything that a single run needs on the GPU: a stream, the memory of a chunk, and the graphs captured on the
// stream.

#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "cuda/fusion_table.h"
#include "cuda/graph.h"
#include "cuda/kernels.h"
#include "cuda/memory.h"
#include "cuda/model.h"
#include "cuda/matmul.h"
#include "cuda/short_forward.h"
#include "cuda/steps.h"
#include "cuda/timing.h"

namespace liteft::cuda {

// The sizes that a graph covers. A chunk runs in the smallest bucket that is large enough for it.
struct Bucket {
  int rows = 0, texts = 0;
  bool key_mask = false;  // some tokens are hidden
  bool holds_types = false;
  bool copies = false;  // the graph has the copies of side 0 in it, which saves a short request two calls
  auto operator<=>(const Bucket&) const = default;
};

// A chunk's integers as one block of memory, with the same layout for every chunk of a bucket, so that one copy uploads
// them.
struct Staging {
  Staging(char* base, const Bucket& bucket);
  static std::size_t bytes(const Bucket& bucket);
  Counts* counts;
  std::int32_t *offsets, *ids, *types, *positions, *text_of_row;
  std::uint8_t* key_mask;
};

// A chunk that is on the GPU, but not yet in the place from which graphs read it.
struct Uploaded {
  Bucket bucket;
  DeviceBuffer staged;
};

template <typename T>
class ExecutionSlot {
 public:
  // most_rows and most_texts are limits of a chunk; most_graphs is how many graphs are kept.
  ExecutionSlot(const Model<T>& model, Matmuls& matmuls, FusionTable& fusions, int most_rows, int most_texts,
                int most_graphs);
  ~ExecutionSlot();
  ExecutionSlot(const ExecutionSlot&) = delete;
  ExecutionSlot& operator=(const ExecutionSlot&) = delete;

  // Autotunes the matmuls and fusions of buckets of so many rows, and of so many texts.
  void autotune(int rows);
  bool has(const Bucket& bucket) const { return graphs_.count(bucket) != 0; }
  // Captures the graph of a bucket, which there is none of yet. The matmuls must have been autotuned.
  void prepare(const Bucket& bucket);
  // Where on the host a chunk of the bucket has to be written. There are two sides, 0 and 1: one can be written while
  // the other one's chunk is computed.
  Staging host(const Bucket& bucket, int side) { return Staging(sides_[side].staged.template as<char>(), bucket); }
  // Starts to upload a side's chunk, to compute, and to download so many rows of logits. If the bucket's graph copies,
  // the side must be 0, and all rows of the bucket's logits are downloaded.
  void begin(const Bucket& bucket, std::size_t logit_rows, int side);
  // Waits for what was begun; then its logits are in `logits(side)`, and the side may be written again.
  void finish(int side);
  // After an error: waits until nothing that was begun is under way.
  void abandon();
  // Milliseconds that the bucket's graph takes on the GPU for the last uploaded chunk, on average over `runs`.
  double time(const Bucket& bucket, int runs);
  // Uploads what was written to `host(bucket, 0)`, for a timed pass.
  Uploaded uploaded(const Bucket& bucket);
  // Milliseconds on the GPU of a pass over chunks. Each chunk is copied, on the GPU, to the place from which its graph
  // reads it; the graphs must have been prepared.
  double time(const std::vector<Uploaded>& chunks);
  const float* logits(int side) const { return sides_[side].logits.template as<float>(); }

 private:
  Fusable whole_of(int rows) const;
  // The most rows of a chunk that one kernel may compute; it multiplies by weights of type T.
  int most_short_rows() const { return short_ ? short_->most_rows() : 0; }
  Int8Rows int8_rows() const { return {int8_rows_.as<std::int8_t>(), row_scales_.as<float>()}; }
  MatmulPlaces places_of(const Linear<T>& linear, const T* x, T* out, bool biased) const;
  template <typename Matmul, typename WayOf>
  void compute(const Bucket& bucket, const Matmul& matmul, const WayOf& way_of);
  void upload(const Bucket& bucket, int side);
  void download(std::size_t rows, int side);
  // Computes a bucket's chunk by the whole forward pass in one kernel, or step by step, as the table says.
  template <typename Matmul>
  void forward(const Bucket& bucket, const Matmul& matmul, Way way);
  void autotune_forward(int rows);
  std::vector<float> values_of(const T* values, std::size_t count) const;
  void set_values(T* values, const std::vector<float>& wanted) const;
  // Fills the activations of a chunk with random values: the time and the power of a matmul depend on them.
  void fill_random();
  // Copies to the GPU how much of a bucket is used.
  void upload_counts(const Bucket& bucket, Counts counts);

  const Model<T>& model_;
  Matmuls& matmuls_;
  FusionTable& fusions_;
  cudaStream_t stream_ = nullptr;
  struct Side {
    PinnedBuffer staged, logits;
    Event done;
  };
  Side sides_[2];
  DeviceBuffer staged_, workspace_;
  DeviceBuffer int8_rows_, row_scales_;  // of a model that holds int8
  DeviceBuffer hidden_, queries_, context_, inner_, pooled_, dense_, logits_;
  T *projected_ = nullptr, *sums_ = nullptr;  // within inner_
  struct Kept {
    Graph graph;
    std::uint64_t used = 0;  // time of the last use; the graph with the lowest is removed first
  };
  std::map<Bucket, Kept> graphs_;
  std::unique_ptr<ShortForward<T>> short_;  // none for a model that holds int8
  std::unique_ptr<Stopwatch> stopwatch_;
  const std::size_t most_graphs_;
  std::uint64_t runs_ = 0;
};

}  // namespace liteft::cuda
