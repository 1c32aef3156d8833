// Chunks of a batch and buckets of sizes. No CUDA in here.

#include <algorithm>
#include <cstdio>
#include <numeric>
#include <random>
#include <vector>

#include "cuda/plan.h"
#include "tests/expect.h"

using namespace liteft::cuda;

namespace {

void buckets_hold_their_rows_and_waste_little() {
  int before = 0;
  for (int rows = 1; rows <= 20000; ++rows) {
    const int bucket = bucket_of(rows);
    EXPECT(bucket >= rows && bucket % 16 == 0);
    EXPECT(bucket >= before);  // more rows need no smaller bucket
    EXPECT(bucket_of(bucket) == bucket);
    EXPECT(rows <= 128 ? bucket - rows < 16 : 8 * (bucket - rows) < rows);
    before = bucket;
  }
  EXPECT(bucket_of(1) == 16 && bucket_of(128) == 128 && bucket_of(129) == 144 && bucket_of(257) == 288);
}

void buckets_are_listed() {
  for (int most : {16, 64, 100, 128, 200, 8192}) {
    const std::vector<int> listed = buckets_up_to(most);
    EXPECT(listed.back() == most);
    for (int rows = 1; rows <= most; ++rows) {
      EXPECT(std::find(listed.begin(), listed.end(), std::min(bucket_of(rows), most)) != listed.end());
    }
    EXPECT(std::adjacent_find(listed.begin(), listed.end(), std::greater_equal<>()) == listed.end());
  }
  EXPECT(buckets_up_to(8192).size() < 64);
}

// Every number of texts has a bucket, which is one of rows too; there are few, and texts that are not tiny fill a half.
void buckets_of_texts_are_few_and_sufficient() {
  for (const int most : {16, 100, 128, 4096, 8192}) {
    const std::vector<int> listed = buckets_up_to(most);
    std::size_t pairs = 0;
    for (const int rows : listed) {
      const std::vector<int> buckets = text_buckets_of(rows);
      EXPECT(buckets.size() <= 4 && buckets.back() == rows);
      EXPECT(std::adjacent_find(buckets.begin(), buckets.end(), std::greater_equal<>()) == buckets.end());
      for (const int texts : buckets) EXPECT(std::find(listed.begin(), listed.end(), texts) != listed.end());
      for (int texts = 1; texts <= rows; ++texts) {
        const int bucket = text_bucket_of(texts, rows);
        EXPECT(bucket >= texts && std::find(buckets.begin(), buckets.end(), bucket) != buckets.end());
        if (4 * texts <= rows) EXPECT(8 * (bucket - texts) <= rows + 128);
      }
      pairs += buckets.size();
    }
    EXPECT(pairs < 220);
  }
}

void chunks_cover_a_batch_in_order_and_are_nearly_equal() {
  std::mt19937 random(1);
  for (int round = 0; round < 3000; ++round) {
    const int texts = 1 + static_cast<int>(random() % 300), most_rows = 1 + static_cast<int>(random() % 600);
    const int longest = 1 + static_cast<int>(random() % 200);
    std::vector<std::int32_t> offsets{0};
    for (int text = 0; text < texts; ++text)
      offsets.push_back(offsets.back() + 1 + static_cast<int>(random() % longest));
    const std::vector<Chunk> chunks = chunks_of(offsets.data(), texts, most_rows);
    int next = 0, most = 0, least = offsets.back();
    for (const Chunk& chunk : chunks) {
      EXPECT(chunk.first_text == next && chunk.last_text > next);
      next = chunk.last_text;
      EXPECT(chunk.rows == offsets[chunk.last_text] - offsets[chunk.first_text]);
      EXPECT(chunk.rows <= most_rows || chunk.last_text - chunk.first_text == 1);
      most = std::max(most, chunk.rows), least = std::min(least, chunk.rows);
    }
    EXPECT(next == texts);
    // Where chunks are much larger than texts, they differ by about a text each.
    if (most_rows >= 8 * longest) EXPECT(most - least <= 3 * longest);
  }
}

void a_text_that_is_too_long_is_alone() {
  const std::int32_t offsets[] = {0, 3, 103, 104, 110};
  const std::vector<Chunk> chunks = chunks_of(offsets, 4, 16);
  const auto alone = std::find_if(chunks.begin(), chunks.end(), [](const Chunk& chunk) { return chunk.rows == 100; });
  EXPECT(alone != chunks.end() && alone->first_text == 1 && alone->last_text == 2);
}

void chunks_are_narrower_for_wider_models() {
  EXPECT(rows_for_width(64) == 8192 && rows_for_width(384) == 8192);
  EXPECT(rows_for_width(768) == 4096 && rows_for_width(1024) == 3072);
}

void a_batch_that_fits_is_one_chunk() {
  const std::int32_t offsets[] = {0, 3, 8, 16};
  EXPECT(chunks_of(offsets, 3, 16).size() == 1);
  EXPECT(chunks_of(offsets, 3, 15).size() == 2);
}

}  // namespace

int main() {
  buckets_hold_their_rows_and_waste_little();
  buckets_are_listed();
  buckets_of_texts_are_few_and_sufficient();
  chunks_cover_a_batch_in_order_and_are_nearly_equal();
  a_text_that_is_too_long_is_alone();
  chunks_are_narrower_for_wider_models();
  a_batch_that_fits_is_one_chunk();
  std::printf("%d failures\n", failures);
  return failures != 0;
}
