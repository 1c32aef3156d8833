// A forward pass in one cooperative kernel: at most one block on each multiprocessor, all of which run at once.
//
// Five times a layer, blocks need what others computed: queries, keys and values, the context, and the outputs of the
// three other matmuls. No block waits for the others as a whole: each reads the words that it needs until they are
// there (exchange.cuh). Every layer has memory of its own for these words, and chunks use two sets of it in turn: while
// one is written, what the chunk before left in the other one is cleared.
//
// A matmul's outputs are dealt out to the blocks 16 at a time; the warps of a block share its inputs, and add up their
// sums in shared memory. Weights do not depend on the other blocks: each warp copies those that it needs next, over the
// borders of matmuls and layers, as far ahead as shared memory allows. Every block normalizes all rows itself, into
// shared memory: that takes less time than to wait for others that do.
//
// The order of every sum depends on the model alone.

#include <algorithm>
#include <cmath>

#include "cuda/activations.cuh"
#include "cuda/device.cuh"
#include "cuda/exchange.cuh"
#include "cuda/short_forward.h"
#include "cuda/vectors.cuh"

namespace liteft::cuda {
namespace {

constexpr int kWarps = 8, kThreads = 32 * kWarps;
constexpr int kColumns = 16;     // outputs of a block at a time
constexpr int kStep = 32;        // inputs of a warp at a time
constexpr int kInputs = 768;     // inputs of a stage of weights
constexpr int kPadding = 8;      // values after a row in shared memory, so that eight rows are in different banks
constexpr int kMostWidth = 768;  // of a row that stays in registers: two values of a lane every 64, or four every 128
constexpr int kMostPairs = kMostWidth / 64, kMostFours = kMostWidth / 128;
constexpr int kMostScalings = kMostWidth / kThreads;
constexpr int kGroup = 32;  // rows whose sums are added up at a time
constexpr int kFewRows = 32, kManyRows = 128;
constexpr int kFewestStages = 2, kMostStages = 6;
constexpr unsigned kAllLanes = 0xffffffffu;

// Shared memory of a block: this, factors and shifts (width), the stages of weights, normalized rows (rows, width +
// kPadding), and the layers.
struct Sums {
  float of_warps[2][kWarps][kGroup][kColumns + 2];  // one is written while the other one may still be read
};
template <typename T>
constexpr int kStageBytes = kInputs * kColumns * static_cast<int>(sizeof(T));
template <typename T>
std::size_t shared_bytes(int rows, int width, int layers, int stages) {
  return sizeof(Sums) + width * sizeof(float2) + stages * kStageBytes<T> + layers * sizeof(ShortLayer<T>) +
         static_cast<std::size_t>(rows) * (width + kPadding) * sizeof(T);
}
// As many stages as fit; 0 if too few do.
template <typename T>
int stages_of(int rows, int width, int layers, std::size_t shared) {
  int stages = kMostStages;
  while (stages >= kFewestStages && shared_bytes<T>(rows, width, layers, stages) > shared) --stages;
  return stages < kFewestStages ? 0 : stages;
}
// Words of a row that blocks hand to each other: (3 width), (width), (width), (inner), (width).
struct Columns {
  int projected, context, middle, hidden, sums, all;
  __host__ __device__ Columns(int width, int inner)
      : projected(0),
        context(3 * width),
        middle(4 * width),
        hidden(5 * width),
        sums(5 * width + inner),
        all(6 * width + inner) {}
};

__device__ int lane() { return threadIdx.x % 32; }
__device__ int warp() { return threadIdx.x / 32; }

// Where 8 of the 16 values of a row of a stage lie: the places of four rows are changed with each other, so that what
// ldmatrix reads at once is in different banks, be it eight rows one after the other or every fourth pair of rows.
__device__ int place_in_stage(int row, int half) {
  const int line = row / 4, turn = (line ^ line >> 1) % 2 + line / 4 % 2 * 4;
  return 64 * line + 8 * ((row % 4 * 2 + half) ^ turn);
}

// A stage of weights that is copied next: piece `number` of a matmul.
struct Upcoming {
  int layer = 0, matmul = 0, number = 0;
};

template <typename T>
struct Block {
  const ShortModel<T>& model;
  const ShortChunk& chunk;
  Sums& sums;
  T* stages;  // in shared memory
  const ShortLayer<T>* layers;
  T* normed;
  float *scale, *shift;  // of normalized values, in shared memory
  T* exchange;           // of this chunk
  Columns columns;
  int rows, texts;
  Upcoming upcoming{};
  int to_fetch = 0, to_use = 0, to_add = 0;  // the next stages, and sums
  float2 scalings[kMostScalings]{};          // of this thread's columns, for the next norm

