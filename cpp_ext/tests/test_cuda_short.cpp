// The whole forward pass of a short chunk in one kernel, on the emulated GPU, against the CPU engine in float32.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "tests/cuda_model.h"

namespace {

Settings by_one_kernel() {
  Settings settings = small(192);
  settings.policy = Policy::whole;
  return settings;
}

long runs() { return emulator::kernels_run("ShortModel<"); }

template <typename Body>
void for_every_model(const Body& body) {
  for (const auto& shapes : {std::vector<liteft_shape>(std::begin(kShapes), std::end(kShapes)),
                             std::vector<liteft_shape>(std::begin(kFusable), std::end(kFusable))}) {
    for (const liteft_shape& shape : shapes) {
      for (const int precision : kPrecisions) body(shape, precision);
    }
  }
}

// As on the CPU, and to the bit the same in any company and in any order of blocks and warps.
void one_kernel_computes_short_chunks() {
  std::mt19937 random(25);
  for_every_model([&](const liteft_shape& shape, int precision) {
    const auto engine = create(shape, precision, by_one_kernel());
    for (const int count : {1, 3, 12}) {
      const Texts texts = random_texts(random, shape, count, 10);
      const long before = runs();
      const std::vector<float> found = run(*engine, texts, shape);
      EXPECT(difference(found, by_cpu(shape, texts)) < allowed(precision));
      if (shape.embedding != shape.width) continue;  // step by step
      EXPECT(runs() == before + 1);
      EXPECT(run(*engine, texts, shape) == found);
      for (int text = 0; text < count; text += 2)
        EXPECT(run(*engine, texts.only(text), shape) == texts.logits_of(text, shape, found));
    }
  });
}

// With less shared memory, fewer weights are copied ahead and chunks are shorter, down to where none fits. No bit of a
// result depends on that.
void shared_memory_decides_how_far_weights_are_ahead() {
  std::mt19937 random(28);
  const liteft_shape& shape = kFusable[0];
  const Texts texts = random_texts(random, shape, 3, 9);
  const std::vector<float> expected = run(*create(shape, LITEFT_FP16, by_one_kernel()), texts, shape);
  emulator::set_capability(80);  // Hopper's kernels need what Hopper has
  for (const int kilobytes : {200, 176, 152, 128, 104, 64}) {
    emulator::set_shared(kilobytes << 10);
    const auto engine = create(shape, LITEFT_FP16, by_one_kernel());
    const long before = runs();
    const std::vector<float> found = run(*engine, texts, shape);
    EXPECT(runs() == before + (kilobytes > 64));
    EXPECT(kilobytes > 64 ? found == expected : difference(found, expected) < allowed(LITEFT_FP16));
  }
  emulator::set_shared(227 << 10);
  emulator::set_capability(90);
}

// A chunk leaves nothing behind for the next one, whatever their sizes.
void chunks_do_not_meet() {
  std::mt19937 random(26);
  const liteft_shape& shape = kFusable[0];
  const auto engine = create(shape, LITEFT_BF16, by_one_kernel());
  std::vector<Texts> chunks;
  for (const int count : {1, 12, 2, 14, 1, 1, 6}) chunks.push_back(random_texts(random, shape, count, 9));
  for (int round = 0; round < 3; ++round) {
    for (const Texts& texts : chunks) {
      const auto fresh = create(shape, LITEFT_BF16, by_one_kernel());
      EXPECT(run(*engine, texts, shape) == run(*fresh, texts, shape));
    }
  }
}

// A text whose token is no number has no numbers as logits, and its neighbours are the same to the bit.
void what_is_not_a_number_stays_in_its_text() {
  std::mt19937 random(27);
  for (const int of_shape : {0, 3, 5}) {
    const liteft_shape& shape = kShapes[of_shape];
    for (const float bad : {NAN, -NAN, INFINITY, -INFINITY}) {
      Stored stored = random_weights(shape, false, 1);
      constexpr int kToken = 7;
      for (Stored::Weight& weight : stored.weights) {
        if (weight.rows != shape.vocabulary) continue;
        float* row = reinterpret_cast<float*>(weight.values.data()) + kToken * weight.columns;
        std::fill(row, row + weight.columns, bad);
      }
      Texts texts = random_texts(random, shape, 5, 9);
      for (std::int32_t& id : texts.ids) id = id == kToken ? 8 : id;
      texts.key_mask.assign(texts.key_mask.size(), 1);
      for (const int precision : kPrecisions) {
        const auto engine = create(shape, precision, by_one_kernel(), &stored);
        const std::vector<float> clean = run(*engine, texts, shape);
        Texts dirty = texts;
        dirty.ids[dirty.offsets[2]] = kToken;
        for (int again = 0; again < 2; ++again) {
          const std::vector<float> found = run(*engine, dirty, shape);
          for (int text = 0; text < 5; ++text) {
            const std::vector<float> logits = texts.logits_of(text, shape, found);
            if (text == 2)
              EXPECT(std::all_of(logits.begin(), logits.end(), [](float x) { return std::isnan(x); }));
            else
              EXPECT(logits == texts.logits_of(text, shape, clean));
          }
        }
        EXPECT(run(*engine, texts, shape) == clean);
      }
    }
  }
}

}  // namespace

int main() {
  std::setvbuf(stdout, nullptr, _IOLBF, 1 << 12);
  const char* const seeds = std::getenv("LITEFT_TEST_SEEDS");
  for (int seed = 0; seed < (seeds ? std::atoi(seeds) : 2); ++seed) {
    emulator::set_seed(1000 + seed);
    one_kernel_computes_short_chunks();
    shared_memory_decides_how_far_weights_are_ahead();
    chunks_do_not_meet();
    what_is_not_a_number_stays_in_its_text();
  }
  return finish();
}
