// Runs a model on texts of real tokens only.
//
// Texts are gathered into strips of some dozens of rows, and a strip goes through the whole model before the next
// one: its rows stay in the second-level cache while the weights stream by. A strip is computed by a team of threads,
// one thread where there are strips enough. What a row comes to does not depend on the strip or the team.

#pragma once

#include <cstdint>
#include <vector>

#include "engine/batch.h"
#include "engine/lane.h"
#include "engine/passage.h"
#include "engine/pool.h"
#include "engine/runner.h"
#include "engine/workspace.h"

namespace liteft {

class Engine : public Runner {
 public:
  Engine(Model model, int threads);
  void run(const Batch& batch, float* logits) override;
  const ModelShape& shape() const override { return model_.shape; }
  bool is_whole() const override { return pool_.is_whole(); }

 private:
  // In the calling thread, beside other callers in theirs; or with all threads of the pool, which callers share in the
  // lane.
  void run_alone(const Call& call);
  void run_in_lane(Call& call);
  // All threads share each strip; or each takes strips of its own, and of whichever call is due first.
  void run_together(const Call& call);
  void run_apart();
  const Model model_;
  Pool pool_;
  Lane lane_;
  Shelf shelf_;
};

}  // namespace liteft