  __device__ T* normed_row(int row) const { return normed + row * (model.width + kPadding); }
  // A row of what blocks hand to each other.
  __device__ T* row_of(int layer, int row) const {
    return exchange + (static_cast<std::size_t>(layer) * model.most_rows + row) * columns.all;
  }
  // Tiles of kColumns outputs that this block computes of a matmul, and the parts of their inputs.
  __device__ static int tiles_of(const ShortLinear<T>& linear) {
    const int all = linear.outputs / kColumns, first = static_cast<int>(blockIdx.x);
    return first < all ? (all - first - 1) / static_cast<int>(gridDim.x) + 1 : 0;
  }
  __device__ static int parts_of(const ShortLinear<T>& linear) { return (linear.inputs + kInputs - 1) / kInputs; }
  __device__ static int column_of(int tile) { return (blockIdx.x + tile * gridDim.x) * kColumns; }

  // Starts to copy what this warp multiplies of a piece: a part of the inputs of a tile.
  __device__ void fetch(const ShortLinear<T>& linear, int number) {
    const int parts = parts_of(linear), first = number % parts * kInputs, column = column_of(number / parts);
    const int inputs = min(kInputs, linear.inputs - first);
    T* const to = stages + to_fetch * (kInputs * kColumns);
#pragma unroll 1
    for (int step = warp(); step < inputs / kStep; step += kWarps) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const int row = kStep * step + lane() / 2 + 16 * i, half = lane() % 2;
        copy_async(to + place_in_stage(row, half),
                   linear.weights + static_cast<std::size_t>(first + row) * linear.outputs + column + 8 * half);
      }
    }
  }
  // Fetches the next piece, whatever matmul it belongs to; after the last one, nothing.
  __device__ void fetch_next() {
    while (upcoming.layer <= model.count) {
      const bool of_head = upcoming.layer == model.count;
      const ShortLinear<T>& linear = of_head ? model.dense : layers[upcoming.layer].matmuls[upcoming.matmul];
      if (linear.weights && upcoming.number < tiles_of(linear) * parts_of(linear)) {
        fetch(linear, upcoming.number++);
        break;
      }
      const int next = of_head ? kMatmuls : upcoming.matmul + 1;
      upcoming = {upcoming.layer + next / kMatmuls, next % kMatmuls, 0};
    }
    end_copies();
    to_fetch = after(to_fetch);
  }
  __device__ int after(int stage) const { return stage + 1 < model.stages ? stage + 1 : 0; }
  // Waits for the stage that is used next.
  __device__ void wait_for_stage() const {
    static_assert(kMostStages == 6);
    switch (model.stages) {  // each use of a stage was followed by a fetch
      case 2: wait_copies<1>(); break;
      case 3: wait_copies<2>(); break;
      case 4: wait_copies<3>(); break;
      case 5: wait_copies<4>(); break;
      default: wait_copies<5>(); break;
    }
    __syncwarp();
  }

