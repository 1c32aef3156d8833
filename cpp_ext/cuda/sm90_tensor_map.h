// Tensor maps, from which Hopper's copy engine knows where the rows of a matrix are.

#pragma once

#include <cuda.h>

#include <cstddef>

namespace liteft::cuda {

constexpr int kBoxRows = 32, kBoxColumns = 64;  // 128 bytes wide, as the swizzle

// A row-major matrix of 16-bit values in device memory, copied in boxes of 32 rows and 64 columns, which lie in shared
// memory with 128-byte swizzle. What a box has beyond the matrix is 0. `columns` must be a multiple of 8, and `memory`
// aligned to 16 bytes. Throws std::runtime_error if the driver refuses or lacks them.
CUtensorMap tensor_map(bool half, const void* memory, std::size_t rows, std::size_t columns);

}  // namespace liteft::cuda
