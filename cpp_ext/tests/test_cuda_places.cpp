// Which cublasLt is taken with which driver, which GPUs are refused, and what an error names. Every case is a process
// of its own, since a process keeps the cublasLt that it has opened.

#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <iterator>
#include <string>
#include <vector>

#include "cuda/api.h"
#include "tests/cuda_model.h"

namespace {

const std::string k13 = LITEFT_CUBLASLT, k12 = LITEFT_CUBLASLT "12";

// What describes the first GPU, or the error.
std::string described(const std::string& folders) {
  char text[1000];
  return liteft_cuda_describe(0, folders.c_str(), text, sizeof(text)) == 0 ? text : liteft_cuda_last_error();
}

bool says(const std::string& text, const std::string& part) {
  if (text.find(part) != std::string::npos) return true;
  std::printf("'%s' does not say '%s'\n", text.c_str(), part.c_str());
  return false;
}

void a_driver_of_cuda_13_takes_13_first() {
  emulator::set_driver(13000);
  EXPECT(says(described(k12 + ":" + k13), "CUDA 13.0, cublasLt 130000"));
}

void an_older_driver_takes_12_first() {
  emulator::set_driver(12080);
  EXPECT(says(described(k13 + ":" + k12), "CUDA 12.8, cublasLt 120000"));
}

void a_driver_of_cuda_13_takes_12_where_it_is_alone() {
  emulator::set_driver(13000);
  EXPECT(says(described(k12), "cublasLt 120000"));
}

void one_that_makes_no_handle_is_passed_over() {
  emulator::set_driver(12020);
  const std::string error = described(k13);
  EXPECT(says(error, "cublasLt cannot be used"));
  EXPECT(says(error, k13 + "/libcublasLt.so.13 makes no handle: status 1"));
  EXPECT(says(error, k13 + "/libcublasLt.so.12: cannot open"));
  EXPECT(says(error, "; libcublasLt.so.12: cannot open"));
  // The process still has it, as where another package has loaded it.
  EXPECT(says(described(k13 + ":" + k12), "cublasLt 120000"));
}

void a_gpu_before_turing_is_refused() {
  emulator::set_capability(70);
  EXPECT(says(described(k13), "Emulated GPU has compute capability 7.0, and 7.5 is needed"));
}

void turing_computes_in_fp16_alone() {
  emulator::set_capability(75);
  const liteft_shape& shape = kShapes[0];
  const Stored stored = random_weights(shape, false, 1);
  const std::vector<liteft_weight> weights = stored.list();
  const auto fails = [&](int precision) {
    liteft_cuda* made = nullptr;
    const int status = liteft_cuda_create(&shape, weights.data(), static_cast<int>(weights.size()), precision, 0, 0,
                                          k13.c_str(), nullptr, &made);
    liteft_cuda_destroy(made);
    return status != 0;
  };
  EXPECT(fails(LITEFT_BF16));
  EXPECT(says(liteft_cuda_last_error(), "cannot compute in bf16, but in fp16: Emulated GPU, compute capability 7.5"));
  EXPECT(!fails(LITEFT_FP16));
}

void (*const kCases[])() = {a_driver_of_cuda_13_takes_13_first,
                            an_older_driver_takes_12_first,
                            a_driver_of_cuda_13_takes_12_where_it_is_alone,
                            one_that_makes_no_handle_is_passed_over,
                            a_gpu_before_turing_is_refused,
                            turing_computes_in_fp16_alone};

}  // namespace

int main(int count, char** arguments) {
  if (count > 1) {
    kCases[std::stoi(arguments[1])]();
    return finish();
  }
  for (std::size_t number = 0; number < std::size(kCases); ++number) {
    const pid_t child = fork();
    if (child == 0) execl("/proc/self/exe", arguments[0], std::to_string(number).c_str(), nullptr);
    int status = -1;
    EXPECT(waitpid(child, &status, 0) == child && status == 0);
  }
  return finish();
}
