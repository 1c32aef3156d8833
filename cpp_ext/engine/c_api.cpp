// The C API: checks what it is given, turns exceptions into error texts.

#include <cstring>
#include <map>
#include <stdexcept>
#include <string>

#include "engine/engine.h"
#include "liteft/liteft.h"

using namespace liteft;

struct liteft_classifier {
  Engine engine;
};

namespace {

thread_local std::string last_error;

template <typename Body>
int guarded(Body body) noexcept {
  try {
    body();
    return 0;
  } catch (const std::exception& error) {
    try {
      last_error = error.what();
    } catch (...) {
    }
    return 1;
  } catch (...) {
    return 1;
  }
}

[[noreturn]] void refuse(const std::string& what) { throw std::invalid_argument(what); }

const Kernels& choose_kernels(const char* wanted) {
  const Kernels* known[] = {avx512_kernels(), avx2_kernels(), &portable_kernels()};
  for (const Kernels* kernels : known) {
    if (!kernels || !kernels->available()) continue;
    if (!wanted || !*wanted || std::strcmp(wanted, kernels->name) == 0) return *kernels;
  }
  refuse(std::string("instructions '") + wanted + "' are not offered by this machine and library");
}

// The weights by name, each read once.
class Weights {
 public:
  Weights(const liteft_weight* weights, int count) {
    for (int i = 0; i < count; ++i) {
      if (!weights[i].name || !weights[i].values) refuse("a weight without a name or values");
      by_name_[weights[i].name] = &weights[i];
    }
  }

  const liteft_weight& get(const std::string& name, int rows, int columns) const {
    const auto found = by_name_.find(name);
    if (found == by_name_.end()) refuse("the weight '" + name + "' is missing");
    const liteft_weight& weight = *found->second;
    if (weight.rows != rows || weight.columns != columns) {
      refuse("the weight '" + name + "' has shape (" + std::to_string(weight.rows) + ", " +
             std::to_string(weight.columns) + "), and (" + std::to_string(rows) + ", " + std::to_string(columns) +
             ") was expected");
    }
    if (weight.type == LITEFT_TYPE_INT8 && !weight.scales) refuse("the weight '" + name + "' is int8 without scales");
    if (weight.type < 0 || weight.type > 2) refuse("the weight '" + name + "' has an unknown type");
    return weight;
  }

  std::vector<float> floats(const std::string& name, int rows, int columns) const {
    const liteft_weight& weight = get(name, rows, columns);
    const std::size_t count = static_cast<std::size_t>(rows) * columns;
    std::vector<float> out(count);
    if (weight.type == LITEFT_TYPE_FLOAT32) {
      std::memcpy(out.data(), weight.values, count * 4);
    } else if (weight.type == LITEFT_TYPE_FLOAT16) {
      const auto* halves = static_cast<const std::uint16_t*>(weight.values);
      for (std::size_t i = 0; i < count; ++i) out[i] = from_half(halves[i]);
    } else {
      const auto* bytes = static_cast<const std::int8_t*>(weight.values);
      for (std::size_t i = 0; i < count; ++i) out[i] = weight.scales[i / columns] * bytes[i];
    }
    return out;
  }

  Linear linear(const Kernels& kernels, Precision precision, const std::string& name, int outputs, int inputs) const {
    const std::vector<float> bias = floats(name + ".bias", 1, outputs);
    const liteft_weight& weight = get(name + ".weight", outputs, inputs);
    if (precision == Precision::int8 && weight.type == LITEFT_TYPE_INT8) {
      return {kernels, outputs, inputs, static_cast<const std::int8_t*>(weight.values), weight.scales, bias.data()};
    }
    const std::vector<float> values = floats(name + ".weight", outputs, inputs);
    return {kernels, precision, outputs, inputs, values.data(), bias.data()};
  }

  Norm norm(const std::string& name, int width) const {
    return {floats(name + ".weight", 1, width), floats(name + ".bias", 1, width)};
  }

  Table table(const std::string& name, int rows, int width) const {
    Table table;
    const liteft_weight& weight = get(name, rows, width);
    if (weight.type == LITEFT_TYPE_INT8) {
      const auto* bytes = static_cast<const std::int8_t*>(weight.values);
      table.bytes.assign(bytes, bytes + static_cast<std::size_t>(rows) * width);
      table.scales.assign(weight.scales, weight.scales + rows);
    } else {
      table.floats = floats(name, rows, width);
    }
    return table;
  }

