// How fast each CUDA kernel is on this GPU, and how near its limits: JSON on stdout.
//
//   time_cuda [--quick]      --quick: tiny sizes, to see that it runs
//
// The limits are measured first: bytes a second that a copy reads and writes, and operations a second of a large
// matmul by cublasLt. A kernel is timed by events around replays of a graph of many launches. "warm_us" runs over the
// same memory again and again, which is what the engine does with a chunk; "cold_us" goes through so many sets of
// inputs that the second-level cache holds none, and is null where they would have to be too many; weights stay in the
// cache either way. The limit of a kernel is the larger of its fewest bytes (all inputs read once, all outputs written
// once) and its operations, each at the measured rate; "share_of_limit" is that over cold_us, and in the cache warm_us
// may beat it.
//
// To time another kernel, add a line to `cases_of`; where it replaces others, name them, and "replaces_ratio" says how
// many times faster it is than they are, one after the other.

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "cuda/kernels.h"
#include "cuda/memory.h"
#include "cuda/matmul.h"
#include "cuda/timing.h"
#include "tests/cuda_session.h"

using namespace liteft::cuda;

namespace {

bool quick = false;
constexpr int kRounds = 9;
constexpr int kVocabulary = 30522, kPositions = 512, kLabels = 2;

struct Sizes {
  const char* name;
  int width, inner, heads;
};
constexpr Sizes kModels[] = {{"MiniLM", 384, 1536, 12}, {"BERT-base", 768, 3072, 12}};

// Texts of one launch.
struct Mix {
  std::string name;
  std::vector<int> lengths;
  int rows() const {
    int sum = 0;
    for (const int tokens : lengths) sum += tokens;
    return sum;
  }
};

// As many texts of `least` to `most` tokens, short ones more often, as come to about `rows`.
Mix mix_of(const std::string& name, int rows, int least, int most) {
  std::mt19937 random(7);
  Mix mix{name, {}};
  for (int left = rows; left > 0;) {
    const double part = random() / 4294967296.0;
    const int tokens = std::min(left, least + static_cast<int>(part * part * (most - least + 1)));
    mix.lengths.push_back(tokens);
    left -= tokens;
  }
  return mix;
}

std::vector<Mix> mixes() {
  if (quick) return {{"1 x 16", {16}}, mix_of("3 to 30", 64, 3, 30)};
  std::vector<Mix> all = {{"1 x 32", {32}}, {"1 x 512", {512}}};
  for (const int rows : {1024, 8192}) {
    for (const int tokens : {32, 128, 512})
      all.push_back(
          {std::to_string(rows / tokens) + " x " + std::to_string(tokens), std::vector<int>(rows / tokens, tokens)});
    all.push_back(mix_of(std::to_string(rows) + " rows of 3 to 60", rows, 3, 60));
    all.push_back(mix_of(std::to_string(rows) + " rows of 60 to 512", rows, 60, 512));
  }
  return all;
}

class Stream {
 public:
  Stream() { check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "a stream"); }
  ~Stream() { cudaStreamDestroy(stream_); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  operator cudaStream_t() const { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
};

// Microseconds of a launch: the median over rounds of replays of a graph of `count` launches.
double time_launches(cudaStream_t stream, int count, const std::function<void(int)>& launch) {
  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "capturing");
  for (int number = 0; number < count; ++number) launch(number);
  cudaGraph_t graph = nullptr;
  check(cudaStreamEndCapture(stream, &graph), "capturing");
  cudaGraphExec_t made = nullptr;
  check(cudaGraphInstantiate(&made, graph, 0), "a graph");
  cudaGraphDestroy(graph);
  const Event begin, end;
  std::vector<double> times;
  for (int round = -2; round < kRounds; ++round) {  // two to warm up
    check(cudaEventRecord(begin, stream), "an event");
    check(cudaGraphLaunch(made, stream), "a graph");
    check(cudaEventRecord(end, stream), "an event");
    const double microseconds = 1e3 * milliseconds_between(begin, end) / count;
    if (round >= 0) times.push_back(microseconds);
  }
  check(cudaStreamSynchronize(stream), "a kernel");
  cudaGraphExecDestroy(made);
  std::nth_element(times.begin(), times.begin() + kRounds / 2, times.end());
  return times[kRounds / 2];
}

constexpr std::size_t kPattern = 999983;  // a prime, so that rows do not repeat

// Random values about 0, of that spread: a pattern that is drawn once, over and over.
template <typename V>
DeviceBuffer random_values(std::size_t count, float spread = 1.0f) {
  static std::map<float, DeviceBuffer> patterns;
  DeviceBuffer& pattern = patterns[spread];
  if (!pattern.template as<V>()) {
    std::mt19937 random(3);
    std::normal_distribution<float> normal(0.0f, spread);
    std::vector<V> values(kPattern);
    for (V& value : values) value = static_cast<V>(normal(random));
    pattern = DeviceBuffer(kPattern * sizeof(V));
    check(cudaMemcpy(pattern.as(), values.data(), kPattern * sizeof(V), cudaMemcpyHostToDevice), "copying up");
  }
  static std::size_t place = 0;  // where the next one begins in the pattern
  DeviceBuffer buffer(count * sizeof(V));
  for (std::size_t done = 0; done < count;) {
    const std::size_t part = std::min(kPattern - place, count - done);
    check(
        cudaMemcpy(buffer.as<V>() + done, pattern.template as<V>() + place, part * sizeof(V), cudaMemcpyDeviceToDevice),
        "a copy");
    done += part, place = (place + part) % kPattern;
  }
  return buffer;
}

template <typename V>
DeviceBuffer uploaded(const std::vector<V>& values) {
  DeviceBuffer buffer(values.size() * sizeof(V));
  check(cudaMemcpy(buffer.as(), values.data(), values.size() * sizeof(V), cudaMemcpyHostToDevice), "copying up");
  return buffer;
}

struct Limits {
  double copy;                           // bytes a second, read and written
  std::map<std::string, double> matmul;  // operations a second, by precision
  std::size_t cache;                     // bytes of the second-level cache
};

double measured_copy(cudaStream_t stream) {
  const std::size_t bytes = quick ? 1 << 16 : std::size_t{1} << 30;
  const DeviceBuffer from = random_values<float>(bytes / 4), to(bytes);
  check(cudaDeviceSynchronize(), "setting up");
  const double microseconds = time_launches(stream, 4, [&](int) {
    check(cudaMemcpyAsync(to.as(), from.as(), bytes, cudaMemcpyDeviceToDevice, stream), "a copy");
  });
  return 2e6 * bytes / microseconds;
}

template <typename T>
double measured_matmul(Matmuls& matmuls, void* workspace, cudaStream_t stream) {
  const int size = quick ? 64 : 8192;
  const MatmulShape shape{size, size, size};
  const std::size_t count = static_cast<std::size_t>(size) * size;
  const DeviceBuffer x = random_values<T>(count), weights = random_values<T>(count), out(count * sizeof(T));
  check(cudaDeviceSynchronize(), "setting up");
  Stopwatch stopwatch(stream);
  const MatmulPlaces places{x.as(), weights.as(), nullptr, out.as(), workspace};
  matmuls.autotune(shape, places, stopwatch);
  const double microseconds = time_launches(stream, 4, [&](int) { matmuls.run(shape, places, stream); });
  return 2e6 * size * size * size / microseconds;
}

// What a launch reads and writes. There are several, for cold_us.
template <typename T>
struct Set {
  DeviceBuffer hidden, sums, projected, context, inner, pooled, queries, logits;
  Set(const Sizes& sizes, std::size_t rows, std::size_t texts)
      : hidden(random_values<T>(rows * sizes.width)),
        sums(random_values<T>(rows * sizes.width)),
        projected(random_values<T>(3 * rows * sizes.width)),
        context(random_values<T>(rows * sizes.width)),
        inner(random_values<T>(rows * sizes.inner)),
        pooled(random_values<T>(texts * sizes.width)),
        queries(random_values<T>(texts * sizes.width)),
        logits(rows * kLabels * sizeof(float)) {}
};

// What all sets share: weights, and which rows belong to which text.
template <typename T>
struct Shared {
  DeviceBuffer words, positions, gamma, beta, bias, narrow_bias, square, triple, widen, narrow, classifier, workspace;
  DeviceBuffer counts, offsets, text_of_row, ids, places;
  Shared(const Sizes& sizes, const Mix& mix)
      : words(random_values<T>(static_cast<std::size_t>(kVocabulary) * sizes.width)),
        positions(random_values<T>(kPositions * sizes.width)),
        gamma(random_values<float>(sizes.width)),
        beta(random_values<float>(sizes.width)),
        bias(random_values<float>(3 * sizes.inner)),
        narrow_bias(random_values<T>(3 * sizes.width)),
        square(random_values<T>(sizes.width * sizes.width, 0.05f)),
        triple(random_values<T>(3 * sizes.width * sizes.width, 0.05f)),
        widen(random_values<T>(sizes.width * sizes.inner, 0.05f)),
        narrow(random_values<T>(sizes.inner * sizes.width, 0.05f)),
        classifier(random_values<float>(kLabels * sizes.width)),
        workspace(Matmuls::kWorkspaceBytes) {
    std::mt19937 random(5);
    std::vector<std::int32_t> offset{0}, text, id, place;
    for (const int tokens : mix.lengths) {
      for (int token = 0; token < tokens; ++token) {
        text.push_back(static_cast<int>(offset.size()) - 1), place.push_back(token),
            id.push_back(static_cast<int>(random() % kVocabulary));
      }
      offset.push_back(static_cast<int>(text.size()));
    }
    counts = uploaded(std::vector<Counts>{{offset.back(), static_cast<int>(mix.lengths.size())}});
    offsets = uploaded(offset), text_of_row = uploaded(text), ids = uploaded(id), places = uploaded(place);
  }
};

// One thing to time.
template <typename T>
struct Case {
  std::string name;
  double bytes, operations;
  std::vector<std::string> replaces;
  std::function<void(const Set<T>&)> launch;
  double shared = 0.0;  // of the bytes: weights, the same in every set
};

// What a block may have, at most.
std::size_t shared_memory_of_device() {
  int bytes = 0;
  check(cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0), "asking for the GPU");
  return bytes;
}

