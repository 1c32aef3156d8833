// The tuning cache: small files of what was measured once, one record per line, each with a checksum.

#pragma once

#include <string>
#include <vector>

namespace liteft::cuda {

// The intact records of a file; `spoilt` becomes true if there were others. Empty where there is no file.
std::vector<std::string> read_tuning_cache(const std::string& path, bool* spoilt);

// Replaces a file, making its folder; other processes see the old one or the new one. A failure is no error.
void write_tuning_cache(const std::string& path, const std::vector<std::string>& records);

}  // namespace liteft::cuda
