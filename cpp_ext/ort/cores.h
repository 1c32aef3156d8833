// How many threads a kernel computes with.

#pragma once

namespace liteft::ort {

// The environment's LITEFT_THREADS where it is set, else usable_cores. Throws std::invalid_argument where it is not a
// whole number from 1 to 1024.
int wanted_threads();

// Physical cores that the scheduler lets this process use, cut to the container's quota: the same count, for the same
// reasons, as liteft/runtime/cores.py. At least 1.
int usable_cores();

}  // namespace liteft::ort
