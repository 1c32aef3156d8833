// Activations of float32 values, and a way to choose one outside of a loop.

#pragma once

#include <cmath>
#include <type_traits>

#include "cuda/kernels.h"

namespace liteft::cuda {

inline __device__ float act(Act kind, float x) {
  switch (kind) {
    case Act::gelu: return 0.5f * x * (1.0f + erff(x * 0.70710678f));
    case Act::relu: return x > 0.0f ? x : (x == x ? 0.0f : x);  // NaN stays
    case Act::gelu_tanh: return x / (1.0f + expf(-1.5957691216f * x * (1.0f + 0.044715f * x * x)));
    case Act::silu: return x / (1.0f + expf(-x));
    case Act::tanh: return tanhf(x);
    case Act::none: break;
  }
  return x;
}

// Calls body(std::integral_constant<Act, kind>), so that each kind has a copy of the body without a branch in it.
template <typename Body>
__device__ void with_act(Act kind, const Body& body) {
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
