// Softmax attention over texts that are packed one after the other: every row is a query.
//
// A block computes one head of 64 or 128 consecutive rows as queries, whichever texts they belong to, and each warp 16
// of these rows. The keys of all these queries are a contiguous range, from the start of the first row's text to the
// end of the last row's text. They pass through two stages of shared memory, 64 at a time: asynchronous copies fill one
// stage while the other is used. So short texts share a block without a work list, and a long text is read once by each
// block of its queries. Scores never leave registers (online softmax).
//
// A tile of keys that all rows of a warp attend to is computed without masks. In any other, the keys that a row
// attends to are 64 bits. Windows would change only `texts_of` and `attended`.

#include <cmath>

#include "cuda/device.cuh"
#include "cuda/kernels.h"
#include "cuda/vectors.cuh"

namespace liteft::cuda {
namespace {

constexpr int kKeys = 64;      // of a tile
constexpr int kStages = 2;     // tiles in shared memory
constexpr int kPadding = 8;    // values after a row in shared memory, so that eight rows are in different banks
constexpr int kWarpRows = 16;  // queries of a warp
constexpr unsigned kAllLanes = 0xffffffffu;

// With so many warps a block reads each key less often, with fewer there are more blocks.
constexpr int kManyWarps = 8, kFewWarps = 4;
constexpr int kRowsForMany = 2048;  // from here on there are more blocks than a GPU runs at once

// Of a multiprocessor: as many as leave enough registers for a thread, and as Turing's 64 KB of shared memory hold.
template <int D, int Warps>
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
constexpr int kBlocks = D == 32 ? 2 : 1;
#else
constexpr int kBlocks = Warps == kManyWarps ? 2
                        : D == 32           ? 4
                                            : 3;
#endif

// Whether a lane reaches its rows of the result from the block's first row. Blackwell's code then needs no register
// more than there are; what is for older GPUs is shorter if it starts at the lane's own row.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 1000
constexpr bool kFromBlock = true;
#else
constexpr bool kFromBlock = false;
#endif

template <typename T, int D, int Warps>
struct Tiles {
  T queries[kWarpRows * Warps][D + kPadding];
  T keys[kStages][kKeys][D + kPadding], values[kStages][kKeys][D + kPadding];
  static_assert((D + kPadding) * sizeof(T) % 16 == 0, "rows in shared memory must be aligned to 16 bytes");
};

// The rows of the texts from that of row `first` to that of row `last`.
struct Range {
  int begin, end;
};
template <typename T>
__device__ Range texts_of(const Attention<T>& given, int first, int last) {
  return {given.offsets[given.text_of_row[first]], given.offsets[given.text_of_row[last] + 1]};
}

// Starts to copy `Rows` rows of a head from row `first` on, zeros from row `end` on. Places of values are below 2^28
// for 65,536 rows of 3 * 1,024 values, so 32 bits are enough, and take fewer registers.
template <int Rows, int Warps, typename T, int Columns>
__device__ void fetch(T (&to)[Rows][Columns], const T* from, std::size_t stride, int first, int end) {
  constexpr int kPieces = (Columns - kPadding) / 8;  // of a row
  static_assert(Rows * kPieces % (32 * Warps) == 0);
#pragma unroll
  for (int step = 0; step < Rows * kPieces / (32 * Warps); ++step) {
    const int piece = step * 32 * Warps + threadIdx.x, row = piece / kPieces, at = piece % kPieces * 8;
    copy_async(&to[row][at], from + (static_cast<std::uint32_t>(first + row) * static_cast<std::uint32_t>(stride) + at),
               first + row < end);
  }
}
template <typename T, int D, int Warps>
__device__ void fetch_tile(Tiles<T, D, Warps>& tiles, int stage, const Attention<T>& given, int column, int tile,
                           int end) {
  fetch<kKeys, Warps>(tiles.keys[stage], given.key + column, given.stride, tile, end);
  fetch<kKeys, Warps>(tiles.values[stage], given.value + column, given.stride, tile, end);
  end_copies();
}

// Whether a value that this thread has copied is infinite or NaN.
template <typename T, int D, int Warps>
__device__ bool copied_infinite(const Tiles<T, D, Warps>& tiles, int stage) {
  bool infinite = false;
#pragma unroll
  for (int step = 0; step < kKeys * D / 8 / (32 * Warps); ++step) {
    const int piece = step * 32 * Warps + threadIdx.x, key = piece / (D / 8), at = piece % (D / 8) * 8;
    const uint4 words = load_words(&tiles.values[stage][key][at]);
    infinite |= holds_infinite<T>(words.x) || holds_infinite<T>(words.y) || holds_infinite<T>(words.z) ||
                holds_infinite<T>(words.w);
  }
  return infinite;
}

// The lowest `count` bits, 0 to 64; none below 0.
__device__ std::uint64_t low_bits(int count) {
  return count >= kKeys ? ~std::uint64_t{0} : (std::uint64_t{1} << max(count, 0)) - 1;
}

// Which of a tile's keys `key_mask` keeps; all without one.
template <typename T>
__device__ std::uint64_t kept_keys(const Attention<T>& given, int tile, int end) {
  if (!given.key_mask) return ~std::uint64_t{0};
  const int key = tile + threadIdx.x % 32;
  const std::uint32_t low = ballot(key < end && given.key_mask[key]);
  const std::uint32_t high = ballot(key + 32 < end && given.key_mask[key + 32]);
  return static_cast<std::uint64_t>(high) << 32 | low;
}

// Which of a tile's keys a row attends to, of those that are kept.
__device__ std::uint64_t attended(const Range& text, int tile, std::uint64_t kept) {
  return low_bits(text.end - tile) & ~low_bits(text.begin - tile) & kept;
}

// scores = queries keys of a tile: of a lane, keys 8 n + 2 t and the next one of rows g and g + 8.
template <typename T, int D>
__device__ void multiply_keys(float (&scores)[kKeys / 8][4], const T (*queries)[D + kPadding],
                              const T (&keys)[kKeys][D + kPadding]) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int step = 0; step < D / 16; ++step) {
    std::uint32_t a[4];
    load_matrices(a, &queries[lane % 16][16 * step + lane / 16 * 8]);
#pragma unroll
    for (int pair = 0; pair < kKeys / 16; ++pair) {
      // Matrices: keys 0-7 with columns 0-7 and 8-15 of the step, then keys 8-15 with the same.
      std::uint32_t b[4];
      load_matrices(b, &keys[16 * pair + lane % 8 + lane / 16 * 8][16 * step + lane / 8 % 2 * 8]);
      multiply_add(T{}, scores[2 * pair], a, b[0], b[1]);
      multiply_add(T{}, scores[2 * pair + 1], a, b[2], b[3]);
    }
  }
}

