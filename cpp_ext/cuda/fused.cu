// Matmuls fused with their epilogue: bias and activation, or bias, residual and LayerNorm. The epilogue runs on the
// sums in registers, so that no value goes through memory in between. The kernels have run in an emulator, but not yet
// on a GPU.
//
// Both have 256 threads, and 32 inputs at a time pass through 3 stages of shared memory, which asynchronous copies
// fill. sm_80 and later; registers are from nvcc 13.0 for sm_90a (sm_80: within one), without spills.
//
// matmul_activate: a block has 128 rows and 128 outputs (64 if the outputs are not a multiple of 128), with 56 KB of
// shared memory and 126 registers per thread (44 KB, 96). matmul_layer_norm: a block has 64 rows and all outputs, with
// 91 KB and 206 registers for 384, 67 KB and 149 for 256, 43 KB and 91 for 128.

#include "cuda/activations.cuh"
#include "cuda/kernels.h"
#include "cuda/tiles.cuh"

namespace liteft::cuda {
namespace {

constexpr int kInputs = 32, kStages = 3;  // inputs of a step, and stages of the pipeline

constexpr int kActRows = 128, kActWarpRows = 4, kActWarpColumns = 2;

template <typename T, int Columns>
using ActTiles = Pipeline<T, kActRows, Columns, kInputs, kStages>;

template <typename T, int Columns, Act kind>
__global__ void __launch_bounds__(kTileThreads, 2) matmul_activate_kernel(MatmulActivation<T> given) {
  wait_for_inputs();
  auto& tiles = *reinterpret_cast<ActTiles<T, Columns>*>(dynamic_shared());
  const int first = blockIdx.y * kActRows, there = *given.rows - first, column = blockIdx.x * Columns;
  if (there <= 0) return;
  constexpr int kM = kActRows / kActWarpRows / 16, kN = Columns / kActWarpColumns / 8;
  const int warp = threadIdx.x / 32, g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
  const int warp_row = warp / kActWarpColumns * 16 * kM, warp_column = warp % kActWarpColumns * 8 * kN;
  float sums[kM][kN][4] = {};
  matmul_rows(sums, tiles, given.x + static_cast<std::size_t>(first) * given.inputs, given.inputs, there,
              given.weights + column, given.outputs, warp_row, warp_column);
#pragma unroll
  for (int n = 0; n < kN; ++n) {
    const int at = column + warp_column + 8 * n + 2 * t;
    const float2 bias = *reinterpret_cast<const float2*>(given.bias + at);
#pragma unroll
    for (int m = 0; m < kM; ++m) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int row = warp_row + 16 * m + 8 * half + g;
        if (row >= there) continue;
        store_pair(given.out + static_cast<std::size_t>(first + row) * given.outputs + at,
                   {act(kind, sums[m][n][2 * half] + bias.x), act(kind, sums[m][n][2 * half + 1] + bias.y)});
      }
    }
  }
}

constexpr int kNormRows = 64, kNormWarpRows = 2, kNormWarpColumns = 4;

template <typename T, int Width>
struct NormTiles {
  Pipeline<T, kNormRows, Width, kInputs, kStages> pipeline;
  RowSums<kNormRows, kNormWarpColumns> sums;
};

