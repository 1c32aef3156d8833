// The tuning cache: small files with the results of autotuning, one record per line, each with a checksum.

#pragma once

#include <string>
#include <vector>

namespace liteft::cuda {

// The intact records of a file; `spoilt` becomes true if there are damaged ones. Empty if there is no file.
std::vector<std::string> read_tuning_cache(const std::string& path, bool* spoilt);

// Replaces a file, and creates its folder; other processes see either the old or the new file. A failure is not an
// error.
void write_tuning_cache(const std::string& path, const std::vector<std::string>& records);

}  // namespace liteft::cuda
