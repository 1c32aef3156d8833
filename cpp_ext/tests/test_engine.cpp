// The C API on a small random model: company, threads, precisions and instruction sets change nothing that they must
// not, and no malformed batch gets further than an error. Built with sanitizers, this is the fuzz test, too.

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "liteft/liteft.h"

namespace {

int failures = 0;

void expect(bool holds, const char* what, int line) {
  if (holds) return;
  ++failures;
  std::printf("line %d: not so: %s\n", line, what);
}
#define EXPECT(condition) expect((condition), #condition, __LINE__)

struct Stored {
  std::vector<std::string> names;
  std::vector<std::vector<float>> values;
  std::vector<std::pair<int, int>> shapes;
  std::vector<liteft_weight> list() const {
    std::vector<liteft_weight> out;
    for (std::size_t i = 0; i < names.size(); ++i) {
      out.push_back({names[i].c_str(), values[i].data(), nullptr, LITEFT_TYPE_FLOAT32, shapes[i].first, shapes[i].second});
    }
    return out;
  }
};

Stored random_weights(const liteft_shape& shape, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, 0.2f);
  Stored stored;
  const auto add = [&](const std::string& name, int rows, int columns, float middle) {
    std::vector<float> values(static_cast<std::size_t>(rows) * columns);
    for (float& value : values) value = middle + normal(random);
    stored.names.push_back(name);
    stored.values.push_back(std::move(values));
    stored.shapes.push_back({rows, columns});
  };
  const auto linear = [&](const std::string& name, int outputs, int inputs) {
    add(name + ".weight", outputs, inputs, 0.0f);
    add(name + ".bias", 1, outputs, 0.0f);
  };
  const auto norm = [&](const std::string& name, int width) {
    add(name + ".weight", 1, width, 1.0f);
    add(name + ".bias", 1, width, 0.0f);
  };
  add("embeddings.word.weight", shape.vocabulary, shape.embedding, 0.0f);
  add("embeddings.position.weight", shape.positions, shape.embedding, 0.0f);
  if (shape.types) add("embeddings.type.weight", shape.types, shape.embedding, 0.0f);
  norm("embeddings.norm", shape.embedding);
  if (shape.embedding != shape.width) linear("embeddings.project", shape.width, shape.embedding);
  for (int layer = 0; layer < shape.layers; ++layer) {
    const std::string name = "layers." + std::to_string(layer) + ".";
    for (const char* part : {"attention.query", "attention.key", "attention.value", "attention.output"}) linear(name + part, shape.width, shape.width);
    linear(name + "feed_forward.inner", shape.inner, shape.width);
    linear(name + "feed_forward.outer", shape.width, shape.inner);
    norm(name + "attention.norm", shape.width);
    norm(name + "feed_forward.norm", shape.width);
  }
  if (shape.head != LITEFT_HEAD_NONE) linear("head.dense", shape.width, shape.width);
  linear("classifier", shape.labels, shape.width);
  return stored;
}

// Texts in the flat form, with the vectors that a batch points into.
struct Texts {
  std::vector<std::int32_t> ids, types, positions, offsets{0};
  std::vector<std::uint8_t> attended;
  liteft_batch batch() const {
    return {static_cast<std::int32_t>(offsets.size()) - 1, ids.data(), types.data(), positions.data(), offsets.data(),
            attended.data()};
  }
  void add(std::mt19937& random, const liteft_shape& shape, int tokens) {
    for (int token = 0; token < tokens; ++token) {
      ids.push_back(static_cast<int>(random() % shape.vocabulary));
      types.push_back(shape.types ? static_cast<int>(random() % shape.types) : 0);
      positions.push_back(token);
      attended.push_back(token == tokens - 1 || random() % 8 != 0);
    }
    offsets.push_back(static_cast<int>(ids.size()));
  }
  Texts only(int text) const {
    Texts one;
    for (int token = offsets[text]; token < offsets[text + 1]; ++token) {
      one.ids.push_back(ids[token]);
      one.types.push_back(types[token]);
      one.positions.push_back(positions[token]);
      one.attended.push_back(attended[token]);
    }
    one.offsets.push_back(static_cast<int>(one.ids.size()));
    return one;
  }
};

std::vector<float> run(liteft_classifier* classifier, const Texts& texts, int labels) {
  std::vector<float> logits((texts.offsets.size() - 1) * labels, NAN);
  const liteft_batch batch = texts.batch();
  const int status = liteft_run(classifier, &batch, logits.data());
  if (status) std::printf("%s\n", liteft_last_error());
  EXPECT(status == 0);
  return logits;
}

liteft_classifier* create(const liteft_shape& shape, int precision, int threads, const char* instructions) {
  const Stored stored = random_weights(shape, 1);
  const std::vector<liteft_weight> weights = stored.list();
  liteft_classifier* made = nullptr;
  const int status = liteft_create(&shape, weights.data(), static_cast<int>(weights.size()), precision, threads,
                                   instructions, &made);
  if (status) std::printf("%s\n", liteft_last_error());
  EXPECT(status == 0);
  return made;
}

bool offered(const char* instructions) {
  liteft_shape nothing{};
  liteft_classifier* made = nullptr;
  const liteft_weight weight{"x", "x", nullptr, 0, 1, 1};
  liteft_create(&nothing, &weight, 1, LITEFT_FP32, 1, instructions, &made);
  return std::strstr(liteft_last_error(), "not offered") == nullptr;
}

