// The engine's matmuls beside oneDNN's, on one core: the four matrices of a layer of MiniLM-L6, with what follows
// each.
//
//   time_matmul          prints JSON; run it on one core: taskset -c 0 time_matmul
//
// oneDNN gets weights in the order that it likes best, computed beforehand, and one scale for all rows where the engine
// has one per row. Both turn the same bytes into the same float32.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <unordered_map>
#include <vector>

#include <dnnl.hpp>

#include "cpu/registry.h"

namespace {

using namespace liteft;
using Type = dnnl::memory::data_type;
using Tag = dnnl::memory::format_tag;

constexpr int kRounds = 41;
constexpr double kRoundSeconds = 2e-3;
constexpr float kInputScale = 0.02f, kWeightScale = 0.002f;
constexpr int kZeroPoint = 128;

struct Shape {
  const char* name;
  int inputs, outputs;
  Epilogue epilogue;
};

struct Aligned {
  explicit Aligned(std::size_t bytes) : data(std::aligned_alloc(64, round_up(bytes + 64, 64)), &std::free) {}
  template <typename T>
  T* as() const {
    return static_cast<T*>(data.get());
  }
  std::unique_ptr<void, decltype(&std::free)> data;
};

// The numbers of one matmul, as a file would hold them, and as each precision reads them.
struct Numbers {
  Numbers(const Shape& shape, int rows) {
    std::mt19937 random(1);
    const auto fill = [&](auto& out, std::size_t count, auto draw) {
      out.resize(count);
      for (auto& each : out) each = draw();
    };
    std::normal_distribution<float> normal;
    fill(bytes, static_cast<std::size_t>(rows) * shape.inputs,
         [&] { return static_cast<std::uint8_t>(1 + random() % 255); });
    fill(weight_bytes, static_cast<std::size_t>(shape.inputs) * shape.outputs,
         [&] { return static_cast<std::int8_t>(static_cast<int>(random() % 255) - 127); });
    fill(bias, shape.outputs, [&] { return normal(random); });
    fill(residual, static_cast<std::size_t>(rows) * shape.outputs, [&] { return normal(random); });
    fill(input, bytes.size(), [&, i = 0]() mutable { return kInputScale * (bytes[i++] - kZeroPoint); });
    fill(weights, weight_bytes.size(), [&, i = 0]() mutable { return kWeightScale * weight_bytes[i++]; });
  }
  std::vector<std::uint8_t> bytes;
  std::vector<std::int8_t> weight_bytes;
  std::vector<float> bias, residual, input, weights;
};

class Ours {
 public:
  Ours(const Kernels& kernels, Precision precision, const Shape& shape, int rows, const Numbers& numbers)
      : kernels_(kernels),
        values_(kernels.packed_bytes(precision, shape.outputs, shape.inputs)),
        bias_(filled(shape.outputs)),
        scale_(filled(shape.outputs)),
        offset_(filled(shape.outputs)),
        input_(static_cast<std::size_t>(rows) * shape.inputs * 4),
        scales_(rows, kInputScale),
        out(static_cast<std::size_t>(rows) * shape.outputs) {
    matrix_.precision = precision;
    matrix_.outputs = shape.outputs;
    matrix_.inputs = shape.inputs;
    matrix_.values = values_.as<void>();
    matrix_.bias = bias_.as<float>();
    matrix_.scale = scale_.as<float>();
    matrix_.compensation = offset_.as<std::int32_t>();
    std::fill_n(matrix_.compensation, shape.outputs, 0);
    std::fill_n(matrix_.scale, shape.outputs, kWeightScale);
    std::copy(numbers.bias.begin(), numbers.bias.end(), matrix_.bias);
    if (precision == Precision::int8) {
      kernels.pack_int8(matrix_, numbers.weight_bytes.data());
      std::copy(numbers.bytes.begin(), numbers.bytes.end(), input_.as<std::uint8_t>());
    } else {
      kernels.pack_float(matrix_, numbers.weights.data());
      if (precision == Precision::fp32)
        std::copy(numbers.input.begin(), numbers.input.end(), input_.as<float>());
      else
        kernels.quantize_rows(precision, numbers.input.data(), rows, shape.inputs, input_.as<void>(), shape.inputs * 2,
                              nullptr);
    }
    matmul_.matrix = &matrix_;
    matmul_.last_panel = matrix_.panels;
    matmul_.rows = rows;
    matmul_.input = input_.as<void>();
    matmul_.input_stride = shape.inputs * value_bytes(precision);
    matmul_.row_scale = scales_.data();
    matmul_.output = out.data();
    matmul_.epilogue = shape.epilogue;
    matmul_.residual = numbers.residual.data();
  }
  void run() { kernels_.matmul(matmul_); }