  // total += x weights over the warp's share of a part's inputs, for x in shared memory.
  template <int M>
  __device__ void multiply_normed(float (&total)[M][2][4], const T* weights, int first, int inputs) const {
#pragma unroll 1
    for (int step = warp(); step < inputs / kStep; step += kWarps) {
#pragma unroll
      for (int k = 0; k < kStep; k += 16) {
        std::uint32_t b[4];
        load_matrices_across(b, weights + place_in_stage(kStep * step + k + lane() % 16, lane() / 16));
#pragma unroll
        for (int m = 0; m < M; ++m) {
          if (16 * m >= rows) continue;
          std::uint32_t a[4];
          load_matrices(a, normed_row(16 * m + lane() % 16) + first + kStep * step + k + lane() / 16 * 8);
          multiply_add(T{}, total[m][0], a, b[0], b[1]);
          multiply_add(T{}, total[m][1], a, b[2], b[3]);
        }
      }
    }
  }
  // The same for x handed over: rows from `x` on. A lane reads eight inputs at once; the product takes the inputs in
  // that order.
  template <int M>
  __device__ void multiply_handed(float (&total)[M][2][4], const T* weights, const T* x, int inputs) const {
    constexpr int kSteps = M == 2 ? 3 : 1;  // whose inputs are read at once
#pragma unroll 1
    for (int begin = warp(); begin < inputs / kStep; begin += kSteps * kWarps) {
      const int last = inputs / kStep - 1;
      multiply_handed_steps<kSteps, 0>(total, weights, x, begin, last);
      if constexpr (M > 2) {
        multiply_handed_steps<kSteps, 2>(total, weights, x, begin, last);
        multiply_handed_steps<kSteps, 4>(total, weights, x, begin, last);
        multiply_handed_steps<kSteps, 6>(total, weights, x, begin, last);
      }
    }
  }
  // Of two tiles of 16 rows, from tile `First` on.
  template <int Steps, int First, int M>
  __device__ void multiply_handed_steps(float (&total)[M][2][4], const T* weights, const T* x, int begin,
                                        int last) const {
    constexpr int kTiles = 2;
    if (16 * First >= rows) return;
    const int g = lane() / 4, t = lane() % 4;
    uint4 a[Steps * kTiles * 2];
    take(wanted(
        a, x + kStep * begin + 8 * t,
        [&](int i) { return begin + i / (2 * kTiles) * kWarps <= last && 16 * First + i % (2 * kTiles) * 8 < rows; },
        [&](int i) {
          const int row = min(16 * First + i % (2 * kTiles) * 8 + g, rows - 1);
          return row * columns.all + i / (2 * kTiles) * (kStep * kWarps);
        }));
#pragma unroll
    for (int i = 0; i < Steps; ++i) {
      const int step = begin + i * kWarps;
      if (step > last) break;
#pragma unroll
      for (int upper = 0; upper < 2; ++upper) {
        const int input = lane() % 8 / 2 * 8 + lane() % 2 + lane() % 16 / 8 * 2 + 4 * upper;
        std::uint32_t b[4];
        load_matrices_across(b, weights + place_in_stage(kStep * step + input, lane() / 16));
#pragma unroll
        for (int m = 0; m < kTiles; ++m) {
          if (16 * (First + m) >= rows) continue;
          const uint4 &low = a[(i * kTiles + m) * 2], &high = a[(i * kTiles + m) * 2 + 1];
          const std::uint32_t of_m[4] = {upper ? low.z : low.x, upper ? high.z : high.x, upper ? low.w : low.y,
                                         upper ? high.w : high.y};
          multiply_add(T{}, total[First + m][0], of_m, b[0], b[1]);
          multiply_add(T{}, total[First + m][1], of_m, b[2], b[3]);
        }
      }
    }
  }

  // What this thread adds to the sums of a tile.
  __device__ static float2 bias_of(const ShortLinear<T>& linear, int tile) {
    if (tile >= tiles_of(linear)) return {};
    return *reinterpret_cast<const float2*>(linear.bias + column_of(tile) + threadIdx.x % 8 * 2);
  }
  // store(row, column, sums of two columns, biased) for all outputs of x weights that this block computes; x is rows
  // that were handed over, or the normalized rows. bias_of(linear, 0) was loaded before, or is loaded while this waits.
  template <int M, bool Handed, typename Store>
  __device__ void matmul(const ShortLinear<T>& linear, float2 next_bias, const T* x, const Store& store) {
    const int parts = parts_of(linear), pieces = tiles_of(linear) * parts;
    float total[M][2][4] = {};
    float2 bias{};
#pragma unroll 1
    for (int number = 0; number < pieces; ++number) {
      const int first = number % parts * kInputs, column = column_of(number / parts);
      const int inputs = min(kInputs, linear.inputs - first);
      if (first == 0) bias = next_bias, next_bias = bias_of(linear, number / parts + 1);
      const T* const weights = stages + to_use * (kInputs * kColumns);
      to_use = after(to_use);
      wait_for_stage();
      if constexpr (Handed)
        multiply_handed(total, weights, x + first, inputs);
      else
        multiply_normed(total, weights, first, inputs);
      __syncwarp();  // all lanes are done with the weights
      if (number % parts == parts - 1) {
        add_up(total, column, bias, store);
#pragma unroll
        for (int m = 0; m < M; ++m) {
#pragma unroll
          for (int e = 0; e < 8; ++e) total[m][e / 4][e % 4] = 0.0f;
        }
      }
      fetch_next();
    }
  }

  // Adds the warps' sums, and hands each pair of columns to `store`.
  template <int M, typename Store>
  __device__ void add_up(const float (&total)[M][2][4], int column, float2 bias, const Store& store) {
    static_assert(kThreads == kGroup * kColumns / 2);
    const int g = lane() / 4, t = lane() % 4, place = threadIdx.x / 8, at = threadIdx.x % 8 * 2;
#pragma unroll
    for (int first = 0; first < M; first += kGroup / 16) {
      if (16 * first >= rows) break;
      auto& of_warps = sums.of_warps[to_add];
      to_add ^= 1;
#pragma unroll
      for (int m = 0; m < kGroup / 16; ++m) {
#pragma unroll
        for (int n = 0; n < 2; ++n) {
#pragma unroll
          for (int e = 0; e < 4; e += 2)
            *reinterpret_cast<float2*>(&of_warps[warp()][16 * m + g + e / 2 * 8][8 * n + 2 * t]) = {
                total[first + m][n][e], total[first + m][n][e + 1]};
        }
      }
      __syncthreads();
      const int row = 16 * first + place;
      if (row < rows) {
        float2 sum{0.0f, 0.0f};
#pragma unroll
        for (int each = 0; each < kWarps; ++each)
          add_to(sum, *reinterpret_cast<const float2*>(&of_warps[each][place][at]));
        add_to(sum, bias);
        store(row, column + at, sum);
      }
    }
  }
  __device__ static void hand_pair(T* place, float2 x) { hand(reinterpret_cast<std::uint32_t*>(place), packed<T>(x)); }

