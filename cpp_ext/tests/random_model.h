// Random models and texts for the tests and the timing of the C API.

#pragma once

#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "engine/weight_layout.h"
#include "liteft/liteft.h"

// Weights as they lie in a file; matrices and tables as int8 with scales where that is asked for.
struct Stored {
  struct Weight {
    std::string name;
    std::vector<char> values;
    int type, rows, columns;
  };
  std::vector<Weight> weights;

  void add(const std::string& name, int type, int rows, int columns, const void* values, std::size_t bytes) {
    const char* first = static_cast<const char*>(values);
    weights.push_back({name, {first, first + bytes}, type, rows, columns});
  }
  void add_floats(const std::string& name, int rows, int columns, const std::vector<float>& values) {
    add(name, LITEFT_TYPE_FLOAT32, rows, columns, values.data(), values.size() * sizeof(float));
  }
  // One scale per column, or one per row.
  void add_int8(const std::string& layer, int rows, int columns, const std::vector<float>& values, bool by_column) {
    std::vector<float> scales(by_column ? columns : rows, 0.0f);
    const auto scale = [&](std::size_t i) -> float& { return scales[by_column ? i % columns : i / columns]; };
    for (std::size_t i = 0; i < values.size(); ++i) scale(i) = std::fmax(scale(i), std::fabs(values[i]) / 127.0f);
    std::vector<std::int8_t> bytes(values.size());
    for (std::size_t i = 0; i < values.size(); ++i)
      bytes[i] = static_cast<std::int8_t>(std::nearbyint(values[i] / scale(i)));
    add(layer + ".weight", LITEFT_TYPE_INT8, rows, columns, bytes.data(), bytes.size());
    add_floats(layer + ".scale", by_column ? 1 : rows, by_column ? columns : 1, scales);
  }
  std::vector<liteft_weight> list() const {
    std::vector<liteft_weight> out;
    for (const Weight& each : weights)
      out.push_back({each.name.c_str(), each.values.data(), each.type, each.rows, each.columns});
    return out;
  }
};

inline Stored random_weights(const liteft_shape& shape, bool int8, unsigned seed) {
  struct Drawing {
    std::mt19937 random;
    const bool int8;
    Stored stored{};
    std::normal_distribution<float> normal{0.0f, 0.2f};

    std::vector<float> draw(int rows, int columns, float middle) {
      std::vector<float> values(static_cast<std::size_t>(rows) * columns);
      for (float& value : values) value = middle + normal(random);
      return values;
    }
    void matrix(const std::string& name, int rows, int columns, bool by_column, bool quantized) {
      const std::vector<float> values = draw(rows, columns, 0.0f);
      if (quantized) return stored.add_int8(name, rows, columns, values, by_column);
      stored.add_floats(name + ".weight", rows, columns, values);
    }
    void table(liteft::NoMember, const std::string& name, int rows, int columns) {
      matrix(name, rows, columns, false, int8);
    }
    void norm(liteft::NoMember, const std::string& name, int width) {
      stored.add_floats(name + ".weight", 1, width, draw(1, width, 1.0f));
      stored.add_floats(name + ".bias", 1, width, draw(1, width, 0.0f));
    }
    void linear(liteft::NoMember, const std::string& name, int outputs, int inputs, liteft::Part part) {
      matrix(name, inputs, outputs, true, int8 && part == liteft::Part::encoder);
      stored.add_floats(name + ".bias", 1, outputs, draw(1, outputs, 0.0f));
    }
  };
  Drawing drawing{std::mt19937(seed), int8};
  liteft::for_each_weight(shape, drawing);
  return drawing.stored;
}

// Texts in the flat form, with the vectors that a batch points into.
struct Texts {
  std::vector<std::int32_t> ids, types, positions, offsets{0};
  std::vector<std::uint8_t> key_mask;
  liteft_batch batch() const {
    return {static_cast<std::int32_t>(offsets.size()) - 1,
            ids.data(),
            types.data(),
            positions.data(),
            offsets.data(),
            key_mask.data()};
  }
  void add(std::mt19937& random, const liteft_shape& shape, int tokens) {
    for (int token = 0; token < tokens; ++token) {
      ids.push_back(static_cast<int>(random() % shape.vocabulary));
      types.push_back(shape.types ? static_cast<int>(random() % shape.types) : 0);
      positions.push_back(token);
      key_mask.push_back(token == tokens - 1 || random() % 8 != 0);
    }
    offsets.push_back(static_cast<int>(ids.size()));
  }
  // The first row of logits of a text: each text has one or, without pooling, one for each of its tokens.
  std::size_t logit_row(const liteft_shape& shape, std::size_t text) const {
    return shape.pooling == LITEFT_NONE ? offsets[text] : text;
  }
  std::size_t logit_count(const liteft_shape& shape) const {
    return logit_row(shape, offsets.size() - 1) * shape.labels;
  }
  // The logits of one text among those of all.
  std::vector<float> logits_of(int text, const liteft_shape& shape, const std::vector<float>& all) const {
    return {all.begin() + logit_row(shape, text) * shape.labels,
            all.begin() + logit_row(shape, text + 1) * shape.labels};
  }
  Texts only(int text) const {
    Texts one;
    for (int token = offsets[text]; token < offsets[text + 1]; ++token) {
      one.ids.push_back(ids[token]);
      one.types.push_back(types[token]);
      one.positions.push_back(positions[token]);
      one.key_mask.push_back(key_mask[token]);
    }
    one.offsets.push_back(static_cast<int>(one.ids.size()));
    return one;
  }
};
