// Makes a model for the engine from stored weights.

#pragma once

#include <map>
#include <string>
#include <vector>

#include "engine/model.h"
#include "liteft/liteft.h"

namespace liteft {

// Throws std::invalid_argument, naming the number or the weight, if something is missing or does not fit.
Model build(const liteft_shape& shape, const liteft_weight* weights, int count, Precision precision,
            const Kernels& kernels);

// The same weights as float32, by the same names, for an engine with a layout of its own. With int8 matmuls, matrices
// of the encoder stay int8, with their scales, unless their matmul is to be computed in float.
class DequantizedWeights {
 public:
  // Throws as build does.
  DequantizedWeights(const liteft_shape& shape, const liteft_weight* weights, int count, bool int8_matmuls = false);
  const ModelShape& shape() const { return shape_; }
  // Valid as long as this object and the weights that it was made from live.
  const std::vector<liteft_weight>& weights() const { return weights_; }

 private:
  void add(const std::string& name, int rows, int columns, std::vector<float> values);
  void add_as_it_is(const std::string& name, const liteft_weight& weight);
  ModelShape shape_;
  std::map<std::string, std::vector<float>> values_;
  std::vector<liteft_weight> weights_;
};

}  // namespace liteft
