// The forward pass of one row block through a model. A team of threads computes it, with a barrier wherever a thread
// reads what another one wrote.

#pragma once

#include "engine/batch.h"
#include "engine/pool.h"
#include "engine/workspace.h"

namespace liteft {

// Texts that go through the model together.
struct RowBlock {
  int first = 0;
  int last = 0;
};

// One thread of a team.
struct TeamMember {
  int number = 0;
  int of = 1;
  Barrier& barrier;
};

// Computes the logits of the row block and writes them to their place in those of the whole batch, (texts, labels).
// Every member of the team calls it with the same workspace. It does not throw, since the others would wait forever for
// a member that left.
void forward(const Model& model, const Batch& batch, RowBlock block, TeamMember member, Workspace& workspace,
             float* logits) noexcept;

}  // namespace liteft
