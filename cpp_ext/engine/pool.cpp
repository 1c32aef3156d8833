#include "engine/pool.h"

#include <unistd.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace liteft {
namespace {

constexpr int kSpins = 1000;

inline void pause_briefly() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
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
  for (int spins = 0; spins < kSpins; ++spins) {
    if (round_.load(std::memory_order_acquire) != round) return;
    pause_briefly();
  }
  round_.wait(round, std::memory_order_acquire);
}

Pool::Pool(int threads) : process_(getpid()) {
  try {
    for (int number = 1; number < threads; ++number) workers_.emplace_back([this, number] { serve(number); });
  } catch (...) {  // the system has no more threads: those that were started must not outlive this
    end();
    throw;
  }
}

bool Pool::is_whole() const { return workers_.empty() || process_ == getpid(); }

Pool::~Pool() { end(); }

void Pool::end() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void Pool::run(int members, const std::function<void(int)>& work) {
  if (members <= 1 || workers_.empty()) return work(0);
  if (!is_whole()) {
    throw std::runtime_error("the classifier was made before this process was forked; make one in the child");
  }
  const std::lock_guard turn(turn_);
  {
    const std::lock_guard lock(mutex_);
    work_ = &work;
    members_ = left_ = std::min(members, threads());
    ++job_;
  }
  wake_.notify_all();
  attempt(work, 0);
  std::exception_ptr failure;
  {
    std::unique_lock lock(mutex_);
    --left_;
    done_.wait(lock, [this] { return left_ == 0; });
    work_ = nullptr;
    failure = std::exchange(failure_, nullptr);
  }
  if (failure) std::rethrow_exception(failure);
}

void Pool::attempt(const std::function<void(int)>& work, int number) noexcept {
  try {
    work(number);
  } catch (...) {
    const std::lock_guard lock(mutex_);
    if (!failure_) failure_ = std::current_exception();
  }
}

void Pool::serve(int number) {
  unsigned long seen = 0;
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [&] { return ending_ || (job_ != seen && number < members_); });
    if (ending_) return;
    seen = job_;
    const std::function<void(int)>& work = *work_;
    lock.unlock();
    attempt(work, number);
    lock.lock();
    if (--left_ == 0) done_.notify_one();
  }
}

}  // namespace liteft
