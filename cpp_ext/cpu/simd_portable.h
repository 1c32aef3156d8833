// Vectors of eight floats in plain C++: the reference, and what runs on processors without a supported instruction set.

#pragma once

#include <cmath>
#include <cstdint>

namespace liteft::LITEFT_INSTRUCTIONS {

struct Simd {
  static constexpr int lanes = 8;
  static constexpr int tile_rows = 4;
  static constexpr int tile_vectors = 1;
  static constexpr bool takes_zero_point_off = false;

  struct Floats {
    float at[lanes];
  };
  struct Ints {
    std::int32_t at[lanes];
  };

  static Floats broadcast(float x) {
    Floats y;
    for (float& value : y.at) value = x;
    return y;
  }
  static Floats zero() { return broadcast(0.0f); }
  static Floats load(const float* p) { return load_partial(p, lanes); }
  static Floats load_partial(const float* p, int n) {
    Floats y = zero();
    for (int i = 0; i < n; ++i) y.at[i] = p[i];
    return y;
  }
  static void store(float* p, Floats x) { store_partial(p, x, lanes); }
  static void store_partial(float* p, Floats x, int n) {
    for (int i = 0; i < n; ++i) p[i] = x.at[i];
  }
  template <typename Function>
  static Floats each(Floats a, Floats b, Function function) {
    Floats y;
    for (int i = 0; i < lanes; ++i) y.at[i] = function(a.at[i], b.at[i]);
    return y;
  }
  static Floats add(Floats a, Floats b) {
    return each(a, b, [](float x, float y) { return x + y; });
  }
  static Floats subtract(Floats a, Floats b) {
    return each(a, b, [](float x, float y) { return x - y; });
  }
  static Floats multiply(Floats a, Floats b) {
    return each(a, b, [](float x, float y) { return x * y; });
  }
  static Floats divide(Floats a, Floats b) {
    return each(a, b, [](float x, float y) { return x / y; });
  }
  static Floats multiply_add(Floats a, Floats b, Floats c) { return add(multiply(a, b), c); }
  static Floats max(Floats a, Floats b) {
    return each(a, b, [](float x, float y) { return x > y ? x : y; });
  }
  static Floats min(Floats a, Floats b) {
    return each(a, b, [](float x, float y) { return x < y ? x : y; });
  }
  static Floats magnitude(Floats a) {
    return each(a, a, [](float x, float) { return std::fabs(x); });
  }
  static Floats rounded(Floats a) {
    return each(a, a, [](float x, float) { return std::nearbyint(x); });
  }
  static Floats times_two_to(Floats a, Floats power) {
    return each(a, power, [](float x, float y) { return std::ldexp(x, whole(y)); });
  }
  static float sum(Floats a) {
    float total = 0.0f;
    for (float value : a.at) total += value;
    return total;
  }
  static float largest(Floats a) {
    float found = a.at[0];
    for (float value : a.at) found = value > found ? value : found;
    return found;
  }

  static Ints load_ints(const std::int32_t* p) {
    Ints y;
    for (int i = 0; i < lanes; ++i) y.at[i] = p[i];
    return y;
  }
  static Floats to_floats(Ints a) {
    Floats y;
    for (int i = 0; i < lanes; ++i) y.at[i] = static_cast<float>(a.at[i]);
    return y;
  }
  struct Bytes {
    const std::int8_t* at;
  };
  struct Four {
    std::int32_t at[4];
  };
  static Four four_bytes(const std::uint8_t* p) { return {{p[0], p[1], p[2], p[3]}}; }
  static Bytes load_bytes(const std::int8_t* p) { return {p}; }
  static void add_products(Ints& sum, Four a, Bytes b) {
    for (int i = 0; i < lanes; ++i)
      for (int j = 0; j < 4; ++j) sum.at[i] += a.at[j] * b.at[4 * i + j];
  }
  static void store_bytes(std::uint8_t* p, Floats x) {
    for (int i = 0; i < lanes; ++i) p[i] = static_cast<std::uint8_t>(whole(x.at[i]) + 128);
  }

 private:
  static int whole(float x) { return std::isnan(x) ? 0 : static_cast<int>(std::nearbyint(x)); }
};

}  // namespace liteft::LITEFT_INSTRUCTIONS
