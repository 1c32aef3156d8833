// Products of CUTLASS on Hopper beside LiteFT's, with bias and activation: bench/cuda_cutlass.py compiles and runs it.
//
//   cutlass_products        times both in turns on a GPU, and prints a line of JSON for each shape and kernel

#include <cuda_bf16.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "cuda/kernels.h"
#include "cuda/memory.h"
#include "cuda/sm90_product.h"
#include "cutlass/cutlass.h"
#include "cutlass/epilogue/collective/collective_builder.hpp"
#include "cutlass/epilogue/fusion/operations.hpp"
#include "cutlass/gemm/collective/collective_builder.hpp"
#include "cutlass/gemm/device/gemm_universal_adapter.h"
#include "cutlass/gemm/kernel/gemm_universal.hpp"
#include "cutlass/util/packed_stride.hpp"

namespace {

using liteft::cuda::Act;
using liteft::cuda::check;
using liteft::cuda::DeviceBuffer;

struct Operands {
  int rows, inputs, outputs;
  const __nv_bfloat16 *x, *weights;
  const float* bias;
  __nv_bfloat16* out;
};

template <bool Gelu>
struct Activation {
  template <typename V>
  using Of = std::conditional_t<Gelu, cutlass::epilogue::thread::GELU<V>, cutlass::epilogue::thread::Identity<V>>;
};

template <int Rows, int Columns, typename Mainloop, typename Epilogue, bool Gelu>
class Cutlass {
 public:
  explicit Cutlass(const Operands& given) {
    using cutlass::make_cute_packed_stride;
    typename Gemm::Arguments arguments{
        cutlass::gemm::GemmUniversalMode::kGemm,
        {given.rows, given.outputs, given.inputs, 1},
        {reinterpret_cast<const Value*>(given.x),
         make_cute_packed_stride(typename Gemm::GemmKernel::StrideA{}, {given.rows, given.inputs, 1}),
         reinterpret_cast<const Value*>(given.weights),
         make_cute_packed_stride(typename Gemm::GemmKernel::StrideB{}, {given.outputs, given.inputs, 1})},
        {{},
         nullptr,
         {},
         reinterpret_cast<Value*>(given.out),
         make_cute_packed_stride(typename Gemm::GemmKernel::StrideD{}, {given.rows, given.outputs, 1})}};
    arguments.epilogue.thread.alpha = 1.0f;
    arguments.epilogue.thread.beta = 0.0f;
    arguments.epilogue.thread.bias_ptr = given.bias;
    workspace_ = DeviceBuffer(std::max<std::size_t>(16, Gemm::get_workspace_size(arguments)));
    right_ = gemm_.can_implement(arguments) == cutlass::Status::kSuccess &&
             gemm_.initialize(arguments, workspace_.as()) == cutlass::Status::kSuccess;
  }
  bool run(cudaStream_t stream) { return right_ && gemm_.run(stream) == cutlass::Status::kSuccess; }

 private:
  using Value = cutlass::bfloat16_t;
  using Row = cutlass::layout::RowMajor;
  using Tile = cute::Shape<cute::Int<Rows>, cute::Int<Columns>, cute::_64>;
  using Cluster = cute::Shape<cute::_2, cute::_1, cute::_1>;
  using Fusion = cutlass::epilogue::fusion::LinCombPerColBiasEltAct<Activation<Gelu>::template Of, Value, float, float>;
  using Stores = typename cutlass::epilogue::collective::CollectiveBuilder<
      cutlass::arch::Sm90, cutlass::arch::OpClassTensorOp, Tile, Cluster,
      cutlass::epilogue::collective::EpilogueTileAuto, float, float, void, Row, 8, Value, Row, 8, Epilogue,
      Fusion>::CollectiveOp;
  using Multiplies = typename cutlass::gemm::collective::CollectiveBuilder<
      cutlass::arch::Sm90, cutlass::arch::OpClassTensorOp, Value, Row, 8, Value, Row, 8, float, Tile, Cluster,
      cutlass::gemm::collective::StageCountAutoCarveout<static_cast<int>(sizeof(typename Stores::SharedStorage))>,
      Mainloop>::CollectiveOp;
  using Gemm = cutlass::gemm::device::GemmUniversalAdapter<
      cutlass::gemm::kernel::GemmUniversal<cute::Shape<int, int, int, int>, Multiplies, Stores>>;

  Gemm gemm_;
  DeviceBuffer workspace_;
  bool right_ = false;
};

using Cooperative = cutlass::gemm::KernelTmaWarpSpecializedCooperative;
using CooperativeStores = cutlass::epilogue::TmaWarpSpecializedCooperative;
using PingPong = cutlass::gemm::KernelTmaWarpSpecializedPingpong;
using PingPongStores = cutlass::epilogue::TmaWarpSpecialized;

// The median microseconds of a start, of 9 times 20.
template <typename Start>
double microseconds(cudaStream_t stream, const Start& start) {
  cudaEvent_t begin, end;
  check(cudaEventCreate(&begin), "an event");
  check(cudaEventCreate(&end), "an event");
  std::vector<float> times;
  for (int round = 0; round < 10; ++round) {
    check(cudaEventRecord(begin, stream), "an event");
    for (int i = 0; i < 20; ++i) start();
    check(cudaEventRecord(end, stream), "an event");
    check(cudaEventSynchronize(end), "an event");
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, begin, end), "an event");
    if (round) times.push_back(milliseconds * 1000.0f / 20.0f);
  }
  check(cudaEventDestroy(begin), "an event");
  check(cudaEventDestroy(end), "an event");
  std::nth_element(times.begin(), times.begin() + 4, times.end());
  return times[4];
}