template <typename T>
std::vector<Case<T>> cases_of(const Sizes& sizes, const Mix& mix, const Shared<T>& at, Matmuls& matmuls,
                              cudaStream_t stream) {
  const int rows = mix.rows(), texts = static_cast<int>(mix.lengths.size()), width = sizes.width, inner = sizes.inner,
            size = width / sizes.heads;
  const int longest = *std::max_element(mix.lengths.begin(), mix.lengths.end());
  const double row = sizeof(T) * static_cast<double>(rows) * width,
               text = sizeof(T) * static_cast<double>(texts) * width;
  const double inner_row = sizeof(T) * static_cast<double>(rows) * inner;
  double pairs = 0.0;  // of a row that asks and a row that is asked
  for (const int tokens : mix.lengths) pairs += static_cast<double>(tokens) * tokens;
  const Counts* const counts = at.counts.template as<const Counts>();
  const float *gamma = at.gamma.template as<float>(), *beta = at.beta.template as<float>(),
              *bias = at.bias.template as<float>();
  const std::int32_t* offsets = at.offsets.template as<std::int32_t>();

  std::vector<Case<T>> cases;
  const auto matmul = [&](const char* name, const DeviceBuffer& weights, DeviceBuffer Set<T>::* x,
                          DeviceBuffer Set<T>::* out, int inputs, int outputs, const void* narrow_bias = nullptr) {
    const double values = static_cast<double>(rows) * inputs + static_cast<double>(inputs) * outputs +
                          static_cast<double>(rows) * outputs;
    const MatmulShape shape{rows, inputs, outputs, narrow_bias != nullptr};
    const void* const w = weights.as();
    void* const workspace = at.workspace.as();
    cases.push_back({name,
                     sizeof(T) * values,
                     2.0 * rows * inputs * outputs,
                     {},
                     [=, &matmuls](const Set<T>& on) {
                       matmuls.run(shape, {(on.*x).as(), w, narrow_bias, (on.*out).as(), workspace}, stream);
                     },
                     sizeof(T) * static_cast<double>(inputs) * outputs});
  };
  const auto attention = [=, &at, &sizes](const Set<T>& on, bool first) {
    Attention<T> given{};
    T* const projected = on.projected.template as<T>();
    given.query = first ? on.queries.template as<T>() : projected, given.key = projected + width,
    given.value = projected + 2 * width;
    given.stride = 3 * static_cast<std::size_t>(width), given.query_stride = first ? width : given.stride;
    given.text_of_row = at.text_of_row.template as<std::int32_t>(), given.offsets = offsets;
    given.heads = sizes.heads, given.counts = counts;
    given.out = first ? on.pooled.template as<T>() : on.context.template as<T>();
    return given;
  };

  // name, fewest bytes, operations, what it replaces, the launch, and the bytes that are weights
  matmul("product query_key_value", at.triple, &Set<T>::hidden, &Set<T>::projected, width, 3 * width,
         at.narrow_bias.as());
  matmul("product output", at.square, &Set<T>::context, &Set<T>::sums, width, width);
  matmul("product inner", at.widen, &Set<T>::hidden, &Set<T>::inner, width, inner);
  matmul("product outer", at.narrow, &Set<T>::inner, &Set<T>::sums, inner, width);
  cases.push_back({"embed", row + 12.0 * rows + row + sizeof(T) * longest * width, 0.0, {}, [=, &at](const Set<T>& on) {
                     embed<T>({at.ids.template as<std::int32_t>(), nullptr, at.places.template as<std::int32_t>(),
                               at.words.template as<T>(), at.positions.template as<T>(), nullptr, gamma, beta, 1e-12f,
                               width, counts, on.hidden.template as<T>()},
                              rows, stream);
                   }});
  cases.push_back({"normalize", 3 * row, 0.0, {}, [=](const Set<T>& on) {
                     T* const hidden = on.hidden.template as<T>();
                     layer_norm<T>(
                         {on.sums.template as<T>(), bias, hidden, gamma, beta, 1e-12f, width, &counts->rows, hidden},
                         rows, stream);
                   }});
  cases.push_back({"activate gelu", 2 * inner_row, 0.0, {}, [=](const Set<T>& on) {
                     activate<T>({on.inner.template as<T>(), bias, Act::gelu, inner, &counts->rows}, rows, stream);
                   }});
  cases.push_back({"attend", 4 * row, 4 * pairs * width, {}, [=](const Set<T>& on) {
                     attend<T>(attention(on, false), size, rows, stream);
                   }});
  cases.push_back({"attend_first", 2 * row + 2 * text, 4.0 * rows * width, {}, [=](const Set<T>& on) {
                     attend_first<T>(attention(on, true), size, texts, stream);
                   }});
  cases.push_back({"gather_first", 2 * text, 0.0, {}, [=](const Set<T>& on) {
                     gather_first<T>(on.hidden.template as<T>(), offsets, counts, width, on.pooled.template as<T>(),
                                     texts, stream);
                   }});
  cases.push_back({"pool_mean", row + text, 0.0, {}, [=](const Set<T>& on) {
                     pool_mean<T>(on.hidden.template as<T>(), offsets, nullptr, counts, width,
                                  on.pooled.template as<T>(), texts, stream);
                   }});
  cases.push_back({"classify", text, 2.0 * texts * width * kLabels, {}, [=, &at](const Set<T>& on) {
                     classify<T>({on.pooled.template as<T>(), at.classifier.template as<float>(), bias, &counts->texts,
                                  width, kLabels, on.logits.template as<float>()},
                                 texts, stream);
                   }});
  cases.push_back({"classify tokens", row, 2.0 * rows * width * kLabels, {}, [=, &at](const Set<T>& on) {
                     classify_tokens<T>({on.hidden.template as<T>(), at.classifier.template as<float>(), bias,
                                         &counts->rows, width, kLabels, on.logits.template as<float>()},
                                        rows, stream);
                   }});
  const double square = sizeof(T) * static_cast<double>(width) * width,
               wide = sizeof(T) * static_cast<double>(width) * inner;
  const auto operations = [&](int inputs, int outputs) { return 2.0 * rows * inputs * outputs; };
  const T *output_weights = at.square.template as<T>(), *inner_weights = at.widen.template as<T>(),
          *outer_weights = at.narrow.template as<T>();
  const std::size_t memory = shared_memory_of_device();
  if (fuses_norm(width, memory)) {
    cases.push_back({"output, residual and norm",
                     3 * row + square,
                     operations(width, width),
                     {"product output", "normalize"},
                     [=](const Set<T>& on) {
                       T* const hidden = on.hidden.template as<T>();
                       matmul_layer_norm<T>({on.context.template as<T>(), output_weights, bias, hidden, gamma, beta,
                                             1e-12f, width, width, &counts->rows, hidden},
                                            rows, stream);
                     },
                     square});
  }
  if (fuses_act(memory)) {
    cases.push_back({"inner and gelu",
                     row + inner_row + wide,
                     operations(width, inner),
                     {"product inner", "activate gelu"},
                     [=](const Set<T>& on) {
                       matmul_activate<T>({on.hidden.template as<T>(), inner_weights, bias, Act::gelu, width, inner,
                                           &counts->rows, on.inner.template as<T>()},
                                          rows, stream);
                     },
                     wide});
  }
  if (fuses_feed_forward(width, memory)) {
    const std::vector<std::string> replaced{"product inner", "activate gelu", "product outer", "normalize"};
    cases.push_back({"feed-forward", 2 * row + 2 * wide, 2 * operations(width, inner), replaced,
                     [=](const Set<T>& on) {
                       T* const hidden = on.hidden.template as<T>();
                       feed_forward<T>({hidden, inner_weights, outer_weights, bias, bias, Act::gelu, gamma, beta,
                                        1e-12f, width, inner, &counts->rows, hidden},
                                       rows, stream);
                     },
                     2 * wide});
  }
  return cases;
}

