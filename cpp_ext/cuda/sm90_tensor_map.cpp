#include "cuda/sm90_tensor_map.h"

#include <cuda_runtime.h>

#include <stdexcept>
#include <string>

#include "cuda/check.h"

namespace liteft::cuda {
namespace {

using Encode = decltype(&cuTensorMapEncodeTiled);

// From the driver that is loaded, so that the library does not depend on libcuda.
Encode find_encode() {
  void* found = nullptr;
  cudaDriverEntryPointQueryResult result{};
#if CUDART_VERSION >= 12050
  check(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &found, 12000, cudaEnableDefault, &result),
        "looking for tensor maps");
#else
  check(cudaGetDriverEntryPoint("cuTensorMapEncodeTiled", &found, cudaEnableDefault, &result),
        "looking for tensor maps");
#endif
  if (result != cudaDriverEntryPointSuccess || !found) throw std::runtime_error("the driver has no tensor maps");
  return reinterpret_cast<Encode>(found);
}

}  // namespace

CUtensorMap tensor_map(bool half, const void* memory, std::size_t rows, std::size_t columns) {
  static const Encode encode = find_encode();
  const cuuint64_t sizes[] = {columns, rows}, strides[] = {2 * columns};
  const cuuint32_t box[] = {kBoxColumns, kBoxRows}, steps[] = {1, 1};
  CUtensorMap map{};
  const CUresult result =
      encode(&map, half ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16 : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 2,
             const_cast<void*>(memory), sizes, strides, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE,
             CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_128B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (result != CUDA_SUCCESS) throw std::runtime_error("making a tensor map: error " + std::to_string(result));
  return map;
}

}  // namespace liteft::cuda
