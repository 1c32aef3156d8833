// The weights of a classifier, with their names and shapes: once for C++, as liteft/encoder/layout.py is for Python.
// Code that packs, dequantizes or uploads weights, or makes random ones for tests, visits them with `for_each_weight`.

#pragma once

#include <string>
#include <vector>

#include "liteft/liteft.h"

namespace liteft {

template <typename Norm, typename Linear>
struct LayerWeights {
  bool cls_only = false;    // outputs of each text's first row alone: the last layer of a model that pools [CLS]
  Linear query_key_value;   // side by side; empty in a cls_only layer, which has the next two instead
  Linear query, key_value;  // key and value side by side
  Linear projection, inner, outer;
  Norm attention_norm, output_norm;
};

// A table has rows of the width of the embeddings, a norm has a scale and a shift per value, and a linear layer has a
// matrix and a bias.
template <typename Table, typename Norm, typename Linear, typename Classifier = Linear>
struct ClassifierWeights {
  Table words, positions, types;
  Norm embedding_norm;
  Linear embedding_projection;  // empty if the embeddings are as wide as the layers
  std::vector<LayerWeights<Norm, Linear>> layers;
  Linear dense;  // of the head; empty if the model has no head, as without pooling
  Classifier classifier;
};

// Only linear layers of the encoder may be int8.
enum class Part { encoder, head };

// Visits all weights of a model of this shape, each with its member of `weights`, a ClassifierWeights, and its name as
// liteft.h has it, without ".weight", ".bias" and ".scale":
//   visit.table(member, name, rows, columns), visit.norm(member, name, width),
//   visit.linear(member, name, outputs, inputs, part).
// The shape has been checked. The layers of `weights` are created here.
template <typename Weights, typename Visitor>
void for_each_weight(const liteft_shape& shape, Weights& weights, Visitor&& visit) {
  const int width = shape.width;
  visit.table(weights.words, "embeddings.word", shape.vocabulary, shape.embedding);
  visit.table(weights.positions, "embeddings.position", shape.positions, shape.embedding);
  if (shape.types) visit.table(weights.types, "embeddings.type", shape.types, shape.embedding);
  visit.norm(weights.embedding_norm, "embeddings.norm", shape.embedding);
  if (shape.embedding != width)
    visit.linear(weights.embedding_projection, "embeddings.project", width, shape.embedding, Part::encoder);
  weights.layers.resize(shape.layers);
  for (int number = 0; number < shape.layers; ++number) {
    auto& layer = weights.layers[number];
    const std::string name = "layers." + std::to_string(number) + ".";
    const auto linear = [&](auto& member, const char* part, int outputs, int inputs) {
      visit.linear(member, name + part, outputs, inputs, Part::encoder);
    };
    layer.cls_only = number + 1 == shape.layers && shape.pooling == LITEFT_CLS;
    if (layer.cls_only) {
      linear(layer.query, "attention.query", width, width);
      linear(layer.key_value, "attention.key_value", 2 * width, width);
    } else {
      linear(layer.query_key_value, "attention.query_key_value", 3 * width, width);
    }
    linear(layer.projection, "attention.output", width, width);
    linear(layer.inner, "feed_forward.inner", shape.inner, width);
    linear(layer.outer, "feed_forward.outer", width, shape.inner);
    visit.norm(layer.attention_norm, name + "attention.norm", width);
    visit.norm(layer.output_norm, name + "feed_forward.norm", width);
  }
  if (shape.head != LITEFT_HEAD_NONE) visit.linear(weights.dense, "head.dense", width, width, Part::head);
  visit.linear(weights.classifier, "classifier", shape.labels, width, Part::head);
}

// The same for a visitor that needs only names and shapes: its functions get an empty member.
struct NoMember {};
template <typename Visitor>
void for_each_weight(const liteft_shape& shape, Visitor&& visit) {
  ClassifierWeights<NoMember, NoMember, NoMember> none;
  for_each_weight(shape, none, visit);
}

}  // namespace liteft
