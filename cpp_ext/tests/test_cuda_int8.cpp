// int8 on the GPU: rows quantized as on the CPU, and products whose sums are exactly those of integers.

#include "cuda/int8.h"

#include "tests/cuda_rows.h"

using namespace liteft::cuda;

namespace {

// To the bit what the arithmetic of the CPU engine gives.
template <typename T>
void rows_are_quantized(std::mt19937& random) {
  for (const int width : {64, 320, 384, 768, 1536, 3072}) {
    constexpr int kMost = 37, kRows = 33;
    std::vector<T> values(kMost * width);
    for (int i = 0; i < kMost * width; ++i) {
      const float size = i / width == 7 ? 1e-4f : i / width == 8 ? 6e4f : 10.0f;
      values[i] = static_cast<T>(size * (static_cast<float>(random() % 20001) / 10000.0f - 1.0f));
    }
    const int zero = 5, nan = 9, infinite = 20;
    for (int i = 0; i < width; ++i) values[zero * width + i] = static_cast<T>(0.0f);
    values[nan * width + random() % width] = static_cast<T>(NAN);
    values[infinite * width + random() % width] = static_cast<T>(-INFINITY);
    const Uploaded<T> x(values);
    const DeviceTexts texts(random, {kRows}, false);
    const Uploaded<std::int8_t> out(std::vector<std::int8_t>(kMost * width, 99));
    const auto scales = poisoned<float>(kMost);
    quantize_rows<T>({x.get(), width, texts.row_count(), out.get(), scales.get()}, kMost, nullptr);
    const Doubles found = out.fetched(), scale = scales.fetched();
    bool right = true;
    for (int row = 0; row < kMost; ++row) {
      if (row >= kRows || row == nan || row == infinite) {
        right &= std::isnan(scale[row]);
        for (int i = 0; i < width && row >= kRows; ++i) right &= found[row * width + i] == 99;
        continue;
      }
      float largest = 0.0f;
      for (int i = 0; i < width; ++i) largest = std::fmax(largest, std::fabs(static_cast<float>(x[row * width + i])));
      const float expected = std::fmax(largest / 127.0f, 1e-30f), inverse = 1.0f / expected;
      right &= scale[row] == static_cast<double>(expected);
      for (int i = 0; i < width; ++i) {
        const volatile float scaled = static_cast<float>(x[row * width + i]) * inverse;
        right &= found[row * width + i] == static_cast<double>(std::nearbyint(scaled));
      }
    }
    EXPECT(right);
  }
}

std::vector<std::int8_t> random_bytes(std::mt19937& random, int count) {
  std::vector<std::int8_t> bytes(count);
  for (std::int8_t& value : bytes) value = static_cast<std::int8_t>(static_cast<int>(random() % 255) - 127);
  return bytes;
}

constexpr int kNarrowTiles = 1 << 20, kWideTiles = 1;  // numbers of multiprocessors that lead to them

// Scales are powers of two and there is no activation, so that outputs tell the sums exactly, up to one rounding to T.
template <typename T>
void sums_are_exact(std::mt19937& random, int inputs, int outputs, int rows, int most) {
  std::vector<std::int8_t> left = random_bytes(random, most * inputs), right = random_bytes(random, outputs * inputs);
  for (int i = 0; i < inputs; ++i) left[i] = right[i] = 127;  // the largest sum
  std::vector<float> row_scale(most), weight_scale(outputs);
  for (float& scale : row_scale) scale = std::ldexp(1.0f, -10 - static_cast<int>(random() % 3));
  for (float& scale : weight_scale) scale = std::ldexp(1.0f, -6 - static_cast<int>(random() % 3));
  const int broken = rows / 2;
  if (broken) row_scale[broken] = NAN;
  const Uploaded<std::int8_t> x(left), weights(right);
  const Uploaded<float> row_scales(row_scale), weight_scales(weight_scale);
  const DeviceTexts texts(random, {rows}, false);
  for (const int multiprocessors : {kWideTiles, kNarrowTiles}) {
    const auto out = poisoned<T>(most * outputs);
    matmul_int8<T>({x.get(), row_scales.get(), weights.get(), weight_scales.get(), nullptr, Act::none, inputs, outputs,
                    texts.row_count(), out.get()},
                   most, multiprocessors, nullptr);
    const Doubles found = out.fetched();
    bool exact = true;
    for (int row = 0; row < most; ++row) {
      for (int column = 0; column < outputs; ++column) {
        const double given = found[row * outputs + column];
        if (row >= rows || (broken && row == broken)) {
          exact &= std::isnan(given);
          continue;
        }
        std::int32_t sum = 0;
        for (int i = 0; i < inputs; ++i) sum += left[row * inputs + i] * right[column * inputs + i];
        const float scaled = static_cast<float>(sum) * (row_scale[row] * weight_scale[column]);
        exact &= given == static_cast<double>(static_cast<float>(static_cast<T>(scaled)));
      }
    }
    EXPECT(exact);
  }
}

template <typename T>
void bias_and_activation_follow(std::mt19937& random) {
  constexpr int kInputs = 128, kOutputs = 192, kRows = 20;
  const std::vector<std::int8_t> left = random_bytes(random, kRows * kInputs),
                                 right = random_bytes(random, kOutputs * kInputs);
  const Uploaded<std::int8_t> x(left), weights(right);
  const auto row_scales = random_values<float>(random, kRows, 0.002f, 0.006f),
             weight_scales = random_values<float>(random, kOutputs, 0.0005f, 0.001f),
             bias = random_values<float>(random, kOutputs);
  const DeviceTexts texts(random, {kRows}, false);
  for (const Act kind : kActs) {
    const auto out = poisoned<T>(kRows * kOutputs);
    matmul_int8<T>({x.get(), row_scales.get(), weights.get(), weight_scales.get(), bias.get(), kind, kInputs, kOutputs,
                    texts.row_count(), out.get()},
                   kRows, kWideTiles, nullptr);
    Doubles expected(kRows * kOutputs);
    for (int row = 0; row < kRows; ++row) {
      for (int column = 0; column < kOutputs; ++column) {
        double sum = 0.0;
        for (int i = 0; i < kInputs; ++i) sum += left[row * kInputs + i] * right[column * kInputs + i];
        expected[row * kOutputs + column] =
            act_reference(kind, sum * row_scales[row] * weight_scales[column] + bias[column]);
      }
    }
    const double allowed = kind == Act::gelu_tanh ? 2e-3 : 1e-4;
    expect_close("int8 with an activation", out.fetched(), expected, 1.01 * kRounding<T> + allowed);
  }
}

// A row is the same to the bit alone and among others, whatever their values are and whatever tile it is in.
template <typename T>
void rows_do_not_depend_on_others(std::mt19937& random) {
  constexpr int kInputs = 192, kOutputs = 128, kRows = 150, kAt = 131;
  std::vector<T> among(kRows * kInputs);
  for (T& value : among) value = static_cast<T>(static_cast<float>(random() % 2001) / 1000.0f - 1.0f);
  const std::vector<T> alone(among.begin() + kAt * kInputs, among.begin() + (kAt + 1) * kInputs);
  for (int row = 0; row < kRows; ++row) {
    if (row != kAt && row % 3 == 0) among[row * kInputs + row] = static_cast<T>(row % 2 ? NAN : INFINITY);
  }
  const Uploaded<std::int8_t> weights(random_bytes(random, kOutputs * kInputs));
  const auto weight_scales = random_values<float>(random, kOutputs, 0.0005f, 0.001f),
             bias = random_values<float>(random, kOutputs);
  const auto computed = [&](const std::vector<T>& values, int multiprocessors) {
    const int rows = static_cast<int>(values.size()) / kInputs;
    const Uploaded<T> x(values);
    const DeviceTexts texts(random, {rows}, false);
    const Uploaded<std::int8_t> bytes(std::vector<std::int8_t>(values.size(), 99));
    const auto scales = poisoned<float>(rows);
    const auto out = poisoned<T>(rows * kOutputs);
    quantize_rows<T>({x.get(), kInputs, texts.row_count(), bytes.get(), scales.get()}, rows, nullptr);
    matmul_int8<T>({bytes.get(), scales.get(), weights.get(), weight_scales.get(), bias.get(), Act::gelu, kInputs,
                    kOutputs, texts.row_count(), out.get()},
                   rows, multiprocessors, nullptr);
    return out.fetched();
  };
  const Doubles single = computed(alone, kWideTiles), many = computed(among, kWideTiles);
  const Doubles narrow = computed(among, kNarrowTiles);
  bool same = true;
  for (int row = 0; row < kRows; ++row) {
    const bool broken = row != kAt && row % 3 == 0;
    for (int i = row * kOutputs; i < (row + 1) * kOutputs; ++i) {
      same &= std::isnan(many[i]) == broken && std::isnan(narrow[i]) == broken;
      same &= broken || many[i] == narrow[i];
      if (row == kAt) same &= many[i] == single[i - row * kOutputs];
    }
  }
  EXPECT(same);
}

template <typename T>
void run_all() {
  for (const unsigned seed : {1u, 2u}) {
    std::mt19937 random(seed);
    rows_are_quantized<T>(random);
    sums_are_exact<T>(random, 64, 64, 1, 2);
    sums_are_exact<T>(random, 128, 128, 16, 16);
    sums_are_exact<T>(random, 384, 192, 130, 140);
    sums_are_exact<T>(random, 768, 128, 37, 300);
    sums_are_exact<T>(random, 3072, 256, 17, 20);
    bias_and_activation_follow<T>(random);
    rows_do_not_depend_on_others<T>(random);
  }
}

}  // namespace

int main() {
  return run_kernel_tests([] {
    load_int8_kernels<__half>();
    load_int8_kernels<__nv_bfloat16>();
    run_all<__half>();
    run_all<__nv_bfloat16>();
  });
}
