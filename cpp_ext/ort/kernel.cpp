#include "ort/kernel.h"

#include <map>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "engine/refuse.h"
#include "ort/cores.h"
#include "ort/packed.h"
#include "ort/tensor.h"

namespace liteft::ort {
namespace {

constexpr std::size_t kIds = 0, kMask = 1, kTypes = 2;

// Counters of the whole process since the library was loaded. They are plain numbers, so that a kernel may still be
// destroyed while the process ends.
std::atomic<std::uint64_t> kernels_alive{0}, calls_computed{0}, rows_computed{0};

// Adds to the total by how much `now` is above the highest value seen so far, counting it once in any order of threads.
void advance(std::atomic<std::uint64_t>& seen, std::atomic<std::uint64_t>& total, std::uint64_t now) {
  std::uint64_t before = seen.load();
  while (before < now && !seen.compare_exchange_weak(before, now)) {
  }
  if (before < now) total.fetch_add(now - before);
}

void check_library(int failed) {
  if (failed) throw std::runtime_error(liteft_last_error());
}

// Reads a node's attributes, names of inputs and constant inputs. A node must have `inputs`, `layers` and `heads`.
// Every other attribute has a default, so that attributes that are added later do not affect older files.
class Node {
 public:
  Node(const OrtApi* api, const OrtKernelInfo* info) : api_(api), info_(info) {
    std::istringstream words(text("inputs"));
    for (std::string name; words >> name;) names_.push_back(name);
    std::istringstream products(text("float_products", ""));
    for (std::string name; products >> name;) float_products_.insert(name + ".weight");
    std::size_t inputs = 0;
    check(api_, KernelInfo_GetInputCount(api_, info_, &inputs));
    if (names_.size() != inputs) {
      refuse("the attribute 'inputs' names " + std::to_string(names_.size()) + " inputs, and the node has " +
             std::to_string(inputs));
    }
    first_weight_ = has_token_types() ? kTypes + 1 : kTypes;
    for (std::size_t place = first_weight_; place < inputs; ++place) add_weight(place);
    for (const std::string& name : float_products_) weight(name);
  }

  bool has_token_types() const { return names_.size() > kTypes && names_[kTypes] == "token_type_ids"; }

  // The library's number for the attribute's value, which is the index of the value in the list.
  int chosen(const char* name, const std::vector<std::string>& values, const char* otherwise) const {
    const std::string value = text(name, otherwise);
    std::string offered;
    for (std::size_t number = 0; number < values.size(); ++number) {
      if (values[number] == value) return static_cast<int>(number);
      offered += (number ? ", " : "") + values[number];
    }
    refuse("the attribute '" + std::string(name) + "' is '" + value + "', and this library knows " + offered);
  }

  // Only reads sizes from the shapes of weights; whether the weights fit each other is checked by the library.
  liteft_shape shape() const {
    liteft_shape shape{};
    shape.layers = integer("layers");
    shape.heads = integer("heads");
    shape.vocabulary = weight("embeddings.word.weight").rows;
    shape.embedding = weight("embeddings.word.weight").columns;
    shape.positions = weight("embeddings.position.weight").rows;
    shape.types = has_token_types() ? weight("embeddings.type.weight").rows : 0;
    shape.width = weight("layers.0.attention.output.weight").columns;
    shape.inner = weight("layers.0.feed_forward.inner.weight").columns;
    shape.labels = weight("classifier.weight").columns;
    shape.pooling = chosen("pooling", {"cls", "mean", "none"}, "cls");
    shape.head = chosen("head", {"none", "tanh", "relu", "gelu"}, "tanh");
    shape.activation = chosen("activation", {"gelu", "relu", "gelu_tanh", "silu"}, "gelu");
    if (has("counted_from")) refuse("the attribute 'counted_from' is of a development version: export the model again");
    shape.position_padding_id = has("position_padding_id") ? integer("position_padding_id") : -1;
    shape.epsilon = has("epsilon") ? number("epsilon") : 1e-12f;
    return shape;
  }

  std::vector<liteft_weight> weights() const {
    std::vector<liteft_weight> all;
    for (const auto& [name, weight] : weights_) all.push_back(weight);
    return all;
  }

