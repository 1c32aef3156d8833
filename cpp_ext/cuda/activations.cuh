// Activations of float32 values, and the choice of a kernel by its activation.

#pragma once

#include <cmath>
#include <type_traits>

#include "cuda/device.cuh"
#include "cuda/kernels.h"

namespace liteft::cuda {

// x Phi(x) with Phi = 1/2 + x P(x^2) / Q(x^2), where x^2 is limited to 4.7^2, from where on the sum is below 0 or above
// 1 and is cut there. P and Q come from cpu/fit_gelu.py; the error is below 7e-6, a seventieth of what rounding to
// half adds to a value of 1. NaN stays NaN by the last factor.
inline __device__ float gelu(float x) {
  const float z = fminf(x * x, 22.09f);
  float p = 3.2689124e-5f;
  p = fmaf(p, z, 3.8063950e-3f);
  p = fmaf(p, z, 2.7472083e-2f);
  p = fmaf(p, z, 0.39893845f);
  float q = 1.1520896e-3f;
  q = fmaf(q, z, 2.3782399e-2f);
  q = fmaf(q, z, 0.23551780f);
  q = fmaf(q, z, 1.0f);
  return x * saturated_multiply_add(x, p * reciprocal(q), 0.5f);
}

// x / (1 + e^-y)
inline __device__ float times_sigmoid(float x, float y) { return x * reciprocal(1.0f + exp2_fast(-1.44269504f * y)); }

inline __device__ float act(Act kind, float x) {
  switch (kind) {
    case Act::gelu: return gelu(x);
    case Act::relu: return x > 0.0f ? x : (x == x ? 0.0f : x);  // NaN stays
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
