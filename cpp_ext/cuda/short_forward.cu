// A forward pass in one cooperative kernel: one block on each multiprocessor.
//
// All blocks wait for each other five times a layer: after the queries, keys and values, after attention, and after
// each of the three other matmuls. A matmul's outputs are dealt out to the blocks 16 at a time; the warps of a block
// share its inputs, and add up their sums in shared memory. Before a block waits, it starts to copy the weights that it
// needs next, since those do not depend on the others. Every block normalizes all rows itself, into shared memory: that
// takes less time than another wait.
//
// The order of every sum depends on the model alone.

#include <cmath>

#include "cuda/activations.cuh"
#include "cuda/device.cuh"
#include "cuda/short_forward.h"
#include "cuda/vectors.cuh"

namespace liteft::cuda {
namespace {

constexpr int kWarps = 8, kThreads = 32 * kWarps;
constexpr int kColumns = 16;    // outputs of a block at a time
constexpr int kInputs = 768;    // inputs whose weights are in shared memory at a time
constexpr int kPadding = 8;     // values after a row in shared memory, so that eight rows are in different banks
constexpr int kMostSteps = 12;  // of 64 values: rows of up to 768 stay in registers
constexpr int kGroup = 32;      // rows whose sums are added up at a time
constexpr int kFewRows = 32, kManyRows = 128;
constexpr unsigned kAllLanes = 0xffffffffu;

// Shared memory of a block, followed by the normalized rows: (rows, width + kPadding).
template <typename T>
struct Shared {
  T weights[2][kInputs][kColumns + kPadding];
  float sums[kWarps][kGroup][kColumns + 2];
};
template <typename T>
std::size_t shared_bytes(int rows, int width) {
  return sizeof(Shared<T>) + static_cast<std::size_t>(rows) * (width + kPadding) * sizeof(T);
}

__device__ int lane() { return threadIdx.x % 32; }
__device__ int warp() { return threadIdx.x / 32; }

template <typename T>
struct Block {
  const ShortModel<T>& model;
  const ShortChunk& chunk;
  Shared<T>& shared;
  T* normed;  // in shared memory
  int rows, texts;

  __device__ T* normed_row(int row) const { return normed + row * (model.width + kPadding); }
  // Tiles of kColumns outputs that this block computes of a matmul, and the parts of their inputs.
  __device__ static int tiles_of(const ShortLinear<T>& linear) {
    const int all = linear.outputs / kColumns, first = static_cast<int>(blockIdx.x);
    return first < all ? (all - first - 1) / static_cast<int>(gridDim.x) + 1 : 0;
  }
  __device__ static int parts_of(const ShortLinear<T>& linear) { return (linear.inputs + kInputs - 1) / kInputs; }
  __device__ static int column_of(int tile) { return (blockIdx.x + tile * gridDim.x) * kColumns; }

  // Starts to copy the weights of piece `number`: a part of the inputs of a tile.
  __device__ void fetch(const ShortLinear<T>& linear, int number) const {
    const int parts = parts_of(linear), first = number % parts * kInputs, column = column_of(number / parts);
    const int inputs = min(kInputs, linear.inputs - first);
    T(*to)[kColumns + kPadding] = shared.weights[number % 2];
    for (int piece = threadIdx.x; piece < inputs * kColumns / 8; piece += kThreads) {
      const int row = piece / (kColumns / 8), at = piece % (kColumns / 8) * 8;
      copy_async(&to[row][at], linear.weights + static_cast<std::size_t>(first + row) * linear.outputs + column + at);
    }
  }
  // To be called before the wait for what a matmul reads.
  __device__ void prefetch(const ShortLinear<T>& linear) const {
    if (tiles_of(linear) > 0) fetch(linear, 0);
    end_copies();
  }

