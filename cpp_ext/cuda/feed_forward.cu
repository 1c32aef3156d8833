// The feed-forward block with its residual and LayerNorm in one kernel. The hidden values, four times as many as a row
// has, never go through memory. It has run in an emulator, but not yet on a GPU.
//
// A block has 64 rows and 256 threads. Its rows stay in shared memory. 64 hidden columns at a time are multiplied,
// activated, written to shared memory as T, and multiplied into the sums of the outputs, which are in registers.
// Weights pass through 3 stages of shared memory; those of 64 hidden columns are four parts of Width * 32 values: two
// of the inner weights (Width / 2 rows, 64 columns) and two of the outer weights (32 rows, Width columns). Every block
// reads all weights, from the L2 cache. sm_80 and later. Shared memory and registers per thread, from nvcc 13.0 for
// sm_90a (sm_80: up to four fewer), without spills: 141 KB and 252 for a width of 384, 98 KB and 189 for 256, 55 KB and
// 126 for 128. On GPUs with less shared memory per block (100 KB, sm_86 and sm_89) it is not used at 384.

#include "cuda/activations.cuh"
#include "cuda/kernels.h"
#include "cuda/tiles.cuh"

namespace liteft::cuda {
namespace {

constexpr int kRows = 64, kHidden = 64, kStages = 3, kParts = 4;
constexpr int kWarpRows = 2, kWarpColumns = 4;
constexpr int kM = kRows / kWarpRows / 16;

constexpr int larger(int a, int b) { return a > b ? a : b; }

template <typename T, int Width>
struct BlockTiles {
  static constexpr int kPart = larger(Width / 2 * (kHidden + kPad), kHidden / 2 * (Width + kPad));
  T x[kRows * (Width + kPad)];
  T hidden[kRows * (kHidden + kPad)];
  T parts[kStages][kPart];
  RowSums<kRows, kWarpColumns> sums;
};

template <typename T, int Width>
__global__ void __launch_bounds__(kTileThreads, 1) feed_forward_kernel(FeedForward<T> given) {
  wait_for_inputs();
  auto& tiles = *reinterpret_cast<BlockTiles<T, Width>*>(dynamic_shared());
  const int first = blockIdx.x * kRows, there = *given.rows - first;
  if (there <= 0) return;
  const int warp = threadIdx.x / 32, g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
  const int warp_row = warp / kWarpColumns * 16 * kM, warp_column = warp % kWarpColumns;
  constexpr int kHiddenN = kHidden / kWarpColumns / 8, kN = Width / kWarpColumns / 8;
  const int count = given.inner / kHidden * kParts;

  const auto fetch = [&](int number) {
    if (number < count) {
      const int piece = number / kParts, part = number % kParts;
      T* to = tiles.parts[number % kStages];
      if (part < 2) {
        copy_tile<Width / 2, kHidden>(
            to, given.inner_weights + static_cast<std::size_t>(part * (Width / 2)) * given.inner + piece * kHidden,
            given.inner);
      } else {
        copy_tile<kHidden / 2, Width>(
            to, given.outer_weights + static_cast<std::size_t>(piece * kHidden + (part - 2) * (kHidden / 2)) * Width,
            Width);
      }
    }
    end_copies();
  };
  copy_tile<kRows, Width>(tiles.x, given.x + static_cast<std::size_t>(first) * Width, Width, there);
#pragma unroll
  for (int number = 0; number < kStages - 1; ++number) fetch(number);  // the rows come with the first part

  float sums[kM][kN][4] = {};
  for (int piece = 0; piece < given.inner / kHidden; ++piece) {
    float hidden[kM][kHiddenN][4] = {};
#pragma unroll
    for (int part = 0; part < kParts; ++part) {
      const int number = piece * kParts + part;
      wait_copies<kStages - 2>();
      __syncthreads();  // the part and the hidden values are complete, and all threads are done with the part before
      fetch(number + kStages - 1);
      const T* weights = tiles.parts[number % kStages];
      if (part < 2) {
        add_product<Width / 2, Width + kPad, kHidden + kPad>(
            hidden, tiles.x + warp_row * (Width + kPad) + part * (Width / 2), weights + warp_column * 8 * kHiddenN);
      } else {
        add_product<kHidden / 2, kHidden + kPad, Width + kPad>(
            sums, tiles.hidden + warp_row * (kHidden + kPad) + (part - 2) * (kHidden / 2),
            weights + warp_column * 8 * kN);
      }
      if (part != 1) continue;
      with_act(given.act, [&](auto kind) {
#pragma unroll
        for (int n = 0; n < kHiddenN; ++n) {
          const int column = warp_column * 8 * kHiddenN + 8 * n + 2 * t;
          const float2 bias = *reinterpret_cast<const float2*>(given.inner_bias + piece * kHidden + column);
#pragma unroll
          for (int m = 0; m < kM; ++m) {
#pragma unroll
            for (int half = 0; half < 2; ++half) {
              store_pair(tiles.hidden + (warp_row + 16 * m + 8 * half + g) * (kHidden + kPad) + column,
                         {act(decltype(kind)::value, hidden[m][n][2 * half] + bias.x),
                          act(decltype(kind)::value, hidden[m][n][2 * half + 1] + bias.y)});
            }
          }
        }
      });
    }
  }

#pragma unroll
  for (int n = 0; n < kN; ++n) {
    const int column = warp_column * 8 * kN + 8 * n + 2 * t;
    const float2 bias = *reinterpret_cast<const float2*>(given.outer_bias + column);
#pragma unroll
    for (int m = 0; m < kM; ++m) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const float2 x = load_pair(tiles.x + (warp_row + 16 * m + 8 * half + g) * (Width + kPad) + column);
        sums[m][n][2 * half] += bias.x + x.x;
        sums[m][n][2 * half + 1] += bias.y + x.y;
      }
    }
  }
  store_normed<Width>(sums, tiles.sums, given.gamma, given.beta, given.epsilon,
                      given.out + static_cast<std::size_t>(first) * Width, there, warp_row, warp_column);
}

