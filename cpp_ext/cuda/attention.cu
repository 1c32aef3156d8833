// Softmax attention over texts that are packed one after the other.
//
// attend: a block computes one head of 64 consecutive rows as queries, whichever texts they belong to, and each warp 16
// of these rows. The keys of all these queries are a contiguous range, from the start of the first row's text to the
// end of the last row's text, and pass through shared memory 64 at a time; keys of other texts are masked. So short
// texts share a block without a work list, and a long text is read once by each block of its queries. Scores never
// leave registers (online softmax).
//
// attend_first: a warp computes one head of one text, for the last layer of a model that pools the first row.

#include <cmath>

#include "cuda/device.cuh"
#include "cuda/kernels.h"
#include "cuda/vectors.cuh"

namespace liteft::cuda {
namespace {

constexpr int kRows = 64, kKeys = 64;  // rows of a block, and keys of a step
constexpr int kPadding = 8;            // values after a row in shared memory, so that eight rows are in different banks
constexpr float kLog2E = 1.44269504f;
constexpr unsigned kAllLanes = 0xffffffffu;

// Adds a bias to eight values.
template <typename T>
__device__ uint4 with_bias(uint4 values, const float* bias) {
  std::uint32_t* pairs = &values.x;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    float2 x = unpacked<T>(pairs[i]);
    add_to(x, *reinterpret_cast<const float2*>(bias + 2 * i));
    pairs[i] = packed<T>(x);
  }
  return values;
}

// Shared memory of a block: 10 KB for heads of 32, 18 KB for heads of 64.
template <typename T, int D>
struct Tiles {
  T keys[kKeys][D + kPadding], values[kKeys][D + kPadding];
};

// lower and upper += weights values, for 16 columns from `column` on, over the keys from `begin` to `end` of the tile;
// the others' values count as zeros.
template <typename T, int D>
__device__ void add_values(float (&lower)[4], float (&upper)[4], const std::uint32_t (&weights)[kKeys / 16][4],
                           const T (&values)[kKeys][D + kPadding], int column, int begin, int end) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int step = 0; step < kKeys / 16; ++step) {
    // Matrices: keys 0-7 and 8-15 with columns 0-7, then with columns 8-15.
    std::uint32_t b[4];
    load_matrices_across(b, &values[16 * step + lane % 16][column + lane / 16 * 8]);
#pragma unroll
    for (int half = 0; half < 2;
         ++half) {  // keys 2t and 2t + 1, in the halves of a register; then the keys 8 further on
      const int key = 16 * step + 8 * half + 2 * (lane % 4);
      const std::uint32_t kept =
          (key >= begin && key < end ? 0xffffu : 0u) | (key + 1 >= begin && key + 1 < end ? 0xffff0000u : 0u);
      b[half] &= kept;
      b[half + 2] &= kept;
    }
    multiply_add(T{}, lower, weights[step], b[0], b[1]);
    multiply_add(T{}, upper, weights[step], b[2], b[3]);
  }
}

template <typename T, int D>
__global__ void __launch_bounds__(128, D == 32 ? 4 : 3) attend_kernel(Attention<T> given) {
  auto& [keys, values] = *reinterpret_cast<Tiles<T, D>*>(dynamic_shared());
  const int rows = given.counts->rows, block_row = blockIdx.x * kRows;
  if (block_row >= rows) return;
  const int column = blockIdx.y * D;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int g = lane / 4, t = lane % 4;  // the lane's row among eight, and its pair of columns among four

  // The keys of the block, of the warp, and of the lane's two rows.
  const int begin = given.offsets[given.text_of_row[block_row]];
  const int end = given.offsets[given.text_of_row[min(block_row + kRows, rows) - 1] + 1];
  const int first = block_row + 16 * warp;
  int warp_begin = 0, warp_end = 0;
  if (first < rows) {
    warp_begin = given.offsets[given.text_of_row[first]];
    warp_end = given.offsets[given.text_of_row[min(first + 16, rows) - 1] + 1];
  }
  const int row_of[2] = {first + g, first + g + 8};
  int row_begin[2] = {0, 0}, row_end[2] = {0, 0};
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    if (row_of[r] >= rows) continue;
    const int text = given.text_of_row[row_of[r]];
    row_begin[r] = given.offsets[text];
    row_end[r] = given.offsets[text + 1];
  }

  // Queries: scaled so that scores are exponents of two.
  std::uint32_t query[D / 16][4];
  const float scale = kLog2E * rsqrtf(static_cast<float>(D));
