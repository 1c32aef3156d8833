#include "ort/cores.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>
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

#else
int allowed_cores() { return 0; }
#endif

// The quota of one control group of either version, in processors; 0 if it sets no limit.
double group_quota(const std::string& group) {
  double limit = 0.0, period = 0.0;
  std::ifstream both(group + "/cpu.max");
  if (both.is_open()) {
    if (!(both >> limit >> period)) return 0.0;  // "max": no limit
  } else {
    std::ifstream limit_file(group + "/cpu.cfs_quota_us");
    std::ifstream period_file(group + "/cpu.cfs_period_us");
    if (!(limit_file >> limit) || !(period_file >> period)) return 0.0;
  }
  return limit > 0.0 && period > 0.0 ? limit / period : 0.0;
}

bool has_word(const std::string& words, const std::string& wanted, char separator) {
  std::istringstream stream(words);
  for (std::string word; std::getline(stream, word, separator);) {
    if (word == wanted) return true;
  }
  return false;
}

// Removes spaces at the ends, which Python's reader of the same variables ignores too.
std::string trimmed(const std::string& text) {
  const char* spaces = " \t\r\n\v\f";
  const std::size_t first = text.find_first_not_of(spaces);
  return first == std::string::npos ? "" : text.substr(first, text.find_last_not_of(spaces) - first + 1);
}

// The value of an environment variable; "" if it is not set.
std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? trimmed(value) : "";
}

// The value of LITEFT_THREADS or OMP_NUM_THREADS.
int checked_threads(const std::string& name, const std::string& text, const std::string& number) {
  const bool digits =
      !number.empty() && number.size() < 9 && number.find_first_not_of("0123456789") == std::string::npos;
  const int threads = digits ? std::stoi(number) : 0;
  if (threads < 1 || threads > static_cast<int>(kMostThreads)) {
    refuse("the environment's " + name + " is '" + text + "', and a whole number from 1 to " +
           std::to_string(kMostThreads) + " was expected");
  }
  return threads;
}

}  // namespace

double cpu_quota(const std::string& mounted, const std::string& own) {
  double smallest = 0.0;
  const auto look = [&](const std::string& group) {
    const double quota = group_quota(group);
    if (quota > 0.0 && (smallest == 0.0 || quota < smallest)) smallest = quota;
  };
  look(mounted);
  look(mounted + "/cpu");
  std::ifstream file(own);
  for (std::string line; std::getline(file, line);) {  // number:controllers:/name
    const std::size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    if (!controllers.empty() && !has_word(controllers, "cpu", ',')) continue;
    std::string name = line.substr(second + 1);
    if (has_word(name, "..", '/')) continue;  // outside of what is mounted here
    const std::string mounts[] = {mounted + (controllers.empty() ? "" : "/cpu"),
                                  mounted + "/" + (controllers.empty() ? "unified" : controllers)};
    while (!name.empty()) {  // the own group, and those above it; where a container does not see them, the root alone
                             // counts
      for (const std::string& mount : mounts) look(mount + name);
      name.erase(name.rfind('/') == std::string::npos ? 0 : name.rfind('/'));
    }
    for (const std::string& mount : mounts) look(mount);
  }
  return smallest;
}

int usable_cores() {
  int cores = allowed_cores();
  if (cores == 0) cores = static_cast<int>(std::thread::hardware_concurrency());
  const double share = cpu_quota("/sys/fs/cgroup", "/proc/self/cgroup");
  if (share > 0.0) cores = static_cast<int>(std::min<double>(cores, std::ceil(share)));
  return std::clamp(cores, 1, static_cast<int>(kMostThreads));
}

int wanted_threads() {
  const std::string own = variable("LITEFT_THREADS");
  if (!own.empty()) return checked_threads("LITEFT_THREADS", own, own);
  const std::string others = variable("OMP_NUM_THREADS");  // a number for each level of nesting, joined by commas
  if (others.empty()) return usable_cores();
  return checked_threads("OMP_NUM_THREADS", others, trimmed(others.substr(0, others.find(','))));
}

}  // namespace liteft::ort
