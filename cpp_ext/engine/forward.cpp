#include "engine/forward.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace liteft {
namespace {

Epilogue epilogue_of(Activation activation) {
  switch (activation) {
    case Activation::relu: return Epilogue::relu;
    case Activation::gelu_tanh: return Epilogue::gelu_tanh;
    case Activation::silu: return Epilogue::silu;
    case Activation::gelu: break;
  }
  return Epilogue::gelu;
}

Epilogue epilogue_of(Head head) {
  switch (head) {
    case Head::tanh: return Epilogue::tanh;
    case Head::relu: return Epilogue::relu;
    case Head::gelu: return Epilogue::gelu;
    case Head::none: break;
  }
  return Epilogue::none;
}

// Rows in the form that a matmul reads.
struct Operand {
  const void* data;
  std::size_t stride;   // bytes from a row to the next
  const float* scales;  // int8: one per row

  Operand from(int row) const {
    return {static_cast<const char*>(data) + row * stride, stride, scales ? scales + row : nullptr};
  }
};

// Rows of floats, heads side by side.
struct Rows {
  const float* data;
  std::size_t stride;
};

// Which members wrote the share of rows that a member is about to read.
enum class Written { by_itself, by_others_too };

// The forward pass in one member of the team. A step does not end with a barrier; a step that reads what others wrote
// begins with one.
class Forward {
 public:
  Forward(const Model& model, const Batch& batch, RowBlock block, TeamMember member, Workspace& workspace)
      : model_(model),
        kernels_(*model.kernels),
        shape_(model.shape),
        batch_(batch),
        block_(block),
        member_(member),
        w_(workspace),
        base_(batch.offsets[block.first]),
        rows_(batch.offsets[block.last] - base_),
        texts_(block.last - block.first) {}

  void run(float* logits) {
    embed();
    for (const Layer& each : model_.layers) layer(each);
    if (shape_.per_token()) return classify_tokens(logits);
    if (shape_.pooling == Pooling::mean) pool();  // otherwise the last layer has written the pooled rows
    head(logits);
  }

 private:
  Span mine(int count) const { return share(count, member_.number, member_.of); }
  void barrier() { member_.barrier.wait(); }

  // The index of a text's first row within the row block.
  int first_row(int text) const { return batch_.offsets[block_.first + text] - base_; }

  // Rows in the form that a matmul reads; all are complete when this returns. Each member quantizes its share, after a
  // barrier if others have written to that share. The matmuls of a model may differ in precision.
  Operand prepare(const Linear& reader, const float* x, int rows, int width, Buffer& place, float* scales,
                  Written written) {
    const Precision precision = reader.matrix().precision;
    if (precision == Precision::fp32) {
      barrier();
      return {x, width * sizeof(float), nullptr};
    }
    if (written == Written::by_others_too) barrier();
    const std::size_t bytes = row_bytes(precision, width);
    const auto [begin, end] = mine(rows);
    kernels_.quantize_rows(precision, x + static_cast<std::size_t>(begin) * width, end - begin, width,
                           place.bytes() + begin * bytes, bytes, scales + begin);
    barrier();
    return {place.data(), bytes, scales};
  }

  // Each member computes some panels for all rows.
  void matmul(const Linear& linear, const Operand& input, int rows, float* output, Epilogue epilogue = Epilogue::none,
              const float* residual = nullptr) {
    matmul(linear, mine(linear.matrix().panels), input, rows, output, epilogue, residual);
  }

  void matmul(const Linear& linear, Span panels, const Operand& input, int rows, float* output, Epilogue epilogue,
              const float* residual) {
    Matmul given;
    given.matrix = &linear.matrix();
    given.first_panel = panels.begin;
    given.last_panel = panels.end;
    given.rows = rows;
    given.input = input.data;
    given.input_stride = input.stride;
    given.row_scale = input.scales;
    given.output = output;
    given.epilogue = epilogue;
    given.residual = residual;
    kernels_.matmul(given);
  }

  void layer_norm(const Norm& norm, const float* x, int rows, int width, float* y) {
    const auto [begin, end] = mine(rows);
    const std::size_t first = static_cast<std::size_t>(begin) * width;
    kernels_.layer_norm(x + first, norm.gamma.data(), norm.beta.data(), shape_.epsilon, end - begin, width, y + first);
  }