  // Loads what the next norm scales with, long before it is waited for.
  __device__ void load_scalings(const ShortNorm& norm) {
#pragma unroll
    for (int i = 0; i < kMostScalings; ++i) {
      const int column = kThreads * i + threadIdx.x;
      scalings[i] = column < model.width ? float2{norm.gamma[column], norm.beta[column]} : float2{};
    }
  }
  __device__ void begin_norm() const {
#pragma unroll
    for (int i = 0; i < kMostScalings; ++i) {
      const int column = kThreads * i + threadIdx.x;
      if (column < model.width) scale[column] = scalings[i].x, shift[column] = scalings[i].y;
    }
    __syncthreads();  // all threads have written that, and are done with the rows that were there
  }
  // Whether a lane has the four values of a row at 128 step + 4 lane(): always, but in the last step of some widths.
  __device__ bool has_four(int step) const { return 128 * step + 4 * lane() < model.width; }
  // Normalizes row `first` and each eighth one after it, `Rows` in all, into shared memory: value(i, step) is four
  // values of the i-th of them, or zeros.
  template <int Rows, typename Value>
  __device__ void normalize(int first, const Value& value) const {
    const float share = reciprocal(static_cast<float>(model.width));
    float mean[Rows], inverse[Rows];
#pragma unroll
    for (int i = 0; i < Rows; ++i) {
      mean[i] = 0.0f;
#pragma unroll
      for (int step = 0; step < kMostFours; ++step) {
        const float4 x = value(i, step);
        mean[i] += (x.x + x.y) + (x.z + x.w);
      }
    }
#pragma unroll
    for (int i = 0; i < Rows; ++i) mean[i] = warp_sum(mean[i]) * share;
#pragma unroll
    for (int i = 0; i < Rows; ++i) inverse[i] = 0.0f;
#pragma unroll
    for (int step = 0; step < kMostFours; ++step) {
      if (!has_four(step)) continue;
#pragma unroll
      for (int i = 0; i < Rows; ++i) {
        float4 x = value(i, step);
        x.x -= mean[i], x.y -= mean[i], x.z -= mean[i], x.w -= mean[i];
        inverse[i] += x.x * x.x + x.y * x.y + x.z * x.z + x.w * x.w;
      }
    }
#pragma unroll
    for (int i = 0; i < Rows; ++i) {
      inverse[i] = rsqrtf(warp_sum(inverse[i]) * share + model.epsilon);
      mean[i] *= -inverse[i];
    }
#pragma unroll
    for (int step = 0; step < kMostFours; ++step) {
      if (!has_four(step)) continue;
      const int column = 128 * step + 4 * lane();
      const float4 factor = *reinterpret_cast<const float4*>(scale + column),
                   added = *reinterpret_cast<const float4*>(shift + column);
#pragma unroll
      for (int i = 0; i < Rows; ++i) {
        const float4 x = value(i, step);
        const uint2 normalized = {packed<T>({(x.x * inverse[i] + mean[i]) * factor.x + added.x,
                                             (x.y * inverse[i] + mean[i]) * factor.y + added.y}),
                                  packed<T>({(x.z * inverse[i] + mean[i]) * factor.z + added.z,
                                             (x.w * inverse[i] + mean[i]) * factor.w + added.w})};
        if (first + kWarps * i < rows) *reinterpret_cast<uint2*>(normed_row(first + kWarps * i) + column) = normalized;
      }
    }
  }
  __device__ static float4 unpack_four(const uint2& words) {
    const float2 low = unpacked<T>(words.x), high = unpacked<T>(words.y);
    return {low.x, low.y, high.x, high.y};
  }
  __device__ static void add_four(float4& sum, const T* four) {
    const float4 x = unpack_four(*reinterpret_cast<const uint2*>(four));
    sum.x += x.x, sum.y += x.y, sum.z += x.z, sum.w += x.w;
  }
  // Of rows that were handed over. A block that took no part in their computation has time to wait for the first word.
  template <int M>
  __device__ void normalize_handed(const T* from, bool idle) const {
    constexpr int kRows = M == 2 ? 4 : 2;
    begin_norm();
#pragma unroll 1
    for (int first = warp(); first < rows; first += kRows * kWarps) {
      uint2 words[kRows * kMostFours];
      const auto place = [&](int i) {
        return min(first + i / kMostFours * kWarps, rows - 1) * columns.all + i % kMostFours * 128;
      };
      if (idle && has_four(0)) wait_for_one(from + place(0) + 4 * lane());
      take(wanted(words, from + 4 * lane(), [&](int i) { return has_four(i % kMostFours); }, place));
      normalize<kRows>(first, [&](int i, int step) { return unpack_four(words[i * kMostFours + step]); });
    }
    __syncthreads();
  }
  __device__ void embed() const {
    constexpr int kRows = 2;
    begin_norm();
    const std::size_t width = model.width;
#pragma unroll 1
    for (int first = warp(); first < rows; first += kRows * kWarps) {
      float4 x[kRows][kMostFours];
#pragma unroll
      for (int i = 0; i < kRows; ++i) {
        const int row = min(first + kWarps * i, rows - 1);
        const T *word = model.words + chunk.ids[row] * width + 4 * lane(),
                *place = model.places + chunk.positions[row] * width + 4 * lane(),
                *kind = model.kinds ? model.kinds + (chunk.types ? chunk.types[row] : 0) * width + 4 * lane() : nullptr;
#pragma unroll
        for (int step = 0; step < kMostFours; ++step) {
          x[i][step] = {0.0f, 0.0f, 0.0f, 0.0f};
          if (!has_four(step)) continue;
          add_four(x[i][step], word + 128 * step);
          add_four(x[i][step], place + 128 * step);
          if (kind) add_four(x[i][step], kind + 128 * step);
        }
      }
      normalize<kRows>(first, [&](int i, int step) { return x[i][step]; });
    }
    __syncthreads();
  }

