#include "cuda/slot.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <algorithm>

#include "cuda/timing.h"

namespace liteft::cuda {
namespace {

constexpr std::size_t kAlignment = 256;

std::size_t aligned(std::size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

Act act_of(int activation) {
  switch (activation) {
    case LITEFT_RELU: return Act::relu;
    case LITEFT_GELU_TANH: return Act::gelu_tanh;
    case LITEFT_SILU: return Act::silu;
  }
  return Act::gelu;
}

Act act_of_head(int head) {
  switch (head) {
    case LITEFT_HEAD_TANH: return Act::tanh;
    case LITEFT_HEAD_RELU: return Act::relu;
    case LITEFT_HEAD_GELU: return Act::gelu;
  }
  return Act::none;
}

}  // namespace

Staging::Staging(char* base, const Bucket& bucket) {
  const auto take = [&]<typename V>(V*& place, std::size_t count) {
    place = reinterpret_cast<V*>(base);
    base += aligned(count * sizeof(V));
  };
  take(counts, 1);
  take(offsets, bucket.texts + 1);
  take(ids, bucket.rows);
  take(positions, bucket.rows);
  take(text_of_row, bucket.rows);
  take(types, bucket.holds_types ? bucket.rows : 0);
  take(attended, bucket.attended ? bucket.rows : 0);
}

std::size_t Staging::bytes(const Bucket& bucket) {
  const Staging last(nullptr, bucket);
  return reinterpret_cast<std::uintptr_t>(last.attended) + aligned(bucket.attended ? bucket.rows : 0);
}

template <typename T>
Slot<T>::Slot(const Model<T>& model, Products& products, int most_rows, int most_texts) : model_(model), products_(products) {
  const liteft_shape& shape = model.shape;
  const std::size_t rows = most_rows, texts = most_texts, width = shape.width, wide = std::max(shape.width, shape.embedding);
  const Bucket most{most_rows, most_texts, shape.positions, true, true};
  pinned_ = PinnedBuffer(Staging::bytes(most));
  pinned_logits_ = PinnedBuffer(texts * shape.labels * sizeof(float));
  staged_ = DeviceBuffer(Staging::bytes(most));
  workspace_ = DeviceBuffer(Products::kWorkspaceBytes);
  hidden_ = DeviceBuffer(rows * width * sizeof(T));
  sums_ = DeviceBuffer(rows * wide * sizeof(T));
  projected_ = DeviceBuffer(rows * 3 * width * sizeof(T));
  queries_ = DeviceBuffer(texts * width * sizeof(T));
  context_ = DeviceBuffer(rows * width * sizeof(T));
  inner_ = DeviceBuffer(rows * shape.inner * sizeof(T));
  pooled_ = DeviceBuffer(texts * width * sizeof(T));
  dense_ = DeviceBuffer(texts * width * sizeof(T));
  logits_ = DeviceBuffer(texts * shape.labels * sizeof(float));
  check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "a stream");
}

template <typename T>
Slot<T>::~Slot() {
  for (auto& [bucket, graph] : graphs_) cudaGraphExecDestroy(graph);
  if (stream_) cudaStreamDestroy(stream_);
}

// All launches of a bucket. multiply(linear, x, out, rows) is a product: it is learnt in one pass and captured in another.
template <typename T>
template <typename Multiply>
void Slot<T>::compute(const Bucket& bucket, const Multiply& multiply) {
  const liteft_shape& shape = model_.shape;
  const int width = shape.width, rows = bucket.rows, texts = bucket.texts;
  const Staging in(staged_.as<char>(), bucket);
  const std::int32_t *row_count = &in.counts->rows, *text_count = &in.counts->texts;
  T *hidden = hidden_.as<T>(), *sums = sums_.as<T>(), *projected = projected_.as<T>(), *context = context_.as<T>();
  T *inner = inner_.as<T>(), *pooled = pooled_.as<T>(), *queries = queries_.as<T>();

  const auto norm_into = [&](const Norm& norm, const Linear<T>& before, T* into, int most, const std::int32_t* count) {
    normalize<T>({sums, before.bias.template as<float>(), into, norm.gamma.template as<float>(), norm.beta.template as<float>(),
                  shape.epsilon, width, count, into},
                 most, stream_);
  };
  const auto follow = [&](const Layer<T>& layer, T* into, int most, const std::int32_t* count) {
    multiply(layer.projection, context, sums, most);
    norm_into(layer.attention_norm, layer.projection, into, most, count);
    multiply(layer.inner, into, inner, most);
    activate<T>({inner, layer.inner.bias.template as<float>(), act_of(shape.activation), shape.inner, count}, most, stream_);
    multiply(layer.outer, inner, sums, most);
    norm_into(layer.output_norm, layer.outer, into, most, count);
  };

  const bool projects = shape.embedding != width;
  embed<T>({in.ids, bucket.holds_types ? in.types : nullptr, in.positions, model_.words.template as<T>(),
            model_.positions.template as<T>(), shape.types ? model_.types.template as<T>() : nullptr,
            model_.embedding_norm.gamma.template as<float>(), model_.embedding_norm.beta.template as<float>(), shape.epsilon,
            shape.embedding, in.counts, projects ? sums : hidden},
           rows, stream_);
  if (projects) {
    multiply(model_.embedding_projection, sums, hidden, rows);
    activate<T>({hidden, model_.embedding_projection.bias.template as<float>(), Act::none, width, row_count}, rows, stream_);
  }
  for (const Layer<T>& layer : model_.layers) {
    Attention<T> given{};
    given.text_of_row = in.text_of_row;
    given.offsets = in.offsets;
    given.attended = bucket.attended ? in.attended : nullptr;
    given.heads = shape.heads;
    given.counts = in.counts;
    given.out = context;
    if (!layer.cut) {
      multiply(layer.query_key_value, hidden, projected, rows);
      const float* bias = layer.query_key_value.bias.template as<float>();
      given.query = projected, given.key = projected + width, given.value = projected + 2 * width;
      given.query_stride = given.stride = 3 * static_cast<std::size_t>(width);
      given.query_bias = bias, given.key_bias = bias + width, given.value_bias = bias + 2 * width;
      attend<T>(given, model_.head_size, rows, stream_);
      follow(layer, hidden, rows, row_count);
      continue;
    }
    multiply(layer.key_value, hidden, projected, rows);
    gather_first<T>(hidden, in.offsets, in.counts, width, pooled, texts, stream_);
    multiply(layer.query, pooled, queries, texts);
    const float* bias = layer.key_value.bias.template as<float>();
    given.query = queries, given.key = projected, given.value = projected + width;
    given.query_stride = width, given.stride = 2 * static_cast<std::size_t>(width);
    given.query_bias = layer.query.bias.template as<float>(), given.key_bias = bias, given.value_bias = bias + width;
    attend_first<T>(given, model_.head_size, texts, bucket.longest, stream_);
    follow(layer, pooled, texts, text_count);
  }
  if (shape.pooling == LITEFT_MEAN) {
    pool_mean<T>(hidden, in.offsets, bucket.attended ? in.attended : nullptr, in.counts, width, pooled, texts, stream_);
  }
  const T* last = pooled;
  if (shape.head != LITEFT_HEAD_NONE) {
    multiply(model_.dense, pooled, dense_.as<T>(), texts);
    activate<T>({dense_.as<T>(), model_.dense.bias.template as<float>(), act_of_head(shape.head), width, text_count}, texts, stream_);
    last = dense_.as<T>();
  }
  classify<T>(last, model_.classifier.template as<float>(), model_.classifier_bias.template as<float>(), in.counts, width,
              shape.labels, logits_.as<float>(), texts, stream_);
}

template <typename T>
void Slot<T>::prepare(const Bucket& bucket) {
  if (graphs_.count(bucket)) return;
  const auto shape_of = [](const Linear<T>& linear, int rows) { return ProductShape{rows, linear.inputs, linear.outputs}; };
  *host(bucket).counts = {};  // nothing but products computes while they are learnt
  check(cudaMemcpyAsync(staged_.as(), pinned_.as<char>(), sizeof(Counts), cudaMemcpyHostToDevice, stream_), "a copy");
  compute(bucket, [&](const Linear<T>& linear, const T* x, T* out, int rows) {
    products_.learn(shape_of(linear, rows), x, linear.weights.as(), out, workspace_.as(), stream_);
  });
  check(cudaStreamSynchronize(stream_), "learning products");
  check(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), "capturing a graph");
  std::exception_ptr failure;
  try {
    compute(bucket, [&](const Linear<T>& linear, const T* x, T* out, int rows) {
      products_.run(shape_of(linear, rows), x, linear.weights.as(), out, workspace_.as(), stream_);
    });
  } catch (...) {
    failure = std::current_exception();
  }
  cudaGraph_t graph = nullptr;
  const cudaError_t ended = cudaStreamEndCapture(stream_, &graph);
  if (failure) std::rethrow_exception(failure);
  check(ended, "capturing a graph");
  cudaGraphExec_t made = nullptr;
  const cudaError_t error = cudaGraphInstantiate(&made, graph, 0);
  cudaGraphDestroy(graph);
  check(error, "a graph");
  graphs_[bucket] = made;
}