bool first_row = true;

template <typename T>
void time_model(const char* precision, const Sizes& sizes, const Mix& mix, const Limits& limits, Matmuls& matmuls,
                cudaStream_t stream) {
  const int rows = mix.rows();
  load_kernels<T>(shared_memory_of_device());
  const Shared<T> shared(sizes, mix);
  const std::size_t hidden_bytes = sizeof(T) * rows * sizes.width;
  const int sets = quick ? 2 : static_cast<int>(std::clamp<std::size_t>(2 * limits.cache / hidden_bytes, 2, 256));
  std::vector<std::unique_ptr<Set<T>>> memory;
  for (int number = 0; number < sets; ++number)
    memory.push_back(std::make_unique<Set<T>>(sizes, rows, mix.lengths.size()));
  check(cudaDeviceSynchronize(), "setting up");
  const Set<T>& one = *memory.front();
  Stopwatch stopwatch(stream);
  const auto autotune = [&](const DeviceBuffer& x, const DeviceBuffer& weights, const DeviceBuffer& out, int inputs,
                            int outputs, const void* narrow_bias = nullptr) {
    matmuls.autotune({rows, inputs, outputs, narrow_bias != nullptr},
                     {x.as(), weights.as(), narrow_bias, out.as(), shared.workspace.as()}, stopwatch);
  };
  autotune(one.hidden, shared.triple, one.projected, sizes.width, 3 * sizes.width, shared.narrow_bias.as());
  autotune(one.context, shared.square, one.sums, sizes.width, sizes.width);
  autotune(one.hidden, shared.widen, one.inner, sizes.width, sizes.inner);
  autotune(one.inner, shared.narrow, one.sums, sizes.inner, sizes.width);
  std::map<std::string, double> times;
  for (const Case<T>& each : cases_of(sizes, mix, shared, matmuls, stream)) {
    const int count = quick ? 2 : std::max(sets, 32);
    const double warm = time_launches(stream, count, [&](int) { each.launch(one); });
    const bool is_cold = quick || (each.bytes - each.shared) * sets > 2.0 * limits.cache;
    const double cold =
        is_cold ? time_launches(stream, count, [&](int number) { each.launch(*memory[number % sets]); }) : 0.0;
    times[each.name] = warm;
    const double limit = 1e6 * std::max(each.bytes / limits.copy, each.operations / limits.matmul.at(precision));
    std::printf(
        "%s\n    {\"kernel\": \"%s\", \"model\": \"%s\", \"precision\": \"%s\", \"texts\": \"%s\", \"rows\": %d, "
        "\"bytes\": %.0f, "
        "\"operations\": %.0f, \"limit_us\": %.3f, \"bound_by\": \"%s\", \"warm_us\": %.3f, \"warm_share_of_limit\": "
        "%.4f, "
        "\"warm_bytes_per_second\": %.4g, \"warm_operations_per_second\": %.4g",
        first_row ? "" : ",", each.name.c_str(), sizes.name, precision, mix.name.c_str(), rows, each.bytes,
        each.operations, limit,
        each.bytes / limits.copy > each.operations / limits.matmul.at(precision) ? "bytes" : "operations", warm,
        limit / warm, 1e6 * each.bytes / warm, 1e6 * each.operations / warm);
    if (is_cold) {
      std::printf(
          ", \"cold_us\": %.3f, \"share_of_limit\": %.4f, \"cold_bytes_per_second\": %.4g, "
          "\"cold_operations_per_second\": %.4g",
          cold, limit / cold, 1e6 * each.bytes / cold, 1e6 * each.operations / cold);
    } else {
      std::printf(", \"cold_us\": null, \"share_of_limit\": null");
    }
    first_row = false;
    if (!each.replaces.empty()) {
      double before = 0.0;
      std::string names;
      for (const std::string& name : each.replaces)
        before += times.at(name), names += (names.empty() ? "" : " + ") + name;
      std::printf(", \"replaces\": \"%s\", \"replaces_us\": %.3f, \"replaces_ratio\": %.3f", names.c_str(), before,
                  before / warm);
    }
    std::printf("}");
    std::fflush(stdout);
  }
}

