// libliteft on a real GPU, through its C API, against its own engine on the CPU in float32.
//
//   test_cuda [--quick] [part of a test's name]      --quick: little of everything, for compute-sanitizer
//
// Where there is no GPU it says why and exits with 77; with LITEFT_GPU=required that is a failure.

#include <cuda_runtime.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <fstream>
#include <limits>
#include <memory>
#include <random>
#include <thread>

#include "tests/cuda_session.h"
#include "tests/expect.h"
#include "tests/random_model.h"

namespace {

bool quick = false;

const liteft_shape kShapes[] = {
    {2, 2, 64, 128, 64, 500, 520, 2, 3, LITEFT_CLS, LITEFT_HEAD_TANH, LITEFT_GELU, -1, 1e-12f},
    {1, 2, 128, 192, 128, 500, 520, 0, 5, LITEFT_CLS, LITEFT_HEAD_RELU, LITEFT_RELU, 3,
     1e-5f},  // positions are counted
    {2, 2, 128, 64, 64, 500, 520, 2, 2, LITEFT_CLS, LITEFT_HEAD_GELU, LITEFT_GELU_TANH, -1,
     1e-12f},  // narrow embeddings
    {3, 2, 64, 128, 64, 500, 520, 2, 70, LITEFT_MEAN, LITEFT_HEAD_NONE, LITEFT_SILU, -1, 1e-12f},
    {2, 1, 64, 64, 64, 500, 520, 1, 1, LITEFT_MEAN, LITEFT_HEAD_TANH, LITEFT_GELU, 1, 1e-12f},
    {3, 12, 384, 1536, 384, 500, 520, 2, 2, LITEFT_CLS, LITEFT_HEAD_TANH, LITEFT_GELU, -1, 1e-12f},   // MiniLM
    {2, 12, 768, 3072, 768, 500, 520, 2, 2, LITEFT_MEAN, LITEFT_HEAD_TANH, LITEFT_GELU, -1, 1e-12f},  // BERT-base
    {1, 16, 1024, 4096, 1024, 500, 520, 1, 4, LITEFT_CLS, LITEFT_HEAD_NONE, LITEFT_GELU, -1, 1e-12f},
    {3, 12, 384, 1536, 384, 500, 520, 2, 9, LITEFT_NONE, LITEFT_HEAD_NONE, LITEFT_GELU, -1, 1e-12f},  // of tokens
};
constexpr int kPrecisions[] = {LITEFT_FP16, LITEFT_BF16};
constexpr float kNotANumber = std::numeric_limits<float>::quiet_NaN();

// Of the differences' root mean square to that of logits: weights and activations are rounded to 11 or 8 bits. A single
// one may be five times as far off.
double allowed(int precision) { return precision == LITEFT_FP16 ? 0.01 : 0.08; }
constexpr double kMostOfOne = 5.0;

struct Destroy {
  void operator()(liteft_classifier* classifier) const { liteft_destroy(classifier); }
};
using Owned = std::unique_ptr<liteft_classifier, Destroy>;

// Random weights whose matmuls keep the size of what goes in, so that softmax has more than one winner in wide models,
// too.
Stored weights_of(const liteft_shape& shape, bool int8 = false) {
  Stored stored = random_weights(shape, int8, 1);
  for (Stored::Weight& weight : stored.weights) {
    if (weight.type != LITEFT_TYPE_FLOAT32 || weight.rows < 65 || weight.name.rfind("embeddings", 0) == 0) continue;
    float* const values = reinterpret_cast<float*>(weight.values.data());
    const float scale = std::sqrt(64.0f / static_cast<float>(weight.rows));
    std::transform(values, values + weight.values.size() / sizeof(float), values, [=](float x) { return x * scale; });
  }
  return stored;
}

// int8 with scales as float32.
Stored widened(const Stored& stored) {
  Stored wide;
  for (const Stored::Weight& weight : stored.weights) {
    if (weight.type != LITEFT_TYPE_INT8) {
      if (weight.name.size() < 6 || weight.name.compare(weight.name.size() - 6, 6, ".scale"))
        wide.weights.push_back(weight);
      continue;
    }
    const std::string scale_name = weight.name.substr(0, weight.name.size() - 6) + "scale";
    const auto scale = std::find_if(stored.weights.begin(), stored.weights.end(),
                                    [&](const auto& each) { return each.name == scale_name; });
    const float* const scales = reinterpret_cast<const float*>(scale->values.data());
    std::vector<float> values(weight.values.size());
    for (std::size_t i = 0; i < values.size(); ++i) {
      values[i] = static_cast<signed char>(weight.values[i]) *
                  scales[scale->rows == 1 ? i % weight.columns : i / weight.columns];
    }
    wide.add_floats(weight.name, weight.rows, weight.columns, values);
  }
  return wide;
}

liteft_classifier* try_gpu(const liteft_shape& shape, int precision, const Stored& stored) {
  const std::vector<liteft_weight> weights = stored.list();
  liteft_classifier* made = nullptr;
  liteft_create_cuda(&shape, weights.data(), static_cast<int>(weights.size()), precision, 0, 0,
                     from_environment("LITEFT_CUBLAS"), from_environment("LITEFT_CUDA_CACHE"), &made);
  return made;
}

Owned on_gpu(const liteft_shape& shape, int precision, const Stored& stored) {
  liteft_classifier* const made = try_gpu(shape, precision, stored);
  if (!made) std::printf("%s\n", liteft_last_error()), std::exit(1);  // nothing after it would mean anything
  return Owned(made);
}
Owned on_gpu(const liteft_shape& shape, int precision) { return on_gpu(shape, precision, weights_of(shape)); }

Owned on_cpu(const liteft_shape& shape, const Stored& stored, int precision = LITEFT_FP32) {
  const std::vector<liteft_weight> weights = stored.list();
  liteft_classifier* made = nullptr;
  const int threads = static_cast<int>(std::clamp(std::thread::hardware_concurrency(), 1u, 16u));
  EXPECT(liteft_create(&shape, weights.data(), static_cast<int>(weights.size()), precision, threads, "", &made) == 0);
  return Owned(made);
}

std::vector<float> run(const Owned& classifier, const liteft_batch& batch, const liteft_shape& shape) {
  const int rows = shape.pooling == LITEFT_NONE ? batch.offsets[batch.texts] : batch.texts;
  std::vector<float> logits(static_cast<std::size_t>(rows) * shape.labels, NAN);
  if (liteft_run(classifier.get(), &batch, logits.data())) {
    std::printf("%s\n", liteft_last_error());
    EXPECT(!"a run that works");
  }
  return logits;
}
std::vector<float> run(const Owned& classifier, const Texts& texts, const liteft_shape& shape) {
  return run(classifier, texts.batch(), shape);
}

// Where positions are counted, as libliteft counts them: they are left out.
Texts random_texts(std::mt19937& random, const liteft_shape& shape, int count, int least, int most) {
  Texts texts;
  for (int text = 0; text < count; ++text)
    texts.add(random, shape, least + static_cast<int>(random() % (most - least + 1)));
  return texts;
}
liteft_batch batch_of(const Texts& texts, const liteft_shape& shape) {
  liteft_batch batch = texts.batch();
  if (shape.position_padding_id >= 0) batch.positions = nullptr;
  return batch;
}

double difference(const std::vector<float>& found, const std::vector<float>& expected) {
  double most = 0.0, errors = 0.0, squares = 0.0;
  const double count = static_cast<double>(expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    if (!std::isfinite(found[i])) return INFINITY;
    const double error = found[i] - expected[i];
    most = std::fmax(most, std::fabs(error));
    errors += error * error / count;
    squares += expected[i] * expected[i] / count;
  }
  return std::fmax(most / kMostOfOne, std::sqrt(errors)) / std::fmax(1.0, std::sqrt(squares));
}

void logits_are_those_of_the_cpu() {
  std::mt19937 random(1);
  struct Kind {
    int texts, least, most;
  };
  std::vector<Kind> kinds = {{1, 1, 1},    {1, 32, 32},  {1, 512, 512}, {3, 1, 512},
                             {17, 1, 200}, {256, 1, 60}, {4096, 1, 24}};
  if (quick) kinds = {{1, 1, 1}, {3, 1, 150}, {40, 1, 12}};
  double worst[4] = {};
  int number = 0;
  for (const liteft_shape& shape : kShapes) {
    if (quick && ++number > 4 && shape.pooling != LITEFT_NONE) continue;
    const Owned exact = on_cpu(shape, weights_of(shape));
    Owned tested[4];
    for (const int precision : kPrecisions) tested[precision] = on_gpu(shape, precision);
    for (const Kind& kind : kinds) {
      const Texts texts = random_texts(random, shape, kind.texts, kind.least, kind.most);
      liteft_batch batch = batch_of(texts, shape);
      for (const bool bare : {false, true}) {  // without types and hidden tokens
        if (bare) batch.types = nullptr, batch.key_mask = nullptr;
        const std::vector<float> expected = run(exact, batch, shape);
        for (const int precision : kPrecisions) {
          const std::vector<float> found = run(tested[precision], batch, shape);
          const double off = difference(found, expected);
          worst[precision] = std::fmax(worst[precision], off);
          if (!(off < allowed(precision)))
            std::printf("width %d, %d texts, precision %d: %.4f\n", shape.width, kind.texts, precision, off);
          EXPECT(off < allowed(precision));
          EXPECT(run(tested[precision], batch, shape) == found);  // again, by the graph that is there now
        }
      }
    }
  }
  std::printf("worst difference from the CPU in float32: fp16 %.4f, bf16 %.4f\n", worst[LITEFT_FP16],
              worst[LITEFT_BF16]);
}

void every_length_alone_and_in_company() {
  std::mt19937 random(2);
  for (const liteft_shape* shape : {&kShapes[0], &kShapes[3], &kShapes[5], &kShapes[8]}) {
    Texts texts;
    const int step = quick ? 67 : 1;
    for (int tokens = 1; tokens <= 512; tokens += step) texts.add(random, *shape, tokens);
    const int count = static_cast<int>(texts.offsets.size()) - 1;
    const std::vector<float> expected = run(on_cpu(*shape, weights_of(*shape)), texts, *shape);
    for (const int precision : kPrecisions) {
      const Owned tested = on_gpu(*shape, precision);
      const std::vector<float> together = run(tested, texts, *shape);
      EXPECT(difference(together, expected) < allowed(precision));
      std::vector<float> alone;
      for (int text = 0; text < count; ++text) {
        const std::vector<float> one = run(tested, texts.only(text), *shape);
        alone.insert(alone.end(), one.begin(), one.end());
      }
      // Matmuls of another size may be summed in another order, so not to the bit.
      const double off = difference(alone, together);
      std::printf("alone and in company: %.5f, width %d, precision %d\n", off, shape->width, precision);
      EXPECT(off < allowed(precision));
    }
    if (quick) break;
  }
}

void rectangles_are_packed() {
  const liteft_shape& shape = kShapes[0];
  std::mt19937 random(3);
  const int count = 40, tokens = 30;
  std::vector<std::int64_t> ids(count * tokens, -5), mask(count * tokens, 0), types(count * tokens, 1 << 20);
  Texts real;
  for (int text = 0; text < count; ++text) {
    const int first = text % 3 == 1 ? 4 : 0, last = first + 1 + static_cast<int>(random() % (tokens - first));
    for (int column = 0; column < last; ++column) {
      if (column < first && column) continue;  // column 0 asks even where it is hidden
      const int place = text * tokens + column;
      ids[place] = static_cast<int>(random() % shape.vocabulary),
      types[place] = static_cast<int>(random() % shape.types);
      mask[place] = column >= first;
      real.ids.push_back(static_cast<int>(ids[place])), real.types.push_back(static_cast<int>(types[place]));
      real.positions.push_back(column), real.key_mask.push_back(column >= first);
    }
    real.offsets.push_back(static_cast<int>(real.ids.size()));
  }
  const Owned tested = on_gpu(shape, LITEFT_FP16);
  std::vector<float> found(count * shape.labels, NAN);
  const liteft_padded padded{count, tokens, ids.data(), mask.data(), types.data()};
  EXPECT(liteft_run_padded(tested.get(), &padded, found.data()) == 0);
  EXPECT(found == run(tested, real, shape));
}

void weights_may_be_int8() {
  std::mt19937 random(4);
  for (const liteft_shape* shape : {&kShapes[0], &kShapes[3]}) {
    const Stored stored = random_weights(*shape, true, 1);
    const Texts texts = random_texts(random, *shape, 20, 1, 40);
    const std::vector<float> expected = run(on_cpu(*shape, widened(stored)), texts, *shape);
    EXPECT(difference(run(on_gpu(*shape, LITEFT_FP16, stored), texts, *shape), expected) < allowed(LITEFT_FP16));
  }
}

void matmuls_may_be_int8() {
  std::mt19937 random(4);
  for (const liteft_shape* shape : {&kShapes[0], &kShapes[3]}) {
    const Stored stored = random_weights(*shape, true, 1);
    const Texts texts = random_texts(random, *shape, 20, 1, 40);
    const std::vector<float> expected = run(on_cpu(*shape, stored, LITEFT_INT8), texts, *shape);
    const Owned tested = on_gpu(*shape, LITEFT_INT8, stored);
    const std::vector<float> found = run(tested, texts, *shape);
    EXPECT(difference(found, expected) < allowed(LITEFT_BF16));
    EXPECT(run(tested, texts, *shape) == found);
  }
  EXPECT(try_gpu(kShapes[0], LITEFT_INT8, weights_of(kShapes[0])) == nullptr);
  EXPECT(std::strstr(liteft_last_error(), "is not int8, as int8 matmuls need it") != nullptr);
}

void what_is_not_a_number_stays() {
  std::mt19937 random(5);
  for (const liteft_shape* shape : {&kShapes[0], &kShapes[3]}) {
    const Texts texts = random_texts(random, *shape, 3, 7, 7);
    for (const int precision : kPrecisions) {
      for (const std::string name :
           {"embeddings.norm.bias", "layers.0.attention.norm.weight", "layers.0.feed_forward.inner.bias"}) {
        Stored stored = weights_of(*shape);
        for (Stored::Weight& weight : stored.weights) {
          if (weight.name == name) std::memcpy(weight.values.data() + 9 * sizeof(float), &kNotANumber, sizeof(float));
        }
        for (const float value : run(on_gpu(*shape, precision, stored), texts, *shape)) EXPECT(std::isnan(value));
      }
    }
  }
}

void bad_batches_are_errors_and_the_next_run_works() {
  const liteft_shape& shape = kShapes[0];
  const Owned tested = on_gpu(shape, LITEFT_BF16);
  std::mt19937 random(6);
  const Texts texts = random_texts(random, shape, 5, 3, 30);
  const std::vector<float> expected = run(tested, texts, shape);
  for (int round = 0; round < 30; ++round) {
    Texts bad = texts;
    std::vector<std::int32_t>* const vectors[] = {&bad.ids, &bad.types, &bad.positions};
    std::vector<std::int32_t>& hit = *vectors[round % 3];
    hit[random() % hit.size()] = round % 2 ? -1 : 1 << 30;
    std::vector<float> logits(expected.size());
    const liteft_batch batch = bad.batch();
    EXPECT(liteft_run(tested.get(), &batch, logits.data()) != 0 && std::strlen(liteft_last_error()) > 0);
    EXPECT(run(tested, texts, shape) == expected);
  }
}

void threads_share_a_classifier() {
  const liteft_shape& shape = kShapes[quick ? 0 : 5];
  const Owned tested = on_gpu(shape, LITEFT_FP16);
  std::mt19937 random(7);
  std::vector<Texts> many(5);
  std::vector<std::vector<float>> expected;
  for (Texts& texts : many) {
    texts = random_texts(random, shape, 1 + static_cast<int>(random() % 60), 1, 80);
    expected.push_back(run(tested, texts, shape));
  }
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 8; ++thread) {
    threads.emplace_back([&, thread] {
      for (int round = 0; round < (quick ? 2 : 200); ++round) {
        const int which = (thread + round) % 5;
        const liteft_batch batch = many[which].batch();
        std::vector<float> logits(expected[which].size(), NAN);
        if (liteft_run(tested.get(), &batch, logits.data()) || logits != expected[which]) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT(wrong == 0);
}

std::size_t free_memory() {
  std::size_t free = 0, total = 0;
  EXPECT(cudaMemGetInfo(&free, &total) == cudaSuccess);
  return free;
}

// Others, CUDA among them, may take or give back some.
bool nearly(std::size_t free, std::size_t before) { return free + (16u << 20) >= before; }

// Of the process, in bytes.
long resident() {
  long pages = 0, resident_pages = 0;
  std::ifstream("/proc/self/statm") >> pages >> resident_pages;
  return resident_pages * sysconf(_SC_PAGESIZE);
}

void ten_thousand_runs_leave_nothing_behind() {
  const liteft_shape& shape = kShapes[0];
  std::mt19937 random(8);
  std::vector<Texts> many;
  for (int each = 0; each < 16; ++each) many.push_back(random_texts(random, shape, 1 + 7 * each, 1, 60));
  const Owned tested = on_gpu(shape, LITEFT_FP16);
  std::vector<std::vector<float>> expected;
  for (const Texts& texts : many) expected.push_back(run(tested, texts, shape));
  for (int round = 0; round < 200; ++round) run(tested, many[round % 16], shape);
  const std::size_t free = free_memory();
  const long held = resident();
  for (int round = 0; round < 10000; ++round) {
    const std::vector<float> found = run(tested, many[round % 16], shape);
    if (round % 97 == 0) EXPECT(found == expected[round % 16]);
  }
  EXPECT(nearly(free_memory(), free));
  EXPECT(resident() - held < 8 << 20);
  // Making and destroying leaves nothing either, once CUDA has what it keeps.
  const auto make = [&] { run(on_gpu(shape, LITEFT_FP16), many[3], shape); };
  make(), make();
  const std::size_t settled = free_memory();
  for (int round = 0; round < 20; ++round) make();
  EXPECT(nearly(free_memory(), settled));
}

// All the memory that is left, but for less than a megabyte.
class Hoard {
 public:
  Hoard() {
    for (std::size_t bytes = std::size_t{1} << 34; bytes >= 1 << 20;) {
      void* memory = nullptr;
      if (cudaMalloc(&memory, bytes) == cudaSuccess)
        taken_.push_back(memory);
      else
        bytes /= 2;
    }
    cudaGetLastError();
  }
  ~Hoard() {
    for (void* memory : taken_) cudaFree(memory);
  }
  Hoard(const Hoard&) = delete;
  Hoard& operator=(const Hoard&) = delete;

 private:
  std::vector<void*> taken_;
};

void memory_that_runs_out_is_an_error_and_the_next_run_works() {
  const liteft_shape& shape = kShapes[5];
  std::mt19937 random(9);
  const Texts texts = random_texts(random, shape, 64, 1, 60);
  const liteft_batch batch = texts.batch();
  const Owned tested = on_gpu(shape, LITEFT_FP16);
  const std::vector<float> expected =
      run(tested, texts, shape);  // another engine may have measured other algorithms as fastest
  std::atomic<int> failed{0}, wrong{0};
  {
    const Hoard hoard;
    const Stored stored = weights_of(shape);
    EXPECT(try_gpu(shape, LITEFT_FP16, stored) == nullptr);
    EXPECT(std::strstr(liteft_last_error(), "memory") != nullptr);
    std::vector<std::thread> threads;  // a request takes no memory of the GPU
    for (int thread = 0; thread < 8; ++thread) {
      threads.emplace_back([&] {
        for (int round = 0; round < 20; ++round) {
          std::vector<float> logits(expected.size(), NAN);
          if (liteft_run(tested.get(), &batch, logits.data()))
            ++failed;
          else if (logits != expected)
            ++wrong;
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  EXPECT(failed == 0 && wrong == 0);
  EXPECT(run(tested, texts, shape) == expected);
}

void a_forked_child_is_refused() {
  const liteft_shape& shape = kShapes[0];
  const Owned tested = on_gpu(shape, LITEFT_FP16);
  std::mt19937 random(10);
  const Texts texts = random_texts(random, shape, 1, 5, 5);
  const std::vector<float> expected = run(tested, texts, shape);
  std::fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    const liteft_batch batch = texts.batch();
    std::vector<float> logits(shape.labels);
    const bool refused =
        liteft_run(tested.get(), &batch, logits.data()) != 0 && std::strstr(liteft_last_error(), "fork");
    liteft_destroy(tested.get());
    _exit(refused ? 0 : 1);
  }
  int status = -1;
  EXPECT(waitpid(child, &status, 0) == child && status == 0);
  EXPECT(run(tested, texts, shape) == expected);
}

}  // namespace

int main(int count, char** arguments) {
  std::setvbuf(stdout, nullptr, _IOLBF, 1 << 12);
  quick = count > 1 && std::strcmp(arguments[1], "--quick") == 0;
  const char* const part = count > 1 + quick ? arguments[1 + quick] : "";
  if (const int status = look_for_gpu()) return status;
  struct {
    const char* name;
    void (*test)();
    bool quick;
  } const tests[] = {
#define TEST(name, quick) {#name, name, quick}
      TEST(logits_are_those_of_the_cpu, true),
      TEST(every_length_alone_and_in_company, true),
      TEST(rectangles_are_packed, true),
      TEST(weights_may_be_int8, true),
      TEST(matmuls_may_be_int8, true),
      TEST(what_is_not_a_number_stays, false),
      TEST(bad_batches_are_errors_and_the_next_run_works, false),
      TEST(threads_share_a_classifier, true),
      TEST(a_forked_child_is_refused, false),
      TEST(ten_thousand_runs_leave_nothing_behind, false),
      TEST(memory_that_runs_out_is_an_error_and_the_next_run_works, false),
  };
  int tested = 0;
  for (const auto& each : tests) {
    if ((quick && !each.quick) || !std::strstr(each.name, part)) continue;
    const int before = failures;
    each.test();
    ++tested;
    std::printf("%s %s\n", failures == before ? "good  " : "FAILED", each.name);
  }
  EXPECT(tested > 0);  // a name that no test has
  std::printf("%d failures\n", failures);
  return failures != 0;
}
