// Texts in the form that the engine reads: packed one after the other. Also converts a padded rectangle to that form.

#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/model.h"
#include "liteft/liteft.h"

namespace liteft {

struct Batch {
  int texts = 0;
  const std::int32_t* ids = nullptr;
  const std::int32_t* types = nullptr;      // nullptr: all 0
  const std::int32_t* positions = nullptr;  // nullptr: 0, 1, ... in each text
  const std::int32_t* offsets = nullptr;    // texts + 1: where each text begins, and where the last one ends
  const std::uint8_t* key_mask = nullptr;   // nullptr: all 1; 0 for a token that no query attends to
};

// The real tokens of a rectangle, with the positions that they had in it.
class Packed {
 public:
  // Throws std::invalid_argument, naming row and column, if a row has no token or a value is out of range.
  Packed(const ModelShape& shape, const liteft_padded& padded);
  Batch batch() const;
  // For a model without pooling: moves the rows of the real tokens, which are at the beginning of `rows`, (texts,
  // tokens, columns), to the places of their tokens, and fills all other places with zeros.
  void spread(float* rows, int columns) const;

 private:
  std::vector<std::int32_t> ids_, types_, positions_, offsets_;
  std::vector<std::uint8_t> key_mask_;  // empty where no hidden token is kept
  std::vector<std::size_t> places_;     // of the tokens in the rectangle; empty with pooling
  std::size_t size_;                    // of the rectangle
};

// Positions of packed texts, already checked, for models that count tokens from the padding id; empty for models in
// which the position is the place in the text. Throws std::invalid_argument, naming the text, if a text has more tokens
// than there are position embeddings.
std::vector<std::int32_t> counted_positions(const ModelShape& shape, const Batch& batch);

// Checks packed texts: throws std::invalid_argument, naming the text or token, if a value is out of range.
void check(const ModelShape& shape, const Batch& batch);

}  // namespace liteft
