// Rows quantized to e4m3, and their products on tensor cores (bytes.cuh). The kernels have run in an emulator, but not
// yet on a GPU.

#include "cuda/fp8.h"

#include <cuda_fp8.h>

#include "cuda/bytes.cuh"

namespace liteft::cuda {
namespace {

__device__ std::uint32_t four_of(const float* x, float inverse) {
  std::uint32_t word = 0;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const __nv_fp8_storage_t value = __nv_cvt_float_to_fp8(x[i] * inverse, __NV_SATFINITE, __NV_E4M3);
    word |= static_cast<std::uint32_t>(value) << 8 * i;
  }
  return word;
}

template <typename T>
__global__ void quantize_rows_to_fp8_kernel(QuantizedFp8<T> given) {
  wait_for_inputs();
  quantize_row(given, kLargestE4m3, [](const float* x, float inverse) { return four_of(x, inverse); });
}

// Tiles of 128 outputs would need more registers on Hopper than there are.
constexpr int kOutputs = 64;
using Fp8Tiles = ByteTiles<std::uint8_t, kOutputs>;

template <typename T>
__global__ void __launch_bounds__(kByteThreads, 2) matmul_fp8_kernel(MatmulFp8<T> given) {
  wait_for_inputs();
  multiply_bytes<float, kOutputs>(given, [&](float x) { return act(given.act, x); });
}

}  // namespace

template <typename T>
void quantize_rows_to_fp8(const QuantizedFp8<T>& given, int rows, cudaStream_t stream) {
  launch_early(quantize_rows_to_fp8_kernel<T>, blocks_to_quantize(rows), 32 * kQuantizeWarps, 0, stream, given);
}

template <typename T>
void matmul_fp8(const MatmulFp8<T>& given, int rows, cudaStream_t stream) {
  const dim3 grid(given.outputs / kOutputs, (rows + kByteRows - 1) / kByteRows);
  launch_early(matmul_fp8_kernel<T>, grid, kByteThreads, sizeof(Fp8Tiles), stream, given);
}

template <typename T>
void load_fp8_kernels() {
  load_kernel(quantize_rows_to_fp8_kernel<T>);
  load_kernel(matmul_fp8_kernel<T>, sizeof(Fp8Tiles));
}

#define LITEFT_FOR(T)                                                               \
  template void quantize_rows_to_fp8<T>(const QuantizedFp8<T>&, int, cudaStream_t); \
  template void matmul_fp8<T>(const MatmulFp8<T>&, int, cudaStream_t);              \
  template void load_fp8_kernels<T>();
LITEFT_FOR(__half)
LITEFT_FOR(__nv_bfloat16)

}  // namespace liteft::cuda