  // A warp computes a head of a row. Lanes have a key each, then two columns of the values: of every key, or of every
  // second one where a head has but 32 columns.
  template <int D>
  __device__ void attend(int layer) const {
    constexpr float scale = kScoreScale<D>;
    constexpr int kLanes = D / 2, kApart = 32 / kLanes;  // lanes for a key's values, and keys at once
    const int of_lane = lane() / kLanes, pair = lane() % kLanes * 2;
#pragma unroll 1
    for (int item = warp() * gridDim.x + blockIdx.x; item < rows * model.heads; item += gridDim.x * kWarps) {
      const int row = item / model.heads, column = item % model.heads * D;
      const int text = chunk.text_of_row[row], begin = chunk.offsets[text], end = chunk.offsets[text + 1];
      const auto always = [](int) { return true; };
      const auto apart = [](int i) { return 8 * i; };
      const T* const projected = row_of(layer, 0) + columns.projected + column;
      float most = -INFINITY, total = 0.0f;
      float2 out{0.0f, 0.0f};
#pragma unroll 1
      for (int tile = begin; tile < end; tile += 32) {
        const int key = min(tile + lane(), end - 1);
        const bool counts = tile + lane() < end && (!chunk.key_mask || chunk.key_mask[key]);
        uint4 query[D / 8], keys[D / 8];
        std::uint32_t values[D / 2];
        take(wanted(query, projected + row * columns.all, always, apart),
             wanted(keys, projected + model.width + key * columns.all, always, apart),
             wanted(
                 values, projected + 2 * model.width + pair, [&](int i) { return tile + kApart * i < end; },
                 [&](int i) { return min(tile + kApart * i + of_lane, end - 1) * columns.all; }));
        float score = counts ? 0.0f : -INFINITY;
#pragma unroll
        for (int piece = 0; piece < D / 8; ++piece) {
          float q[8], k[8];
          unpack_eight<T>(query[piece], q);
          unpack_eight<T>(keys[piece], k);
#pragma unroll
          for (int i = 0; i < 8; ++i) score += counts ? q[i] * k[i] : 0.0f;
        }
        float largest = fmaxf(most, score);
        for (int offset = 16; offset; offset /= 2)
          largest = fmaxf(largest, __shfl_xor_sync(kAllLanes, largest, offset));
        const float base = largest == -INFINITY ? 0.0f : largest;  // every key so far is masked
        const float shrink = exp2_fast((most - base) * scale), weight = exp2_fast((score - base) * scale);
        most = largest;
        total = total * shrink + weight;
        out.x *= shrink, out.y *= shrink;
#pragma unroll
        for (int i = 0; i < D / 2; ++i) {
          const float share = __shfl_sync(kAllLanes, weight, kApart * i + of_lane);
          const float2 value = unpacked<T>(values[i]);
          out.x += share * value.x, out.y += share * value.y;
        }
      }
      total = warp_sum(total);
      if (kApart == 2) add_to(out, {__shfl_xor_sync(kAllLanes, out.x, 16), __shfl_xor_sync(kAllLanes, out.y, 16)});
      if (of_lane == 0) hand_pair(row_of(layer, row) + columns.context + column + pair, {out.x / total, out.y / total});
    }
  }

