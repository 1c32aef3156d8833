// A model as the engine runs it: its dimensions, and its weights in the order in which the kernels read them.

#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cpu/kernels.h"
#include "engine/weight_layout.h"

namespace liteft {

enum class Pooling : int { cls = 0, mean = 1, none = 2 };  // none: every token has logits of its own
// What is between the pooled row and the classifier layer.
enum class Head : int { none = 0, tanh = 1, relu = 2, gelu = 3 };

// The activation of the feed-forward block.
enum class Activation : int { gelu = 0, relu = 1, gelu_tanh = 2, silu = 3 };

struct ModelShape {
  int layers = 0;
  int heads = 0;
  int width = 0;
  int inner = 0;      // of the feed-forward block
  int embedding = 0;  // width of the embeddings, which differs from `width` if a projection follows (ELECTRA)
  int vocabulary = 0;
  int positions = 0;
  int types = 0;
  int labels = 0;
  int position_padding_id = -1;  // the padding id if positions are counted from it; -1 if they are places in the text
  float epsilon = 1e-12f;
  Pooling pooling = Pooling::cls;
  Head head = Head::none;
  Activation activation = Activation::gelu;

  bool per_token() const { return pooling == Pooling::none; }
};

// Memory aligned to a cache line and filled with zeros.
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(std::size_t bytes);
  void* data() const { return memory_.get(); }
  char* bytes() const { return static_cast<char*>(memory_.get()); }
  float* floats() const { return static_cast<float*>(memory_.get()); }

 private:
  struct Free {
    void operator()(void* p) const;
  };
  std::unique_ptr<void, Free> memory_;
};

// Length of a row of a matmul's input, rounded up to a quarter of a cache line so that rows can be read in whole steps.
inline std::size_t row_bytes(Precision precision, std::size_t values) {
  return round_up(values, 16) * value_bytes(precision);
}

// A linear layer: its packed matrix and the memory of it. Weights are (inputs, outputs), biases and scales (outputs,).
class Linear {
 public:
  Linear() = default;
  Linear(const Kernels& kernels, Precision precision, int outputs, int inputs, const float* weights, const float* bias);
  Linear(const Kernels& kernels, int outputs, int inputs, const std::int8_t* weights, const float* scales,
         const float* bias);
  const PackedMatrix& matrix() const { return matrix_; }

 private:
  void reserve(const Kernels& kernels, Precision precision, int outputs, int inputs, const float* bias);
  PackedMatrix matrix_;
  Buffer memory_;
};

struct Norm {
  std::vector<float> gamma;
  std::vector<float> beta;
};

// Rows of embeddings, as stored: float32, or int8 or int4 with a scale per row.
struct Table {
  std::vector<float> floats;
  std::vector<std::int8_t> bytes;
  std::vector<std::uint8_t> pairs;  // int4, as liteft.h says
  std::vector<float> scales;
  void add_row(int row, int width, float* out) const;
};

using Layer = LayerWeights<Norm, Linear>;

struct Model : ClassifierWeights<Table, Norm, Linear> {
  ModelShape shape;
  Precision precision = Precision::fp32;
  const Kernels* kernels = nullptr;
};

}  // namespace liteft
