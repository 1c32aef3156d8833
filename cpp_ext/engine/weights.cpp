#include "engine/weights.h"

#include <cmath>
#include <cstring>

#include "engine/refuse.h"

namespace liteft {
namespace {

constexpr int kMostInt8Inputs = 1 << 16;  // 2^16 products are at most 2^16 * 2^7 * 2^7, half of what an int32 holds

float from_float16(std::uint16_t half) {
  const std::uint32_t sign = static_cast<std::uint32_t>(half & 0x8000u) << 16;
  const std::uint32_t exponent = (half >> 10) & 31u, fraction = half & 1023u;
  std::uint32_t bits;
  if (exponent == 31) {
    bits = sign | 0x7f800000u | (fraction << 13);
  } else if (exponent) {
    bits = sign | ((exponent + 112) << 23) | (fraction << 13);
  } else {
    const float small = static_cast<float>(fraction) * 5.9604645e-8f;  // 2^-24
    std::memcpy(&bits, &small, 4);
    bits |= sign;
  }
  float out;
  std::memcpy(&out, &bits, 4);
  return out;
}

std::string shape_text(int rows, int columns) {
  return "(" + std::to_string(rows) + ", " + std::to_string(columns) + ")";
}

// The weights by name. Values are copied before they are read, since in a file they may be at unaligned addresses.
class Weights {
 public:
  Weights(const liteft_weight* weights, int count) {
    for (int i = 0; i < count; ++i) {
      if (!weights[i].name || !weights[i].values) refuse("a weight without a name or values");
      if (!by_name_.emplace(weights[i].name, Stored{weights[i]}).second) {
        refuse(std::string("the weight '") + weights[i].name + "' is there twice");
      }
    }
  }

  // Float values of a table or a vector, or of a matrix (inputs, outputs) with one scale per column.
  std::vector<float> floats(const std::string& name, int rows, int columns) const {
    const liteft_weight& weight = get(name, rows, columns);
    std::vector<float> out(static_cast<std::size_t>(rows) * columns);
    if (stored_type(weight) == LITEFT_TYPE_FLOAT32) {
      std::memcpy(out.data(), weight.values, out.size() * sizeof(float));
    } else if (stored_type(weight) == LITEFT_TYPE_FLOAT16) {
      const auto stored = copied<std::uint16_t>(weight);
      for (std::size_t i = 0; i < out.size(); ++i) out[i] = from_float16(stored[i]);
    } else if (stored_type(weight) == LITEFT_TYPE_INT4) {
      refuse("the weight '" + name + "' is int4, which tables alone may be");
    } else {
      const std::vector<float> scales = scales_of(name, 1, columns);
      const auto bytes = copied<std::int8_t>(weight);
      for (std::size_t i = 0; i < out.size(); ++i) out[i] = scales[i % columns] * bytes[i];
    }
    return out;
  }

  Linear linear(const Kernels& kernels, Precision precision, const std::string& name, int outputs, int inputs) const {
    const std::string matrix = name + ".weight";
    const std::vector<float> bias = vector(name + ".bias", outputs);
    if (get(matrix, inputs, outputs).type & LITEFT_FLOAT_PRODUCT) precision = Precision::fp32;
    if (precision != Precision::int8) {
      return {kernels, precision, outputs, inputs, floats(matrix, inputs, outputs).data(), bias.data()};
    }
    const std::int8_t* values = static_cast<const std::int8_t*>(int8_matrix(name, outputs, inputs)->values);
    const std::vector<float> scales = scales_of(matrix, 1, outputs);
    return {kernels, outputs, inputs, values, scales.data(), bias.data()};
  }

  // The matrix of an int8 matmul, or nullptr if its matmul is to be computed in float.
  const liteft_weight* int8_matrix(const std::string& name, int outputs, int inputs) const {
    const std::string matrix = name + ".weight";
    const liteft_weight& weight = get(matrix, inputs, outputs);
    if (weight.type & LITEFT_FLOAT_PRODUCT) return nullptr;
    if (weight.type != LITEFT_TYPE_INT8) refuse("the weight '" + matrix + "' is not int8, as int8 matmuls need it");
    return &weight;
  }

  std::vector<float> scales_of(const std::string& weight, int rows, int columns) const {
    return float32(weight.substr(0, weight.size() - std::strlen("weight")) + "scale", rows, columns);
  }

  std::vector<float> vector(const std::string& name, int width) const { return float32(name, 1, width); }

  Norm norm(const std::string& name, int width) const {
    return {vector(name + ".weight", width), vector(name + ".bias", width)};
  }