  // Clears what the chunk before this one left in a layer's part of the other set, and brings this set's part for the
  // next layer to the L2 cache.
  __device__ void clear_and_prefetch(int layer, T* other, int left) const {
    const int threads = gridDim.x * kThreads, thread = blockIdx.x * kThreads + threadIdx.x;
    uint4* const words =
        reinterpret_cast<uint4*>(other + static_cast<std::size_t>(layer) * model.most_rows * columns.all);
#pragma unroll 1
    for (int at = thread; at < left * columns.all / 8; at += threads) clear(words + at);
    if (layer == model.count) return;
#pragma unroll 1
    for (int at = 64 * thread; at < rows * columns.all; at += 64 * threads) prefetch(row_of(layer + 1, 0) + at);
  }

  // Rows that are classified: the first of each text, their means, or all.
  __device__ int classified_rows() const { return model.pooling == LITEFT_NONE ? rows : texts; }

  // Replaces normalized rows by one for each text. A text's row is not after its own rows, and a thread has the same
  // columns of all rows, so nothing is read after it was replaced.
  __device__ void pool() const {
#pragma unroll 1
    for (int column = 2 * threadIdx.x; column < model.width; column += 2 * kThreads) {
#pragma unroll 1
      for (int text = 0; text < texts; ++text) {
        float2 sum{0.0f, 0.0f};
        int counted = 0;
        const int begin = chunk.offsets[text], end = model.pooling == LITEFT_CLS ? begin + 1 : chunk.offsets[text + 1];
#pragma unroll 1
        for (int row = begin; row < end; ++row) {
          if (model.pooling == LITEFT_MEAN && chunk.key_mask && !chunk.key_mask[row]) continue;
          add_to(sum, load_pair(normed_row(row) + column));
          ++counted;
        }
        store_pair(normed_row(text) + column, {sum.x / counted, sum.y / counted});
      }
    }
    __syncthreads();
  }

  __device__ int pairs() const { return model.width / 64; }
  // A warp computes a label of a row; gather(row, x) gives its values.
  template <typename Gather>
  __device__ void classify(const Gather& gather) const {
    const int count = classified_rows() * model.labels;
#pragma unroll 1
    for (int place = blockIdx.x * kWarps + warp(); place < count; place += gridDim.x * kWarps) {
      const int label = place % model.labels;
      const float* const weights = model.classifier + label * model.width + 2 * lane();
      std::uint32_t x[kMostPairs];
      gather(place / model.labels, x);
      float sum = 0.0f;
#pragma unroll
      for (int step = 0; step < kMostPairs; ++step) {
        if (step >= pairs()) break;
        const float2 a = unpacked<T>(x[step]), b = *reinterpret_cast<const float2*>(weights + 64 * step);
        sum += a.x * b.x + a.y * b.y;
      }
      sum = warp_sum(sum);
      if (lane() == 0) model.logits[place] = sum + model.classifier_bias[label];
    }
  }
  __device__ void classify_normed() const {
    classify([&](int row, std::uint32_t (&x)[kMostPairs]) {
#pragma unroll
      for (int step = 0; step < kMostPairs; ++step) {
        if (step < pairs()) x[step] = reinterpret_cast<const std::uint32_t*>(normed_row(row))[32 * step + lane()];
      }
    });
  }
  __device__ void classify_handed(const T* from) const {
    classify([&](int row, std::uint32_t (&x)[kMostPairs]) {
      take(wanted(
          x, from + row * columns.all + 2 * lane(), [&](int i) { return i < pairs(); }, [](int i) { return 64 * i; }));
    });
  }
};

