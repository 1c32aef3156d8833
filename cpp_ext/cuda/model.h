// A model on a GPU: its weights as T, biases and norms as float32.

#pragma once

#include <map>
#include <string>
#include <vector>

#include "cuda/kernels.h"
#include "cuda/memory.h"
#include "liteft/liteft.h"

namespace liteft::cuda {

template <typename T>
struct Linear {
  int inputs = 0, outputs = 0;
  DeviceBuffer weights;  // (inputs, outputs)
  DeviceBuffer bias;     // float32
};

struct Norm {
  DeviceBuffer gamma, beta;
};

template <typename T>
struct Layer {
  bool cls_only = false;
  Linear<T> query_key_value, query, key_value, projection, inner, outer;
  Norm attention_norm, output_norm;
};

template <typename T>
struct Model {
  // Weights are float32, by the names of liteft.h; the shape has been checked. Throws std::invalid_argument where a
  // number is none that the kernels take, naming it.
  Model(const liteft_shape& shape, const liteft_weight* weights, int count);

  liteft_shape shape;
  int head_size;
  DeviceBuffer words, positions, types;
  Norm embedding_norm;
  Linear<T> embedding_projection;
  std::vector<Layer<T>> layers;
  Linear<T> dense;
  DeviceBuffer classifier, classifier_bias;  // float32, (labels, width)
};

}  // namespace liteft::cuda
