// What tests of CUDA kernels share: random values on the device, their float64 references, and comparisons.
//
// Only the CUDA runtime is used, so that the same tests run in the emulator (test_cuda_*) and on a GPU (test_gpu_*).

#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <random>
#include <type_traits>
#include <vector>

#include "cuda/kernels.h"
#include "cuda/memory.h"
#include "tests/expect.h"

namespace liteft::cuda {

using Doubles = std::vector<double>;

// Half of a unit in the last place, relative.
template <typename T>
constexpr double kRounding = std::is_same_v<T, __half> ? 1.0 / 2048 : 1.0 / 256;

// Values on the device, and what they are as doubles.
template <typename V>
struct Uploaded {
  DeviceBuffer memory;
  Doubles values;

  explicit Uploaded(const std::vector<V>& given) : memory(given.size() * sizeof(V)), values(given.size()) {
    for (std::size_t i = 0; i < given.size(); ++i) {
      if constexpr (std::is_arithmetic_v<V>)
        values[i] = static_cast<double>(given[i]);
      else
        values[i] = static_cast<float>(given[i]);
    }
    check(cudaMemcpy(memory.as(), given.data(), given.size() * sizeof(V), cudaMemcpyHostToDevice), "copying up");
    check(cudaStreamSynchronize(nullptr), "copying up");
  }
  V* get() const { return memory.template as<V>(); }
  double operator[](std::size_t i) const { return values[i]; }

  Doubles fetched() const {
    std::vector<V> now(values.size());
    check(cudaMemcpy(now.data(), memory.as(), now.size() * sizeof(V), cudaMemcpyDeviceToHost), "copying down");
    Doubles out(now.size());
    for (std::size_t i = 0; i < now.size(); ++i) out[i] = static_cast<double>(static_cast<float>(now[i]));
    return out;
  }
};

// Never zero, of both signs, about `middle`.
template <typename V>
Uploaded<V> random_values(std::mt19937& random, std::size_t count, float scale = 1.0f, float middle = 0.0f) {
  std::uniform_real_distribution<float> magnitude(0.1f, 1.0f);
  std::vector<V> values(count);
  for (V& value : values) value = static_cast<V>(middle + (random() % 2 ? scale : -scale) * magnitude(random));
  return Uploaded<V>(values);
}

template <typename V>
Uploaded<V> poisoned(std::size_t count) {
  return Uploaded<V>(std::vector<V>(count, static_cast<V>(NAN)));
}

// x (rows, inputs) weights (inputs, outputs) + bias
template <typename T>
Doubles matmul(const Doubles& x, const Uploaded<T>& weights, const Uploaded<float>& bias, int rows, int inputs,
               int outputs) {
  Doubles out(static_cast<std::size_t>(rows) * outputs);
  for (int row = 0; row < rows; ++row) {
    double* to = &out[static_cast<std::size_t>(row) * outputs];
    for (int i = 0; i < outputs; ++i) to[i] = bias[i];
    for (int k = 0; k < inputs; ++k) {
      const double value = x[static_cast<std::size_t>(row) * inputs + k];
      const double* from = &weights.values[static_cast<std::size_t>(k) * outputs];
      for (int i = 0; i < outputs; ++i) to[i] += value * from[i];
    }
  }
  return out;
}

// Launched for `most` rows, of which `rows` are there: beyond the count x is NaN, which no row may read.
template <typename T>
Uploaded<T> rows_and_poison(std::mt19937& random, int rows, int most, int width) {
  Uploaded<T> drawn = random_values<T>(random, static_cast<std::size_t>(rows) * width);
  std::vector<T> values(static_cast<std::size_t>(most) * width, static_cast<T>(NAN));
  for (std::size_t i = 0; i < drawn.values.size(); ++i) values[i] = static_cast<T>(static_cast<float>(drawn.values[i]));
  return Uploaded<T>(values);
}

// Texts of a chunk on the device, and NaN or nonsense beyond them.
struct DeviceTexts {
  std::vector<std::int32_t> offsets{0}, text_of_row;
  std::vector<std::uint8_t> key_mask;
  int rows, texts;
  DeviceBuffer offsets_up, text_of_row_up, key_mask_up, counts_up;