  Table table(const std::string& name, int rows, int width) const {
    Table table;
    const std::string values = name + ".weight";
    const liteft_weight& weight = get(values, rows, width);
    if (weight.type & LITEFT_FLOAT_PRODUCT) refuse("the weight '" + values + "' is a table, which no matmul takes");
    if (weight.type == LITEFT_TYPE_INT8) {
      table.bytes = copied<std::int8_t>(weight);
      table.scales = scales_of(values, rows, 1);
    } else if (weight.type == LITEFT_TYPE_INT4) {
      if (width % 2) refuse("the weight '" + values + "' is int4, and its width " + std::to_string(width) + " is odd");
      const auto* const stored = static_cast<const std::uint8_t*>(weight.values);
      table.pairs.assign(stored, stored + static_cast<std::size_t>(rows) * width / 2);
      table.scales = scales_of(values, rows, 1);
    } else {
      table.floats = floats(values, rows, width);
    }
    return table;
  }

  // To be called when all weights of the model have been read: one that is left over might change the result.
  void refuse_unknown() const {
    for (const auto& [name, stored] : by_name_) {
      if (!stored.is_read) refuse("the weight '" + name + "' is not one of a model of this shape");
    }
  }

 private:
  const liteft_weight& get(const std::string& name, int rows, int columns) const {
    const auto found = by_name_.find(name);
    if (found == by_name_.end()) refuse("the weight '" + name + "' is missing");
    found->second.is_read = true;
    const liteft_weight& weight = found->second.weight;
    if (weight.rows != rows || weight.columns != columns) {
      refuse("the weight '" + name + "' has shape " + shape_text(weight.rows, weight.columns) + ", and " +
             shape_text(rows, columns) + " was expected");
    }
    if (stored_type(weight) < 0 || stored_type(weight) > LITEFT_TYPE_INT4)
      refuse("the weight '" + name + "' has an unknown type");
    return weight;
  }

  static int stored_type(const liteft_weight& weight) { return weight.type & ~LITEFT_FLOAT_PRODUCT; }

  std::vector<float> float32(const std::string& name, int rows, int columns) const {
    const liteft_weight& weight = get(name, rows, columns);
    if (weight.type != LITEFT_TYPE_FLOAT32) refuse("the weight '" + name + "' is not float32");
    return copied<float>(weight);
  }

  template <typename Value>
  static std::vector<Value> copied(const liteft_weight& weight) {
    std::vector<Value> out(static_cast<std::size_t>(weight.rows) * weight.columns);
    std::memcpy(out.data(), weight.values, out.size() * sizeof(Value));
    return out;
  }

  struct Stored {
    const liteft_weight& weight;
    mutable bool is_read = false;
  };
  std::map<std::string, Stored> by_name_;
};

ModelShape checked(const liteft_shape& given) {
  const auto within = [](const char* name, int value, int least, int most) {
    if (value < least || value > most) {
      refuse(std::string(name) + " = " + std::to_string(value) + " is not between " + std::to_string(least) + " and " +
             std::to_string(most));
    }
  };
  within("layers", given.layers, 1, 1000);
  within("width", given.width, 1, 1 << 16);
  within("heads", given.heads, 1, given.width);
  within("inner", given.inner, 1, 1 << 20);
  within("embedding", given.embedding, 1, 1 << 16);
  within("vocabulary", given.vocabulary, 1, 1 << 28);
  within("positions", given.positions, 1, 1 << 24);
  within("types", given.types, 0, 1 << 16);
  within("labels", given.labels, 1, 1 << 20);
  within("pooling", given.pooling, LITEFT_CLS, LITEFT_NONE);
  within("head", given.head, LITEFT_HEAD_NONE, LITEFT_HEAD_GELU);
  within("activation", given.activation, LITEFT_GELU, LITEFT_SILU);
  within("position_padding_id", given.position_padding_id, -1, given.vocabulary - 1);
  if (given.width % given.heads)
    refuse("width " + std::to_string(given.width) + " must be a multiple of heads " + std::to_string(given.heads));
  if (given.pooling == LITEFT_NONE && given.head != LITEFT_HEAD_NONE) refuse("a model without pooling has no head");
  if (!(given.epsilon > 0.0f) || !std::isfinite(given.epsilon)) refuse("epsilon must be positive");
  ModelShape shape;
  shape.layers = given.layers;
  shape.heads = given.heads;
  shape.width = given.width;
  shape.inner = given.inner;
  shape.embedding = given.embedding;
  shape.vocabulary = given.vocabulary;
  shape.positions = given.positions;
  shape.types = given.types;
  shape.labels = given.labels;
  shape.position_padding_id = given.position_padding_id;
  shape.epsilon = given.epsilon;
  shape.pooling = static_cast<Pooling>(given.pooling);
  shape.head = static_cast<Head>(given.head);
  shape.activation = static_cast<Activation>(given.activation);
  return shape;
}

void check_int8_sums(const ModelShape& shape) {
  if (shape.inner <= kMostInt8Inputs) return;
  refuse("inner = " + std::to_string(shape.inner) + " is above " + std::to_string(kMostInt8Inputs) +
         ", beyond which a sum of int8 products may not fit into 32 bits");
}

// Packs every weight into the layout that the engine reads.
struct Packing {
  const Weights& weights;
  const Kernels& kernels;
  const Precision precision;

