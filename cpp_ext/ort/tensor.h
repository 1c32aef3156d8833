// ONNX Runtime's calls with their errors as exceptions, and tensors as a description and a pointer.

#pragma once

#include <cstdint>
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

// An input of a run that has to be int64. Throws std::exception, naming it, if it is missing or of another type.
Tensor read_input(const OrtApi* api, const OrtKernelContext* context, std::size_t place, const char* name);

// The value as the library takes it. Throws std::exception, saying what it is, if 32 bits do not hold it.
std::int32_t narrow(std::int64_t value, const std::string& what);

// "(3, 17)"
std::string shape_text(const std::vector<std::int64_t>& dimensions);

}  // namespace liteft::ort
