// Products on Hopper against float64 references. On other GPUs they are skipped.

#include <cstring>

#include "cuda/sm90_product.h"
#include "tests/cuda_rows.h"

using namespace liteft::cuda;

namespace {

constexpr float kEpsilon = 1e-12f;

// Operands of a product on the device, x with room for more rows than there are.
template <typename T>
struct Operands {
  int rows, most, inputs, outputs;
  Uploaded<T> x, weights;
  Uploaded<float> bias;
  DeviceTexts texts;
  Uploaded<float> gamma, beta;
  Uploaded<T> out;  // the residual, for LayerNorm

  Operands(std::mt19937& random, int rows, int inputs, int outputs)
      : rows(rows),
        most(rows + 70),
        inputs(inputs),
        outputs(outputs),
        x(rows_and_poison<T>(random, rows, most, inputs)),
        weights(random_values<T>(random, static_cast<std::size_t>(inputs) * outputs, 1.0f / std::sqrt(inputs))),
        bias(random_values<float>(random, outputs)),
        texts(random, {rows}, false),
        gamma(random_values<float>(random, outputs)),
        beta(random_values<float>(random, outputs)),
        out(rows_and_poison<T>(random, rows, most, outputs)) {}

  Sm90Product<T> product(const std::int32_t* count) const {
    return {sm90_map(x.get(), most, inputs),
            sm90_map(weights.get(), inputs, outputs),
            bias.get(),
            inputs,
            outputs,
            count ? count : texts.row_count(),
            out.get()};
  }
  void activate(Act act, int multiprocessors, const std::int32_t* count = nullptr) const {
    sm90_matmul_activate<T>(product(count), act, multiprocessors, nullptr);
  }
  void layer_norm(int multiprocessors, const std::int32_t* count = nullptr) const {
    sm90_matmul_layer_norm<T>({product(count), sm90_map(out.get(), most, outputs), gamma.get(), beta.get(), kEpsilon},
                              multiprocessors, nullptr);
  }
};

template <typename T>
void products_are_activated(std::mt19937& random, int rows, int inputs, int outputs, Act act, int multiprocessors) {
  const Operands<T> given(random, rows, inputs, outputs);
  given.activate(act, multiprocessors);
  Doubles expected = matmul(given.x.values, given.weights, given.bias, rows, inputs, outputs);
  for (double& value : expected) value = act_reference(act, value);
  expect_close("sm90_matmul_activate", given.out.fetched(), expected, 1.05 * kRounding<T>);
}

template <typename T>
void products_are_normalized(std::mt19937& random, int rows, int inputs, int width, int multiprocessors) {
  const Operands<T> given(random, rows, inputs, width);
  given.layer_norm(multiprocessors);
  Doubles expected = matmul(given.x.values, given.weights, given.bias, rows, inputs, width);
  for (std::size_t i = 0; i < expected.size(); ++i) expected[i] += given.out.values[i];
  norm_reference(expected, width, given.gamma, given.beta, kEpsilon);
  expect_close("sm90_matmul_layer_norm", given.out.fetched(), expected, 1.05 * kRounding<T>);
}

// The same rows among fewer and more others, of which some are not finite, and in other grids, come out with the same
// bits; rows beyond the count are not written.
template <typename T, typename Run>
void a_row_does_not_depend_on_others(std::mt19937& random, int inputs, int outputs, const Run& run) {
  constexpr int kRows = 270;
  const Operands<T> given(random, kRows, inputs, outputs);
  std::vector<T> before(given.out.values.size());
  check(cudaMemcpy(before.data(), given.out.get(), before.size() * sizeof(T), cudaMemcpyDeviceToHost), "fetching");
  run(given, 3, nullptr);
  const Doubles all = given.out.fetched();
  for (const int rows : {200, 129, 65, 63, 1}) {
    const DeviceBuffer count = DeviceTexts::up(std::vector<std::int32_t>{rows});
    check(cudaMemcpy(given.out.get(), before.data(), before.size() * sizeof(T), cudaMemcpyHostToDevice), "restoring");
    check(cudaMemset(given.x.get() + static_cast<std::size_t>(rows) * inputs, 0xff,
                     static_cast<std::size_t>(kRows - rows) * inputs * sizeof(T)),
          "poisoning");
    run(given, 1 + rows % 9, count.as<const std::int32_t>());
    std::vector<T> some(before.size());
    check(cudaMemcpy(some.data(), given.out.get(), some.size() * sizeof(T), cudaMemcpyDeviceToHost), "fetching");
    const std::size_t there = static_cast<std::size_t>(rows) * outputs;
    bool same = true;
    for (std::size_t i = 0; i < there; ++i) same &= static_cast<float>(some[i]) == all[i];
    EXPECT(same);
    EXPECT(std::memcmp(some.data() + there, before.data() + there, (some.size() - there) * sizeof(T)) == 0);
  }
}

template <typename T>
void test(std::mt19937& random) {
  products_are_activated<T>(random, 70, 64, 384, Act::gelu, 4);  // fewer stages than parts of a tile
  products_are_activated<T>(random, 300, 192, 128, Act::gelu, 2);
  for (const int outputs : {64, 128, 192, 320}) {  // tiles of 128 columns, one alone or the last one in part
    for (const int rows : {1, 64, 65, 129, 300})
      products_are_activated<T>(random, rows, 256, outputs, rows % 2 ? Act::none : Act::gelu, 2 + rows % 3);
  }
  for (const int rows : {1, 17, 64, 65, 128, 300})  // tiles of 192 columns
    products_are_activated<T>(random, rows, 384, 384, rows % 2 ? Act::gelu : Act::none, 4 * (1 + rows % 2));
  products_are_activated<T>(random, 530, 384, 1152, Act::none, 8);
  products_are_activated<T>(random, 40, 768, 768, Act::gelu, 1);
  for (const Act act : kActs) {
    products_are_activated<T>(random, 33, 256, 128, act, 2);
    products_are_activated<T>(random, 33, 384, 384, act, 4);
  }
  for (const int rows : {1, 16, 64, 65, 128, 129, 300}) products_are_normalized<T>(random, rows, 384, 384, 4);
  products_are_normalized<T>(random, 700, 320, 384, 8);
  products_are_normalized<T>(random, 270, 768, 768, 8);
  products_are_normalized<T>(random, 600, 320, 768, 1);
  const auto activate = [](const Operands<T>& given, int multiprocessors, const std::int32_t* count) {
    given.activate(Act::gelu, multiprocessors, count);
  };
  const auto layer_norm = [](const Operands<T>& given, int multiprocessors, const std::int32_t* count) {
    given.layer_norm(multiprocessors, count);
  };
  a_row_does_not_depend_on_others<T>(random, 448, 128, activate);
  a_row_does_not_depend_on_others<T>(random, 448, 384, activate);
  a_row_does_not_depend_on_others<T>(random, 384, 384, layer_norm);
  a_row_does_not_depend_on_others<T>(random, 320, 768, layer_norm);
}

}  // namespace

int main() {
  return run_kernel_tests([] {
    cudaDeviceProp properties{};
    check(cudaGetDeviceProperties(&properties, 0), "asking for the GPU");
    if (properties.major != 9 || properties.minor != 0) {
      std::printf("skipped: not a Hopper GPU\n");
      return;
    }
    load_sm90_kernels<__half>();
    load_sm90_kernels<__nv_bfloat16>();
    std::mt19937 random(21);
    test<__half>(random);
    test<__nv_bfloat16>(random);
  });
}