  // sums += x weights over the warp's share of a part's inputs; load(a, m, input) gives 16 rows and inputs of x.
  template <int M, typename Load>
  __device__ void multiply(float (&sums)[M][2][4], const T (*weights)[kColumns + kPadding], int first, int inputs,
                           const Load& load) const {
    for (int step = warp(); step < inputs / 16; step += kWarps) {
      std::uint32_t b[4];
      load_matrices_across(b, &weights[16 * step + lane() % 16][lane() / 16 * 8]);
#pragma unroll
      for (int m = 0; m < M; ++m) {
        if (16 * m >= rows) continue;
        std::uint32_t a[4];
        load(a, m, first + 16 * step);
        multiply_add(T{}, sums[m][0], a, b[0], b[1]);
        multiply_add(T{}, sums[m][1], a, b[2], b[3]);
      }
    }
  }

  // store(row, column, sum) for all outputs of x weights that this block computes. prefetch(linear) came before.
  template <int M, typename Load, typename Store>
  __device__ void matmul(const ShortLinear<T>& linear, const Load& load, const Store& store) const {
    const int parts = parts_of(linear), pieces = tiles_of(linear) * parts;
    float sums[M][2][4] = {};
    for (int number = 0; number < pieces; ++number) {
      if (number + 1 < pieces) fetch(linear, number + 1);
      end_copies();
      wait_copies<1>();
      __syncthreads();  // the weights are complete
      const int first = number % parts * kInputs;
      multiply<M>(sums, shared.weights[number % 2], first, min(kInputs, linear.inputs - first), load);
      if (number % parts == parts - 1) {
        add_up(sums, column_of(number / parts), store);
#pragma unroll
        for (int m = 0; m < M; ++m) {
#pragma unroll
          for (int e = 0; e < 8; ++e) sums[m][e / 4][e % 4] = 0.0f;
        }
      }
      __syncthreads();  // all threads are done with the weights
    }
    wait_copies<0>();
  }

  // Adds the warps' sums, and hands each to `store`.
  template <int M, typename Store>
  __device__ void add_up(const float (&sums)[M][2][4], int column, const Store& store) const {
    const int g = lane() / 4, t = lane() % 4;
#pragma unroll
    for (int first = 0; first < M; first += kGroup / 16) {
      if (16 * first >= rows) break;
#pragma unroll
      for (int m = 0; m < kGroup / 16; ++m) {
#pragma unroll
        for (int n = 0; n < 2; ++n) {
#pragma unroll
          for (int e = 0; e < 4; ++e)
            shared.sums[warp()][16 * m + g + e / 2 * 8][8 * n + 2 * t + e % 2] = sums[first + m][n][e];
        }
      }
      __syncthreads();
      for (int place = threadIdx.x; place < kGroup * kColumns; place += kThreads) {
        const int row = 16 * first + place / kColumns, at = place % kColumns;
        if (row >= rows) continue;
        float sum = 0.0f;
#pragma unroll
        for (int each = 0; each < kWarps; ++each) sum += shared.sums[each][place / kColumns][at];
        store(row, column + at, sum);
      }
      __syncthreads();
    }
  }

  // The normalized rows as the left side of a matmul.
  __device__ auto from_normed() const {
    return [this](std::uint32_t (&a)[4], int m, int input) {
      load_matrices(a, normed_row(16 * m + lane() % 16) + input + lane() / 16 * 8);
    };
  }
  // Rows of `width` values in memory; zeros beyond the count.
  __device__ auto from_memory(const T* x, int width) const {
    return [this, x, width](std::uint32_t (&a)[4], int m, int input) {
      const int g = lane() / 4, t = lane() % 4;
#pragma unroll
      for (int i = 0; i < 4; ++i) {  // rows g, g + 8; then the same for the upper eight inputs
        const int row = 16 * m + g + i % 2 * 8;
        const T* at = x + static_cast<std::size_t>(row) * width + input + i / 2 * 8 + 2 * t;
        a[i] = row < rows ? *reinterpret_cast<const std::uint32_t*>(at) : 0u;
      }
    };
  }

