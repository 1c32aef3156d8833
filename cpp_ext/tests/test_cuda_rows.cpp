// The CUDA kernels over rows against float64 references: embeddings, LayerNorm, activations, pooling, the classifier.
// Launches cover more rows than there are, what they write is NaN before, and rows beyond the count stay so.

#include "tests/cuda_rows.h"

using namespace liteft::cuda;

namespace {

constexpr int kWidths[] = {64, 320, 384, 512, 768, 1024};

template <typename T>
void embeddings_are_summed_and_normed(std::mt19937& random) {
  constexpr int kVocabulary = 40, kPositions = 30, kTypes = 3, kMost = 48;
  for (const int width : kWidths) {
    for (const int kinds : {0, 1, 2}) {  // no table of types, a table alone, and types of the rows
      const int rows = 1 + static_cast<int>(random() % kMost);
      const auto words = random_values<T>(random, kVocabulary * width),
                 places = random_values<T>(random, kPositions * width);
      const auto types = random_values<T>(random, kTypes * width);
      const auto gamma = random_values<float>(random, width, 0.3f, 1.0f), beta = random_values<float>(random, width);
      std::vector<std::int32_t> id(kMost), position(kMost), type(kMost);
      for (int row = 0; row < kMost; ++row) {
        id[row] = row < rows ? random() % kVocabulary : 1 << 30;  // what is not there is not looked up
        position[row] = random() % kPositions, type[row] = random() % kTypes;
      }
      const Uploaded<std::int32_t> ids(id), positions(position), type_ids(type);
      const DeviceTexts texts(random, {rows}, false);
      const auto out = poisoned<T>(kMost * width);
      embed<T>({ids.get(), kinds == 2 ? type_ids.get() : nullptr, positions.get(), words.get(), places.get(),
                kinds ? types.get() : nullptr, gamma.get(), beta.get(), 1e-5f, width, texts.counts(), out.get()},
               kMost, nullptr);
      Doubles expected(rows * width);
      for (int row = 0; row < rows; ++row) {
        for (int i = 0; i < width; ++i) {
          expected[row * width + i] = words[id[row] * width + i] + places[position[row] * width + i];
          if (kinds) expected[row * width + i] += types[(kinds == 2 ? type[row] : 0) * width + i];
        }
      }
      norm_reference(expected, width, gamma, beta, 1e-5);
      expect_close("embed", out.fetched(), expected, 1.01 * kRounding<T>);
    }
  }
}

template <typename T>
void residuals_are_added_and_normed(std::mt19937& random) {
  for (const int width : kWidths) {
    for (const bool in_place : {false, true}) {
      const int most = 33, rows = 1 + static_cast<int>(random() % most);
      const auto x = random_values<T>(random, most * width), residual = random_values<T>(random, rows * width, 2.0f);
      const auto bias = random_values<float>(random, width), gamma = random_values<float>(random, width, 0.3f, 1.0f);
      const auto beta = random_values<float>(random, width);
      const DeviceTexts texts(random, {rows}, false);
      const auto out = poisoned<T>(in_place ? 1 : most * width);
      T* to = in_place ? residual.get() : out.get();
      layer_norm<T>(
          {x.get(), bias.get(), residual.get(), gamma.get(), beta.get(), 1e-12f, width, texts.row_count(), to}, most,
          nullptr);
      Doubles expected(rows * width);
      for (int i = 0; i < rows * width; ++i) expected[i] = x[i] + bias[i % width] + residual[i];
      norm_reference(expected, width, gamma, beta, 1e-12);
      expect_close("layer_norm", in_place ? residual.fetched() : out.fetched(), expected, 1.01 * kRounding<T>);
    }
  }
}

template <typename T>
void activations_follow_their_bias(std::mt19937& random) {
  for (const Act act : kActs) {
    for (const int width : {64, 320, 1536}) {
      const int most = 20, rows = 1 + static_cast<int>(random() % (most - 1));
      const auto x = random_values<T>(random, most * width, 6.0f);
      const auto bias = random_values<float>(random, width);
      const DeviceTexts texts(random, {rows}, false);
      activate<T>({x.get(), bias.get(), act, width, texts.row_count()}, most, nullptr);
      Doubles expected = x.values;
      for (int i = 0; i < rows * width; ++i) expected[i] = act_reference(act, expected[i] + bias[i % width]);
      const Doubles found = x.fetched();
      EXPECT(std::equal(found.begin() + rows * width, found.end(), x.values.begin() + rows * width));
      expect_close("activate", found, expected, 1.01 * kRounding<T>);
    }
  }
}

// Half of the distance of the type's values about x.
template <typename T>
double half_step(double x) {
  constexpr int kDigits = std::is_same_v<T, __half> ? 11 : 8, kLowest = std::is_same_v<T, __half> ? -14 : -126;
  const int exponent = x == 0.0 ? kLowest : std::max(std::ilogb(x), kLowest);
  return std::ldexp(1.0, exponent - kDigits);
}

// x is infinite. SiLU and GELU by tanh of -infinity are NaN, as PyTorch has them.
bool right_of_infinity(Act act, double x, double found) {
  if (x > 0.0) return found == (act == Act::tanh ? 1.0 : INFINITY);
  switch (act) {
    case Act::gelu:
    case Act::relu: return found == 0.0;
    case Act::tanh: return found == -1.0;
    case Act::none: return found == -INFINITY;
    default: return std::isnan(found);
  }
}

// Every value of the type, with a bias of 0. GELU is within the type's rounding and a fifth, also where the result is
// nearly 0, but for 1e-9; the others are within the rounding, and 2e-5 where the result is nearly 0.
template <typename T>
void activations_are_exact_everywhere() {
  constexpr int kWidth = 64, kRows = 65536 / kWidth;
  std::vector<T> values(65536);
  for (unsigned bits = 0; bits < values.size(); ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    std::memcpy(static_cast<void*>(&values[bits]), &half, 2);
  }
  const Uploaded<float> bias(std::vector<float>(kWidth, 0.0f));
  std::mt19937 random(1);
  const DeviceTexts texts(random, {kRows}, false);
  for (const Act act : kActs) {
    const Uploaded<T> x(values);
    activate<T>({x.get(), bias.get(), act, kWidth, texts.row_count()}, kRows, nullptr);
    const Doubles found = x.fetched();
    int wrong = 0;
    for (std::size_t i = 0; i < found.size(); ++i) {
      if (std::isnan(x[i])) {
        wrong += !std::isnan(found[i]);
        continue;
      }
      if (std::isinf(x[i])) {
        wrong += !right_of_infinity(act, x[i], found[i]);
        continue;
      }
      const double expected = act_reference(act, x[i]);
      const double allowed =
          act == Act::gelu ? 1.2 * half_step<T>(expected) + 1e-9 : 1.01 * kRounding<T> * std::fabs(expected) + 2e-5;
      if (std::fabs(found[i] - expected) <= allowed) continue;
      if (wrong++ < 3)
        std::printf("activation %d of %g: %g, not %g\n", static_cast<int>(act), x[i], found[i], expected);
    }
    EXPECT(wrong == 0);
  }
}

// NaN is not a number after any activation, and infinities come out as they should.
template <typename T>
void activations_keep_what_is_no_number(std::mt19937& random) {
  for (const Act act : kActs) {
    std::vector<T> values(64, static_cast<T>(NAN));
    values[1] = static_cast<T>(INFINITY);
    const Uploaded<T> x(values);
    const auto bias = random_values<float>(random, 64);
    const DeviceTexts texts(random, {1}, false);
    activate<T>({x.get(), bias.get(), act, 64, texts.row_count()}, 1, nullptr);
    const Doubles found = x.fetched();
    for (int i = 0; i < 64; ++i)
      EXPECT(i == 1 ? found[i] == (act == Act::tanh ? 1.0 : INFINITY) : std::isnan(found[i]));
  }
}

template <typename T>
void texts_are_pooled_and_classified(std::mt19937& random) {
  for (const int width : kWidths) {
    for (const bool hides : {false, true}) {
      const DeviceTexts texts(random, {1, 7, 512, 2, 33}, hides);
      const int most = texts.texts + 9;
      const auto rows = random_values<T>(random, texts.rows * width);
      const auto firsts = poisoned<T>(most * width), means = poisoned<T>(most * width);
      gather_first<T>(rows.get(), texts.offsets_up.as<std::int32_t>(), texts.counts(), width, firsts.get(), most,
                      nullptr);
      pool_mean<T>(rows.get(), texts.offsets_up.as<std::int32_t>(),
                   hides ? texts.key_mask_up.as<std::uint8_t>() : nullptr, texts.counts(), width, means.get(), most,
                   nullptr);
      Doubles first(texts.texts * width), mean(texts.texts * width, 0.0);
      for (int text = 0; text < texts.texts; ++text) {
        int counted = 0;
        for (int row = texts.offsets[text]; row < texts.offsets[text + 1]; ++row) counted += texts.key_mask[row];
        for (int i = 0; i < width; ++i) {
          first[text * width + i] = rows[texts.offsets[text] * width + i];
          for (int row = texts.offsets[text]; row < texts.offsets[text + 1]; ++row) {
            if (texts.key_mask[row]) mean[text * width + i] += rows[row * width + i] / counted;
          }
        }
      }
      expect_close("gather_first", firsts.fetched(), first, 0.0);
      expect_close("pool_mean", means.fetched(), mean, 1.01 * kRounding<T>);

      for (const int labels : {1, 2, 77}) {
        const auto weights = random_values<float>(random, labels * width, 0.1f),
                   bias = random_values<float>(random, labels);
        const auto logits = poisoned<float>(most * labels);
        classify<T>({firsts.get(), weights.get(), bias.get(), &texts.counts()->texts, width, labels, logits.get()},
                    most, nullptr);
        Doubles expected(texts.texts * labels);
        for (int text = 0; text < texts.texts; ++text) {
          for (int label = 0; label < labels; ++label) {
            double sum = bias[label];
            for (int i = 0; i < width; ++i) sum += first[text * width + i] * weights[label * width + i];
            expected[text * labels + label] = sum;
          }
        }
        expect_close("classify", logits.fetched(), expected, 1e-5);
      }
    }
  }
}

template <typename T>
void tokens_are_classified(std::mt19937& random) {
  for (const int width : kWidths) {
    for (const int labels : {1, 2, 8, 9, 77}) {
      const int most = 48, rows = 1 + static_cast<int>(random() % most);
      const auto x = random_values<T>(random, most * width);
      const auto weights = random_values<float>(random, labels * width, 0.1f),
                 bias = random_values<float>(random, labels);
      const DeviceTexts texts(random, {rows}, false);
      const auto logits = poisoned<float>(most * labels);
      classify_tokens<T>({x.get(), weights.get(), bias.get(), texts.row_count(), width, labels, logits.get()}, most,
                         nullptr);
      Doubles expected(rows * labels);
      for (int row = 0; row < rows; ++row) {
        for (int label = 0; label < labels; ++label) {
          double sum = bias[label];
          for (int i = 0; i < width; ++i) sum += x[row * width + i] * weights[label * width + i];
          expected[row * labels + label] = sum;
        }
      }
      expect_close("classify_tokens", logits.fetched(), expected, 1e-5);
    }
  }
}

template <typename T>
void test(std::mt19937& random) {
  embeddings_are_summed_and_normed<T>(random);
  residuals_are_added_and_normed<T>(random);
  activations_follow_their_bias<T>(random);
  activations_are_exact_everywhere<T>();
  activations_keep_what_is_no_number<T>(random);
  texts_are_pooled_and_classified<T>(random);
  tokens_are_classified<T>(random);
}

}  // namespace

int main() {
  return run_kernel_tests([] {
    std::mt19937 random(11);
    test<__half>(random);
    test<__nv_bfloat16>(random);
  });
}
