#include "ort/cores.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <set>
#include <string>
#include <thread>

#if defined(__linux__)
#include <sched.h>
#endif

#include "engine/refuse.h"

namespace liteft::ort {
namespace {

constexpr long kMostThreads = 1024;

#if defined(__linux__)
// Name of the physical core that a logical processor belongs to.
std::string siblings(int cpu) {
  const std::string number = std::to_string(cpu);
  std::ifstream file("/sys/devices/system/cpu/cpu" + number + "/topology/thread_siblings_list");
  std::string name;
  return file >> name ? name : number;
}

int allowed_cores() {
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return 0;  // more processors than the set has places for
  std::set<std::string> cores;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &allowed)) cores.insert(siblings(cpu));
  }
  return static_cast<int>(cores.size());
}

// Processors' worth of time that the control group allows; 0 where it sets no limit.
double quota() {
  double limit = 0.0, period = 0.0;
  std::ifstream group("/sys/fs/cgroup/cpu.max");
  if (group.is_open()) {
    if (!(group >> limit >> period)) return 0.0;  // "max": no limit
  } else {
    std::ifstream limit_file("/sys/fs/cgroup/cpu/cpu.cfs_quota_us");
    std::ifstream period_file("/sys/fs/cgroup/cpu/cpu.cfs_period_us");
    if (!(limit_file >> limit) || !(period_file >> period)) return 0.0;
  }
  return limit > 0.0 && period > 0.0 ? limit / period : 0.0;
}
#else
int allowed_cores() { return 0; }
double quota() { return 0.0; }
#endif

}  // namespace

int usable_cores() {
  int cores = allowed_cores();
  if (cores == 0) cores = static_cast<int>(std::thread::hardware_concurrency());
  const double share = quota();
  if (share > 0.0) cores = static_cast<int>(std::min<double>(cores, std::ceil(share)));
  return std::clamp(cores, 1, static_cast<int>(kMostThreads));
}

int wanted_threads() {
  const char* text = std::getenv("LITEFT_THREADS");
  if (!text || !*text) return usable_cores();
  char* end = nullptr;
  const long threads = std::strtol(text, &end, 10);
  if (*end || threads < 1 || threads > kMostThreads) {
    refuse("the environment's LITEFT_THREADS is '" + std::string(text) + "', and a whole number from 1 to " +
           std::to_string(kMostThreads) + " was expected");
  }
  return static_cast<int>(threads);
}

}  // namespace liteft::ort
