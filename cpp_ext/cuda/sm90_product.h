// Products on Hopper (compute capability 9.0), with what follows them. They read the number of rows on the device, and
// their grid depends on the GPU alone: one launch, and one graph, serves every number of rows.

#pragma once

#include <cuda.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "cuda/kernels.h"
#include "cuda/sm90_tensor_map.h"

namespace liteft::cuda {

// x (rows, inputs), weights (inputs, outputs), row-major; inputs and outputs are multiples of 64.
template <typename T>
struct Sm90Product {
  CUtensorMap x, weights;
  const float* bias;
  int inputs, outputs;
  const std::int32_t* rows;  // in device memory
  T* out;                    // (rows, outputs)
};

template <typename T>
struct Sm90LayerNorm {
  Sm90Product<T> product;
  CUtensorMap residual;  // of (rows, outputs); may be that of `out`
  const float *gamma, *beta;
  float epsilon;
};

// The maps of rows of x or of a residual, and of weights. `most` is how many rows there is room for; rows beyond the
// count are read, but change nothing.
template <typename T>
CUtensorMap sm90_map(const T* values, int most, int columns) {
  return tensor_map(std::is_same_v<T, __half>, values, most, columns);
}

// out = act(x weights + bias)
template <typename T>
void sm90_matmul_activate(const Sm90Product<T>& given, Act act, int multiprocessors, cudaStream_t stream);
// out = LayerNorm(x weights + bias + residual)
template <typename T>
void sm90_matmul_layer_norm(const Sm90LayerNorm<T>& given, int multiprocessors, cudaStream_t stream);
// Whether there is a kernel for such a product with LayerNorm.
bool sm90_norms(int inputs, int width);

// Load the kernels, as load_kernels does. Only where the compute capability is 9.0.
template <typename T>
void load_sm90_activation();
template <typename T>
void load_sm90_layer_norm();
template <typename T>
void load_sm90_kernels() {
  load_sm90_activation<T>();
  load_sm90_layer_norm<T>();
}
// Whether the library was built with their code (sm_90a), rather than with that of other architectures, where they do
// nothing.
bool holds_sm90_kernels();

}  // namespace liteft::cuda
