// The inputs of a node that takes texts one after the other, as the library's own batch.

#pragma once

#include <cstdint>
#include <vector>

#include "liteft/liteft.h"
#include "ort/abi.h"

namespace liteft::ort {

class PackedInputs {
 public:
  // Reads ids (tokens), offsets (texts + 1) and, where the node has them, type ids (tokens), all int64. Throws
  // std::exception if they do not fit each other; the library checks the values.
  PackedInputs(const OrtApi* api, const OrtKernelContext* context, bool has_token_types);

  std::int32_t texts() const { return static_cast<std::int32_t>(offsets_.size()) - 1; }
  // Points into this object.
  liteft_batch batch() const;

 private:
  std::vector<std::int32_t> ids_, types_, offsets_;
};

}  // namespace liteft::ort
