#include "cuda/tuning_cache.h"

#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace liteft::cuda {
namespace {

// FNV-1a.
std::uint64_t sum_of(const std::string& text) {
  std::uint64_t sum = 14695981039346656037u;
  for (const unsigned char each : text) sum = (sum ^ each) * 1099511628211u;
  return sum;
}

std::string with_sum(const std::string& record) {
  std::ostringstream line;
  line << record << ' ' << std::hex << sum_of(record);
  return line.str();
}

}  // namespace

std::vector<std::string> read_tuning_cache(const std::string& path, bool* spoilt) {
  std::vector<std::string> records;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const std::string record = line.substr(0, line.rfind(' '));
    if (with_sum(record) == line)
      records.push_back(record);
    else
      *spoilt = true;
  }
  return records;
}

void write_tuning_cache(const std::string& path, const std::vector<std::string>& records) {
  const std::filesystem::path final(path), draft(path + "." + std::to_string(getpid()));
  std::error_code ignored;
  std::filesystem::create_directories(final.parent_path(), ignored);
  {
    std::ofstream file(draft);
    for (const std::string& record : records) file << with_sum(record) << '\n';
    if (!file.flush()) return;
  }
  std::filesystem::rename(draft, final, ignored);
}

}  // namespace liteft::cuda
