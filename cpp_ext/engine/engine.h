// Runs a model on texts of real tokens only.
//
// Texts are gathered into strips of some dozens of rows, and a strip goes through the whole model before the next
// one: its rows stay in the second-level cache while the weights stream by. A strip is computed by a team of threads,
// one thread where there are strips enough. What a row comes to does not depend on the strip or the team.

#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "engine/batch.h"
#include "engine/passage.h"
#include "engine/pool.h"
#include "engine/workspace.h"

namespace liteft {

class Engine {
 public:
  Engine(Model model, int threads);
  // logits: (texts, labels). The batch has been checked.
  void run(const Batch& batch, float* logits);
  const Model& model() const { return model_; }
  // False in a forked child that inherited the engine: it may not be destroyed there.
  bool is_whole() const { return pool_.is_whole(); }
  std::uint64_t rows() const { return rows_.load(); }
  std::uint64_t calls() const { return calls_.load(); }

 private:
  // All threads share each strip; or each takes strips of its own.
  void run_together(const Batch& batch, const std::vector<Strip>& strips, float* logits);
  void run_apart(const Batch& batch, const std::vector<Strip>& strips, float* logits);
  const Model model_;
  Pool pool_;
  Shelf shelf_;
  std::atomic<std::uint64_t> rows_{0}, calls_{0};
};

}  // namespace liteft
