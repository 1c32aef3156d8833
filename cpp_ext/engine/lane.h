// Which call's row block is computed next, where several threads call at once.
//
// The row blocks of all calls wait in one queue, and a thread that has finished one takes the next from the call that
// is due first: in the order in which the calls would end if all of them ran at once, each at an equal share of the
// machine (the fair sojourn protocol: Friedman and Henderson, 2003). So a short text goes ahead of the batches that
// were there before it, as soon as a row block ends; and no call ends later than by equal shares, whatever comes after
// it.
//
// The threads are those of the pool, and one caller in the seat, who runs them until its own call is computed. Other
// callers sleep until theirs is computed too, or the seat is theirs.

#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <mutex>
#include <set>
#include <vector>

#include "engine/batch.h"
#include "engine/forward.h"
#include "engine/workspace.h"

namespace liteft {

// A batch on its way. What is not const belongs to the lane.
struct Call {
  Call(const Batch& batch, const std::vector<RowBlock>& blocks, const WorkspaceSize& workspace_size, float* logits)
      : batch(batch), blocks(blocks), workspace_size(workspace_size), logits(logits) {}

  const Batch& batch;
  const std::vector<RowBlock>& blocks;
  const WorkspaceSize workspace_size;
  float* const logits;

  std::size_t taken = 0, computed = 0;  // row blocks
  double due = 0.0;
  std::exception_ptr failure;
  std::condition_variable changed;
};

class Lane {
 public:
  // A call's stay. It begins when the call has the seat or is computed, and passes the seat on at its end.
  class Visit {
   public:
    Visit(Lane& lane, Call& call) : lane_(lane), call_(call) {
      lane_.enter(call_);
      lane_.wait(call_);
    }
    ~Visit() { lane_.leave(call_); }
    Visit(const Visit&) = delete;
    Visit& operator=(const Visit&) = delete;
    bool is_computed() const { return call_.computed == call_.blocks.size(); }

   private:
    Lane& lane_;
    Call& call_;
  };

  // A row block to be computed, and its call.
  struct Turn {
    Call* call = nullptr;
    RowBlock block;
    explicit operator bool() const { return call != nullptr; }
  };

  void enter(Call& call);
  void wait(Call& call);  // until it has the seat or is computed
  void leave(Call& call) noexcept;
  bool is_alone();  // whether one call is here and no more
  // The next row block of the call that is due first; none where the call in the seat has no row block left to take.
  Turn take();
  // What was taken is computed; or it failed, and the rest of its call is given up.
  void put(const Turn& turn, std::exception_ptr failure) noexcept;

 private:
  Call& most_due() const;
  void advance(double tokens) noexcept;
  std::mutex mutex_;
  std::vector<Call*> calls_;  // in the order they came
  Call* seated_ = nullptr;
  // The equal shares: the tokens that each call present would have had by now, and what the calls that would still run
  // are due at.
  double now_ = 0.0;
  std::multiset<double> sharing_;
};

}  // namespace liteft
