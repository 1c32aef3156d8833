// Splits batches into chunks, and rounds their sizes up to buckets. This file does not use CUDA, so it is tested on
// every machine.

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

// Splits a batch into chunks of at most `most_rows` rows (a longer text is a chunk of its own). They are nearly equal,
// so that no small last chunk leaves most of the GPU idle. offsets: (texts + 1,).
std::vector<Chunk> chunks_of(const std::int32_t* offsets, int texts, int most_rows);

// The bucket of a number of rows: the smallest sufficient one of 16, 32, ..., 128, and above that in steps of an eighth
// of the next lower power of two. At most an eighth of the rows of a bucket above 128 are unused.
int bucket_of(int rows);

// All buckets of 1 to `most` rows, the last one reduced to `most`.
std::vector<int> buckets_up_to(int most);

}  // namespace liteft::cuda
