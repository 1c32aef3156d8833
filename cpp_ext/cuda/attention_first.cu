// Softmax attention in the last layer of a model that pools the first row: only the first row of each text is a query.
//
// A block computes one head of one text. A group of lanes reads a key, and then its value, in pieces of 16 bytes that
// lie side by side; each group takes every so many keys, with a softmax of its own, and the groups' results are merged
// at the end. Which keys a group takes depends on their place in the text alone, and so does the order of all sums.

#include <cmath>

#include "cuda/device.cuh"
#include "cuda/kernels.h"
#include "cuda/vectors.cuh"

namespace liteft::cuda {
namespace {

constexpr int kWarps = 4;   // of a block
constexpr int kAtOnce = 4;  // keys that a group loads at once
constexpr unsigned kAllLanes = 0xffffffffu;

// What a group, a warp or a block has so far: the largest score, and sums of weights and of weighted values.
struct Part {
  float most = -INFINITY, total = 0.0f, out[8] = {};

  // Lowers all weights to what they are beside a larger score; `scale` makes scores exponents of two.
  __device__ void rise_to(float largest, float scale) {
    const float base = largest == -INFINITY ? 0.0f : largest;  // every key so far is masked
    const float shrink = exp2_fast((most - base) * scale);
    most = largest;
    total *= shrink;
#pragma unroll
    for (int i = 0; i < 8; ++i) out[i] *= shrink;
  }
};

// The places of a block's warps in shared memory, each with the head's columns, the largest score and the total.
template <int D>
struct Parts {
  float out[kWarps][D], most[kWarps], total[kWarps];
};

template <typename T, int D>
__global__ void __launch_bounds__(32 * kWarps) attend_first_rows_kernel(Attention<T> given) {
  wait_for_inputs();
  constexpr int kLanes = D / 8, kGroups = 32 / kLanes;  // lanes of a key, and keys side by side
  constexpr int kStep = kGroups * kAtOnce;              // keys of a warp at once
  const int text = blockIdx.x, warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  if (text >= given.counts->texts) return;
  const int begin = given.offsets[text], end = given.offsets[text + 1];
  const int column = blockIdx.y * D + lane % kLanes * 8;
  constexpr float scale = kScoreScale<D>;
  float query[8];
  unpack_eight<T>(load_words(given.query + text * given.query_stride + column), query);

  Part part;
  for (int tile = begin + warp * kStep; tile < end; tile += kWarps * kStep) {
    uint4 keys[kAtOnce], values[kAtOnce];
    bool there[kAtOnce];
#pragma unroll
    for (int each = 0; each < kAtOnce; ++each) {
      const int key = tile + each * kGroups + lane / kLanes;
      there[each] = key < end;
      // Beyond the text zeros are multiplied, since an infinite value with weight 0 would give NaN.
      keys[each] = values[each] = uint4{0, 0, 0, 0};
      if (there[each]) {
        keys[each] = load_words(given.key + key * given.stride + column);
        values[each] = load_words(given.value + key * given.stride + column);
        there[each] = !given.key_mask || given.key_mask[key];
      }
    }
    float scores[kAtOnce], largest = part.most;
#pragma unroll
    for (int each = 0; each < kAtOnce; ++each) {
      float key[8], sum = 0.0f;
      unpack_eight<T>(keys[each], key);
#pragma unroll
      for (int i = 0; i < 8; ++i) sum += query[i] * key[i];
#pragma unroll
      for (int offset = kLanes / 2; offset; offset /= 2) sum += __shfl_xor_sync(kAllLanes, sum, offset);
      scores[each] = there[each] ? sum : -INFINITY;
      largest = fmaxf(largest, scores[each]);
    }
    part.rise_to(largest, scale);
    const float base = largest == -INFINITY ? 0.0f : largest;
#pragma unroll
    for (int each = 0; each < kAtOnce; ++each) {
      const float weight = exp2_fast((scores[each] - base) * scale);
      float value[8];
      unpack_eight<T>(values[each], value);
      part.total += weight;
#pragma unroll
      for (int i = 0; i < 8; ++i) part.out[i] += weight * value[i];
    }
  }

  float largest = part.most;
#pragma unroll
  for (int offset = kLanes; offset < 32; offset *= 2)
    largest = fmaxf(largest, __shfl_xor_sync(kAllLanes, largest, offset));
  part.rise_to(largest, scale);
#pragma unroll
  for (int offset = kLanes; offset < 32; offset *= 2) {
    part.total += __shfl_xor_sync(kAllLanes, part.total, offset);
#pragma unroll
    for (int i = 0; i < 8; ++i) part.out[i] += __shfl_xor_sync(kAllLanes, part.out[i], offset);
  }

  T* const to = given.out + static_cast<std::size_t>(text) * given.heads * D + column;
  const int warps = min(kWarps, (end - begin + kStep - 1) / kStep);  // that have a key
  if (warps > 1) {
    auto& parts = *reinterpret_cast<Parts<D>*>(dynamic_shared());
    if (lane < kLanes) {
#pragma unroll
      for (int i = 0; i < 8; ++i) parts.out[warp][8 * lane + i] = part.out[i];
      parts.most[warp] = part.most;
      parts.total[warp] = part.total;
    }
    __syncthreads();
    if (warp == 0 && lane < kLanes) {
      for (int other = 1; other < warps; ++other) largest = fmaxf(largest, parts.most[other]);
      part.rise_to(largest, scale);
      for (int other = 1; other < warps; ++other) {
        Part more;
        more.most = parts.most[other], more.total = parts.total[other];
#pragma unroll
        for (int i = 0; i < 8; ++i) more.out[i] = parts.out[other][8 * lane + i];
        more.rise_to(largest, scale);
        part.total += more.total;
#pragma unroll
        for (int i = 0; i < 8; ++i) part.out[i] += more.out[i];
      }
    }
  }
  if (warp != 0 || lane >= kLanes) return;
  float y[8];
#pragma unroll
  for (int i = 0; i < 8; ++i) y[i] = part.out[i] / part.total;
  store_eight(to, y);
}

}  // namespace

template <typename T>
void attend_first(const Attention<T>& given, int head_size, int texts, cudaStream_t stream) {
  const dim3 grid(texts, given.heads);
  if (head_size == 32)
    launch_early(attend_first_rows_kernel<T, 32>, grid, 32 * kWarps, sizeof(Parts<32>), stream, given);
  else
    launch_early(attend_first_rows_kernel<T, 64>, grid, 32 * kWarps, sizeof(Parts<64>), stream, given);
}

template <typename T>
void load_attend_first_kernels() {
  load_kernel(attend_first_rows_kernel<T, 32>);
  load_kernel(attend_first_rows_kernel<T, 64>);
}

#define LITEFT_FOR(T)                           \
  template void load_attend_first_kernels<T>(); \
  template void attend_first<T>(const Attention<T>&, int, int, cudaStream_t);
LITEFT_FOR(__half)
LITEFT_FOR(__nv_bfloat16)

}  // namespace liteft::cuda
