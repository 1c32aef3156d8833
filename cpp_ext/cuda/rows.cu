// Kernels over rows: embeddings, LayerNorm, activations, pooling, the classifier. A warp computes a row, and each lane
// every 32nd pair of its values, so there is no shared memory and no barrier, and the order of sums depends on the
// width alone. Only means are computed by a whole block.

#include "cuda/activations.cuh"
#include "cuda/device.cuh"
#include "cuda/kernels.h"
#include "cuda/vectors.cuh"

namespace liteft::cuda {
namespace {

constexpr int kWarps = 4;       // of a block
constexpr int kMostPairs = 16;  // a lane holds: rows of up to 1,024 values stay in registers

__device__ int warp_row() { return blockIdx.x * kWarps + threadIdx.x / 32; }
__device__ int lane() { return threadIdx.x % 32; }

int blocks_for(int rows) { return (rows + kWarps - 1) / kWarps; }

// LayerNorm of a row in the warp's registers, 64 values per step in `pairs`; biased variance, in two passes.
template <typename T>
__device__ void store_normed(float2 (&x)[kMostPairs], int width, const float* gamma, const float* beta, float epsilon,
                             T* out) {
  const int steps = width / 64;
  float sum = 0.0f;
#pragma unroll
  for (int i = 0; i < kMostPairs; ++i)
    if (i < steps) sum += x[i].x + x[i].y;
  const float mean = warp_sum(sum) / width;
  float squares = 0.0f;
#pragma unroll
  for (int i = 0; i < kMostPairs; ++i) {
    if (i >= steps) continue;
    const float a = x[i].x - mean, b = x[i].y - mean;
    squares += a * a + b * b;
  }
  const float inverse = rsqrtf(warp_sum(squares) / width + epsilon);
#pragma unroll
  for (int i = 0; i < kMostPairs; ++i) {
    if (i >= steps) continue;
    const int column = 64 * i + 2 * lane();
    const float2 scale = *reinterpret_cast<const float2*>(gamma + column),
                 shift = *reinterpret_cast<const float2*>(beta + column);
    store_pair(out + column,
               {(x[i].x - mean) * inverse * scale.x + shift.x, (x[i].y - mean) * inverse * scale.y + shift.y});
  }
}

template <typename T>
__global__ void embed_kernel(Embedding<T> given) {
  const int row = warp_row();
  if (row >= given.counts->rows) return;
  const std::size_t width = given.width;
  const T* word = given.words + given.ids[row] * width;
  const T* place = given.places + given.positions[row] * width;
  const T* kind = given.kinds ? given.kinds + (given.types ? given.types[row] : 0) * width : nullptr;
  float2 x[kMostPairs];
#pragma unroll
  for (int i = 0; i < kMostPairs; ++i) {
    if (i >= given.width / 64) continue;
    const int column = 64 * i + 2 * lane();
    float2 sum = load_pair(word + column);
    add_to(sum, load_pair(place + column));
    if (kind) add_to(sum, load_pair(kind + column));
    x[i] = sum;
  }
  store_normed(x, given.width, given.gamma, given.beta, given.epsilon, given.out + row * width);
}

template <typename T>
__global__ void layer_norm_kernel(Residual<T> given) {
  const int row = warp_row();
  if (row >= *given.rows) return;
  const std::size_t start = static_cast<std::size_t>(row) * given.width;
  float2 x[kMostPairs];
#pragma unroll
  for (int i = 0; i < kMostPairs; ++i) {
    if (i >= given.width / 64) continue;
    const int column = 64 * i + 2 * lane();
    float2 sum = load_pair(given.x + start + column);
    add_to(sum, *reinterpret_cast<const float2*>(given.bias + column));
    add_to(sum, load_pair(given.residual + start + column));
    x[i] = sum;
  }
  store_normed(x, given.width, given.gamma, given.beta, given.epsilon, given.out + start);
}

// Each thread computes eight values, 16 bytes.
template <typename T, Act kind>
__global__ void activate_kernel(Activated<T> given) {
  const std::size_t place = 8 * (static_cast<std::size_t>(blockIdx.x) * blockDim.x + threadIdx.x);
  if (place >= static_cast<std::size_t>(*given.rows) * given.width) return;
  const int column = place % given.width;  // a width is a multiple of 64, so the eight are of one row
  uint4 words = *reinterpret_cast<const uint4*>(given.x + place);
  std::uint32_t* pairs = &words.x;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    float2 x = unpacked<T>(pairs[i]);
    add_to(x, *reinterpret_cast<const float2*>(given.bias + column + 2 * i));
    pairs[i] = packed<T>({act(kind, x.x), act(kind, x.y)});
  }
  *reinterpret_cast<uint4*>(given.x + place) = words;
}

template <typename T>
__global__ void gather_kernel(const T* rows, const std::int32_t* offsets, const Counts* counts, int width, T* out) {
  const int text = warp_row();
  if (text >= counts->texts) return;
  const T* from = rows + static_cast<std::size_t>(offsets[text]) * width;
  T* to = out + static_cast<std::size_t>(text) * width;
  for (int column = 8 * lane(); column < width; column += 256) {
    *reinterpret_cast<uint4*>(to + column) = *reinterpret_cast<const uint4*>(from + column);
  }
}

constexpr int kMeanWarps = 8;  // of a block, which has 64 columns of a text

// Each warp sums every eighth row of the text, and then the first warp adds their sums, in an order that depends only
// on the length of the text.
template <typename T>
__global__ void mean_kernel(const T* rows, const std::int32_t* offsets, const std::uint8_t* key_mask,
                            const Counts* counts, int width, T* out) {
  const int text = blockIdx.x, warp = threadIdx.x / 32, column = 64 * blockIdx.y + 2 * lane();
  if (text >= counts->texts) return;
  float2* sums = reinterpret_cast<float2*>(dynamic_shared());    // (warps, lanes)
  int* shares = reinterpret_cast<int*>(sums + 32 * kMeanWarps);  // (warps,): rows that were counted
  float2 sum{0.0f, 0.0f};
  int counted = 0;
  const int end = offsets[text + 1];
  for (int row = offsets[text] + warp; row < end; row += kMeanWarps) {
    if (key_mask && !key_mask[row]) continue;
    add_to(sum, load_pair(rows + static_cast<std::size_t>(row) * width + column));
    ++counted;
  }
  sums[threadIdx.x] = sum;
  if (lane() == 0) shares[warp] = counted;
  __syncthreads();
  if (warp != 0) return;
  for (int other = 1; other < kMeanWarps; ++other) {
    add_to(sum, sums[32 * other + lane()]);
    counted += shares[other];
  }
  store_pair(out + static_cast<std::size_t>(text) * width + column, {sum.x / counted, sum.y / counted});
}

// A warp computes one label of one row.
template <typename T>
__global__ void classify_kernel(Classified<T> given) {
  const std::size_t place = static_cast<std::size_t>(blockIdx.x) * kWarps + threadIdx.x / 32;
  const std::size_t row = place / given.labels, label = place % given.labels;
  if (row >= static_cast<std::size_t>(*given.rows)) return;
  const T* x = given.x + row * given.width;
  const float* weight = given.weights + label * given.width;
  float sum = 0.0f;
  for (int column = 2 * lane(); column < given.width; column += 64) {
    const float2 a = load_pair(x + column), b = *reinterpret_cast<const float2*>(weight + column);
    sum += a.x * b.x + a.y * b.y;
  }
  sum = warp_sum(sum);
  if (lane() == 0) given.logits[place] = sum + given.bias[label];
}

constexpr int kTileRows = 4, kTileLabels = 8;  // of a warp of classify_tokens_kernel

// A warp computes a tile of a few rows and labels, and loads what they have in common once. In place of rows and labels
// that are not there it computes the last one, and does not store it.
template <typename T>
__global__ void classify_tokens_kernel(Classified<T> given) {
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

template <typename T, Act kind>
void activate_as(const Activated<T>& given, int rows, cudaStream_t stream) {
  constexpr int kThreads = 256;
  const std::size_t pieces = static_cast<std::size_t>(rows) * given.width / 8;
  launch(activate_kernel<T, kind>, static_cast<unsigned>((pieces + kThreads - 1) / kThreads), kThreads, 0, stream,
         given);
}

}  // namespace

template <typename T>
void embed(const Embedding<T>& given, int rows, cudaStream_t stream) {
  launch(embed_kernel<T>, blocks_for(rows), 32 * kWarps, 0, stream, given);
}

template <typename T>
void layer_norm(const Residual<T>& given, int rows, cudaStream_t stream) {
  launch(layer_norm_kernel<T>, blocks_for(rows), 32 * kWarps, 0, stream, given);
}

template <typename T>
void activate(const Activated<T>& given, int rows, cudaStream_t stream) {
  switch (given.act) {
    case Act::gelu: return activate_as<T, Act::gelu>(given, rows, stream);
    case Act::relu: return activate_as<T, Act::relu>(given, rows, stream);
    case Act::gelu_tanh: return activate_as<T, Act::gelu_tanh>(given, rows, stream);
    case Act::silu: return activate_as<T, Act::silu>(given, rows, stream);
    case Act::tanh: return activate_as<T, Act::tanh>(given, rows, stream);
    case Act::none: return activate_as<T, Act::none>(given, rows, stream);
  }
}

template <typename T>
void gather_first(const T* rows, const std::int32_t* offsets, const Counts* counts, int width, T* out, int texts,
                  cudaStream_t stream) {
  launch(gather_kernel<T>, blocks_for(texts), 32 * kWarps, 0, stream, rows, offsets, counts, width, out);
}

template <typename T>
void pool_mean(const T* rows, const std::int32_t* offsets, const std::uint8_t* key_mask, const Counts* counts,
               int width, T* out, int texts, cudaStream_t stream) {
  const std::size_t shared = kMeanWarps * (32 * sizeof(float2) + sizeof(int));
  const dim3 grid(texts, width / 64);
  launch(mean_kernel<T>, grid, 32 * kMeanWarps, shared, stream, rows, offsets, key_mask, counts, width, out);
}

template <typename T>
void classify(const Classified<T>& given, int rows, cudaStream_t stream) {
  const std::size_t warps = static_cast<std::size_t>(rows) * given.labels;
  launch(classify_kernel<T>, static_cast<unsigned>((warps + kWarps - 1) / kWarps), 32 * kWarps, 0, stream, given);
}

template <typename T>
void classify_tokens(const Classified<T>& given, int rows, cudaStream_t stream) {
  const std::size_t warps =
      static_cast<std::size_t>((rows + kTileRows - 1) / kTileRows) * ((given.labels + kTileLabels - 1) / kTileLabels);
  launch(classify_tokens_kernel<T>, static_cast<unsigned>((warps + kWarps - 1) / kWarps), 32 * kWarps, 0, stream,
         given);
}

template <typename T>
void load_row_kernels() {
  load_kernel(embed_kernel<T>);
  load_kernel(layer_norm_kernel<T>);
  load_kernel(activate_kernel<T, Act::gelu>);
  load_kernel(activate_kernel<T, Act::relu>);
  load_kernel(activate_kernel<T, Act::gelu_tanh>);
  load_kernel(activate_kernel<T, Act::silu>);
  load_kernel(activate_kernel<T, Act::tanh>);
  load_kernel(activate_kernel<T, Act::none>);
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
