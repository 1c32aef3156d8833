// Products of rows and weights of 8 bits on tensor cores, for int8 and for e4m3.
//
// A block has 128 threads, 128 rows, and 128 outputs, or 64 where they are not a multiple of 128 or the device would
// have blocks too few. 64 inputs at a time pass through 3 stages of shared memory: 48 KB (36 KB). Both operands lie
// with their inputs side by side, so that ldmatrix, which moves pairs of bytes, needs no transposition. Rows of tiles
// are 64 bytes long, and the four pieces of 16 bytes of a row trade places with the row's number: the eight that an
// ldmatrix reads are in different banks. A warp has 64 rows and 64 outputs, because what limits such a product is what
// comes out of shared memory: 8 ldmatrix for 32 products. Two blocks are resident on a multiprocessor.

#pragma once

#include "cuda/activations.cuh"
#include "cuda/device.cuh"
#include "cuda/int8.h"
#include "cuda/vectors.cuh"

namespace liteft::cuda {

constexpr int kQuantizeWarps = 4;  // of a block that quantizes; each has a row

// By a warp: quantizes a row so that `largest` is its largest value, and four(x, inverse) are four values times
// `inverse` as bytes. The row is read twice, the second time from the cache, so that its width does not matter.
template <typename T, typename Value, typename Four>
__device__ void quantize_row(const QuantizedBytes<T, Value>& given, float largest, const Four& four) {
  const int row = blockIdx.x * kQuantizeWarps + threadIdx.x / 32, lane = threadIdx.x % 32;
  if (row >= *given.rows) return;
  const std::size_t start = static_cast<std::size_t>(row) * given.width;
  float x[8], most = 0.0f, broken = 0.0f;  // broken: NaN if a value is not finite
  for (int column = 8 * lane; column < given.width; column += 256) {
    unpack_eight<T>(load_words(given.x + start + column), x);
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      most = fmaxf(most, fabsf(x[i]));
      broken = fmaf(x[i], 0.0f, broken);
    }
  }
  for (int offset = 16; offset; offset /= 2) most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, offset));
  const float scale = fmaxf(most / largest, 1e-30f) + warp_sum(broken), inverse = 1.0f / scale;
  for (int column = 8 * lane; column < given.width; column += 256) {
    unpack_eight<T>(load_words(given.x + start + column), x);
    *reinterpret_cast<uint2*>(given.out + start + column) = {four(x, inverse), four(x + 4, inverse)};
  }
  if (lane == 0) given.scales[row] = scale;
}
inline unsigned blocks_to_quantize(int rows) { return (rows + kQuantizeWarps - 1) / kQuantizeWarps; }

constexpr int kByteThreads = 128, kByteRows = 128, kDepth = 64, kStages = 3;
constexpr int kWarpRows = 2, kWarpColumns = 2;

template <typename Value, int Columns>
struct ByteTiles {
  Value left[kStages][kByteRows * kDepth];
  Value right[kStages][Columns * kDepth];
};

// Where piece 0 to 3 of a row of a tile is.
inline __device__ int place_of(int row, int piece) { return row * kDepth + (piece ^ row / 2 % 4) * 16; }

// Starts to copy (Rows, kDepth) values; zeros for rows from `there` on.
template <int Rows, typename Value>
__device__ void copy_byte_tile(Value* to, const Value* from, int stride, int there) {
#pragma unroll
  for (int step = 0; step < Rows * kDepth / 16 / kByteThreads; ++step) {
    const int number = step * kByteThreads + threadIdx.x, row = number / 4, piece = number % 4;
    copy_async(to + place_of(row, piece), from + static_cast<std::size_t>(row) * stride + 16 * piece, row < there);
  }
}

// Adds the product of M * 16 rows of one tile and N * 8 rows of another; both begin at a multiple of 8.
template <typename Value, typename Sum, int M, int N>
__device__ void add_byte_product(Sum (&sums)[M][N][4], const Value* left, const Value* right) {
  static_assert(N % 2 == 0);
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int k = 0; k < kDepth / 16; k += 2) {
    std::uint32_t a[M][4];
#pragma unroll
    for (int m = 0; m < M; ++m) load_matrices(a[m], left + place_of(16 * m + lane % 16, k + lane / 16));
#pragma unroll
    for (int n = 0; n < N; n += 2) {
      std::uint32_t b[4];
      load_matrices(b, right + place_of(8 * n + lane / 16 * 8 + lane % 8, k + lane / 8 % 2));
#pragma unroll
      for (int m = 0; m < M; ++m) {
        multiply_add_bytes(Value{}, sums[m][n], a[m], b[0], b[1]);
        multiply_add_bytes(Value{}, sums[m][n + 1], a[m], b[2], b[3]);
      }
    }
  }
}

// A block's part of out = activate(x weights scale_row scale_output + bias).
template <typename Sum, int Columns, typename T, typename Value, typename Activate>
__device__ void multiply_bytes(const MatmulBytes<T, Value>& given, const Activate& activate) {
  auto& tiles = *reinterpret_cast<ByteTiles<Value, Columns>*>(dynamic_shared());
  const int first = blockIdx.y * kByteRows, there = *given.rows - first, column = blockIdx.x * Columns;
  if (there <= 0) return;
  constexpr int kM = kByteRows / kWarpRows / 16, kN = Columns / kWarpColumns / 8;
  const int warp = threadIdx.x / 32, g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
  const int warp_row = warp / kWarpColumns * 16 * kM, warp_column = warp % kWarpColumns * 8 * kN;
  const Value* const x = given.x + static_cast<std::size_t>(first) * given.inputs;
  const Value* const weights = given.weights + static_cast<std::size_t>(column) * given.inputs;
  const int steps = given.inputs / kDepth;
  const auto fetch = [&](int step) {
    if (step < steps) {
      copy_byte_tile<kByteRows>(tiles.left[step % kStages], x + step * kDepth, given.inputs, there);
      copy_byte_tile<Columns>(tiles.right[step % kStages], weights + step * kDepth, given.inputs, Columns);
    }
    end_copies();
  };
  Sum sums[kM][kN][4] = {};
#pragma unroll
  for (int step = 0; step < kStages - 1; ++step) fetch(step);
  for (int step = 0; step < steps; ++step) {
    wait_copies<kStages - 2>();
    __syncthreads();  // the tiles of the step are complete, and all threads are done with those of the step before
    fetch(step + kStages - 1);
    add_byte_product(sums, tiles.left[step % kStages] + warp_row * kDepth,
                     tiles.right[step % kStages] + warp_column * kDepth);
  }
#pragma unroll
  for (int m = 0; m < kM; ++m) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = warp_row + 16 * m + 8 * half + g;
      if (row >= there) continue;
      const float row_scale = given.row_scales[first + row];
#pragma unroll
      for (int n = 0; n < kN; ++n) {
        const int at = column + warp_column + 8 * n + 2 * t;
        const float2 scale = *reinterpret_cast<const float2*>(given.weight_scales + at);
        const float2 bias = given.bias ? *reinterpret_cast<const float2*>(given.bias + at) : float2{0.0f, 0.0f};
        const Sum* sum = sums[m][n] + 2 * half;
        store_pair(given.out + static_cast<std::size_t>(first + row) * given.outputs + at,
                   {activate(fmaf(static_cast<float>(sum[0]), row_scale * scale.x, bias.x)),
                    activate(fmaf(static_cast<float>(sum[1]), row_scale * scale.y, bias.y))});
      }
    }
  }
}

}  // namespace liteft::cuda