// sums += weights values for 16 columns from `column` on.
template <typename T, int D>
__device__ void add_values(float (&lower)[4], float (&upper)[4], const std::uint32_t (&weights)[kKeys / 16][4],
                           const T (&values)[kKeys][D + kPadding], int column) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int step = 0; step < kKeys / 16; ++step) {
    // Matrices: keys 0-7 and 8-15 with columns 0-7, then with columns 8-15.
    std::uint32_t b[4];
    load_matrices_across(b, &values[16 * step + lane % 16][column + lane / 16 * 8]);
    multiply_add(T{}, lower, weights[step], b[0], b[1]);
    multiply_add(T{}, upper, weights[step], b[2], b[3]);
  }
}

// The same with values of some keys only: those of other keys count as zeros.
template <typename T, int D>
__device__ void add_some_values(float (&lower)[4], float (&upper)[4], const std::uint32_t (&weights)[kKeys / 16][4],
                                const T (&values)[kKeys][D + kPadding], int column, std::uint64_t some) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int step = 0; step < kKeys / 16; ++step) {
    std::uint32_t b[4];
    load_matrices_across(b, &values[16 * step + lane % 16][column + lane / 16 * 8]);
#pragma unroll
    for (int half = 0; half < 2; ++half) {  // keys 2t and 2t + 1, in the halves of a register; then 8 keys further on
      const auto bits = static_cast<std::uint32_t>(some >> (16 * step + 8 * half + 2 * (lane % 4)));
      const std::uint32_t kept = (bits & 1 ? 0xffffu : 0u) | (bits & 2 ? 0xffff0000u : 0u);
      b[half] &= kept;
      b[half + 2] &= kept;
    }
    multiply_add(T{}, lower, weights[step], b[0], b[1]);
    multiply_add(T{}, upper, weights[step], b[2], b[3]);
  }
}

