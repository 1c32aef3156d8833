// The C API on a small random model: company, threads, precisions and instruction sets change nothing that they must
// not, and no malformed batch gets further than an error. Built with sanitizers, this is the fuzz test, too.

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "liteft/liteft.h"
#include "tests/random_model.h"

namespace {

int failures = 0;

void expect(bool holds, const char* what, int line) {
  if (holds) return;
  ++failures;
  std::printf("line %d: not so: %s\n", line, what);
}
#define EXPECT(condition) expect((condition), #condition, __LINE__)

std::vector<float> run(liteft_classifier* classifier, const Texts& texts, const liteft_shape& shape) {
  std::vector<float> logits(texts.logit_count(shape), NAN);
  const liteft_batch batch = texts.batch();
  const int status = liteft_run(classifier, &batch, logits.data());
  if (status) std::printf("%s\n", liteft_last_error());
  EXPECT(status == 0);
  return logits;
}

liteft_classifier* create(const liteft_shape& shape, int precision, int threads, const char* instructions) {
  const Stored stored = random_weights(shape, precision == LITEFT_INT8, 1);
  const std::vector<liteft_weight> weights = stored.list();
  liteft_classifier* made = nullptr;
  const int status =
      liteft_create(&shape, weights.data(), static_cast<int>(weights.size()), precision, threads, instructions, &made);
  if (status) std::printf("%s\n", liteft_last_error());
  EXPECT(status == 0);
  return made;
}

bool offered(const char* instructions) {
  liteft_shape nothing{};
  liteft_classifier* made = nullptr;
  const liteft_weight weight{"x", "x", 0, 1, 1};
  liteft_create(&nothing, &weight, 1, LITEFT_FP32, 1, instructions, &made);
  return std::strstr(liteft_last_error(), "not offered") == nullptr;
}

// Whether the library computes in this precision with these instructions. A peak is measured, so each is asked for
// once.
bool offered(int precision, const char* instructions) {
  static std::map<std::pair<int, std::string>, bool> known;
  const auto [found, is_new] = known.try_emplace({precision, instructions});
  if (is_new) found->second = liteft_peak(precision, 1, instructions) > 0.0;
  return found->second;
}

constexpr float kNotANumber = std::numeric_limits<float>::quiet_NaN();

constexpr const char* kInstructions[] = {"portable", "avx2", "avxvnni", "avx512vnni", "avx512", "neon"};

const liteft_shape kShapes[] = {
    {2, 4, 64, 96, 64, 50, 40, 2, 3, LITEFT_CLS, LITEFT_HEAD_TANH, LITEFT_GELU, -1, 1e-12f},
    {1, 3, 78, 130, 78, 50, 40, 0, 5, LITEFT_CLS, LITEFT_HEAD_RELU, LITEFT_RELU, 3,
     1e-5f},  // no width is a multiple of a vector
    {2, 2, 128, 64, 32, 50, 40, 2, 2, LITEFT_CLS, LITEFT_HEAD_GELU, LITEFT_GELU_TANH, -1,
     1e-12f},  // ELECTRA's narrow embeddings
    {3, 4, 64, 96, 64, 50, 40, 2, 70, LITEFT_MEAN, LITEFT_HEAD_NONE, LITEFT_SILU, -1, 1e-12f},
    {2, 2, 96, 64, 48, 50, 40, 2, 70, LITEFT_NONE, LITEFT_HEAD_NONE, LITEFT_GELU, -1, 1e-12f},  // of tokens
    {1, 3, 78, 130, 78, 50, 40, 0, 3, LITEFT_NONE, LITEFT_HEAD_NONE, LITEFT_RELU, 3, 1e-5f},
};

void company_changes_nothing() {
  std::mt19937 random(2);
  for (const liteft_shape& shape : kShapes) {
    Texts texts;
    for (int text = 0; text < 23; ++text) texts.add(random, shape, 1 + static_cast<int>(random() % shape.positions));
    for (const char* instructions : kInstructions) {
      if (!offered(instructions)) continue;
      for (int precision : {LITEFT_FP32, LITEFT_BF16, LITEFT_INT8}) {
        if (!offered(precision, instructions)) continue;
        liteft_classifier* one = create(shape, precision, 1, instructions);
        liteft_classifier* three = create(shape, precision, 3, instructions);
        const std::vector<float> together = run(one, texts, shape);
        EXPECT(run(three, texts, shape) == together);
        for (int text = 0; text < 23; ++text) {
          const std::vector<float> expected = texts.logits_of(text, shape, together);
          EXPECT(run(one, texts.only(text), shape) == expected);
          EXPECT(run(three, texts.only(text), shape) == expected);
        }
        std::uint64_t calls = 0, rows = 0;
        liteft_counters(one, &calls, &rows);
        EXPECT(calls == 24 && rows == 2 * texts.ids.size());
        liteft_destroy(one);
        liteft_destroy(three);
      }
    }
  }
}

// A team passes several row blocks in turn where there are more than one and fewer than threads.
void a_team_takes_several_row_blocks() {
  std::mt19937 random(9);
  for (const liteft_shape& shape : kShapes) {
    Texts texts;
    for (int rows = 0; rows < 96;) {
      const int tokens = std::min(shape.positions, 20 + static_cast<int>(random() % 20));
      texts.add(random, shape, tokens);
      rows += tokens;
    }
    for (int precision : {LITEFT_FP32, LITEFT_BF16, LITEFT_INT8}) {
      if (!offered(precision, "")) continue;
      liteft_classifier* one = create(shape, precision, 1, "");
      liteft_classifier* six = create(shape, precision, 6, "");
      const std::vector<float> expected = run(one, texts, shape);
      for (int round = 0; round < 20; ++round) EXPECT(run(six, texts, shape) == expected);
      liteft_destroy(one);
      liteft_destroy(six);
    }
  }
}

// The classifier of tokens is that of texts, whose first rows are the logits of models that pool [CLS] without a head.
void first_tokens_have_the_logits_of_their_texts() {
  std::mt19937 random(12);
  liteft_shape pooled = kShapes[4], of_tokens = pooled;
  pooled.pooling = LITEFT_CLS;
  Texts texts;
  for (int text = 0; text < 9; ++text) texts.add(random, pooled, 1 + static_cast<int>(random() % pooled.positions));
  // The last layer stores its query apart, with the same values as beside key and value.
  Stored stored = random_weights(of_tokens, false, 1);
  const std::vector<liteft_weight> weights = stored.list();
  liteft_classifier* made = nullptr;
  EXPECT(liteft_create(&of_tokens, weights.data(), static_cast<int>(weights.size()), LITEFT_FP32, 1, "", &made) == 0);
  const std::vector<float> tokens = run(made, texts, of_tokens);
  liteft_destroy(made);
  const int width = pooled.width;
  const std::string last = "layers." + std::to_string(pooled.layers - 1) + ".attention.";
  Stored apart;
  for (const Stored::Weight& weight : stored.weights) {
    const std::string stacked = last + "query_key_value";
    if (weight.name.rfind(stacked, 0) != 0) {
      apart.weights.push_back(weight);
      continue;
    }
    const float* values = reinterpret_cast<const float*>(weight.values.data());
    std::vector<float> query, key_value;
    for (int row = 0; row < weight.rows; ++row, values += 3 * width) {
      query.insert(query.end(), values, values + width);
      key_value.insert(key_value.end(), values + width, values + 3 * width);
    }
    const std::string part = weight.name.substr(stacked.size());
    apart.add_floats(last + "query" + part, weight.rows, width, query);
    apart.add_floats(last + "key_value" + part, weight.rows, 2 * width, key_value);
  }
  const std::vector<liteft_weight> others = apart.list();
  EXPECT(liteft_create(&pooled, others.data(), static_cast<int>(others.size()), LITEFT_FP32, 1, "", &made) == 0);
  const std::vector<float> whole = run(made, texts, pooled);
  liteft_destroy(made);
  for (int text = 0; text < 9; ++text) {
    const std::vector<float> rows = texts.logits_of(text, of_tokens, tokens);
    EXPECT(std::vector<float>(rows.begin(), rows.begin() + pooled.labels) == texts.logits_of(text, pooled, whole));
  }
}

bool is_matmul(const std::string& name) {
  return name.find("layers.") == 0 && name.find("norm") == std::string::npos &&
         name.rfind(".weight") == name.size() - 7;
}

// Matmuls in float among those in int8: with all of them in float the logits are those of float32, bit for bit where
// the attention is computed alike; and whichever they are, company and threads change nothing.
void matmuls_may_be_float_one_by_one() {
  std::mt19937 random(11);
  for (const liteft_shape& shape : kShapes) {
    const Stored stored = random_weights(shape, true, 1);
    Texts texts;
    for (int text = 0; text < 9; ++text) texts.add(random, shape, 1 + static_cast<int>(random() % shape.positions));
    for (const char* instructions : kInstructions) {
      if (!offered(instructions)) continue;
      const auto logits_of = [&](int precision, int threads, const Texts& some, auto chosen) {
        std::vector<liteft_weight> weights = stored.list();
        for (liteft_weight& weight : weights) {
          if ((is_matmul(weight.name) || std::strcmp(weight.name, "embeddings.project.weight") == 0) &&
              chosen(weight.name)) {
            weight.type |= LITEFT_FLOAT_PRODUCT;
          }
        }
        liteft_classifier* made = nullptr;
        EXPECT(liteft_create(&shape, weights.data(), static_cast<int>(weights.size()), precision, threads, instructions,
                             &made) == 0);
        std::vector<float> logits = run(made, some, shape);
        liteft_destroy(made);
        return logits;
      };
      const auto all = [](const char*) { return true; };
      const auto none = [](const char*) { return false; };
      const std::vector<float> exact = logits_of(LITEFT_FP32, 1, texts, all),
                               coarse = logits_of(LITEFT_INT8, 1, texts, none);
      EXPECT(exact != coarse);
      if (!offered(LITEFT_BF16, instructions)) EXPECT(logits_of(LITEFT_INT8, 1, texts, all) == exact);
      for (const char* part : {"query", "key_value", "attention.output", "inner", "outer", "layers.0", "project"}) {
        const auto chosen = [&](const char* name) { return std::strstr(name, part) != nullptr; };
        const std::vector<float> mixed = logits_of(LITEFT_INT8, 1, texts, chosen);
        bool there = false;
        for (const auto& weight : stored.weights) there |= is_matmul(weight.name) && chosen(weight.name.c_str());
        if (there) EXPECT(mixed != coarse);
        EXPECT(logits_of(LITEFT_INT8, 3, texts, chosen) == mixed);
        EXPECT(logits_of(LITEFT_INT8, 1, texts.only(8), chosen) == texts.logits_of(8, shape, mixed));
      }
    }
  }
}

// Only the weight of a linear layer may be marked as a float product.
void only_matmuls_may_be_float() {
  const Stored stored = random_weights(kShapes[0], true, 1);
  for (const char* name : {"embeddings.word.weight", "layers.0.attention.norm.weight", "classifier.bias"}) {
    std::vector<liteft_weight> weights = stored.list();
    for (liteft_weight& weight : weights) {
      if (std::strcmp(weight.name, name) == 0) weight.type |= LITEFT_FLOAT_PRODUCT;
    }
    liteft_classifier* made = nullptr;
    EXPECT(liteft_create(&kShapes[0], weights.data(), static_cast<int>(weights.size()), LITEFT_INT8, 1, "", &made) !=
           0);
    EXPECT(std::strstr(liteft_last_error(), name) != nullptr);
  }
}

// A rectangle with holes and padding, whose hidden places hold ids that would be errors, against its real tokens.
void rectangles_are_packed() {
  std::mt19937 random(7);
  for (const liteft_shape& shape : kShapes) {
    liteft_classifier* classifier = create(shape, LITEFT_FP32, 2, "");
    const int texts = 11, tokens = shape.positions;
    std::vector<std::int64_t> ids(texts * tokens, -5), mask(texts * tokens, 0), types(texts * tokens, 1 << 20);
    Texts real;
    for (int text = 0; text < texts; ++text) {
      const int first = text % 3 == 1 ? static_cast<int>(random() % 5) : 0;  // left padding
      const int last = first + 1 + static_cast<int>(random() % (tokens - first));
      int counted = 0;
      for (int column = 0; column < tokens; ++column) {
        const bool shown = column >= first && column < last && (column + 1 == last || random() % 5);
        const bool kept = shown || (column == 0 && shape.pooling == LITEFT_CLS);
        const std::size_t place = static_cast<std::size_t>(text) * tokens + column;
        // RoBERTa counts what is not the padding id, hidden or not, so that only a padding id leaves the count alone.
        ids[place] = kept || shape.position_padding_id < 0 ? static_cast<int>(random() % shape.vocabulary)
                                                           : shape.position_padding_id;
        const bool padding = ids[place] == shape.position_padding_id;
        counted += !padding;
        const int position = shape.position_padding_id < 0 ? column
                             : padding                     ? shape.position_padding_id
                                                           : shape.position_padding_id + counted;
        const bool fits = position < shape.positions;
        if (!fits) ids[place] = shape.position_padding_id;
        if (!kept) {
          if (shape.position_padding_id < 0) ids[place] = -5;
          continue;
        }
        mask[place] = shown;
        types[place] = shape.types ? static_cast<int>(random() % shape.types) : 0;
        real.ids.push_back(static_cast<int>(ids[place]));
        real.types.push_back(static_cast<int>(types[place]));
        real.positions.push_back(fits ? position : shape.position_padding_id);
        real.key_mask.push_back(shown);
      }
      real.offsets.push_back(static_cast<int>(real.ids.size()));
    }
    std::vector<float> expected = run(classifier, real, shape);
    if (shape.pooling == LITEFT_NONE) {  // zeros where the mask is 0
      std::vector<float> rectangle(static_cast<std::size_t>(texts) * tokens * shape.labels, 0.0f);
      auto row = expected.cbegin();
      for (int place = 0; place < texts * tokens; ++place) {
        if (!mask[place]) continue;
        std::copy_n(row, shape.labels, rectangle.begin() + static_cast<std::size_t>(place) * shape.labels);
        row += shape.labels;
      }
      EXPECT(row == expected.cend());
      expected = rectangle;
    }
    std::vector<float> found(expected.size(), NAN);
    liteft_padded padded{texts, tokens, ids.data(), mask.data(), types.data()};
    EXPECT(liteft_run_padded(classifier, &padded, found.data()) == 0);
    EXPECT(found == expected);
    std::uint64_t calls = 0, rows = 0;
    liteft_counters(classifier, &calls, &rows);
    EXPECT(calls == 2 && rows == 2 * real.ids.size());
    std::fill(mask.begin() + tokens, mask.begin() + 2 * tokens, 0);
    EXPECT(liteft_run_padded(classifier, &padded, found.data()) != 0);
    EXPECT(std::strstr(liteft_last_error(), "row 1 has no token") != nullptr);
    padded.texts = 0;
    EXPECT(liteft_run_padded(classifier, &padded, nullptr) == 0);
    padded = {1, 0, ids.data(), mask.data(), nullptr};
    EXPECT(liteft_run_padded(classifier, &padded, found.data()) != 0);
    liteft_destroy(classifier);
  }
}

void instruction_sets_agree() {
  std::mt19937 random(3);
  for (const liteft_shape& shape : kShapes) {
    Texts texts;
    for (int text = 0; text < 9; ++text) texts.add(random, shape, 1 + static_cast<int>(random() % shape.positions));
    for (int precision : {LITEFT_FP32, LITEFT_INT8}) {
      liteft_classifier* reference = create(shape, precision, 1, "portable");
      const std::vector<float> expected = run(reference, texts, shape);
      liteft_destroy(reference);
      for (const char* instructions : kInstructions) {
        if (!offered(instructions)) continue;
        liteft_classifier* other = create(shape, precision, 2, instructions);
        const std::vector<float> found = run(other, texts, shape);
        float most = 0.0f, largest = 0.0f;
        for (std::size_t i = 0; i < found.size(); ++i) {
          EXPECT(std::isfinite(found[i]));  // fmax would pass NaN over
          most = std::fmax(most, std::fabs(found[i] - expected[i]));
          largest = std::fmax(largest, std::fabs(expected[i]));
        }
        // int8 rounds, so that a last bit before it may become a step of 1/127 after it.
        EXPECT(most < (precision == LITEFT_FP32 ? 1e-4f : 0.1f * largest));
        liteft_destroy(other);
      }
    }
  }
}

// A weight of -128 has no negative of its own size, and a row at its limit makes the largest sums there are.
void extreme_bytes_are_exact() {
  const liteft_shape& shape = kShapes[0];
  std::mt19937 random(8);
  Stored stored = random_weights(shape, true, 1);
  for (Stored::Weight& weight : stored.weights) {
    if (weight.type != LITEFT_TYPE_INT8) continue;
    for (char& value : weight.values) {
      if (random() % 3 == 0) value = static_cast<char>(random() % 2 ? 127 : -128);
    }
  }
  const std::vector<liteft_weight> weights = stored.list();
  Texts texts;
  for (int text = 0; text < 5; ++text) texts.add(random, shape, 11);
  std::vector<float> expected;
  for (const char* instructions : kInstructions) {  // the portable ones first
    // bf16 in the attention differs by more than a wrong matmul does.
    if (!offered(instructions) || offered(LITEFT_BF16, instructions)) continue;
    liteft_classifier* made = nullptr;
    EXPECT(liteft_create(&shape, weights.data(), static_cast<int>(weights.size()), LITEFT_INT8, 1, instructions,
                         &made) == 0);
    const std::vector<float> found = run(made, texts, shape);
    if (expected.empty()) expected = found;
    for (std::size_t i = 0; i < found.size(); ++i) EXPECT(std::fabs(found[i] - expected[i]) < 0.02f);
    liteft_destroy(made);
  }
}

// One weight is NaN, of which every text depends: no answer may look like one.
void what_is_not_a_number_stays() {
  std::mt19937 random(9);
  for (const liteft_shape& shape : kShapes) {
    Texts texts;
    for (int text = 0; text < 3; ++text) texts.add(random, shape, 7);
    for (int precision : {LITEFT_FP32, LITEFT_BF16, LITEFT_INT8}) {
      for (const std::string name :
           {"embeddings.norm.bias", "layers.0.attention.norm.weight", "layers.0.feed_forward.inner.bias",
            "layers.0.attention.output.bias", "head.dense.bias"}) {
        if (name == "head.dense.bias" && shape.head == LITEFT_HEAD_NONE) continue;
        Stored stored = random_weights(shape, precision == LITEFT_INT8, 1);
        for (Stored::Weight& weight : stored.weights) {
          if (weight.name == name) std::memcpy(weight.values.data() + 9 * sizeof(float), &kNotANumber, sizeof(float));
        }
        const std::vector<liteft_weight> weights = stored.list();
        for (const char* instructions : kInstructions) {
          if (!offered(instructions) || !offered(precision, instructions)) continue;
          liteft_classifier* made = nullptr;
          EXPECT(liteft_create(&shape, weights.data(), static_cast<int>(weights.size()), precision, 2, instructions,
                               &made) == 0);
          for (float value : run(made, texts, shape)) EXPECT(std::isnan(value));
          liteft_destroy(made);
        }
      }
    }
  }
}

void long_texts_are_computed() {
  liteft_shape shape{2, 2, 64, 96, 64, 50, 700, 0, 3, LITEFT_CLS, LITEFT_HEAD_TANH, LITEFT_GELU, -1, 1e-12f};
  for (const bool per_token : {false, true}) {
    if (per_token) shape.pooling = LITEFT_NONE, shape.head = LITEFT_HEAD_NONE;
    std::mt19937 random(9);
    Texts texts;
    for (int tokens : {1, 95, 97, 512, 513, 700}) texts.add(random, shape, tokens);
    for (int precision : {LITEFT_FP32, LITEFT_BF16, LITEFT_INT8}) {
      if (!offered(precision, "")) continue;
      liteft_classifier* classifier = create(shape, precision, 2, "");
      const std::vector<float> together = run(classifier, texts, shape);
      for (int text = 0; text < 6; ++text)
        EXPECT(run(classifier, texts.only(text), shape) == texts.logits_of(text, shape, together));
      liteft_destroy(classifier);
    }
  }
}

// Threads do not follow a fork: the child gets an error, and may destroy what it was left.
void a_forked_child_is_refused() {
  liteft_classifier* classifier = create(kShapes[0], LITEFT_FP32, 2, "");
  std::mt19937 random(10);
  Texts texts;
  texts.add(random, kShapes[0], 5);
  run(classifier, texts, kShapes[0]);
  const pid_t child = fork();
  if (child == 0) {
    const liteft_batch batch = texts.batch();
    std::vector<float> logits(kShapes[0].labels);
    const bool refused =
        liteft_run(classifier, &batch, logits.data()) != 0 && std::strstr(liteft_last_error(), "forked");
    liteft_destroy(classifier);
    _exit(refused ? 0 : 1);
  }
  int status = -1;
  EXPECT(waitpid(child, &status, 0) == child && status == 0);
  liteft_destroy(classifier);
}

void threads_share_a_classifier() {
  const liteft_shape& shape = kShapes[0];
  liteft_classifier* classifier = create(shape, LITEFT_INT8, 2, "");
  std::mt19937 random(4);
  std::vector<Texts> many(4);
  std::vector<std::vector<float>> expected;
  for (Texts& texts : many) {
    const int count = &texts == &many.front() ? 60 : 1 + static_cast<int>(random() % 12);
    for (int text = 0; text < count; ++text) texts.add(random, shape, 1 + static_cast<int>(random() % shape.positions));
    expected.push_back(run(classifier, texts, shape));
  }
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, thread] {
      for (int round = 0; round < 50; ++round) {
        const int which = (thread + round) % 4;
        const liteft_batch batch = many[which].batch();
        std::vector<float> logits(expected[which].size());
        if (liteft_run(classifier, &batch, logits.data()) || logits != expected[which]) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT(wrong == 0);
  std::uint64_t calls = 0, rows = 0, tokens = 0;
  for (const Texts& texts : many) tokens += texts.ids.size();
  liteft_counters(classifier, &calls, &rows);
  EXPECT(calls == 4 * (1 + 50) && rows == (1 + 50) * tokens);
  liteft_destroy(classifier);
}

void peaks_are_known() {
  EXPECT(liteft_peak(LITEFT_FP32, 1, "portable") > 0);
  EXPECT(liteft_peak(LITEFT_BF16, 1, "portable") == 0);
  EXPECT(liteft_peak(LITEFT_INT8, 2, "") > 0);
  for (const char* instructions : kInstructions) {  // a loop from which the compiler takes the matmuls looks fast
    EXPECT(liteft_peak(LITEFT_INT8, 1, instructions) <= 100 * liteft_peak(LITEFT_FP32, 1, instructions));
  }
  EXPECT(liteft_peak(LITEFT_INT8, 0, "") == 0 && liteft_peak(9, 1, "") == 0 && liteft_peak(LITEFT_INT8, 1, "mmx") == 0);
}

void malformed_batches_are_errors() {
  const liteft_shape& shape = kShapes[0];
  liteft_classifier* classifier = create(shape, LITEFT_FP32, 2, "");
  std::mt19937 random(5);
  int refused = 0, answered = 0;
  for (int round = 0; round < 3000; ++round) {
    Texts texts;
    const int count = static_cast<int>(random() % 5);
    for (int text = 0; text < count; ++text) texts.add(random, shape, 1 + static_cast<int>(random() % shape.positions));
    std::vector<std::int32_t>* vectors[] = {&texts.ids, &texts.types, &texts.positions, &texts.offsets};
    std::vector<std::int32_t>& hit = *vectors[random() % 4];
    const bool spoilt = random() % 3 != 0 && !hit.empty();
    const std::int32_t bad[] = {-1, 1 << 30, -(1 << 30), 40, 50, 0, 7};
    if (spoilt && &hit != &texts.offsets) hit[random() % hit.size()] = bad[random() % 7];
    if (spoilt && &hit == &texts.offsets) {  // within what was allocated, since a length cannot be checked
      hit[random() % hit.size()] = static_cast<int>(random() % (texts.ids.size() + 1)) - static_cast<int>(random() % 3);
      if (hit.back() > static_cast<int>(texts.ids.size())) hit.back() = static_cast<int>(texts.ids.size());
      for (std::int32_t& offset : hit) offset = std::min<std::int32_t>(offset, static_cast<int>(texts.ids.size()));
    }
    if (random() % 20 == 0 && !texts.key_mask.empty()) std::fill(texts.key_mask.begin(), texts.key_mask.end(), 0);
    std::vector<float> logits(count * shape.labels + 1, 0.0f);
    const liteft_batch batch = texts.batch();
    if (liteft_run(classifier, &batch, logits.data())) {
      ++refused;
      EXPECT(std::strlen(liteft_last_error()) > 0);
    } else {
      ++answered;
      for (float value : logits) EXPECT(std::isfinite(value));
    }
  }
  EXPECT(refused > 500 && answered > 500);
  liteft_batch nothing{};
  EXPECT(liteft_run(classifier, &nothing, nullptr) != 0);
  EXPECT(liteft_run(nullptr, &nothing, nullptr) != 0);
  liteft_destroy(classifier);
  liteft_destroy(nullptr);
}

// Bytes that end where memory ends: a read beyond them ends the process, with and without sanitizers.
class AtTheEdge {
 public:
  explicit AtTheEdge(std::size_t bytes) : page_(static_cast<std::size_t>(sysconf(_SC_PAGESIZE))), bytes_(bytes) {
    pages_ = mmap(nullptr, 2 * page_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT(pages_ != MAP_FAILED && bytes <= page_ &&
           mprotect(static_cast<char*>(pages_) + page_, page_, PROT_NONE) == 0);
  }
  ~AtTheEdge() { munmap(pages_, 2 * page_); }
  AtTheEdge(const AtTheEdge&) = delete;
  AtTheEdge& operator=(const AtTheEdge&) = delete;
  template <typename T>
  T* of() const {
    return reinterpret_cast<T*>(static_cast<char*>(pages_) + page_ - bytes_);
  }

 private:
  void* pages_;
  std::size_t page_, bytes_;
};

// Offsets say how much there is to read, so they are looked at first, all of them.
void offsets_that_fall_are_seen_before_anything_is_read() {
  liteft_classifier* classifier = create(kShapes[0], LITEFT_FP32, 2, "");
  constexpr int kTokens = 5;
  const AtTheEdge numbers(kTokens * sizeof(std::int32_t)), shown(kTokens);  // zeros
  const std::vector<std::vector<std::int32_t>> broken = {{0, 1 << 30, kTokens}, {0, 40, kTokens}, {0, 2, 40, kTokens},
                                                         {0, 1 << 30, -1},      {1, 3, kTokens},  {0, 0, kTokens},
                                                         {-5, 2, kTokens}};
  for (const std::vector<std::int32_t>& offsets : broken) {
    for (const bool placed : {false, true}) {
      const auto* zeros = numbers.of<std::int32_t>();
      const liteft_batch batch{static_cast<std::int32_t>(offsets.size()) - 1,
                               zeros,
                               zeros,
                               placed ? zeros : nullptr,
                               offsets.data(),
                               shown.of<std::uint8_t>()};
      std::vector<float> logits(offsets.size() * kShapes[0].labels);
      EXPECT(liteft_run(classifier, &batch, logits.data()) != 0);
    }
  }
  liteft_destroy(classifier);
}

// RoBERTa's positions begin after its padding's: a table of 40 rows has room for 36 tokens where that is 3.
void counted_positions_end_with_their_table() {
  liteft_classifier* classifier = create(kShapes[1], LITEFT_FP32, 1, "");
  for (const int tokens : {36, 37}) {
    const std::vector<std::int32_t> ids(tokens, 7), offsets{0, 1, 1 + tokens};
    std::vector<std::int32_t> both(ids);
    both.push_back(7);
    std::vector<float> logits(2 * kShapes[1].labels);
    const liteft_batch batch{2, both.data(), nullptr, nullptr, offsets.data(), nullptr};
    const bool refused = liteft_run(classifier, &batch, logits.data()) != 0;
    EXPECT(refused == (tokens == 37));
    EXPECT(!refused || std::strstr(liteft_last_error(), "text 1 has 37 tokens; the model has 36 positions"));
    const std::vector<std::int64_t> rectangle(tokens, 7), mask(tokens, 1);
    const liteft_padded padded{1, tokens, rectangle.data(), mask.data(), nullptr};
    EXPECT((liteft_run_padded(classifier, &padded, logits.data()) != 0) == (tokens == 37));
  }
  liteft_destroy(classifier);
}

void malformed_models_are_errors() {
  std::mt19937 random(6);
  for (int round = 0; round < 300; ++round) {
    liteft_shape shape = kShapes[0];
    const Stored stored = random_weights(shape, true, 1);
    std::vector<liteft_weight> weights = stored.list();
    std::int32_t* numbers = &shape.layers;
    const int which = static_cast<int>(random() % 3);
    if (which == 0) numbers[random() % 13] = static_cast<int>(random() % 5) - 2 + 100 * static_cast<int>(random() % 2);
    if (which == 1) weights.erase(weights.begin() + random() % weights.size());
    if (which == 2) weights[random() % weights.size()].rows += 1;
    liteft_classifier* made = nullptr;
    const int status =
        liteft_create(&shape, weights.data(), static_cast<int>(weights.size()), LITEFT_INT8, 1, "", &made);
    EXPECT((status == 0) == (made != nullptr));
    if (which) EXPECT(status != 0);
    liteft_destroy(made);
  }
  const liteft_weight weight{"x", "x", 0, 1, 1};
  liteft_classifier* made = nullptr;
  liteft_shape headed = kShapes[0];
  headed.pooling = LITEFT_NONE;
  EXPECT(liteft_create(&headed, &weight, 1, LITEFT_FP32, 1, "", &made) != 0);
  EXPECT(std::strstr(liteft_last_error(), "a model without pooling has no head") != nullptr);
  headed.pooling = LITEFT_NONE + 1;
  EXPECT(liteft_create(&headed, &weight, 1, LITEFT_FP32, 1, "", &made) != 0);
  EXPECT(std::strstr(liteft_last_error(), "pooling = 3 is not between 0 and 2") != nullptr);
  liteft_shape wide = kShapes[0];
  wide.inner = (1 << 16) + 1;
  EXPECT(liteft_create(&wide, &weight, 1, LITEFT_INT8, 1, "", &made) != 0);
  EXPECT(std::strstr(liteft_last_error(), "32 bits") != nullptr);
}

}  // namespace

int main() {
  EXPECT(liteft_abi() == LITEFT_ABI);
  std::printf("instructions: %s; tested:", liteft_instructions());
  for (const char* instructions : kInstructions)
    if (offered(instructions)) std::printf(" %s", instructions);
  std::printf("\n");
  company_changes_nothing();
  a_team_takes_several_row_blocks();
  first_tokens_have_the_logits_of_their_texts();
  matmuls_may_be_float_one_by_one();
  only_matmuls_may_be_float();
  rectangles_are_packed();
  instruction_sets_agree();
  extreme_bytes_are_exact();
  what_is_not_a_number_stays();
  long_texts_are_computed();
  a_forked_child_is_refused();
  threads_share_a_classifier();
  peaks_are_known();
  malformed_batches_are_errors();
  offsets_that_fall_are_seen_before_anything_is_read();
  counted_positions_end_with_their_table();
  malformed_models_are_errors();
  std::printf("%d failures\n", failures);
  return failures != 0;
}
