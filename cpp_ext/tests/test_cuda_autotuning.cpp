// The CUDA library on the emulated GPU: what it measures when an engine is made, and the files that keep it.

#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "tests/cuda_model.h"

namespace {

void the_faster_way_is_chosen_and_kept() {
  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() / ("liteft-fused-" + std::to_string(getpid()));
  const liteft_shape& shape = kFusable[0];
  std::mt19937 random(21);
  const Texts texts = random_texts(random, shape, 3, 10);
  const std::vector<float> expected = by_cpu(shape, texts);
  Settings settings = small(48);
  settings.cache = folder.string();
  const char* const kKernels[] = {"MatmulActivation<", "MatmulLayerNorm<", "FeedForward<"};
  const auto runs_of = [&](AnyEngine& engine) {
    std::vector<long> before, runs;
    for (const char* each : kKernels) before.push_back(emulator::kernels_run(each));
    EXPECT(difference(run(engine, texts, shape), expected) < allowed(LITEFT_FP16));
    for (int each = 0; each < 3; ++each) runs.push_back(emulator::kernels_run(kKernels[each]) - before[each]);
    return runs;
  };
  const auto set_costs = [&](double activated, double normed, double block) {
    const double costs[] = {activated, normed, block};
    for (int each = 0; each < 3; ++each) emulator::set_cost(kKernels[each], costs[each]);
  };
  autotunes_in_full = true;
  set_costs(0.1, 100, 100);
  std::vector<long> runs = runs_of(*create(shape, LITEFT_FP16, settings));
  EXPECT(runs[0] == 2 + 1 && runs[1] == 0 && runs[2] == 0);  // inner matmuls, and the head
  // What was chosen is kept, and not measured again.
  set_costs(0.1, 0.1, 0.1);
  const long measured = emulator::kernels_run("FeedForward<");
  {
    const auto engine = create(shape, LITEFT_FP16, settings);
    EXPECT(emulator::kernels_run("FeedForward<") == measured);
    runs = runs_of(*engine);
  }
  EXPECT(runs[0] == 2 + 1 && runs[1] == 0 && runs[2] == 0);
  autotunes_in_full = false;
  // Measured anew where the file is gone, or spoilt.
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().filename().string().find("fusions") == 0)
      std::ofstream(entry.path()) << "2 48 128 192 1 1234\n2 48 128\n";
  }
  set_costs(100, 0.1, 0.1);
  runs = runs_of(*create(shape, LITEFT_FP16, settings));
  EXPECT(runs[0] == 0 && runs[1] == 2 && runs[2] == 2);  // projections, and blocks
  std::filesystem::remove_all(folder);
  set_costs(100, 0.1, 100);
  runs = runs_of(*create(shape, LITEFT_FP16, small(48)));
  EXPECT(runs[0] == 0 && runs[1] == 4 && runs[2] == 0);
  set_costs(1, 1, 1);
}

// Hopper's kernels, and one kernel for the whole forward pass, are taken where they are faster, and left out where they
// do not give what cublasLt and kernel by kernel gives.
constexpr liteft_shape kSmall{2, 2, 64, 128, 64, 50, 16, 0, 4, LITEFT_MEAN, LITEFT_HEAD_NONE, LITEFT_RELU, -1, 1e-5f};
void new_ways_are_chosen_if_they_are_faster_and_right(const char* kernel, const liteft_shape& shape, long least) {
  std::mt19937 random(23);
  const Texts texts = random_texts(random, shape, 1, 10);
  const std::vector<float> expected = by_cpu(shape, texts);
  const auto runs = [&](double cost, const char* broken, Policy policy = Policy::measured) {
    emulator::set_cost(kernel, cost);
    emulator::break_kernels(broken);
    Settings settings = small(16);
    settings.policy = policy;
    const auto engine = create(shape, LITEFT_FP16, settings);
    emulator::break_kernels("");
    const long before = emulator::kernels_run(kernel);
    EXPECT(difference(run(*engine, texts, shape), expected) < allowed(LITEFT_FP16));
    return emulator::kernels_run(kernel) - before;
  };
  autotunes_in_full = true;
  EXPECT(runs(0.1, "") >= least);
  EXPECT(runs(1000.0, "") == 0);
  EXPECT(runs(0.1, kernel) == 0);
  EXPECT(runs(0.1, "", Policy::cautious) == 0);
  autotunes_in_full = false;
  emulator::set_cost(kernel, 1000.0);
}

void rows_are_normalized_on_hopper_if_that_is_faster() {
  const liteft_shape& shape = kNormalizedOnHopper[1];
  std::mt19937 random(27);
  const Texts texts = random_texts(random, shape, 1, 10);
  for (const double cost : {0.1, 1000.0}) {
    emulator::set_cost("Sm90LayerNorm<", cost);
    const auto engine = create(shape, LITEFT_FP16, small(16));
    const long before = emulator::kernels_run("Sm90LayerNorm<");
    EXPECT(difference(run(*engine, texts, shape), by_cpu(shape, texts)) < allowed(LITEFT_FP16));
    EXPECT((emulator::kernels_run("Sm90LayerNorm<") - before == 2) == (cost < 1.0));
  }
}

// With a cache that another process wrote, nothing has run before graphs are captured: all kernels are loaded by then,
// with their memory.
void a_new_process_finds_its_kernels_loaded() {
  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() / ("liteft-loaded-" + std::to_string(getpid()));
  std::mt19937 random(24);
  for (const liteft_shape& shape : kFusable) {
    const Texts texts = random_texts(random, shape, 4, 12);
    for (const Policy policy : {Policy::measured, Policy::always, Policy::hopper}) {
      Settings settings = small(48);
      settings.cache = folder.string();
      settings.policy = policy;
      create(shape, LITEFT_FP16, settings);
      emulator::forget_kernels();
      const auto engine = create(shape, LITEFT_FP16, settings);
      EXPECT(difference(run(*engine, texts, shape), by_cpu(shape, texts)) < allowed(LITEFT_FP16));
    }
  }
  std::filesystem::remove_all(folder);
}

