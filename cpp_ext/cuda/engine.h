// Runs a model on one GPU: batches are split into chunks, and a chunk runs in an execution slot, which has its own
// stream.

#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "cuda/api.h"
#include "cuda/fusion_table.h"
#include "cuda/plan.h"
#include "cuda/execution_slot.h"

namespace liteft::cuda {

class AnyEngine {
 public:
  virtual ~AnyEngine() = default;
  virtual void run(const liteft_batch& batch, float* logits) = 0;
  // Milliseconds of a batch on the GPU, without copies: the mean over `runs` of each chunk.
  virtual double time(const liteft_batch& batch, int runs) = 0;
  // Milliseconds of one pass over batches that are already on the GPU: all chunks, one after the other.
  virtual double time_pass(const liteft_batch* batches, int count) = 0;
};

struct Settings {
  int device = 0;
  std::string folders;
  std::string cache;
  Policy policy = Policy::measured;  // which steps are fused
  int most_rows = 0;                 // of a chunk; 0: as many as the second-level cache holds (rows_for_width)
  int slots = 0;                     // runs at a time, others wait; 0: two, or one if there is no memory for two
  int most_graphs = 512;             // of an execution slot; the least recently used one is removed
};

// precision: LITEFT_BF16, LITEFT_FP16, or LITEFT_INT8 for weights some of which are int8: what is not, is computed in
// bf16, or in fp16 on a GPU without it. Throws std::invalid_argument for a model that the kernels do not support, and
// std::runtime_error if there is no suitable GPU.
std::unique_ptr<AnyEngine> make_engine(const liteft_shape& shape, const liteft_weight* weights, int count,
                                       int precision, const Settings& settings);

// Rows of a chunk from the environment variable LITEFT_CUDA_ROWS, 256 to 65,536, for measurements. Throws
// std::invalid_argument for other values.
int rows_from_environment(int otherwise);

// Execution slots, 1 to 64; of 0 those in the environment variable LITEFT_CUDA_SLOTS or, without it, 0. Throws
// std::invalid_argument for other values.
int checked_slots(int asked);

// Whether to fuse, from the environment variable LITEFT_CUDA_FUSE, "always" (wherever a kernel supports the shape),
// "hopper" (by kernels for Hopper's tensor cores, where they do), "whole" (short chunks by one kernel), "cautious"
// (measured, without those two) or "never", for tests and measurements. Throws std::invalid_argument for other values.
Policy policy_from_environment(Policy otherwise);

// The GPU and the versions of driver and cublasLt, in one line. Throws std::runtime_error if one of them is missing or
// too old, if the library was not built for the GPU, and after a fork. Starts CUDA on the GPU.
std::string describe(const Settings& settings);

}  // namespace liteft::cuda
