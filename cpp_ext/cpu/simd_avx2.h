// Vectors of eight floats, for processors without AVX-512.

#pragma once

#include <immintrin.h>

#include <cmath>
#include <cstdint>
#include <cstring>

namespace liteft::LITEFT_INSTRUCTIONS {

struct Simd {
  using Floats = __m256;
  using Ints = __m256i;
  static constexpr int lanes = 8;
  static constexpr int tile_rows = 6;
  static constexpr int tile_vectors = 2;
  // Without VNNI, bytes are multiplied as signed values, after the zero point is subtracted.
  static constexpr bool takes_zero_point_off = !LITEFT_HAS_VNNI;

  static Floats zero() { return _mm256_setzero_ps(); }
  static Floats broadcast(float x) { return _mm256_set1_ps(x); }
  static Floats load(const float* p) { return _mm256_loadu_ps(p); }
  static Floats load_partial(const float* p, int n) { return n >= lanes ? load(p) : _mm256_maskload_ps(p, mask(n)); }
  static void store(float* p, Floats x) { _mm256_storeu_ps(p, x); }
  static void store_partial(float* p, Floats x, int n) {
    if (n >= lanes) return store(p, x);
    _mm256_maskstore_ps(p, mask(n), x);
  }
  static Floats add(Floats a, Floats b) { return _mm256_add_ps(a, b); }
  static Floats subtract(Floats a, Floats b) { return _mm256_sub_ps(a, b); }
  static Floats multiply(Floats a, Floats b) { return _mm256_mul_ps(a, b); }
  static Floats divide(Floats a, Floats b) { return _mm256_div_ps(a, b); }
  static Floats multiply_add(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }
  static Floats max(Floats a, Floats b) { return _mm256_max_ps(a, b); }
  static Floats min(Floats a, Floats b) { return _mm256_min_ps(a, b); }
  static Floats magnitude(Floats a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
  static Floats rounded(Floats a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
  // a * 2^power, power a whole number from -126 to 127.
  static Floats times_two_to(Floats a, Floats power) {
    const Ints exponent = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(power), _mm256_set1_epi32(127)), 23);
    return multiply(a, _mm256_castsi256_ps(exponent));
  }
  static float sum(Floats a) {
    __m128 x = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    x = _mm_add_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)));
  }
  static float largest(Floats a) {
    __m128 x = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    x = _mm_max_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_max_ss(x, _mm_movehdup_ps(x)));
  }

  static Ints load_ints(const std::int32_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
  static Floats to_floats(Ints a) { return _mm256_cvtepi32_ps(a); }
#if LITEFT_HAS_VNNI
  static Ints load_bytes(const std::int8_t* p) { return _mm256_load_si256(reinterpret_cast<const __m256i*>(p)); }
  // Four bytes of a row, in every lane.
  static Ints four_bytes(const std::uint8_t* p) {
    std::int32_t word;
    std::memcpy(&word, p, 4);
    return _mm256_set1_epi32(word);
  }
  // As assembly, for the reason given in simd_avx512.h.
  static void add_products(Ints& sum, Ints a, Ints b) {
    asm("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sum) : "x"(a), "x"(b));
  }
#else
  // Weights: their signs, and their magnitudes as unsigned bytes, among which 128 has a place.
  struct Bytes {
    Ints signs;
    Ints magnitudes;
  };
  static Bytes load_bytes(const std::int8_t* p) {
    const Ints values = _mm256_load_si256(reinterpret_cast<const __m256i*>(p));
    return {values, _mm256_abs_epi8(values)};
  }
  // Four bytes of a row, in every lane. None is -128, which has no negative.
  static Ints four_bytes(const std::uint8_t* p) {
    std::int32_t word;
    std::memcpy(&word, p, 4);
    return _mm256_xor_si256(_mm256_set1_epi32(word), _mm256_set1_epi8(-128));
  }
  // Two products are at most 2 * 128 * 127, so that they fit into 16 bits and nothing saturates.
  static void add_products(Ints& sum, Ints a, const Bytes& b) {
    const Ints pairs = _mm256_maddubs_epi16(b.magnitudes, _mm256_sign_epi8(a, b.signs));
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }
#endif
  static void store_bytes(std::uint8_t* p, Floats x) {
    const Ints shifted = _mm256_add_epi32(_mm256_cvtps_epi32(x), _mm256_set1_epi32(128));
    const __m128i words = _mm_packus_epi32(_mm256_castsi256_si128(shifted), _mm256_extracti128_si256(shifted, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packus_epi16(words, words));
  }

 private:
  static Ints mask(int n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
};

}  // namespace liteft::LITEFT_INSTRUCTIONS
