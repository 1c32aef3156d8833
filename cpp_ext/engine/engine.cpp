#include "engine/engine.h"

#include <algorithm>
#include <utility>

namespace liteft {
namespace {

// Rows of a strip, within a text or so: few enough for the second-level cache, enough for a panel of weights to meet
// some.
constexpr int kMostRows = 96;
constexpr int kLeastRows = 32;
constexpr int kStripsAThread = 3;

// Strips of nearly equal rows, as many for each thread, as far as texts allow: a strip holds those whose middle lies in
// its share of the rows.
std::vector<Strip> strips_of(const Batch& batch, int threads) {
  const int rows = batch.offsets[batch.texts];
  const int wanted = std::clamp(rows / (threads * kStripsAThread), kLeastRows, kMostRows);
  int count = 1 + (rows - 1) / wanted;
  if (count > threads) count = static_cast<int>(round_up(count, threads));
  std::vector<Strip> strips;
  for (int number = 0, text = 0; number < count; ++number) {
    const long long end = share(rows, number, count).end;
    const int first = text;
    while (text < batch.texts && static_cast<long long>(batch.offsets[text]) + batch.offsets[text + 1] < 2 * end)
      ++text;
    if (text > first) strips.push_back({first, text});  // else a long text reaches over this share
  }
  return strips;
}

Extent extent_of(const Batch& batch, const std::vector<Strip>& strips) {
  Extent extent;
  for (const Strip& strip : strips) {
    extent.rows = std::max(extent.rows, batch.offsets[strip.last] - batch.offsets[strip.first]);
    extent.texts = std::max(extent.texts, strip.last - strip.first);
  }
  for (int text = 0; text < batch.texts; ++text) {
    extent.longest = std::max(extent.longest, batch.offsets[text + 1] - batch.offsets[text]);
  }
  return extent;
}

// Threads beyond the panels of the widest product would only wait for the others.
int team_of(const Model& model, int threads) {
  const Layer& layer = model.layers.front();
  const int widest =
      std::max({layer.inner.matrix().panels, layer.query_key_value.matrix().panels, layer.key_value.matrix().panels});
  return std::min(threads, widest);
}

}  // namespace

Engine::Engine(Model model, int threads) : model_(std::move(model)), pool_(threads), shelf_(model_) {}

void Engine::run(const Batch& batch, float* logits) {
  const std::vector<Strip> strips = strips_of(batch, pool_.threads());
  Call call(batch, strips, extent_of(batch, strips), logits);
  if (pool_.threads() == 1) {
    run_alone(call);
  } else {
    run_in_lane(call);
  }
  calls_.fetch_add(1);
  rows_.fetch_add(batch.offsets[batch.texts]);
}

void Engine::run_alone(const Call& call) {
  const Shelf::Loan workspace(shelf_, call.extent);
  Barrier alone(1);
  for (const Strip& strip : call.strips) pass(model_, call.batch, strip, {0, 1, alone}, *workspace, call.logits);
}

void Engine::run_in_lane(Call& call) {
  pool_.check_whole();  // before the lane is touched: a thread that a fork left behind may have locked it
  const Lane::Visit visit(lane_, call);
  if (!visit.is_computed()) {
    if (static_cast<int>(call.strips.size()) < pool_.threads() && lane_.is_alone()) {
      run_together(call);
    } else {
      run_apart();
    }
  }
  if (call.failure) std::rethrow_exception(call.failure);
}

void Engine::run_together(const Call& call) {
  Extent extent = call.extent;
  const int members = extent.members = team_of(model_, pool_.threads());
  const Shelf::Loan workspace(shelf_, extent);
  Barrier barrier(members);
  pool_.run(members, [&](int number) {
    for (const Strip& strip : call.strips)
      pass(model_, call.batch, strip, {number, members, barrier}, *workspace, call.logits);
  });
}

void Engine::run_apart() {
  pool_.run(pool_.threads(), [&](int) {
    Barrier alone(1);
    while (const Lane::Turn turn = lane_.take()) {
      std::exception_ptr failure;
      try {
        const Shelf::Loan workspace(shelf_, turn.call->extent);
        pass(model_, turn.call->batch, turn.strip, {0, 1, alone}, *workspace, turn.call->logits);
      } catch (...) {  // no memory for a workspace
        failure = std::current_exception();
      }
      lane_.put(turn, std::move(failure));
    }
  });
}

}  // namespace liteft
