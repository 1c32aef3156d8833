#include "engine/engine.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <tuple>

namespace liteft {
namespace {

constexpr int kMostRows = 96;    // of a strip, where its texts are short
constexpr int kInnerRows = 48;   // of the feed-forward block at a time

// Texts that go through the model together.
struct Strip {
  int first = 0;
  int last = 0;
};

// One thread's part in a strip.
struct Member {
  int number;
  int of;
  Barrier& barrier;

  std::pair<int, int> share(int count) const {
    const long n = count;
    return {static_cast<int>(n * number / of), static_cast<int>(n * (number + 1) / of)};
  }
  void meet() { barrier.wait(); }
};

std::vector<Strip> strips_of(const Batch& batch, int threads) {
  const int rows = batch.offsets[batch.texts];
  const int wanted = std::clamp(rows / (threads * 3), 32, kMostRows);
  std::vector<Strip> strips;
  for (int text = 0; text < batch.texts;) {
    Strip strip{text, text + 1};
    while (strip.last < batch.texts && batch.offsets[strip.last + 1] - batch.offsets[text] <= wanted) ++strip.last;
    strips.push_back(strip);
    text = strip.last;
  }
  return strips;
}

std::size_t bytes_of(Precision precision, int width) {
  const std::size_t values = (static_cast<std::size_t>(width) + 15) / 16 * 16;
  return values * (precision == Precision::int8 ? 1 : precision == Precision::bf16 ? 2 : 4);
}

}  // namespace

struct Engine::Workspace {
  int rows = 0;
  int longest = 0;
  Buffer hidden, sums, attention, context, input, inner, inner_input, scales, pooled, dense;
  std::vector<Buffer> scratch;  // one a member
};

Engine::Engine(Model model, int threads) : model_(std::move(model)), pool_(threads) {}
Engine::~Engine() = default;

std::unique_ptr<Engine::Workspace> Engine::take_workspace(int rows, int texts, int longest) {
  const int wanted = std::max(rows, texts);
  {
    const std::lock_guard lock(mutex_);
    for (auto place = idle_.begin(); place != idle_.end(); ++place) {
      if ((*place)->rows >= wanted && (*place)->longest >= longest) {
        auto found = std::move(*place);
        idle_.erase(place);
        return found;
      }
    }
    if (!idle_.empty()) idle_.pop_back();  // too small: replaced by a larger one, so their number does not grow
  }
  const ModelShape& shape = model_.shape;
  auto made = std::make_unique<Workspace>();
  made->rows = wanted;
  made->longest = longest;
  const std::size_t n = wanted, wide = std::max(shape.width, shape.embedding);
  made->hidden = Buffer(n * shape.width * 4);
  made->sums = Buffer(n * wide * 4);
  made->attention = Buffer(n * shape.width * 3 * 4);
  made->context = Buffer(n * shape.width * 4);
  made->input = Buffer(n * bytes_of(model_.precision, static_cast<int>(wide)));
  made->inner = Buffer(static_cast<std::size_t>(kInnerRows) * shape.inner * 4);
  made->inner_input = Buffer(kInnerRows * bytes_of(model_.precision, shape.inner));
  made->scales = Buffer((n + kInnerRows) * 4);
  made->pooled = Buffer(n * shape.width * 4);
  made->dense = Buffer(n * shape.width * 4);
  for (int member = 0; member < pool_.threads(); ++member) {
    made->scratch.emplace_back(4 * model_.kernels->attention_scratch(longest, shape.width / shape.heads));
  }
  return made;
}

namespace {

// The passage of one strip through the model, as one member of its team sees it.
class Passage {
 public:
  Passage(const Model& model, const Batch& batch, Strip strip, Member member, Buffer& scratch)
      : model_(model), kernels_(*model.kernels), shape_(model.shape), batch_(batch), strip_(strip), member_(member),
        scratch_(scratch), base_(batch.offsets[strip.first]), rows_(batch.offsets[strip.last] - base_) {}

  template <typename Workspace>
  void run(Workspace& w, float* logits) {
    embed(w);
    for (int number = 0; number < shape_.layers; ++number) {
      layer(w, model_.layers[number], number + 1 == shape_.layers && shape_.pooling == Pooling::cls);
    }
    pool(w);
    head(w, logits);
  }

 private:
  struct Operand {
    const void* data;
    std::size_t stride;
    const float* scales;
  };

  // Rows as a product reads them; the members share the work, and meet.
  Operand prepare(const float* x, std::size_t stride, int rows, int width, Buffer& place, float* scales) {
    if (model_.precision == Precision::fp32) return {x, stride * 4, nullptr};
    const std::size_t bytes = bytes_of(model_.precision, width);
    const auto [begin, end] = member_.share(rows);
    kernels_.convert(model_.precision, x + begin * stride, stride, end - begin, width,
                     static_cast<char*>(place.data()) + begin * bytes, bytes, scales + begin);
    member_.meet();
    return {place.data(), bytes, scales};
  }

