// Products of e4m3 rows and e4m3 weights, with sums in float32. Nothing chooses them yet: that is for a GPU to decide,
// by time and by accuracy (bench/fp8_agreement.py). On Ada and Blackwell they are products of tensor cores; Hopper has
// such products for warpgroups only (wgmma), and computes these as products of halves.

#pragma once

#include "cuda/int8.h"

namespace liteft::cuda {

constexpr float kLargestE4m3 = 448.0f;

// Rows as e4m3, the nearest value, with the scale max|x| / 448.
template <typename T>
using QuantizedFp8 = QuantizedBytes<T, std::uint8_t>;
template <typename T>
using MatmulFp8 = MatmulBytes<T, std::uint8_t>;

template <typename T>
void quantize_rows_to_fp8(const QuantizedFp8<T>& given, int rows, cudaStream_t stream);
// Only from compute capability 8.9 on.
template <typename T>
void matmul_fp8(const MatmulFp8<T>& given, int rows, cudaStream_t stream);

// Loads the kernels, as load_kernels does.
template <typename T>
void load_fp8_kernels();

}  // namespace liteft::cuda
