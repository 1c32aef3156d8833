#include "engine/pool.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <utility>

namespace liteft {
namespace {

using Clock = std::chrono::steady_clock;

// How long a waiting thread spins before it sleeps. It waits for the other members of a job, and for the next job after
// one in which it took part, since texts are often classified one after the other, and waking up takes as long as a
// layer of a short text.
constexpr std::chrono::microseconds kBarrier{20}, kNextJob{100};

inline void pause_briefly() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Returns when the value is no longer `old`: spins for a while and then sleeps.
template <typename T>
T wait_while(const std::atomic<T>& value, T old, Clock::duration spinning) {
  const Clock::time_point begin = Clock::now();
  do {
    for (int spins = 0; spins < 16; ++spins) {
      if (const T now = value.load(std::memory_order_acquire); now != old) return now;
      pause_briefly();
    }
  } while (Clock::now() - begin < spinning);
  value.wait(old, std::memory_order_acquire);
  return value.load(std::memory_order_acquire);
}

}  // namespace

void Barrier::wait() {
  if (members_ == 1) return;
  const int round = round_.load(std::memory_order_acquire);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == members_) {
    arrived_.store(0, std::memory_order_relaxed);
    round_.store(round + 1);  // sequentially consistent: notify_all looks for sleepers afterwards
    round_.notify_all();
    return;
  }
  wait_while(round_, round, kBarrier);
}

Pool::Pool(int threads) : process_(getpid()) {
  try {
    for (int number = 1; number < threads; ++number) {
      workers_.emplace_back([this, number] { serve(static_cast<std::uint32_t>(number)); });
    }
  } catch (...) {  // the system has no more threads; those that were started must not outlive this object
    end();
    throw;
  }
}

bool Pool::is_whole() const { return workers_.empty() || process_ == getpid(); }

void Pool::check_whole() const {
  if (!is_whole())
    throw std::runtime_error("the classifier was made before this process was forked; make one in the child");
}

Pool::~Pool() { end(); }

void Pool::end() {
  work_ = nullptr;
  call(Ticket::kMostMembers);
  for (std::thread& worker : workers_) worker.join();
}

// Begins the next job, which is already in `work_`.
void Pool::call(std::uint32_t members) {
  ticket_.store(Ticket{Ticket::of(ticket_.load()).job + 1, members}.word());
  ticket_.notify_all();
}

void Pool::run(int members, const std::function<void(int)>& work) {
  members = std::min(members, threads());
  if (members <= 1) return work(0);
  check_whole();
  work_ = &work;
  left_.store(members - 1);
  call(static_cast<std::uint32_t>(members));
  attempt(work, 0);
  for (int left = left_.load(); left != 0;) left = wait_while(left_, left, kBarrier);
  if (const std::exception_ptr failure = std::exchange(failure_, nullptr)) std::rethrow_exception(failure);
}

void Pool::attempt(const std::function<void(int)>& work, int number) noexcept {
  try {
    work(number);
  } catch (...) {
    const std::lock_guard lock(failing_);
    if (!failure_) failure_ = std::current_exception();
  }
}

void Pool::serve(std::uint32_t number) {
  Clock::duration spinning{0};
  for (std::uint32_t seen = 0;;) {
    seen = wait_while(ticket_, seen, spinning);
    spinning = Clock::duration(0);
    if (number >= Ticket::of(seen).members) continue;
    if (!work_) return;
    attempt(*work_, static_cast<int>(number));
    if (left_.fetch_sub(1) == 1) left_.notify_one();
    spinning = kNextJob;
  }
}

}  // namespace liteft
