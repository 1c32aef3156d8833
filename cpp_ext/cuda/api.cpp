// The C API of libliteft_cuda: exceptions become error texts.

#include "cuda/api.h"

#include <unistd.h>

#include <memory>
#include <stdexcept>
#include <string>

#include "cuda/engine.h"
#include "engine/guarded.h"

using namespace liteft::cuda;
using liteft::guarded;
using liteft::last_error;

struct liteft_cuda {
  std::unique_ptr<AnyEngine> engine;
  pid_t process;  // CUDA does not follow a fork
};

int32_t liteft_cuda_abi(void) { return LITEFT_CUDA_ABI; }

const char* liteft_cuda_last_error(void) { return last_error().c_str(); }

int liteft_cuda_create(const liteft_shape* shape, const liteft_weight* weights, int32_t count, int32_t precision,
                       int32_t device, int32_t slots, const char* folders, const char* cache, liteft_cuda** created) {
  *created = nullptr;
  return guarded([&] {
    Settings settings;
    settings.device = device;
    settings.folders = folders ? folders : "";
    settings.cache = cache ? cache : "";
    settings.most_rows = rows_from_environment(settings.most_rows);
    settings.slots = checked_slots(slots);
    settings.policy = policy_from_environment(settings.policy);
    *created = new liteft_cuda{make_engine(*shape, weights, count, precision, settings), getpid()};
  });
}

int liteft_cuda_run(liteft_cuda* classifier, const liteft_batch* batch, float* logits) {
  return guarded([&] {
    if (!liteft_cuda_is_whole(classifier)) {
      throw std::runtime_error(
          "CUDA does not follow a fork, and this process was forked from the one that made the classifier; "
          "start processes by spawn, and make a classifier in each");
    }
    classifier->engine->run(*batch, logits);
  });
}

int liteft_cuda_time(liteft_cuda* classifier, const liteft_batch* batch, int32_t runs, double* milliseconds) {
  return guarded([&] {
    if (runs < 1 || !liteft_cuda_is_whole(classifier)) throw std::invalid_argument("nothing can be timed so");
    *milliseconds = classifier->engine->time(*batch, runs);
  });
}

int liteft_cuda_time_pass(liteft_cuda* classifier, const liteft_batch* batches, int32_t count, double* milliseconds) {
  return guarded([&] {
    if (count < 1 || !liteft_cuda_is_whole(classifier)) throw std::invalid_argument("nothing can be timed so");
    *milliseconds = classifier->engine->time_pass(batches, count);
  });
}

void liteft_cuda_destroy(liteft_cuda* classifier) {
  if (!classifier || !liteft_cuda_is_whole(classifier)) return;
  const BesideCaptures beside;  // memory is freed
  delete classifier;
}

int liteft_cuda_is_whole(const liteft_cuda* classifier) { return getpid() == classifier->process; }

int liteft_cuda_describe(int32_t device, const char* folders, char* text, int32_t size) {
  return guarded([&] {
    Settings settings;
    settings.device = device;
    settings.folders = folders ? folders : "";
    const std::string found = describe(settings);
    text[found.copy(text, static_cast<std::size_t>(size) - 1)] = '\0';
  });
}
