#include "cuda/plan.h"

#include <algorithm>

namespace liteft::cuda {

namespace {

// As many chunks as wanted, each with its share of the remaining rows; more chunks if the texts do not fit.
std::vector<Chunk> cut(const std::int32_t* offsets, int texts, int most_rows, int wanted) {
  std::vector<Chunk> chunks;
  for (int text = 0; text < texts;) {
    const int left = std::max(1, wanted - static_cast<int>(chunks.size()));
    const int share = std::min(most_rows, (offsets[texts] - offsets[text] - 1) / left + 1);
    Chunk chunk{text, text, 0};
    do {
      const int tokens = offsets[chunk.last_text + 1] - offsets[chunk.last_text];
      if (chunk.rows && chunk.rows + tokens > most_rows) break;
      chunk.rows += tokens;
      ++chunk.last_text;
    } while (chunk.last_text < texts && chunk.rows < share);
    chunks.push_back(chunk);
    text = chunk.last_text;
  }
  return chunks;
}

}  // namespace

std::vector<Chunk> chunks_of(const std::int32_t* offsets, int texts, int most_rows) {
  if (texts == 0) return {};
  int wanted = (offsets[texts] - 1) / most_rows + 1;
  for (;;) {
    std::vector<Chunk> chunks = cut(offsets, texts, most_rows, wanted);
    if (static_cast<int>(chunks.size()) <= wanted) return chunks;
    wanted = static_cast<int>(chunks.size());  // or the last chunk would get all that did not fit into the others
  }
}

int bucket_of(int rows) {
  if (rows <= 128) return std::max(16, (rows + 15) / 16 * 16);
  int power = 128;
  while (power * 2 < rows) power *= 2;
  const int step = power / 8;
  return (rows + step - 1) / step * step;
}

std::vector<int> text_buckets_of(int rows) {
  std::vector<int> buckets;
  for (const int tokens : {16, 8, 4}) {
    const int bucket = bucket_of((rows + tokens - 1) / tokens);
    if (bucket < rows && (buckets.empty() || bucket > buckets.back())) buckets.push_back(bucket);
  }
  buckets.push_back(rows);
  return buckets;
}

int text_bucket_of(int texts, int rows) {
  const std::vector<int> buckets = text_buckets_of(rows);
  return *std::lower_bound(buckets.begin(), buckets.end(), texts);
}

int rows_for_width(int width) {
  constexpr int kMostRows = 8192, kWidth = 384;
  return std::min(kMostRows, bucket_of(kMostRows * kWidth / width));
}

std::vector<int> buckets_up_to(int most) {
  std::vector<int> buckets;
  for (int rows = 1; rows <= most; rows = buckets.back() + 1) buckets.push_back(std::min(bucket_of(rows), most));
  return buckets;
}

}  // namespace liteft::cuda
