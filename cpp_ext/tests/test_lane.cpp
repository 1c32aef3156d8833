// Turns in the lane, taken by hand: a short text goes ahead of batches, and nobody waits longer than by equal shares.

#include <algorithm>
#include <deque>
#include <memory>
#include <random>
#include <stdexcept>
#include <vector>

#include "engine/lane.h"
#include "tests/expect.h"

namespace liteft {
namespace {

constexpr int kBlock = 10;  // tokens

// A call of row blocks of one text each, and all that it refers to.
struct Caller {
  explicit Caller(int block_count) : offsets(block_count + 1) {
    for (int text = 0; text < block_count; ++text) {
      offsets[text + 1] = kBlock * (text + 1);
      blocks.push_back({text, text + 1});
    }
    batch.texts = block_count;
    batch.offsets = offsets.data();
  }
  bool is_computed() const { return call.computed == blocks.size(); }

  std::vector<std::int32_t> offsets;
  std::vector<RowBlock> blocks;
  Batch batch;
  Call call{batch, blocks, {}, nullptr};
};

// Computes the next row block, and returns whose it was.
Call* step(Lane& lane, std::exception_ptr failure = nullptr) {
  const Lane::Turn turn = lane.take();
  if (turn) lane.put(turn, failure);
  return turn.call;
}

void a_short_call_goes_ahead() {
  Lane lane;
  Caller first(8), second(8), single(1);
  lane.enter(first.call);
  EXPECT(lane.is_alone());
  lane.enter(second.call);
  EXPECT(!lane.is_alone());
  EXPECT(step(lane) == &first.call);
  lane.enter(single.call);
  EXPECT(step(lane) == &single.call);
  EXPECT(single.is_computed());
  lane.leave(single.call);
  for (int block = 1; block < 8; ++block) EXPECT(step(lane) == &first.call);
  EXPECT(step(lane) == nullptr);  // whoever has the seat is computed: it leaves first
  lane.leave(first.call);
  for (int block = 0; block < 8; ++block) EXPECT(step(lane) == &second.call);
  lane.leave(second.call);
}

void a_failed_call_is_given_up() {
  Lane lane;
  Caller broken(8), sound(2);
  lane.enter(broken.call);
  lane.enter(sound.call);
  EXPECT(step(lane) == &sound.call);
  EXPECT(step(lane) == &sound.call);
  lane.leave(sound.call);
  EXPECT(step(lane, std::make_exception_ptr(std::runtime_error("no memory"))) == &broken.call);
  EXPECT(broken.is_computed() && broken.call.failure && !sound.call.failure);
  EXPECT(step(lane) == nullptr);
  lane.leave(broken.call);
}

// When each call would end if all of them shared the machine equally; time is counted in tokens.
std::vector<double> equal_shares(const std::vector<double>& arrivals, std::vector<double> left) {
  std::vector<double> ends(left.size(), -1.0);
  double now = 0.0;
  for (std::size_t arrived = 0;;) {
    double least = 1e300;
    int sharers = 0;
    while (arrived < arrivals.size() && arrivals[arrived] <= now) ++arrived;
    for (std::size_t each = 0; each < arrived; ++each) {
      if (ends[each] >= 0.0) continue;
      ++sharers;
      least = std::min(least, left[each]);
    }
    if (!sharers && arrived == arrivals.size()) return ends;
    const double next = arrived < arrivals.size() ? arrivals[arrived] : 1e300;
    const double until = sharers ? std::min(next, now + least * sharers) : next;
    for (std::size_t each = 0; each < arrived; ++each) {
      if (ends[each] >= 0.0) continue;
      left[each] -= (until - now) / sharers;
      if (left[each] < 1e-6) ends[each] = until;
    }
    now = until;
  }
}

// One thread computes; a call that arrives within a row block waits for its end, and that is all it may lose.
void no_call_ends_later_than_by_equal_shares() {
  std::mt19937 random(5);
  for (int round = 0; round < 200; ++round) {
    Lane lane;
    std::deque<Caller> callers;
    std::vector<double> arrivals, tokens, ends;
    std::vector<std::size_t> here;
    double now = 0.0;
    const int count = 3 + static_cast<int>(random() % 40), pause = 1 + static_cast<int>(random() % 300);
    for (int number = 0; number < count; ++number) {
      arrivals.push_back((number ? arrivals.back() : 0.0) + static_cast<double>(random() % pause));
      callers.emplace_back(random() % 2 ? 1 : 1 + static_cast<int>(random() % 30));
      tokens.push_back(kBlock * static_cast<double>(callers.back().blocks.size()));
    }
    ends.resize(count);
    for (std::size_t arrived = 0; arrived < callers.size() || !here.empty();) {
      if (here.empty()) now = std::max(now, arrivals[arrived]);
      for (; arrived < callers.size() && arrivals[arrived] <= now; ++arrived) {
        lane.enter(callers[arrived].call);
        here.push_back(arrived);
      }
      if (step(lane)) now += kBlock;
      std::erase_if(here, [&](std::size_t each) {
        if (!callers[each].is_computed()) return false;
        ends[each] = now;
        lane.leave(callers[each].call);
        return true;
      });
    }
    const std::vector<double> shared = equal_shares(arrivals, tokens);
    for (int each = 0; each < count; ++each) EXPECT(ends[each] <= shared[each] + 2 * kBlock + 1e-6);
  }
}

}  // namespace
}  // namespace liteft

int main() {
  liteft::a_short_call_goes_ahead();
  liteft::a_failed_call_is_given_up();
  liteft::no_call_ends_later_than_by_equal_shares();
  std::printf("%d failures\n", failures);
  return failures != 0;
}
