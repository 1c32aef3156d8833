// Threads that wait for work, and a barrier for threads that share a job. A waiting thread spins for some microseconds
// and then sleeps, so an idle classifier takes no processor time.

#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace liteft {

// A barrier for a fixed number of threads. They usually arrive close together, so waiting threads spin; but not for
// long, since on a busy machine the missing thread may need the core. Nothing may throw between two barriers, since the
// other threads would wait forever.
class Barrier {
 public:
  explicit Barrier(int members) : members_(members) {}
  void wait();

 private:
  const int members_;
  std::atomic<int> arrived_{0};
  std::atomic<int> round_{0};
};

class Pool {
 public:
  // `threads` includes the caller of run.
  explicit Pool(int threads);
  ~Pool();
  int threads() const { return static_cast<int>(workers_.size()) + 1; }
  // False in a forked child, which does not have the threads: it must neither run nor destroy the pool.
  bool is_whole() const;
  void check_whole() const;  // throws std::runtime_error
  // Calls work(0) in this thread and work(1) ... work(members - 1) in others, and returns when all have returned. If
  // one of them threw, its exception is rethrown then. Only one call at a time is allowed.
  void run(int members, const std::function<void(int)>& work);

 private:
  // A job's number and how many threads take part in it, in one atomic word so that both are always read together.
  struct Ticket {
    static constexpr std::uint32_t kMostMembers = 2047;  // the C API allows 1,024 threads
    std::uint32_t job, members;
    static Ticket of(std::uint32_t word) { return {word >> 11, word & kMostMembers}; }
    std::uint32_t word() const { return job << 11 | members; }
  };
  void serve(std::uint32_t number);
  void attempt(const std::function<void(int)>& work, int number) noexcept;
  void call(std::uint32_t members);
  void end();
  const int process_;                               // threads do not follow a fork
  const std::function<void(int)>* work_ = nullptr;  // nullptr tells the workers to end
  std::mutex failing_;
  std::exception_ptr failure_;
  std::atomic<std::uint32_t> ticket_{0};
  std::atomic<int> left_{0};  // workers that have not returned from the job
  std::vector<std::thread> workers_;
};

}  // namespace liteft
