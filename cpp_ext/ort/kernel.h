// One node of a session: a classifier made of the node's attributes and constant inputs.

#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "liteft/liteft.h"
#include "ort/abi.h"
#include "ort/target.h"

namespace liteft::ort {

class Kernel {
 public:
  // `per_token` is what the operator's name says: logits of every token, from a node without pooling. Throws
  // std::exception, with what the node lacks or the library's error.
  Kernel(const OrtApi* api, const OrtKernelInfo* info, const Target& target, bool per_token);
  ~Kernel();
  Kernel(const Kernel&) = delete;
  Kernel& operator=(const Kernel&) = delete;

  // Reads ids, mask and type ids, and writes logits. May be called from any number of threads. Throws as the
  // constructor.
  void compute(OrtKernelContext* context);
  const OrtApi* api() const { return api_; }

 private:
  struct Free {
    void operator()(liteft_classifier* classifier) const { liteft_destroy(classifier); }
  };
  void count();

  const OrtApi* const api_;
  const bool per_token_;
  bool has_token_types_ = false;
  int labels_ = 0;
  std::unique_ptr<liteft_classifier, Free> classifier_;
  std::atomic<std::uint64_t> calls_{0}, rows_{0};  // of this kernel, as far as they are in the process's counters
};

}  // namespace liteft::ort