template <typename T, int D, int Warps>
__global__ void __launch_bounds__(32 * Warps, kBlocks<D, Warps>) attend_kernel(Attention<T> given) {
  wait_for_inputs();
  auto& tiles = *reinterpret_cast<Tiles<T, D, Warps>*>(dynamic_shared());
  const int rows = given.counts->rows, block_row = blockIdx.x * kWarpRows * Warps;
  if (block_row >= rows) return;
  const int column = blockIdx.y * D;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int g = lane / 4, t = lane % 4;  // the lane's row among eight, and its pair of columns among four

  const Range block = texts_of(given, block_row, min(block_row + kWarpRows * Warps, rows) - 1);
  fetch<kWarpRows * Warps, Warps>(tiles.queries, given.query + column, given.query_stride, block_row, rows);
  fetch_tile(tiles, 0, given, column, block.begin, block.end);  // the queries come with it

  const int first = block_row + kWarpRows * warp;
  Range of_row[2] = {{0, 0}, {0, 0}};  // stay so for rows beyond the count
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    if (first + g + 8 * r < rows) of_row[r] = texts_of(given, first + g + 8 * r, first + g + 8 * r);
  }

  constexpr float scale = kScoreScale<D>;
  float out[D / 8][4] = {};
  float most[2] = {-INFINITY, -INFINITY}, total[2] = {0.0f, 0.0f};
  int stage = 0;
  for (int tile = block.begin; tile < block.end; tile += kKeys, stage ^= 1) {
    wait_copies<0>();
    // The tile is complete, and all threads are done with the one before.
    const bool infinite = __syncthreads_or(copied_infinite<T, D, Warps>(tiles, stage));
    if (tile + kKeys < block.end) fetch_tile(tiles, stage ^ 1, given, column, tile + kKeys, block.end);
    bool some = false, all = !given.key_mask;
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      some |= tile < of_row[r].end && tile + kKeys > of_row[r].begin;
      all &= tile >= of_row[r].begin && tile + kKeys <= of_row[r].end;
    }
    if (!ballot(some)) continue;

    float scores[kKeys / 8][4] = {};
    multiply_keys<T, D>(scores, &tiles.queries[kWarpRows * warp], tiles.keys[stage]);
    if (ballot(all) != kAllLanes) {
      const std::uint64_t kept = kept_keys(given, tile, block.end);
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        const std::uint64_t bits = attended(of_row[r], tile, kept) >> (2 * t);
        const std::uint32_t words[2] = {static_cast<std::uint32_t>(bits), static_cast<std::uint32_t>(bits >> 32)};
#pragma unroll
        for (int n = 0; n < kKeys / 8; ++n) {
#pragma unroll
          for (int e = 0; e < 2; ++e) {
            if (!(words[n / 4] & 1u << (8 * (n % 4) + e))) scores[n][2 * r + e] = -INFINITY;
          }
        }
      }
    }

    std::uint32_t weights[kKeys / 16][4];  // as a matmul takes its left side, which is as the one before left its sums
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      float largest = most[r];
      // fmaxf of a NaN and a number is the number; the NaN reappears as a weight below.
#pragma unroll
      for (int n = 0; n < kKeys / 8; ++n) largest = fmaxf(largest, fmaxf(scores[n][2 * r], scores[n][2 * r + 1]));
      largest = fmaxf(largest, __shfl_xor_sync(kAllLanes, largest, 1));
      largest = fmaxf(largest, __shfl_xor_sync(kAllLanes, largest, 2));
      const float base = largest == -INFINITY ? 0.0f : -largest * scale;  // every key so far is masked
      const float shrink = exp2_fast(fmaf(most[r], scale, base));
      most[r] = largest;
      total[r] *= shrink;
#pragma unroll
      for (int n = 0; n < D / 8; ++n) out[n][2 * r] *= shrink, out[n][2 * r + 1] *= shrink;
