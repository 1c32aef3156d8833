// Products of int8 rows and int8 weights, with exact sums: a row's result depends neither on the sizes of tiles nor on
// other rows.

#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "cuda/kernels.h"

namespace liteft::cuda {

// Rows as bytes, and one scale per row: value times scale is about x. The scale of a row with NaN or an infinite value
// is NaN, and with it every output of the row, as on the CPU. `width` is a multiple of 64.
template <typename T, typename Value>
struct QuantizedBytes {
  const T* x;  // (rows, width)
  int width;
  const std::int32_t* rows;  // in device memory
  Value* out;                // (rows, width)
  float* scales;             // (rows,)
};
// As int8, with the scale max|x| / 127.
template <typename T>
using Quantized = QuantizedBytes<T, std::int8_t>;

// out = act(x weights scale_row scale_output + bias). Weights are (outputs, inputs), with one scale per output; inputs
// and outputs are multiples of 64. Of int8, inputs are at most 2^16, so that sums fit into 32 bits.
template <typename T, typename Value>
struct MatmulBytes {
  const Value* x;
  const float* row_scales;
  const Value* weights;
  const float* weight_scales;
  const float* bias;  // or nullptr
  Act act;
  int inputs, outputs;
  const std::int32_t* rows;  // in device memory
  T* out;
};

template <typename T>
using MatmulInt8 = MatmulBytes<T, std::int8_t>;

template <typename T>
void quantize_rows(const Quantized<T>& given, int rows, cudaStream_t stream);
// The number of multiprocessors decides how large tiles are.
template <typename T>
void matmul_int8(const MatmulInt8<T>& given, int rows, int multiprocessors, cudaStream_t stream);

// Loads the kernels, as load_kernels does.
template <typename T>
void load_int8_kernels();

}  // namespace liteft::cuda
