// An emulated cublasLt: a library of its own, as the real one is, with the functions that cuda/cublaslt.h names.
// Products are summed in float32 and rounded once. It offers several algorithms that sum in different orders, one that
// fails and one that is not to be used.

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <vector>

#include "cuda/cublaslt.h"
#include "tests/emulator/emulator.h"

#if defined(__x86_64__)
#define LITEFT_WIDE __attribute__((target_clones("avx2", "default")))
#else
#define LITEFT_WIDE
#endif
#define LITEFT_EXPORT extern "C" __attribute__((visibility("default")))

using namespace liteft::cuda;

namespace {

constexpr int kInvalid = 7, kUnsupported = 15;
std::uint64_t mark = 0x11f7;  // in the first word of every algorithm that was given out
constexpr std::uint64_t kFails = 9;

struct Layout {
  int type;
  std::uint64_t rows, columns;
  std::int64_t stride;
  std::size_t bytes() const { return 2 * (static_cast<std::size_t>(stride) * (columns - 1) + rows); }
};

struct Desc {
  std::uint32_t epilogue = 1;  // none
  const void* bias = nullptr;
};

struct Preference {
  std::size_t workspace = 0;
  std::uint32_t reductions = 0xffffffffu;
};

struct Work {
  const void *a, *b, *bias;
  void* d;
  int type, inner, rows, columns;  // d is (rows, columns) by columns
  int pieces;                      // of the sum
};

float value_of(int type, std::uint16_t bits) {
  static const std::vector<float> halves = [] {
    std::vector<float> made(1 << 16);
    for (unsigned each = 0; each < made.size(); ++each)
      made[each] = __half2float(std::bit_cast<__half>(static_cast<std::uint16_t>(each)));
    return made;
  }();
  return type == lt::kFloat16 ? halves[bits] : std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

std::uint16_t rounded(int type, float x) {
  return type == lt::kFloat16 ? std::bit_cast<std::uint16_t>(__float2half_rn(x))
                              : std::bit_cast<std::uint16_t>(__float2bfloat16_rn(x));
}

LITEFT_WIDE void add_row(float* sums, const float* row, float factor, int count) {
  for (int i = 0; i < count; ++i) sums[i] += factor * row[i];
}

void multiply(const void* data) {
  Work work;
  std::memcpy(&work, data, sizeof work);
  const auto* a = static_cast<const std::uint16_t*>(work.a);
  const auto* b = static_cast<const std::uint16_t*>(work.b);
  auto* d = static_cast<std::uint16_t*>(work.d);
  std::vector<float> weights(static_cast<std::size_t>(work.inner) * work.rows);
  for (std::size_t i = 0; i < weights.size(); ++i) weights[i] = value_of(work.type, a[i]);
  std::vector<float> sums(work.rows), part(work.rows);
  for (int column = 0; column < work.columns; ++column) {
    std::fill(sums.begin(), sums.end(), 0.0f);
    for (int piece = 0; piece < work.pieces; ++piece) {
      std::fill(part.begin(), part.end(), 0.0f);
      for (int i = piece * work.inner / work.pieces; i < (piece + 1) * work.inner / work.pieces; ++i) {
        add_row(part.data(), &weights[static_cast<std::size_t>(i) * work.rows],
                value_of(work.type, b[static_cast<std::size_t>(column) * work.inner + i]), work.rows);
      }
      add_row(sums.data(), part.data(), 1.0f, work.rows);
    }
    if (work.bias) {
      const auto* bias = static_cast<const std::uint16_t*>(work.bias);
      for (int row = 0; row < work.rows; ++row) sums[row] += value_of(work.type, bias[row]);
    }
    for (int row = 0; row < work.rows; ++row)
      d[static_cast<std::size_t>(column) * work.rows + row] = rounded(work.type, sums[row]);
  }
}

}  // namespace

// Refuses from now on what was given out before.
LITEFT_EXPORT void emulated_cublaslt_renew() { ++mark; }

LITEFT_EXPORT int cublasLtCreate(void** handle) {
  if (liteft_emulator_driver() / 1000 < LITEFT_EMULATED_CUBLASLT) return 1;  // not initialized
  *handle = new int;
  return 0;
}
LITEFT_EXPORT int cublasLtDestroy(void* handle) {
  delete static_cast<int*>(handle);
  return 0;
}
LITEFT_EXPORT std::size_t cublasLtGetVersion() { return LITEFT_EMULATED_CUBLASLT * 10000; }
LITEFT_EXPORT int cublasLtMatmulDescCreate(void** desc, int compute, int scale) {
  if (compute != lt::kCompute32F || scale != lt::kFloat32) return kInvalid;
  *desc = new Desc;
  return 0;
}
LITEFT_EXPORT int cublasLtMatmulDescDestroy(void* desc) {
  delete static_cast<Desc*>(desc);
  return 0;
}
LITEFT_EXPORT int cublasLtMatmulDescSetAttribute(void* desc, int attribute, const void* value, std::size_t bytes) {
  Desc& it = *static_cast<Desc*>(desc);
  if (attribute == lt::kEpilogue && bytes == sizeof(it.epilogue))
    std::memcpy(&it.epilogue, value, bytes);
  else if (attribute == lt::kBiasPointer && bytes == sizeof(it.bias))
    std::memcpy(&it.bias, value, bytes);
  else
    return kInvalid;
  return 0;
}
LITEFT_EXPORT int cublasLtMatrixLayoutCreate(void** layout, int type, std::uint64_t rows, std::uint64_t columns,
                                             std::int64_t stride) {
  if (!rows || !columns || (type != lt::kFloat16 && type != lt::kBfloat16)) return kInvalid;
  *layout = new Layout{type, rows, columns, stride};
  return 0;
}
LITEFT_EXPORT int cublasLtMatrixLayoutDestroy(void* layout) {
  delete static_cast<Layout*>(layout);
  return 0;
}
LITEFT_EXPORT int cublasLtMatmulPreferenceCreate(void** preference) {
  *preference = new Preference;
  return 0;
}
LITEFT_EXPORT int cublasLtMatmulPreferenceSetAttribute(void* preference, int attribute, const void* value,
                                                       std::size_t bytes) {
  Preference& asked = *static_cast<Preference*>(preference);
  if (attribute == lt::kPreferenceMostWorkspace && bytes == sizeof(asked.workspace))
    std::memcpy(&asked.workspace, value, bytes);
  else if (attribute == lt::kPreferenceReductions && bytes == sizeof(asked.reductions))
    std::memcpy(&asked.reductions, value, bytes);
  else
    return kInvalid;
  return 0;
}
LITEFT_EXPORT int cublasLtMatmulPreferenceDestroy(void* preference) {
  delete static_cast<Preference*>(preference);
  return 0;
}

LITEFT_EXPORT int cublasLtMatmulAlgoGetHeuristic(void*, void*, void*, void*, void*, void*, void* preference, int wanted,
                                                 Heuristic* results, int* found) {
  // Sums of pieces that were rounded to the outputs' type are not to be had.
  if (static_cast<Preference*>(preference)->reductions != lt::kReduceInComputeType) return kInvalid;
  const std::uint64_t pieces[] = {1, kFails, 2, 3};
  *found = std::min(wanted, 4);
  for (int number = 0; number < *found; ++number) {
    results[number] = {};
    results[number].algorithm.data[0] = mark;
    results[number].algorithm.data[1] = pieces[number];
    results[number].state = number == 3 ? kUnsupported : 0;
  }
  return 0;
}

LITEFT_EXPORT int cublasLtMatmul(void*, void* desc, const void* alpha, const void* a, void* a_layout, const void* b,
                                 void* b_layout, const void* beta, const void* c, void*, void* d, void* d_layout,
                                 const Algorithm* algorithm, void* workspace, std::size_t workspace_bytes,
                                 cudaStream_t stream) {
  const Layout &la = *static_cast<Layout*>(a_layout), &lb = *static_cast<Layout*>(b_layout),
               &ld = *static_cast<Layout*>(d_layout);
  if (*static_cast<const float*>(alpha) != 1.0f || *static_cast<const float*>(beta) != 0.0f || c != d) return kInvalid;
  if (la.columns != lb.rows || la.rows != ld.rows || lb.columns != ld.columns) return kInvalid;
  // Only matrices without gaps, which is all that the library asks for.
  for (const Layout* each : {&la, &lb, &ld}) {
    if (each->stride != static_cast<std::int64_t>(each->rows) || each->type != la.type) return kInvalid;
  }
  for (const void* each : {a, b, static_cast<const void*>(d)}) {
    if (reinterpret_cast<std::uintptr_t>(each) % 16) return kInvalid;
  }
  if (!liteft_emulator_is_device(a, la.bytes()) || !liteft_emulator_is_device(b, lb.bytes()) ||
      !liteft_emulator_is_device(d, ld.bytes()) || !liteft_emulator_is_device(workspace, workspace_bytes)) {
    return kInvalid;
  }
  const Desc& it = *static_cast<Desc*>(desc);
  const bool biased = it.epilogue == lt::kEpilogueBias;
  if (biased != (it.bias != nullptr) || (biased && !liteft_emulator_is_device(it.bias, 2 * ld.rows))) return kInvalid;
  if (algorithm->data[0] != mark || algorithm->data[1] < 1 || algorithm->data[1] > 3) return kUnsupported;
  Work work;
  std::memset(&work, 0, sizeof work);  // gaps too: the bytes say whether work is the same
  work.a = a, work.b = b, work.bias = it.bias, work.d = d;
  work.type = la.type, work.inner = static_cast<int>(la.columns);
  work.rows = static_cast<int>(ld.rows), work.columns = static_cast<int>(ld.columns);
  work.pieces = static_cast<int>(algorithm->data[1]);
  // Which is faster depends on the shape, so that one text and many may be summed in different orders, as on a GPU.
  const bool favours_pieces = ld.columns % 64 == 0;
  return liteft_emulator_enqueue(stream, multiply, &work, sizeof work,
                                 (work.pieces == 1) == favours_pieces ? 2.0 : 1.0);
}
