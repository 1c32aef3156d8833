#include "engine/lane.h"

#include <algorithm>
#include <utility>

namespace liteft {
namespace {

double tokens_of(const Batch& batch, RowBlock block) { return batch.offsets[block.last] - batch.offsets[block.first]; }

}  // namespace

void Lane::enter(Call& call) {
  const std::lock_guard lock(mutex_);
  call.due = now_ + tokens_of(call.batch, {0, call.batch.texts});
  calls_.reserve(calls_.size() + 1);
  sharing_.insert(call.due);
  calls_.push_back(&call);
  if (!seated_) seated_ = &call;
}

void Lane::wait(Call& call) {
  std::unique_lock lock(mutex_);
  call.changed.wait(lock, [&] { return seated_ == &call || call.computed == call.blocks.size(); });
}

bool Lane::is_alone() {
  const std::lock_guard lock(mutex_);
  return calls_.size() == 1;
}

Lane::Turn Lane::take() {
  const std::lock_guard lock(mutex_);
  if (seated_->taken == seated_->blocks.size()) return {};
  Call& call = most_due();
  return {&call, call.blocks[call.taken++]};
}

void Lane::put(const Turn& turn, std::exception_ptr failure) noexcept {
  const std::lock_guard lock(mutex_);
  Call& call = *turn.call;
  advance(tokens_of(call.batch, turn.block));
  ++call.computed;
  if (failure) {
    for (; call.taken < call.blocks.size(); ++call.taken, ++call.computed) {
      advance(tokens_of(call.batch, call.blocks[call.taken]));
    }
    call.failure = std::move(failure);
  }
  if (call.computed == call.blocks.size()) call.changed.notify_one();
}

void Lane::leave(Call& call) noexcept {
  const std::lock_guard lock(mutex_);
  for (; call.taken < call.blocks.size(); ++call.taken) advance(tokens_of(call.batch, call.blocks[call.taken]));
  calls_.erase(std::find(calls_.begin(), calls_.end(), &call));
  if (calls_.empty()) {
    now_ = 0.0;
    sharing_.clear();
  }
  if (seated_ != &call) return;
  seated_ = calls_.empty() ? nullptr : &most_due();
  if (seated_) seated_->changed.notify_one();
}

// The call that is due first among those with a row block left to take, or among all if none has one.
Call& Lane::most_due() const {
  const auto rank = [](const Call* call) { return std::pair(call->taken == call->blocks.size(), call->due); };
  return **std::min_element(calls_.begin(), calls_.end(),
                            [&](const Call* a, const Call* b) { return rank(a) < rank(b); });
}

void Lane::advance(double tokens) noexcept {
  while (!sharing_.empty()) {
    const double sharers = static_cast<double>(sharing_.size()), first = *sharing_.begin();
    const double needed = (first - now_) * sharers;  // tokens until the first of them would have ended
    if (needed > tokens) {
      now_ += tokens / sharers;
      return;
    }
    tokens -= needed;
    now_ = first;
    sharing_.erase(sharing_.begin());
  }
}

}  // namespace liteft