template <typename T, int D, int M>
__global__ void __launch_bounds__(kThreads, 1) short_forward_kernel(ShortModel<T> model, ShortChunk chunk) {
  const int width = model.width, rows = chunk.counts->rows;
  char* const shared = dynamic_shared();
  auto* const scale = reinterpret_cast<float*>(shared + sizeof(Sums));
  T* const stages = reinterpret_cast<T*>(scale + 2 * width);
  T* const normed = stages + model.stages * (kInputs * kColumns);
  auto* const layers = reinterpret_cast<ShortLayer<T>*>(normed + model.bucket_rows * (width + kPadding));
  const Columns columns(width, model.inner);
  const std::size_t set = (model.count + 1) * static_cast<std::size_t>(model.most_rows) * columns.all;
  const unsigned turn = model.turns->number % 2;
  T *const mine = model.exchange + turn * set, *const other = model.exchange + (1 - turn) * set;
  const int left = model.turns->rows[1 - turn];

  static_assert(sizeof(ShortLayer<T>) % 8 == 0);
#pragma unroll 1
  for (int at = threadIdx.x; at < model.count * static_cast<int>(sizeof(ShortLayer<T>) / 8); at += kThreads)
    reinterpret_cast<std::uint64_t*>(layers)[at] = reinterpret_cast<const std::uint64_t*>(model.layers)[at];
  __syncthreads();
  Block<T> block{model,   chunk,         *reinterpret_cast<Sums*>(shared),
                 stages,  layers,        normed,
                 scale,   scale + width, mine,
                 columns, rows,          chunk.counts->texts};
  block.load_scalings(model.embedding_norm);
#pragma unroll 1
  for (int stage = 0; stage < model.stages; ++stage) block.fetch_next();
  const T* sums = nullptr;  // of the layer before
  const auto normalize_sums = [&](const ShortLayer<T>& layer) {
    block.template normalize_handed<M>(sums, Block<T>::tiles_of(layer.matmuls[kOuter]) == 0);
  };

#pragma unroll 1
  for (int number = 0; number < model.count; ++number) {
    const ShortLayer<T>& layer = layers[number];
    const auto& [query, key_value, projection, inner, outer] = layer.matmuls;
    T* const handed = block.row_of(number, 0);
    const auto plain = [&](int first) {
      return [&columns, handed, first](int row, int column, float2 sum) {
        Block<T>::hand_pair(handed + row * columns.all + first + column, sum);
      };
    };
    const auto with_residual = [&](int first) {
      return [&block, &columns, handed, first](int row, int column, float2 sum) {
        add_to(sum, load_pair(block.normed_row(row) + column));
        Block<T>::hand_pair(handed + row * columns.all + first + column, sum);
      };
    };
    float2 bias = Block<T>::bias_of(query, 0);
    if (number == 0)
      block.embed();
    else
      normalize_sums(layers[number - 1]);
    block.template matmul<M, false>(query, bias, nullptr, plain(columns.projected));
    if (key_value.weights) {
      bias = Block<T>::bias_of(key_value, 0);
      block.template matmul<M, false>(key_value, bias, nullptr, plain(columns.projected + width));
    }
    block.clear_and_prefetch(number, other, left);
    block.template attend<D>(number);
    block.load_scalings(layer.attention_norm);
    bias = Block<T>::bias_of(projection, 0);
    block.template matmul<M, true>(projection, bias, handed + columns.context, with_residual(columns.middle));
    bias = Block<T>::bias_of(inner, 0);
    block.template normalize_handed<M>(handed + columns.middle, Block<T>::tiles_of(projection) == 0);
    block.template matmul<M, false>(inner, bias, nullptr, [&](int row, int column, float2 sum) {
      Block<T>::hand_pair(handed + row * columns.all + columns.hidden + column,
                          {act(model.act, sum.x), act(model.act, sum.y)});
    });
    block.load_scalings(layer.output_norm);
    bias = Block<T>::bias_of(outer, 0);
    block.template matmul<M, true>(outer, bias, handed + columns.hidden, with_residual(columns.sums));
    sums = handed + columns.sums;
  }

  const float2 bias = model.dense.weights ? Block<T>::bias_of(model.dense, 0) : float2{};
  normalize_sums(layers[model.count - 1]);
  block.clear_and_prefetch(model.count, other, left);
  // All blocks have read whose turn it is: this one has used what each of them computed.
  if (blockIdx.x == 0 && threadIdx.x == 0) model.turns->rows[turn] = rows, model.turns->number = turn + 1;
  if (model.pooling != LITEFT_NONE) block.pool();
  if (!model.dense.weights) return block.classify_normed();
  T* const pooled = block.row_of(model.count, 0);
  block.rows = block.texts;
  block.template matmul<M, false>(model.dense, bias, nullptr, [&](int row, int column, float2 sum) {
    Block<T>::hand_pair(pooled + row * columns.all + column, {act(model.head, sum.x), act(model.head, sum.y)});
  });
  block.classify_handed(pooled);
}

template <typename T>
ShortLinear<T> taken(const Linear<T>& linear) {
  return {linear.weights.template as<const T>(), linear.bias.template as<float>(), linear.inputs, linear.outputs};
}
ShortNorm taken(const Norm& norm) { return {norm.gamma.as<float>(), norm.beta.as<float>()}; }

