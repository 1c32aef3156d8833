// ONNX Runtime's calls with their errors as exceptions, and tensors as a description and a pointer.

#pragma once

#include <string>
#include <vector>

#include "ort/abi.h"

namespace liteft::ort {

// Releases the status, and throws std::runtime_error with its text if it is an error.
void check(const OrtApi* api, OrtStatus* status);

struct Tensor {
  ElementType type = kUndefined;
  std::vector<std::int64_t> dimensions;
  const void* values = nullptr;
};

Tensor read_tensor(const OrtApi* api, const OrtValue* value);

// "(3, 17)"
std::string shape_text(const std::vector<std::int64_t>& dimensions);

}  // namespace liteft::ort