  DeviceTexts(std::mt19937& random, const std::vector<int>& lengths, bool hides) {
    for (const int tokens : lengths) {
      for (int token = 0; token < tokens; ++token) {
        text_of_row.push_back(static_cast<int>(offsets.size()) - 1);
        key_mask.push_back(!hides || random() % 3 != 0);
      }
      key_mask[offsets.back() + random() % tokens] = 1;
      offsets.push_back(static_cast<int>(text_of_row.size()));
    }
    rows = offsets.back(), texts = static_cast<int>(lengths.size());
    offsets_up = up(offsets), text_of_row_up = up(text_of_row), key_mask_up = up(key_mask);
    counts_up = up(std::vector<Counts>{{rows, texts}});
  }
  const Counts* counts() const { return counts_up.as<const Counts>(); }
  const std::int32_t* row_count() const { return &counts()->rows; }

  template <typename V>
  static DeviceBuffer up(const std::vector<V>& values) {
    DeviceBuffer buffer(values.size() * sizeof(V));
    check(cudaMemcpy(buffer.as(), values.data(), values.size() * sizeof(V), cudaMemcpyHostToDevice), "copying up");
    check(cudaStreamSynchronize(nullptr), "copying up");
    return buffer;
  }
};

// The first values of `found` are those of `expected` within `allowed` times (1 + their size); the others are what they
// were, NaN.
inline void expect_close(const char* what, const Doubles& found, const Doubles& expected, double allowed) {
  double worst = 0.0;
  bool numbers = true, untouched = true;
  for (std::size_t i = 0; i < found.size(); ++i) {
    if (i >= expected.size()) {
      untouched &= std::isnan(found[i]);
      continue;
    }
    numbers &= std::isfinite(found[i]);
    worst = std::fmax(worst, std::fabs(found[i] - expected[i]) / (1.0 + std::fabs(expected[i])));
  }
  if (!numbers || !untouched || !(worst <= allowed)) {
    std::printf("%s: worst %.3g of %.3g%s%s\n", what, worst, allowed, numbers ? "" : ", NaN",
                untouched ? "" : ", wrote too far");
  }
  EXPECT(numbers && untouched && worst <= allowed);
}

inline double act_reference(Act act, double x) {
  switch (act) {
    case Act::gelu: return 0.5 * x * (1.0 + std::erf(x / std::sqrt(2.0)));
    case Act::relu: return x > 0.0 ? x : 0.0;
    case Act::gelu_tanh: return 0.5 * x * (1.0 + std::tanh(std::sqrt(2.0 / M_PI) * (x + 0.044715 * x * x * x)));
    case Act::silu: return x / (1.0 + std::exp(-x));
    case Act::tanh: return std::tanh(x);
    case Act::none: break;
  }
  return x;
}

// LayerNorm of rows, in place.
template <typename Gamma>
void norm_reference(Doubles& x, int width, const Gamma& gamma, const Gamma& beta, double epsilon) {
  for (std::size_t start = 0; start < x.size(); start += width) {
    double mean = 0.0, squares = 0.0;
    for (int i = 0; i < width; ++i) mean += x[start + i] / width;
    for (int i = 0; i < width; ++i) squares += (x[start + i] - mean) * (x[start + i] - mean) / width;
    for (int i = 0; i < width; ++i)
      x[start + i] = (x[start + i] - mean) / std::sqrt(squares + epsilon) * gamma[i] + beta[i];
  }
}

// What a block of the current device may have, at most, in bytes.
inline std::size_t shared_memory_of_device() {
  int bytes = 0;
  check(cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0), "asking for the GPU");
  return bytes;
}

// Runs tests and returns what to exit with. Where there is no GPU that is 77, or 1 where LITEFT_GPU=required says that
// there must be one.
inline int run_kernel_tests(void (*tests)()) {
  int devices = 0;
  if (const cudaError_t error = cudaGetDeviceCount(&devices); error != cudaSuccess || devices == 0) {
    const char* const asked = std::getenv("LITEFT_GPU");
    const bool required = asked && std::strcmp(asked, "required") == 0;
    std::fprintf(stderr, "%s: no GPU: %s\n", required ? "failed" : "skipped", cudaGetErrorString(error));
    return required ? 1 : 77;
  }
  try {
    load_kernels<__half>(shared_memory_of_device());
    load_kernels<__nv_bfloat16>(shared_memory_of_device());
    tests();
  } catch (const std::exception& error) {
    std::printf("%s\n", error.what());
    ++failures;
  }
  std::printf("%d failures\n", failures);
  return failures != 0;
}

}  // namespace liteft::cuda