  void multiply(const Linear& linear, const Operand& input, int rows, float* output, std::size_t stride,
                After after = After::nothing, const float* residual = nullptr, std::size_t residual_stride = 0) {
    Product product;
    product.matrix = &linear.matrix();
    std::tie(product.first_panel, product.last_panel) = member_.share(linear.matrix().panels);
    product.rows = rows;
    product.input = input.data;
    product.input_stride = input.stride;
    product.row_scale = input.scales;
    product.output = output;
    product.output_stride = stride;
    product.after = after;
    product.residual = residual;
    product.residual_stride = residual_stride;
    kernels_.multiply(product);
  }

  void normalize(const Norm& norm, const float* x, int rows, int width, float* y) {
    const auto [begin, end] = member_.share(rows);
    kernels_.normalize(x + static_cast<std::size_t>(begin) * width, width, norm.gamma.data(), norm.beta.data(),
                       shape_.epsilon, end - begin, width, y + static_cast<std::size_t>(begin) * width, width);
    member_.meet();
  }

  template <typename Workspace>
  void embed(Workspace& w) {
    const int width = shape_.embedding;
    float* sums = w.sums.floats();
    const auto [begin, end] = member_.share(rows_);
    int text = strip_.first;
    for (int row = begin; row < end; ++row) {
      const int token = base_ + row;
      while (batch_.offsets[text + 1] <= token) ++text;
      float* out = sums + static_cast<std::size_t>(row) * width;
      std::memset(out, 0, width * sizeof(float));
      model_.words.add_row(batch_.ids[token], width, out);
      model_.positions.add_row(batch_.positions ? batch_.positions[token] : token - batch_.offsets[text], width, out);
      if (shape_.types) model_.types.add_row(batch_.types ? batch_.types[token] : 0, width, out);
    }
    member_.meet();
    if (shape_.embedding == shape_.width) return normalize(model_.embedding_norm, sums, rows_, width, w.hidden.floats());
    normalize(model_.embedding_norm, sums, rows_, width, sums);
    const Operand input = prepare(sums, width, rows_, width, w.input, w.scales.floats());
    multiply(model_.embedding_projection, input, rows_, w.hidden.floats(), shape_.width);
    member_.meet();
  }

  template <typename Workspace>
  void layer(Workspace& w, const Layer& layer, bool first_only) {
    const int width = shape_.width;
    float* hidden = w.hidden.floats();
    float* attention = w.attention.floats();
    const std::size_t across = 3 * static_cast<std::size_t>(width);
    const int texts = strip_.last - strip_.first;
    const Operand input = prepare(hidden, width, rows_, width, w.input, w.scales.floats());
    multiply(layer.key, input, rows_, attention + width, across);
    multiply(layer.value, input, rows_, attention + 2 * width, across);
    if (!first_only) {
      multiply(layer.query, input, rows_, attention, across);
    } else {
      // Only the first row of each text asks, and only these rows go on.
      for (int text = 0; text < texts; ++text) {
        const int row = batch_.offsets[strip_.first + text] - base_;
        Operand one = input;
        one.data = static_cast<const char*>(input.data) + row * input.stride;
        if (one.scales) one.scales += row;
        multiply(layer.query, one, 1, attention + row * across, across);
      }
    }
    member_.meet();
    attend(attention, across, w.context.floats(), first_only);
    member_.meet();
    int rows = rows_;
    if (first_only) {
      gather_first(hidden, w.pooled.floats());
      hidden = w.pooled.floats();
      rows = texts;
    }
    const Operand context = prepare(w.context.floats(), width, rows, width, w.input, w.scales.floats());
    multiply(layer.projection, context, rows, w.sums.floats(), width, After::residual, hidden, width);
    member_.meet();
    normalize(layer.attention_norm, w.sums.floats(), rows, width, hidden);
    const After activated = shape_.activation == Activation::gelu ? After::gelu : After::relu;
    for (int begin = 0; begin < rows; begin += kInnerRows) {
      const int count = std::min(kInnerRows, rows - begin);
      float* block = hidden + static_cast<std::size_t>(begin) * width;
      float* scales = w.scales.floats();
      const Operand narrow = prepare(block, width, count, width, w.input, scales);
      multiply(layer.inner, narrow, count, w.inner.floats(), shape_.inner, activated);
      member_.meet();
      const Operand wide = prepare(w.inner.floats(), shape_.inner, count, shape_.inner, w.inner_input, scales);
      multiply(layer.outer, wide, count, w.sums.floats() + static_cast<std::size_t>(begin) * width, width,
               After::residual, block, width);
      member_.meet();
    }
    normalize(layer.output_norm, w.sums.floats(), rows, width, hidden);
  }