  // Normalizes rows into shared memory: value(row, column) is a pair of what is normalized.
  template <typename Value>
  __device__ void normalize(const ShortNorm& norm, const Value& value) const {
    const float share = reciprocal(static_cast<float>(model.width));
    const int steps = model.width / 64;
    for (int row = warp(); row < rows; row += kWarps) {
      float2 x[kMostSteps];
      float sum = 0.0f, squares = 0.0f;
#pragma unroll
      for (int step = 0; step < kMostSteps; ++step) {
        if (step >= steps) break;
        x[step] = value(row, 64 * step + 2 * lane());
        sum += x[step].x + x[step].y;
      }
      const float mean = warp_sum(sum) * share;
#pragma unroll
      for (int step = 0; step < kMostSteps; ++step) {
        if (step >= steps) break;
        x[step].x -= mean, x[step].y -= mean;
        squares += x[step].x * x[step].x + x[step].y * x[step].y;
      }
      const float inverse = rsqrtf(warp_sum(squares) * share + model.epsilon);
#pragma unroll
      for (int step = 0; step < kMostSteps; ++step) {
        if (step >= steps) break;
        const int column = 64 * step + 2 * lane();
        const float2 scale = *reinterpret_cast<const float2*>(norm.gamma + column),
                     shift = *reinterpret_cast<const float2*>(norm.beta + column);
        store_pair(normed_row(row) + column,
                   {x[step].x * inverse * scale.x + shift.x, x[step].y * inverse * scale.y + shift.y});
      }
    }
    __syncthreads();
  }
  __device__ void normalize_sums(const ShortNorm& norm) const {
    normalize(norm, [this](int row, int column) {
      return *reinterpret_cast<const float2*>(model.sums + static_cast<std::size_t>(row) * model.width + column);
    });
  }
  __device__ void embed() const {
    normalize(model.embedding_norm, [this](int row, int column) {
      const std::size_t width = model.width;
      float2 x = load_pair(model.words + chunk.ids[row] * width + column);
      add_to(x, load_pair(model.places + chunk.positions[row] * width + column));
      if (model.kinds) add_to(x, load_pair(model.kinds + (chunk.types ? chunk.types[row] : 0) * width + column));
      return x;
    });
  }

  // A warp computes a head of a row: lanes have a key each, then a column of the values.
  template <int D>
  __device__ void attend() const {
    constexpr float scale = kScoreScale<D>;
    constexpr int kOfLane = D / 32;
    const int stride = 3 * model.width;
    for (int item = blockIdx.x * kWarps + warp(); item < rows * model.heads; item += gridDim.x * kWarps) {
      const int row = item / model.heads, column = item % model.heads * D;
      const int text = chunk.text_of_row[row], begin = chunk.offsets[text], end = chunk.offsets[text + 1];
      const T* query = model.projected + row * stride + column;
      float most = -INFINITY, total = 0.0f, out[kOfLane] = {};
      for (int tile = begin; tile < end; tile += 32) {
        const int key = tile + lane();
        float score = -INFINITY;
        if (key < end && (!chunk.key_mask || chunk.key_mask[key])) {
          const T* at = model.projected + key * stride + model.width + column;
          score = 0.0f;
#pragma unroll
          for (int piece = 0; piece < D; piece += 8) {
            float q[8], k[8];
            unpack_eight<T>(load_words(query + piece), q);
            unpack_eight<T>(load_words(at + piece), k);
#pragma unroll
            for (int i = 0; i < 8; ++i) score += q[i] * k[i];
          }
        }
        float largest = fmaxf(most, score);
        for (int offset = 16; offset; offset /= 2)
          largest = fmaxf(largest, __shfl_xor_sync(kAllLanes, largest, offset));
        const float base = largest == -INFINITY ? 0.0f : largest;  // every key so far is masked
        const float shrink = exp2_fast((most - base) * scale), weight = exp2_fast((score - base) * scale);
        most = largest;
        total = total * shrink + weight;
#pragma unroll
        for (int i = 0; i < kOfLane; ++i) out[i] *= shrink;
        const int there = min(32, end - tile);
        for (int other = 0; other < there; ++other) {
          const float of_key = __shfl_sync(kAllLanes, weight, other);
          const T* value = model.projected + (tile + other) * stride + 2 * model.width + column;
#pragma unroll
          for (int i = 0; i < kOfLane; ++i) out[i] += of_key * static_cast<float>(value[lane() + 32 * i]);
        }
      }
      total = warp_sum(total);
#pragma unroll
      for (int i = 0; i < kOfLane; ++i)
        model.context[row * model.width + column + lane() + 32 * i] = static_cast<T>(out[i] / total);
    }
  }