template <typename T>
void Slot<T>::run(const Bucket& bucket, int texts) {
  const auto graph = graphs_.find(bucket);
  if (graph == graphs_.end()) throw std::logic_error("a bucket that was not prepared");
  check(cudaMemcpyAsync(staged_.as(), pinned_.as<char>(), Staging::bytes(bucket), cudaMemcpyHostToDevice, stream_), "a copy");
  check(cudaGraphLaunch(graph->second, stream_), "a graph");
  check(cudaMemcpyAsync(pinned_logits_.as(), logits_.as(), static_cast<std::size_t>(texts) * model_.shape.labels * sizeof(float),
                        cudaMemcpyDeviceToHost, stream_), "a copy");
  check(cudaStreamSynchronize(stream_), "a run");
}

template <typename T>
double Slot<T>::time(const Bucket& bucket, int runs) {
  const auto graph = graphs_.find(bucket);
  if (graph == graphs_.end()) throw std::logic_error("a bucket that was not prepared");
  const Event begin, end;
  check(cudaEventRecord(begin, stream_), "an event");
  for (int run = 0; run < runs; ++run) check(cudaGraphLaunch(graph->second, stream_), "a graph");
  check(cudaEventRecord(end, stream_), "an event");
  check(cudaEventSynchronize(end), "timing");
  float milliseconds = 0.0f;
  check(cudaEventElapsedTime(&milliseconds, begin, end), "timing");
  return static_cast<double>(milliseconds) / runs;
}

template class Slot<__half>;
template class Slot<__nv_bfloat16>;

}  // namespace liteft::cuda
