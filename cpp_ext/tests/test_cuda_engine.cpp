// The whole CUDA library on the emulated GPU, against the CPU engine in float32: models, batches, threads, memory, caches.

#include <dlfcn.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

#include "cuda/api.h"
#include "cuda/engine.h"
#include "liteft/liteft.h"
#include "tests/emulator/emulator.h"
#include "tests/expect.h"
#include "tests/random_model.h"

namespace emulator = liteft::emulator;
using liteft::cuda::AnyEngine;
using liteft::cuda::Settings;

namespace {

const liteft_shape kShapes[] = {
    {2, 2, 64, 128, 64, 50, 40, 2, 3, LITEFT_CLS, LITEFT_HEAD_TANH, LITEFT_GELU, -1, 1e-12f},
    {1, 2, 128, 192, 128, 50, 40, 0, 5, LITEFT_CLS, LITEFT_HEAD_RELU, LITEFT_RELU, 3, 1e-5f},
    {2, 2, 128, 64, 64, 50, 40, 2, 2, LITEFT_CLS, LITEFT_HEAD_GELU, LITEFT_GELU_TANH, -1, 1e-12f},  // ELECTRA's narrow embeddings
    {3, 2, 64, 128, 64, 50, 40, 2, 70, LITEFT_MEAN, LITEFT_HEAD_NONE, LITEFT_SILU, -1, 1e-12f},
    {2, 1, 64, 64, 64, 50, 520, 1, 1, LITEFT_MEAN, LITEFT_HEAD_TANH, LITEFT_GELU, -1, 1e-12f},
};

constexpr int kPrecisions[] = {LITEFT_FP16, LITEFT_BF16};

std::vector<float> run(AnyEngine& engine, const liteft_batch& batch, int labels) {
  std::vector<float> logits(static_cast<std::size_t>(batch.texts) * labels, NAN);
  try {
    engine.run(batch, logits.data());
  } catch (const std::exception& error) {
    std::printf("%s\n", error.what());
    EXPECT(false);
  }
  return logits;
}
std::vector<float> run(AnyEngine& engine, const Texts& texts, int labels) { return run(engine, texts.batch(), labels); }

std::unique_ptr<AnyEngine> create(const liteft_shape& shape, int precision, Settings settings = {}, const Stored* stored = nullptr) {
  const Stored drawn = stored ? Stored{} : random_weights(shape, false, 1);
  const std::vector<liteft_weight> weights = (stored ? *stored : drawn).list();
  settings.folders = "/nowhere:" LITEFT_CUBLASLT;
  return liteft::cuda::make_engine(shape, weights.data(), static_cast<int>(weights.size()), precision, settings);
}

// Few rows a chunk, so that batches are cut.
Settings small(int most_rows) {
  Settings settings;
  settings.most_rows = most_rows;
  return settings;
}

std::vector<float> by_cpu(const liteft_shape& shape, const Texts& texts) {
  const Stored stored = random_weights(shape, false, 1);
  const std::vector<liteft_weight> weights = stored.list();
  liteft_classifier* made = nullptr;
  EXPECT(liteft_create(&shape, weights.data(), static_cast<int>(weights.size()), LITEFT_FP32, 1, "", &made) == 0);
  std::vector<float> logits((texts.offsets.size() - 1) * shape.labels, NAN);
  const liteft_batch batch = texts.batch();
  EXPECT(liteft_run(made, &batch, logits.data()) == 0);
  liteft_destroy(made);
  return logits;
}

Texts draw(std::mt19937& random, const liteft_shape& shape, int count, int longest) {
  Texts texts;
  for (int text = 0; text < count; ++text) texts.add(random, shape, 1 + static_cast<int>(random() % std::min(longest, shape.positions)));
  if (shape.counted_from < 0) return texts;
  for (std::size_t token = 0; token < texts.positions.size(); ++token) {  // some positions that were counted
    texts.positions[token] = std::min(texts.positions[token] + shape.counted_from + 1, shape.positions - 1);
  }
  return texts;
}

// The largest difference, relative to the root mean square of what was expected, or to 1 where that is less.
double difference(const std::vector<float>& found, const std::vector<float>& expected) {
  double most = 0.0, squares = 0.0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    if (!std::isfinite(found[i])) return INFINITY;
    most = std::fmax(most, std::fabs(found[i] - expected[i]));
    squares += expected[i] * expected[i] / expected.size();
  }
  return most / std::fmax(1.0, std::sqrt(squares));
}

