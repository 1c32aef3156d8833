// One node of a session: a classifier made of the node's attributes and constant inputs.

#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "liteft/liteft.h"
#include "ort/abi.h"
#include "ort/target.h"

namespace liteft::ort {

// What the operator's name says: logits of texts in a rectangle; of tokens in one, from a node without pooling; or of
// texts one after the other, without padding.
enum class Kind { texts, tokens, ragged };

class Kernel {
 public:
  // Throws std::exception, with what the node lacks or the library's error.
  Kernel(const OrtApi* api, const OrtKernelInfo* info, const Target& target, Kind kind);
  ~Kernel();
  Kernel(const Kernel&) = delete;
  Kernel& operator=(const Kernel&) = delete;

  // Reads ids, mask or offsets, and type ids, and writes logits. May be called from any number of threads. Throws as
  // the constructor.
  void compute(OrtKernelContext* context);
  const OrtApi* api() const { return api_; }

 private:
  struct Free {
    void operator()(liteft_classifier* classifier) const { liteft_destroy(classifier); }
  };
  void compute_padded(OrtKernelContext* context);
  void compute_packed(OrtKernelContext* context);
  // Where the logits go, an output of this shape.
  float* logits(OrtKernelContext* context, const std::vector<std::int64_t>& shape) const;
  void count();

  const OrtApi* const api_;
  const Kind kind_;
  bool has_token_types_ = false;
  int labels_ = 0;
  std::unique_ptr<liteft_classifier, Free> classifier_;
  std::atomic<std::uint64_t> calls_{0}, rows_{0};  // of this kernel, as far as they are in the process's counters
};

}  // namespace liteft::ort