#pragma unroll
  for (int step = 0; step < D / 16; ++step) {
#pragma unroll
    for (int part = 0; part < 4; ++part) {  // rows g, g + 8; then the same for the upper eight columns
      const int row = row_of[part % 2], at = column + 16 * step + 8 * (part / 2) + 2 * t;
      float2 x{0.0f, 0.0f};
      if (row < rows) {
        x = load_pair(given.query + row * given.query_stride + at);
        add_to(x, *reinterpret_cast<const float2*>(given.query_bias + at));
      }
      query[step][part] = packed<T>({x.x * scale, x.y * scale});
    }
  }

  float out[D / 8][4] = {};
  float most[2] = {-INFINITY, -INFINITY}, total[2] = {0.0f, 0.0f};
  for (int tile = begin; tile < end; tile += kKeys) {
    bool infinite = false;
    __syncthreads();
    for (int piece = threadIdx.x; piece < kKeys * D / 8; piece += blockDim.x) {
      const int key = piece / (D / 8), at = piece % (D / 8) * 8;
      uint4 k{}, v{};
      if (tile + key < end) {
        const std::size_t place = (tile + key) * given.stride + column + at;
        k = with_bias<T>(*reinterpret_cast<const uint4*>(given.key + place), given.key_bias + column + at);
        v = with_bias<T>(*reinterpret_cast<const uint4*>(given.value + place), given.value_bias + column + at);
      }
      infinite |= holds_infinite<T>(v.x) || holds_infinite<T>(v.y) || holds_infinite<T>(v.z) || holds_infinite<T>(v.w);
      *reinterpret_cast<uint4*>(&keys[key][at]) = k;
      *reinterpret_cast<uint4*>(&values[key][at]) = v;
    }
    const bool odd = __syncthreads_or(infinite);
    if (tile >= warp_end || tile + kKeys <= warp_begin) continue;

    float scores[kKeys / 8][4] = {};
#pragma unroll
    for (int step = 0; step < D / 16; ++step) {
#pragma unroll
      for (int pair = 0; pair < kKeys / 16; ++pair) {
        // Matrices: keys 0-7 with columns 0-7 and 8-15 of the step, then keys 8-15 with the same.
        std::uint32_t b[4];
        load_matrices(b, &keys[16 * pair + lane % 8 + lane / 16 * 8][16 * step + lane / 8 % 2 * 8]);
        multiply_add(T{}, scores[2 * pair], query[step], b[0], b[1]);
        multiply_add(T{}, scores[2 * pair + 1], query[step], b[2], b[3]);
      }
    }

    float largest[2] = {most[0], most[1]};
#pragma unroll
    for (int n = 0; n < kKeys / 8; ++n) {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const int key = tile + 8 * n + 2 * t + e % 2, r = e / 2;
        const bool is_key = key >= row_begin[r] && key < row_end[r] && (!given.key_mask || given.key_mask[key]);
        if (!is_key) scores[n][e] = -INFINITY;
        // fmaxf of a NaN and a number is the number; the NaN reappears as a weight below.
        largest[r] = fmaxf(largest[r], scores[n][e]);
      }
    }
    float sums[2] = {0.0f, 0.0f}, shrink[2], base[2];
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      largest[r] = fmaxf(largest[r], __shfl_xor_sync(kAllLanes, largest[r], 1));
      largest[r] = fmaxf(largest[r], __shfl_xor_sync(kAllLanes, largest[r], 2));
      base[r] = largest[r] == -INFINITY ? 0.0f : largest[r];
      shrink[r] = exp2f(most[r] - base[r]);
      most[r] = largest[r];
    }
