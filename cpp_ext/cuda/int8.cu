// Rows quantized to int8, and their products on tensor cores. The kernels have run in an emulator, but not yet on a
// GPU.
//
// A block of the product has 128 threads, 128 rows, and 128 outputs, or 64 where they are not a multiple of 128 or the
// device would have blocks too few. 64 inputs at a time pass through 3 stages of shared memory: 48 KB (36 KB). Both
// operands lie with their inputs side by side, so that ldmatrix, which moves pairs of bytes, needs no transposition.
// Rows of tiles are 64 bytes long, and the four pieces of 16 bytes of a row trade places with the row's number: the
// eight that an ldmatrix reads are in different banks. A warp has 64 rows and 64 outputs, because what limits such a
// product is what comes out of shared memory: 8 ldmatrix for 32 products. Two blocks are resident on a multiprocessor.

#include "cuda/int8.h"

#include "cuda/activations.cuh"
#include "cuda/device.cuh"
#include "cuda/vectors.cuh"

namespace liteft::cuda {
namespace {

constexpr int kQuantizeWarps = 4;  // of a block; each has a row

// Four values as bytes, rounded to the nearest, ties to even: the product with the inverse scale is at most 127, and
// adding 1.5 * 2^23 leaves it, as an integer, in the lowest bits.
__device__ std::uint32_t bytes_of(const float* x, float inverse) {
  std::uint32_t word = 0;
#pragma unroll
  for (int i = 0; i < 4; ++i) word |= (bits_of(rounded_product(x[i], inverse) + 12582912.0f) & 0xffu) << 8 * i;
  return word;
}

// The row is read twice, the second time from the cache, so that its width does not matter.
template <typename T>
__global__ void quantize_rows_kernel(Quantized<T> given) {
  wait_for_inputs();
  const int row = blockIdx.x * kQuantizeWarps + threadIdx.x / 32, lane = threadIdx.x % 32;
  if (row >= *given.rows) return;
  const std::size_t start = static_cast<std::size_t>(row) * given.width;
  float x[8], largest = 0.0f, broken = 0.0f;  // broken: NaN if a value is not finite
  for (int column = 8 * lane; column < given.width; column += 256) {
    unpack_eight<T>(load_words(given.x + start + column), x);
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      largest = fmaxf(largest, fabsf(x[i]));
      broken = fmaf(x[i], 0.0f, broken);
    }
  }
  for (int offset = 16; offset; offset /= 2) largest = fmaxf(largest, __shfl_xor_sync(0xffffffffu, largest, offset));
  const float scale = fmaxf(largest / 127.0f, 1e-30f) + warp_sum(broken), inverse = 1.0f / scale;
  for (int column = 8 * lane; column < given.width; column += 256) {
    unpack_eight<T>(load_words(given.x + start + column), x);
    *reinterpret_cast<uint2*>(given.out + start + column) = {bytes_of(x, inverse), bytes_of(x + 4, inverse)};
  }
  if (lane == 0) given.scales[row] = scale;
}

constexpr int kThreads = 128, kRows = 128, kDepth = 64, kStages = 3;
constexpr int kWarpRows = 2, kWarpColumns = 2;

template <int Columns>
struct Int8Tiles {
  std::int8_t left[kStages][kRows * kDepth];
  std::int8_t right[kStages][Columns * kDepth];
};

// Where piece 0 to 3 of a row of a tile is.
__device__ int place_of(int row, int piece) { return row * kDepth + (piece ^ row / 2 % 4) * 16; }

// Starts to copy (Rows, kDepth) values; zeros for rows from `there` on.
template <int Rows>
__device__ void copy_int8_tile(std::int8_t* to, const std::int8_t* from, int stride, int there) {
#pragma unroll
  for (int step = 0; step < Rows * kDepth / 16 / kThreads; ++step) {
    const int number = step * kThreads + threadIdx.x, row = number / 4, piece = number % 4;
    copy_async(to + place_of(row, piece), from + static_cast<std::size_t>(row) * stride + 16 * piece, row < there);
  }
}

// Adds the product of M * 16 rows of one tile and N * 8 rows of another; both begin at a multiple of 8.
template <int M, int N>
__device__ void add_int8_product(std::int32_t (&sums)[M][N][4], const std::int8_t* left, const std::int8_t* right) {
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
        multiply_add_int8(sums[m][n], a[m], b[0], b[1]);
        multiply_add_int8(sums[m][n + 1], a[m], b[2], b[3]);
      }
    }
  }
}