 private:
  static Aligned filled(int outputs) { return Aligned(round_up(outputs, 256) * 4); }
  const Kernels& kernels_;
  Aligned values_, bias_, scale_, offset_, input_;
  std::vector<float> scales_;
  PackedMatrix matrix_;
  Matmul matmul_;

 public:
  std::vector<float> out;
};

class Theirs {
 public:
  Theirs(const dnnl::engine& engine, Precision precision, const Shape& shape, int rows, const Numbers& numbers)
      : stream_(engine), out(static_cast<std::size_t>(rows) * shape.outputs) {
    const bool int8 = precision == Precision::int8;
    const Type type = precision == Precision::bf16 ? Type::bf16 : Type::f32;
    const dnnl::memory::desc input({rows, shape.inputs}, int8 ? Type::u8 : type, Tag::ab);
    const dnnl::memory::desc weights({shape.inputs, shape.outputs}, int8 ? Type::s8 : type, Tag::any);
    const dnnl::memory::desc bias({1, shape.outputs}, Type::f32, Tag::ab),
        output({rows, shape.outputs}, Type::f32, Tag::ab);
    dnnl::primitive_attr attributes;
    dnnl::post_ops after;
    if (int8) {
      attributes.set_scales_mask(DNNL_ARG_SRC, 0);
      attributes.set_scales_mask(DNNL_ARG_WEIGHTS, 2);
      attributes.set_zero_points_mask(DNNL_ARG_SRC, 0);
    }
    if (shape.epilogue == Epilogue::gelu) after.append_eltwise(dnnl::algorithm::eltwise_gelu_erf, 0.0f, 0.0f);
    if (shape.epilogue == Epilogue::residual) after.append_binary(dnnl::algorithm::binary_add, output);
    attributes.set_post_ops(after);
    const dnnl::matmul::primitive_desc description(engine, input, weights, bias, output, attributes);
    implementation = description.impl_info_str();
    multiply_ = dnnl::matmul(description);
    const auto given = [&](const auto& values, const dnnl::memory::dims& sizes, Type values_type) {
      dnnl::memory memory({sizes, values_type, sizes.size() == 1 ? Tag::a : Tag::ab}, engine);
      std::copy(values.begin(), values.end(),
                static_cast<typename std::decay_t<decltype(values)>::value_type*>(memory.get_data_handle()));
      return memory;
    };
    const auto reordered = [&](dnnl::memory from, const dnnl::memory::desc& to) {
      dnnl::memory memory(to, engine);
      dnnl::reorder(from, memory).execute(stream_, from, memory);
      stream_.wait();
      return memory;
    };
    const dnnl::memory::dims input_sizes{rows, shape.inputs}, weight_sizes{shape.inputs, shape.outputs};
    const dnnl::memory stored_input =
        int8 ? given(numbers.bytes, input_sizes, Type::u8) : given(numbers.input, input_sizes, Type::f32);
    const dnnl::memory stored =
        int8 ? given(numbers.weight_bytes, weight_sizes, Type::s8) : given(numbers.weights, weight_sizes, Type::f32);
    arguments_ = {{DNNL_ARG_SRC, reordered(stored_input, description.src_desc())},
                  {DNNL_ARG_WEIGHTS, reordered(stored, description.weights_desc())},
                  {DNNL_ARG_BIAS, given(numbers.bias, {1, shape.outputs}, Type::f32)},
                  {DNNL_ARG_DST, dnnl::memory(output, engine, out.data())}};
    if (int8) {
      arguments_.insert({DNNL_ARG_ATTR_SCALES | DNNL_ARG_SRC, given(std::vector<float>{kInputScale}, {1}, Type::f32)});
      arguments_.insert({DNNL_ARG_ATTR_SCALES | DNNL_ARG_WEIGHTS,
                         given(std::vector<float>(shape.outputs, kWeightScale), {shape.outputs}, Type::f32)});
      arguments_.insert(
          {DNNL_ARG_ATTR_ZERO_POINTS | DNNL_ARG_SRC, given(std::vector<std::int32_t>{kZeroPoint}, {1}, Type::s32)});
    }
    if (shape.epilogue == Epilogue::residual) {
      arguments_.insert({DNNL_ARG_ATTR_MULTIPLE_POST_OP(0) | DNNL_ARG_SRC_1,
                         given(numbers.residual, {rows, shape.outputs}, Type::f32)});
    }
  }
  void run() {
    multiply_.execute(stream_, arguments_);
    stream_.wait();
  }