  // Rows that are classified: the first of each text, their means, or all.
  __device__ int classified_rows() const { return model.pooling == LITEFT_NONE ? rows : texts; }

  // Replaces normalized rows by one for each text. A text's row is not after its own rows, and a thread has the same
  // columns of all rows, so nothing is read after it was replaced.
  __device__ void pool() const {
    for (int column = 2 * threadIdx.x; column < model.width; column += 2 * kThreads) {
      for (int text = 0; text < texts; ++text) {
        float2 sum{0.0f, 0.0f};
        int counted = 0;
        const int begin = chunk.offsets[text], end = model.pooling == LITEFT_CLS ? begin + 1 : chunk.offsets[text + 1];
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

  // A warp computes a label of a row; row_of(row) is where its values are.
  template <typename RowOf>
  __device__ void classify(const RowOf& row_of) const {
    const int count = classified_rows() * model.labels;
    for (int place = blockIdx.x * kWarps + warp(); place < count; place += gridDim.x * kWarps) {
      const int label = place % model.labels;
      const T* x = row_of(place / model.labels);
      const float* weights = model.classifier + label * model.width;
      float sum = 0.0f;
      for (int column = 2 * lane(); column < model.width; column += 64) {
        const float2 a = load_pair(x + column), b = *reinterpret_cast<const float2*>(weights + column);
        sum += a.x * b.x + a.y * b.y;
      }
      sum = warp_sum(sum);
      if (lane() == 0) model.logits[place] = sum + model.classifier_bias[label];
    }
  }
};

template <typename T, int D, int M>
__global__ void __launch_bounds__(kThreads, 1) short_forward_kernel(ShortModel<T> model, ShortChunk chunk) {
  auto& shared = *reinterpret_cast<Shared<T>*>(dynamic_shared());
  const Block<T> block{model,
                       chunk,
                       shared,
                       reinterpret_cast<T*>(dynamic_shared() + sizeof(Shared<T>)),
                       chunk.counts->rows,
                       chunk.counts->texts};
  const int width = model.width;
  const auto plain = [&](const ShortLinear<T>& linear, T* out, int stride) {
    return [&linear, out, stride](int row, int column, float sum) {
      out[static_cast<std::size_t>(row) * stride + column] = static_cast<T>(sum + linear.bias[column]);
    };
  };
  const auto with_residual = [&](const ShortLinear<T>& linear) {
    return [&block, &linear, width](int row, int column, float sum) {
      block.model.sums[static_cast<std::size_t>(row) * width + column] =
          sum + linear.bias[column] + static_cast<float>(block.normed_row(row)[column]);
    };
  };
  const auto activated = [&](const ShortLinear<T>& linear, Act kind, T* out) {
    return [&linear, kind, out](int row, int column, float sum) {
      out[static_cast<std::size_t>(row) * linear.outputs + column] =
          static_cast<T>(act(kind, sum + linear.bias[column]));
    };
  };

  for (int number = 0; number < model.count; ++number) {
    const ShortLayer<T>& layer = model.layers[number];
    const bool apart = layer.query_key_value.weights == nullptr;
    if (number == 0) {
      block.prefetch(apart ? layer.query : layer.query_key_value);
      block.embed();
    } else {
      block.normalize_sums(model.layers[number - 1].output_norm);
    }
    if (apart) {
      block.template matmul<M>(layer.query, block.from_normed(), plain(layer.query, model.projected, 3 * width));
      block.prefetch(layer.key_value);
      block.template matmul<M>(layer.key_value, block.from_normed(),
                               plain(layer.key_value, model.projected + width, 3 * width));
    } else {
      block.template matmul<M>(layer.query_key_value, block.from_normed(),
                               plain(layer.query_key_value, model.projected, 3 * width));
    }
    block.prefetch(layer.projection);  // arrives while the blocks attend
    meet_grid(model.arrived);
    block.template attend<D>();
    meet_grid(model.arrived);
    block.template matmul<M>(layer.projection, block.from_memory(model.context, width),
                             with_residual(layer.projection));
    block.prefetch(layer.inner);
    meet_grid(model.arrived);
    block.normalize_sums(layer.attention_norm);
    block.template matmul<M>(layer.inner, block.from_normed(), activated(layer.inner, model.act, model.hidden));
    block.prefetch(layer.outer);
    meet_grid(model.arrived);
    block.template matmul<M>(layer.outer, block.from_memory(model.hidden, model.inner), with_residual(layer.outer));
    if (number + 1 < model.count) {
      const ShortLayer<T>& next = model.layers[number + 1];
      block.prefetch(next.query_key_value.weights ? next.query_key_value : next.query);
    } else if (model.dense.weights) {
      block.prefetch(model.dense);
    }
    meet_grid(model.arrived);
  }

  block.normalize_sums(model.layers[model.count - 1].output_norm);
  if (model.pooling != LITEFT_NONE) block.pool();
  if (!model.dense.weights) return block.classify([&](int row) { return block.normed_row(row); });
  const Block<T> of_texts{model, chunk, shared, block.normed, block.texts, block.texts};
  of_texts.template matmul<M>(model.dense, of_texts.from_normed(), activated(model.dense, model.head, model.pooled));
  meet_grid(model.arrived);
  block.classify([&](int row) { return model.pooled + row * width; });
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

}  // namespace

template <typename T>
ShortForward<T>::ShortForward(const Model<T>& model, Act act, Act head, std::size_t shared, int multiprocessors,
                              float* logits)
    : blocks_(multiprocessors) {
  const liteft_shape& shape = model.shape;
  // A projection of the embeddings has no step here.
  if (shape.embedding != shape.width || shape.width > 64 * kMostSteps) return;
  while (most_rows_ < kManyRows && shared_bytes<T>(most_rows_ + 16, shape.width) <= shared) most_rows_ += 16;
  if (most_rows_ == 0) return;
  std::vector<ShortLayer<T>> layers;
  for (const Layer<T>& layer : model.layers) {
    layers.push_back({taken(layer.query_key_value), taken(layer.query), taken(layer.key_value), taken(layer.projection),
                      taken(layer.inner), taken(layer.outer), taken(layer.attention_norm), taken(layer.output_norm)});
  }
  const std::size_t rows = most_rows_, width = shape.width;
  layers_ = DeviceBuffer(layers.size() * sizeof(layers[0]));
  projected_ = DeviceBuffer(rows * 3 * width * sizeof(T));
  context_ = DeviceBuffer(rows * width * sizeof(T));
  hidden_ = DeviceBuffer(rows * shape.inner * sizeof(T));
  pooled_ = DeviceBuffer(rows * width * sizeof(T));
  sums_ = DeviceBuffer(rows * width * sizeof(float));
  arrived_ = DeviceBuffer(sizeof(unsigned));
  check(cudaMemcpyAsync(layers_.as(), layers.data(), layers_.bytes(), cudaMemcpyHostToDevice, loading_stream),
        "a copy");
  const unsigned none = 0;
  check(cudaMemcpyAsync(arrived_.as(), &none, sizeof(none), cudaMemcpyHostToDevice, loading_stream), "a copy");
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
            projected_.as<T>(),
            context_.as<T>(),
            hidden_.as<T>(),
            pooled_.as<T>(),
            sums_.as<float>(),
            arrived_.as<unsigned>(),
            logits};
  for (const int each : {16, most_rows_})
    with_kernel<T>(model.head_size, each,
                   [&](auto kernel) { load_kernel(kernel, shared_bytes<T>(most_rows_, shape.width)); });
}

template <typename T>
void ShortForward<T>::launch(const ShortChunk& chunk, int rows, cudaStream_t stream) const {
  with_kernel<T>(given_.width / given_.heads, rows, [&](auto kernel) {
    launch_cooperative(kernel, blocks_, kThreads, shared_bytes<T>(rows, given_.width), stream, given_, chunk);
  });
}

template class ShortForward<__half>;
template class ShortForward<__nv_bfloat16>;

}  // namespace liteft::cuda
