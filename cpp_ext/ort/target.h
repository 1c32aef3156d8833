// Where a session's kernels compute, from its options when the operator was registered.

#pragma once

#include <string>

#include "ort/abi.h"

namespace liteft::ort {

struct Target {
  bool cuda = false;
  int device = 0;
  int precision = 0;  // on a GPU: LITEFT_BF16 or LITEFT_FP16
  std::string cublas, cache;
  auto operator<=>(const Target&) const = default;
};

// Reads liteft.device ("cpu", which is the default, "cuda" or "cuda:NUMBER"), liteft.precision ("bf16", which is the
// default, or "fp16"; on a GPU alone), liteft.cublas (folders, joined by colons) and liteft.cache (a folder). Throws
// std::invalid_argument, naming the entry, for any other value.
Target read_target(const OrtApi* api, const OrtSessionOptions* options);

}  // namespace liteft::ort
