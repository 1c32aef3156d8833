// The interface of what runs a model: the CPU engine or the GPU engine.

#pragma once

#include <atomic>
#include <cstdint>

#include "engine/batch.h"

namespace liteft {

class Runner {
 public:
  virtual ~Runner() = default;
  // Computes logits, (texts, labels) or, without pooling, (tokens, labels), of a batch that has been checked. May be
  // called from any number of threads at once.
  virtual void run(const Batch& batch, float* logits) = 0;
  virtual const ModelShape& shape() const = 0;
  // False in a forked child that inherited the runner, where it must not be destroyed.
  virtual bool is_whole() const = 0;

  std::uint64_t rows() const { return rows_.load(); }
  std::uint64_t calls() const { return calls_.load(); }

 protected:
  std::atomic<std::uint64_t> rows_{0}, calls_{0};
};

}  // namespace liteft
