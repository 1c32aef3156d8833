#include "engine/engine.h"

#include <algorithm>
#include <utility>

namespace liteft {
namespace {

// Rows of a row block, more or less by one text: few enough for the L2 cache, and enough to reuse a panel of weights.
constexpr int kMostRows = 96;
constexpr int kLeastRows = 32;
constexpr int kBlocksPerThread = 3;

// Row blocks of nearly equal size, the same number for each thread as far as the texts allow. A row block has the texts
// whose middle is in its share of the rows.
std::vector<RowBlock> row_blocks_of(const Batch& batch, int threads) {
  const int rows = batch.offsets[batch.texts];
  const int wanted = std::clamp(rows / (threads * kBlocksPerThread), kLeastRows, kMostRows);
  int count = 1 + (rows - 1) / wanted;
  if (count > threads) count = static_cast<int>(round_up(count, threads));
  std::vector<RowBlock> blocks;
  for (int number = 0, text = 0; number < count; ++number) {
    const long long end = share(rows, number, count).end;
    const int first = text;
    while (text < batch.texts && static_cast<long long>(batch.offsets[text]) + batch.offsets[text + 1] < 2 * end)
      ++text;
    if (text > first) blocks.push_back({first, text});  // otherwise a long text covers this share
  }
  return blocks;
}

WorkspaceSize workspace_size_of(const Batch& batch, const std::vector<RowBlock>& blocks) {
  WorkspaceSize workspace_size;
  for (const RowBlock& block : blocks) {
    workspace_size.rows = std::max(workspace_size.rows, batch.offsets[block.last] - batch.offsets[block.first]);
    workspace_size.texts = std::max(workspace_size.texts, block.last - block.first);
  }
  for (int text = 0; text < batch.texts; ++text) {
    workspace_size.longest = std::max(workspace_size.longest, batch.offsets[text + 1] - batch.offsets[text]);
  }
  return workspace_size;
}

// More threads than the widest matmul has panels would only wait for the others.
int team_of(const Model& model, int threads) {
  const Layer& layer = model.layers.front();
  const int widest =
      std::max({layer.inner.matrix().panels, layer.query_key_value.matrix().panels, layer.key_value.matrix().panels});
  return std::min(threads, widest);
}

}  // namespace

Engine::Engine(Model model, int threads) : model_(std::move(model)), pool_(threads), workspaces_(model_) {}

void Engine::run(const Batch& batch, float* logits) {
  const std::vector<RowBlock> blocks = row_blocks_of(batch, pool_.threads());
  Call call(batch, blocks, workspace_size_of(batch, blocks), logits);
  if (pool_.threads() == 1) {
    run_alone(call);
  } else {
    run_in_lane(call);
  }
  calls_.fetch_add(1);
  rows_.fetch_add(batch.offsets[batch.texts]);
}

void Engine::run_alone(const Call& call) {
  const WorkspacePool::Lease workspace(workspaces_, call.workspace_size);
  Barrier alone(1);
  for (const RowBlock& block : call.blocks) forward(model_, call.batch, block, {0, 1, alone}, *workspace, call.logits);
}

void Engine::run_in_lane(Call& call) {
  pool_.check_whole();  // before the lane is used: after a fork it may be locked by a thread that no longer exists
  const Lane::Visit visit(lane_, call);
  if (!visit.is_computed()) {
    if (static_cast<int>(call.blocks.size()) < pool_.threads() && lane_.is_alone()) {
      run_together(call);
    } else {
      run_apart();
    }
  }
  if (call.failure) std::rethrow_exception(call.failure);
}

void Engine::run_together(const Call& call) {
  WorkspaceSize workspace_size = call.workspace_size;
  const int members = workspace_size.members = team_of(model_, pool_.threads());
  const WorkspacePool::Lease workspace(workspaces_, workspace_size);
  Barrier barrier(members);
  pool_.run(members, [&](int number) {
    for (const RowBlock& block : call.blocks)
      forward(model_, call.batch, block, {number, members, barrier}, *workspace, call.logits);
  });
}

void Engine::run_apart() {
  pool_.run(pool_.threads(), [&](int) {
    Barrier alone(1);
    while (const Lane::Turn turn = lane_.take()) {
      std::exception_ptr failure;
      try {
        const WorkspacePool::Lease workspace(workspaces_, turn.call->workspace_size);
        forward(model_, turn.call->batch, turn.block, {0, 1, alone}, *workspace, turn.call->logits);
      } catch (...) {  // there is no memory for a workspace
        failure = std::current_exception();
      }
      lane_.put(turn, std::move(failure));
    }
  });
}

}  // namespace liteft