template <typename T, int Width>
void run_in(const FeedForward<T>& given, int rows, cudaStream_t stream) {
  launch_early(feed_forward_kernel<T, Width>, (rows + kRows - 1) / kRows, kTileThreads, sizeof(BlockTiles<T, Width>),
               stream, given);
}

}  // namespace

bool fuses_feed_forward(int width, std::size_t shared) {
  return (width == 128 && sizeof(BlockTiles<__half, 128>) <= shared) ||
         (width == 256 && sizeof(BlockTiles<__half, 256>) <= shared) ||
         (width == 384 && sizeof(BlockTiles<__half, 384>) <= shared);
}

template <typename T>
void feed_forward(const FeedForward<T>& given, int rows, cudaStream_t stream) {
  if (given.width == 128)
    run_in<T, 128>(given, rows, stream);
  else if (given.width == 256)
    run_in<T, 256>(given, rows, stream);
  else
    run_in<T, 384>(given, rows, stream);
}

template <typename T>
void load_feed_forward_kernels(std::size_t shared) {
  if (fuses_feed_forward(128, shared)) load_kernel(feed_forward_kernel<T, 128>, sizeof(BlockTiles<T, 128>));
  if (fuses_feed_forward(256, shared)) load_kernel(feed_forward_kernel<T, 256>, sizeof(BlockTiles<T, 256>));
  if (fuses_feed_forward(384, shared)) load_kernel(feed_forward_kernel<T, 384>, sizeof(BlockTiles<T, 384>));
}

template void load_feed_forward_kernels<__half>(std::size_t);
template void load_feed_forward_kernels<__nv_bfloat16>(std::size_t);
template void feed_forward<__half>(const FeedForward<__half>&, int, cudaStream_t);
template void feed_forward<__nv_bfloat16>(const FeedForward<__nv_bfloat16>&, int, cudaStream_t);

}  // namespace liteft::cuda
