#include "cuda/engine.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "cuda/int8.h"
#include "cuda/sm90_product.h"

namespace liteft::cuda {
namespace {

constexpr int kLeastCapability = 75;
constexpr const char* kLeastDriver = CUDART_VERSION >= 13000 ? "R580" : "R525";  // the first of CUDA's major version
constexpr int kLeastRows = 256, kMostRows = 65536;                               // limits of LITEFT_CUDA_ROWS
constexpr int kMostSlots = 64;
constexpr int kShortRows = 512;  // of a short request, whose graph has the copies in it

// Makes a device the current one of the calling thread, and restores the former one at the end. A device that is
// already current is not selected again, and no other one is touched, since selecting a device starts CUDA on it, which
// takes hundreds of megabytes. The thread may wait for the GPU although another one captures a graph.
class Current {
 public:
  explicit Current(int device) {
    check(cudaGetDevice(&before_), "the current GPU");
    if (before_ == device) return;
    check(cudaSetDevice(device), "choosing a GPU");
    changed_ = true;
  }
  ~Current() {
    if (changed_) cudaSetDevice(before_);
  }
  Current(const Current&) = delete;
  Current& operator=(const Current&) = delete;

 private:
  BesideCaptures beside_;
  int before_ = 0;
  bool changed_ = false;
};

template <typename T>
class Engine : public AnyEngine {
 public:
  Engine(const liteft_shape& shape, const liteft_weight* weights, int count, int type, const Settings& settings,
         std::string about)
      : settings_(settings),
        library_(CublasLt::open(settings.folders)),
        about_(std::move(about)),
        model_(shape, weights, count),
        matmuls_(library_, type, cache_file("matmuls", type)),
        fusions_(settings.policy, abilities(), cache_file("fusions", type)) {
    if (settings_.most_rows == 0) settings_.most_rows = rows_for_width(shape.width);
    settings_.most_rows = std::max(settings_.most_rows, bucket_of(shape.positions));
    if (model_.holds_int8) load_int8_kernels<T>();
    load_kernels<T>(shared_memory());  // with a full tuning cache, some would run first within a capture
    if (fusions_.abilities().hopper) load_sm90_kernels<T>();
    idle_.push_back(make_slot());
    for (const int rows : buckets_up_to(settings_.most_rows)) idle_.back()->autotune(rows);
    matmuls_.save();
    fusions_.save();
    prepare_usual(*idle_.back());
    make_more_slots();
  }

  void run(const liteft_batch& batch, float* logits) override {
    require_working_cuda();
    const Current current(settings_.device);
    const SlotLease slot(*this);
    const std::vector<Chunk> chunks = chunks_of(batch.offsets, batch.texts, settings_.most_rows);
    for (const Chunk& chunk : chunks) {
      if (chunk.rows <= settings_.most_rows) continue;
      throw std::invalid_argument("text " + std::to_string(chunk.first_text) + " has " + std::to_string(chunk.rows) +
                                  " tokens, and on a GPU it may have " + std::to_string(settings_.most_rows));
    }
    // While the GPU computes a chunk, the host writes the next one: they have two sides of the slot's pinned memory.
    const auto finish = [&](std::size_t number) {
      const Chunk& chunk = chunks[number];
      const std::size_t first = logit_row(batch, chunk.first_text), rows = logit_row(batch, chunk.last_text) - first;
      slot->finish(number % 2);
      std::memcpy(logits + first * model_.shape.labels, slot->logits(number % 2),
                  rows * model_.shape.labels * sizeof(float));
    };
    try {
      for (std::size_t number = 0; number < chunks.size(); ++number) {
        const Chunk& chunk = chunks[number];
        Bucket bucket = bucket_for(chunk, batch);
        bucket.copies = chunks.size() == 1 && bucket.rows <= kShortRows;
        prepare(*slot.operator->(), bucket);
        fill(slot->host(bucket, number % 2), bucket, batch, chunk);
        slot->begin(bucket, logit_row(batch, chunk.last_text) - logit_row(batch, chunk.first_text), number % 2);
        if (number > 0) finish(number - 1);
      }
      if (!chunks.empty()) finish(chunks.size() - 1);
    } catch (...) {
      slot->abandon();
      throw;
    }
  }

