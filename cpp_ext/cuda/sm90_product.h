// Products on Hopper (compute capability 9.0), with what follows them. They read the number of rows on the device, and
// their grid depends on the GPU alone: one launch, and one graph, serves every number of rows.

#pragma once

#include <cuda.h>
#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

#include "cuda/kernels.h"

namespace liteft::cuda {

// out = act(x weights + bias); x (rows, inputs), weights (inputs, outputs), row-major, both multiples of 64.
template <typename T>
struct Sm90Activation {
  CUtensorMap x, weights;
  const float* bias;
  Act act;
  int inputs, outputs;
  const std::int32_t* rows;  // in device memory
  T* out;
};

// The maps of the operands. `most` is how many rows x has room for; rows beyond the count are read, but change nothing.
template <typename T>
CUtensorMap sm90_rows_map(const T* x, int most, int inputs);
template <typename T>
CUtensorMap sm90_weights_map(const T* weights, int inputs, int outputs);

template <typename T>
void sm90_matmul_activate(const Sm90Activation<T>& given, int multiprocessors, cudaStream_t stream);

// Loads the kernels, as load_kernels does. Only where the compute capability is 9.0.
template <typename T>
void load_sm90_kernels();
// Whether the library was built with their code (sm_90a), rather than with that of other architectures, where they do
// nothing.
bool holds_sm90_kernels();

}  // namespace liteft::cuda
