// Small files of what was measured once: a record a line, each with a sum over it.

#pragma once

#include <string>
#include <vector>

namespace liteft::cuda {

// The records of a file that are whole; `spoilt` says whether others were there. No file has none.
std::vector<std::string> read_records(const std::string& path, bool* spoilt);

// Replaces a file, making its folder; other processes see the old one or the new one. A failure is no error.
void write_records(const std::string& path, const std::vector<std::string>& records);

}  // namespace liteft::cuda