  double time(const liteft_batch& batch, int runs) override {
    std::vector<float> logits(logit_row(batch, batch.texts) * model_.shape.labels);
    run(batch, logits.data());  // checks that the batch can run, and warms up
    const Current current(settings_.device);
    const SlotLease slot(*this);
    double milliseconds = 0.0;
    for (const Chunk& chunk : chunks_of(batch.offsets, batch.texts, settings_.most_rows)) {
      const Bucket bucket = bucket_for(chunk, batch);
      prepare(*slot.operator->(), bucket);  // this slot may not have the graph if another slot ran the batch before
      fill(slot->host(bucket, 0), bucket, batch, chunk);
      slot->begin(bucket, logit_row(batch, chunk.last_text) - logit_row(batch, chunk.first_text), 0);
      slot->finish(0);
      milliseconds += slot->time(bucket, runs);
    }
    return milliseconds;
  }

  double time_pass(const liteft_batch* batches, int count) override {
    for (int number = 0; number < count; ++number) {
      std::vector<float> logits(logit_row(batches[number], batches[number].texts) * model_.shape.labels);
      run(batches[number], logits.data());  // checks that the batch can run, and warms up
    }
    const Current current(settings_.device);
    const SlotLease slot(*this);
    std::vector<Uploaded> chunks;
    for (int number = 0; number < count; ++number) {
      const liteft_batch& batch = batches[number];
      for (const Chunk& chunk : chunks_of(batch.offsets, batch.texts, settings_.most_rows)) {
        const Bucket bucket = bucket_for(chunk, batch);
        prepare(*slot.operator->(), bucket);
        fill(slot->host(bucket, 0), bucket, batch, chunk);
        chunks.push_back(slot->uploaded(bucket));
      }
    }
    return slot->time(chunks);
  }

 private:
  // Holds an execution slot for the time of a run.
  class SlotLease {
   public:
    explicit SlotLease(Engine& engine) : engine_(engine), slot_(engine.take()) {}
    ~SlotLease() { engine_.put(std::move(slot_)); }
    SlotLease(const SlotLease&) = delete;
    SlotLease& operator=(const SlotLease&) = delete;
    ExecutionSlot<T>* operator->() const { return slot_.get(); }

   private:
    Engine& engine_;
    std::unique_ptr<ExecutionSlot<T>> slot_;
  };

  std::unique_ptr<ExecutionSlot<T>> make_slot() {
    return std::make_unique<ExecutionSlot<T>>(model_, matmuls_, fusions_, settings_.most_rows, settings_.most_rows,
                                              settings_.most_graphs);
  }

  // Slots are made when the classifier is, never in a request: their memory would delay it, and could be missing.
  void make_more_slots() {
    const std::size_t wanted = settings_.slots ? settings_.slots : 2;
    while (idle_.size() < wanted) {
      try {
        auto slot = make_slot();
        prepare_usual(*slot);
        idle_.push_back(std::move(slot));
      } catch (const OutOfMemory&) {
        if (settings_.slots) throw;
        return;  // runs wait for the slots that there are
      }
    }
  }

  // Captures the graphs of all batches without hidden tokens, which are nearly all, so that no request of them has to.
  void prepare_usual(ExecutionSlot<T>& slot) {
    for (const int rows : buckets_up_to(settings_.most_rows)) {
      for (const int texts : text_buckets_of(rows))
        prepare(slot, {rows, texts, false, model_.shape.types > 0, rows <= kShortRows});
    }
  }

  void prepare(ExecutionSlot<T>& slot, const Bucket& bucket) {
    if (slot.has(bucket)) return;
    const std::lock_guard lock(preparing_);  // only one capture at a time
    slot.prepare(bucket);
  }

  std::unique_ptr<ExecutionSlot<T>> take() {
    std::unique_lock lock(mutex_);
    returned_.wait(lock, [&] { return !idle_.empty(); });
    auto slot = std::move(idle_.back());
    idle_.pop_back();
    return slot;
  }

  void put(std::unique_ptr<ExecutionSlot<T>> slot) {
    const std::lock_guard lock(mutex_);
    idle_.push_back(std::move(slot));
    returned_.notify_one();
  }

  // The first row of logits of a text: each text has one or, without pooling, one for each of its tokens.
  std::size_t logit_row(const liteft_batch& batch, int text) const {
    return model_.shape.pooling == LITEFT_NONE ? batch.offsets[text] : text;
  }