 private:
  dnnl::stream stream_;
  dnnl::matmul multiply_;
  std::unordered_map<int, dnnl::memory> arguments_;

 public:
  std::vector<float> out;
  std::string implementation;
};

// oneDNN's threads; its SYCL adds the time of a queue to each matmul.
const char* runtime() {
  switch (dnnl_version()->cpu_runtime) {
    case DNNL_RUNTIME_SEQ: return "sequential";
    case DNNL_RUNTIME_OMP: return "OpenMP";
    case DNNL_RUNTIME_TBB: return "TBB";
  }
  return "another";
}

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

template <typename Side>
double seconds(Side& side, int repeats) {
  const double begin = now();
  for (int repeat = 0; repeat < repeats; ++repeat) side.run();
  return (now() - begin) / repeats;
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
  return values[values.size() / 2];
}

}  // namespace

int main() {
  const Shape shapes[] = {{"query, key, value", 384, 1152, Epilogue::none},
                          {"projection + residual", 384, 384, Epilogue::residual},
                          {"inner + GELU", 384, 1536, Epilogue::gelu},
                          {"outer + residual", 1536, 384, Epilogue::residual}};
  const Kernels* kernels = nullptr;
  for (const Kernels* each : known_kernels()) {
    if (!kernels && each->available()) kernels = each;
  }
  const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  const dnnl_version_t* version = dnnl_version();
  std::printf("{\"onednn\": \"%d.%d.%d\", \"onednn_runtime\": \"%s\", \"instructions\": \"%s\", \"rows\": [",
              version->major, version->minor, version->patch, runtime(), kernels->name);
  const char* separator = "";
  const struct {
    const char* name;
    Precision precision;
  } precisions[] = {{"int8", Precision::int8}, {"bf16", Precision::bf16}, {"fp32", Precision::fp32}};
  for (const auto& [name, precision] : precisions) {
    if (precision == Precision::bf16 && !kernels->bf16) continue;
    for (int rows : {11, 25, 96}) {
      for (const Shape& shape : shapes) {
        const Numbers numbers(shape, rows);
        Ours ours(*kernels, precision, shape, rows, numbers);
        Theirs theirs(engine, precision, shape, rows, numbers);
        ours.run();
        theirs.run();
        float largest = 0.0f, apart = 0.0f;
        for (std::size_t i = 0; i < ours.out.size(); ++i) {
          largest = std::max(largest, std::abs(ours.out[i]));
          apart = std::max(apart, std::abs(ours.out[i] - theirs.out[i]));
        }
        if (!(apart < 1e-3f * largest)) {
          std::fprintf(stderr, "%s, %s, %d rows: %g apart of %g\n", name, shape.name, rows, apart, largest);
          return 1;
        }
        const int repeats = 1 + static_cast<int>(kRoundSeconds / seconds(theirs, 5));
        std::vector<double> mine, other, ratio;
        for (int round = 0; round < kRounds; ++round) {
          mine.push_back(seconds(ours, repeats));
          other.push_back(seconds(theirs, repeats));
          ratio.push_back(other.back() / mine.back());
        }
        const double work = 2e-9 * rows * shape.inputs * shape.outputs;
        std::printf(
            "%s\n  {\"precision\": \"%s\", \"product\": \"%s\", \"rows\": %d, \"gops\": %.0f, \"onednn_gops\": %.0f, "
            "\"ratio\": %.3f, \"onednn_kernel\": \"%s\"}",
            separator, name, shape.name, rows, work / median(mine), work / median(other), median(ratio),
            theirs.implementation.c_str());
        separator = ",";
      }
    }
  }
  std::printf("\n]}\n");
}
