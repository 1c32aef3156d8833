// Pairs of halves and bfloat16s as float32, and sums over a warp.

#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>
#include <cstring>
#include <type_traits>

namespace liteft::cuda {

template <typename T>
struct PairOf;
template <>
struct PairOf<__half> {
  using Type = __half2;
  static __device__ float2 floats(__half2 x) { return __half22float2(x); }
  static __device__ __half2 from(float2 x) { return __float22half2_rn(x); }
};
template <>
struct PairOf<__nv_bfloat16> {
  using Type = __nv_bfloat162;
  static __device__ float2 floats(__nv_bfloat162 x) { return __bfloat1622float2(x); }
  static __device__ __nv_bfloat162 from(float2 x) { return __float22bfloat162_rn(x); }
};

template <typename T>
__device__ float2 load_pair(const T* p) {
  return PairOf<T>::floats(*reinterpret_cast<const typename PairOf<T>::Type*>(p));
}
template <typename T>
__device__ void store_pair(T* p, float2 x) {
  *reinterpret_cast<typename PairOf<T>::Type*>(p) = PairOf<T>::from(x);
}
template <typename T>
__device__ std::uint32_t packed(float2 x) {
  const auto pair = PairOf<T>::from(x);
  std::uint32_t word;
  memcpy(&word, &pair, 4);
  return word;
}
template <typename T>
__device__ float2 unpacked(std::uint32_t word) {
  typename PairOf<T>::Type pair;
  memcpy(&pair, &word, 4);
  return PairOf<T>::floats(pair);
}
// Whether one of a pair is infinite or NaN.
template <typename T>
__device__ bool holds_infinite(std::uint32_t word) {
  constexpr std::uint32_t kExponent = std::is_same_v<T, __half> ? 0x7c00u : 0x7f80u;
  return (word & kExponent) == kExponent || (word & kExponent << 16) == kExponent << 16;
}
// Eight values, 16 bytes, as float32.
template <typename T>
__device__ void unpack_eight(const uint4& words, float (&x)[8]) {
  const std::uint32_t* pairs = &words.x;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const float2 pair = unpacked<T>(pairs[i]);
    x[2 * i] = pair.x, x[2 * i + 1] = pair.y;
  }
}
template <typename T>
__device__ uint4 packed_eight(const float (&x)[8]) {
  return {packed<T>({x[0], x[1]}), packed<T>({x[2], x[3]}), packed<T>({x[4], x[5]}), packed<T>({x[6], x[7]})};
}
template <typename T>
__device__ uint4 load_words(const T* p) {
  return *reinterpret_cast<const uint4*>(p);
}
template <typename T>
__device__ void store_eight(T* p, const float (&x)[8]) {
  *reinterpret_cast<uint4*>(p) = packed_eight<T>(x);
}
__device__ inline void load_eight(const float* p, float (&x)[8]) {
  const float4 low = *reinterpret_cast<const float4*>(p), high = *reinterpret_cast<const float4*>(p + 4);
  x[0] = low.x, x[1] = low.y, x[2] = low.z, x[3] = low.w;
  x[4] = high.x, x[5] = high.y, x[6] = high.z, x[7] = high.w;
}
template <typename T>
__device__ void add_eight(float (&x)[8], const uint4& words) {
  float more[8];
  unpack_eight<T>(words, more);
#pragma unroll
  for (int i = 0; i < 8; ++i) x[i] += more[i];
}
// What scores of attention with heads of D values are multiplied with to become exponents of two: log2(e) / sqrt(D).
template <int D>
constexpr float kScoreScale = D == 32 ? 0.25503486f : 0.18033688f;

inline __device__ void add_to(float2& sum, float2 x) {
  sum.x += x.x;
  sum.y += x.y;
}
inline __device__ float warp_sum(float x) {
  for (int offset = 16; offset; offset /= 2) x += __shfl_xor_sync(0xffffffffu, x, offset);
  return x;
}

}  // namespace liteft::cuda
