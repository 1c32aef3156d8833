// The whole forward pass of a short chunk in one kernel, whose blocks hand values to each other between the steps. So a
// single text does not pay for the start of some fifty kernels.

#pragma once

#include <cstdint>
#include <vector>

#include "cuda/kernels.h"
#include "cuda/memory.h"
#include "cuda/model.h"

namespace liteft::cuda {

template <typename T>
struct ShortLinear {
  const T* weights = nullptr;  // (inputs, outputs), row-major; nullptr if there is none
  const float* bias = nullptr;
  int inputs = 0, outputs = 0;
};
struct ShortNorm {
  const float *gamma = nullptr, *beta = nullptr;
};
// The matmuls of a layer in the order in which they are computed: queries, keys and values together, or queries and
// then keys and values, of which the second has no weights otherwise.
enum ShortMatmul { kQuery, kKeyValue, kProjection, kInner, kOuter, kMatmuls };
template <typename T>
struct ShortLayer {
  ShortLinear<T> matmuls[kMatmuls];
  ShortNorm attention_norm, output_norm;
};

// Which of the two sets of memory for exchanged values is used next: the lowest bit of `number`; and the rows that the
// last chunk of each has written.
struct ShortTurns {
  unsigned number = 0;
  int rows[2] = {0, 0};
};

// A chunk on the device: rows of texts one after the other.
struct ShortChunk {
  const Counts* counts;
  const std::int32_t *ids, *types, *positions, *text_of_row, *offsets;  // types may be nullptr
  const std::uint8_t* key_mask;                                         // or nullptr
};

// What a kernel of this kind gets.
template <typename T>
struct ShortModel {
  const T *words, *places, *kinds;  // tables (n, width); kinds may be nullptr
  ShortNorm embedding_norm;
  const ShortLayer<T>* layers;  // in device memory
  int count;                    // of layers
  ShortLinear<T> dense;         // of the head, or none
  const float *classifier, *classifier_bias;
  int width, inner, heads, labels, pooling;
  Act act, head;
  float epsilon;
  int most_rows, bucket_rows, stages;  // of any chunk, of one of this launch, and of weights in shared memory
  // What blocks hand to each other: (2 sets, layers + 1, most_rows, 6 width + inner), all ones where nothing is.
  T* exchange;
  ShortTurns* turns;
  float* logits;
};

// The kernel for one model on the current device, with memory of its own: for one chunk at a time.
template <typename T>
class ShortForward {
 public:
  // shared: the most shared memory of a block in bytes.
  ShortForward(const Model<T>& model, Act act, Act head, std::size_t shared, int multiprocessors, float* logits);

  // The most rows of a chunk; 0 if the model or the device does not allow it.
  int most_rows() const { return most_rows_; }
  // Computes the logits of a chunk of at most `rows` rows.
  void launch(const ShortChunk& chunk, int rows, cudaStream_t stream) const;

 private:
  int most_rows_ = 0, blocks_ = 0;
  std::size_t shared_ = 0;
  ShortModel<T> given_{};
  DeviceBuffer layers_, exchange_, turns_;
};

}  // namespace liteft::cuda
