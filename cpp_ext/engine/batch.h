// Texts as the engine reads them, one after the other, and the way there from a rectangle with padding.

#pragma once

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
  // Throws std::invalid_argument, naming row and column, where a row has no token or something is out of range.
  Packed(const ModelShape& shape, const liteft_padded& padded);
  Batch batch() const;

 private:
  std::vector<std::int32_t> ids_, types_, positions_, offsets_;
  std::vector<std::uint8_t> key_mask_;  // empty where no hidden token is kept
};

// Positions of checked flat texts where tokens are counted; empty where a position is the place in the text. Throws
// std::invalid_argument, naming the text, where the table of positions ends.
std::vector<std::int32_t> counted_positions(const ModelShape& shape, const Batch& batch);

// Of flat texts: throws std::invalid_argument, naming the text or token, where something is out of range.
void check(const ModelShape& shape, const Batch& batch);

}  // namespace liteft
