// What tests of the whole CUDA library in the emulator share: models, batches, engines, and the CPU engine to compare
// with.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "cuda/engine.h"
#include "liteft/liteft.h"
#include "tests/emulator/emulator.h"
#include "tests/expect.h"
#include "tests/random_model.h"

namespace emulator = liteft::emulator;
using liteft::cuda::AnyEngine;
using liteft::cuda::Policy;
using liteft::cuda::Settings;

inline const liteft_shape kShapes[] = {
    {2, 2, 64, 256, 64, 50, 40, 2, 3, LITEFT_CLS, LITEFT_HEAD_TANH, LITEFT_GELU, -1, 1e-12f},
    {1, 2, 128, 192, 128, 50, 40, 0, 5, LITEFT_CLS, LITEFT_HEAD_RELU, LITEFT_RELU, 3, 1e-5f},
    {2, 2, 128, 64, 64, 50, 40, 2, 2, LITEFT_CLS, LITEFT_HEAD_GELU, LITEFT_GELU_TANH, -1,
     1e-12f},  // ELECTRA's narrow embeddings
    {3, 2, 64, 128, 64, 50, 40, 2, 70, LITEFT_MEAN, LITEFT_HEAD_NONE, LITEFT_SILU, -1, 1e-12f},
    {2, 1, 64, 64, 64, 50, 520, 1, 1, LITEFT_MEAN, LITEFT_HEAD_TANH, LITEFT_GELU, -1, 1e-12f},
    {2, 2, 64, 128, 64, 50, 40, 2, 9, LITEFT_NONE, LITEFT_HEAD_NONE, LITEFT_GELU, -1, 1e-12f},  // of tokens
};

// Widths that the fused kernels take.
inline const liteft_shape kFusable[] = {
    {2, 4, 128, 192, 128, 50, 40, 2, 3, LITEFT_CLS, LITEFT_HEAD_TANH, LITEFT_GELU, -1, 1e-12f},
    {2, 4, 256, 128, 64, 50, 40, 0, 4, LITEFT_MEAN, LITEFT_HEAD_NONE, LITEFT_RELU, -1, 1e-5f},
    {1, 12, 384, 256, 384, 50, 40, 2, 2, LITEFT_CLS, LITEFT_HEAD_GELU, LITEFT_SILU, -1, 1e-12f},
    {1, 4, 128, 128, 128, 50, 40, 0, 3, LITEFT_NONE, LITEFT_HEAD_NONE, LITEFT_RELU, -1, 1e-12f},
};

// Widths of which Hopper's kernels normalize rows.
inline const liteft_shape kNormalizedOnHopper[] = {
    {2, 12, 384, 512, 384, 50, 40, 2, 3, LITEFT_CLS, LITEFT_HEAD_TANH, LITEFT_GELU, -1, 1e-12f},
    {1, 12, 768, 320, 768, 50, 40, 0, 2, LITEFT_NONE, LITEFT_HEAD_NONE, LITEFT_SILU, -1, 1e-12f},
};

constexpr int kPrecisions[] = {LITEFT_FP16, LITEFT_BF16};

inline std::vector<float> run(AnyEngine& engine, const liteft_batch& batch, const liteft_shape& shape) {
  const int rows = shape.pooling == LITEFT_NONE ? batch.offsets[batch.texts] : batch.texts;
  std::vector<float> logits(static_cast<std::size_t>(rows) * shape.labels, NAN);
  try {
    engine.run(batch, logits.data());
  } catch (const std::exception& error) {
    std::printf("%s: %s\n", error.what(), emulator::take_fault().c_str());
    EXPECT(false);
  }
  return logits;
}
inline std::vector<float> run(AnyEngine& engine, const Texts& texts, const liteft_shape& shape) {
  return run(engine, texts.batch(), shape);
}

// Making an engine autotunes on work that the emulator skips, unless this is set: in full it takes long.
inline bool autotunes_in_full = false;

inline std::unique_ptr<AnyEngine> create(const liteft_shape& shape, int precision, Settings settings = {},
                                         const Stored* stored = nullptr) {
  const Stored drawn = stored ? Stored{} : random_weights(shape, false, 1);
  const std::vector<liteft_weight> weights = (stored ? *stored : drawn).list();
  settings.folders = "/nowhere:" LITEFT_CUBLASLT;
  emulator::skip_work(!autotunes_in_full);
  auto made = liteft::cuda::make_engine(shape, weights.data(), static_cast<int>(weights.size()), precision, settings);
  emulator::skip_work(false);
  return made;
}

// Few rows a chunk, so that batches are cut.
inline Settings small(int most_rows) {
  Settings settings;
  settings.most_rows = most_rows;
  return settings;
}

inline std::vector<float> by_cpu(const liteft_shape& shape, const Texts& texts) {
  const Stored stored = random_weights(shape, false, 1);
  const std::vector<liteft_weight> weights = stored.list();
  liteft_classifier* made = nullptr;
  EXPECT(liteft_create(&shape, weights.data(), static_cast<int>(weights.size()), LITEFT_FP32, 1, "", &made) == 0);
  std::vector<float> logits(texts.logit_count(shape), NAN);
  const liteft_batch batch = texts.batch();
  EXPECT(liteft_run(made, &batch, logits.data()) == 0);
  liteft_destroy(made);
  return logits;
}

inline Texts random_texts(std::mt19937& random, const liteft_shape& shape, int count, int longest) {
  Texts texts;
  for (int text = 0; text < count; ++text)
    texts.add(random, shape, 1 + static_cast<int>(random() % std::min(longest, shape.positions)));
  if (shape.position_padding_id < 0) return texts;
  for (std::size_t token = 0; token < texts.positions.size(); ++token) {  // some positions that were counted
    texts.positions[token] = std::min(texts.positions[token] + shape.position_padding_id + 1, shape.positions - 1);
  }
  return texts;
}

// The root mean square of differences, relative to that of what was expected, or to 1 where that is less. Infinite
// where something is no number.
inline double difference(const std::vector<float>& found, const std::vector<float>& expected) {
  double differences = 0.0, squares = 0.0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    if (!std::isfinite(found[i])) return INFINITY;
    differences += (found[i] - expected[i]) * (found[i] - expected[i]) / expected.size();
    squares += expected[i] * expected[i] / expected.size();
  }
  return std::sqrt(differences) / std::fmax(1.0, std::sqrt(squares));
}

// Activations and weights are rounded to 8 or 11 bits between kernels, and random models attend sharply: scores of some
// dozens, whose rounding moves weights by percents.
inline double allowed(int precision) { return precision == LITEFT_FP16 ? 0.02 : 0.1; }

// At the end of a program: nothing went wrong on the device, and nothing is left there.
inline int finish() {
  const std::string fault = emulator::take_fault();
  if (!fault.empty()) std::printf("%s\n", fault.c_str());
  EXPECT(fault.empty());
  const emulator::Live left = emulator::live();
  EXPECT(left.allocations == 0 && left.pinned == 0 && left.streams == 0 && left.events == 0 && left.graphs == 0);
  std::printf("%d failures\n", failures);
  return failures != 0;
}