  void embed() {
    const int width = shape_.embedding;
    float* sums = w_.sums.floats();
    const auto [begin, end] = mine(rows_);
    int text = block_.first;
    for (int row = begin; row < end; ++row) {
      const int token = base_ + row;
      while (batch_.offsets[text + 1] <= token) ++text;
      float* out = sums + static_cast<std::size_t>(row) * width;
      std::memset(out, 0, width * sizeof(float));
      model_.words.add_row(batch_.ids[token], width, out);
      model_.positions.add_row(batch_.positions ? batch_.positions[token] : token - batch_.offsets[text], width, out);
      if (shape_.types) model_.types.add_row(batch_.types ? batch_.types[token] : 0, width, out);
    }
    if (shape_.embedding == shape_.width)
      return layer_norm(model_.embedding_norm, sums, rows_, width, w_.hidden.floats());
    layer_norm(model_.embedding_norm, sums, rows_, width, sums);
    const Operand input =
        prepare(model_.embedding_projection, sums, rows_, width, w_.input, w_.scales.floats(), Written::by_itself);
    matmul(model_.embedding_projection, input, rows_, w_.hidden.floats());
    barrier();  // so that the first layer may write to these rows
  }

  void layer(const Layer& layer) {
    const std::size_t width = shape_.width;
    float* projected = w_.projected.floats();
    const Linear& reader = layer.cls_only ? layer.key_value : layer.query_key_value;
    const Operand input =
        prepare(reader, w_.hidden.floats(), rows_, shape_.width, w_.input, w_.scales.floats(), Written::by_itself);
    if (!layer.cls_only) {
      matmul(layer.query_key_value, input, rows_, projected);
      barrier();
      attend(false, {projected, 3 * width}, {projected + width, 3 * width}, {projected + 2 * width, 3 * width});
      return follow(layer, rows_, w_.hidden.floats());
    }
    // Only the first row of each text is a query, and only these rows are computed further.
    matmul(layer.key_value, input, rows_, projected);
    const Operand first = gather_first(layer, input);
    matmul(layer.query, first, texts_, w_.queries.floats());
    barrier();
    attend(true, {w_.queries.floats(), width}, {projected, 2 * width}, {projected + width, 2 * width});
    follow(layer, texts_, w_.pooled.floats());
  }

  // The first rows of the texts: as floats in `pooled`, and in the form that the query matmul reads. If keys and values
  // read rows of the same precision, those are copied; otherwise the rows are quantized again.
  Operand gather_first(const Layer& layer, const Operand& input) {
    const Precision precision = layer.query.matrix().precision;
    const bool alike = precision == layer.key_value.matrix().precision;
    const std::size_t width_bytes = shape_.width * sizeof(float);
    const auto [begin, end] = mine(texts_);
    for (int text = begin; text < end; ++text) {
      const int row = first_row(text);
      std::memcpy(w_.pooled.bytes() + text * width_bytes, w_.hidden.bytes() + row * width_bytes, width_bytes);
      if (precision == Precision::fp32 || !alike) continue;
      std::memcpy(w_.first_input.bytes() + text * input.stride,
                  static_cast<const char*>(input.data) + row * input.stride, input.stride);
      w_.first_scales.floats()[text] = w_.scales.floats()[row];
    }
    if (precision == Precision::fp32 || !alike) {
      return prepare(layer.query, w_.pooled.floats(), texts_, shape_.width, w_.first_input, w_.first_scales.floats(),
                     Written::by_itself);
    }
    barrier();
    return {w_.first_input.data(), input.stride, w_.first_scales.floats()};
  }

  // The heads of all texts are divided among the members; the results are in `context`.
  void attend(bool first_only, Rows query, Rows key, Rows value) {
    Attention given;
    given.bf16 = model_.precision != Precision::fp32 && kernels_.bf16;
    given.head_size = shape_.width / shape_.heads;
    given.query_stride = query.stride;
    given.stride = key.stride;
    given.output_stride = shape_.width;
    given.scratch = w_.scratch[member_.number].data();
    const auto [begin, end] = mine(texts_ * shape_.heads);
    for (int piece = begin; piece < end;) {
      const int text = piece / shape_.heads;
      given.first_head = piece % shape_.heads;
      given.last_head = std::min(shape_.heads, given.first_head + end - piece);
      piece += given.last_head - given.first_head;
      const std::size_t row = first_row(text), query_row = first_only ? text : row;
      given.keys = first_row(text + 1) - first_row(text);
      given.queries = first_only ? 1 : given.keys;
      given.query = query.data + query_row * query.stride;
      given.key = key.data + row * key.stride;
      given.value = value.data + row * value.stride;
      given.key_mask = batch_.key_mask ? batch_.key_mask + base_ + row : nullptr;
      given.output = w_.context.floats() + query_row * shape_.width;
      kernels_.attend(given);
    }
  }