  void attend(const float* attention, std::size_t across, float* context, bool first_only) {
    const int texts = strip_.last - strip_.first;
    Attention given;
    given.head_size = shape_.width / shape_.heads;
    given.stride = given.query_stride = across;
    given.output_stride = shape_.width;
    given.scratch = scratch_.floats();
    const auto [begin, end] = member_.share(texts * shape_.heads);
    for (int piece = begin; piece < end;) {
      const int text = piece / shape_.heads;
      given.first_head = piece % shape_.heads;
      given.last_head = std::min(shape_.heads, given.first_head + end - piece);
      piece += given.last_head - given.first_head;
      const int token = batch_.offsets[strip_.first + text], row = token - base_;
      given.keys = batch_.offsets[strip_.first + text + 1] - token;
      given.queries = first_only ? 1 : given.keys;
      given.query = attention + row * across;
      given.key = given.query + shape_.width;
      given.value = given.query + 2 * shape_.width;
      given.attended = batch_.attended ? batch_.attended + token : nullptr;
      given.output = context + static_cast<std::size_t>(first_only ? text : row) * shape_.width;
      kernels_.attend(given);
    }
  }

  void gather_first(const float* hidden, float* out) {
    const auto [begin, end] = member_.share(strip_.last - strip_.first);
    for (int text = begin; text < end; ++text) {
      const std::size_t row = batch_.offsets[strip_.first + text] - base_;
      std::memcpy(out + static_cast<std::size_t>(text) * shape_.width, hidden + row * shape_.width,
                  shape_.width * sizeof(float));
    }
    member_.meet();
  }

  template <typename Workspace>
  void pool(Workspace& w) {
    if (shape_.pooling == Pooling::cls) return;  // the last layer left the pooled rows
    const int width = shape_.width;
    const auto [begin, end] = member_.share(strip_.last - strip_.first);
    for (int text = begin; text < end; ++text) {
      float* out = w.pooled.floats() + static_cast<std::size_t>(text) * width;
      std::memset(out, 0, width * sizeof(float));
      int counted = 0;
      for (int token = batch_.offsets[strip_.first + text]; token < batch_.offsets[strip_.first + text + 1]; ++token) {
        if (batch_.attended && !batch_.attended[token]) continue;
        const float* row = w.hidden.floats() + static_cast<std::size_t>(token - base_) * width;
        for (int i = 0; i < width; ++i) out[i] += row[i];
        ++counted;
      }
      for (int i = 0; i < width; ++i) out[i] /= static_cast<float>(counted);
    }
    member_.meet();
  }

  template <typename Workspace>
  void head(Workspace& w, float* logits) {
    const int texts = strip_.last - strip_.first, width = shape_.width;
    const float* rows = w.pooled.floats();
    const std::size_t stride = static_cast<std::size_t>(width) * 4;
    if (shape_.head != Head::none) {
      float* dense = w.dense.floats();
      multiply(model_.dense, {rows, stride, nullptr}, texts, dense, width,
               shape_.head == Head::gelu   ? After::gelu
               : shape_.head == Head::relu ? After::relu
                                           : After::nothing);
      member_.meet();
      if (shape_.head == Head::tanh) {
        const auto [begin, end] = member_.share(texts * width);
        for (int i = begin; i < end; ++i) dense[i] = std::tanh(dense[i]);
        member_.meet();
      }
      rows = dense;
    }
    multiply(model_.classifier, {rows, stride, nullptr}, texts, logits + static_cast<std::size_t>(strip_.first) * shape_.labels,
             shape_.labels);
    member_.meet();
  }

  const Model& model_;
  const Kernels& kernels_;
  const ModelShape& shape_;
  const Batch& batch_;
  const Strip strip_;
  Member member_;
  Buffer& scratch_;
  const int base_;
  const int rows_;
};

}  // namespace

void Engine::run(const Batch& batch, float* logits) {
  calls_.fetch_add(1);
  const std::vector<Strip> strips = strips_of(batch, pool_.threads());
  int rows = 0, texts = 0, longest = 0;
  for (const Strip& strip : strips) {
    rows = std::max(rows, batch.offsets[strip.last] - batch.offsets[strip.first]);
    texts = std::max(texts, strip.last - strip.first);
  }
  for (int text = 0; text < batch.texts; ++text) {
    longest = std::max(longest, batch.offsets[text + 1] - batch.offsets[text]);
  }
  rows_.fetch_add(batch.offsets[batch.texts]);
  const int threads = pool_.threads();
  if (threads > 1 && static_cast<int>(strips.size()) < threads) {
    auto workspace = take_workspace(rows, texts, longest);
    Barrier barrier(threads);
    pool_.run(threads, [&](int number) {
      for (const Strip& strip : strips) {
        Passage(model_, batch, strip, {number, threads, barrier}, workspace->scratch[number]).run(*workspace, logits);
      }
    });
    const std::lock_guard lock(mutex_);
    idle_.push_back(std::move(workspace));
    return;
  }
  std::atomic<int> next{0};
  pool_.run(threads, [&](int) {
    auto workspace = take_workspace(rows, texts, longest);
    Barrier alone(1);
    for (int number; (number = next.fetch_add(1)) < static_cast<int>(strips.size());) {
      Passage(model_, batch, strips[number], {0, 1, alone}, workspace->scratch[0]).run(*workspace, logits);
    }
    const std::lock_guard lock(mutex_);
    idle_.push_back(std::move(workspace));
  });
}

}  // namespace liteft
