// Vectors of four floats, with the dot products of bytes of ARMv8.2.

#pragma once

#include <arm_neon.h>

#include <cmath>
#include <cstdint>
#include <cstring>

namespace liteft::LITEFT_INSTRUCTIONS {

struct Simd {
  using Floats = float32x4_t;
  using Ints = int32x4_t;
  static constexpr int lanes = 4;
  static constexpr int tile_rows = 5;
  static constexpr int tile_vectors = 4;
  // Bytes are multiplied as signed values, after the zero point is subtracted.
  static constexpr bool takes_zero_point_off = true;

  static Floats zero() { return vdupq_n_f32(0.0f); }
  static Floats broadcast(float x) { return vdupq_n_f32(x); }
  static Floats load(const float* p) { return vld1q_f32(p); }
  static Floats load_partial(const float* p, int n) {
    if (n >= lanes) return load(p);
    float some[lanes] = {};
    for (int i = 0; i < n; ++i) some[i] = p[i];
    return load(some);
  }
  static void store(float* p, Floats x) { vst1q_f32(p, x); }
  static void store_partial(float* p, Floats x, int n) {
    if (n >= lanes) return store(p, x);
    float some[lanes];
    store(some, x);
    for (int i = 0; i < n; ++i) p[i] = some[i];
  }
  static Floats add(Floats a, Floats b) { return vaddq_f32(a, b); }
  static Floats subtract(Floats a, Floats b) { return vsubq_f32(a, b); }
  static Floats multiply(Floats a, Floats b) { return vmulq_f32(a, b); }
  static Floats divide(Floats a, Floats b) { return vdivq_f32(a, b); }
  static Floats multiply_add(Floats a, Floats b, Floats c) { return vfmaq_f32(c, a, b); }
  static Floats max(Floats a, Floats b) { return vmaxq_f32(a, b); }
  static Floats min(Floats a, Floats b) { return vminq_f32(a, b); }
  static Floats magnitude(Floats a) { return vabsq_f32(a); }
  static Floats rounded(Floats a) { return vrndnq_f32(a); }
  // a * 2^power, power a whole number from -126 to 127.
  static Floats times_two_to(Floats a, Floats power) {
    return multiply(a, vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(vcvtq_s32_f32(power), vdupq_n_s32(127)), 23)));
  }
  static float sum(Floats a) { return vaddvq_f32(a); }
  static float largest(Floats a) { return vmaxvq_f32(a); }

  static Ints load_ints(const std::int32_t* p) { return vld1q_s32(p); }
  static Floats to_floats(Ints a) { return vcvtq_f32_s32(a); }
  // Four bytes of a row, in every lane.
  static int8x16_t four_bytes(const std::uint8_t* p) {
    std::uint32_t word;
    std::memcpy(&word, p, 4);
    return vreinterpretq_s8_u32(vdupq_n_u32(word ^ 0x80808080u));
  }
  static int8x16_t load_bytes(const std::int8_t* p) { return vld1q_s8(p); }
  static void add_products(Ints& sum, int8x16_t a, int8x16_t b) { sum = vdotq_s32(sum, a, b); }
  // Rounds half to even and adds 128.
  static void store_bytes(std::uint8_t* p, Floats x) {
    const int16x4_t words = vmovn_s32(vaddq_s32(vcvtnq_s32_f32(x), vdupq_n_s32(128)));
    const uint8x8_t bytes = vqmovun_s16(vcombine_s16(words, words));
    const std::uint32_t word = vget_lane_u32(vreinterpret_u32_u8(bytes), 0);
    std::memcpy(p, &word, 4);
  }
};

}  // namespace liteft::LITEFT_INSTRUCTIONS
