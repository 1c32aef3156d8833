// Activations of float32 values, and the choice of a kernel by its activation.

#pragma once

#include <cmath>
#include <type_traits>

#include "cuda/device.cuh"
#include "cuda/kernels.h"

namespace liteft::cuda {

// x Phi(x) = max(x, 0) - t Phi(-t) with t = |x|, and Phi(-t) = 2^P(t) with P from cpu/fit_gelu.py: it is relative to
// the result, also where that is nearly 0, and below a sixth of what rounding to half adds (from -6.5 down: below
// 1e-9). t ends at 15, where the power is 0, so that -infinity becomes 0. NaN stays NaN by the maximum.
inline __device__ float gelu(float x) {
  const float t = fminf(fabsf(x), 15.0f);
  float p = 2.3353465e-5f;
  p = fmaf(p, t, -6.1950192e-4f);
  p = fmaf(p, t, 7.2602825e-3f);
  p = fmaf(p, t, -5.1397264e-2f);
  p = fmaf(p, t, -0.46097633f);
  p = fmaf(p, t, -1.1503184f);
  p = fmaf(p, t, -1.0000536f);
  return fmaf(-t, exp2_fast(p), larger_or_nan(x, 0.0f));
}

// x / (1 + e^-y)
inline __device__ float times_sigmoid(float x, float y) { return x * reciprocal(1.0f + exp2_fast(-1.44269504f * y)); }

inline __device__ float act(Act kind, float x) {
  switch (kind) {
    case Act::gelu: return gelu(x);
    case Act::relu: return larger_or_nan(x, 0.0f);
    case Act::gelu_tanh: return times_sigmoid(x, 1.5957691216f * x * fmaf(0.044715f * x, x, 1.0f));
    case Act::silu: return times_sigmoid(x, x);
    case Act::tanh: return tanhf(x);
    case Act::none: break;
  }
  return x;
}

// Calls body(std::integral_constant<Act, kind>): on the host to launch the kernel of a kind, on the device so that each
// kind has a copy of the body without a branch in it.
#pragma nv_exec_check_disable
template <typename Body>
__host__ __device__ void with_act(Act kind, const Body& body) {
  switch (kind) {
    case Act::gelu: return body(std::integral_constant<Act, Act::gelu>{});
    case Act::relu: return body(std::integral_constant<Act, Act::relu>{});
    case Act::gelu_tanh: return body(std::integral_constant<Act, Act::gelu_tanh>{});
    case Act::silu: return body(std::integral_constant<Act, Act::silu>{});
    case Act::tanh: return body(std::integral_constant<Act, Act::tanh>{});
    case Act::none: return body(std::integral_constant<Act, Act::none>{});
  }
}
}  // namespace liteft::cuda
