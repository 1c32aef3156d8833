// Determines with how many threads a kernel computes.

#pragma once

#include <string>

namespace liteft::ort {

// The environment variable LITEFT_THREADS if it is set, or else the first number of OMP_NUM_THREADS, or else
// usable_cores. Throws std::invalid_argument if the value that is used is not a whole number from 1 to 1024.
int wanted_threads();

// Physical cores that the scheduler lets this process use, limited by the smallest quota of its control groups; at
// least 1. The count is the same, for the same reasons, as in liteft/runtime/cores.py.
int usable_cores();

// The smallest quota of the process's own control group and those above it, in processors; 0 if none sets a limit.
// `mounted` is where control groups are mounted, `own` the file that names those of this process.
double cpu_quota(const std::string& mounted, const std::string& own);

}  // namespace liteft::ort
