// The CUDA library on the emulated GPU against the CPU engine in float32: what comes out.

#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "cuda/api.h"
#include "tests/cuda_model.h"

namespace {

// The way that libliteft goes.
void the_c_api_runs_a_batch() {
  EXPECT(liteft_cuda_abi() == LITEFT_CUDA_ABI);
  const liteft_shape& shape = kShapes[0];
  const Stored stored = random_weights(shape, false, 1);
  const std::vector<liteft_weight> weights = stored.list();
  liteft_cuda* made = nullptr;
  emulator::skip_work(true);
  EXPECT(liteft_cuda_create(&shape, weights.data(), static_cast<int>(weights.size()), LITEFT_FP16, 0, 0,
                            LITEFT_CUBLASLT, nullptr, &made) == 0);
  emulator::skip_work(false);
  char text[200];
  EXPECT(liteft_cuda_describe(0, LITEFT_CUBLASLT, text, sizeof(text)) == 0);
  EXPECT(std::strstr(text, "Emulated GPU, compute capability 9.0") != nullptr);
  std::mt19937 random(14);
  const Texts texts = random_texts(random, shape, 12, 40);
  std::vector<float> logits(12 * shape.labels, NAN);
  const liteft_batch batch = texts.batch();
  EXPECT(liteft_cuda_run(made, &batch, logits.data()) == 0);
  EXPECT(difference(logits, by_cpu(shape, texts)) < allowed(LITEFT_FP16));
  liteft_cuda_destroy(made);
  liteft_cuda_destroy(nullptr);
}

void logits_are_those_of_the_cpu() {
  std::mt19937 random(1);
  double worst[4] = {};
  for (const liteft_shape& shape : kShapes) {
    for (const int precision : kPrecisions) {
      const auto engine = create(shape, precision, small(96));
      for (const int count : {1, 3, 7, 40}) {
        const Texts texts = random_texts(random, shape, count, count == 40 ? 12 : count == 7 ? 100 : 520);
        const std::vector<float> expected = by_cpu(shape, texts);
        const std::vector<float> found = run(*engine, texts, shape);
        worst[precision] = std::fmax(worst[precision], difference(found, expected));
        EXPECT(difference(found, expected) < allowed(precision));
        EXPECT(run(*engine, texts, shape) == found);  // again
      }
    }
  }
  std::printf("worst difference from the CPU in float32: fp16 %.4f, bf16 %.4f\n", worst[LITEFT_FP16],
              worst[LITEFT_BF16]);
}

// By Hopper's kernels: as on the CPU, and those steps do not depend on the rows beside them at all.
void products_on_hopper_agree() {
  std::mt19937 random(22);
  for (const auto& shapes :
       {std::vector<liteft_shape>(std::begin(kShapes), std::end(kShapes)),
        std::vector<liteft_shape>(std::begin(kNormalizedOnHopper), std::end(kNormalizedOnHopper))}) {
    for (const liteft_shape& shape : shapes) {
      Settings settings = small(160);
      settings.policy = Policy::hopper;
      const auto engine = create(shape, LITEFT_BF16, settings);
      const long products = emulator::kernels_run("Sm90Product<"), norms = emulator::kernels_run("Sm90LayerNorm<");
      const Texts texts = random_texts(random, shape, 9, 40);
      EXPECT(difference(run(*engine, texts, shape), by_cpu(shape, texts)) < allowed(LITEFT_BF16));
      EXPECT(emulator::kernels_run("Sm90Product<") - products >= 2 * shape.layers);
      const bool normalizes = shape.width % 384 == 0;
      EXPECT(emulator::kernels_run("Sm90LayerNorm<") - norms >= (normalizes ? 2 * shape.layers : 0));
    }
  }
}

void fused_kernels_and_plain_ones_agree() {
  std::mt19937 random(20);
  for (const liteft_shape& shape : kFusable) {
    for (const int precision : kPrecisions) {
      Settings settings = small(192);
      settings.policy = Policy::always;
      const long blocks = emulator::kernels_run("FeedForward<"), normed = emulator::kernels_run("MatmulLayerNorm<");
      const auto fused = create(shape, precision, settings);
      settings.policy = Policy::never;
      const auto plain = create(shape, precision, settings);
      for (const int count : {1, 4, 12}) {
        const Texts texts = random_texts(random, shape, count, 40);
        const std::vector<float> expected = by_cpu(shape, texts), found = run(*fused, texts, shape);
        EXPECT(difference(found, expected) < allowed(precision));
        EXPECT(difference(run(*plain, texts, shape), expected) < allowed(precision));
        // Fused kernels do not depend on the rows beside them at all.
        if (count != 12) continue;
        const std::vector<float> alone = run(*fused, texts.only(7), shape);
        EXPECT(difference(alone, texts.logits_of(7, shape, found)) < allowed(precision) / 2);
      }
      EXPECT(emulator::kernels_run("FeedForward<") - blocks >= 3 * shape.layers);
      EXPECT(emulator::kernels_run("MatmulLayerNorm<") - normed >= 3 * shape.layers);
    }
  }
}

// Without types, and without hidden tokens.
void what_is_optional_may_be_left_out() {
  std::mt19937 random(2);
  for (const liteft_shape& shape : kShapes) {
    const auto engine = create(shape, LITEFT_FP16, small(64));
    Texts texts = random_texts(random, shape, 9, 40);
    for (const bool types : {false, true}) {
      for (const bool masked : {false, true}) {
        liteft_batch batch = texts.batch();
        Texts same = texts;
        if (!types) batch.types = nullptr, std::fill(same.types.begin(), same.types.end(), 0);
        if (!masked) batch.key_mask = nullptr, std::fill(same.key_mask.begin(), same.key_mask.end(), 1);
        EXPECT(difference(run(*engine, batch, shape), by_cpu(shape, same)) < allowed(LITEFT_FP16));
      }
    }
  }
}

void alone_equals_in_company() {
  std::mt19937 random(3);
  for (const liteft_shape& shape : kShapes) {
    for (const int precision : kPrecisions) {
      const auto engine = create(shape, precision, small(128)), large = create(shape, precision, small(1024));
      const Texts texts = random_texts(random, shape, 30, 30);
      const std::vector<float> together = run(*engine, texts, shape);
      EXPECT(difference(run(*large, texts, shape), together) < allowed(precision) / 2);
      for (int text = 0; text < 30; text += 13) {
        // Matmuls of another bucket may be summed in another order, so not to the bit.
        const std::vector<float> alone = run(*engine, texts.only(text), shape);
        EXPECT(difference(alone, texts.logits_of(text, shape, together)) < allowed(precision));
      }
    }
  }
}

// Weights that are NaN make logits that are NaN.
void what_is_not_a_number_stays() {
  std::mt19937 random(9);
  constexpr float kNotANumber = std::numeric_limits<float>::quiet_NaN();
  for (const liteft_shape& shape : kShapes) {
    const Texts texts = random_texts(random, shape, 3, 7);
    for (const int precision : kPrecisions) {
      for (const std::string name :
           {"embeddings.norm.bias", "layers.0.attention.norm.weight", "layers.0.feed_forward.inner.bias",
            "layers.0.attention.output.bias", "head.dense.bias", "classifier.weight"}) {
        if (name == "head.dense.bias" && shape.head == LITEFT_HEAD_NONE) continue;
        Stored stored = random_weights(shape, false, 1);
        for (Stored::Weight& weight : stored.weights) {
          const std::size_t place = name == "classifier.weight" ? 0 : 9;
          if (weight.name == name)
            std::memcpy(weight.values.data() + place * sizeof(float), &kNotANumber, sizeof(float));
        }
        const auto engine = create(shape, precision, small(64), &stored);
        const std::vector<float> logits = run(*engine, texts, shape);
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
    const Texts texts = random_texts(random, shape, 20, 20);
    for (const Policy policy : {Policy::never, Policy::always, Policy::whole}) {  // what is measured varies
      Settings settings = small(64);
      settings.policy = policy;
      const std::vector<float> expected = run(*create(shape, LITEFT_BF16, settings), texts, shape);
      emulator::poison_instead_of_zeros(true);
      EXPECT(run(*create(shape, LITEFT_BF16, settings), texts, shape) == expected);
      emulator::poison_instead_of_zeros(false);
    }
  }
}

// LITEFT_CUDA_POISON, on a GPU and here.
void memory_is_filled_with_what_the_environment_says() {
  const auto first_byte = [] {
    const liteft::cuda::DeviceBuffer memory(64);
    unsigned char byte = 1;
    EXPECT(cudaMemcpy(&byte, memory.as(), 1, cudaMemcpyDeviceToHost) == cudaSuccess);
    return byte;
  };
  EXPECT(first_byte() == 0);
  std::mt19937 random(16);
  const liteft_shape& shape = kShapes[3];
  const Texts texts = random_texts(random, shape, 6, 20);
  const std::vector<float> expected = run(*create(shape, LITEFT_FP16, small(64)), texts, shape);
  for (const char* poison : {"ones", "unfilled"}) {
    setenv("LITEFT_CUDA_POISON", poison, 1);
    EXPECT(first_byte() == 0xff);  // which is what the emulator's memory holds before it is filled, too
    EXPECT(run(*create(shape, LITEFT_FP16, small(64)), texts, shape) == expected);
  }
  unsetenv("LITEFT_CUDA_POISON");
}

void rows_of_a_chunk_may_come_from_the_environment() {
  const auto said = [](const char* value) -> std::string {
    setenv("LITEFT_CUDA_ROWS", value, 1);
    try {
      return std::to_string(liteft::cuda::rows_from_environment(8192));
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
  };
  EXPECT(said("") == "8192" && said("256") == "256" && said("65536") == "65536");
  for (const char* bad : {"255", "65537", "many", "512k", "-512"}) {
    EXPECT(said(bad) ==
           "LITEFT_CUDA_ROWS is '" + std::string(bad) + "', and the rows of a chunk are a number from 256 to 65536");
  }
  const Stored stored = random_weights(kShapes[0], false, 1);
  const std::vector<liteft_weight> weights = stored.list();
  liteft_cuda* made = nullptr;
  setenv("LITEFT_CUDA_ROWS", "8", 1);
  EXPECT(liteft_cuda_create(&kShapes[0], weights.data(), static_cast<int>(weights.size()), LITEFT_FP16, 0, 0,
                            LITEFT_CUBLASLT, "", &made) != 0);
  EXPECT(std::strstr(liteft_cuda_last_error(), "LITEFT_CUDA_ROWS is '8'") != nullptr);
  unsetenv("LITEFT_CUDA_ROWS");
}

void whether_to_fuse_may_come_from_the_environment() {
  const liteft_shape& shape = kFusable[0];
  const Stored stored = random_weights(shape, false, 1);
  const std::vector<liteft_weight> weights = stored.list();
  std::mt19937 random(22);
  const Texts texts = random_texts(random, shape, 3, 10);
  const liteft_batch batch = texts.batch();
  const auto fused_blocks = [&](const char* asked) -> long {
    setenv("LITEFT_CUDA_FUSE", asked, 1);
    liteft_cuda* made = nullptr;
    emulator::skip_work(true);
    const int failed = liteft_cuda_create(&shape, weights.data(), static_cast<int>(weights.size()), LITEFT_FP16, 0, 0,
                                          LITEFT_CUBLASLT, "", &made);
    emulator::skip_work(false);
    if (failed) return -1;
    const long before = emulator::kernels_run("FeedForward<");
    std::vector<float> logits(3 * shape.labels);
    EXPECT(liteft_cuda_run(made, &batch, logits.data()) == 0);
    liteft_cuda_destroy(made);
    return emulator::kernels_run("FeedForward<") - before;
  };
  EXPECT(fused_blocks("always") == shape.layers);
  EXPECT(fused_blocks("never") == 0);
  for (const char* bad : {"yes", "Always", "0"}) {
    EXPECT(fused_blocks(bad) == -1);
    EXPECT(std::strstr(liteft_cuda_last_error(), ("LITEFT_CUDA_FUSE is '" + std::string(bad) +
                                                  "', and it is 'always', 'never', 'hopper', 'whole' or 'cautious'")
                                                     .c_str()));
  }
  unsetenv("LITEFT_CUDA_FUSE");
}

// The emulator's clock: a kernel, a matmul, a copy cost 1 each, the graphs' launches nothing.
void a_pass_is_timed_over_all_chunks_and_a_batch_over_replays() {
  const liteft_shape& shape = kShapes[0];
  const auto engine = create(shape, LITEFT_FP16, small(64));
  std::mt19937 random(23);
  const Texts one = random_texts(random, shape, 1, 9), many = random_texts(random, shape, 20, 12);
  const liteft_batch batches[] = {one.batch(), many.batch()};
  const double alone = engine->time(batches[0], 3), in_chunks = engine->time(batches[1], 3);
  EXPECT(alone > 0.0 && in_chunks >= 2 * alone);
  const long chunks = static_cast<long>(liteft::cuda::chunks_of(batches[1].offsets, batches[1].texts, 64).size());
  EXPECT(chunks > 1);
  // A copy for each chunk is in it.
  EXPECT(engine->time_pass(batches, 1) == alone + 1);
  EXPECT(engine->time_pass(batches, 2) == alone + in_chunks + 1 + chunks);
  EXPECT(run(*engine, many, shape) == run(*engine, many, shape));
  EXPECT(difference(run(*engine, many, shape), by_cpu(shape, many)) < allowed(LITEFT_FP16));
}

// Choosing a device starts CUDA on it.
void a_device_that_is_current_is_not_chosen_again() {
  const long before = emulator::choices_of_device();
  const auto engine = create(kShapes[0], LITEFT_FP16, small(64));
  std::mt19937 random(17);
  run(*engine, random_texts(random, kShapes[0], 2, 9), kShapes[0]);
  EXPECT(emulator::choices_of_device() == before);
}

void a_gpu_that_the_library_was_not_built_for_is_refused() {
  char text[400];
  emulator::hold_no_kernels(true);
  EXPECT(liteft_cuda_describe(0, LITEFT_CUBLASLT, text, sizeof(text)) != 0);
  EXPECT(std::strstr(liteft_cuda_last_error(), "Emulated GPU has compute capability 9.0") != nullptr);
  EXPECT(std::strstr(liteft_cuda_last_error(), "it was built for the emulator") != nullptr);
  emulator::hold_no_kernels(false);
  EXPECT(liteft_cuda_describe(0, LITEFT_CUBLASLT, text, sizeof(text)) == 0);
}

void a_forked_process_is_told_so() {
  char text[400];
  EXPECT(liteft_cuda_describe(0, LITEFT_CUBLASLT, text, sizeof(text)) == 0);
  std::fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    const bool refused = liteft_cuda_describe(0, LITEFT_CUBLASLT, text, sizeof(text)) != 0;
    _exit(refused && std::strstr(liteft_cuda_last_error(), "forked from one that had started CUDA") ? 0 : 1);
  }
  int status = -1;
  EXPECT(waitpid(child, &status, 0) == child && status == 0);
}

void what_cannot_run_is_refused() {
  const auto refused = [](const liteft_shape& shape, int device, const char* part) {
    const Stored stored = random_weights(shape, false, 1);
    const std::vector<liteft_weight> weights = stored.list();
    liteft_cuda* made = nullptr;
    const int status = liteft_cuda_create(&shape, weights.data(), static_cast<int>(weights.size()), LITEFT_BF16, device,
                                          0, LITEFT_CUBLASLT, "", &made);
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

}  // namespace

int main() {
  std::setvbuf(stdout, nullptr, _IOLBF, 1 << 12);
  the_c_api_runs_a_batch();
  logits_are_those_of_the_cpu();
  products_on_hopper_agree();
  fused_kernels_and_plain_ones_agree();
  what_is_optional_may_be_left_out();
  alone_equals_in_company();
  what_is_not_a_number_stays();
  no_result_leans_on_zeros();
  memory_is_filled_with_what_the_environment_says();
  rows_of_a_chunk_may_come_from_the_environment();
  whether_to_fuse_may_come_from_the_environment();
  a_pass_is_timed_over_all_chunks_and_a_batch_over_replays();
  a_device_that_is_current_is_not_chosen_again();
  a_gpu_that_the_library_was_not_built_for_is_refused();
  a_forked_process_is_told_so();
  what_cannot_run_is_refused();
  return finish();
}
