// What kernels need from the device beyond C++: launches, shared memory, tensor cores, asynchronous copies.
//
// tests/emulator has a file in place of this one, so that the kernels also run, slowly, on a CPU.

#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

#include "cuda/check.h"

namespace liteft::cuda {

// kernel<<<grid, block, shared, stream>>>(arguments...); throws if the launch fails.
template <typename... Parameters, typename... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, std::size_t shared, cudaStream_t stream,
            const Arguments&... arguments) {
  [&](Parameters... exact) {
    void* places[] = {static_cast<void*>(&exact)...};
    check(cudaLaunchKernel(reinterpret_cast<const void*>(kernel), grid, block, places, shared, stream),
          "starting a kernel");
  }(arguments...);
}

// Whether a kernel may overlap the one ahead of it in a graph: with CUDA 12.3 or later, and if it was compiled for
// compute capability 9.0 or later. PTX of an older one runs on newer GPUs too, but does not wait (wait_for_inputs).
inline bool may_overlap(const void* kernel) {
  int driver = 0;
  check(cudaDriverGetVersion(&driver), "asking for the driver");
  cudaFuncAttributes attributes{};
  check(cudaFuncGetAttributes(&attributes, kernel), "asking for a kernel");
  return attributes.ptxVersion >= 90 && driver >= 12030;
}

// The same, but the kernel may start before the one ahead of it on the stream has ended, where the device can do that:
// each of its threads must call wait_for_inputs() before it reads or writes anything, also if it then has nothing to
// do.
template <typename... Parameters, typename... Arguments>
void launch_early(void (*kernel)(Parameters...), dim3 grid, dim3 block, std::size_t shared, cudaStream_t stream,
                  const Arguments&... arguments) {
  if (!may_overlap(reinterpret_cast<const void*>(kernel)))
    return launch(kernel, grid, block, shared, stream, arguments...);
  [&](Parameters... exact) {
    void* places[] = {static_cast<void*>(&exact)...};
    cudaLaunchAttribute early{};
    early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    early.val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t how{};
    how.gridDim = grid, how.blockDim = block, how.dynamicSmemBytes = shared, how.stream = stream;
    how.attrs = &early, how.numAttrs = 1;
    check(cudaLaunchKernelExC(&how, reinterpret_cast<const void*>(kernel), places), "starting a kernel");
  }(arguments...);
}

// Starts a kernel all of whose blocks run at once, so that they may wait for each other; throws if they do not fit.
template <typename... Parameters, typename... Arguments>
void launch_cooperative(void (*kernel)(Parameters...), dim3 grid, dim3 block, std::size_t shared, cudaStream_t stream,
                        const Arguments&... arguments) {
  [&](Parameters... exact) {
    void* places[] = {static_cast<void*>(&exact)...};
    check(cudaLaunchCooperativeKernel(reinterpret_cast<const void*>(kernel), grid, block, places, shared, stream),
          "starting a kernel");
  }(arguments...);
}

// Waits until the kernels ahead have ended and what they wrote can be read, and lets the next kernel start as soon as
// there is room for its blocks: it waits in turn.
inline __device__ void wait_for_inputs() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

// Loads a kernel on the current device, and allows it `shared` bytes of shared memory if that is more than the 48 KB
// that every kernel may have. Otherwise CUDA would load a kernel at its first launch, which may be refused while a
// graph is captured.
template <typename... Parameters>
void load_kernel(void (*kernel)(Parameters...), std::size_t shared = 0) {
  const void* const function = reinterpret_cast<const void*>(kernel);
  cudaFuncAttributes attributes{};
  check(cudaFuncGetAttributes(&attributes, function), "loading a kernel");
  if (shared <= 48 << 10) return;
  check(cudaFuncSetAttribute(function, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared)),
        "asking for shared memory");
}

// The dynamic shared memory of the launch.
inline __device__ char* dynamic_shared() {
  extern __shared__ __align__(128) char shared[];
  return shared;
}

// d += a b for a (16, 16) by rows, b (16, 8) by columns. Of lane l, with g = l / 4 and t = l % 4: a holds the pairs of
// columns 2t and 2t + 8 of rows g and g + 8 (in the order: row g, g + 8, then the upper columns), b the pairs of rows
// 2t and 2t + 8 of column g, and d columns 2t and 2t + 1 of row g, then of row g + 8.
// Turing (7.5) has a product of half that depth, and none of bfloat16, which the host refuses there.
inline __device__ void multiply_add(__half, float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                                    std::uint32_t b1) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
  const auto add_half = [&](std::uint32_t upper_rows, std::uint32_t lower_rows, std::uint32_t b) {
    asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(upper_rows), "r"(lower_rows), "r"(b));
  };
  add_half(a[0], a[1], b0);
  add_half(a[2], a[3], b1);
