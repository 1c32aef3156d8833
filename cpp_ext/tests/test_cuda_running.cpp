// The CUDA library on the emulated GPU: threads, memory and graphs, however long it runs.

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "cuda/api.h"
#include "tests/cuda_model.h"

namespace {

void many_threads_share_an_engine() {
  const liteft_shape& shape = kShapes[0];
  Settings settings = small(64);
  settings.slots = 3;
  const auto engine = create(shape, LITEFT_BF16, settings);
  std::mt19937 random(4);
  std::vector<Texts> many(5);
  std::vector<std::vector<float>> expected;
  for (Texts& texts : many) {
    texts = random_texts(random, shape, 1 + static_cast<int>(random() % 20), 30);
    expected.push_back(run(*engine, texts, shape));
  }
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 8; ++thread) {
    threads.emplace_back([&, thread] {
      for (int round = 0; round < 5; ++round) {
        const int which = (thread + round) % 5;
        if (run(*engine, many[which], shape) != expected[which]) ++wrong;
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
    for (int each = 0; each < 8; ++each) many.push_back(random_texts(random, shape, 1 + each, 8));
    for (const Texts& texts : many) run(*engine, texts, shape);
    const emulator::Live warm = emulator::live();
    for (int round = 0; round < 1000; ++round) run(*engine, many[round % 8], shape);
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
    const Texts texts = random_texts(random, shape, count, 2);
    EXPECT(difference(run(*engine, texts, shape), by_cpu(shape, texts)) < allowed(LITEFT_FP16));
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
  run(*engine, first, shape);
  const emulator::Live before = emulator::live();
  EXPECT(difference(run(*engine, second, shape), by_cpu(shape, second)) < allowed(LITEFT_FP16));
  EXPECT(emulator::live() == before);
}

// Pinned memory is not written again while a copy from it is on its way.
void a_run_that_fails_leaves_no_work_behind() {
  const liteft_shape& shape = kShapes[0];
  const auto engine = create(shape, LITEFT_FP16, small(64));
  std::mt19937 random(15);
  const Texts texts = random_texts(random, shape, 4, 12);
  const std::vector<float> expected = run(*engine, texts, shape);
  const emulator::Live before = emulator::live();
  std::vector<float> logits(expected.size());
  emulator::fail_graph();
  bool failed = false;
  try {
    engine->run(texts.batch(), logits.data());
  } catch (const std::runtime_error&) {
    failed = true;
  }
  EXPECT(failed && emulator::pending() == 0);
  EXPECT(emulator::live() == before);
  EXPECT(run(*engine, texts, shape) == expected);
}

// Of a capture within which something throws, nothing stays, and the stream can be captured again.
void a_capture_that_fails_leaves_nothing_behind() {
  const emulator::Live before = emulator::live();
  cudaStream_t stream = nullptr;
  EXPECT(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) == cudaSuccess);
  {
    liteft::cuda::DeviceBuffer memory(64);
    const auto clear = [&] { liteft::cuda::check(cudaMemsetAsync(memory.as(), 0, 64, stream), "filling"); };
    std::string said;
    try {
      liteft::cuda::captured(stream, [&] {
        clear();
        throw std::runtime_error("on purpose");
      });
    } catch (const std::runtime_error& error) {
      said = error.what();
    }
    EXPECT(said == "on purpose");
    EXPECT(emulator::live().graphs == before.graphs);
    liteft::cuda::captured(stream, clear).launch(stream);
    EXPECT(cudaStreamSynchronize(stream) == cudaSuccess);
    EXPECT(emulator::live().graphs == before.graphs);
  }
  EXPECT(cudaStreamDestroy(stream) == cudaSuccess);
}

void memory_that_runs_out_is_an_error_and_no_end() {
  const liteft_shape& shape = kShapes[0];
  const emulator::Live before = emulator::live();
  int refused = 0;
  for (int count = 0;; ++count) {  // every allocation of making an engine fails once
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
}

// Two runs at a time if there is memory for them, else one; a number that was asked for is an error without memory.
void slots_are_made_with_the_engine_and_others_wait() {
  const liteft_shape& shape = kShapes[0];
  std::mt19937 random(8);
  const Texts texts = random_texts(random, shape, 5, 20);
  Settings one = small(64);
  one.slots = 1;
  emulator::fail_allocation_after(1 << 20);
  const auto allocations = [&](const Settings& settings) {  // that making an engine takes
    const emulator::Live before = emulator::live();
    const auto engine = create(shape, LITEFT_FP16, settings);
    return emulator::live().allocations - before.allocations + emulator::live().pinned - before.pinned;
  };
  const long first = allocations(one), both = allocations(small(64));
  emulator::fail_allocation_after(-1);
  EXPECT(both > first);
  for (long count = first; count < both; count += 4) {
    emulator::fail_allocation_after(static_cast<int>(count));
    const auto engine = create(shape, LITEFT_FP16, small(64));
    emulator::fail_allocation_after(-1);
    const std::vector<float> expected = run(*engine, texts, shape);
    const emulator::Live before = emulator::live();
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (int thread = 0; thread < 4; ++thread) {
      threads.emplace_back([&] {
        for (int round = 0; round < 2; ++round) wrong += run(*engine, texts, shape) != expected;
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT(wrong == 0 && emulator::live() == before);
  }
  Settings two = small(64);
  two.slots = 2;
  emulator::fail_allocation_after(static_cast<int>(first));
  bool refused = false;
  try {
    create(shape, LITEFT_FP16, two);
  } catch (const liteft::cuda::OutOfMemory&) {
    refused = true;
  }
  emulator::fail_allocation_after(-1);
  EXPECT(refused);
}

// As many slots as are asked for or, if that is left open, as many as the environment says.
void a_number_of_slots_may_be_asked_for() {
  const liteft_shape& shape = kShapes[0];
  const Stored stored = random_weights(shape, false, 1);
  const std::vector<liteft_weight> weights = stored.list();
  const auto streams = [&](int slots) -> long {  // one for each slot; -1 after an error
    liteft_cuda* made = nullptr;
    emulator::skip_work(true);
    const int failed = liteft_cuda_create(&shape, weights.data(), static_cast<int>(weights.size()), LITEFT_FP16, 0,
                                          slots, LITEFT_CUBLASLT, "", &made);
    emulator::skip_work(false);
    const long count = emulator::live().streams;
    liteft_cuda_destroy(made);
    return failed ? -1 : count;
  };
  const auto refused = [&](int slots, const char* why) {
    return streams(slots) == -1 && std::strstr(liteft_cuda_last_error(), why) != nullptr;
  };
  setenv("LITEFT_CUDA_ROWS", "256", 1);
  EXPECT(streams(0) == 2 && streams(1) == 1 && streams(4) == 4);
  EXPECT(refused(-1, "slots = -1 is not between 1 and 64") && refused(65, "slots = 65 is not between 1 and 64"));
  setenv("LITEFT_CUDA_SLOTS", "3", 1);
  EXPECT(streams(0) == 3 && streams(1) == 1);
  for (const char* bad : {"0", "65", "two"}) {
    setenv("LITEFT_CUDA_SLOTS", bad, 1);
    EXPECT(refused(0, (std::string("LITEFT_CUDA_SLOTS is '") + bad + "'").c_str()));
  }
  unsetenv("LITEFT_CUDA_SLOTS");
  unsetenv("LITEFT_CUDA_ROWS");
}

// A request takes no memory and captures nothing, whatever its texts, unless some of their tokens are hidden.
void no_request_captures() {
  const liteft_shape& shape = kShapes[0];
  const auto engine = create(shape, LITEFT_FP16, small(1536));
  const emulator::Live before = emulator::live();
  std::mt19937 random(16);
  std::vector<Texts> batches(5);
  for (int number = 0; number < 5; ++number) batches[number].add(random, shape, std::vector{1, 7, 16, 17, 40}[number]);
  for (const int texts : {2, 9, 40, 130}) {
    for (const int longest : {1, 3, 40}) batches.push_back(random_texts(random, shape, texts, longest));
  }
  for (const Texts& texts : batches) {
    liteft_batch batch = texts.batch();
    batch.key_mask = nullptr;
    run(*engine, batch, shape);
    EXPECT(emulator::live() == before);
  }
  liteft_batch batch = batches.back().batch();
  batch.key_mask = nullptr;
  batch.types = nullptr;
  run(*engine, batch, shape);
  EXPECT(emulator::live() == before);
}

// Chunks overlap: an error in one of them leaves nothing under way, and the next run is right.
void an_error_in_a_later_chunk_is_an_error_and_no_end() {
  const liteft_shape& shape = kShapes[0];
  const auto engine = create(shape, LITEFT_FP16, small(64));
  std::mt19937 random(17);
  const Texts texts = random_texts(random, shape, 30, 30);
  const std::vector<float> expected = run(*engine, texts, shape);
  EXPECT(difference(expected, by_cpu(shape, texts)) < allowed(LITEFT_FP16));
  for (int after = 0; after < 5; ++after) {
    emulator::fail_graph(after);
    std::vector<float> logits(expected.size());
    bool failed = false;
    try {
      engine->run(texts.batch(), logits.data());
    } catch (const std::runtime_error&) {
      failed = true;
    }
    EXPECT(failed && emulator::pending() == 0);
    EXPECT(run(*engine, texts, shape) == expected);
  }
}

// After an error of the device that stays, each run, in whatever bucket, and each attempt to make another classifier
// says so at once, with the first error. It stays in this process, so a child has it.
void an_error_that_stays_is_named() {
  const liteft_shape& shape = kShapes[0];
  const auto engine = create(shape, LITEFT_FP16, small(64));
  std::mt19937 random(18);
  Texts texts = random_texts(random, shape, 3, 10);
  const std::vector<float> expected = run(*engine, texts, shape);
  std::fflush(stdout);
  const int before = failures;
  const pid_t child = fork();
  if (child == 0) {
    Texts wrong = texts;
    wrong.ids[2] = 1 << 28;  // which libliteft would refuse
    const Texts others = random_texts(random, shape, 9, 30);
    std::vector<float> logits(std::max(expected.size(), others.logit_count(shape)));
    const std::function<void()> attempts[] = {
        [&] { engine->run(wrong.batch(), logits.data()); }, [&] { engine->run(texts.batch(), logits.data()); },
        [&] { engine->run(others.batch(), logits.data()); }, [&] { create(shape, LITEFT_FP16, small(64)); },
        [&] { liteft::cuda::DeviceBuffer(16); }};
    for (const auto& attempt : attempts) {
      std::string said;
      try {
        attempt();
      } catch (const std::runtime_error& error) {
        said = error.what();
      }
      EXPECT(said ==
             "CUDA does not work any more in this process since this error: a run: unspecified launch failure; "
             "start a new process");
    }
    EXPECT(emulator::pending() == 0);
    std::fflush(stdout);
    _exit(failures != before);
  }
  int status = -1;
  EXPECT(waitpid(child, &status, 0) == child && status == 0);
  EXPECT(run(*engine, texts, shape) == expected);
}

// While another thread captures in the mode that forbids it to others, an engine can be made: it uses a stream of its
// own, and its thread says that it knows what it does.
void an_engine_is_made_beside_a_capture() {
  cudaStream_t stream = nullptr;
  EXPECT(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) == cudaSuccess);
  EXPECT(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal) == cudaSuccess);
  std::thread([&] {
    auto engine = create(kShapes[0], LITEFT_FP16, small(64));
    std::mt19937 random(19);
    run(*engine, random_texts(random, kShapes[0], 3, 10), kShapes[0]);
    {
      const liteft::cuda::BesideCaptures beside;  // as liteft_cuda_destroy has it
      engine.reset();
    }
    void* memory = nullptr;
    EXPECT(cudaMalloc(&memory, 16) == cudaErrorStreamCaptureUnsupported);  // what would fail without that
    cudaGetLastError();
  }).join();
  cudaGraph_t graph = nullptr;
  EXPECT(cudaStreamEndCapture(stream, &graph) == cudaErrorStreamCaptureInvalidated);  // by that call
  cudaGetLastError();
  EXPECT(cudaStreamDestroy(stream) == cudaSuccess);
}

}  // namespace

int main() {
  std::setvbuf(stdout, nullptr, _IOLBF, 1 << 12);
  many_threads_share_an_engine();
  a_thousand_runs_leave_nothing_behind();
  graphs_are_bounded();
  a_graph_serves_every_batch_of_its_bucket();
  a_run_that_fails_leaves_no_work_behind();
  a_capture_that_fails_leaves_nothing_behind();
  memory_that_runs_out_is_an_error_and_no_end();
  slots_are_made_with_the_engine_and_others_wait();
  a_number_of_slots_may_be_asked_for();
  no_request_captures();
  an_error_in_a_later_chunk_is_an_error_and_no_end();
  an_error_that_stays_is_named();
  an_engine_is_made_beside_a_capture();
  return finish();
}
