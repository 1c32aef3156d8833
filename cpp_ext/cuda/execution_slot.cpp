#include "cuda/execution_slot.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <algorithm>

namespace liteft::cuda {
namespace {

constexpr std::size_t kAlignment = 256;

std::size_t aligned(std::size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

template <typename T>
MatmulShape shape_of(const Linear<T>& linear, int rows, bool biased) {
  return {rows, linear.inputs, linear.outputs, biased};
}

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

// Whether values differ by no more than roundings to 16 bits: their mean square by a ten-thousandth.
bool is_near(const std::vector<float>& values, const std::vector<float>& expected) {
  double differences = 0.0, squares = 0.0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double difference = static_cast<double>(values[i]) - expected[i];
    differences += difference * difference;
    squares += static_cast<double>(expected[i]) * expected[i];
  }
  return differences <= 1e-4 * squares;  // false for NaN
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
  take(key_mask, bucket.key_mask ? bucket.rows : 0);
}

std::size_t Staging::bytes(const Bucket& bucket) {
  const Staging last(nullptr, bucket);
  return reinterpret_cast<std::uintptr_t>(last.key_mask) + aligned(bucket.key_mask ? bucket.rows : 0);
}

template <typename T>
ExecutionSlot<T>::ExecutionSlot(const Model<T>& model, Matmuls& matmuls, FusionTable& fusions, int most_rows,
                                int most_texts, int most_graphs)
    : model_(model), matmuls_(matmuls), fusions_(fusions), most_graphs_(most_graphs) {
  const liteft_shape& shape = model.shape;
  const std::size_t rows = most_rows, texts = most_texts, width = shape.width,
                    wide = std::max(shape.width, shape.embedding);
  const Bucket most{most_rows, most_texts, true, true};
  const std::size_t logits = (shape.pooling == LITEFT_NONE ? rows : texts) * shape.labels;
  for (Side& side : sides_) {
    side.staged = PinnedBuffer(Staging::bytes(most));
    side.logits = PinnedBuffer(logits * sizeof(float));
  }
  staged_ = DeviceBuffer(Staging::bytes(most));
  workspace_ = DeviceBuffer(Matmuls::kWorkspaceBytes);
  hidden_ = DeviceBuffer(rows * width * sizeof(T));
  // The values within a feed-forward block lie where queries, keys, values and sums were, which are not read again.
  const std::size_t projected = rows * 3 * width * sizeof(T);
  inner_ = DeviceBuffer(std::max(projected + rows * wide * sizeof(T), rows * shape.inner * sizeof(T)));
  projected_ = inner_.as<T>();
  sums_ = projected_ + rows * 3 * width;
  queries_ = DeviceBuffer(texts * width * sizeof(T));
  context_ = DeviceBuffer(rows * width * sizeof(T));
  pooled_ = DeviceBuffer(texts * width * sizeof(T));
  dense_ = DeviceBuffer(texts * width * sizeof(T));
  logits_ = DeviceBuffer(logits * sizeof(float));
  if (model.holds_int8) {
    int8_rows_ = DeviceBuffer(rows * std::max<std::size_t>(wide, shape.inner));
    row_scales_ = DeviceBuffer(rows * sizeof(float));
  } else {
    short_ = std::make_unique<ShortForward<T>>(model, act_of(shape.activation), act_of_head(shape.head),
                                               fusions.abilities().shared, fusions.abilities().multiprocessors,
                                               logits_.as<float>());
  }
  settle();
  check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "a stream");
  stopwatch_ = std::make_unique<Stopwatch>(stream_, [this] { fill_random(); });
}

template <typename T>
ExecutionSlot<T>::~ExecutionSlot() {
  graphs_.clear();
  if (stream_) cudaStreamDestroy(stream_);
}

template <typename T>
Fusable ExecutionSlot<T>::whole_of(int rows) const {
  return {Fusion::forward, rows, model_.shape.width, model_.shape.layers};
}

template <typename T>
MatmulPlaces ExecutionSlot<T>::places_of(const Linear<T>& linear, const T* x, T* out, bool biased) const {
  return {x, linear.weights.as(), biased ? linear.narrow_bias.as() : nullptr, out, workspace_.as()};
}

// All launches of a bucket. matmul(linear, x, out, rows, biased) autotunes a matmul in one call of this and launches it
// in another.
template <typename T>
template <typename Matmul, typename WayOf>
void ExecutionSlot<T>::compute(const Bucket& bucket, const Matmul& matmul, const WayOf& way_of) {
  const liteft_shape& shape = model_.shape;
  const int width = shape.width, rows = bucket.rows, texts = bucket.texts;
  const Staging in(staged_.as<char>(), bucket);
  const std::int32_t *row_count = &in.counts->rows, *text_count = &in.counts->texts;
  T *hidden = hidden_.as<T>(), *sums = sums_, *projected = projected_, *context = context_.as<T>();
  T *pooled = pooled_.as<T>(), *queries = queries_.as<T>();
  const Steps steps(shape, fusions_.abilities().multiprocessors, stream_, inner_.as<T>(), int8_rows(), matmul, way_of);
  const auto follow = [&](const Layer<T>& layer, T* into, int most, const std::int32_t* count) {
    steps.layer_norm(layer.projection, layer.attention_norm, context, sums, into, most, count);
    steps.feed_forward(layer, act_of(shape.activation), context, into, most, count);
  };

  const bool projects = shape.embedding != width;
  embed<T>({in.ids, bucket.holds_types ? in.types : nullptr, in.positions, model_.words.template as<T>(),
            model_.positions.template as<T>(), shape.types ? model_.types.template as<T>() : nullptr,
            model_.embedding_norm.gamma.template as<float>(), model_.embedding_norm.beta.template as<float>(),
            shape.epsilon, shape.embedding, in.counts, projects ? sums : hidden},
           rows, stream_);
  if (projects) steps.activate(model_.embedding_projection, sums, Act::none, hidden, rows, row_count);
  for (const Layer<T>& layer : model_.layers) {
    Attention<T> given{};
    given.text_of_row = in.text_of_row;
    given.offsets = in.offsets;
    given.key_mask = bucket.key_mask ? in.key_mask : nullptr;
    given.heads = shape.heads;
    given.counts = in.counts;
    given.out = context;
    if (!layer.cls_only) {
      steps.project(layer.query_key_value, hidden, projected, rows, row_count);
      given.query = projected, given.key = projected + width, given.value = projected + 2 * width;
      given.query_stride = given.stride = 3 * static_cast<std::size_t>(width);
      attend<T>(given, model_.head_size, rows, stream_);
      follow(layer, hidden, rows, row_count);
      continue;
    }
    steps.project(layer.key_value, hidden, projected, rows, row_count);
    gather_first<T>(hidden, in.offsets, in.counts, width, pooled, texts, stream_);
    steps.project(layer.query, pooled, queries, texts, text_count);
    given.query = queries, given.key = projected, given.value = projected + width;
    given.query_stride = width, given.stride = 2 * static_cast<std::size_t>(width);
    attend_first<T>(given, model_.head_size, texts, stream_);
    follow(layer, pooled, texts, text_count);
  }
  Classified<T> classified{nullptr,
                           model_.classifier.weights.template as<float>(),
                           model_.classifier.bias.template as<float>(),
                           row_count,
                           width,
                           shape.labels,
                           logits_.as<float>()};
  if (shape.pooling == LITEFT_NONE) {
    classified.x = hidden;
    return classify_tokens<T>(classified, rows, stream_);
  }
  if (shape.pooling == LITEFT_MEAN) {
    pool_mean<T>(hidden, in.offsets, bucket.key_mask ? in.key_mask : nullptr, in.counts, width, pooled, texts, stream_);
  }
  classified.x = pooled;
  classified.rows = text_count;
  if (shape.head != LITEFT_HEAD_NONE) {
    steps.activate(model_.dense, pooled, act_of_head(shape.head), dense_.as<T>(), texts, text_count);
    classified.x = dense_.as<T>();
  }
  classify<T>(classified, texts, stream_);
}

template <typename T>
template <typename Matmul>
void ExecutionSlot<T>::forward(const Bucket& bucket, const Matmul& matmul, Way way) {
  if (way == Way::plain || bucket.rows > most_short_rows())
    return compute(bucket, matmul, [&](const Fusable& shape) { return fusions_.way_of(shape); });
  const Staging in(staged_.as<char>(), bucket);
  short_->launch({in.counts, in.ids, bucket.holds_types ? in.types : nullptr, in.positions, in.text_of_row, in.offsets,
                  bucket.key_mask ? in.key_mask : nullptr},
                 bucket.rows, stream_);
}

template <typename T>
void ExecutionSlot<T>::upload_counts(const Bucket& bucket, Counts counts) {
  *host(bucket, 0).counts = counts;
  check(cudaMemcpyAsync(staged_.as(), sides_[0].staged.template as<char>(), sizeof(Counts), cudaMemcpyHostToDevice,
                        stream_),
        "a copy");
  check(cudaStreamSynchronize(stream_), "a copy");
}

template <typename T>
void ExecutionSlot<T>::fill_random() {
  for (const DeviceBuffer* each : {&hidden_, &queries_, &context_, &inner_, &pooled_, &dense_}) {
    cuda::fill_random<T>(each->as<T>(), each->bytes() / sizeof(T), stream_);
  }
}

// Values on the device as float32, and back; both wait for the stream.
template <typename T>
std::vector<float> ExecutionSlot<T>::values_of(const T* values, std::size_t count) const {
  std::vector<T> copied(count);
  check(cudaMemcpyAsync(copied.data(), values, count * sizeof(T), cudaMemcpyDeviceToHost, stream_), "a copy");
  check(cudaStreamSynchronize(stream_), "a copy");
  return {copied.begin(), copied.end()};
}
template <typename T>
void ExecutionSlot<T>::set_values(T* values, const std::vector<float>& wanted) const {
  std::vector<T> narrow(wanted.size());
  std::transform(wanted.begin(), wanted.end(), narrow.begin(), [](float value) { return static_cast<T>(value); });
  check(cudaMemcpyAsync(values, narrow.data(), narrow.size() * sizeof(T), cudaMemcpyHostToDevice, stream_), "a copy");
  check(cudaStreamSynchronize(stream_), "a copy");
}

template <typename T>
void ExecutionSlot<T>::autotune(int rows) {
  const Bucket bucket{rows, rows};
  upload_counts(bucket, {});  // no other kernel computes while matmuls are autotuned
  compute(
      bucket,
      [&](const Linear<T>& linear, const T* x, T* out, int most, bool biased) {
        matmuls_.autotune(shape_of(linear, most, biased), places_of(linear, x, out, biased), *stopwatch_);
      },
      [](const Fusable&) { return Way::plain; });
  check(cudaStreamSynchronize(stream_), "autotuning matmuls");

  // Then decides how each step is computed, the whole block last: times the ways on the values in the buffers.
  upload_counts(bucket, {rows, rows});
  const std::int32_t* there = &Staging(staged_.as<char>(), bucket).counts->rows;
  const auto matmul = [&](const Linear<T>& linear, const T* x, T* out, int most, bool biased) {
    matmuls_.run(shape_of(linear, most, biased), places_of(linear, x, out, biased), stream_);
  };
  const auto all_ways = [&](const Fusable& shape, T* out, const auto& step) {
    const auto run = [&](Way way) {
      const auto way_of = [&](const Fusable& asked) { return asked == shape ? way : fusions_.way_of(asked); };
      step(Steps(model_.shape, fusions_.abilities().multiprocessors, stream_, inner_.as<T>(), int8_rows(), matmul,
                 way_of));
    };
    const auto is_right = [&](Way way) {
      const std::size_t count = static_cast<std::size_t>(rows) * shape.outputs;
      // A step with a norm adds to what is there; what others find there must not be the right result already.
      const bool adds = shape.what == Fusion::norm || shape.what == Fusion::feed_forward;
      const std::vector<float> before = adds ? values_of(out, count) : std::vector<float>(count);
      run(Way::plain);
      const std::vector<float> plain = values_of(out, count);
      set_values(out, before);
      run(way);
      return is_near(values_of(out, count), plain);
    };
    fusions_.autotune(shape, *stopwatch_, run, is_right);
  };
  const auto activated = [&](const Linear<T>& linear, const T* x, Act act, T* out) {
    if (linear.is_int8()) return;  // there is one way
    all_ways({Fusion::act, rows, linear.inputs, linear.outputs}, out,
             [&](const auto& steps) { steps.activate(linear, x, act, out, rows, there); });
  };
  const auto projected = [&](const Linear<T>& linear, const T* x, T* out) {
    if (linear.outputs == 0 || linear.is_int8()) return;  // of a layer that has no such product
    all_ways({Fusion::bias, rows, linear.inputs, linear.outputs}, out,
             [&](const auto& steps) { steps.project(linear, x, out, rows, there); });
  };
  const auto normed = [&](const Linear<T>& linear, const Norm& norm, const T* x, T* sums) {
    if (linear.is_int8()) return;
    all_ways({Fusion::norm, rows, linear.inputs, linear.outputs}, hidden_.as<T>(),
             [&](const auto& steps) { steps.layer_norm(linear, norm, x, sums, hidden_.as<T>(), rows, there); });
  };
  const liteft_shape& shape = model_.shape;
  const Layer<T>& layer = model_.layers.front();
  const Act act = act_of(shape.activation);
  if (shape.embedding != shape.width) activated(model_.embedding_projection, sums_, Act::none, hidden_.as<T>());
  if (shape.head != LITEFT_HEAD_NONE) activated(model_.dense, pooled_.as<T>(), act_of_head(shape.head), dense_.as<T>());
  for (const Layer<T>* each : {&layer, &model_.layers.back()}) {  // only the last one may be for first rows alone
    projected(each->query_key_value, hidden_.as<T>(), projected_);
    projected(each->key_value, hidden_.as<T>(), projected_);
    projected(each->query, pooled_.as<T>(), queries_.as<T>());
  }
  activated(layer.inner, hidden_.as<T>(), act, inner_.as<T>());
  normed(layer.projection, layer.attention_norm, context_.as<T>(), sums_);
  normed(layer.outer, layer.output_norm, inner_.as<T>(), context_.as<T>());
  if (!layer.inner.is_int8() && !layer.outer.is_int8()) {
    all_ways({Fusion::feed_forward, rows, shape.width, shape.inner}, hidden_.as<T>(), [&](const auto& steps) {
      steps.feed_forward(layer, act, context_.as<T>(), hidden_.as<T>(), rows, there);
    });
  }
  if (rows <= most_short_rows()) autotune_forward(rows);
  check(cudaStreamSynchronize(stream_), "autotuning fusions");
}

// Decides for chunks of so many rows, on a single text, between one kernel and the steps as they were decided before.
template <typename T>
void ExecutionSlot<T>::autotune_forward(int rows) {
  const Bucket bucket{rows, rows};
  const Staging text = host(bucket, 0);
  *text.counts = {rows, 1};
  text.offsets[0] = 0, text.offsets[1] = rows;
  for (int row = 0; row < rows; ++row) {
    text.ids[row] = text.text_of_row[row] = 0;
    text.positions[row] = std::min(row, model_.shape.positions - 1);
  }
  upload(bucket, 0);
  const auto matmul = [&](const Linear<T>& linear, const T* x, T* out, int most, bool biased) {
    matmuls_.run(shape_of(linear, most, biased), places_of(linear, x, out, biased), stream_);
  };
  const auto run = [&](Way way) { forward(bucket, matmul, way); };
  const auto logits_by = [&](Way way) {
    const std::size_t count = (model_.shape.pooling == LITEFT_NONE ? rows : 1) * model_.shape.labels;
    check(cudaMemsetAsync(logits_.as(), 0, count * sizeof(float), stream_), "filling memory of the GPU");
    run(way);
    std::vector<float> logits(count);
    check(cudaMemcpyAsync(logits.data(), logits_.as(), count * sizeof(float), cudaMemcpyDeviceToHost, stream_),
          "a copy");
    check(cudaStreamSynchronize(stream_), "a copy");
    return logits;
  };
  const auto is_right = [&](Way way) {
    const std::vector<float> plain = logits_by(Way::plain);
    return is_near(logits_by(way), plain);
  };
  fusions_.autotune(whole_of(rows), *stopwatch_, run, is_right);
}

template <typename T>
void ExecutionSlot<T>::prepare(const Bucket& bucket) {
  if (graphs_.size() >= most_graphs_) {
    check(cudaStreamSynchronize(stream_), "a run");  // the graph may belong to a chunk that is still computed
    const auto oldest = std::min_element(graphs_.begin(), graphs_.end(),
                                         [](const auto& a, const auto& b) { return a.second.used < b.second.used; });
    graphs_.erase(oldest);
  }
  Graph graph = captured(stream_, [&] {
    if (bucket.copies) upload(bucket, 0);
    const auto matmul = [&](const Linear<T>& linear, const T* x, T* out, int rows, bool biased) {
      matmuls_.run(shape_of(linear, rows, biased), places_of(linear, x, out, biased), stream_);
    };
    forward(bucket, matmul, fusions_.way_of(whole_of(bucket.rows)));
    if (bucket.copies) download(model_.shape.pooling == LITEFT_NONE ? bucket.rows : bucket.texts, 0);
  });
  graph.upload(stream_);
  graphs_[bucket] = {std::move(graph), runs_};
}

template <typename T>
void ExecutionSlot<T>::upload(const Bucket& bucket, int side) {
  check(cudaMemcpyAsync(staged_.as(), sides_[side].staged.template as<char>(), Staging::bytes(bucket),
                        cudaMemcpyHostToDevice, stream_),
        "a copy");
}
template <typename T>
void ExecutionSlot<T>::download(std::size_t rows, int side) {
  check(cudaMemcpyAsync(sides_[side].logits.as(), logits_.as(), rows * model_.shape.labels * sizeof(float),
                        cudaMemcpyDeviceToHost, stream_),
        "a copy");
}

template <typename T>
void ExecutionSlot<T>::begin(const Bucket& bucket, std::size_t logit_rows, int side) {
  const auto graph = graphs_.find(bucket);
  if (graph == graphs_.end()) throw std::logic_error("a bucket that was not prepared");
  graph->second.used = ++runs_;
  if (!bucket.copies) upload(bucket, side);
  graph->second.graph.launch(stream_);
  if (!bucket.copies) download(logit_rows, side);
  check(cudaEventRecord(sides_[side].done, stream_), "an event");
}

template <typename T>
void ExecutionSlot<T>::finish(int side) {
  check(cudaEventSynchronize(sides_[side].done), "a run");
}

template <typename T>
void ExecutionSlot<T>::abandon() {
  cudaStreamSynchronize(stream_);  // or the next run could overwrite pinned memory that is still being copied
  cudaGetLastError();
}

template <typename T>
double ExecutionSlot<T>::time(const Bucket& bucket, int runs) {
  const auto graph = graphs_.find(bucket);
  if (graph == graphs_.end()) throw std::logic_error("a bucket that was not prepared");
  const Event begin, end;
  check(cudaEventRecord(begin, stream_), "an event");
  for (int run = 0; run < runs; ++run) graph->second.graph.launch(stream_);
  check(cudaEventRecord(end, stream_), "an event");
  return milliseconds_between(begin, end) / runs;
}

template <typename T>
Uploaded ExecutionSlot<T>::uploaded(const Bucket& bucket) {
  Uploaded chunk{bucket, DeviceBuffer(Staging::bytes(bucket))};
  settle();
  check(cudaMemcpyAsync(chunk.staged.as(), sides_[0].staged.template as<char>(), chunk.staged.bytes(),
                        cudaMemcpyHostToDevice, stream_),
        "a copy");
  check(cudaStreamSynchronize(stream_), "a copy");
  return chunk;
}

template <typename T>
double ExecutionSlot<T>::time(const std::vector<Uploaded>& chunks) {
  const Event begin, end;
  check(cudaEventRecord(begin, stream_), "an event");
  for (const Uploaded& chunk : chunks) {
    const auto graph = graphs_.find(chunk.bucket);
    if (graph == graphs_.end())
      throw std::logic_error("more kinds of chunks in one pass than an execution slot keeps graphs");
    check(cudaMemcpyAsync(staged_.as(), chunk.staged.as(), chunk.staged.bytes(), cudaMemcpyDeviceToDevice, stream_),
          "a copy");
    graph->second.graph.launch(stream_);
  }
  check(cudaEventRecord(end, stream_), "an event");
  return milliseconds_between(begin, end);
}

template class ExecutionSlot<__half>;
template class ExecutionSlot<__nv_bfloat16>;

}  // namespace liteft::cuda