template <typename T, int Width>
__global__ void __launch_bounds__(kTileThreads, 1) matmul_layer_norm_kernel(MatmulLayerNorm<T> given) {
  wait_for_inputs();
  auto& tiles = *reinterpret_cast<NormTiles<T, Width>*>(dynamic_shared());
  const int first = blockIdx.x * kNormRows, there = *given.rows - first;
  if (there <= 0) return;
  constexpr int kM = kNormRows / kNormWarpRows / 16, kN = Width / kNormWarpColumns / 8;
  const int warp = threadIdx.x / 32, g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
  const int warp_row = warp / kNormWarpColumns * 16 * kM, warp_column = warp % kNormWarpColumns;
  float sums[kM][kN][4] = {};
  matmul_rows(sums, tiles.pipeline, given.x + static_cast<std::size_t>(first) * given.inputs, given.inputs, there,
              given.weights, Width, warp_row, warp_column * 8 * kN);
#pragma unroll
  for (int n = 0; n < kN; ++n) {
    const int at = warp_column * 8 * kN + 8 * n + 2 * t;
    const float2 bias = *reinterpret_cast<const float2*>(given.bias + at);
#pragma unroll
    for (int m = 0; m < kM; ++m) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int row = warp_row + 16 * m + 8 * half + g;
        float2 rest = bias;
        if (row < there) add_to(rest, load_pair(given.residual + static_cast<std::size_t>(first + row) * Width + at));
        sums[m][n][2 * half] += rest.x;
        sums[m][n][2 * half + 1] += rest.y;
      }
    }
  }
  store_normed<Width>(sums, tiles.sums, given.gamma, given.beta, given.epsilon,
                      given.out + static_cast<std::size_t>(first) * Width, there, warp_row, warp_column);
}

template <typename T, int Columns>
void activate_in(const MatmulActivation<T>& given, int rows, cudaStream_t stream) {
  const dim3 grid(given.outputs / Columns, (rows + kActRows - 1) / kActRows);
  with_act(given.act, [&](auto kind) {
    launch_early(matmul_activate_kernel<T, Columns, kind()>, grid, kTileThreads, sizeof(ActTiles<T, Columns>), stream,
                 given);
  });
}

template <typename T, int Width>
void layer_norm_in(const MatmulLayerNorm<T>& given, int rows, cudaStream_t stream) {
  launch_early(matmul_layer_norm_kernel<T, Width>, (rows + kNormRows - 1) / kNormRows, kTileThreads,
               sizeof(NormTiles<T, Width>), stream, given);
}

}  // namespace

bool fuses_act(std::size_t shared) { return sizeof(ActTiles<__half, 128>) <= shared; }

bool fuses_norm(int width, std::size_t shared) {
  return (width == 128 && sizeof(NormTiles<__half, 128>) <= shared) ||
         (width == 256 && sizeof(NormTiles<__half, 256>) <= shared) ||
         (width == 384 && sizeof(NormTiles<__half, 384>) <= shared);
}

template <typename T>
void matmul_activate(const MatmulActivation<T>& given, int rows, cudaStream_t stream) {
  if (given.outputs % 128 == 0)
    activate_in<T, 128>(given, rows, stream);
  else
    activate_in<T, 64>(given, rows, stream);
}

template <typename T>
void matmul_layer_norm(const MatmulLayerNorm<T>& given, int rows, cudaStream_t stream) {
  if (given.width == 128)
    layer_norm_in<T, 128>(given, rows, stream);
  else if (given.width == 256)
    layer_norm_in<T, 256>(given, rows, stream);
  else
    layer_norm_in<T, 384>(given, rows, stream);
}

template <typename T>
void load_fused_kernels(std::size_t shared) {
  if (fuses_act(shared)) {
    for (const Act each : kActs) {
      with_act(each, [](auto kind) {
        load_kernel(matmul_activate_kernel<T, 64, kind()>, sizeof(ActTiles<T, 64>));
        load_kernel(matmul_activate_kernel<T, 128, kind()>, sizeof(ActTiles<T, 128>));
      });
    }
  }
  if (fuses_norm(128, shared)) load_kernel(matmul_layer_norm_kernel<T, 128>, sizeof(NormTiles<T, 128>));
  if (fuses_norm(256, shared)) load_kernel(matmul_layer_norm_kernel<T, 256>, sizeof(NormTiles<T, 256>));
  if (fuses_norm(384, shared)) load_kernel(matmul_layer_norm_kernel<T, 384>, sizeof(NormTiles<T, 384>));
}

#define LITEFT_FOR(T)                                                              \
  template void load_fused_kernels<T>(std::size_t);                                \
  template void matmul_activate<T>(const MatmulActivation<T>&, int, cudaStream_t); \
  template void matmul_layer_norm<T>(const MatmulLayerNorm<T>&, int, cudaStream_t);
LITEFT_FOR(__half)
LITEFT_FOR(__nv_bfloat16)

}  // namespace liteft::cuda
