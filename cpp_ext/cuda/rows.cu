// Kernels over rows: embeddings, LayerNorm, activations, pooling, the classifier. A warp computes a row, and a lane
// pieces of eight values, 16 bytes: every 32nd piece. So there is no shared memory and no barrier, and the order of
// sums depends on the width alone. Only means are computed by a whole block.

#include "cuda/activations.cuh"
#include "cuda/device.cuh"
#include "cuda/kernels.h"
#include "cuda/vectors.cuh"

namespace liteft::cuda {
namespace {

constexpr int kWarps = 4;        // of a block
constexpr int kStepWidth = 256;  // values of a row that a warp loads at a time
constexpr int kMostSteps = 4;    // rows of up to 1,024 values stay in registers

__device__ int warp_row() { return blockIdx.x * kWarps + threadIdx.x / 32; }
__device__ int lane() { return threadIdx.x % 32; }
// The first of the lane's eight columns in a step.
__device__ int column_of(int step) { return step * kStepWidth + 8 * lane(); }

int blocks_for(int rows) { return (rows + kWarps - 1) / kWarps; }

// Calls body(std::integral_constant<int, steps>) for the steps that a row takes.
template <typename Body>
void with_steps(int width, const Body& body) {
  switch ((width + kStepWidth - 1) / kStepWidth) {
    case 1: return body(std::integral_constant<int, 1>{});
    case 2: return body(std::integral_constant<int, 2>{});
    case 3: return body(std::integral_constant<int, 3>{});
    default: return body(std::integral_constant<int, kMostSteps>{});
  }
}

// LayerNorm of a row in the warp's registers; biased variance, in two passes. Columns beyond the width are zeros.
template <typename T, int Steps>
__device__ void store_normed(const float (&x)[Steps][8], int width, const float* gamma, const float* beta,
                             float epsilon, T* out) {
  const float share = reciprocal(static_cast<float>(width));
  float sum = 0.0f;
#pragma unroll
  for (int step = 0; step < Steps; ++step) {
#pragma unroll
    for (int i = 0; i < 8; ++i) sum += x[step][i];
  }
  const float mean = warp_sum(sum) * share;
  float squares = 0.0f;
#pragma unroll
  for (int step = 0; step < Steps; ++step) {
    if (column_of(step) >= width) continue;
#pragma unroll
    for (int i = 0; i < 8; ++i) squares += (x[step][i] - mean) * (x[step][i] - mean);
  }
  const float inverse = rsqrtf(warp_sum(squares) * share + epsilon);
#pragma unroll
  for (int step = 0; step < Steps; ++step) {
    const int column = column_of(step);
    if (column >= width) continue;
    float scale[8], shift[8], y[8];
    load_eight(gamma + column, scale);
    load_eight(beta + column, shift);
#pragma unroll
    for (int i = 0; i < 8; ++i) y[i] = (x[step][i] - mean) * inverse * scale[i] + shift[i];
    store_eight(out + column, y);
  }
}

template <typename T, int Steps>
__global__ void embed_kernel(Embedding<T> given) {
  wait_for_inputs();
  const int row = warp_row();
  if (row >= given.counts->rows) return;
  const std::size_t width = given.width;
  const T* word = given.words + given.ids[row] * width;
  const T* place = given.places + given.positions[row] * width;
  const T* kind = given.kinds ? given.kinds + (given.types ? given.types[row] : 0) * width : nullptr;
  float x[Steps][8] = {};
#pragma unroll
  for (int step = 0; step < Steps; ++step) {
    const int column = column_of(step);
    if (column >= given.width) continue;
    unpack_eight<T>(load_words(word + column), x[step]);
    add_eight<T>(x[step], load_words(place + column));
    if (kind) add_eight<T>(x[step], load_words(kind + column));
  }
  store_normed(x, given.width, given.gamma, given.beta, given.epsilon, given.out + row * width);
}

template <typename T, int Steps>
__global__ void layer_norm_kernel(Residual<T> given) {
  wait_for_inputs();
  const int row = warp_row();
  if (row >= *given.rows) return;
  const std::size_t start = static_cast<std::size_t>(row) * given.width;
  float x[Steps][8] = {};
#pragma unroll
  for (int step = 0; step < Steps; ++step) {
    const int column = column_of(step);
    if (column >= given.width) continue;
    const uint4 values = load_words(given.x + start + column), residual = load_words(given.residual + start + column);
    load_eight(given.bias + column, x[step]);
    add_eight<T>(x[step], values);
    add_eight<T>(x[step], residual);
  }
  store_normed(x, given.width, given.gamma, given.beta, given.epsilon, given.out + start);
}

constexpr int kActRows = 4;  // of a warp, with the same columns and so with the same bias

template <typename T, Act kind>
__global__ void activate_rows_kernel(Activated<T> given) {
  wait_for_inputs();
  const int column = column_of(blockIdx.x), row = (blockIdx.y * kWarps + threadIdx.x / 32) * kActRows;
  const int rows = min(kActRows, *given.rows - row);
  if (column >= given.width) return;
  T* const x = given.x + static_cast<std::size_t>(row) * given.width + column;
  uint4 words[kActRows];
#pragma unroll
  for (int r = 0; r < kActRows; ++r) {
    if (r < rows) words[r] = load_words(x + r * static_cast<std::size_t>(given.width));
  }
  float bias[8];
  load_eight(given.bias + column, bias);
#pragma unroll
  for (int r = 0; r < kActRows; ++r) {
    if (r >= rows) return;
    float y[8];
    unpack_eight<T>(words[r], y);
#pragma unroll
    for (int i = 0; i < 8; ++i) y[i] = act(kind, y[i] + bias[i]);
    store_eight(x + r * static_cast<std::size_t>(given.width), y);
  }
}

template <typename T>
__global__ void gather_kernel(const T* rows, const std::int32_t* offsets, const Counts* counts, int width, T* out) {
  wait_for_inputs();
  const int text = warp_row();
  if (text >= counts->texts) return;
  const T* from = rows + static_cast<std::size_t>(offsets[text]) * width;
  T* to = out + static_cast<std::size_t>(text) * width;
  for (int column = 8 * lane(); column < width; column += 256) {
    *reinterpret_cast<uint4*>(to + column) = *reinterpret_cast<const uint4*>(from + column);
  }
}

constexpr int kMeanWarps = 8;                             // of a block, which has 64 columns of a text
constexpr int kMeanPieces = 8;                            // of a row of the block, a thread each
constexpr int kMeanRows = 32 * kMeanWarps / kMeanPieces;  // rows that a block loads at a time

// A thread sums every 32nd row of eight columns, and then 64 threads add the sums of a column each, in an order that
// depends only on the length of the text.
struct MeanSums {
  float sums[kMeanRows][64 + 4];  // the pad keeps rows in different banks
  int counted[kMeanRows];         // rows of the text that are in the sums
};
static_assert(sizeof(MeanSums) <= 48 << 10, "a block's shared memory without asking for more");

template <typename T>
__global__ void mean_kernel(const T* rows, const std::int32_t* offsets, const std::uint8_t* key_mask,
                            const Counts* counts, int width, T* out) {
  wait_for_inputs();
  const int text = blockIdx.x, piece = threadIdx.x % kMeanPieces, group = threadIdx.x / kMeanPieces;
  if (text >= counts->texts) return;
  auto& shared = *reinterpret_cast<MeanSums*>(dynamic_shared());
  const T* from = rows + 64 * blockIdx.y + 8 * piece;
  float sum[8] = {};
  int counted = 0;
  const int end = offsets[text + 1];
#pragma unroll 2
  for (int row = offsets[text] + group; row < end; row += kMeanRows) {
    if (key_mask && !key_mask[row]) continue;
    add_eight<T>(sum, load_words(from + static_cast<std::size_t>(row) * width));
    ++counted;
  }
#pragma unroll
  for (int i = 0; i < 8; ++i) shared.sums[group][8 * piece + i] = sum[i];
  if (piece == 0) shared.counted[group] = counted;
  __syncthreads();
  if (threadIdx.x >= 32) return;
  float2 total{0.0f, 0.0f};
  counted = 0;
#pragma unroll 8
  for (int other = 0; other < kMeanRows; ++other) {
    add_to(total, *reinterpret_cast<const float2*>(&shared.sums[other][2 * lane()]));
    counted += shared.counted[other];
  }
  T* to = out + static_cast<std::size_t>(text) * width + 64 * blockIdx.y + 2 * lane();
  store_pair(to, {total.x / counted, total.y / counted});
}

// A warp computes one label of one row.
template <typename T>
__global__ void classify_kernel(Classified<T> given) {
  wait_for_inputs();
  const std::size_t place = static_cast<std::size_t>(blockIdx.x) * kWarps + threadIdx.x / 32;
  const std::size_t row = place / given.labels, label = place % given.labels;
  if (row >= static_cast<std::size_t>(*given.rows)) return;
  const T* x = given.x + row * given.width;
  const float* weight = given.weights + label * given.width;
  float sum = 0.0f;
  for (int column = 8 * lane(); column < given.width; column += kStepWidth) {
    float a[8], b[8];
    unpack_eight<T>(load_words(x + column), a);
    load_eight(weight + column, b);
#pragma unroll
    for (int i = 0; i < 8; ++i) sum += a[i] * b[i];
  }
  sum = warp_sum(sum);
  if (lane() == 0) given.logits[place] = sum + given.bias[label];
}

constexpr int kTileRows = 4, kTileLabels = 8;  // of a warp of classify_tokens_kernel

// A warp computes a tile of a few rows and labels, and loads what they have in common once. In place of rows and labels
// that are not there it computes the last one, and does not store it.
template <typename T>
__global__ void classify_tokens_kernel(Classified<T> given) {
  wait_for_inputs();
  const int tiles = (given.labels + kTileLabels - 1) / kTileLabels;
  const std::size_t place = static_cast<std::size_t>(blockIdx.x) * kWarps + threadIdx.x / 32;
  const std::size_t first = place / tiles * kTileRows, rows = *given.rows, width = given.width;
  const int first_label = static_cast<int>(place % tiles) * kTileLabels;
  if (first >= rows) return;
  const T* x[kTileRows];
  const float* weights[kTileLabels];
#pragma unroll
  for (int r = 0; r < kTileRows; ++r) x[r] = given.x + (first + r < rows ? first + r : rows - 1) * width;
#pragma unroll
  for (int l = 0; l < kTileLabels; ++l)
    weights[l] = given.weights + (first_label + l < given.labels ? first_label + l : given.labels - 1) * width;
  float sums[kTileRows][kTileLabels] = {};
  for (int column = 2 * lane(); column < given.width; column += 64) {
    float2 a[kTileRows];
#pragma unroll
    for (int r = 0; r < kTileRows; ++r) a[r] = load_pair(x[r] + column);
#pragma unroll
    for (int l = 0; l < kTileLabels; ++l) {
      const float2 b = *reinterpret_cast<const float2*>(weights[l] + column);
#pragma unroll
      for (int r = 0; r < kTileRows; ++r) sums[r][l] += a[r].x * b.x + a[r].y * b.y;
    }
  }
#pragma unroll
  for (int r = 0; r < kTileRows; ++r) {
#pragma unroll
    for (int l = 0; l < kTileLabels; ++l) {
      const float sum = warp_sum(sums[r][l]);
      const int label = first_label + l;
      if (lane() == 0 && first + r < rows && label < given.labels)
        given.logits[(first + r) * given.labels + label] = sum + given.bias[label];
    }
  }
}

template <typename T>
__global__ void fill_random_kernel(T* out, std::size_t count) {
  const std::size_t place = static_cast<std::size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (place >= count) return;
  std::uint32_t bits = static_cast<std::uint32_t>(place) + 1;
  bits = (bits ^ bits >> 16) * 0x85ebca6bu;
  bits = (bits ^ bits >> 13) * 0xc2b2ae35u;
  out[place] = static_cast<T>(static_cast<float>((bits ^ bits >> 16) >> 8) * 0x1p-23f - 1.0f);
}

}  // namespace

template <typename T>
void embed(const Embedding<T>& given, int rows, cudaStream_t stream) {
  with_steps(given.width, [&](auto steps) {  // behind a copy of the ids, which no kernel of a graph may overlap
    launch(embed_kernel<T, steps()>, blocks_for(rows), 32 * kWarps, 0, stream, given);
  });
}

template <typename T>
void layer_norm(const Residual<T>& given, int rows, cudaStream_t stream) {
  with_steps(given.width, [&](auto steps) {
    launch_early(layer_norm_kernel<T, steps()>, blocks_for(rows), 32 * kWarps, 0, stream, given);
  });
}

template <typename T>
void activate(const Activated<T>& given, int rows, cudaStream_t stream) {
  const dim3 grid((given.width + kStepWidth - 1) / kStepWidth, (blocks_for(rows) + kActRows - 1) / kActRows);
  with_act(given.act,
           [&](auto kind) { launch_early(activate_rows_kernel<T, kind()>, grid, 32 * kWarps, 0, stream, given); });
}

template <typename T>
void gather_first(const T* rows, const std::int32_t* offsets, const Counts* counts, int width, T* out, int texts,
                  cudaStream_t stream) {
  launch_early(gather_kernel<T>, blocks_for(texts), 32 * kWarps, 0, stream, rows, offsets, counts, width, out);
}

template <typename T>
void pool_mean(const T* rows, const std::int32_t* offsets, const std::uint8_t* key_mask, const Counts* counts,
               int width, T* out, int texts, cudaStream_t stream) {
  const dim3 grid(texts, width / 64);
  launch_early(mean_kernel<T>, grid, 32 * kMeanWarps, sizeof(MeanSums), stream, rows, offsets, key_mask, counts, width,
               out);
}

template <typename T>
void classify(const Classified<T>& given, int rows, cudaStream_t stream) {
  const std::size_t warps = static_cast<std::size_t>(rows) * given.labels;
  launch_early(classify_kernel<T>, static_cast<unsigned>((warps + kWarps - 1) / kWarps), 32 * kWarps, 0, stream, given);
}

template <typename T>
void classify_tokens(const Classified<T>& given, int rows, cudaStream_t stream) {
  const std::size_t warps =
      static_cast<std::size_t>((rows + kTileRows - 1) / kTileRows) * ((given.labels + kTileLabels - 1) / kTileLabels);
  launch_early(classify_tokens_kernel<T>, static_cast<unsigned>((warps + kWarps - 1) / kWarps), 32 * kWarps, 0, stream,
               given);
}

template <typename T>
void load_row_kernels() {
  for (const int steps : {1, 2, 3, 4}) {
    with_steps(steps * kStepWidth, [](auto each) {
      load_kernel(embed_kernel<T, each()>);
      load_kernel(layer_norm_kernel<T, each()>);
    });
  }
  for (const Act each : kActs) with_act(each, [](auto kind) { load_kernel(activate_rows_kernel<T, kind()>); });
  load_kernel(gather_kernel<T>);
  load_kernel(mean_kernel<T>);
  load_kernel(classify_kernel<T>);
  load_kernel(classify_tokens_kernel<T>);
  load_kernel(fill_random_kernel<T>);
}

cudaError_t look_for_kernels() {
  cudaFuncAttributes attributes{};
  return cudaFuncGetAttributes(&attributes, reinterpret_cast<const void*>(&gather_kernel<__half>));
}

template <typename T>
void fill_random(T* out, std::size_t count, cudaStream_t stream) {
  constexpr std::size_t kThreads = 256;
  if (count)
    launch(fill_random_kernel<T>, static_cast<unsigned>((count + kThreads - 1) / kThreads), kThreads, 0, stream, out,
           count);
}

#define LITEFT_FOR(T)                                                                                         \
  template void load_row_kernels<T>();                                                                        \
  template void embed<T>(const Embedding<T>&, int, cudaStream_t);                                             \
  template void layer_norm<T>(const Residual<T>&, int, cudaStream_t);                                         \
  template void activate<T>(const Activated<T>&, int, cudaStream_t);                                          \
  template void gather_first<T>(const T*, const std::int32_t*, const Counts*, int, T*, int, cudaStream_t);    \
  template void pool_mean<T>(const T*, const std::int32_t*, const std::uint8_t*, const Counts*, int, T*, int, \
                             cudaStream_t);                                                                   \
  template void classify<T>(const Classified<T>&, int, cudaStream_t);                                         \
  template void classify_tokens<T>(const Classified<T>&, int, cudaStream_t);                                  \
  template void fill_random<T>(T*, std::size_t, cudaStream_t);
LITEFT_FOR(__half)
LITEFT_FOR(__nv_bfloat16)

}  // namespace liteft::cuda