  Bucket bucket_for(const Chunk& chunk, const liteft_batch& batch) const {
    Bucket bucket;
    bucket.rows = std::min(bucket_of(chunk.rows), settings_.most_rows);
    bucket.texts = text_bucket_of(chunk.last_text - chunk.first_text, bucket.rows);
    bucket.key_mask = batch.key_mask != nullptr;
    bucket.holds_types = model_.shape.types > 0;
    return bucket;
  }

  static void fill(const Staging& out, const Bucket& bucket, const liteft_batch& batch, const Chunk& chunk) {
    const int first = batch.offsets[chunk.first_text], texts = chunk.last_text - chunk.first_text;
    *out.counts = {chunk.rows, texts};
    for (int text = 0; text <= texts; ++text) out.offsets[text] = batch.offsets[chunk.first_text + text] - first;
    for (int text = 0; text < texts; ++text)
      std::fill(out.text_of_row + out.offsets[text], out.text_of_row + out.offsets[text + 1], text);
    std::copy_n(batch.ids + first, chunk.rows, out.ids);
    std::copy_n(batch.positions + first, chunk.rows, out.positions);
    if (bucket.holds_types && batch.types) std::copy_n(batch.types + first, chunk.rows, out.types);
    if (bucket.holds_types && !batch.types) std::fill_n(out.types, chunk.rows, 0);
    if (bucket.key_mask) std::copy_n(batch.key_mask + first, chunk.rows, out.key_mask);
  }

  int attribute(cudaDeviceAttr which) const {
    int value = 0;
    check(cudaDeviceGetAttribute(&value, which, settings_.device), "asking for the GPU");
    return value;
  }
  // The most shared memory that a block may have, in bytes.
  std::size_t shared_memory() const { return attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin); }

  Abilities abilities() const {
    const int major = attribute(cudaDevAttrComputeCapabilityMajor),
              minor = attribute(cudaDevAttrComputeCapabilityMinor);
    return {shared_memory(), major == 9 && minor == 0 && holds_sm90_kernels(),
            attribute(cudaDevAttrMultiProcessorCount)};
  }

  // Names everything on which the fastest choice depends: the GPU, or the part of it that is available, versions, and
  // the kernels.
  std::string cache_file(const std::string& what, int type) const {
    if (settings_.cache.empty()) return "";
    std::string name = about_ + ", " + std::to_string(attribute(cudaDevAttrMultiProcessorCount)) +
                       " multiprocessors, kernels " + LITEFT_CUDA_KERNELS +
                       (type == lt::kFloat16 ? ", fp16" : ", bf16");
    for (char& each : name) {
      if (!std::isalnum(static_cast<unsigned char>(each)) && each != '.') each = '-';
    }
    return settings_.cache + "/" + what + "-" + name + ".txt";
  }

  Settings settings_;
  const CublasLt& library_;
  const std::string about_;
  const Model<T> model_;
  Matmuls matmuls_;
  FusionTable fusions_;
  std::mutex preparing_, mutex_;
  std::condition_variable returned_;
  std::vector<std::unique_ptr<ExecutionSlot<T>>> idle_;
};

}  // namespace

namespace {

// The number in an environment variable, or `otherwise` if it is not set.
int number_from_environment(const char* name, const char* meaning, int least, int most, int otherwise) {
  const char* const asked = std::getenv(name);
  if (!asked || !*asked) return otherwise;
  char* end = nullptr;
  const long number = std::strtol(asked, &end, 10);
  if (*end || number < least || number > most) {
    throw std::invalid_argument(std::string(name) + " is '" + asked + "', and " + meaning + " are a number from " +
                                std::to_string(least) + " to " + std::to_string(most));
  }
  return static_cast<int>(number);
}

}  // namespace

int rows_from_environment(int otherwise) {
  return number_from_environment("LITEFT_CUDA_ROWS", "the rows of a chunk", kLeastRows, kMostRows, otherwise);
}

int checked_slots(int asked) {
  if (asked == 0) return number_from_environment("LITEFT_CUDA_SLOTS", "the execution slots", 1, kMostSlots, 0);
  if (asked < 0 || asked > kMostSlots) {
    throw std::invalid_argument("slots = " + std::to_string(asked) + " is not between 1 and " +
                                std::to_string(kMostSlots));
  }
  return asked;
}