#pragma unroll
      for (int n = 0; n < kKeys / 8; ++n) {
        const float2 pair{exp2_fast(fmaf(scores[n][2 * r], scale, base)),
                          exp2_fast(fmaf(scores[n][2 * r + 1], scale, base))};
        total[r] += pair.x + pair.y;
        weights[n / 2][n % 2 * 2 + r] = packed<T>(pair);
      }
    }
    if (!infinite) {
#pragma unroll
      for (int n = 0; n < D / 8; n += 2) add_values<T, D>(out[n], out[n + 1], weights, tiles.values[stage], 8 * n);
      continue;
    }
    // An infinite value of another text has weight 0, and the product would be NaN. So then the texts are computed one
    // after the other, with zeros for the values of other texts.
    for (int row = first; row < min(first + kWarpRows, given.counts->rows);) {
      const Range of_text = texts_of(given, row, row);
      row = of_text.end;
      const std::uint64_t own = attended(of_text, tile, ~std::uint64_t{0});
#pragma unroll
      for (int n = 0; n < D / 8; n += 2) {
        float part[2][4] = {};
        add_some_values<T, D>(part[0], part[1], weights, tiles.values[stage], 8 * n, own);
#pragma unroll
        for (int e = 0; e < 8; ++e) {
          if (of_row[e / 2 % 2].begin == of_text.begin && of_row[e / 2 % 2].end == of_text.end)
            out[n + e / 4][e % 4] += part[e / 4][e % 4];
        }
      }
    }
  }

  // Rows are reached from an anchor by a distance: their numbers would take registers throughout the loop.
  const std::uint32_t width = given.heads * D;
  const int from_block = kWarpRows * warp + g;
  T* const anchor =
      given.out + (static_cast<std::uint32_t>(kFromBlock ? block_row : block_row + from_block) * width + column);
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    total[r] += __shfl_xor_sync(kAllLanes, total[r], 1);
    total[r] += __shfl_xor_sync(kAllLanes, total[r], 2);
    if (of_row[r].end == 0) continue;
    const float inverse = 1.0f / total[r];
    T* to = anchor + static_cast<std::size_t>(kFromBlock ? from_block + 8 * r : 8 * r) * width;
#pragma unroll
    for (int n = 0; n < D / 8; ++n)
      store_pair(to + 8 * n + 2 * t, {out[n][2 * r] * inverse, out[n][2 * r + 1] * inverse});
  }
}

template <typename T, int D, int Warps>
void attend_in(const Attention<T>& given, int rows, cudaStream_t stream) {
  const dim3 grid((rows + kWarpRows * Warps - 1) / (kWarpRows * Warps), given.heads);
  launch_early(attend_kernel<T, D, Warps>, grid, 32 * Warps, sizeof(Tiles<T, D, Warps>), stream, given);
}

}  // namespace

template <typename T>
void attend(const Attention<T>& given, int head_size, int rows, cudaStream_t stream) {
  const bool many = rows >= kRowsForMany;
  if (head_size == 32)
    many ? attend_in<T, 32, kManyWarps>(given, rows, stream) : attend_in<T, 32, kFewWarps>(given, rows, stream);
  else
    many ? attend_in<T, 64, kManyWarps>(given, rows, stream) : attend_in<T, 64, kFewWarps>(given, rows, stream);
}

template <typename T>
void load_attend_kernels() {
  load_kernel(attend_kernel<T, 32, kFewWarps>, sizeof(Tiles<T, 32, kFewWarps>));
  load_kernel(attend_kernel<T, 32, kManyWarps>, sizeof(Tiles<T, 32, kManyWarps>));
  load_kernel(attend_kernel<T, 64, kFewWarps>, sizeof(Tiles<T, 64, kFewWarps>));
  load_kernel(attend_kernel<T, 64, kManyWarps>, sizeof(Tiles<T, 64, kManyWarps>));
}

#define LITEFT_FOR(T)                     \
  template void load_attend_kernels<T>(); \
  template void attend<T>(const Attention<T>&, int, int, cudaStream_t);
LITEFT_FOR(__half)
LITEFT_FOR(__nv_bfloat16)

}  // namespace liteft::cuda
