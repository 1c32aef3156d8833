// How many threads a kernel computes with.

#pragma once

#include <string>

namespace liteft::ort {

// The environment's LITEFT_THREADS where it is set, else the first number of its OMP_NUM_THREADS, else usable_cores.
// Throws std::invalid_argument where the one that counts is not a whole number from 1 to 1024.
int wanted_threads();

// Physical cores that the scheduler lets this process use, cut to the smallest quota of its control groups: the same
// count, for the same reasons, as liteft/runtime/cores.py. At least 1.
int usable_cores();

// Processors' worth of time that the process's own control group and those above it allow, the smallest; 0 where none
// sets a limit. `mounted`: where control groups are mounted; `own`: the file that names those of this process.
double cpu_quota(const std::string& mounted, const std::string& own);

}  // namespace liteft::ort