#pragma unroll
    for (int n = 0; n < kKeys / 8; ++n) {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        scores[n][e] = exp2f(scores[n][e] - base[e / 2]);
        sums[e / 2] += scores[n][e];
      }
    }
#pragma unroll
    for (int r = 0; r < 2; ++r) total[r] = total[r] * shrink[r] + sums[r];
#pragma unroll
    for (int n = 0; n < D / 8; ++n) {
#pragma unroll
      for (int e = 0; e < 4; ++e) out[n][e] *= shrink[e / 2];
    }
    std::uint32_t weights[kKeys / 16][4];  // as a matmul takes its left side, which is as the one before left its sums
#pragma unroll
    for (int n = 0; n < kKeys / 8; ++n) {
      weights[n / 2][n % 2 * 2] = packed<T>({scores[n][0], scores[n][1]});
      weights[n / 2][n % 2 * 2 + 1] = packed<T>({scores[n][2], scores[n][3]});
    }
    if (!odd) {
#pragma unroll
      for (int n = 0; n < D / 8; n += 2) add_values<T, D>(out[n], out[n + 1], weights, values, 8 * n, 0, kKeys);
      continue;
    }
    // An infinite value of another text has weight 0, and the product would be NaN. So then the texts are computed one
    // after the other, with zeros for the values of other texts.
    for (int text = given.text_of_row[first]; text <= given.text_of_row[min(first + 16, rows) - 1]; ++text) {
      const int text_begin = given.offsets[text], text_end = given.offsets[text + 1];
#pragma unroll
      for (int n = 0; n < D / 8; n += 2) {
        float part[2][4] = {};
        add_values<T, D>(part[0], part[1], weights, values, 8 * n, text_begin - tile, text_end - tile);
#pragma unroll
        for (int e = 0; e < 8; ++e) {
          const int r = e / 2 % 2;
          if (row_of[r] < rows && row_begin[r] == text_begin) out[n + e / 4][e % 4] += part[e / 4][e % 4];
        }
      }
    }
  }

#pragma unroll
  for (int r = 0; r < 2; ++r) {
    total[r] += __shfl_xor_sync(kAllLanes, total[r], 1);
    total[r] += __shfl_xor_sync(kAllLanes, total[r], 2);
    if (row_of[r] >= rows) continue;
    const float inverse = 1.0f / total[r];
    T* to = given.out + static_cast<std::size_t>(row_of[r]) * given.heads * D + column;
#pragma unroll
    for (int n = 0; n < D / 8; ++n)
      store_pair(to + 8 * n + 2 * t, {out[n][2 * r] * inverse, out[n][2 * r + 1] * inverse});
  }
}

constexpr int kFirstWarps = 4;
constexpr int kAtOnce = 8;  // rows of values that are loaded at once

