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

// The buckets of texts of a bucket of rows: for texts of 16 tokens or more on average, of 8, of 4, and of any number.
// What is computed for each text is little, so few are enough: at worst, with texts of 4 tokens on average, a six-layer
// model computes 2% more than it would with a bucket for each number of texts.
std::vector<int> text_buckets_of(int rows);

// The smallest sufficient one for a number of texts, which is not above the number of rows.
int text_bucket_of(int texts, int rows);

// Rows of a chunk whose activations stay in a second-level cache of 50 MB, those of a base model as those of a small
// one: 8,192 up to a width of 384, 4,096 at 768.
int rows_for_width(int width);

// All buckets of 1 to `most` rows, the last one reduced to `most`.
std::vector<int> buckets_up_to(int most);

}  // namespace liteft::cuda