const liteft_shape kShapes[] = {
    {2, 4, 64, 96, 64, 50, 40, 2, 3, LITEFT_CLS, LITEFT_HEAD_TANH, LITEFT_GELU, 1e-12f},
    {1, 3, 78, 130, 78, 50, 40, 0, 5, LITEFT_CLS, LITEFT_HEAD_RELU, LITEFT_RELU, 1e-5f},  // no width is a multiple of a vector
    {2, 2, 128, 64, 32, 50, 40, 2, 2, LITEFT_CLS, LITEFT_HEAD_GELU, LITEFT_GELU, 1e-12f},  // ELECTRA's narrow embeddings
    {3, 4, 64, 96, 64, 50, 40, 2, 70, LITEFT_MEAN, LITEFT_HEAD_NONE, LITEFT_GELU, 1e-12f},
};

void company_changes_nothing() {
  std::mt19937 random(2);
  for (const liteft_shape& shape : kShapes) {
    Texts texts;
    for (int text = 0; text < 23; ++text) texts.add(random, shape, 1 + static_cast<int>(random() % shape.positions));
    for (const char* instructions : {"portable", "avx2", "avx512"}) {
      if (!offered(instructions)) continue;
      for (int precision : {LITEFT_FP32, LITEFT_INT8}) {
        liteft_classifier* one = create(shape, precision, 1, instructions);
        liteft_classifier* three = create(shape, precision, 3, instructions);
        const std::vector<float> together = run(one, texts, shape.labels);
        EXPECT(run(three, texts, shape.labels) == together);
        for (int text = 0; text < 23; ++text) {
          const std::vector<float> expected(together.begin() + text * shape.labels,
                                            together.begin() + (text + 1) * shape.labels);
          EXPECT(run(one, texts.only(text), shape.labels) == expected);
          EXPECT(run(three, texts.only(text), shape.labels) == expected);
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

void instruction_sets_agree() {
  std::mt19937 random(3);
  for (const liteft_shape& shape : kShapes) {
    Texts texts;
    for (int text = 0; text < 9; ++text) texts.add(random, shape, 1 + static_cast<int>(random() % shape.positions));
    for (int precision : {LITEFT_FP32, LITEFT_INT8}) {
      liteft_classifier* reference = create(shape, precision, 1, "portable");
      const std::vector<float> expected = run(reference, texts, shape.labels);
      liteft_destroy(reference);
      for (const char* instructions : {"avx2", "avx512"}) {
        if (!offered(instructions)) continue;
        liteft_classifier* other = create(shape, precision, 2, instructions);
        const std::vector<float> found = run(other, texts, shape.labels);
        float most = 0.0f;
        for (std::size_t i = 0; i < found.size(); ++i) most = std::fmax(most, std::fabs(found[i] - expected[i]));
        // int8 rounds, so that a last bit before it may become a step of 1/127 after it.
        EXPECT(most < (precision == LITEFT_FP32 ? 1e-4f : 0.1f));
        liteft_destroy(other);
      }
    }
  }
}

void threads_share_a_classifier() {
  const liteft_shape& shape = kShapes[0];
  liteft_classifier* classifier = create(shape, LITEFT_INT8, 2, "");
  std::mt19937 random(4);
  std::vector<Texts> many(4);
  std::vector<std::vector<float>> expected;
  for (Texts& texts : many) {
    const int count = 1 + static_cast<int>(random() % 12);
    for (int text = 0; text < count; ++text) texts.add(random, shape, 1 + static_cast<int>(random() % shape.positions));
    expected.push_back(run(classifier, texts, shape.labels));
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
  liteft_destroy(classifier);
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
    if (random() % 20 == 0 && !texts.attended.empty()) std::fill(texts.attended.begin(), texts.attended.end(), 0);
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

void malformed_models_are_errors() {
  std::mt19937 random(6);
  for (int round = 0; round < 300; ++round) {
    liteft_shape shape = kShapes[0];
    Stored stored = random_weights(shape, 1);
    std::vector<liteft_weight> weights = stored.list();
    std::int32_t* numbers = &shape.layers;
    const int which = static_cast<int>(random() % 3);
    if (which == 0) numbers[random() % 12] = static_cast<int>(random() % 5) - 2 + 100 * static_cast<int>(random() % 2);
    if (which == 1) weights.erase(weights.begin() + random() % weights.size());
    if (which == 2) weights[random() % weights.size()].rows += 1;
    liteft_classifier* made = nullptr;
    const int status = liteft_create(&shape, weights.data(), static_cast<int>(weights.size()), LITEFT_INT8, 1, "", &made);
    EXPECT((status == 0) == (made != nullptr));
    if (which) EXPECT(status != 0);
    liteft_destroy(made);
  }
}

}  // namespace

int main() {
  EXPECT(liteft_abi() == LITEFT_ABI);
  std::printf("instructions: %s\n", liteft_instructions());
  company_changes_nothing();
  instruction_sets_agree();
  threads_share_a_classifier();
  malformed_batches_are_errors();
  malformed_models_are_errors();
  std::printf("%d failures\n", failures);
  return failures != 0;
}
