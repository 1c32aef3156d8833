// Runs a model on texts of real tokens only.
//
// Texts are grouped into row blocks of a few dozen token rows, and a row block goes through the whole model before the
// next one, so that its rows stay in the L2 cache while the weights are streamed. A team of threads computes a row
// block; if there are enough row blocks, a team is a single thread. The result of a row does not depend on its row
// block or team.

#pragma once

#include <cstdint>
#include <vector>

#include "engine/batch.h"
#include "engine/lane.h"
#include "engine/forward.h"
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
  // Runs in the calling thread, in parallel with other callers in theirs; or with all threads of the pool, which
  // callers share through the lane.
  void run_alone(const Call& call);
  void run_in_lane(Call& call);
  // Either all threads work on each row block together, or each takes row blocks of its own, from the call that is due
  // first.
  void run_together(const Call& call);
  void run_apart();
  const Model model_;
  Pool pool_;
  Lane lane_;
  WorkspacePool workspaces_;
};

}  // namespace liteft
