// Rows quantized to int8, and their products on tensor cores. The kernels have run in an emulator, but not yet on a
// GPU.

#include "cuda/int8.h"

#include "cuda/bytes.cuh"

namespace liteft::cuda {
namespace {

// Four values as bytes, rounded to the nearest, ties to even: the product with the inverse scale is at most 127, and
// adding 1.5 * 2^23 leaves it, as an integer, in the lowest bits.
__device__ std::uint32_t bytes_of(const float* x, float inverse) {
  std::uint32_t word = 0;
#pragma unroll
  for (int i = 0; i < 4; ++i) word |= (bits_of(rounded_product(x[i], inverse) + 12582912.0f) & 0xffu) << 8 * i;
  return word;
}

template <typename T>
__global__ void quantize_rows_kernel(Quantized<T> given) {
  wait_for_inputs();
  quantize_row(given, 127.0f, [](const float* x, float inverse) { return bytes_of(x, inverse); });
}

template <int Columns>
using Int8Tiles = ByteTiles<std::int8_t, Columns>;

template <typename T, int Columns, Act kAct>
__global__ void __launch_bounds__(kByteThreads, 2) matmul_int8_kernel(MatmulInt8<T> given) {
  wait_for_inputs();
  multiply_bytes<std::int32_t, Columns>(given, [](float x) { return act(kAct, x); });
}

template <typename T, int Columns>
void matmul_int8_in(const MatmulInt8<T>& given, int rows, cudaStream_t stream) {
  const dim3 grid(given.outputs / Columns, (rows + kByteRows - 1) / kByteRows);
  with_act(given.act, [&](auto kind) {
    launch_early(matmul_int8_kernel<T, Columns, kind()>, grid, kByteThreads, sizeof(Int8Tiles<Columns>), stream, given);
  });
}

}  // namespace

template <typename T>
void quantize_rows(const Quantized<T>& given, int rows, cudaStream_t stream) {
  launch_early(quantize_rows_kernel<T>, blocks_to_quantize(rows), 32 * kQuantizeWarps, 0, stream, given);
}

template <typename T>
void matmul_int8(const MatmulInt8<T>& given, int rows, int multiprocessors, cudaStream_t stream) {
  const int blocks = given.outputs / 128 * ((rows + kByteRows - 1) / kByteRows);
  if (given.outputs % 128 == 0 && blocks >= multiprocessors)
    matmul_int8_in<T, 128>(given, rows, stream);
  else
    matmul_int8_in<T, 64>(given, rows, stream);
}

template <typename T>
void load_int8_kernels() {
  load_kernel(quantize_rows_kernel<T>);
  for (const Act each : kActs) {
    with_act(each, [](auto kind) {
      load_kernel(matmul_int8_kernel<T, 64, kind()>, sizeof(Int8Tiles<64>));
      load_kernel(matmul_int8_kernel<T, 128, kind()>, sizeof(Int8Tiles<128>));
    });
  }
}

#define LITEFT_FOR(T)                                                         \
  template void quantize_rows<T>(const Quantized<T>&, int, cudaStream_t);     \
  template void matmul_int8<T>(const MatmulInt8<T>&, int, int, cudaStream_t); \
  template void load_int8_kernels<T>();
LITEFT_FOR(__half)
LITEFT_FOR(__nv_bfloat16)

}  // namespace liteft::cuda