  void table(Table& member, const std::string& name, int rows, int columns) const {
    member = weights.table(name, rows, columns);
  }
  void norm(Norm& member, const std::string& name, int width) const { member = weights.norm(name, width); }
  void linear(Linear& member, const std::string& name, int outputs, int inputs, Part part) const {
    member = weights.linear(kernels, part == Part::encoder ? precision : Precision::fp32, name, outputs, inputs);
  }
};

// Adds every weight as float32, add(name, rows, columns, values), or keep(name, weight) as it is.
template <typename Add, typename Keep>
struct Dequantizing {
  const Weights& weights;
  const bool int8_matmuls;
  const Add& add;
  const Keep& keep;

  void table(NoMember, const std::string& name, int rows, int columns) const {
    const Table stored = weights.table(name, rows, columns);
    std::vector<float> values(static_cast<std::size_t>(rows) * columns, 0.0f);
    for (int row = 0; row < rows; ++row)
      stored.add_row(row, columns, values.data() + static_cast<std::size_t>(row) * columns);
    add(name + ".weight", rows, columns, std::move(values));
  }
  void norm(NoMember, const std::string& name, int width) const {
    for (const char* part : {".weight", ".bias"}) add(name + part, 1, width, weights.vector(name + part, width));
  }
  void linear(NoMember, const std::string& name, int outputs, int inputs, Part part) const {
    const std::string matrix = name + ".weight";
    const liteft_weight* int8 =
        int8_matmuls && part == Part::encoder ? weights.int8_matrix(name, outputs, inputs) : nullptr;
    if (int8) {
      keep(matrix, *int8);
      add(name + ".scale", 1, outputs, weights.scales_of(matrix, 1, outputs));
    } else {
      add(matrix, inputs, outputs, weights.floats(matrix, inputs, outputs));
    }
    add(name + ".bias", 1, outputs, weights.vector(name + ".bias", outputs));
  }
};

}  // namespace

Model build(const liteft_shape& given, const liteft_weight* described, int count, Precision precision,
            const Kernels& kernels) {
  const Weights weights(described, count);
  Model model;
  model.shape = checked(given);
  model.precision = precision;
  if (precision == Precision::int8) check_int8_sums(model.shape);
  model.kernels = &kernels;
  for_each_weight(given, model, Packing{weights, kernels, precision});
  weights.refuse_unknown();
  return model;
}

void DequantizedWeights::add(const std::string& name, int rows, int columns, std::vector<float> values) {
  const auto& [stored_name, stored] = *values_.emplace(name, std::move(values)).first;
  weights_.push_back({stored_name.c_str(), stored.data(), LITEFT_TYPE_FLOAT32, rows, columns});
}

void DequantizedWeights::add_as_it_is(const std::string& name, const liteft_weight& weight) {
  weights_.push_back(weight);
  weights_.back().name = values_.emplace(name, std::vector<float>{}).first->first.c_str();
}

DequantizedWeights::DequantizedWeights(const liteft_shape& given, const liteft_weight* described, int count,
                                       bool int8_matmuls)
    : shape_(checked(given)) {
  if (int8_matmuls) check_int8_sums(shape_);
  const Weights weights(described, count);
  const auto add = [this](const std::string& name, int rows, int columns, std::vector<float> values) {
    this->add(name, rows, columns, std::move(values));
  };
  const auto keep = [this](const std::string& name, const liteft_weight& weight) { add_as_it_is(name, weight); };
  for_each_weight(given, Dequantizing<decltype(add), decltype(keep)>{weights, int8_matmuls, add, keep});
  weights.refuse_unknown();
}

}  // namespace liteft