// Shared memory: the queries of the block's warps, at most 1 KB. A step takes 32 keys, one per lane; then each lane
// sums its own columns.
template <typename T, int D>
__global__ void __launch_bounds__(32 * kFirstWarps) attend_first_kernel(Attention<T> given) {
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int text = blockIdx.x * kFirstWarps + warp;
  if (text >= given.counts->texts) return;
  float* query = reinterpret_cast<float*>(dynamic_shared()) + warp * D;
  const int column = blockIdx.y * D, begin = given.offsets[text], end = given.offsets[text + 1];
  for (int i = lane; i < D; i += 32) {
    const float x =
        static_cast<float>(given.query[text * given.query_stride + column + i]) + given.query_bias[column + i];
    query[i] = x * kLog2E * rsqrtf(static_cast<float>(D));
  }
  __syncwarp();
  constexpr int kColumns = D / 32;  // of a lane
  float out[kColumns] = {};
  float most = -INFINITY, total = 0.0f;
  for (int tile = begin; tile < end; tile += 32) {
    const int key = tile + lane;
    float score = -INFINITY;
    if (key < end && (!given.key_mask || given.key_mask[key])) {
      const T* row = given.key + key * given.stride + column;
      score = 0.0f;
#pragma unroll
      for (int i = 0; i < D; i += 2) {
        float2 x = load_pair(row + i);
        add_to(x, *reinterpret_cast<const float2*>(given.key_bias + column + i));
        score += query[i] * x.x + query[i + 1] * x.y;
      }
    }
    float largest = fmaxf(most, score);
    for (int offset = 16; offset; offset /= 2) largest = fmaxf(largest, __shfl_xor_sync(kAllLanes, largest, offset));
    const float base = largest == -INFINITY ? 0.0f : largest;  // every key so far is masked, or all scores are NaN
    const float shrink = exp2f(most - base), weight = exp2f(score - base);
    most = largest;
    total = total * shrink + weight;
#pragma unroll
    for (int i = 0; i < kColumns; ++i) out[i] *= shrink;
    const int there = min(32, end - tile);
    for (int first = 0; first < there; first += kAtOnce) {
#pragma unroll
      for (int each = 0; each < kAtOnce; ++each) {
        const int other = first + each;
        const float share = __shfl_sync(kAllLanes, weight, other);
        // Beyond the text its last row is read but not used, since an infinite value with weight 0 would give NaN.
        const T* row = given.value + (tile + min(other, there - 1)) * given.stride + column;
#pragma unroll
        for (int i = 0; i < kColumns; ++i) {
          const float product = share * static_cast<float>(row[lane + 32 * i]);
          out[i] += other < there ? product : 0.0f;
        }
      }
    }
  }
  total = warp_sum(total);
#pragma unroll
  for (int i = 0; i < kColumns; ++i) {
    const int at = column + lane + 32 * i;
    given.out[static_cast<std::size_t>(text) * given.heads * D + at] =
        static_cast<T>(out[i] / total + given.value_bias[at]);
  }
}

}  // namespace

template <typename T>
void attend(const Attention<T>& given, int head_size, int rows, cudaStream_t stream) {
  const dim3 grid((rows + kRows - 1) / kRows, given.heads);
  if (head_size == 32)
    launch(attend_kernel<T, 32>, grid, 128, sizeof(Tiles<T, 32>), stream, given);
  else
    launch(attend_kernel<T, 64>, grid, 128, sizeof(Tiles<T, 64>), stream, given);
}

template <typename T>
void attend_first(const Attention<T>& given, int head_size, int texts, cudaStream_t stream) {
  const dim3 grid((texts + kFirstWarps - 1) / kFirstWarps, given.heads);
  const std::size_t bytes = kFirstWarps * head_size * sizeof(float);
  if (head_size == 32)
    launch(attend_first_kernel<T, 32>, grid, 32 * kFirstWarps, bytes, stream, given);
  else
    launch(attend_first_kernel<T, 64>, grid, 32 * kFirstWarps, bytes, stream, given);
}

template <typename T>
void load_attention_kernels() {
  load_kernel(attend_kernel<T, 32>, sizeof(Tiles<T, 32>));
  load_kernel(attend_kernel<T, 64>, sizeof(Tiles<T, 64>));
  load_kernel(attend_first_kernel<T, 32>);
  load_kernel(attend_first_kernel<T, 64>);
}

#define LITEFT_FOR(T)                                                   \
  template void load_attention_kernels<T>();                            \
  template void attend<T>(const Attention<T>&, int, int, cudaStream_t); \
  template void attend_first<T>(const Attention<T>&, int, int, cudaStream_t);
LITEFT_FOR(__half)
LITEFT_FOR(__nv_bfloat16)

}  // namespace liteft::cuda
