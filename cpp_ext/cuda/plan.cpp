#include "cuda/plan.h"

#include <algorithm>

namespace liteft::cuda {

std::vector<Chunk> chunks_of(const std::int32_t* offsets, int texts, int most_rows) {
  std::vector<Chunk> chunks;
  const std::int64_t rows = offsets[texts];
  const std::int64_t count = std::max<std::int64_t>(1, (rows + most_rows - 1) / most_rows);
  for (int text = 0; text < texts;) {
    const std::int64_t left = count - static_cast<std::int64_t>(chunks.size());
    const std::int64_t wanted = std::min<std::int64_t>(most_rows, left > 0 ? (rows - offsets[text] + left - 1) / left : most_rows);
    Chunk chunk{text, text, 0, 0};
    do {
      const int tokens = offsets[chunk.last_text + 1] - offsets[chunk.last_text];
      if (chunk.rows && chunk.rows + tokens > most_rows) break;
      chunk.rows += tokens;
      chunk.longest = std::max(chunk.longest, tokens);
      ++chunk.last_text;
    } while (chunk.last_text < texts && chunk.rows < wanted);
    chunks.push_back(chunk);
    text = chunk.last_text;
  }
  return chunks;
}

int bucket_of(int rows) {
  if (rows <= 128) return std::max(16, (rows + 15) / 16 * 16);
  int power = 128;
  while (power * 2 < rows) power *= 2;
  const int step = power / 8;
  return (rows + step - 1) / step * step;
}

}  // namespace liteft::cuda