std::vector<float> values_of(const DeviceBuffer& memory) {
  std::vector<__nv_bfloat16> values(memory.bytes() / sizeof(__nv_bfloat16));
  check(cudaMemcpy(values.data(), memory.as(), memory.bytes(), cudaMemcpyDeviceToHost), "a copy");
  return {values.begin(), values.end()};
}

// The mean distance of two results, relative to the mean size of one.
double distance(const std::vector<float>& a, const std::vector<float>& b) {
  double apart = 0, size = 0;
  for (std::size_t i = 0; i < a.size(); ++i) apart += std::fabs(a[i] - b[i]), size += std::fabs(a[i]);
  return apart / size;
}

template <bool Gelu>
void compare(int rows, int inputs, int outputs) {
  const auto bytes = [](std::size_t count) { return count * sizeof(__nv_bfloat16); };
  const std::size_t of_x = static_cast<std::size_t>(rows) * inputs, of_out = static_cast<std::size_t>(rows) * outputs,
                    of_weights = static_cast<std::size_t>(inputs) * outputs;
  const DeviceBuffer x(bytes(of_x)), weights(bytes(of_weights)), out(bytes(of_out)), bias(outputs * sizeof(float)),
      count(sizeof(std::int32_t));
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "a stream");
  liteft::cuda::fill_random(x.as<__nv_bfloat16>(), of_x, stream);
  liteft::cuda::fill_random(weights.as<__nv_bfloat16>(), of_weights, stream);
  check(cudaMemsetAsync(bias.as(), 0, bias.bytes(), stream), "filling");
  check(cudaMemcpyAsync(count.as(), &rows, sizeof(rows), cudaMemcpyHostToDevice, stream), "a copy");
  check(cudaStreamSynchronize(stream), "a copy");
  const Operands given{rows,
                       inputs,
                       outputs,
                       x.as<const __nv_bfloat16>(),
                       weights.as<const __nv_bfloat16>(),
                       bias.as<const float>(),
                       out.as<__nv_bfloat16>()};
  int multiprocessors = 0;
  check(cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, 0), "asking for the GPU");
  const liteft::cuda::Sm90Product<__nv_bfloat16> product{liteft::cuda::sm90_map(given.x, rows, inputs),
                                                         liteft::cuda::sm90_map(given.weights, inputs, outputs),
                                                         given.bias,
                                                         inputs,
                                                         outputs,
                                                         count.as<const std::int32_t>(),
                                                         given.out};
  std::vector<float> ours;
  const auto tell = [&](const char* name, const auto& start) {
    if (!start()) return std::printf("{\"kernel\": \"%s\", \"error\": \"it does not start\"}\n", name);
    check(cudaStreamSynchronize(stream), name);
    const std::vector<float> values = values_of(out);
    if (ours.empty()) ours = values;
    return std::printf(
        "{\"kernel\": \"%s\", \"rows\": %d, \"inputs\": %d, \"outputs\": %d, \"gelu\": %s, \"microseconds\": %.2f, "
        "\"distance\": %.2g}\n",
        name, rows, inputs, outputs, Gelu ? "true" : "false", microseconds(stream, start), distance(ours, values));
  };
  const auto by_cutlass = [&](const char* name, auto made) { tell(name, [&] { return made.run(stream); }); };
  for (int turn = 0; turn < 2; ++turn) {
    tell("liteft", [&] {
      liteft::cuda::sm90_matmul_activate(product, Gelu ? Act::gelu : Act::none, multiprocessors, stream);
      return true;
    });
    by_cutlass("cutlass cooperative 128x192", Cutlass<128, 192, Cooperative, CooperativeStores, Gelu>(given));
    by_cutlass("cutlass cooperative 128x256", Cutlass<128, 256, Cooperative, CooperativeStores, Gelu>(given));
    by_cutlass("cutlass pingpong 64x192", Cutlass<64, 192, PingPong, PingPongStores, Gelu>(given));
  }
  check(cudaStreamDestroy(stream), "a stream");
}

}  // namespace

int main() {
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
    std::fprintf(stderr, "skipped: no GPU\n");
    return 77;
  }
  try {
    liteft::cuda::load_sm90_kernels<__nv_bfloat16>();
    compare<true>(8192, 384, 1536);
    compare<false>(8192, 384, 1152);
    compare<true>(4096, 768, 3072);
    compare<false>(4096, 768, 2304);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
