#include "engine/cuda_engine.h"

#if defined(__linux__)
#include <dlfcn.h>
#endif

#include <numeric>
#include <stdexcept>
#include <vector>

#include "cuda/api.h"
#include "engine/refuse.h"
#include "engine/weights.h"

namespace liteft {
namespace {

constexpr const char* kName = "libliteft_cuda.so";

// The functions of libliteft_cuda. It is opened once and never closed, since CUDA's own threads may outlive the models.
struct CudaLibrary {
  decltype(&liteft_cuda_abi) abi;
  decltype(&liteft_cuda_last_error) last_error;
  decltype(&liteft_cuda_create) create;
  decltype(&liteft_cuda_run) run;
  decltype(&liteft_cuda_destroy) destroy;
  decltype(&liteft_cuda_is_whole) is_whole;
  decltype(&liteft_cuda_describe) describe;

  void check(int failed) const {
    if (failed) throw std::runtime_error(last_error());
  }
};

#if defined(__linux__)
// The folder of this library's file.
std::string own_folder() {
  Dl_info info{};
  if (!dladdr(reinterpret_cast<const void*>(&liteft_abi), &info) || !info.dli_fname) return "";
  const std::string path = info.dli_fname;
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash + 1);
}

CudaLibrary open_library() {
  const std::string path = own_folder() + kName;
  void* const handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle) {
    const char* why = dlerror();
    throw std::runtime_error("the CUDA library cannot be opened: " + std::string(why ? why : path));
  }
  CudaLibrary library{};
  const auto take = [&](auto& function, const char* name) {
    void* const symbol = dlsym(handle, name);
    if (!symbol) throw std::runtime_error(path + " has no " + name);
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(symbol);
  };
  take(library.abi, "liteft_cuda_abi");
  if (library.abi() != LITEFT_CUDA_ABI) {
    throw std::runtime_error(path + " has ABI " + std::to_string(library.abi()) + ", and libliteft needs ABI " +
                             std::to_string(LITEFT_CUDA_ABI) + ": the two must be of one build");
  }
  take(library.last_error, "liteft_cuda_last_error");
  take(library.create, "liteft_cuda_create");
  take(library.run, "liteft_cuda_run");
  take(library.destroy, "liteft_cuda_destroy");
  take(library.is_whole, "liteft_cuda_is_whole");
  take(library.describe, "liteft_cuda_describe");
  return library;
}
#else
CudaLibrary open_library() { throw std::runtime_error("there is a CUDA library on Linux alone"); }
#endif

const CudaLibrary& library() {
  static const CudaLibrary opened = open_library();  // if this throws, the next call tries again
  return opened;
}

class CudaEngine : public Runner {
 public:
  CudaEngine(const liteft_shape& shape, const DequantizedWeights& dequantized, int precision,
             const CudaSettings& settings)
      : library_(library()), shape_(dequantized.shape()) {
    const auto& weights = dequantized.weights();
    library_.check(library_.create(&shape, weights.data(), static_cast<std::int32_t>(weights.size()), precision,
                                   settings.device, settings.slots, settings.cublas, settings.cache, &classifier_));
  }
  ~CudaEngine() override { library_.destroy(classifier_); }
  CudaEngine(const CudaEngine&) = delete;
  CudaEngine& operator=(const CudaEngine&) = delete;

  void run(const Batch& batch, float* logits) override {
    liteft_batch given{batch.texts, batch.ids, batch.types, batch.positions, batch.offsets, batch.key_mask};
    std::vector<std::int32_t> places;
    if (!given.positions) {
      places = places_of(batch);
      given.positions = places.data();
    }
    library_.check(library_.run(classifier_, &given, logits));
    rows_ += batch.offsets[batch.texts];
    ++calls_;
  }

  const ModelShape& shape() const override { return shape_; }
  bool is_whole() const override { return library_.is_whole(classifier_) != 0; }

 private:
  static std::vector<std::int32_t> places_of(const Batch& batch) {
    std::vector<std::int32_t> places(batch.offsets[batch.texts]);
    for (int text = 0; text < batch.texts; ++text) {
      std::iota(places.begin() + batch.offsets[text], places.begin() + batch.offsets[text + 1], 0);
    }
    return places;
  }

  const CudaLibrary& library_;
  const ModelShape shape_;
  liteft_cuda* classifier_ = nullptr;
};

}  // namespace

std::unique_ptr<Runner> make_cuda_engine(const liteft_shape& shape, const liteft_weight* weights, int count,
                                         int precision, const CudaSettings& settings) {
  if (precision != LITEFT_BF16 && precision != LITEFT_FP16 && precision != LITEFT_INT8) {
    refuse("precision " + std::to_string(precision) + " is not offered on a GPU: bf16, fp16 and int8 are");
  }
  const DequantizedWeights dequantized(shape, weights, count, precision == LITEFT_INT8);
  return std::make_unique<CudaEngine>(shape, dequantized, precision, settings);
}

std::string describe_gpu(const CudaSettings& settings) {
  std::string text(512, '\0');
  library().check(
      library().describe(settings.device, settings.cublas, text.data(), static_cast<std::int32_t>(text.size())));
  text.resize(text.find('\0'));
  return text;
}

}  // namespace liteft