// What is to be done before the first measurement is done once; what is kept is not measured.
void a_stopwatch_prepares_once_and_wakes_the_gpu() {
  cudaStream_t stream = nullptr;
  EXPECT(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) == cudaSuccess);
  {
    const liteft::cuda::DeviceBuffer memory(64);
    int prepared = 0, asked = 0;
    liteft::cuda::Stopwatch stopwatch(stream, [&] { ++prepared; });
    const auto start = [&] {
      ++asked;
      liteft::cuda::check(cudaMemsetAsync(memory.as(), 0, 64, stream),
                          "filling");  // a millisecond of the emulator's clock
    };
    EXPECT(stopwatch.time(start) == 20.0f && stopwatch.time(start) == 20.0f);
    EXPECT(prepared == 1);
    EXPECT(asked == 40);  // the graphs' replays do not ask the host
    bool failed = false;
    try {
      stopwatch.time([] { throw std::runtime_error("on purpose"); });
    } catch (const std::runtime_error&) {
      failed = true;
    }
    EXPECT(failed && stopwatch.time(start) == 20.0f);
  }
  EXPECT(cudaStreamDestroy(stream) == cudaSuccess);
  EXPECT(emulator::live().events == 0 && emulator::live().graphs == 0 && emulator::pending() == 0);
}

void algorithms_are_kept_and_bad_files_survived() {
  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() / ("liteft-cuda-" + std::to_string(getpid()));
  const liteft_shape& shape = kShapes[3];
  std::mt19937 random(11);
  const Texts texts = random_texts(random, shape, 30, 20);
  Settings settings = small(64);
  settings.cache = (folder / "deep" / "down").string();
  const std::vector<float> expected = run(*create(shape, LITEFT_BF16, settings), texts, shape);
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(settings.cache)) {
    if (entry.path().filename().string().find("matmuls") == 0) files.push_back(entry.path());
  }
  EXPECT(files.size() == 1);
  const auto text_of = [&] {
    std::ifstream file(files.front());
    return std::string(std::istreambuf_iterator<char>(file), {});
  };
  const std::string kept = text_of();
  EXPECT(std::count(kept.begin(), kept.end(), '\n') > 10);
  const std::string name = files.front().filename().string();
  EXPECT(name.find("Emulated-GPU") != std::string::npos);
  EXPECT(name.find("4-multiprocessors--kernels-") != std::string::npos);

  // What is kept is not tuned again: no event is made.
  const auto written = std::filesystem::last_write_time(files.front());
  {
    const auto engine = create(shape, LITEFT_BF16, settings);
    EXPECT(run(*engine, texts, shape) == expected);
    EXPECT(std::filesystem::last_write_time(files.front()) == written);
  }
  std::vector<std::string> bad = {"", "nonsense", kept.substr(0, kept.size() / 2), std::string(1000, '\0')};
  std::string changed = kept;
  for (std::size_t i = 7; i < changed.size(); i += 31) changed[i] = changed[i] == '1' ? '7' : '1';
  bad.push_back(changed);
  for (const std::string& content : bad) {
    std::ofstream(files.front()) << content;
    EXPECT(run(*create(shape, LITEFT_BF16, settings), texts, shape) == expected);
    EXPECT(text_of() == kept);  // whole again
  }
  // Algorithms that the library does not take any more are tuned anew.
  void* const library = dlopen(LITEFT_CUBLASLT "/libcublasLt.so.13", RTLD_NOW | RTLD_NOLOAD);
  EXPECT(library != nullptr);
  reinterpret_cast<void (*)()>(dlsym(library, "emulated_cublaslt_renew"))();
  EXPECT(run(*create(shape, LITEFT_BF16, settings), texts, shape) == expected);
  EXPECT(text_of() != kept && text_of().size() == kept.size());
  std::filesystem::remove(files.front());
  std::filesystem::permissions(settings.cache, std::filesystem::perms::owner_read | std::filesystem::perms::owner_exec);
  EXPECT(run(*create(shape, LITEFT_BF16, settings), texts, shape) == expected);
  std::filesystem::remove_all(folder);
}

// No matmul is tuned, and no file written, once the engine is made.
void nothing_is_tuned_within_a_run() {
  const liteft_shape& shape = kShapes[0];
  const auto engine = create(shape, LITEFT_FP16, small(64));
  const long events = emulator::live().events;  // timing needs more
  std::mt19937 random(12);
  for (const int count : {1, 5, 30}) {
    const Texts texts = random_texts(random, shape, count, 2);
    run(*engine, texts, shape);
  }
  EXPECT(emulator::live().events == events);
}

}  // namespace

int main() {
  std::setvbuf(stdout, nullptr, _IOLBF, 1 << 12);
  emulator::set_cost("ShortModel<", 1000.0);  // what the first test is not about
  the_faster_way_is_chosen_and_kept();
  new_ways_are_chosen_if_they_are_faster_and_right("Sm90Product<", kSmall, 2);
  new_ways_are_chosen_if_they_are_faster_and_right("ShortModel<", kSmall, 1);
  rows_are_normalized_on_hopper_if_that_is_faster();
  a_new_process_finds_its_kernels_loaded();
  a_stopwatch_prepares_once_and_wakes_the_gpu();
  algorithms_are_kept_and_bad_files_survived();
  nothing_is_tuned_within_a_run();
  return finish();
}
