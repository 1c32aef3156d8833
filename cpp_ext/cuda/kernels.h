// The CUDA kernels other than plain matmuls. They are launched with raw pointers and a stream.
//
// Rows are the real tokens of a chunk of texts, one after the other. Their number is in device memory (Counts), so that
// a captured graph works for every chunk of its bucket: a launch covers the whole bucket, and rows beyond the count do
// nothing. Values between kernels are of type T, which is __nv_bfloat16 or __half; sums, means, softmax and biases are
// float32.

#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

namespace liteft::cuda {

// The number of rows and texts of a chunk.
struct Counts {
  std::int32_t rows = 0;
  std::int32_t texts = 0;
};

enum class Act : int { gelu = 0, relu = 1, gelu_tanh = 2, silu = 3, tanh = 4, none = 5 };
constexpr Act kActs[] = {Act::gelu, Act::relu, Act::gelu_tanh, Act::silu, Act::tanh, Act::none};

// Sums the embeddings of each row and normalizes them: out (rows, width). `types` may be nullptr.
template <typename T>
struct Embedding {
  const std::int32_t *ids, *types, *positions;
  const T *words, *places, *kinds;  // tables (n, width)
  const float *gamma, *beta;
  float epsilon;
  int width;
  const Counts* counts;
  T* out;
};

// out = LayerNorm(x + bias + residual), rows of `width`. `out` may be `residual`.
template <typename T>
struct Residual {
  const T* x;
  const float* bias;
  const T* residual;
  const float *gamma, *beta;
  float epsilon;
  int width;
  const std::int32_t* rows;  // in device memory
  T* out;
};

// x = act(x + bias), rows of `width`, in place.
template <typename T>
struct Activated {
  T* x;
  const float* bias;
  Act act;
  int width;
  const std::int32_t* rows;
};

// Attention within each text. query, key and value are columns in the outputs of matmuls.
template <typename T>
struct Attention {
  const T *query, *key, *value;
  std::size_t query_stride, stride;  // distance of consecutive rows, in values
  const std::int32_t* text_of_row;   // (rows,)
  const std::int32_t* offsets;       // (texts + 1,)
  const std::uint8_t* key_mask;      // one per row, or nullptr
  int heads;
  const Counts* counts;
  T* out;  // (rows or texts, heads * head size)
};

template <typename T>
void embed(const Embedding<T>& given, int rows, cudaStream_t stream);
template <typename T>
void layer_norm(const Residual<T>& given, int rows, cudaStream_t stream);
template <typename T>
void activate(const Activated<T>& given, int rows, cudaStream_t stream);
// Every row is a query. head_size is 32 or 64.
template <typename T>
void attend(const Attention<T>& given, int head_size, int rows, cudaStream_t stream);
// Only the first row of each text is a query: row t of `query` and `out` belongs to text t.
template <typename T>
void attend_first(const Attention<T>& given, int head_size, int texts, cudaStream_t stream);
// The first rows of texts: out (texts, width).
template <typename T>
void gather_first(const T* rows, const std::int32_t* offsets, const Counts* counts, int width, T* out, int texts,
                  cudaStream_t stream);
// The mean of each text over the rows that the mask keeps.
template <typename T>
void pool_mean(const T* rows, const std::int32_t* offsets, const std::uint8_t* key_mask, const Counts* counts,
               int width, T* out, int texts, cudaStream_t stream);
// logits = x weights + bias in float32, for few rows, such as one of each text.
template <typename T>
struct Classified {
  const T* x;                   // (rows, width)
  const float *weights, *bias;  // (labels, width), (labels,)
  const std::int32_t* rows;     // in device memory
  int width, labels;
  float* logits;
};
template <typename T>
void classify(const Classified<T>& given, int rows, cudaStream_t stream);
// The same for many rows, such as one of each token.
template <typename T>
void classify_tokens(const Classified<T>& given, int rows, cudaStream_t stream);

// Load the kernels for T on the current device, and allow the shared memory that they need. Must be called before the
// first launch, and not while a graph is captured. `shared` is the most shared memory of a block in bytes; kernels that
// need more are left out.
template <typename T>
void load_row_kernels();
template <typename T>
void load_attend_kernels();
template <typename T>
void load_attend_first_kernels();
template <typename T>
void load_fused_kernels(std::size_t shared);
template <typename T>
void load_feed_forward_kernels(std::size_t shared);
template <typename T>
void load_kernels(std::size_t shared) {
  load_row_kernels<T>();
  load_attend_kernels<T>();
  load_attend_first_kernels<T>();
  load_fused_kernels<T>(shared);
  load_feed_forward_kernels<T>(shared);
}

// Whether the library has kernels for the current device, which is tested with one of them. Starts CUDA on the device.
cudaError_t look_for_kernels();

// Fills memory with values between -1 and 1, the same ones every time, for measurements.
template <typename T>
void fill_random(T* out, std::size_t count, cudaStream_t stream);

// The same steps fused with the matmul before them, whose output then never goes through memory (fused.cu,
// feed_forward.cu). `inputs` and `outputs` are multiples of 64; weights are (inputs, outputs), row-major.

// out = act(x weights + bias)
template <typename T>
struct MatmulActivation {
  const T *x, *weights;
  const float* bias;
  Act act;
  int inputs, outputs;
  const std::int32_t* rows;  // in device memory
  T* out;
};

// out = LayerNorm(x weights + bias + residual); `out` may be `residual`.
template <typename T>
struct MatmulLayerNorm {
  const T *x, *weights;
  const float* bias;
  const T* residual;
  const float *gamma, *beta;
  float epsilon;
  int inputs, width;
  const std::int32_t* rows;
  T* out;
};

// out = LayerNorm(x + bias + act(x inner + inner_bias) outer); `out` may be `x`.
template <typename T>
struct FeedForward {
  const T *x, *inner_weights, *outer_weights;
  const float *inner_bias, *outer_bias;
  Act act;
  const float *gamma, *beta;
  float epsilon;
  int width, inner;
  const std::int32_t* rows;
  T* out;
};

// Whether the kernels support a width, and need no more shared memory per block than the device has (in bytes).
bool fuses_norm(int width, std::size_t shared);
bool fuses_act(std::size_t shared);
bool fuses_feed_forward(int width, std::size_t shared);
template <typename T>
void matmul_activate(const MatmulActivation<T>& given, int rows, cudaStream_t stream);
template <typename T>
void matmul_layer_norm(const MatmulLayerNorm<T>& given, int rows, cudaStream_t stream);
template <typename T>
void feed_forward(const FeedForward<T>& given, int rows, cudaStream_t stream);

}  // namespace liteft::cuda