  // Everything after attention, for `rows` rows; `hidden` has the layer's input and then its output.
  void follow(const Layer& layer, int rows, float* hidden) {
    const int width = shape_.width;
    float* sums = w_.sums.floats();
    float* scales = w_.scales.floats();
    const Operand context =
        prepare(layer.projection, w_.context.floats(), rows, width, w_.input, scales, Written::by_others_too);
    matmul(layer.projection, context, rows, sums, Epilogue::residual, hidden);
    barrier();
    layer_norm(layer.attention_norm, sums, rows, width, hidden);
    const Operand narrow = prepare(layer.inner, hidden, rows, width, w_.input, scales, Written::by_itself);
    for (int begin = 0; begin < rows; begin += kInnerRows) {
      const int count = std::min(kInnerRows, rows - begin);
      const std::size_t first = static_cast<std::size_t>(begin) * width;
      matmul(layer.inner, narrow.from(begin), count, w_.inner.floats(), epilogue_of(shape_.activation));
      const Operand wide = prepare(layer.outer, w_.inner.floats(), count, shape_.inner, w_.inner_input, scales + rows,
                                   Written::by_others_too);
      matmul(layer.outer, wide, count, sums + first, Epilogue::residual, hidden + first);
      barrier();
    }
    layer_norm(layer.output_norm, sums, rows, width, hidden);
  }

  // The mean of each text over the rows that the mask keeps.
  void pool() {
    barrier();
    const int width = shape_.width;
    const auto [begin, end] = mine(texts_);
    for (int text = begin; text < end; ++text) {
      float* out = w_.pooled.floats() + static_cast<std::size_t>(text) * width;
      std::memset(out, 0, width * sizeof(float));
      int counted = 0;
      for (int row = first_row(text); row < first_row(text + 1); ++row) {
        if (batch_.key_mask && !batch_.key_mask[base_ + row]) continue;
        const float* x = w_.hidden.floats() + static_cast<std::size_t>(row) * width;
        for (int i = 0; i < width; ++i) out[i] += x[i];
        ++counted;
      }
      for (int i = 0; i < width; ++i) out[i] /= static_cast<float>(counted);
    }
  }

  void head(float* logits) {
    const std::size_t stride = shape_.width * sizeof(float);
    const Buffer* rows = &w_.pooled;
    barrier();
    if (shape_.head != Head::none) {
      matmul(model_.dense, {rows->data(), stride, nullptr}, texts_, w_.dense.floats(), epilogue_of(shape_.head));
      barrier();
      rows = &w_.dense;
    }
    matmul(model_.classifier, {rows->data(), stride, nullptr}, texts_,
           logits + static_cast<std::size_t>(block_.first) * shape_.labels);
  }

  // The logits of every row. Labels are few, often a single panel, so the rows are divided among the members: each
  // classifies those that it has normed, without a barrier.
  void classify_tokens(float* logits) {
    const auto [begin, end] = mine(rows_);
    const Operand rows{w_.hidden.data(), shape_.width * sizeof(float), nullptr};
    if (begin < end) {
      matmul(model_.classifier, {0, model_.classifier.matrix().panels}, rows.from(begin), end - begin,
             logits + static_cast<std::size_t>(base_ + begin) * shape_.labels, Epilogue::none, nullptr);
    }
    barrier();  // so that the next row block may write to the rows
  }

  const Model& model_;
  const Kernels& kernels_;
  const ModelShape& shape_;
  const Batch& batch_;
  const RowBlock block_;
  const TeamMember member_;
  Workspace& w_;
  const int base_;   // the row block's first token in the batch
  const int rows_;   // of the row block
  const int texts_;  // of the row block
};

}  // namespace

void forward(const Model& model, const Batch& batch, RowBlock block, TeamMember member, Workspace& workspace,
             float* logits) noexcept {
  Forward(model, batch, block, member, workspace).run(logits);
}

}  // namespace liteft
