// Matmuls of tiles in shared memory on tensor cores, and LayerNorm of the rows of their sums.
//
// A tile's rows are padded by kPad values, so that the eight rows of an ldmatrix are in different banks. A block has 8
// warps as `WarpRows` by 8 / WarpRows; of a warp, sums[m][n] is the tile of 16 x 8 in row m and column n: a lane holds
// columns 2t and 2t + 1 of row g, then of row g + 8 (g = lane / 4, t = lane % 4).

#pragma once

#include "cuda/device.cuh"
#include "cuda/vectors.cuh"

namespace liteft::cuda {

constexpr int kTileThreads = 256;
constexpr int kPad = 8;

// Starts to copy (Rows, Columns) values; zeros for rows from `there` on.
template <int Rows, int Columns, typename T>
__device__ void copy_tile(T* to, const T* from, std::size_t stride, int there = Rows) {
  static_assert(Rows * Columns / 8 % kTileThreads == 0);
#pragma unroll
  for (int step = 0; step < Rows * Columns / 8 / kTileThreads; ++step) {
    const int piece = step * kTileThreads + threadIdx.x;
    const int row = piece / (Columns / 8), column = piece % (Columns / 8) * 8;
    copy_async(to + row * (Columns + kPad) + column, from + row * stride + column, row < there);
  }
}

// sums += left right over K values: `left` is the warp's first row, `right` (K, columns) the warp's first column.
template <int K, int LeftStride, int RightStride, typename T, int M, int N>
__device__ void add_product(float (&sums)[M][N][4], const T* left, const T* right) {
  static_assert(N % 2 == 0);
  const int lane = threadIdx.x % 32;
#pragma unroll 2
  for (int k = 0; k < K; k += 16) {
    std::uint32_t a[M][4];
#pragma unroll
    for (int m = 0; m < M; ++m) load_matrices(a[m], left + (16 * m + lane % 16) * LeftStride + k + lane / 16 * 8);
#pragma unroll
    for (int n = 0; n < N; n += 2) {
      std::uint32_t b[4];
      load_matrices_across(b, right + (k + lane % 16) * RightStride + 8 * n + lane / 16 * 8);
#pragma unroll
      for (int m = 0; m < M; ++m) {
        multiply_add(T{}, sums[m][n], a[m], b[0], b[1]);
        multiply_add(T{}, sums[m][n + 1], a[m], b[2], b[3]);
      }
    }
  }
}

// The shared memory that a block of Rows x Columns outputs needs, with K inputs at a time.
template <typename T, int Rows, int Columns, int K, int Stages>
struct Pipeline {
  T left[Stages][Rows * (K + kPad)];
  T right[Stages][K * (Columns + kPad)];
};

// sums += x weights for the block's rows and columns. x is its first row, of `inputs` values, `there` of them real;
// weights its first column, of rows of `outputs` values. `first_row` and `first_column` are the warp's, within the
// block.
template <typename T, int Rows, int Columns, int K, int Stages, int M, int N>
__device__ void matmul_rows(float (&sums)[M][N][4], Pipeline<T, Rows, Columns, K, Stages>& tiles, const T* x,
                            int inputs, int there, const T* weights, int outputs, int first_row, int first_column) {
  const int steps = inputs / K;
  const auto fetch = [&](int step) {
    if (step < steps) {
      copy_tile<Rows, K>(tiles.left[step % Stages], x + step * K, inputs, there);
      copy_tile<K, Columns>(tiles.right[step % Stages], weights + static_cast<std::size_t>(step) * K * outputs,
                            outputs);
    }
    end_copies();
  };
#pragma unroll
  for (int step = 0; step < Stages - 1; ++step) fetch(step);
  for (int step = 0; step < steps; ++step) {
    wait_copies<Stages - 2>();
    __syncthreads();  // the tiles of the step are complete, and all threads are done with those of the step before
    fetch(step + Stages - 1);
    add_product<K, K + kPad, Columns + kPad>(sums, tiles.left[step % Stages] + first_row * (K + kPad),
                                             tiles.right[step % Stages] + first_column);
  }
}

// Sums over rows that the block's warps share. Each of the warps of a row has a place.
template <int Rows, int WarpColumns>
struct RowSums {
  float of[2][Rows][WarpColumns];
};

// Totals over whole rows of what lanes have: part[m][half] is of the lane's columns of row 16 m + 8 half + g.
template <int Rows, int WarpColumns, int M>
__device__ void sum_rows(float (&part)[M][2], float (&shared)[Rows][WarpColumns], int first_row, int warp_column) {
  const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
#pragma unroll
  for (int m = 0; m < M; ++m) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      part[m][half] += __shfl_xor_sync(0xffffffffu, part[m][half], 1);
      part[m][half] += __shfl_xor_sync(0xffffffffu, part[m][half], 2);
      if (t == 0) shared[first_row + 16 * m + 8 * half + g][warp_column] = part[m][half];
    }
  }
  __syncthreads();
#pragma unroll
  for (int m = 0; m < M; ++m) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      part[m][half] = 0.0f;
#pragma unroll
      for (int other = 0; other < WarpColumns; ++other)
        part[m][half] += shared[first_row + 16 * m + 8 * half + g][other];
    }
  }
}

// LayerNorm of the block's rows, biased variance, in two passes over registers; out is the block's first row, `there`
// of them real.
template <int Width, int Rows, int WarpColumns, typename T, int M, int N>
__device__ void store_normed(float (&x)[M][N][4], RowSums<Rows, WarpColumns>& shared, const float* gamma,
                             const float* beta, float epsilon, T* out, int there, int first_row, int warp_column) {
  const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4, first_column = warp_column * 8 * N;
  float mean[M][2] = {}, inverse[M][2] = {};
#pragma unroll
  for (int m = 0; m < M; ++m) {
#pragma unroll
    for (int n = 0; n < N; ++n) {
      mean[m][0] += x[m][n][0] + x[m][n][1];
      mean[m][1] += x[m][n][2] + x[m][n][3];
    }
  }
  sum_rows(mean, shared.of[0], first_row, warp_column);
#pragma unroll
  for (int m = 0; m < M; ++m) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      mean[m][half] /= Width;
#pragma unroll
      for (int n = 0; n < N; ++n) {
        const float a = x[m][n][2 * half] - mean[m][half], b = x[m][n][2 * half + 1] - mean[m][half];
        inverse[m][half] += a * a + b * b;
      }
    }
  }
  sum_rows(inverse, shared.of[1], first_row, warp_column);
#pragma unroll
  for (int m = 0; m < M; ++m) {
#pragma unroll
    for (int half = 0; half < 2; ++half) inverse[m][half] = rsqrtf(inverse[m][half] / Width + epsilon);
  }
#pragma unroll
  for (int n = 0; n < N; ++n) {
    const int column = first_column + 8 * n + 2 * t;
    const float2 scale = *reinterpret_cast<const float2*>(gamma + column),
                 shift = *reinterpret_cast<const float2*>(beta + column);
#pragma unroll
    for (int m = 0; m < M; ++m) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int row = first_row + 16 * m + 8 * half + g;
        if (row >= there) continue;
        store_pair(out + static_cast<std::size_t>(row) * Width + column,
                   {(x[m][n][2 * half] - mean[m][half]) * inverse[m][half] * scale.x + shift.x,
                    (x[m][n][2 * half + 1] - mean[m][half]) * inverse[m][half] * scale.y + shift.y});
      }
    }
  }
}

}  // namespace liteft::cuda
