// Decides which call's row block is computed next if several threads call at once.
//
// The row blocks of all calls wait in one queue. A thread that has finished a row block takes the next one from the
// call that is due first, that is, the call that would end first if all calls ran at once with equal shares of the
// machine (the fair sojourn protocol: Friedman and Henderson, 2003). So a short text overtakes batches that were there
// before it, as soon as a row block ends, and no call ends later than it would with equal shares, whatever comes after
// it.
//
// The threads are those of the pool and one caller, which has the seat: it runs the pool until its own call is
// computed. The other callers sleep until their call is computed or they get the seat.

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

// A batch that is being computed. The members that are not const are used only by the lane.
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
  // The stay of a call in the lane. The constructor returns when the call has the seat or is computed; the destructor
  // passes the seat on.
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

  // A row block to compute, and its call.
  struct Turn {
    Call* call = nullptr;
    RowBlock block;
    explicit operator bool() const { return call != nullptr; }
  };

  void enter(Call& call);
  void wait(Call& call);  // until it has the seat or is computed
  void leave(Call& call) noexcept;
  bool is_alone();  // whether there is only one call
  // The next row block of the call that is due first; none if the call in the seat has no row block left to take.
  Turn take();
  // To be called when a taken row block is computed, or has failed, which cancels the rest of its call.
  void put(const Turn& turn, std::exception_ptr failure) noexcept;

 private:
  Call& most_due() const;
  void advance(double tokens) noexcept;
  std::mutex mutex_;
  std::vector<Call*> calls_;  // in order of arrival
  Call* seated_ = nullptr;
  // With equal shares: the tokens that each present call would have computed by now, and the times at which the calls
  // that would still be running are due.
  double now_ = 0.0;
  std::multiset<double> sharing_;
};

}  // namespace liteft