// Calls body(kernel) with the kernel for a head size and a number of rows.
template <typename T, typename Body>
void with_kernel(int head_size, int rows, const Body& body) {
  constexpr int kFew = kFewRows / 16, kMany = kManyRows / 16;
  if (head_size == 32)
    rows <= kFewRows ? body(short_forward_kernel<T, 32, kFew>) : body(short_forward_kernel<T, 32, kMany>);
  else
    rows <= kFewRows ? body(short_forward_kernel<T, 64, kFew>) : body(short_forward_kernel<T, 64, kMany>);
}

// As few blocks as compute the tiles of every matmul in as many rounds as all multiprocessors would. Each of them has a
// tile in every layer.
template <typename T>
int blocks_of(const ShortLayer<T>& layer, int multiprocessors) {
  int blocks = 1;
  for (const ShortLinear<T>& linear : layer.matmuls) {
    const int tiles = linear.outputs / kColumns, rounds = (tiles + multiprocessors - 1) / multiprocessors;
    if (tiles > 0) blocks = std::max(blocks, (tiles + rounds - 1) / rounds);
  }
  return blocks;
}

}  // namespace

template <typename T>
ShortForward<T>::ShortForward(const Model<T>& model, Act act, Act head, std::size_t shared, int multiprocessors,
                              float* logits)
    : shared_(shared) {
  const liteft_shape& shape = model.shape;
  // A projection of the embeddings has no step here.
  if (shape.embedding != shape.width || shape.width > kMostWidth) return;
  while (most_rows_ < kManyRows && stages_of<T>(most_rows_ + 16, shape.width, shape.layers, shared)) most_rows_ += 16;
  if (most_rows_ == 0) return;
  std::vector<ShortLayer<T>> layers;
  for (const Layer<T>& layer : model.layers) {
    const Linear<T>& query = layer.query.outputs ? layer.query : layer.query_key_value;
    layers.push_back(
        {{taken(query), taken(layer.key_value), taken(layer.projection), taken(layer.inner), taken(layer.outer)},
         taken(layer.attention_norm),
         taken(layer.output_norm)});
  }
  blocks_ = blocks_of(layers.front(), multiprocessors);
  const std::size_t of_a_row = Columns(shape.width, shape.inner).all * sizeof(T);
  layers_ = DeviceBuffer(layers.size() * sizeof(layers[0]));
  exchange_ = DeviceBuffer(2 * (layers.size() + 1) * most_rows_ * of_a_row);
  turns_ = DeviceBuffer(sizeof(ShortTurns));
  check(cudaMemcpyAsync(layers_.as(), layers.data(), layers_.bytes(), cudaMemcpyHostToDevice, loading_stream),
        "a copy");
  check(cudaMemsetAsync(exchange_.as(), 0xff, exchange_.bytes(), loading_stream), "filling memory of the GPU");
  const ShortTurns none{};
  check(cudaMemcpyAsync(turns_.as(), &none, sizeof(none), cudaMemcpyHostToDevice, loading_stream), "a copy");
  settle();
  given_ = {model.words.template as<const T>(),
            model.positions.template as<const T>(),
            shape.types ? model.types.template as<const T>() : nullptr,
            taken(model.embedding_norm),
            layers_.as<const ShortLayer<T>>(),
            shape.layers,
            shape.head != LITEFT_HEAD_NONE ? taken(model.dense) : ShortLinear<T>{},
            model.classifier.weights.template as<float>(),
            model.classifier.bias.template as<float>(),
            shape.width,
            shape.inner,
            shape.heads,
            shape.labels,
            shape.pooling,
            act,
            head,
            shape.epsilon,
            most_rows_,
            0,
            0,
            exchange_.as<T>(),
            turns_.as<ShortTurns>(),
            logits};
  for (const int each : {std::min(kFewRows, most_rows_), most_rows_})
    with_kernel<T>(model.head_size, each, [&](auto kernel) { load_kernel(kernel, shared); });
}

template <typename T>
void ShortForward<T>::launch(const ShortChunk& chunk, int rows, cudaStream_t stream) const {
  ShortModel<T> given = given_;
  given.bucket_rows = rows;
  given.stages = stages_of<T>(rows, given.width, given.count, shared_);
  with_kernel<T>(given.width / given.heads, rows, [&](auto kernel) {
    launch_cooperative(kernel, blocks_, kThreads, shared_bytes<T>(rows, given.width, given.count, given.stages), stream,
                       given, chunk);
  });
}

template class ShortForward<__half>;
template class ShortForward<__nv_bfloat16>;

}  // namespace liteft::cuda