 private:
  // ONNX Runtime's error for an attribute of another type does not name the attribute.
  void check_attribute(const char* name, OrtStatus* status) const {
    try {
      check(api_, status);
    } catch (const std::exception& error) {
      refuse("the attribute '" + std::string(name) + "': " + error.what());
    }
  }

  // Whether the node has an attribute of this name, of any type, which ONNX Runtime only tells by an error.
  bool has(const char* name) const {
    std::size_t size = 0;
    OrtStatus* status = KernelInfoGetAttribute_string(api_, info_, name, nullptr, &size);
    if (!status) return true;
    const bool absent = std::string(GetErrorMessage(api_, status)).find("No attribute") != std::string::npos;
    ReleaseStatus(api_, status);
    return !absent;
  }

  // `otherwise` is the default; nullptr if the node must have the attribute.
  std::string text(const char* name, const char* otherwise = nullptr) const {
    if (otherwise && !has(name)) return otherwise;
    std::size_t size = 0;
    check_attribute(name, KernelInfoGetAttribute_string(api_, info_, name, nullptr, &size));
    std::string out(size, '\0');
    check_attribute(name, KernelInfoGetAttribute_string(api_, info_, name, out.data(), &size));
    out.resize(size ? size - 1 : 0);
    return out;
  }

  std::int32_t integer(const char* name) const {
    std::int64_t value = 0;
    check_attribute(name, KernelInfoGetAttribute_int64(api_, info_, name, &value));
    return narrow(value, "the attribute '" + std::string(name) + "'");
  }

  float number(const char* name) const {
    float value = 0.0f;
    check_attribute(name, KernelInfoGetAttribute_float(api_, info_, name, &value));
    return value;
  }

  const liteft_weight& weight(const std::string& name) const {
    const auto found = weights_.find(name);
    if (found == weights_.end()) refuse("the weight '" + name + "' is missing");
    return found->second;
  }

  void add_weight(std::size_t place) {
    const std::string& name = names_[place];
    int constant = 0;
    const OrtValue* value = nullptr;
    check(api_, KernelInfoGetConstantInput_tensor(api_, info_, place, &constant, &value));
    if (!constant || !value) {
      refuse("the weight '" + name + "' is not constant: it must be an initializer, and no input of the graph besides");
    }
    const Tensor tensor = read_tensor(api_, value);
    liteft_weight weight{name.c_str(), tensor.values, 0, 1, 0};
    switch (tensor.type) {
      case kFloat: weight.type = LITEFT_TYPE_FLOAT32; break;
      case kFloat16: weight.type = LITEFT_TYPE_FLOAT16; break;
      case kInt8: weight.type = LITEFT_TYPE_INT8; break;
      case kUint8: weight.type = LITEFT_TYPE_INT4; break;
      default: refuse("the weight '" + name + "' is not float32, float16, int8, or uint8 that holds pairs of int4");
    }
    const auto& dimensions = tensor.dimensions;
    if (dimensions.empty() || dimensions.size() > 2) {
      refuse("the weight '" + name + "' has shape " + shape_text(dimensions) +
             ", and one or two dimensions were expected");
    }
    if (!tensor.values) refuse("the weight '" + name + "' has shape " + shape_text(dimensions) + ": it is empty");
    if (float_products_.count(name)) weight.type |= LITEFT_FLOAT_PRODUCT;
    if (dimensions.size() == 2) weight.rows = narrow(dimensions[0], "the rows of '" + name + "'");
    const int values = tensor.type == kUint8 ? 2 : 1;  // a byte holds
    weight.columns = narrow(values * dimensions.back(), "the columns of '" + name + "'");
    if (!weights_.emplace(name, weight).second) refuse("the attribute 'inputs' names '" + name + "' twice");
  }

