// The part of ONNX Runtime's C ABI that the operator needs, so that building takes neither its headers nor its library.
// OrtApi is a table of function pointers that only grows, so an index means the same in every version since it was
// added. The indices below, and the table of an operator, are of version 17 (onnxruntime 1.17) or older.
//
// The types have ONNX Runtime's names but are in a namespace of their own, so its header may be included as well.

#pragma once

#include <cstddef>
#include <cstdint>

namespace liteft::ort {

constexpr std::uint32_t kVersion = 17;

// Opaque types, which ONNX Runtime owns.
struct OrtApi;
struct OrtStatus;  // the outcome of a call; nullptr is success
struct OrtValue;
struct OrtKernelInfo;
struct OrtKernelContext;
struct OrtSessionOptions;
struct OrtCustomOpDomain;
struct OrtTensorTypeAndShapeInfo;

struct OrtApiBase {
  const OrtApi* (*GetApi)(std::uint32_t version);  // nullptr if the library is older than the version
  const char* (*GetVersionString)();
};

enum OrtErrorCode : int { kFail = 1, kInvalidArgument = 2 };
enum ElementType : int { kUndefined = 0, kFloat = 1, kUint8 = 2, kInt8 = 3, kInt64 = 7, kFloat16 = 10 };
enum Characteristic : int { kRequired = 0, kVariadic = 2 };
enum MemoryType : int { kDefaultMemory = 0 };

// An entry of OrtApi: called with the table and then its own arguments.
template <std::size_t index, typename Result, typename... Arguments>
struct Entry {
  Result operator()(const OrtApi* api, Arguments... arguments) const {
    void* const address = reinterpret_cast<void* const*>(api)[index];
    return reinterpret_cast<Result (*)(Arguments...)>(address)(arguments...);
  }
};

// A status of an error; the text is copied.
inline constexpr Entry<0, OrtStatus*, OrtErrorCode, const char*> CreateStatus;
// The text of a status, which owns it.
inline constexpr Entry<2, const char*, const OrtStatus*> GetErrorMessage;
inline constexpr Entry<93, void, OrtStatus*> ReleaseStatus;

// A domain by its name, which the caller owns; an operator in it, and it in a session's options. Neither is copied: the
// operator's table must outlive the domain, and the domain the sessions.
inline constexpr Entry<26, OrtStatus*, const char*, OrtCustomOpDomain**> CreateCustomOpDomain;
inline constexpr Entry<27, OrtStatus*, OrtCustomOpDomain*, const struct OrtCustomOp*> CustomOpDomain_Add;
inline constexpr Entry<28, OrtStatus*, OrtSessionOptions*, OrtCustomOpDomain*> AddCustomOpDomain;

// An entry of a session's configuration: whether it is there, and its text; without a place for the text only its size,
// the final zero counted.
inline constexpr Entry<237, OrtStatus*, const OrtSessionOptions*, const char*, int*> HasSessionConfigEntry;
inline constexpr Entry<238, OrtStatus*, const OrtSessionOptions*, const char*, char*, std::size_t*>
    GetSessionConfigEntry;

// A tensor's values, which it owns.
inline constexpr Entry<51, OrtStatus*, OrtValue*, void**> GetTensorMutableData;
// A tensor's type and shape as an object, to be released by the caller, and what it holds.
inline constexpr Entry<65, OrtStatus*, const OrtValue*, OrtTensorTypeAndShapeInfo**> GetTensorTypeAndShape;
inline constexpr Entry<60, OrtStatus*, const OrtTensorTypeAndShapeInfo*, ElementType*> GetTensorElementType;
inline constexpr Entry<61, OrtStatus*, const OrtTensorTypeAndShapeInfo*, std::size_t*> GetDimensionsCount;
inline constexpr Entry<62, OrtStatus*, const OrtTensorTypeAndShapeInfo*, std::int64_t*, std::size_t> GetDimensions;
inline constexpr Entry<99, void, OrtTensorTypeAndShapeInfo*> ReleaseTensorTypeAndShapeInfo;

// A node's attributes. That of a string writes the size with the final zero; without a place for the text only that.
inline constexpr Entry<85, OrtStatus*, const OrtKernelInfo*, const char*, float*> KernelInfoGetAttribute_float;
inline constexpr Entry<86, OrtStatus*, const OrtKernelInfo*, const char*, std::int64_t*> KernelInfoGetAttribute_int64;
inline constexpr Entry<87, OrtStatus*, const OrtKernelInfo*, const char*, char*, std::size_t*>
    KernelInfoGetAttribute_string;
// How many inputs a node has; and an input that is constant: 1 and a tensor that lives as long as the session, or 0.
inline constexpr Entry<230, OrtStatus*, const OrtKernelInfo*, std::size_t*> KernelInfo_GetInputCount;
inline constexpr Entry<249, OrtStatus*, const OrtKernelInfo*, std::size_t, int*, const OrtValue**>
    KernelInfoGetConstantInput_tensor;

// An input of a run, and an output, which is made of the shape given (its dimensions, and how many they are).
inline constexpr Entry<90, OrtStatus*, const OrtKernelContext*, std::size_t, const OrtValue**> KernelContext_GetInput;
inline constexpr Entry<91, OrtStatus*, OrtKernelContext*, std::size_t, const std::int64_t*, std::size_t, OrtValue**>
    KernelContext_GetOutput;

// A custom operator: a version and 25 functions. ONNX Runtime reads no further than the version says, and version 17
// has the first 21; the rest is here so that the version can grow.
struct OrtCustomOp {
  std::uint32_t version;
  // The first way to make a kernel, which could not fail; ONNX Runtime takes CreateKernelV2 where it is there.
  void* (*CreateKernel)(const OrtCustomOp*, const OrtApi*, const OrtKernelInfo*);
  const char* (*GetName)(const OrtCustomOp*);
  const char* (*GetExecutionProviderType)(const OrtCustomOp*);
  // Of each declared input: its type, kUndefined for any; then how many are declared. Likewise outputs.
  ElementType (*GetInputType)(const OrtCustomOp*, std::size_t);
  std::size_t (*GetInputTypeCount)(const OrtCustomOp*);
  ElementType (*GetOutputType)(const OrtCustomOp*, std::size_t);
  std::size_t (*GetOutputTypeCount)(const OrtCustomOp*);
  // The first way to run, which could not fail; as CreateKernel.
  void (*KernelCompute)(void* kernel, OrtKernelContext*);
  // Called once for every kernel that was made.
  void (*KernelDestroy)(void* kernel);
  Characteristic (*GetInputCharacteristic)(const OrtCustomOp*, std::size_t);
  Characteristic (*GetOutputCharacteristic)(const OrtCustomOp*, std::size_t);
  MemoryType (*GetInputMemoryType)(const OrtCustomOp*, std::size_t);
  // Of the last input where it is variadic: how many it is at least, and whether of one type. Likewise outputs.
  int (*GetVariadicInputMinArity)(const OrtCustomOp*);
  int (*GetVariadicInputHomogeneity)(const OrtCustomOp*);
  int (*GetVariadicOutputMinArity)(const OrtCustomOp*);
  int (*GetVariadicOutputHomogeneity)(const OrtCustomOp*);
  // Makes a kernel when a session is made, and runs it, from any thread.
  OrtStatus* (*CreateKernelV2)(const OrtCustomOp*, const OrtApi*, const OrtKernelInfo*, void** kernel);
  OrtStatus* (*KernelComputeV2)(void* kernel, OrtKernelContext*);
  // The output's shape from the inputs'; nullptr leaves it as the graph says.
  OrtStatus* (*InferOutputShapeFn)(const OrtCustomOp*, void* context);
  // The versions of the domain's operator set that it implements.
  int (*GetStartVersion)(const OrtCustomOp*);
  int (*GetEndVersion)(const OrtCustomOp*);
  // Since version 18: which outputs may or must lie where an input lies.
  std::size_t (*GetMayInplace)(int** inputs, int** outputs);
  void (*ReleaseMayInplace)(int* inputs, int* outputs);
  std::size_t (*GetAliasMap)(int** inputs, int** outputs);
  void (*ReleaseAliasMap)(int* inputs, int* outputs);
};
static_assert(sizeof(OrtCustomOp) == 26 * sizeof(void*), "a version and 25 function pointers");

}  // namespace liteft::ort
