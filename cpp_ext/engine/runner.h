// What runs a model: the engine of the CPU, or that of a GPU.

#pragma once

#include <atomic>
#include <cstdint>

#include "engine/batch.h"

namespace liteft {

class Runner {
 public:
  virtual ~Runner() = default;
  // logits: (texts, labels). The batch has been checked. From any number of threads.
  virtual void run(const Batch& batch, float* logits) = 0;
  virtual const ModelShape& shape() const = 0;
  // False in a forked child that inherited the runner: it may not be destroyed there.
  virtual bool is_whole() const = 0;

  std::uint64_t rows() const { return rows_.load(); }
  std::uint64_t calls() const { return calls_.load(); }

 protected:
  std::atomic<std::uint64_t> rows_{0}, calls_{0};
};

}  // namespace liteft
