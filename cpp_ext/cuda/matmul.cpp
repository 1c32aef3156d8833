#include "cuda/matmul.h"

#include <limits>
#include <sstream>
#include <stdexcept>
#include <vector>

#include "cuda/tuning_cache.h"

namespace liteft::cuda {
namespace {

constexpr int kCandidates = 16;

// Thrown for an algorithm that cannot be started.
struct Unusable : std::runtime_error {
  using std::runtime_error::runtime_error;
};

void succeed(int status, const char* what) {
  if (status != lt::kSuccess)
    throw std::runtime_error(std::string("cublasLt: ") + what + " failed with status " + std::to_string(status));
}

// What a matmul computes, as cublasLt is told it: sums in float32 and, where there is a bias, the bias added to them.
class Description {
 public:
  Description(const CublasLt& library, const void* bias) : library_(library) {
    succeed(library.desc_create(&desc_, lt::kCompute32F, lt::kFloat32), "a description");
    if (!bias) return;
    const std::uint32_t epilogue = lt::kEpilogueBias;
    succeed(library.desc_set(desc_, lt::kEpilogue, &epilogue, sizeof(epilogue)), "a bias");
    succeed(library.desc_set(desc_, lt::kBiasPointer, &bias, sizeof(bias)), "a bias");
  }
  ~Description() {
    if (desc_) library_.desc_destroy(desc_);
  }
  Description(const Description&) = delete;
  Description& operator=(const Description&) = delete;
  operator void*() const { return desc_; }

 private:
  const CublasLt& library_;
  void* desc_ = nullptr;
};

}  // namespace

Matmuls::Matmuls(const CublasLt& library, int type, std::string cache)
    : library_(library), type_(type), cache_(std::move(cache)) {
  succeed(library_.create(&handle_), "create");
  succeed(library_.preference_create(&preference_), "a preference");
  const std::size_t most = kWorkspaceBytes;
  succeed(library_.preference_set(preference_, lt::kPreferenceMostWorkspace, &most, sizeof(most)),
          "the workspace's size");
  // Partial sums stay in float32 if the inner dimension is split.
  const std::uint32_t reductions = lt::kReduceInComputeType;
  succeed(library_.preference_set(preference_, lt::kPreferenceReductions, &reductions, sizeof(reductions)),
          "the kinds of reductions");
  load();
}

Matmuls::~Matmuls() {
  for (auto& [shape, plan] : plans_) {
    for (void* layout : {plan.weights, plan.x, plan.out}) {
      if (layout) library_.layout_destroy(layout);
    }
  }
  if (preference_) library_.preference_destroy(preference_);
  if (handle_) library_.destroy(handle_);
}

// cublasLt's matrices are column-major: it sees the weights as (outputs, inputs) and x as (inputs, rows), and computes
// weights times x, which is our row-major result (rows, outputs).
Matmuls::Plan& Matmuls::plan_of(const MatmulShape& shape) {
  Plan& plan = plans_[shape];
  if (!plan.out) {
    succeed(library_.layout_create(&plan.weights, type_, shape.outputs, shape.inputs, shape.outputs), "a layout");
    succeed(library_.layout_create(&plan.x, type_, shape.inputs, shape.rows, shape.inputs), "a layout");
    succeed(library_.layout_create(&plan.out, type_, shape.outputs, shape.rows, shape.outputs), "a layout");
  }
  return plan;
}

int Matmuls::launch(const Plan& plan, const Algorithm& algorithm, const MatmulPlaces& places,
                    cudaStream_t stream) const {
  const float one = 1.0f, zero = 0.0f;
  const Description description(library_, places.bias);
  return library_.matmul(handle_, description, &one, places.weights, plan.weights, places.x, plan.x, &zero, places.out,
                         plan.out, places.out, plan.out, &algorithm, places.workspace, kWorkspaceBytes, stream);
}

void Matmuls::autotune(const MatmulShape& shape, const MatmulPlaces& places, Stopwatch& stopwatch) {
  const cudaStream_t stream = stopwatch.stream();
  Plan& plan = plan_of(shape);
  if (plan.known) return;
  if (const auto kept = kept_.find(shape); kept != kept_.end()) {
    plan.algorithm = kept->second;
    plan.known = launch(plan, plan.algorithm, places, stream) == lt::kSuccess;
    if (plan.known) return;
  }
  news_ = true;
  std::vector<Heuristic> candidates(kCandidates);
  int found = 0;
  const Description description(library_, places.bias);
  succeed(library_.heuristics(handle_, description, plan.weights, plan.x, plan.out, plan.out, preference_, kCandidates,
                              candidates.data(), &found),
          "the choice of an algorithm");
  float best = std::numeric_limits<float>::infinity();
  for (int number = 0; number < found; ++number) {
    if (candidates[number].state != lt::kSuccess) continue;
    const Algorithm& algorithm = candidates[number].algorithm;
    const auto start = [&] { return launch(plan, algorithm, places, stream); };
    if (start() != lt::kSuccess) continue;
    float milliseconds = best;
    try {
      milliseconds = stopwatch.time([&] {
        if (start() != lt::kSuccess) throw Unusable("an algorithm that no graph can hold");
      });
    } catch (const Unusable&) {
      continue;
    }
    if (milliseconds >= best) continue;
    best = milliseconds;
    plan.algorithm = algorithm;
    plan.known = true;
  }
  if (!plan.known) {
    throw std::runtime_error("cublasLt has no algorithm for a matmul of (" + std::to_string(shape.rows) + ", " +
                             std::to_string(shape.inputs) + ") and (" + std::to_string(shape.inputs) + ", " +
                             std::to_string(shape.outputs) + ")");
  }
}

void Matmuls::run(const MatmulShape& shape, const MatmulPlaces& places, cudaStream_t stream) const {
  const auto found = plans_.find(shape);
  if (found == plans_.end() || !found->second.known)
    throw std::logic_error("a matmul of a shape that was not autotuned");
  succeed(launch(found->second, found->second.algorithm, places, stream), "a matmul");
}

// One record per shape: rows, inputs, outputs, whether there is a bias, and the eight words of its algorithm. Any other
// record is ignored, and the shape autotuned again, since cublasLt must not get words that it did not produce.
void Matmuls::load() {
  if (cache_.empty()) return;
  for (const std::string& record : read_tuning_cache(cache_, &news_)) {
    std::istringstream words(record);
    MatmulShape shape{};
    Algorithm algorithm;
    words >> shape.rows >> shape.inputs >> shape.outputs >> shape.biased >> std::hex;
    for (std::uint64_t& word : algorithm.data) words >> word;
    if (words)
      kept_[shape] = algorithm;
    else
      news_ = true;
  }
}

void Matmuls::save() {
  if (cache_.empty() || !news_) return;
  std::map<MatmulShape, Algorithm> all = kept_;
  for (const auto& [shape, plan] : plans_) {
    if (plan.known) all[shape] = plan.algorithm;
  }
  std::vector<std::string> records;
  for (const auto& [shape, algorithm] : all) {
    std::ostringstream record;
    record << shape.rows << ' ' << shape.inputs << ' ' << shape.outputs << ' ' << shape.biased << std::hex;
    for (const std::uint64_t word : algorithm.data) record << ' ' << word;
    records.push_back(record.str());
  }
  write_tuning_cache(cache_, records);
  news_ = false;
}

}  // namespace liteft::cuda
