// A model on a GPU: what libliteft knows of libliteft_cuda, which it opens when the first such model is asked for.

#pragma once

#include <memory>
#include <string>

#include "engine/runner.h"
#include "liteft/liteft.h"

namespace liteft {

struct CudaSettings {
  int device = 0;
  const char* cublas = nullptr;  // folders, joined by colons
  const char* cache = nullptr;   // a folder
};

// Throws std::invalid_argument where the weights do not fit, as `build` does, and std::runtime_error where there is no
// libliteft_cuda, or no GPU for it, or no room for the model.
std::unique_ptr<Runner> make_cuda_engine(const liteft_shape& shape, const liteft_weight* weights, int count,
                                         int precision, const CudaSettings& settings);

// What the GPU is. Throws as above.
std::string describe_gpu(const CudaSettings& settings);

}  // namespace liteft
