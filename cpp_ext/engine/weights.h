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

// The same weights as float32, by the same names, for an engine with a layout of its own.
class DequantizedWeights {
 public:
  // Throws as build does.
  DequantizedWeights(const liteft_shape& shape, const liteft_weight* weights, int count);
  const ModelShape& shape() const { return shape_; }
  // Valid as long as this object lives.
  const std::vector<liteft_weight>& weights() const { return weights_; }

 private:
  void add(const std::string& name, int rows, int columns, std::vector<float> values);
  ModelShape shape_;
  std::map<std::string, std::vector<float>> values_;
  std::vector<liteft_weight> weights_;
};

}  // namespace liteft