  const OrtApi* api_;
  const OrtKernelInfo* info_;
  std::vector<std::string> names_;
  std::set<std::string> float_products_;  // their weights, by name
  std::size_t first_weight_ = kTypes;
  std::map<std::string, liteft_weight> weights_;
};

// A rectangle of integers.
Tensor read_rectangle(const OrtApi* api, const OrtKernelContext* context, std::size_t place, const char* name) {
  Tensor tensor = read_input(api, context, place, name);
  if (tensor.dimensions.size() != 2) {
    refuse(std::string(name) + " has shape " + shape_text(tensor.dimensions) + ", and (texts, tokens) was expected");
  }
  return tensor;
}

}  // namespace

Kernel::Kernel(const OrtApi* api, const OrtKernelInfo* info, const Target& target, Kind kind) : api_(api), kind_(kind) {
  const Node node(api, info);
  const liteft_shape shape = node.shape();
  if ((shape.pooling == LITEFT_NONE) != (kind == Kind::tokens)) {
    refuse(std::string("the attribute 'pooling' is ") + (kind == Kind::tokens ? "not 'none'" : "'none'") +
           ", which does not fit the operator's name");
  }
  const std::vector<liteft_weight> weights = node.weights();
  // Static int8 is computed with one scale per row too, which is no less exact and what the engine supports.
  const int precision = node.chosen("int8_scheme", {"none", "per_row", "static"}, "none") ? LITEFT_INT8 : LITEFT_FP32;
  const auto count = static_cast<std::int32_t>(weights.size());
  liteft_classifier* created = nullptr;
  if (target.cuda) {
    check_library(liteft_create_cuda(&shape, weights.data(), count, target.precision, target.device, 0,
                                     target.cublas.c_str(), target.cache.c_str(), &created));
  } else {
    check_library(liteft_create(&shape, weights.data(), count, precision, wanted_threads(), nullptr, &created));
  }
  classifier_.reset(created);
  has_token_types_ = node.has_token_types();
  labels_ = shape.labels;
  kernels_alive.fetch_add(1);
}

Kernel::~Kernel() { kernels_alive.fetch_sub(1); }

void Kernel::compute(OrtKernelContext* context) {
  if (kind_ == Kind::ragged) {
    compute_packed(context);
  } else {
    compute_padded(context);
  }
  count();
}

void Kernel::compute_packed(OrtKernelContext* context) {
  const PackedInputs inputs(api_, context, has_token_types_);
  const liteft_batch batch = inputs.batch();
  check_library(liteft_run(classifier_.get(), &batch, logits(context, {inputs.texts(), labels_})));
}

void Kernel::compute_padded(OrtKernelContext* context) {
  const Tensor ids = read_rectangle(api_, context, kIds, "input_ids");
  const auto same = [&](std::size_t place, const char* name) {
    const Tensor other = read_rectangle(api_, context, place, name);
    if (other.dimensions != ids.dimensions) {
      refuse(std::string(name) + " has shape " + shape_text(other.dimensions) + ", and input_ids has " +
             shape_text(ids.dimensions));
    }
    return static_cast<const std::int64_t*>(other.values);
  };
  liteft_padded padded{};
  padded.texts = narrow(ids.dimensions[0], "the number of texts");
  padded.tokens = narrow(ids.dimensions[1], "the number of tokens");
  padded.ids = static_cast<const std::int64_t*>(ids.values);
  padded.mask = same(kMask, "attention_mask");
  if (has_token_types_) padded.types = same(kTypes, "token_type_ids");
  std::vector<std::int64_t> shape{padded.texts, labels_};
  if (kind_ == Kind::tokens) shape.insert(shape.begin() + 1, padded.tokens);
  check_library(liteft_run_padded(classifier_.get(), &padded, logits(context, shape)));
}

float* Kernel::logits(OrtKernelContext* context, const std::vector<std::int64_t>& shape) const {
  OrtValue* output = nullptr;
  check(api_, KernelContext_GetOutput(api_, context, 0, shape.data(), shape.size(), &output));
  void* values = nullptr;
  check(api_, GetTensorMutableData(api_, output, &values));
  return static_cast<float*>(values);
}

void Kernel::count() {
  std::uint64_t calls = 0, rows = 0;
  liteft_counters(classifier_.get(), &calls, &rows);
  advance(calls_, calls_computed, calls);
  advance(rows_, rows_computed, rows);
}

}  // namespace liteft::ort

void liteft_operator_counters(uint64_t* kernels, uint64_t* calls, uint64_t* rows) {
  if (kernels) *kernels = liteft::ort::kernels_alive.load();
  if (calls) *calls = liteft::ort::calls_computed.load();
  if (rows) *rows = liteft::ort::rows_computed.load();
}
