// The passage of one strip of texts through a model, computed by a team of threads that meet where one reads what
// another wrote.

#pragma once

#include "engine/batch.h"
#include "engine/pool.h"
#include "engine/workspace.h"

namespace liteft {

// Texts that go through the model together.
struct Strip {
  int first = 0;
  int last = 0;
};

// One thread's part in a team.
struct Member {
  int number = 0;
  int of = 1;
  Barrier& barrier;
};

// Computes the strip's logits, at their place in those of the whole batch (texts, labels). Every member of the team
// calls it with the same workspace. It does not throw: a member that left would keep the others waiting.
void pass(const Model& model, const Batch& batch, Strip strip, Member member, Workspace& workspace,
          float* logits) noexcept;

}  // namespace liteft