template <typename T>
void time_precision(const char* precision, int type, Limits& limits, cudaStream_t stream) {
  Matmuls matmuls(CublasLt::open(from_environment("LITEFT_CUBLAS")), type, "");
  {
    const DeviceBuffer workspace(Matmuls::kWorkspaceBytes);
    limits.matmul[precision] = measured_matmul<T>(matmuls, workspace.as(), stream);
  }
  std::fprintf(stderr, "%s: %.1f TFLOP/s by a large matmul\n", precision, limits.matmul[precision] / 1e12);
  for (const Sizes& sizes : kModels) {
    for (const Mix& mix : mixes()) time_model<T>(precision, sizes, mix, limits, matmuls, stream);
    if (quick) break;
  }
}

}  // namespace

int main(int count, char** arguments) {
  quick = count > 1 && std::strcmp(arguments[1], "--quick") == 0;
  if (const int status = look_for_gpu()) return status;
  try {
    const Stream stream;
    cudaDeviceProp device{};
    check(cudaGetDeviceProperties(&device, 0), "asking for the GPU");
    Limits limits{measured_copy(stream), {}, static_cast<std::size_t>(std::max(device.l2CacheSize, 1 << 20))};
    std::printf(
        "{\n  \"gpu\": \"%s\", \"multiprocessors\": %d, \"cache_bytes\": %zu, \"quick\": %s, "
        "\"copy_bytes_per_second\": %.4g,\n  \"rows\": [",
        device.name, device.multiProcessorCount, limits.cache, quick ? "true" : "false", limits.copy);
    time_precision<__nv_bfloat16>("bf16", lt::kBfloat16, limits, stream);
    time_precision<__half>("fp16", lt::kFloat16, limits, stream);
    std::printf("\n  ],\n  \"product_operations_per_second\": {\"bf16\": %.4g, \"fp16\": %.4g}\n}\n",
                limits.matmul["bf16"], limits.matmul["fp16"]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "failed: %s\n", error.what());
    return 1;
  }
  return 0;
}
