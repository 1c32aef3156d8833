// e4m3 on the GPU: rows are quantized to the nearest value, and products are those of the values. Before compute
// capability 8.9 they are skipped.

#include "cuda/fp8.h"

#include <cuda_fp8.h>

#include "tests/cuda_rows.h"

using namespace liteft::cuda;

namespace {

// Every finite value of e4m3, by its bits.
const Doubles& e4m3_values() {
  static const Doubles values = [] {
    Doubles made(256, NAN);
    for (int bits = 0; bits < 256; ++bits) {
      const int exponent = bits >> 3 & 15, digits = bits & 7;
      if (exponent == 15 && digits == 7) continue;
      const double size = exponent ? std::ldexp(8.0 + digits, exponent - 10) : std::ldexp(digits, -9);
      made[bits] = bits & 128 ? -size : size;
    }
    return made;
  }();
  return values;
}

template <typename T>
void rows_are_quantized(std::mt19937& random) {
  for (const int width : {64, 320, 384, 1536}) {
    constexpr int kMost = 21, kRows = 19;
    std::vector<T> values(kMost * width);
    for (int i = 0; i < kMost * width; ++i) {
      const float size = i / width == 7 ? 1e-4f : i / width == 8 ? 6e4f : 10.0f;
      values[i] = static_cast<T>(size * (static_cast<float>(random() % 20001) / 10000.0f - 1.0f));
    }
    const int zero = 5, nan = 9, infinite = 12;
    for (int i = 0; i < width; ++i) values[zero * width + i] = static_cast<T>(0.0f);
    values[nan * width + random() % width] = static_cast<T>(NAN);
    values[infinite * width + random() % width] = static_cast<T>(-INFINITY);
    const Uploaded<T> x(values);
    const DeviceTexts texts(random, {kRows}, false);
    const Uploaded<std::uint8_t> out(std::vector<std::uint8_t>(kMost * width, 99));
    const auto scales = poisoned<float>(kMost);
    quantize_rows_to_fp8<T>({x.get(), width, texts.row_count(), out.get(), scales.get()}, kMost, nullptr);
    const Doubles found = out.fetched(), scale = scales.fetched();
    bool right = true;
    for (int row = 0; row < kMost; ++row) {
      if (row >= kRows || row == nan || row == infinite) {
        right &= std::isnan(scale[row]);
        for (int i = 0; i < width && row >= kRows; ++i) right &= found[row * width + i] == 99;
        continue;
      }
      double largest = 0.0;
      for (int i = 0; i < width; ++i) largest = std::fmax(largest, std::fabs(x[row * width + i]));
      right &= std::fabs(scale[row] - std::fmax(largest / kLargestE4m3, 1e-30)) <= 1e-6 * scale[row];
      for (int i = 0; i < width; ++i) {
        // No value of the type is nearer, up to what the inverse of the scale is rounded by.
        const double wanted = x[row * width + i] / scale[row];
        const double error = std::fabs(e4m3_values()[static_cast<int>(found[row * width + i])] - wanted);
        for (const double other : e4m3_values())
          right &= std::isnan(other) || error <= std::fabs(other - wanted) + 1e-6 * std::fabs(wanted);
      }
    }
    EXPECT(right);
  }
}

std::vector<std::uint8_t> random_bytes(std::mt19937& random, int count) {
  std::vector<std::uint8_t> bytes(count);
  for (std::uint8_t& byte : bytes) {
    do byte = static_cast<std::uint8_t>(random());
    while (std::isnan(e4m3_values()[byte]));
  }
  return bytes;
}

// Sums may differ from exact ones as those of float32 do, and on a GPU by more: its tensor cores keep fewer digits.
template <typename T>
void products_are_those_of_the_values(std::mt19937& random, int inputs, int outputs, int rows, int most) {
  const std::vector<std::uint8_t> left = random_bytes(random, most * inputs),
                                  right = random_bytes(random, outputs * inputs);
  std::vector<float> row_scale(most), weight_scale(outputs), biases(outputs);
  for (float& scale : row_scale) scale = std::ldexp(1.0f, -9 - static_cast<int>(random() % 3));
  for (float& scale : weight_scale) scale = std::ldexp(1.0f, -9 - static_cast<int>(random() % 3));
  for (float& bias : biases) bias = static_cast<float>(random() % 200) / 100.0f - 1.0f;
  const int broken = rows / 2;
  if (broken) row_scale[broken] = NAN;
  const Uploaded<std::uint8_t> x(left), weights(right);
  const Uploaded<float> row_scales(row_scale), weight_scales(weight_scale), bias(biases);
  const DeviceTexts texts(random, {rows}, false);
  for (const Act kind : {Act::none, Act::gelu, Act::relu}) {
    const auto out = poisoned<T>(most * outputs);
    matmul_fp8<T>({x.get(), row_scales.get(), weights.get(), weight_scales.get(), bias.get(), kind, inputs, outputs,
                   texts.row_count(), out.get()},
                  most, nullptr);
    const Doubles found = out.fetched();
    bool right_of_all = true;
    for (int row = 0; row < most; ++row) {
      for (int column = 0; column < outputs; ++column) {
        const double given = found[row * outputs + column];
        if (row >= rows || (broken && row == broken)) {
          right_of_all &= std::isnan(given);
          continue;
        }
        double sum = 0.0, size = 0.0;
        for (int i = 0; i < inputs; ++i) {
          const double term = e4m3_values()[left[row * inputs + i]] * e4m3_values()[right[column * inputs + i]];
          sum += term, size += std::fabs(term);
        }
        const double scale = static_cast<double>(row_scale[row]) * weight_scale[column];
        const double expected = act_reference(kind, sum * scale + biases[column]);
        const double allowed = 1.05 * kRounding<T> * (1.0 + std::fabs(expected)) + 2e-4 * size * scale;
        right_of_all &= std::fabs(given - expected) <= allowed;
      }
    }
    EXPECT(right_of_all);
  }
}

template <typename T>
void run_all() {
  std::mt19937 random(31);
  rows_are_quantized<T>(random);
  products_are_those_of_the_values<T>(random, 64, 64, 1, 2);
  products_are_those_of_the_values<T>(random, 128, 128, 16, 16);
  products_are_those_of_the_values<T>(random, 384, 192, 130, 140);
  products_are_those_of_the_values<T>(random, 768, 128, 37, 150);
}

}  // namespace

int main() {
  return run_kernel_tests([] {
    cudaDeviceProp properties{};
    check(cudaGetDeviceProperties(&properties, 0), "asking for the GPU");
    if (10 * properties.major + properties.minor < 89) {
      std::printf("skipped: no products of e4m3 before compute capability 8.9\n");
      return;
    }
    load_fp8_kernels<__half>();
    load_fp8_kernels<__nv_bfloat16>();
    run_all<__half>();
    run_all<__nv_bfloat16>();
  });
}