// Activations and weights are rounded to 8 or 11 bits between kernels.
double allowed(int precision) { return precision == LITEFT_FP16 ? 0.04 : 0.15; }

void logits_are_those_of_the_cpu() {
  std::mt19937 random(1);
  double worst[4] = {};
  for (const liteft_shape& shape : kShapes) {
    for (const int precision : kPrecisions) {
      const auto engine = create(shape, precision, small(96));

      for (const int count : {1, 2, 3, 17, 120}) {
        const Texts texts = draw(random, shape, count, count == 120 ? 12 : 520);
        const std::vector<float> expected = by_cpu(shape, texts);
        const std::vector<float> found = run(*engine, texts, shape.labels);
        worst[precision] = std::fmax(worst[precision], difference(found, expected));
        EXPECT(difference(found, expected) < allowed(precision));
        EXPECT(run(*engine, texts, shape.labels) == found);  // again
      }
    }
  }
  std::printf("worst difference from the CPU in float32: fp16 %.4f, bf16 %.4f\n", worst[LITEFT_FP16], worst[LITEFT_BF16]);
}

// Without types, and without hidden tokens.
void what_is_optional_may_be_left_out() {
  std::mt19937 random(2);
  for (const liteft_shape& shape : kShapes) {
    const auto engine = create(shape, LITEFT_FP16, small(64));
    Texts texts = draw(random, shape, 9, 40);
    for (const bool types : {false, true}) {
      for (const bool attended : {false, true}) {
        liteft_batch batch = texts.batch();
        Texts same = texts;
        if (!types) batch.types = nullptr, std::fill(same.types.begin(), same.types.end(), 0);
        if (!attended) batch.attended = nullptr, std::fill(same.attended.begin(), same.attended.end(), 1);
        EXPECT(difference(run(*engine, batch, shape.labels), by_cpu(shape, same)) < allowed(LITEFT_FP16));
      }
    }
  }
}

void alone_equals_in_company() {
  std::mt19937 random(3);
  for (const liteft_shape& shape : kShapes) {
    for (const int precision : kPrecisions) {
      const auto engine = create(shape, precision, small(128)), large = create(shape, precision, small(1024));
      const Texts texts = draw(random, shape, 60, 30);
      const std::vector<float> together = run(*engine, texts, shape.labels);
      EXPECT(difference(run(*large, texts, shape.labels), together) < allowed(precision) / 2);
      for (int text = 0; text < 60; text += 7) {
        const std::vector<float> in_company(together.begin() + text * shape.labels, together.begin() + (text + 1) * shape.labels);
        // Products of another bucket may be summed in another order, so not to the bit.
        const std::vector<float> alone = run(*engine, texts.only(text), shape.labels);
        for (int label = 0; label < shape.labels; ++label) {
          EXPECT(std::fabs(alone[label] - in_company[label]) < allowed(precision) / 2 * (1.0 + std::fabs(alone[label])));
        }
      }
    }
  }
}