Policy policy_from_environment(Policy otherwise) {
  const char* const asked = std::getenv("LITEFT_CUDA_FUSE");
  if (!asked || !*asked) return otherwise;
  if (std::strcmp(asked, "always") == 0) return Policy::always;
  if (std::strcmp(asked, "never") == 0) return Policy::never;
  if (std::strcmp(asked, "hopper") == 0) return Policy::hopper;
  if (std::strcmp(asked, "whole") == 0) return Policy::whole;
  if (std::strcmp(asked, "cautious") == 0) return Policy::cautious;
  throw std::invalid_argument("LITEFT_CUDA_FUSE is '" + std::string(asked) +
                              "', and it is 'always', 'never', 'hopper', 'whole' or 'cautious', or unset: then what is "
                              "faster is measured");
}

std::string describe(const Settings& settings) {
  require_working_cuda();
  static const pid_t first = getpid();  // the process that first used CUDA; a fork of it inherits this value
  int devices = 0, driver = 0;
  const cudaError_t error = cudaGetDeviceCount(&devices);
  if (error == cudaErrorInsufficientDriver) {  // also where there is no driver at all
    throw std::runtime_error("there is no NVIDIA driver, or one older than " + std::string(kLeastDriver) +
                             ": this library was built with CUDA " + std::to_string(CUDART_VERSION / 1000) + "." +
                             std::to_string(CUDART_VERSION % 1000 / 10));
  }
  if (error == cudaErrorInitializationError && getpid() != first) {
    cudaGetLastError();
    throw std::runtime_error(
        "CUDA does not follow a fork, and this process was forked from one that had started CUDA; start processes "
        "by spawn");
  }
  check(error, "looking for a GPU");
  if (settings.device < 0 || settings.device >= devices) {
    throw std::runtime_error("there is no GPU " + std::to_string(settings.device) + " among " +
                             std::to_string(devices));
  }
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, settings.device), "asking for the GPU");
  check(cudaDriverGetVersion(&driver), "asking for the driver");
  const std::string capability = std::to_string(properties.major) + "." + std::to_string(properties.minor);
  if (10 * properties.major + properties.minor < kLeastCapability) {
    throw std::runtime_error(std::string(properties.name) + " has compute capability " + capability +
                             ", and 7.5 is needed");
  }
  const Current current(settings.device);
  const BesideCaptures beside;
  const cudaError_t looked = look_for_kernels();
  if (looked == cudaErrorNoKernelImageForDevice || looked == cudaErrorInvalidDeviceFunction ||
      looked == cudaErrorUnsupportedPtxVersion) {
    cudaGetLastError();
    throw std::runtime_error(
        std::string(properties.name) + " has compute capability " + capability +
        ", and libliteft_cuda holds no kernels that run on it: it was built for " LITEFT_CUDA_BUILT_FOR
        " (LITEFT_CUDA_ARCHITECTURES)");
  }
  check(looked, "looking for kernels");
  return std::string(properties.name) + ", compute capability " + capability + ", CUDA " +
         std::to_string(driver / 1000) + "." + std::to_string(driver % 1000 / 10) + ", cublasLt " +
         std::to_string(CublasLt::open(settings.folders).version());
}

std::unique_ptr<AnyEngine> make_engine(const liteft_shape& shape, const liteft_weight* weights, int count,
                                       int precision, const Settings& settings) {
  const std::string about = describe(settings);  // throws if something is missing, before any device is selected
  const Current current(settings.device);
  const Loading loading;
  int major = 0;
  check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, settings.device), "asking for the GPU");
  if (precision == LITEFT_BF16 && major < 8) {
    throw std::runtime_error("a GPU before compute capability 8.0 cannot compute in bf16, but in fp16: " + about);
  }
  if (precision == LITEFT_BF16 || (precision == LITEFT_INT8 && major >= 8))
    return std::make_unique<Engine<__nv_bfloat16>>(shape, weights, count, lt::kBfloat16, settings, about);
  return std::make_unique<Engine<__half>>(shape, weights, count, lt::kFloat16, settings, about);
}

}  // namespace liteft::cuda
