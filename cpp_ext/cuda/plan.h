// What the host decides before a kernel runs: chunks of a batch and buckets of their sizes. No CUDA in here, so that it
// is tested everywhere.

#pragma once

#include <cstdint>
#include <vector>

namespace liteft::cuda {

// Texts that go through the model together.
struct Chunk {
  int first_text;
  int last_text;
  int rows;
};

// Cuts a batch into chunks of at most `most_rows` rows (a longer text is one of its own) that are nearly equal, so that
// the last one does not run alone on an empty chip. offsets: (texts + 1,).
std::vector<Chunk> chunks_of(const std::int32_t* offsets, int texts, int most_rows);

// The bucket of a number of rows: the least of 16, 32, ..., 128, then steps of an eighth of the next lower power of
// two. At most an eighth of the rows of a bucket above 128 are not there.
int bucket_of(int rows);

// All buckets of 1 to `most` rows, the last one cut to `most`.
std::vector<int> buckets_up_to(int most);

}  // namespace liteft::cuda
