#include "cuda/model.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <stdexcept>

namespace liteft::cuda {
namespace {

constexpr int kMostWidth = 1024;

// The float32 weights by name, on their way to the device.
class Weights {
 public:
  Weights(const liteft_weight* weights, int count) {
    for (int i = 0; i < count; ++i) by_name_[weights[i].name] = &weights[i];
  }

  std::vector<float> floats(const std::string& name) const {
    const liteft_weight& weight = *by_name_.at(name);
    const float* values = static_cast<const float*>(weight.values);
    return {values, values + static_cast<std::size_t>(weight.rows) * weight.columns};
  }

  DeviceBuffer as_floats(const std::string& name) const { return uploaded(floats(name)); }

  template <typename T>
  DeviceBuffer as(const std::string& name) const {
    const std::vector<float> values = floats(name);
    std::vector<T> narrow(values.size());
    for (std::size_t i = 0; i < values.size(); ++i) narrow[i] = static_cast<T>(values[i]);
    return uploaded(narrow);
  }

  template <typename T>
  Linear<T> linear(const std::string& name) const {
    const liteft_weight& weight = *by_name_.at(name + ".weight");
    return {weight.rows, weight.columns, as<T>(name + ".weight"), as_floats(name + ".bias")};
  }

  Norm norm(const std::string& name) const { return {as_floats(name + ".weight"), as_floats(name + ".bias")}; }

  template <typename V>
  static DeviceBuffer uploaded(const std::vector<V>& values) {
    const std::size_t bytes = values.size() * sizeof(V);
    DeviceBuffer buffer(bytes);
    check(cudaMemcpy(buffer.as(), values.data(), bytes, cudaMemcpyHostToDevice), "copying weights");
    return buffer;
  }

 private:
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
Model<T>::Model(const liteft_shape& given, const liteft_weight* described, int count) : shape(given) {
  check_sizes(shape);
  head_size = shape.width / shape.heads;
  const Weights weights(described, count);
  words = weights.as<T>("embeddings.word.weight");
  positions = weights.as<T>("embeddings.position.weight");
  if (shape.types) types = weights.as<T>("embeddings.type.weight");
  embedding_norm = weights.norm("embeddings.norm");
  if (shape.embedding != shape.width) embedding_projection = weights.linear<T>("embeddings.project");
  for (int number = 0; number < shape.layers; ++number) {
    const std::string name = "layers." + std::to_string(number) + ".";
    Layer<T> layer;
    layer.cls_only = number + 1 == shape.layers && shape.pooling == LITEFT_CLS;
    if (layer.cls_only) {
      layer.query = weights.linear<T>(name + "attention.query");
      layer.key_value = weights.linear<T>(name + "attention.key_value");
    } else {
      layer.query_key_value = weights.linear<T>(name + "attention.query_key_value");
    }
    layer.projection = weights.linear<T>(name + "attention.output");
    layer.inner = weights.linear<T>(name + "feed_forward.inner");
    layer.outer = weights.linear<T>(name + "feed_forward.outer");
    layer.attention_norm = weights.norm(name + "attention.norm");
    layer.output_norm = weights.norm(name + "feed_forward.norm");
    layers.push_back(std::move(layer));
  }
  if (shape.head != LITEFT_HEAD_NONE) dense = weights.linear<T>("head.dense");
  const std::vector<float> matrix = weights.floats("classifier.weight");  // (width, labels)
  std::vector<float> by_label(matrix.size());
  for (int i = 0; i < shape.width; ++i) {
    for (int label = 0; label < shape.labels; ++label) {
      by_label[static_cast<std::size_t>(label) * shape.width + i] =
          matrix[static_cast<std::size_t>(i) * shape.labels + label];
    }
  }
  classifier = Weights::uploaded(by_label);
  classifier_bias = weights.as_floats("classifier.bias");
  settle();
}

template struct Model<__half>;
template struct Model<__nv_bfloat16>;

}  // namespace liteft::cuda
