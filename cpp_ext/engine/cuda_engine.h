// Runs a model on a GPU through libliteft_cuda, which libliteft opens when a model is first requested for a GPU.

#pragma once

#include <memory>
#include <string>

#include "engine/runner.h"
#include "liteft/liteft.h"

namespace liteft {

struct CudaSettings {
  int device = 0;
  int slots = 0;                 // calls at a time; 0: as liteft_create_cuda says
  const char* cublas = nullptr;  // folders, joined by colons
  const char* cache = nullptr;   // a folder
};

// Throws std::invalid_argument if the weights do not fit the shape, as `build` does, and std::runtime_error if
// libliteft_cuda, a GPU that it supports, or memory for the model is missing.
std::unique_ptr<Runner> make_cuda_engine(const liteft_shape& shape, const liteft_weight* weights, int count,
                                         int precision, const CudaSettings& settings);

// Describes the GPU in a line of text. Throws as above.
std::string describe_gpu(const CudaSettings& settings);

}  // namespace liteft
