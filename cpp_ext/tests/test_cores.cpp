// Which quotas of control groups count, on made-up trees, and which variables say how many threads there are.

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>

#include "ort/cores.h"
#include "tests/expect.h"

using namespace liteft::ort;
namespace fs = std::filesystem;

namespace {

void write(const fs::path& file, const std::string& text) {
  fs::create_directories(file.parent_path());
  std::ofstream(file) << text << "\n";
}

// A folder that goes with it.
struct Tree {
  fs::path root;
  Tree() {
    std::string name = (fs::temp_directory_path() / "liteft-cores-XXXXXX").string();
    if (!mkdtemp(name.data())) throw std::runtime_error("no temporary folder");
    root = name;
  }
  ~Tree() { fs::remove_all(root); }
  double quota(const std::string& own) const {
    write(root / "own", own);
    return cpu_quota(root.string(), (root / "own").string());
  }
};

void the_smallest_quota_from_the_own_group_to_the_root_counts() {
  const Tree tree;
  EXPECT(tree.quota("0::/app.slice/web.service") == 0.0);
  write(tree.root / "app.slice/web.service/cpu.max", "max 100000");
  write(tree.root / "app.slice/other.service/cpu.max", "10000 100000");
  EXPECT(tree.quota("0::/app.slice/web.service") == 0.0);
  write(tree.root / "app.slice/cpu.max", "150000 100000");
  EXPECT(tree.quota("0::/app.slice/web.service") == 1.5);
  write(tree.root / "app.slice/web.service/cpu.max", "300000 100000");
  EXPECT(tree.quota("0::/app.slice/web.service") == 1.5);
  write(tree.root / "cpu.max", "50000 100000");
  EXPECT(tree.quota("0::/app.slice/web.service") == 0.5);
  EXPECT(tree.quota("0::/") == 0.5 && tree.quota("0::/docker/not-seen-here") == 0.5 && tree.quota("broken") == 0.5);
}

void groups_of_the_first_version_count_too() {
  const Tree tree;
  write(tree.root / "cpu/docker/a/cpu.cfs_quota_us", "200000");
  write(tree.root / "cpu/docker/a/cpu.cfs_period_us", "100000");
  write(tree.root / "memory/docker/a/cpu.max", "1000 100000");
  EXPECT(tree.quota("4:memory:/docker/a\n1:cpu,cpuacct:/docker/a\n0::/") == 2.0);
  EXPECT(tree.quota("1:cpuacct:/docker/a") == 0.0);
  write(tree.root / "cpu/docker/a/cpu.cfs_quota_us", "-1");
  EXPECT(tree.quota("1:cpu:/docker/a") == 0.0);
  write(tree.root / "cpu,cpuacct/b/cpu.cfs_quota_us", "100000");
  write(tree.root / "cpu,cpuacct/b/cpu.cfs_period_us", "100000");
  EXPECT(tree.quota("1:cpu,cpuacct:/b") == 1.0 && tree.quota("1:cpu,cpuacct:/../b") == 0.0);
}

bool refused() {
  try {
    wanted_threads();
    return false;
  } catch (const std::invalid_argument&) {
    return true;
  }
}

void liteft_threads_comes_before_omp_num_threads() {
  unsetenv("LITEFT_THREADS");
  unsetenv("OMP_NUM_THREADS");
  EXPECT(wanted_threads() == usable_cores());
  setenv("OMP_NUM_THREADS", "5,2", 1);
  EXPECT(wanted_threads() == 5);
  setenv("LITEFT_THREADS", "3", 1);
  EXPECT(wanted_threads() == 3);
  setenv("LITEFT_THREADS", " 4 ", 1);  // as docker's --env-file leaves it
  EXPECT(wanted_threads() == 4);
  for (const char* unset : {"", " ", "\t"}) {
    setenv("LITEFT_THREADS", unset, 1);
    EXPECT(wanted_threads() == 5);
  }
  setenv("OMP_NUM_THREADS", " 6 , 2", 1);
  EXPECT(wanted_threads() == 6);
  for (const char* wrong : {"0", "many", ",2", "1025", "2.5", "+3", "4x", "99999999999"}) {
    setenv("OMP_NUM_THREADS", wrong, 1);
    EXPECT(refused());
  }
}

}  // namespace

int main() {
  the_smallest_quota_from_the_own_group_to_the_root_counts();
  groups_of_the_first_version_count_too();
  liteft_threads_comes_before_omp_num_threads();
  std::printf("%d failures\n", failures);
  return failures != 0;
}
