// Vectors of 16 floats, with VNNI for bytes and BF16 for pairs of bf16.

#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

namespace liteft::LITEFT_INSTRUCTIONS {

struct Simd {
  using Floats = __m512;
  using Ints = __m512i;
  static constexpr int lanes = 16;
  static constexpr int tile_rows = 6;
  static constexpr int tile_vectors = 4;
  static constexpr bool takes_zero_point_off = false;

  static Floats zero() { return _mm512_setzero_ps(); }
  static Floats broadcast(float x) { return _mm512_set1_ps(x); }
  static Floats load(const float* p) { return _mm512_loadu_ps(p); }
  static Floats load_partial(const float* p, int n) { return _mm512_maskz_loadu_ps(mask(n), p); }
  static void store(float* p, Floats x) { _mm512_storeu_ps(p, x); }
  static void store_partial(float* p, Floats x, int n) { _mm512_mask_storeu_ps(p, mask(n), x); }
  static Floats add(Floats a, Floats b) { return _mm512_add_ps(a, b); }
  static Floats subtract(Floats a, Floats b) { return _mm512_sub_ps(a, b); }
  static Floats multiply(Floats a, Floats b) { return _mm512_mul_ps(a, b); }
  static Floats divide(Floats a, Floats b) { return _mm512_div_ps(a, b); }
  static Floats multiply_add(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
  static Floats max(Floats a, Floats b) { return _mm512_max_ps(a, b); }
  static Floats min(Floats a, Floats b) { return _mm512_min_ps(a, b); }
  static Floats magnitude(Floats a) { return _mm512_abs_ps(a); }
  static Floats rounded(Floats a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
  static Floats times_two_to(Floats a, Floats power) { return _mm512_scalef_ps(a, power); }
  static float sum(Floats a) { return _mm512_reduce_add_ps(a); }
  static float largest(Floats a) { return _mm512_reduce_max_ps(a); }

  static Ints load_ints(const std::int32_t* p) { return _mm512_loadu_si512(p); }
  static Floats to_floats(Ints a) { return _mm512_cvtepi32_ps(a); }
  // Four bytes of a row, in every lane.
  static Ints four_bytes(const std::uint8_t* p) {
    std::int32_t word;
    std::memcpy(&word, p, 4);
    return _mm512_set1_epi32(word);
  }
  static Ints load_bytes(const std::int8_t* p) { return _mm512_load_si512(p); }
  // sum += a * b over four bytes per lane. As assembly, since GCC 12 keeps the intrinsic's sums in memory, at half the
  // rate.
  static void add_products(Ints& sum, Ints a, Ints b) { asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b)); }
#if LITEFT_HAS_BF16
  // Two bf16 values of a row, in every lane.
  static Ints broadcast_bf16_pair(const std::uint16_t* p) {
    return four_bytes(reinterpret_cast<const std::uint8_t*>(p));
  }
  static Ints load_bf16(const std::uint16_t* p) { return _mm512_load_si512(p); }
  static void add_bf16_products(Floats& sum, Ints a, Ints b) {
    asm("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(b), "v"(a));
  }
  static void store_bf16(std::uint16_t* p, Floats x) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), to_bf16_lanes(x));
  }
  // Values of x and y in turns.
  static void store_pairs(std::uint16_t* p, Floats x, Floats y) {
    const Ints low = _mm512_cvtepu16_epi32(to_bf16_lanes(x)), high = _mm512_cvtepu16_epi32(to_bf16_lanes(y));
    _mm512_storeu_si512(p, _mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
  }
#endif
  // Rounds half to even, adds 128 and keeps the low bytes.
  static void store_bytes(std::uint8_t* p, Floats x) {
    const Ints shifted = _mm512_add_epi32(_mm512_cvtps_epi32(x), _mm512_set1_epi32(128));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(shifted));
  }

 private:
#if LITEFT_HAS_BF16
  static __m256i to_bf16_lanes(Floats x) { return reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(x)); }
#endif
  static __mmask16 mask(int n) { return static_cast<__mmask16>((1u << n) - 1u); }
};

}  // namespace liteft::LITEFT_INSTRUCTIONS