 private:
  static float from_half(std::uint16_t half) {
    const std::uint32_t sign = static_cast<std::uint32_t>(half & 0x8000u) << 16;
    std::uint32_t exponent = (half >> 10) & 31u, fraction = half & 1023u, bits;
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

  std::map<std::string, const liteft_weight*> by_name_;
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
  within("pooling", given.pooling, 0, 1);
  within("head", given.head, 0, 3);
  within("activation", given.activation, 0, 1);
  if (given.width % given.heads) refuse("width " + std::to_string(given.width) + " is no multiple of the heads");
  if (!(given.epsilon > 0.0f)) refuse("epsilon must be positive");
  return {given.layers,    given.heads,     given.width,  given.inner,   given.embedding,
          given.vocabulary, given.positions, given.types,  given.labels,  given.epsilon,
          static_cast<Pooling>(given.pooling), static_cast<Head>(given.head), static_cast<Activation>(given.activation)};
}

void check(const ModelShape& shape, const liteft_batch& batch) {
  if (batch.texts < 0 || !batch.offsets) refuse("a batch without offsets, or with fewer than 0 texts");
  if (batch.texts == 0) return;
  if (!batch.ids) refuse("a batch without ids");
  if (batch.offsets[0] != 0) refuse("the first text begins at token " + std::to_string(batch.offsets[0]) + ", not 0");
  for (int text = 0; text < batch.texts; ++text) {
    const long first = batch.offsets[text], last = batch.offsets[text + 1];
    if (last <= first) refuse("text " + std::to_string(text) + " has no token");
    if (last - first > shape.positions && !batch.positions) {
      refuse("text " + std::to_string(text) + " has " + std::to_string(last - first) + " tokens; the model has " +
             std::to_string(shape.positions) + " positions");
    }
    bool any = !batch.attended;
    for (long token = first; token < last && !any; ++token) any = batch.attended[token] != 0;
    if (!any) refuse("text " + std::to_string(text) + " has no token that may be attended to");
  }
  const int tokens = batch.offsets[batch.texts];
  for (int token = 0; token < tokens; ++token) {
    const auto within = [token](const char* what, int value, int end) {
      if (value < 0 || value >= end) {
        refuse(std::string(what) + " " + std::to_string(value) + " at token " + std::to_string(token) +
               " is not below " + std::to_string(end));
      }
    };
    within("id", batch.ids[token], shape.vocabulary);
    if (batch.types) within("type id", batch.types[token], shape.types ? shape.types : 1);
    if (batch.positions) within("position", batch.positions[token], shape.positions);
  }
}

Model build(const liteft_shape& given, const Weights& weights, Precision precision, const Kernels& kernels) {
  Model model;
  model.shape = checked(given);
  model.precision = precision;
  model.kernels = &kernels;
  const ModelShape& shape = model.shape;
  const int width = shape.width;
  model.words = weights.table("embeddings.word.weight", shape.vocabulary, shape.embedding);
  model.positions = weights.table("embeddings.position.weight", shape.positions, shape.embedding);
  if (shape.types) model.types = weights.table("embeddings.type.weight", shape.types, shape.embedding);
  model.embedding_norm = weights.norm("embeddings.norm", shape.embedding);
  if (shape.embedding != width) {
    model.embedding_projection = weights.linear(kernels, precision, "embeddings.project", width, shape.embedding);
  }
  for (int number = 0; number < shape.layers; ++number) {
    const std::string name = "layers." + std::to_string(number) + ".";
    const auto linear = [&](const char* part, int outputs, int inputs) {
      return weights.linear(kernels, precision, name + part, outputs, inputs);
    };
    Layer layer;
    layer.query = linear("attention.query", width, width);
    layer.key = linear("attention.key", width, width);
    layer.value = linear("attention.value", width, width);
    layer.projection = linear("attention.output", width, width);
    layer.inner = linear("feed_forward.inner", shape.inner, width);
    layer.outer = linear("feed_forward.outer", width, shape.inner);
    layer.attention_norm = weights.norm(name + "attention.norm", width);
    layer.output_norm = weights.norm(name + "feed_forward.norm", width);
    model.layers.push_back(std::move(layer));
  }
  if (shape.head != Head::none) model.dense = weights.linear(kernels, Precision::fp32, "head.dense", width, width);
  model.classifier = weights.linear(kernels, Precision::fp32, "classifier", shape.labels, width);
  return model;
}

}  // namespace

int32_t liteft_abi(void) { return LITEFT_ABI; }

const char* liteft_version(void) { return "0.1.0"; }

const char* liteft_last_error(void) { return last_error.c_str(); }

const char* liteft_instructions(void) { return choose_kernels(nullptr).name; }

int liteft_create(const liteft_shape* shape, const liteft_weight* weights, int32_t count, int32_t precision,
                  int32_t threads, const char* instructions, liteft_classifier** created) {
  return guarded([&] {
    if (!shape || !weights || !created || count < 0) refuse("shape, weights and the place of the result are needed");
    if (precision < 0 || precision > 2) refuse("precision " + std::to_string(precision) + " is unknown");
    if (threads < 1 || threads > 1024) refuse("threads = " + std::to_string(threads) + " is not between 1 and 1024");
    const Kernels& kernels = choose_kernels(instructions);
    const auto how = static_cast<Precision>(precision);
    if (how == Precision::bf16 && !kernels.bf16) refuse(std::string("bf16 is not offered by ") + kernels.name);
    *created = new liteft_classifier{Engine(build(*shape, Weights(weights, count), how, kernels), threads)};
  });
}

int liteft_run(liteft_classifier* classifier, const liteft_batch* batch, float* logits) {
  return guarded([&] {
    if (!classifier || !batch) refuse("a classifier and a batch are needed");
    check(classifier->engine.model().shape, *batch);
    if (batch->texts == 0) return;
    if (!logits) refuse("there is no place for the logits");
    classifier->engine.run({batch->texts, batch->ids, batch->types, batch->positions, batch->offsets, batch->attended},
                           logits);
  });
}

void liteft_destroy(liteft_classifier* classifier) { delete classifier; }

void liteft_counters(const liteft_classifier* classifier, uint64_t* calls, uint64_t* rows) {
  if (calls) *calls = classifier->engine.calls();
  if (rows) *rows = classifier->engine.rows();
}
