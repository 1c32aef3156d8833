// The fused CUDA kernels against float64 references: matmuls with bias and activation, with residual and LayerNorm,
// and the whole feed-forward block.

#include <cstring>

#include "tests/cuda_rows.h"

using namespace liteft::cuda;

namespace {

template <typename Launch, typename T>
void expect_the_same_again(const Launch& launch_it, const Uploaded<T>& out) {
  const Doubles before = out.fetched();
  launch_it();
  const Doubles again = out.fetched();
  EXPECT(std::memcmp(before.data(), again.data(), before.size() * sizeof(double)) == 0);
}

template <typename T>
void matmuls_are_activated(std::mt19937& random, int rows, int inputs, int outputs, Act act) {
  const int most = rows + 40;
  const auto x = rows_and_poison<T>(random, rows, most, inputs),
             weights = random_values<T>(random, inputs * outputs, 1.0f / std::sqrt(inputs));
  const auto bias = random_values<float>(random, outputs);
  const DeviceTexts texts(random, {rows}, false);
  const auto out = poisoned<T>(static_cast<std::size_t>(most) * outputs);
  const auto launch_it = [&] {
    matmul_activate<T>({x.get(), weights.get(), bias.get(), act, inputs, outputs, texts.row_count(), out.get()}, most,
                       nullptr);
  };
  launch_it();
  Doubles expected = matmul(x.values, weights, bias, rows, inputs, outputs);
  for (double& value : expected) value = act_reference(act, value);
  expect_close("matmul_activate", out.fetched(), expected, 1.05 * kRounding<T>);
  expect_the_same_again(launch_it, out);
}

template <typename T>
void matmuls_are_normed(std::mt19937& random, int rows, int inputs, int width, bool in_place) {
  const int most = rows + 70;
  const auto x = rows_and_poison<T>(random, rows, most, inputs),
             weights = random_values<T>(random, inputs * width, 1.0f / std::sqrt(inputs));
  const auto residual = rows_and_poison<T>(random, rows, most, width);
  const auto bias = random_values<float>(random, width), beta = random_values<float>(random, width);
  const auto gamma = random_values<float>(random, width, 0.3f, 1.0f);
  const DeviceTexts texts(random, {rows}, false);
  const auto out = poisoned<T>(in_place ? 1 : static_cast<std::size_t>(most) * width);
  T* to = in_place ? residual.get() : out.get();
  const auto launch_it = [&] {
    matmul_layer_norm<T>({x.get(), weights.get(), bias.get(), residual.get(), gamma.get(), beta.get(), 1e-12f, inputs,
                          width, texts.row_count(), to},
                         most, nullptr);
  };
  launch_it();
  Doubles expected = matmul(x.values, weights, bias, rows, inputs, width);
  for (std::size_t i = 0; i < expected.size(); ++i) expected[i] += residual[i];
  norm_reference(expected, width, gamma, beta, 1e-12);
  expect_close("matmul_layer_norm", in_place ? residual.fetched() : out.fetched(), expected, 1.05 * kRounding<T>);
  if (!in_place) expect_the_same_again(launch_it, out);
}

template <typename T>
void feed_forward_is_one(std::mt19937& random, int rows, int width, int inner, Act act, bool in_place) {
  if (!fuses_feed_forward(width, shared_memory_of_device())) return;  // on a GPU whose blocks have 100 KB
  const int most = rows + 70;
  const auto x = rows_and_poison<T>(random, rows, most, width);
  const auto inner_weights = random_values<T>(random, width * inner, 1.5f / std::sqrt(width));
  const auto outer_weights = random_values<T>(random, inner * width, 1.0f / std::sqrt(inner));
  const auto inner_bias = random_values<float>(random, inner), outer_bias = random_values<float>(random, width);
  const auto gamma = random_values<float>(random, width, 0.3f, 1.0f), beta = random_values<float>(random, width);
  const DeviceTexts texts(random, {rows}, false);
  const auto out = poisoned<T>(in_place ? 1 : static_cast<std::size_t>(most) * width);
  T* to = in_place ? x.get() : out.get();
  const auto launch_it = [&] {
    feed_forward<T>({x.get(), inner_weights.get(), outer_weights.get(), inner_bias.get(), outer_bias.get(), act,
                     gamma.get(), beta.get(), 1e-5f, width, inner, texts.row_count(), to},
                    most, nullptr);
  };
  launch_it();
  Doubles hidden = matmul(x.values, inner_weights, inner_bias, rows, width, inner);
  for (double& value : hidden)
    value = static_cast<double>(static_cast<float>(static_cast<T>(static_cast<float>(act_reference(act, value)))));
  Doubles expected = matmul(hidden, outer_weights, outer_bias, rows, inner, width);
  for (std::size_t i = 0; i < expected.size(); ++i) expected[i] += x[i];
  norm_reference(expected, width, gamma, beta, 1e-5);
  // A hidden value may be rounded to its other neighbour, where float32 comes out on the other side of the middle.
  expect_close("feed_forward", in_place ? x.fetched() : out.fetched(), expected, 1.5 * kRounding<T>);
  if (!in_place) expect_the_same_again(launch_it, out);
}

template <typename T>
void what_is_not_a_number_stays(std::mt19937& random) {
  constexpr int kRows = 3, kWidth = 128, kInner = 64;
  const auto weights = random_values<T>(random, kWidth * kInner, 0.1f);
  const auto norm = random_values<float>(random, kWidth, 0.3f, 1.0f);
  std::vector<float> biases(kWidth, 0.5f);
  biases[7] = NAN;
  const Uploaded<float> bias(biases);
  const DeviceTexts texts(random, {kRows}, false);
  for (const Act act : kActs) {
    const auto x = random_values<T>(random, kRows * kWidth);
    const auto out = poisoned<T>(kRows * kWidth);
    feed_forward<T>({x.get(), weights.get(), weights.get(), bias.get(), norm.get(), act, norm.get(), norm.get(), 1e-5f,
                     kWidth, kInner, texts.row_count(), out.get()},
                    kRows, nullptr);
    for (double value : out.fetched()) EXPECT(std::isnan(value));
    matmul_activate<T>({x.get(), weights.get(), bias.get(), act, kWidth, kInner, texts.row_count(), out.get()}, kRows,
                       nullptr);
    const Doubles activated = out.fetched();
    for (int i = 0; i < kRows * kInner; ++i) EXPECT(std::isnan(activated[i]) == (i % kInner == 7));
  }
}

template <typename T>
void test(std::mt19937& random) {
  for (const int outputs : {64, 128, 320, 384}) {
    matmuls_are_activated<T>(random, 1 + static_cast<int>(random() % 200), 64, outputs, Act::gelu);
    matmuls_are_activated<T>(random, 128, 192, outputs, Act::none);
  }
  for (const Act act : kActs) matmuls_are_activated<T>(random, 17, 128, 64, act);
  for (const int width : {128, 256, 384}) {
    for (const int rows : {1, 63, 64, 65, 200})
      matmuls_are_normed<T>(random, rows, rows == 200 ? 384 : 64, width, rows % 2 == 0);
    matmuls_are_normed<T>(random, 30, 192, width, false);
    for (const int rows : {1, 64, 130})
      feed_forward_is_one<T>(random, rows, width, rows == 1 ? 64 : 256, Act::gelu, rows == 64);
  }
  for (const Act act : {Act::relu, Act::gelu_tanh, Act::silu, Act::tanh, Act::none})
    feed_forward_is_one<T>(random, 9, 128, 192, act, false);
  feed_forward_is_one<T>(random, 40, 384, 1536, Act::gelu, false);
  what_is_not_a_number_stays<T>(random);
}

}  // namespace

int main() {
  return run_kernel_tests([] {
    std::mt19937 random(15);
    test<__half>(random);
    test<__nv_bfloat16>(random);
    EXPECT(fuses_norm(384, 99 << 10) && !fuses_norm(320, 227 << 10) && !fuses_norm(384, 48 << 10));
    EXPECT(fuses_feed_forward(384, 163 << 10) && !fuses_feed_forward(384, 99 << 10) &&
           fuses_feed_forward(256, 99 << 10));
  });
}