#else
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#endif
}
inline __device__ void multiply_add(__nv_bfloat16, float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                                    std::uint32_t b1) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
  __trap();
#else
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#endif
}

// d += a b for a (16, 32) by rows, b (32, 8) by columns, of int8: the sums are exact. Four values of consecutive k take
// the place of a pair above: a holds k = 4t and on of rows g and g + 8, then k = 16 + 4t and on; b the same of column
// g. Turing has a product of a quarter of that, eight rows and half the depth.
inline __device__ void multiply_add_bytes(std::int8_t, std::int32_t (&d)[4], const std::uint32_t (&a)[4],
                                          std::uint32_t b0, std::uint32_t b1) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
  const auto add_quarter = [](std::int32_t& left, std::int32_t& right, std::uint32_t rows, std::uint32_t b) {
    asm("mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32 {%0,%1}, {%2}, {%3}, {%0,%1};"
        : "+r"(left), "+r"(right)
        : "r"(rows), "r"(b));
  };
  add_quarter(d[0], d[1], a[0], b0);
  add_quarter(d[2], d[3], a[1], b0);
  add_quarter(d[0], d[1], a[2], b1);
  add_quarter(d[2], d[3], a[3], b1);
#else
  asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#endif
}

// The same of e4m3 values, which are given as bytes, with float32 sums. From compute capability 8.9 on.
inline __device__ void multiply_add_bytes(std::uint8_t, float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                                          std::uint32_t b1) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 890
  __trap();
#else
  asm("mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#endif
}

// Four 8 x 8 matrices of 16-bit values from shared memory; lane l gives the address of row l % 8 of matrix l / 8, and
// receives columns 2 (l % 4) and the next of row l / 4 of each.
inline __device__ void load_matrices(std::uint32_t (&out)[4], const void* row) {
  const auto at = static_cast<std::uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
               : "r"(at)
               : "memory");
}
// The same, each matrix transposed.
inline __device__ void load_matrices_across(std::uint32_t (&out)[4], const void* row) {
  const auto at = static_cast<std::uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
               : "r"(at)
               : "memory");
}

// Starts an asynchronous copy of 16 bytes to shared memory, or of zeros if `there` is false. Copies are waited for in
// groups. Turing has none: a thread's copy is complete at once, and waiting is left to the barrier that must follow.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
inline __device__ void copy_async(void* shared, const void* global, bool there = true) {
  *static_cast<uint4*>(shared) = there ? *static_cast<const uint4*>(global) : uint4{};
}
inline __device__ void end_copies() {}
template <int Left>
__device__ void wait_copies() {}
#else
inline __device__ void copy_async(void* shared, const void* global, bool there = true) {
  const auto at = static_cast<std::uint32_t>(__cvta_generic_to_shared(shared));
  const int bytes = there ? 16 : 0;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(at), "l"(global), "r"(bytes) : "memory");
}
inline __device__ void end_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Waits until at most the `Left` most recent groups are incomplete.
template <int Left>
__device__ void wait_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(Left) : "memory");
}
#endif

// The bit of each lane of the warp.
inline __device__ std::uint32_t ballot(bool bit) { return __ballot_sync(0xffffffffu, bit); }

// 2^x and 1 / x to about 22 bits; subnormal operands and results are zeros.
inline __device__ float exp2_fast(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
inline __device__ float reciprocal(float x) {
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
// a b, rounded, which the compiler does not merge with an addition that follows.
inline __device__ float rounded_product(float a, float b) { return __fmul_rn(a, b); }
inline __device__ std::uint32_t bits_of(float x) { return __float_as_uint(x); }
// The larger of x and a number; NaN if x is NaN, unlike fmaxf. Turing has no instruction for that.
inline __device__ float larger_or_nan(float x, float number) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
  return x < number ? number : x;
#else
  float y;
  asm("max.NaN.f32 %0, %1, %2;" : "=f"(y) : "f"(x), "f"(number));
  return y;
#endif
}

}  // namespace liteft::cuda