void many_threads_share_an_engine() {
  const liteft_shape& shape = kShapes[0];
  Settings settings = small(64);
  settings.most_slots = 3;
  const auto engine = create(shape, LITEFT_BF16, settings);
  std::mt19937 random(4);
  std::vector<Texts> many(5);
  std::vector<std::vector<float>> expected;
  for (Texts& texts : many) {
    texts = draw(random, shape, 1 + static_cast<int>(random() % 20), 30);
    expected.push_back(run(*engine, texts, shape.labels));
  }
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 8; ++thread) {
    threads.emplace_back([&, thread] {
      for (int round = 0; round < 15; ++round) {
        const int which = (thread + round) % 5;
        if (run(*engine, many[which], shape.labels) != expected[which]) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT(wrong == 0);
}

void a_thousand_runs_leave_nothing_behind() {
  const liteft_shape shape{1, 1, 64, 64, 64, 50, 40, 2, 2, LITEFT_CLS, LITEFT_HEAD_NONE, LITEFT_GELU, -1, 1e-12f};
  const emulator::Live before = emulator::live();
  {
    const auto engine = create(shape, LITEFT_FP16, small(64));
    std::mt19937 random(5);
    std::vector<Texts> many;
    for (int each = 0; each < 8; ++each) many.push_back(draw(random, shape, 1 + each, 8));
    for (const Texts& texts : many) run(*engine, texts, shape.labels);
    const emulator::Live warm = emulator::live();
    for (int round = 0; round < 1000; ++round) run(*engine, many[round % 8], shape.labels);
    EXPECT(emulator::live() == warm);  // the bytes ever taken, too
  }
  emulator::Live after = emulator::live();
  after.bytes = before.bytes;
  EXPECT(after == before);
}

// However many kinds of batches there are, graphs do not pile up.
void graphs_are_bounded() {
  const liteft_shape shape{1, 1, 64, 64, 64, 50, 40, 2, 2, LITEFT_CLS, LITEFT_HEAD_NONE, LITEFT_GELU, -1, 1e-12f};
  Settings settings = small(128);
  settings.most_graphs = 4;
  const auto engine = create(shape, LITEFT_FP16, settings);
  std::mt19937 random(6);
  const emulator::Live before = emulator::live();
  for (int count = 1; count < 60; count += 5) {
    const Texts texts = draw(random, shape, count, 2);
    EXPECT(difference(run(*engine, texts, shape.labels), by_cpu(shape, texts)) < allowed(LITEFT_FP16));
    EXPECT(emulator::live().graphs - before.graphs <= 4);
  }
}

// Two batches of one bucket: the second one runs what was captured for the first.
void a_graph_serves_every_batch_of_its_bucket() {
  const liteft_shape& shape = kShapes[0];
  const auto engine = create(shape, LITEFT_FP16, small(64));
  std::mt19937 random(7);
  Texts first, second;
  for (int tokens : {9, 20, 2}) first.add(random, shape, tokens);
  for (int tokens : {1, 25}) second.add(random, shape, tokens);
  run(*engine, first, shape.labels);
  const emulator::Live before = emulator::live();
  EXPECT(difference(run(*engine, second, shape.labels), by_cpu(shape, second)) < allowed(LITEFT_FP16));
  EXPECT(emulator::live() == before);
}

void memory_that_runs_out_is_an_error_and_no_end() {
  const liteft_shape& shape = kShapes[0];
  std::mt19937 random(8);
  const Texts texts = draw(random, shape, 5, 20);
  const liteft_batch batch = texts.batch();
  const emulator::Live before = emulator::live();
  int refused = 0;
  for (int count = 0; ; ++count) {  // every allocation of making an engine fails once
    emulator::fail_allocation_after(count);
    try {
      create(shape, LITEFT_FP16, small(64));
      break;
    } catch (const liteft::cuda::OutOfMemory& error) {
      EXPECT(std::strstr(error.what(), "out of memory") != nullptr);
      ++refused;
    }
    emulator::Live after = emulator::live();
    after.bytes = before.bytes;
    EXPECT(after == before);
  }
  EXPECT(refused > 40);
  emulator::fail_allocation_after(-1);
  Settings settings = small(64);
  settings.most_slots = 2;
  const auto engine = create(shape, LITEFT_FP16, settings);
  const std::vector<float> expected = run(*engine, texts, shape.labels);
  // A second slot is made while the first one is lent.
  std::atomic<int> failed{0}, answered{0};
  for (int count = 0; count < 12; ++count) {
    emulator::fail_allocation_after(count);
    std::vector<std::thread> threads;
    for (int thread = 0; thread < 2; ++thread) {
      threads.emplace_back([&] {
        std::vector<float> logits(expected.size(), NAN);
        try {
          engine->run(batch, logits.data());
          EXPECT(logits == expected);
          ++answered;
        } catch (const liteft::cuda::OutOfMemory&) {
          ++failed;
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    emulator::fail_allocation_after(-1);
    EXPECT(run(*engine, texts, shape.labels) == expected);
  }
  EXPECT(answered > 0);
}

// Weights that are NaN make logits that are NaN.
void what_is_not_a_number_stays() {
  std::mt19937 random(9);
  constexpr float kNotANumber = std::numeric_limits<float>::quiet_NaN();
  for (const liteft_shape& shape : kShapes) {
    const Texts texts = draw(random, shape, 3, 7);
    for (const int precision : kPrecisions) {
      for (const std::string name : {"embeddings.norm.bias", "layers.0.attention.norm.weight", "layers.0.feed_forward.inner.bias",
                                     "layers.0.attention.output.bias", "head.dense.bias", "classifier.weight"}) {
        if (name == "head.dense.bias" && shape.head == LITEFT_HEAD_NONE) continue;
        Stored stored = random_weights(shape, false, 1);
        for (Stored::Weight& weight : stored.weights) {
          const std::size_t place = name == "classifier.weight" ? 0 : 9;
          if (weight.name == name) std::memcpy(weight.values.data() + place * sizeof(float), &kNotANumber, sizeof(float));
        }
        const auto engine = create(shape, precision, small(64), &stored);
        const std::vector<float> logits = run(*engine, texts, shape.labels);
        for (std::size_t i = 0; i < logits.size(); ++i) {
          EXPECT(std::isnan(logits[i]) == (name != "classifier.weight" || i % shape.labels == 0));
        }
      }
    }
  }
}

// What was never written, or written as zeros, decides nothing.
void no_result_leans_on_zeros() {
  std::mt19937 random(10);
  for (const liteft_shape& shape : kShapes) {
    const Texts texts = draw(random, shape, 20, 20);
    const std::vector<float> expected = run(*create(shape, LITEFT_BF16, small(64)), texts, shape.labels);
    emulator::poison_instead_of_zeros(true);
    EXPECT(run(*create(shape, LITEFT_BF16, small(64)), texts, shape.labels) == expected);
    emulator::poison_instead_of_zeros(false);
  }
}

void algorithms_are_kept_and_bad_files_survived() {
  const std::filesystem::path folder = std::filesystem::temp_directory_path() / ("liteft-cuda-" + std::to_string(getpid()));
  const liteft_shape& shape = kShapes[3];
  std::mt19937 random(11);
  const Texts texts = draw(random, shape, 30, 20);
  Settings settings = small(64);
  settings.cache = (folder / "deep" / "down").string();
  const std::vector<float> expected = run(*create(shape, LITEFT_BF16, settings), texts, shape.labels);
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(settings.cache)) files.push_back(entry.path());
  EXPECT(files.size() == 1);
  const auto text_of = [&] {
    std::ifstream file(files.front());
    return std::string(std::istreambuf_iterator<char>(file), {});
  };
  const std::string kept = text_of();
  EXPECT(std::count(kept.begin(), kept.end(), '\n') > 10);
  EXPECT(files.front().filename().string().find("Emulated-GPU") != std::string::npos);

  // What is kept is not learnt again: no event is made.
  const auto written = std::filesystem::last_write_time(files.front());
  {
    const auto engine = create(shape, LITEFT_BF16, settings);
    EXPECT(run(*engine, texts, shape.labels) == expected);
    EXPECT(std::filesystem::last_write_time(files.front()) == written);
  }
  std::vector<std::string> bad = {"", "nonsense", kept.substr(0, kept.size() / 2), std::string(1000, '\0')};
  std::string changed = kept;
  for (std::size_t i = 7; i < changed.size(); i += 31) changed[i] = changed[i] == '1' ? '7' : '1';
  bad.push_back(changed);
  for (const std::string& content : bad) {
    std::ofstream(files.front()) << content;
    EXPECT(run(*create(shape, LITEFT_BF16, settings), texts, shape.labels) == expected);
    EXPECT(text_of() == kept);  // whole again
  }
  // Algorithms that the library does not take any more are learnt anew.
  void* const library = dlopen(LITEFT_CUBLASLT "/libcublasLt.so.13", RTLD_NOW | RTLD_NOLOAD);
  EXPECT(library != nullptr);
  reinterpret_cast<void (*)()>(dlsym(library, "emulated_cublaslt_renew"))();
  EXPECT(run(*create(shape, LITEFT_BF16, settings), texts, shape.labels) == expected);
  EXPECT(text_of() != kept && text_of().size() == kept.size());
  std::filesystem::remove(files.front());
  std::filesystem::permissions(settings.cache, std::filesystem::perms::owner_read | std::filesystem::perms::owner_exec);
  EXPECT(run(*create(shape, LITEFT_BF16, settings), texts, shape.labels) == expected);
  std::filesystem::remove_all(folder);
}

// No product is learnt, and no file written, once the engine is made.
void nothing_is_learnt_within_a_run() {
  const liteft_shape& shape = kShapes[0];
  const auto engine = create(shape, LITEFT_FP16, small(64));
  std::mt19937 random(12);
  for (const int count : {1, 5, 30}) {
    const Texts texts = draw(random, shape, count, 2);
    run(*engine, texts, shape.labels);
  }
  EXPECT(emulator::live().events == 0);
}

void what_cannot_run_is_refused() {
  const auto refused = [](const liteft_shape& shape, int device, const char* part) {
    const Stored stored = random_weights(shape, false, 1);
    const std::vector<liteft_weight> weights = stored.list();
    liteft_cuda* made = nullptr;
    const int status = liteft_cuda_create(&shape, weights.data(), static_cast<int>(weights.size()), LITEFT_BF16, device, LITEFT_CUBLASLT, "", &made);
    const bool said = std::strstr(liteft_cuda_last_error(), part) != nullptr;
    if (!said) std::printf("'%s' does not say '%s'\n", liteft_cuda_last_error(), part);
    return status != 0 && made == nullptr && said;
  };
  liteft_shape odd = kShapes[0];
  EXPECT(refused(kShapes[0], 1, "there is no GPU 1 among 1"));
  odd.width = odd.embedding = 96, odd.heads = 3;
  EXPECT(refused(odd, 0, "as width, not 96"));
  odd = kShapes[0], odd.heads = 4;
  EXPECT(refused(odd, 0, "heads of 32 or 64, not 16"));
  odd = kShapes[0], odd.inner = 100;
  EXPECT(refused(odd, 0, "as inner, not 100"));
  // Positions that are given allow texts of any length; rows of a chunk do not.
  const auto engine = create(kShapes[0], LITEFT_BF16, small(64));
  std::mt19937 random(13);
  Texts texts;
  texts.add(random, kShapes[0], 10);
  texts.add(random, kShapes[0], 65);
  for (std::int32_t& position : texts.positions) position %= kShapes[0].positions;
  std::vector<float> logits(2 * kShapes[0].labels);
  std::string said;
  try {
    engine->run(texts.batch(), logits.data());
  } catch (const std::invalid_argument& error) {
    said = error.what();
  }
  EXPECT(said.find("text 1 has 65 tokens") != std::string::npos);
}

// The way that libliteft goes.
void the_c_api_runs_a_batch() {
  EXPECT(liteft_cuda_abi() == LITEFT_CUDA_ABI);
  const liteft_shape& shape = kShapes[0];
  const Stored stored = random_weights(shape, false, 1);
  const std::vector<liteft_weight> weights = stored.list();
  liteft_cuda* made = nullptr;
  EXPECT(liteft_cuda_create(&shape, weights.data(), static_cast<int>(weights.size()), LITEFT_FP16, 0, LITEFT_CUBLASLT, nullptr, &made) == 0);
  EXPECT(std::strstr(liteft_cuda_about(made), "Emulated GPU, compute capability 9.0") != nullptr);
  std::mt19937 random(14);
  const Texts texts = draw(random, shape, 12, 40);
  std::vector<float> logits(12 * shape.labels, NAN);
  const liteft_batch batch = texts.batch();
  EXPECT(liteft_cuda_run(made, &batch, logits.data()) == 0);
  EXPECT(difference(logits, by_cpu(shape, texts)) < allowed(LITEFT_FP16));
  liteft_cuda_destroy(made);
  liteft_cuda_destroy(nullptr);
}

}  // namespace

int main() {
  std::setvbuf(stdout, nullptr, _IOLBF, 1 << 12);
  the_c_api_runs_a_batch();
  logits_are_those_of_the_cpu();
  what_is_optional_may_be_left_out();
  alone_equals_in_company();
  many_threads_share_an_engine();
  a_thousand_runs_leave_nothing_behind();
  graphs_are_bounded();
  a_graph_serves_every_batch_of_its_bucket();
  memory_that_runs_out_is_an_error_and_no_end();
  what_is_not_a_number_stays();
  no_result_leans_on_zeros();
  algorithms_are_kept_and_bad_files_survived();
  nothing_is_learnt_within_a_run();
  what_cannot_run_is_refused();
  const std::string fault = emulator::take_fault();
  if (!fault.empty()) std::printf("%s\n", fault.c_str());
  EXPECT(fault.empty());
  const emulator::Live left = emulator::live();
  EXPECT(left.allocations == 0 && left.pinned == 0 && left.streams == 0 && left.events == 0 && left.graphs == 0);
  std::printf("%d failures\n", failures);
  return failures != 0;
}
