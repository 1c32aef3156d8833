// The C API: checks arguments and turns exceptions into error texts.

#include <chrono>
#include <cstring>
#include <memory>
#include <string>

#include "cpu/registry.h"
#include "engine/cuda_engine.h"
#include "engine/engine.h"
#include "engine/guarded.h"
#include "engine/refuse.h"
#include "engine/weights.h"
#include "liteft/liteft.h"

using namespace liteft;

struct liteft_classifier {
  std::unique_ptr<Runner> runner;
};

namespace {

const Kernels& choose_kernels(const char* wanted) {
  for (const Kernels* kernels : known_kernels()) {
    if (!kernels->available()) continue;
    if (!wanted || !*wanted || std::strcmp(wanted, kernels->name) == 0) return *kernels;
  }
  refuse(std::string("instructions '") + wanted + "' are not offered by this machine and library");
}

Precision checked_precision(int precision, const Kernels& kernels) {
  if (precision == LITEFT_FP16) refuse("fp16 is offered on a GPU alone");
  if (precision < LITEFT_FP32 || precision > LITEFT_INT8)
    refuse("precision " + std::to_string(precision) + " is unknown");
  if (precision == LITEFT_BF16 && !kernels.bf16) refuse(std::string("bf16 is not offered by ") + kernels.name);
  return static_cast<Precision>(precision);
}

void check_threads(int threads) {
  if (threads < 1 || threads > 1024) refuse("threads = " + std::to_string(threads) + " is not between 1 and 1024");
}

}  // namespace

int32_t liteft_abi(void) { return LITEFT_ABI; }

const char* liteft_version(void) { return LITEFT_VERSION; }

const char* liteft_last_error(void) { return last_error().c_str(); }

const char* liteft_instructions(void) {
  const char* name = "";
  guarded([&] { name = choose_kernels(nullptr).name; });
  return name;
}

double liteft_peak(int32_t precision, int32_t threads, const char* instructions) {
  double rate = 0.0;
  guarded([&] {
    check_threads(threads);
    const Kernels& kernels = choose_kernels(instructions);
    const Precision chosen = checked_precision(precision, kernels);
    Pool pool(threads);
    std::vector<double> operations(threads, 0.0);
    const auto rounds = [&](long count) {
      const auto begin = std::chrono::steady_clock::now();
      pool.run(threads, [&](int number) { operations[number] = kernels.bare_matmul(chosen, count); });
      return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    };
    long count = 1000;
    double seconds = rounds(count);
    while (seconds < 0.05 && count < 1L << 30) seconds = rounds(count *= 2);
    for (double each : operations) rate += each / seconds;
  });
  return rate;
}

int liteft_cuda_device(int32_t device, const char* cublas, char* text, int32_t size) {
  return guarded([&] {
    if (!text || size < 1) refuse("there is no place for the text");
    const std::string found = describe_gpu({.device = device, .cublas = cublas});
    text[found.copy(text, static_cast<std::size_t>(size) - 1)] = '\0';
  });
}

int liteft_create(const liteft_shape* shape, const liteft_weight* weights, int32_t count, int32_t precision,
                  int32_t threads, const char* instructions, liteft_classifier** created) {
  return guarded([&] {
    if (created) *created = nullptr;
    if (!shape || !weights || !created || count < 0) refuse("shape, weights and the place of the result are needed");
    check_threads(threads);
    const Kernels& kernels = choose_kernels(instructions);
    Model model = build(*shape, weights, count, checked_precision(precision, kernels), kernels);
    *created = new liteft_classifier{std::make_unique<Engine>(std::move(model), threads)};
  });
}

int liteft_create_cuda(const liteft_shape* shape, const liteft_weight* weights, int32_t count, int32_t precision,
                       int32_t device, int32_t slots, const char* cublas, const char* cache,
                       liteft_classifier** created) {
  return guarded([&] {
    if (created) *created = nullptr;
    if (!shape || !weights || !created || count < 0) refuse("shape, weights and the place of the result are needed");
    *created =
        new liteft_classifier{make_cuda_engine(*shape, weights, count, precision, {device, slots, cublas, cache})};
  });
}

int liteft_run(liteft_classifier* classifier, const liteft_batch* given, float* logits) {
  return guarded([&] {
    if (!classifier || !given) refuse("a classifier and a batch are needed");
    if (given->texts < 0 || !given->offsets) refuse("a batch without offsets, or with fewer than 0 texts");
    if (given->texts == 0) return;
    if (!given->ids) refuse("a batch without ids");
    if (!logits) refuse("there is no place for the logits");
    const ModelShape& shape = classifier->runner->shape();
    Batch batch{given->texts, given->ids, given->types, given->positions, given->offsets, given->key_mask};
    check(shape, batch);
    std::vector<std::int32_t> positions;
    if (!batch.positions && shape.position_padding_id >= 0) {
      positions = counted_positions(shape, batch);
      batch.positions = positions.data();
    }
    classifier->runner->run(batch, logits);
  });
}

int liteft_run_padded(liteft_classifier* classifier, const liteft_padded* padded, float* logits) {
  return guarded([&] {
    if (!classifier || !padded) refuse("a classifier and a batch are needed");
    if (padded->texts < 0 || padded->tokens < 0) refuse("a batch of fewer than 0 texts or tokens");
    if (padded->texts == 0) return;
    if (static_cast<std::int64_t>(padded->texts) * padded->tokens > (1 << 30))
      refuse("a batch of more than 2^30 tokens");
    if (!padded->ids || !padded->mask) refuse("a batch without ids or mask");
    if (!logits) refuse("there is no place for the logits");
    const ModelShape& shape = classifier->runner->shape();
    const Packed packed(shape, *padded);
    classifier->runner->run(packed.batch(), logits);
    if (shape.per_token()) packed.spread(logits, shape.labels);
  });
}

void liteft_destroy(liteft_classifier* classifier) {
  if (classifier && classifier->runner->is_whole()) delete classifier;
}

void liteft_counters(const liteft_classifier* classifier, uint64_t* calls, uint64_t* rows) {
  if (calls) *calls = classifier ? classifier->runner->calls() : 0;
  if (rows) *rows = classifier ? classifier->runner->rows() : 0;
}
