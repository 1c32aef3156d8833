#include "engine/batch.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "engine/refuse.h"

namespace liteft {
namespace {

// The place of a token, for an error.
std::string at_token(int token) { return "at token " + std::to_string(token); }
std::string in_row(int row, int column) {
  return "in row " + std::to_string(row) + ", column " + std::to_string(column);
}

template <typename Where>
void within(const char* what, std::int64_t value, int end, Where where) {
  if (value >= 0 && value < end) return;
  refuse(std::string(what) + " " + std::to_string(value) + " " + where() + " is not below " + std::to_string(end));
}

[[noreturn]] void refuse_length(int text, std::int64_t tokens, int positions) {
  refuse("text " + std::to_string(text) + " has " + std::to_string(tokens) + " tokens; the model has " +
         std::to_string(positions) + " positions");
}

int type_count(const ModelShape& shape) { return shape.types ? shape.types : 1; }

// Returns the position of one token after the other.
class Counter {
 public:
  explicit Counter(int position_padding_id) : padding_(position_padding_id) {}
  std::int32_t next(std::int64_t id) {
    if (padding_ < 0) return place_++;
    if (id == padding_) return padding_;
    return padding_ + ++place_;
  }

 private:
  const int padding_;
  std::int32_t place_ = 0;
};

// Checks the counts and offsets, which give the lengths of the other arrays, before any of them is read.
void check_offsets(const ModelShape& shape, const Batch& batch) {
  if (batch.offsets[0] != 0) refuse("the first text begins at token " + std::to_string(batch.offsets[0]) + ", not 0");
  for (int text = 0; text < batch.texts; ++text) {
    const std::int64_t first = batch.offsets[text], last = batch.offsets[text + 1];
    if (last <= first) refuse("text " + std::to_string(text) + " has no token");
    if (!batch.positions && shape.position_padding_id < 0 && last - first > shape.positions)
      refuse_length(text, last - first, shape.positions);
  }
}

}  // namespace

Packed::Packed(const ModelShape& shape, const liteft_padded& padded)
    : offsets_{0}, size_(static_cast<std::size_t>(padded.texts) * padded.tokens) {
  bool all_attended = true;
  for (int text = 0; text < padded.texts; ++text) {
    const std::size_t start = static_cast<std::size_t>(text) * padded.tokens;
    Counter positions(shape.position_padding_id);
    bool any = false;
    for (int column = 0; column < padded.tokens; ++column) {
      const std::int64_t id = padded.ids[start + column];
      const std::int32_t position = positions.next(id);
      const bool shown = padded.mask[start + column] != 0;
      any |= shown;
      // No query attends to a hidden token, so it can be left out, unless it is the one that is pooled.
      if (!shown && (column > 0 || shape.pooling != Pooling::cls)) continue;
      const auto where = [&] { return in_row(text, column); };
      within("id", id, shape.vocabulary, where);
      within("position", position, shape.positions, where);
      ids_.push_back(static_cast<std::int32_t>(id));
      if (shape.per_token()) places_.push_back(start + column);
      positions_.push_back(position);
      if (padded.types) {
        within("type id", padded.types[start + column], type_count(shape), where);
        types_.push_back(static_cast<std::int32_t>(padded.types[start + column]));
      }
      key_mask_.push_back(shown);
      all_attended &= shown;
    }
    if (!any) refuse("row " + std::to_string(text) + " has no token: its mask is 0 throughout");
    offsets_.push_back(static_cast<std::int32_t>(ids_.size()));
  }
  if (all_attended) key_mask_.clear();
}

Batch Packed::batch() const {
  Batch batch;
  batch.texts = static_cast<int>(offsets_.size()) - 1;
  batch.ids = ids_.data();
  batch.types = types_.empty() ? nullptr : types_.data();
  batch.positions = positions_.data();
  batch.offsets = offsets_.data();
  batch.key_mask = key_mask_.empty() ? nullptr : key_mask_.data();
  return batch;
}

void Packed::spread(float* rows, int columns) const {
  const std::size_t bytes = columns * sizeof(float);
  std::size_t end = size_;                                  // the place after the last one that is not filled yet
  for (std::size_t token = places_.size(); token-- > 0;) {  // no place is before its row, so the last row moves first
    const std::size_t place = places_[token];
    std::memmove(rows + place * columns, rows + token * columns, bytes);
    std::memset(rows + (place + 1) * columns, 0, (end - place - 1) * bytes);
    end = place;
  }
  std::memset(rows, 0, end * bytes);
}

std::vector<std::int32_t> counted_positions(const ModelShape& shape, const Batch& batch) {
  std::vector<std::int32_t> positions;
  if (shape.position_padding_id < 0) return positions;
  positions.reserve(batch.offsets[batch.texts]);
  for (int text = 0; text < batch.texts; ++text) {
    Counter counter(shape.position_padding_id);
    for (int token = batch.offsets[text]; token < batch.offsets[text + 1]; ++token) {
      positions.push_back(counter.next(batch.ids[token]));
      if (positions.back() < shape.positions) continue;
      refuse_length(text, batch.offsets[text + 1] - batch.offsets[text],
                    shape.positions - shape.position_padding_id - 1);
    }
  }
  return positions;
}

void check(const ModelShape& shape, const Batch& batch) {
  check_offsets(shape, batch);
  for (int text = 0; text < batch.texts && batch.key_mask; ++text) {
    const std::uint8_t* first = batch.key_mask + batch.offsets[text];
    const std::uint8_t* last = batch.key_mask + batch.offsets[text + 1];
    if (std::all_of(first, last, [](std::uint8_t shown) { return shown == 0; })) {
      refuse("text " + std::to_string(text) + " has no token that may be attended to");
    }
  }
  const int tokens = batch.offsets[batch.texts];
  for (int token = 0; token < tokens; ++token) {
    const auto where = [token] { return at_token(token); };
    within("id", batch.ids[token], shape.vocabulary, where);
    if (batch.types) within("type id", batch.types[token], type_count(shape), where);
    if (batch.positions) within("position", batch.positions[token], shape.positions, where);
  }
}

}  // namespace liteft