template <typename T, int Columns, Act kAct>
__global__ void __launch_bounds__(kThreads, 2) matmul_int8_kernel(MatmulInt8<T> given) {
  wait_for_inputs();
  auto& tiles = *reinterpret_cast<Int8Tiles<Columns>*>(dynamic_shared());
  const int first = blockIdx.y * kRows, there = *given.rows - first, column = blockIdx.x * Columns;
  if (there <= 0) return;
  constexpr int kM = kRows / kWarpRows / 16, kN = Columns / kWarpColumns / 8;
  const int warp = threadIdx.x / 32, g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
  const int warp_row = warp / kWarpColumns * 16 * kM, warp_column = warp % kWarpColumns * 8 * kN;
  const std::int8_t* const x = given.x + static_cast<std::size_t>(first) * given.inputs;
  const std::int8_t* const weights = given.weights + static_cast<std::size_t>(column) * given.inputs;
  const int steps = given.inputs / kDepth;
  const auto fetch = [&](int step) {
    if (step < steps) {
      copy_int8_tile<kRows>(tiles.left[step % kStages], x + step * kDepth, given.inputs, there);
      copy_int8_tile<Columns>(tiles.right[step % kStages], weights + step * kDepth, given.inputs, Columns);
    }
    end_copies();
  };
  std::int32_t sums[kM][kN][4] = {};
#pragma unroll
  for (int step = 0; step < kStages - 1; ++step) fetch(step);
  for (int step = 0; step < steps; ++step) {
    wait_copies<kStages - 2>();
    __syncthreads();  // the tiles of the step are complete, and all threads are done with those of the step before
    fetch(step + kStages - 1);
    add_int8_product(sums, tiles.left[step % kStages] + warp_row * kDepth,
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
        const std::int32_t* sum = sums[m][n] + 2 * half;
        store_pair(given.out + static_cast<std::size_t>(first + row) * given.outputs + at,
                   {act(kAct, fmaf(static_cast<float>(sum[0]), row_scale * scale.x, bias.x)),
                    act(kAct, fmaf(static_cast<float>(sum[1]), row_scale * scale.y, bias.y))});
      }
    }
  }
}

template <typename T, int Columns>
void matmul_int8_in(const MatmulInt8<T>& given, int rows, cudaStream_t stream) {
  const dim3 grid(given.outputs / Columns, (rows + kRows - 1) / kRows);
  with_act(given.act, [&](auto kind) {
    launch_early(matmul_int8_kernel<T, Columns, kind()>, grid, kThreads, sizeof(Int8Tiles<Columns>), stream, given);
  });
}

}  // namespace

template <typename T>
void quantize_rows(const Quantized<T>& given, int rows, cudaStream_t stream) {
  launch_early(quantize_rows_kernel<T>, (rows + kQuantizeWarps - 1) / kQuantizeWarps, 32 * kQuantizeWarps, 0, stream,
               given);
}

template <typename T>
void matmul_int8(const MatmulInt8<T>& given, int rows, int multiprocessors, cudaStream_t stream) {
  const int blocks = given.outputs / 128 * ((rows + kRows - 1) / kRows);
  if (given.outputs % 128 == 0 && blocks >= multiprocessors)
    matmul_int8_in<T, 128>(given, rows, stream);
  else
    matmul_int8_in<T, 64>(given, rows, stream);
}

template <typename T>
void load_int8_kernels() {
  load_kernel(quantize_rows_kernel<T>);
  for (const Act each : kActs) {
    with_act(each, [](auto kind) {
      load_kernel(matmul_int8_kernel<T, 64, kind()>, sizeof(Int8Tiles<64>));
      load_kernel(matmul_int8_kernel<T, 128, kind()>, sizeof(Int8Tiles<128>));
    });
  }
}

#define LITEFT_FOR(T)                                                         \
  template void quantize_rows<T>(const Quantized<T>&, int, cudaStream_t);     \
  template void matmul_int8<T>(const MatmulInt8<T>&, int, int, cudaStream_t); \
  template void load_int8_kernels<T>();
LITEFT_FOR(__half)
LITEFT_FOR(__nv_bfloat16)

}  // namespace liteft::cuda
