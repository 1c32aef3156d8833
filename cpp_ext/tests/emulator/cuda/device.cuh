// Stands in for cuda/device.cuh where kernels are compiled for the emulator: the same functions, and the words of CUDA
// C++ that the kernels use, over emulator/device.h.

#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <tuple>
#include <type_traits>

#include "cuda/check.h"
#include "tests/emulator/device.h"
#include "tests/emulator/emulator.h"
#include "tests/emulator/sm90.h"

#undef __launch_bounds__
#define __launch_bounds__(...)
// Shared memory of an emulated block is what its launch asked for, with guards around it: ask for it by
// dynamic_shared().
#undef __shared__
#define __shared__ static_assert(false, "dynamic_shared() is the emulated blocks' only shared memory");

#define threadIdx (::liteft::emulator::here->thread)
#define blockIdx (::liteft::emulator::here->block)
#define blockDim (::liteft::emulator::here->threads)
#define gridDim (::liteft::emulator::here->blocks)

namespace liteft::cuda {

using emulator::Location;

template <typename... Parameters, typename... Arguments>
emulator::Kernel made_of(void (*kernel)(Parameters...), dim3 grid, dim3 block, std::size_t shared,
                         const Arguments&... arguments) {
  emulator::Kernel made;
  made.body = [kernel, values = std::tuple<Parameters...>(arguments...)] { std::apply(kernel, values); };
  made.name = __PRETTY_FUNCTION__;
  made.function = reinterpret_cast<const void*>(kernel);
  made.grid = grid, made.block = block, made.shared = shared;
  return made;
}
template <typename... Parameters, typename... Arguments>
void launch_as(bool early, void (*kernel)(Parameters...), dim3 grid, dim3 block, std::size_t shared,
               cudaStream_t stream, const Arguments&... arguments) {
  emulator::Kernel made = made_of(kernel, grid, block, shared, arguments...);
  made.early = early;
  check(emulator::launch(std::move(made), stream), "starting a kernel");
}

template <typename... Parameters, typename... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, std::size_t shared, cudaStream_t stream,
            const Arguments&... arguments) {
  launch_as(false, kernel, grid, block, shared, stream, arguments...);
}
template <typename... Parameters, typename... Arguments>
void launch_early(void (*kernel)(Parameters...), dim3 grid, dim3 block, std::size_t shared, cudaStream_t stream,
                  const Arguments&... arguments) {
  launch_as(true, kernel, grid, block, shared, stream, arguments...);
}
template <typename... Parameters, typename... Arguments>
void launch_cooperative(void (*kernel)(Parameters...), dim3 grid, dim3 block, std::size_t shared, cudaStream_t stream,
                        const Arguments&... arguments) {
  emulator::Kernel made = made_of(kernel, grid, block, shared, arguments...);
  made.together = true;
  check(emulator::launch(std::move(made), stream), "starting a kernel");
}
inline void wait_for_inputs() { emulator::wait_for_inputs(); }

template <typename... Parameters>
void load_kernel(void (*kernel)(Parameters...), std::size_t shared = 0) {
  const void* const function = reinterpret_cast<const void*>(kernel);
  cudaFuncAttributes attributes{};
  check(cudaFuncGetAttributes(&attributes, function), "loading a kernel");
  if (shared > 48 << 10) check(emulator::allow_shared(function, shared), "asking for shared memory");
}

inline char* dynamic_shared() { return emulator::shared_memory(); }

inline void __syncthreads(const Location where = Location::current()) { emulator::meet_block(where); }
inline int __syncthreads_or(int value, const Location where = Location::current()) {
  return emulator::any_of_block(value, where);
}
inline void __syncwarp(const Location where = Location::current()) {
  emulator::meet_warp(emulator::Meeting::sync, nullptr, [](void* const(&)[32]) { emulator::show_stores(); }, where);
}
inline float __shfl_xor_sync(unsigned mask, float value, int lanes, const Location where = Location::current()) {
  return emulator::shuffle_xor(mask, value, lanes, where);
}
inline float __shfl_sync(unsigned mask, float value, int lane, const Location where = Location::current()) {
  return emulator::shuffle(mask, value, lane, where);
}
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline int min(int a, int b) { return a < b ? a : b; }
inline int max(int a, int b) { return a < b ? b : a; }

template <typename T>
void multiply_add(T, float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1,
                  const Location where = Location::current()) {
  emulator::multiply(std::is_same_v<T, __half>, d, a, b0, b1, where);
}
inline void multiply_add_bytes(std::int8_t, std::int32_t (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                               std::uint32_t b1, const Location where = Location::current()) {
  emulator::multiply_int8(d, a, b0, b1, where);
}
inline void multiply_add_bytes(std::uint8_t, float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                               std::uint32_t b1, const Location where = Location::current()) {
  emulator::multiply_e4m3(d, a, b0, b1, where);
}
inline void load_matrices(std::uint32_t (&out)[4], const void* row, const Location where = Location::current()) {
  emulator::load_matrices(false, out, row, where);
}
inline void load_matrices_across(std::uint32_t (&out)[4], const void* row, const Location where = Location::current()) {
  emulator::load_matrices(true, out, row, where);
}

inline void copy_async(void* shared, const void* global, bool there = true,
                       const Location where = Location::current()) {
  emulator::copy_async(shared, global, there, where);
}
inline void end_copies() { emulator::end_copies(); }
template <int Left>
void wait_copies() {
  emulator::wait_copies(Left);
}

inline std::uint32_t ballot(bool bit, const Location where = Location::current()) {
  return emulator::ballot(bit, where);
}
inline float rounded_product(float a, float b) {
  volatile float product = a * b;
  return product;
}
inline std::uint32_t bits_of(float x) {
  std::uint32_t bits;
  std::memcpy(&bits, &x, 4);
  return bits;
}
inline float exp2_fast(float x) {
  const float y = std::exp2(x);
  return y < 0x1p-126f ? 0.0f : y;
}
inline float reciprocal(float x) { return 1.0f / x; }
inline float larger_or_nan(float x, float number) { return x < number ? number : x; }

}  // namespace liteft::cuda
