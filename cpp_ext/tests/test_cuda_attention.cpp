// The CUDA kernels of attention against a float64 reference: texts of all lengths side by side, odd masks, both head
// sizes.

#include <cstring>

#include "tests/cuda_rows.h"

using namespace liteft::cuda;

namespace {

// Attention of query row `query` over the rows of a text: `width` values, without rounding between the steps.
template <typename T>
void reference(const DeviceTexts& texts, int text, const Doubles& query, const Uploaded<T>& rows, std::size_t stride,
               std::size_t key_at, std::size_t value_at, bool hides, int heads, int size, double* out) {
  for (int head = 0; head < heads; ++head) {
    std::vector<double> weights;
    double total = 0.0, most = -INFINITY;
    for (int row = texts.offsets[text]; row < texts.offsets[text + 1]; ++row) {
      double score = -INFINITY;
      if (!hides || texts.key_mask[row]) {
        score = 0.0;
        for (int i = head * size; i < (head + 1) * size; ++i) score += query[i] * rows[row * stride + key_at + i];
        score /= std::sqrt(static_cast<double>(size));
      }
      weights.push_back(score);
      most = std::fmax(most, score);
    }
    for (double& weight : weights) total += weight = std::exp(weight - most);
    for (int i = head * size; i < (head + 1) * size; ++i) {
      double sum = 0.0;
      for (std::size_t key = 0; key < weights.size(); ++key) {
        if (weights[key] == 0.0) continue;
        sum += weights[key] / total * rows[(texts.offsets[text] + key) * stride + value_at + i];
      }
      out[i] = sum;
    }
  }
}

// Rows of queries, keys and values side by side, as one matmul makes them.
template <typename T>
void rows_attend_to_their_text(std::mt19937& random, const std::vector<int>& lengths, int size, int heads, bool hides,
                               int bucket = 0) {
  const DeviceTexts texts(random, lengths, hides);
  const int width = size * heads, most = std::max(bucket, texts.rows + 70);
  const std::size_t stride = 3 * static_cast<std::size_t>(width);
  auto rows = random_values<T>(random, texts.rows * stride, 1.5f);
  const auto out = poisoned<T>(static_cast<std::size_t>(most) * width);
  Attention<T> given{};
  given.query = rows.get(), given.key = rows.get() + width, given.value = rows.get() + 2 * width;
  given.query_stride = given.stride = stride;
  given.text_of_row = texts.text_of_row_up.as<std::int32_t>(), given.offsets = texts.offsets_up.as<std::int32_t>();
  given.key_mask = hides ? texts.key_mask_up.as<std::uint8_t>() : nullptr;
  given.heads = heads, given.counts = texts.counts(), given.out = out.get();
  attend<T>(given, size, most, nullptr);
  Doubles expected(static_cast<std::size_t>(texts.rows) * width);
  for (int row = 0; row < texts.rows; ++row) {
    Doubles query(width);
    for (int i = 0; i < width; ++i) query[i] = rows[row * stride + i];
    reference(texts, texts.text_of_row[row], query, rows, stride, width, 2 * width, hides, heads, size,
              &expected[static_cast<std::size_t>(row) * width]);
  }
  // Queries, keys and weights are rounded once each; scores of size s move by s * rounding, and weights with them.
  expect_close("attend", out.fetched(), expected, 8 * kRounding<T>);

  // The same again, with blocks and warps in another order, gives the same bits: nothing is read while it is written.
  const Doubles before = out.fetched();
  attend<T>(given, size, most, nullptr);
  const Doubles again = out.fetched();
  EXPECT(std::memcmp(before.data(), again.data(), before.size() * sizeof(double)) == 0);
}

template <typename T>
void first_rows_attend_to_their_text(std::mt19937& random, const std::vector<int>& lengths, int size, int heads,
                                     bool hides) {
  const DeviceTexts texts(random, lengths, hides);
  const int width = size * heads, most = texts.texts + 5;
  const std::size_t stride = 2 * static_cast<std::size_t>(width);
  const auto queries = random_values<T>(random, texts.texts * width, 1.5f),
             rows = random_values<T>(random, texts.rows * stride, 1.5f);
  const auto out = poisoned<T>(static_cast<std::size_t>(most) * width);
  Attention<T> given{};
  given.query = queries.get(), given.key = rows.get(), given.value = rows.get() + width;
  given.query_stride = width, given.stride = stride;
  given.offsets = texts.offsets_up.as<std::int32_t>();
  given.key_mask = hides ? texts.key_mask_up.as<std::uint8_t>() : nullptr;
  given.heads = heads, given.counts = texts.counts(), given.out = out.get();
  attend_first<T>(given, size, most, nullptr);
  Doubles expected(static_cast<std::size_t>(texts.texts) * width);
  for (int text = 0; text < texts.texts; ++text) {
    Doubles query(width);
    for (int i = 0; i < width; ++i) query[i] = queries[text * width + i];
    reference(texts, text, query, rows, stride, 0, width, hides, heads, size,
              &expected[static_cast<std::size_t>(text) * width]);
  }
  expect_close("attend_first", out.fetched(), expected, 1.1 * kRounding<T>);
}

// What one text holds is not read by its neighbours, be it infinite.
template <typename T>
void a_text_of_infinities_is_alone(std::mt19937& random, float what) {
  constexpr int kSize = 32;
  const DeviceTexts texts(random, {5, 20, 3, 90, 30}, false);
  const auto run_with = [&](float spoilt) {
    std::mt19937 same(5);
    std::vector<T> values(texts.rows * 3 * kSize);
    for (std::size_t i = 0; i < values.size(); ++i) {
      values[i] = static_cast<T>(0.5f + static_cast<float>(same() % 100) / 100.0f);
      const int text = texts.text_of_row[i / (3 * kSize)];
      if (text == 1 || text == 3) values[i] = static_cast<T>(spoilt);
    }
    const Uploaded<T> rows(values);
    const auto out = poisoned<T>(texts.rows * kSize);
    Attention<T> given{};
    given.query = rows.get(), given.key = rows.get() + kSize, given.value = rows.get() + 2 * kSize;
    given.query_stride = given.stride = 3 * kSize;
    given.text_of_row = texts.text_of_row_up.as<std::int32_t>(), given.offsets = texts.offsets_up.as<std::int32_t>();
    given.heads = 1, given.counts = texts.counts(), given.out = out.get();
    attend<T>(given, kSize, texts.rows, nullptr);
    return out.fetched();
  };
  const Doubles sound = run_with(1.0f), spoilt = run_with(what);
  for (int row = 0; row < texts.rows; ++row) {
    const int text = texts.text_of_row[row];
    for (int i = 0; i < kSize; ++i) {
      const double found = spoilt[row * kSize + i];
      if (text == 1 || text == 3)
        EXPECT(!std::isfinite(found));
      else
        EXPECT(std::fabs(found - sound[row * kSize + i]) <= 2 * kRounding<T> * std::fabs(sound[row * kSize + i]));
    }
  }
}

// Infinity in a text's last row stays infinity for its first one: rows beyond the text have no part in the sum, not
// even as 0 times it.
template <typename T>
void infinity_of_the_last_row_is_no_nan() {
  constexpr int kSize = 32;
  for (const int tokens : {1, 5, 8, 33, 47}) {
    std::mt19937 same(6);
    const DeviceTexts texts(same, {tokens, 3}, false);
    std::vector<T> values(texts.rows * 2 * kSize, static_cast<T>(0.5f));
    values[(tokens - 1) * 2 * kSize + kSize + 7] = static_cast<T>(INFINITY);
    const Uploaded<T> rows(values), queries(std::vector<T>(2 * kSize, static_cast<T>(1.0f)));
    const auto out = poisoned<T>(2 * kSize);
    Attention<T> given{};
    given.query = queries.get(), given.key = rows.get(), given.value = rows.get() + kSize;
    given.query_stride = kSize, given.stride = 2 * kSize;
    given.offsets = texts.offsets_up.as<std::int32_t>();
    given.heads = 1, given.counts = texts.counts(), given.out = out.get();
    attend_first<T>(given, kSize, 2, nullptr);
    const Doubles found = out.fetched();
    for (int i = 0; i < 2 * kSize; ++i) EXPECT(i == 7 ? found[i] == INFINITY : std::isfinite(found[i]));
  }
}

template <typename T>
void test(std::mt19937& random) {
  std::vector<int> mix;
  for (int text = 0; text < 30; ++text) mix.push_back(1 + static_cast<int>(random() % 40));
  std::vector<int> ones(70, 1);
  const std::vector<std::vector<int>> batches = {
      {1}, {2}, {16}, {17}, {63}, {64}, {65}, {128}, {512}, {3, 61, 1, 64, 127, 5}, {200, 1, 300}, mix, ones};
  for (const int size : {32, 64}) {
    for (const auto& lengths : batches) {
      for (const bool hides : {false, true}) {
        rows_attend_to_their_text<T>(random, lengths, size, lengths.front() > 100 ? 1 : 3, hides);
        rows_attend_to_their_text<T>(random, lengths, size, 1, hides, 2048);  // blocks of more rows
        first_rows_attend_to_their_text<T>(random, lengths, size, 2, hides);
      }
    }
  }
  a_text_of_infinities_is_alone<T>(random, INFINITY);
  a_text_of_infinities_is_alone<T>(random, NAN);
  infinity_of_the_last_row_is_no_nan<T>();
}

}  // namespace

int main() {
  return run_kernel_tests([] {
    std::mt19937 random(12);
    test<__half>(random);
    test<__nv_bfloat16>(random);
  });
}
