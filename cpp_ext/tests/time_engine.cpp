// How fast the engine is on this machine, and how near its limit: a model of MiniLM-L6's sizes on random texts.
//
//   time_engine [threads] [instructions] [precision] [pooling] [batch]
//
// Instructions, precision and pooling may be "", for the best, for all and for [CLS]; a batch is a part of a printed
// name.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "tests/random_model.h"

namespace {

constexpr int kRounds = 11;

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// Operations of the matmuls of one text of `tokens`, attention included, after the last layer's cut to [CLS].
double operations(const liteft_shape& shape, double tokens) {
  const double width = shape.width, inner = shape.inner;
  const double layer_row = 2 * (4 * width * width + 2 * width * inner), attention_row = 4 * tokens * width;
  if (shape.pooling != LITEFT_CLS) return shape.layers * tokens * (layer_row + attention_row);
  const double cut_row = 2 * 2 * width * width;
  const double cut_text = layer_row - cut_row + attention_row;
  return (shape.layers - 1) * tokens * (layer_row + attention_row) + tokens * cut_row + cut_text;
}

}  // namespace

int main(int count, char** arguments) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  const int threads = count > 1 ? std::atoi(arguments[1]) : 2;
  const char* instructions = count > 2 ? arguments[2] : "";
  liteft_shape shape{6, 12, 384, 1536, 384, 30522, 512, 0, 2, LITEFT_CLS, LITEFT_HEAD_TANH, LITEFT_GELU, -1, 1e-12f};
  const std::string pooling = count > 4 ? arguments[4] : "cls";
  if (pooling == "mean") shape.pooling = LITEFT_MEAN, shape.head = LITEFT_HEAD_NONE;
  if (pooling == "none") shape.pooling = LITEFT_NONE, shape.head = LITEFT_HEAD_NONE, shape.labels = 9;
  const char* names[] = {"fp32", "bf16", "int8"};
  const char* only = count > 3 ? arguments[3] : "";
  const char* wanted = count > 5 ? arguments[5] : "";
  for (int precision : {LITEFT_INT8, LITEFT_BF16, LITEFT_FP32}) {
    if (*only && std::strcmp(only, names[precision])) continue;
    const double peak = liteft_peak(precision, threads, instructions);
    if (peak == 0.0) continue;
    const Stored stored = random_weights(shape, precision == LITEFT_INT8, 1);
    const std::vector<liteft_weight> weights = stored.list();
    liteft_classifier* classifier = nullptr;
    if (liteft_create(&shape, weights.data(), static_cast<int>(weights.size()), precision, threads, instructions,
                      &classifier)) {
      std::printf("%s\n", liteft_last_error());
      return 1;
    }
    std::printf("%s, %d threads, limit %.0f GOP/s\n", names[precision], threads, peak / 1e9);
    const struct {
      const char* name;
      int texts, least, most;
    } batches[] = {
        {"32 texts of 10 to 100 tokens", 32, 10, 100},
        {"128 texts of 10 to 100 tokens", 128, 10, 100},
        {"32 texts of 25 tokens", 32, 25, 25},
        {"32 texts of 128 tokens", 32, 128, 128},
        {"8 texts of 256 tokens", 8, 256, 256},
        {"8 texts of 384 tokens", 8, 384, 384},
        {"1 text of 11 tokens", 1, 11, 11},
        {"1 text of 25 tokens", 1, 25, 25},
        {"1 text of 128 tokens", 1, 128, 128},
    };
    for (const auto& given : batches) {
      if (!std::strstr(given.name, wanted)) continue;
      std::mt19937 random(2);
      Texts texts;
      double work = 0.0;
      for (int text = 0; text < given.texts; ++text) {
        const int tokens = given.least + static_cast<int>(random() % (given.most - given.least + 1));
        texts.add(random, shape, tokens);
        work += operations(shape, tokens);
      }
      liteft_batch batch = texts.batch();
      batch.types = nullptr;
      batch.key_mask = nullptr;
      std::vector<float> logits(texts.logit_count(shape));
      const int repeats = 1 + 16 / given.texts;
      std::vector<double> seconds;
      for (int round = 0; round < kRounds; ++round) {
        const double begin = now();
        for (int repeat = 0; repeat < repeats; ++repeat) liteft_run(classifier, &batch, logits.data());
        seconds.push_back((now() - begin) / repeats);
      }
      std::nth_element(seconds.begin(), seconds.begin() + kRounds / 2, seconds.end());
      const double median = seconds[kRounds / 2];
      std::printf("  %-30s %8.2f ms %8.0f texts/s %7.0f GOP/s %5.1f%% of the limit\n", given.name, 1e3 * median,
                  given.texts / median, work / median / 1e9, 100 * work / median / peak);
    }
    liteft_destroy(classifier);
  }
}
