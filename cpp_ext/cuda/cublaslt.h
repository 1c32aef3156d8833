// cublasLt, opened at run time: the few functions and constants that matmuls need, declared here so that neither its
// headers nor the library are needed to build. Names and values are those of cublasLt.h; they have been the same from
// version 11 on.

#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <string>

namespace liteft::cuda {

struct Algorithm {  // cublasLtMatmulAlgo_t
  std::uint64_t data[8] = {};
};

struct Heuristic {  // cublasLtMatmulHeuristicResult_t
  Algorithm algorithm;
  std::size_t workspace = 0;
  int state = 0;
  float waves = 0.0f;
  int reserved[4] = {};
};

// Values of cublasLt's enumerations.
namespace lt {
constexpr int kCompute32F = 68;
constexpr int kEpilogue = 7, kBiasPointer = 8;  // of a description
constexpr std::uint32_t kEpilogueBias = 4;
constexpr int kPreferenceMostWorkspace = 1, kPreferenceReductions = 3;
constexpr std::uint32_t kReduceInComputeType = 2;  // of a mask
constexpr int kFloat32 = 0, kFloat16 = 2, kBfloat16 = 14;
constexpr int kSuccess = 0;
}  // namespace lt

// The library's functions, of which a process has one instance.
class CublasLt {
 public:
  // Searches for libcublasLt.so.13 and .so.12: among the libraries that the process has loaded, in `folders` (of the
  // nvidia-cublas wheel and of torch), then where the system looks. With a driver older than CUDA 13, .so.13 is tried
  // after all that. Takes the first that makes a handle on the current device. Throws std::runtime_error, naming what
  // was tried and why it was not taken.
  static const CublasLt& open(const std::string& folders);

  using Handle = void*;
  int (*create)(Handle*) = nullptr;
  int (*destroy)(Handle) = nullptr;
  std::size_t (*version)() = nullptr;
  int (*desc_create)(void**, int compute, int scale) = nullptr;
  int (*desc_destroy)(void*) = nullptr;
  int (*desc_set)(void*, int attribute, const void*, std::size_t) = nullptr;
  int (*layout_create)(void**, int type, std::uint64_t rows, std::uint64_t columns, std::int64_t stride) = nullptr;
  int (*layout_destroy)(void*) = nullptr;
  int (*preference_create)(void**) = nullptr;
  int (*preference_set)(void*, int attribute, const void*, std::size_t) = nullptr;
  int (*preference_destroy)(void*) = nullptr;
  int (*heuristics)(Handle, void* desc, void* a, void* b, void* c, void* d, void* preference, int wanted, Heuristic*,
                    int* found) = nullptr;
  int (*matmul)(Handle, void* desc, const void* alpha, const void* a, void* a_layout, const void* b, void* b_layout,
                const void* beta, const void* c, void* c_layout, void* d, void* d_layout, const Algorithm*,
                void* workspace, std::size_t workspace_bytes, cudaStream_t) = nullptr;
  std::string path;

 private:
  explicit CublasLt(const std::string& folders);
  std::string take_functions(void* library);
};

}  // namespace liteft::cuda
