// Runs a model on texts of real tokens only.
//
// Texts are gathered into strips of some dozens of rows, and a strip goes through the whole model before the next
// one: its rows stay in the second-level cache while the weights stream by. A strip is computed by a team of threads,
// one thread where there are strips enough. What a row comes to does not depend on the strip or the team.

#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "engine/model.h"
#include "engine/pool.h"

namespace liteft {

// Texts one after the other, without padding.
struct Batch {
  int texts = 0;
  const std::int32_t* ids = nullptr;
  const std::int32_t* types = nullptr;      // nullptr: all 0
  const std::int32_t* positions = nullptr;  // nullptr: 0, 1, ... in each text
  const std::int32_t* offsets = nullptr;    // texts + 1: where each text begins, and where the last one ends
  const std::uint8_t* attended = nullptr;   // nullptr: every token; else 0 for one that only queries
};

class Engine {
 public:
  Engine(Model model, int threads);
  ~Engine();
  // logits: (texts, labels).
  void run(const Batch& batch, float* logits);
  const Model& model() const { return model_; }
  std::uint64_t rows() const { return rows_.load(); }
  std::uint64_t calls() const { return calls_.load(); }

 private:
  struct Workspace;
  std::unique_ptr<Workspace> take_workspace(int rows, int texts, int longest);
  Model model_;
  Pool pool_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Workspace>> idle_;
  std::atomic<std::uint64_t> rows_{0}, calls_{0};
};

}  // namespace liteft
