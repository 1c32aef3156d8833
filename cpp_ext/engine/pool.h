// Threads that wait for work, and a barrier for those that share a piece of it. A waiting thread spins for some
// microseconds, then sleeps: an idle classifier takes no processor time.

#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace liteft {

// A barrier for a fixed number of threads. They arrive close together, so those that wait spin; but not for long, since
// on a busy machine the missing one may need the core. Nothing may throw between two barriers: the others would wait
// forever.
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
  // `threads` counts the caller of run, too.
  explicit Pool(int threads);
  ~Pool();
  int threads() const { return static_cast<int>(workers_.size()) + 1; }
  // False in a forked child, which has none of the threads: it may neither run nor destroy the pool.
  bool is_whole() const;
  void check_whole() const;  // throws std::runtime_error
  // Calls work(0) here and work(1) ... work(members - 1) on other threads, and returns when all have returned; what one
  // of them threw is thrown here then. One call at a time.
  void run(int members, const std::function<void(int)>& work);

 private:
  // A job's number, and how many take part in it: in one word, so that nobody sees the one without the other.
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
  const std::function<void(int)>* work_ = nullptr;  // nullptr: the workers are to end
  std::mutex failing_;
  std::exception_ptr failure_;
  std::atomic<std::uint32_t> ticket_{0};
  std::atomic<int> left_{0};  // workers that have not returned from the job
  std::vector<std::thread> workers_;
};

}  // namespace liteft
