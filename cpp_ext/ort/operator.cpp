// The operators liteft.EncoderClassifier, liteft.EncoderTokenClassifier and liteft.RaggedEncoderClassifier of ONNX
// Runtime's CPU provider.
//
// ONNX Runtime loads this library with register_custom_ops_library and calls RegisterCustomOps. A file whose graph is
// one such node then runs in the engine; without the library the same file runs as its definition in standard
// operators.
// Inputs: ids and mask, int64 (texts, tokens), then one variadic input of any types, with the type ids, if there are
// any, and all weights; the attribute `inputs` names all of them. Output: logits, float32 (texts, labels); of a
// classifier of tokens, which has no pooling, (texts, tokens, labels), with zeros where the mask is 0. The ragged one
// takes ids (tokens) and offsets (texts + 1) instead, texts one after the other, and type ids (tokens).
//
// It computes on the CPU, or on a GPU if the session's options say so before the library is registered (target.h).
// Texts and logits are in host memory either way, so that the CPU provider and the plain onnxruntime package are
// enough.
//
// A node may have fewer attributes than this library knows, since they have defaults (kernel.cpp), but not more. ONNX
// Runtime gives a kernel only the attributes that it asks for, and uses a registered operator for every version of its
// domain, whatever GetEndVersion says. So an attribute that changes the computation needs a new operator name: a
// library that does not know the name leaves the node to its definition.
//
// Every error becomes a status with the library's text; no exception passes through ONNX Runtime.

#include <exception>
#include <map>
#include <mutex>
#include <stdexcept>
#include <string>
#include <utility>

#include "liteft/liteft.h"
#include "ort/abi.h"
#include "ort/kernel.h"
#include "ort/target.h"
#include "ort/tensor.h"

namespace liteft::ort {
namespace {

OrtStatus* status_of(const OrtApi* api, const char* what) noexcept {
  try {
    return CreateStatus(api, kInvalidArgument, (std::string("liteft: ") + what).c_str());
  } catch (...) {  // there is no memory for the prefix
    return CreateStatus(api, kFail, what);
  }
}

template <typename Body>
OrtStatus* guarded(const OrtApi* api, Body body) noexcept {
  try {
    body();
    return nullptr;
  } catch (const std::exception& error) {
    return status_of(api, error.what());
  } catch (...) {
    return CreateStatus(api, kFail, "liteft: an error without words");
  }
}

// The latest version of the domain's operator set that this library knows.
constexpr int kLatestVersion = 1;

// An operator for one target. ONNX Runtime hands its table back to `create`.
struct Operator : OrtCustomOp {
  Operator(const Target& target, Kind kind);
  const Target target;
  const Kind kind;
};

OrtStatus* create(const OrtCustomOp* op, const OrtApi* api, const OrtKernelInfo* info, void** kernel) {
  const Operator& self = *static_cast<const Operator*>(op);
  return guarded(api, [&] { *kernel = new Kernel(api, info, self.target, self.kind); });
}

OrtStatus* compute(void* kernel, OrtKernelContext* context) {
  Kernel& self = *static_cast<Kernel*>(kernel);
  return guarded(self.api(), [&] { self.compute(context); });
}

const char* name_of(Kind kind) {
  switch (kind) {
    case Kind::tokens: return "EncoderTokenClassifier";
    case Kind::ragged: return "RaggedEncoderClassifier";
    default: return "EncoderClassifier";
  }
}

OrtCustomOp describe() {
  OrtCustomOp op{};
  op.version = kVersion;
  op.GetName = [](const OrtCustomOp* self) { return name_of(static_cast<const Operator*>(self)->kind); };
  op.GetExecutionProviderType = [](const OrtCustomOp*) { return "CPUExecutionProvider"; };
  op.GetInputTypeCount = [](const OrtCustomOp*) -> std::size_t { return 3; };
  op.GetInputType = [](const OrtCustomOp*, std::size_t place) { return place < 2 ? kInt64 : kUndefined; };
  op.GetInputCharacteristic = [](const OrtCustomOp*, std::size_t place) { return place < 2 ? kRequired : kVariadic; };
  op.GetVariadicInputMinArity = [](const OrtCustomOp*) { return 1; };
  op.GetVariadicInputHomogeneity = [](const OrtCustomOp*) { return 0; };
  op.GetInputMemoryType = [](const OrtCustomOp*, std::size_t) { return kDefaultMemory; };
  op.GetOutputTypeCount = [](const OrtCustomOp*) -> std::size_t { return 1; };
  op.GetOutputType = [](const OrtCustomOp*, std::size_t) { return kFloat; };
  op.GetOutputCharacteristic = [](const OrtCustomOp*, std::size_t) { return kRequired; };
  op.GetVariadicOutputMinArity = [](const OrtCustomOp*) { return 0; };
  op.GetVariadicOutputHomogeneity = [](const OrtCustomOp*) { return 1; };
  op.GetStartVersion = [](const OrtCustomOp*) { return 1; };
  op.GetEndVersion = [](const OrtCustomOp*) { return kLatestVersion; };
  op.CreateKernelV2 = create;
  op.KernelComputeV2 = compute;
  op.KernelDestroy = [](void* kernel) { delete static_cast<Kernel*>(kernel); };
  return op;
}

Operator::Operator(const Target& wanted, Kind named) : OrtCustomOp(describe()), target(wanted), kind(named) {}

// The domain, one for each ONNX Runtime and target in the process. It is never released, since sessions point to it as
// long as they live, and when the process ends this library cannot know the order in which sessions and libraries go.
OrtCustomOpDomain* domain_of(const OrtApi* api, const Target& target) {
  static std::mutex mutex;
  static auto& domains = *new std::map<std::pair<const OrtApi*, Target>, OrtCustomOpDomain*>;
  const std::lock_guard lock(mutex);
  OrtCustomOpDomain*& domain = domains[{api, target}];
  if (!domain) {
    OrtCustomOpDomain* made = nullptr;
    check(api, CreateCustomOpDomain(api, "liteft", &made));
    for (const Kind kind : {Kind::texts, Kind::tokens, Kind::ragged})
      check(api, CustomOpDomain_Add(api, made, new Operator(target, kind)));
    domain = made;
  }
  return domain;
}

}  // namespace
}  // namespace liteft::ort

// Puts the operators into a session's options; ONNX Runtime calls it by this name.
extern "C" LITEFT_API liteft::ort::OrtStatus* RegisterCustomOps(liteft::ort::OrtSessionOptions* options,
                                                                const liteft::ort::OrtApiBase* base) {
  using namespace liteft::ort;
  const OrtApi* api = base->GetApi(kVersion);
  if (!api) {  // its first version can say so, too
    const OrtApi* first = base->GetApi(1);
    return guarded(first, [&] {
      throw std::runtime_error(std::string("the operator needs onnxruntime 1.17 or newer, and this is ") +
                               base->GetVersionString());
    });
  }
  return guarded(api, [&] { check(api, AddCustomOpDomain(api, options, domain_of(api, read_target(api, options)))); });
}
