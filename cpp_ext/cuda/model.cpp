#include "cuda/model.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace liteft::cuda {
namespace {

constexpr int kMostWidth = 1024;

template <typename V>
DeviceBuffer uploaded(const std::vector<V>& values) {
  const std::size_t bytes = values.size() * sizeof(V);
  DeviceBuffer buffer(bytes);
  check(cudaMemcpyAsync(buffer.as(), values.data(), bytes, cudaMemcpyHostToDevice, loading_stream), "copying weights");
  return buffer;
}

template <typename V>
std::vector<V> transposed(const V* matrix, int rows, int columns) {
  std::vector<V> out(static_cast<std::size_t>(rows) * columns);
  for (int row = 0; row < rows; ++row) {
    for (int column = 0; column < columns; ++column)
      out[static_cast<std::size_t>(column) * rows + row] = matrix[static_cast<std::size_t>(row) * columns + column];
  }
  return out;
}

// Copies every weight to the device: matrices and tables as T, int8 matrices as they are but for their order,
// everything else in float32.
template <typename T>
class Upload {
 public:
  Upload(const liteft_weight* weights, int count) {
    for (int i = 0; i < count; ++i) by_name_[weights[i].name] = &weights[i];
  }

  void table(DeviceBuffer& member, const std::string& name, int, int) const { member = rounded(name + ".weight"); }
  void norm(Norm& member, const std::string& name, int) const {
    member.gamma = uploaded(floats(name + ".weight"));
    member.beta = uploaded(floats(name + ".bias"));
  }
  void linear(Linear<T>& member, const std::string& name, int outputs, int inputs, Part) const {
    member.inputs = inputs, member.outputs = outputs;
    member.bias = uploaded(floats(name + ".bias"));
    const liteft_weight& weight = *by_name_.at(name + ".weight");
    if (weight.type == LITEFT_TYPE_INT8) {
      member.int8_weights = uploaded(transposed(static_cast<const std::int8_t*>(weight.values), inputs, outputs));
      member.scales = uploaded(floats(name + ".scale"));
      return;
    }
    member.weights = rounded(name + ".weight");
    member.narrow_bias = rounded(name + ".bias");
  }
  void linear(Classifier& member, const std::string& name, int labels, int width, Part) const {
    member.weights = uploaded(transposed(floats(name + ".weight").data(), width, labels));
    member.bias = uploaded(floats(name + ".bias"));
  }

 private:
  std::vector<float> floats(const std::string& name) const {
    const liteft_weight& weight = *by_name_.at(name);
    const float* values = static_cast<const float*>(weight.values);
    return {values, values + static_cast<std::size_t>(weight.rows) * weight.columns};
  }
  DeviceBuffer rounded(const std::string& name) const {
    const std::vector<float> values = floats(name);
    std::vector<T> narrow(values.size());
    for (std::size_t i = 0; i < values.size(); ++i) narrow[i] = static_cast<T>(values[i]);
    return uploaded(narrow);
  }
  std::map<std::string, const liteft_weight*> by_name_;
};

void refuse(const std::string& what) { throw std::invalid_argument("the CUDA kernels take " + what); }

void check_sizes(const liteft_shape& shape) {
  for (const auto& [name, value] : {std::pair{"width", shape.width}, {"embedding", shape.embedding}}) {
    if (value % 64 || value > kMostWidth) {
      refuse("a multiple of 64 up to " + std::to_string(kMostWidth) + " as " + name + ", not " + std::to_string(value));
    }
  }
  if (shape.inner % 64) refuse("a multiple of 64 as inner, not " + std::to_string(shape.inner));
  const int head_size = shape.width / shape.heads;
  if (head_size != 32 && head_size != 64) refuse("heads of 32 or 64, not " + std::to_string(head_size));
}

}  // namespace

template <typename T>
Model<T>::Model(const liteft_shape& given, const liteft_weight* weights, int count) : shape(given) {
  check_sizes(shape);
  head_size = shape.width / shape.heads;
  for_each_weight(shape, *this, Upload<T>(weights, count));
  holds_int8 = std::any_of(weights, weights + count, [](const auto& each) { return each.type == LITEFT_TYPE_INT8; });
  settle();
}

template struct Model<__half>;
template struct Model<__nv_bfloat16>;

}  // namespace liteft::cuda
