// Products on Hopper against float64 references. On other GPUs they are skipped.

#include <cstring>

#include "cuda/sm90_product.h"
#include "tests/cuda_rows.h"

using namespace liteft::cuda;

namespace {

// Operands of a product on the device, x with room for more rows than there are.
template <typename T>
struct Operands {
  int rows, most, inputs, outputs;
  Uploaded<T> x, weights;
  Uploaded<float> bias;
  DeviceTexts texts;
  Uploaded<T> out;

  Operands(std::mt19937& random, int rows, int inputs, int outputs)
      : rows(rows),
        most(rows + 70),
        inputs(inputs),
        outputs(outputs),
        x(rows_and_poison<T>(random, rows, most, inputs)),
        weights(random_values<T>(random, static_cast<std::size_t>(inputs) * outputs, 1.0f / std::sqrt(inputs))),
        bias(random_values<float>(random, outputs)),
        texts(random, {rows}, false),
        out(poisoned<T>(static_cast<std::size_t>(most) * outputs)) {}

  void activate(Act act, int multiprocessors, const std::int32_t* count = nullptr) const {
    sm90_matmul_activate<T>({sm90_rows_map(x.get(), most, inputs), sm90_weights_map(weights.get(), inputs, outputs),
                             bias.get(), act, inputs, outputs, count ? count : texts.row_count(), out.get()},
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

// The same rows among fewer and more others, and in other grids, come out with the same bits.
template <typename T>
void a_row_does_not_depend_on_others(std::mt19937& random, int inputs, int outputs) {
  constexpr int kRows = 270;
  const Operands<T> given(random, kRows, inputs, outputs);
  given.activate(Act::gelu, 3);
  const Doubles all = given.out.fetched();
  for (const int rows : {1, 63, 65, 129, 200}) {
    const DeviceBuffer count = DeviceTexts::up(std::vector<std::int32_t>{rows});
    check(cudaMemset(given.out.get(), 0xff, given.out.values.size() * sizeof(T)), "poisoning");
    given.activate(Act::gelu, 1 + rows % 5, count.as<const std::int32_t>());
    const Doubles some = given.out.fetched();
    EXPECT(std::memcmp(all.data(), some.data(), static_cast<std::size_t>(rows) * outputs * sizeof(double)) == 0);
    bool untouched = true;
    for (std::size_t i = static_cast<std::size_t>(rows) * outputs; i < some.size(); ++i)
      untouched &= std::isnan(some[i]);
    EXPECT(untouched);
  }
}

template <typename T>
void test(std::mt19937& random) {
  for (const int outputs : {64, 128, 192, 256, 320, 384}) {
    for (const int rows : {1, 17, 64, 65, 128, 300})
      products_are_activated<T>(random, rows, rows == 300 ? 384 : 128, outputs, rows % 2 ? Act::none : Act::gelu,
                                1 + rows % 4);
  }
  products_are_activated<T>(random, 150, 384, 1152, Act::none, 4);
  products_are_activated<T>(random, 40, 768, 512, Act::gelu, 2);
  for (const Act act : kActs) products_are_activated<T>(random, 33, 64, 128, act, 1);
  for (const int outputs : {128, 192, 256}) a_row_does_not_depend_on_others<T>(random, 448, outputs);
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
