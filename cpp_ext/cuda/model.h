// A model on a GPU: its weights as T or int8, biases and norms as float32.

#pragma once

#include "cuda/kernels.h"
#include "cuda/memory.h"
#include "engine/weight_layout.h"
#include "liteft/liteft.h"

namespace liteft::cuda {

template <typename T>
struct Linear {
  int inputs = 0, outputs = 0;
  DeviceBuffer weights;               // (inputs, outputs)
  DeviceBuffer bias;                  // float32
  DeviceBuffer narrow_bias;           // as T, which is how cublasLt adds it
  DeviceBuffer int8_weights, scales;  // (outputs, inputs), (outputs,) float32: instead of weights and narrow_bias
  bool is_int8() const { return int8_weights.bytes() != 0; }
};

struct Norm {
  DeviceBuffer gamma, beta;
};

// The last layer: in float32, a row per label.
struct Classifier {
  DeviceBuffer weights;  // (labels, width)
  DeviceBuffer bias;
};

template <typename T>
using Layer = LayerWeights<Norm, Linear<T>>;

template <typename T>
struct Model : ClassifierWeights<DeviceBuffer, Norm, Linear<T>, Classifier> {
  // Weights are float32, by the names of liteft.h, or int8 with their scales if they are matrices of the encoder; the
  // shape has been checked. Throws std::invalid_argument, naming the number, if the kernels do not support it.
  Model(const liteft_shape& shape, const liteft_weight* weights, int count);

  liteft_shape shape;
  int head_size;
  bool holds_int8 = false;  // some of its matrices are int8
};

}  // namespace liteft::cuda
