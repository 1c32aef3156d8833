// What the lanes of a warp do together: shuffles, ldmatrix, products; and copies that are put off until they are waited
// for. The places of values in registers are those of the PTX manual (mma.m16n8k16, ldmatrix).

#include <cuda_fp16.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

#include "tests/emulator/device.h"
#include "tests/emulator/emulator.h"

namespace liteft::emulator {
namespace {

// Where this processor has wide vectors and fused additions, they are used.
#if defined(__x86_64__)
#define LITEFT_WIDE __attribute__((target_clones("avx2", "default")))
#else
#define LITEFT_WIDE
#endif

template <bool Half>
float value_of(std::uint32_t bits) {
  if constexpr (Half) {
    static const float* const values = half_values();
    return values[bits & 0xffffu];
  }
  return std::bit_cast<float>(bits << 16);
}

struct Product {
  float* d;
  const std::uint32_t* a;
  std::uint32_t b[2];
};

LITEFT_WIDE void add_products(float (&d)[16][8], const float (&a)[16][16], const float (&b)[16][8]) {
  for (int row = 0; row < 16; ++row) {
    for (int k = 0; k < 16; ++k) {
      for (int column = 0; column < 8; ++column) d[row][column] += a[row][k] * b[k][column];
    }
  }
}

template <bool Half>
void multiply_together(void* const (&brought)[32]) {
  alignas(32) float a[16][16], b[16][8], d[16][8];
  for (int lane = 0; lane < 32; ++lane) {
    const Product& mine = *static_cast<const Product*>(brought[lane]);
    const int g = lane / 4, t = lane % 4;
    for (int i = 0; i < 4; ++i) {
      const int row = g + i % 2 * 8, column = 2 * t + i / 2 * 8;
      a[row][column] = value_of<Half>(mine.a[i]);
      a[row][column + 1] = value_of<Half>(mine.a[i] >> 16);
      d[g + i / 2 * 8][2 * t + i % 2] = mine.d[i];
    }
    for (int i = 0; i < 2; ++i) {
      b[2 * t + 8 * i][g] = value_of<Half>(mine.b[i]);
      b[2 * t + 8 * i + 1][g] = value_of<Half>(mine.b[i] >> 16);
    }
  }
  add_products(d, a, b);
  for (int lane = 0; lane < 32; ++lane) {
    const Product& mine = *static_cast<const Product*>(brought[lane]);
    for (int i = 0; i < 4; ++i) mine.d[i] = d[lane / 4 + i / 2 * 8][2 * (lane % 4) + i % 2];
  }
}

// What an e4m3 byte stands for: a sign, four bits of exponent and three of the value.
float e4m3_value(std::uint8_t byte) {
  const int exponent = byte >> 3 & 15, digits = byte & 7;
  if (exponent == 15 && digits == 7) return NAN;
  const float size =
      exponent ? std::ldexp(static_cast<float>(8 + digits), exponent - 10) : std::ldexp(static_cast<float>(digits), -9);
  return byte & 0x80 ? -size : size;
}

template <typename Sum>
struct ProductOfBytes {
  Sum* d;
  const std::uint32_t* a;
  std::uint32_t b[2];
};

// value_of(byte) is what is multiplied.
template <typename Sum, typename ValueOf>
void multiply_bytes_together(void* const (&brought)[32], const ValueOf& value_of) {
  std::uint8_t a[16][32], b[8][32];
  for (int lane = 0; lane < 32; ++lane) {
    const auto& mine = *static_cast<const ProductOfBytes<Sum>*>(brought[lane]);
    const int g = lane / 4, k = 4 * (lane % 4);
    for (int i = 0; i < 4; ++i) std::memcpy(&a[g + i % 2 * 8][k + i / 2 * 16], &mine.a[i], 4);
    for (int i = 0; i < 2; ++i) std::memcpy(&b[g][k + i * 16], &mine.b[i], 4);
  }
  for (int lane = 0; lane < 32; ++lane) {
    const auto& mine = *static_cast<const ProductOfBytes<Sum>*>(brought[lane]);
    for (int i = 0; i < 4; ++i) {
      const int row = lane / 4 + i / 2 * 8, column = 2 * (lane % 4) + i % 2;
      for (int k = 0; k < 32; ++k) mine.d[i] += value_of(a[row][k]) * value_of(b[column][k]);
    }
  }
}

struct Matrices {
  std::uint32_t* out;
  const void* row;
};

template <bool Across>
void load_together(void* const (&brought)[32]) {
  std::uint16_t values[4][8][8];
  for (int lane = 0; lane < 32; ++lane) {
    std::memcpy(values[lane / 8][lane % 8], static_cast<const Matrices*>(brought[lane])->row, 16);
  }
  for (int lane = 0; lane < 32; ++lane) {
    const int row = lane / 4, column = 2 * (lane % 4);
    for (int i = 0; i < 4; ++i) {
      const std::uint32_t low = Across ? values[i][column][row] : values[i][row][column];
      const std::uint32_t high = Across ? values[i][column + 1][row] : values[i][row][column + 1];
      static_cast<const Matrices*>(brought[lane])->out[i] = low | high << 16;
    }
  }
}

struct Shuffle {
  float given, taken;
  int from;
};

float shuffled(unsigned mask, float value, int from, const Location& where) {
  if (mask != 0xffffffffu) fault("line %u: a shuffle of some lanes, which is not emulated", where.line());
  Shuffle mine{value, 0.0f, from & 31};
  meet_warp(
      Meeting::shuffle, &mine,
      [](void* const(&brought)[32]) {
        for (void* each : brought) {
          Shuffle& taker = *static_cast<Shuffle*>(each);
          taker.taken = static_cast<const Shuffle*>(brought[taker.from])->given;
        }
      },
      where);
  return mine.taken;
}

// A copy of 16 bytes on its way.
struct Copy {
  void* to;
  const void* from;  // nullptr: zeros
};
struct Copies {
  std::vector<std::vector<Copy>> groups;  // the oldest first
  std::vector<Copy> open;                 // of no group yet
};
Copies copies[kMostThreads];

int number_of(const Place& place) {
  return static_cast<int>(place.thread.x + place.threads.x * (place.thread.y + place.threads.y * place.thread.z));
}
int lane_of(const Place& place) { return number_of(place) % 32; }

}  // namespace

const float* half_values() {
  static const std::vector<float> values = [] {
    std::vector<float> made(1 << 16);
    for (unsigned bits = 0; bits < made.size(); ++bits) {
      made[bits] = __half2float(std::bit_cast<__half>(static_cast<std::uint16_t>(bits)));
    }
    return made;
  }();
  return values.data();
}

float shuffle_xor(unsigned mask, float value, int lanes, const Location& where) {
  return shuffled(mask, value, lane_of(*here) ^ lanes, where);
}

float shuffle(unsigned mask, float value, int lane, const Location& where) {
  return shuffled(mask, value, lane, where);
}

std::uint32_t ballot(bool bit, const Location& where) {
  struct Vote {
    bool bit;
    std::uint32_t all;
  } mine{bit, 0};
  meet_warp(
      Meeting::ballot, &mine,
      [](void* const(&brought)[32]) {
        std::uint32_t all = 0;
        for (int lane = 0; lane < 32; ++lane)
          all |= static_cast<std::uint32_t>(static_cast<const Vote*>(brought[lane])->bit) << lane;
        for (void* each : brought) static_cast<Vote*>(each)->all = all;
      },
      where);
  return mine.all;
}

void multiply(bool half, float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1,
              const Location& where) {
  Product mine{d, a, {b0, b1}};
  if (half)
    meet_warp(Meeting::multiply_half, &mine, multiply_together<true>, where);
  else
    meet_warp(Meeting::multiply_bfloat16, &mine, multiply_together<false>, where);
}

void multiply_int8(std::int32_t (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1,
                   const Location& where) {
  ProductOfBytes<std::int32_t> mine{d, a, {b0, b1}};
  meet_warp(
      Meeting::multiply_int8, &mine,
      [](void* const(&brought)[32]) {
        multiply_bytes_together<std::int32_t>(brought,
                                              [](std::uint8_t byte) { return static_cast<std::int8_t>(byte); });
      },
      where);
}
void multiply_e4m3(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1,
                   const Location& where) {
  ProductOfBytes<float> mine{d, a, {b0, b1}};
  meet_warp(
      Meeting::multiply_e4m3, &mine,
      [](void* const(&brought)[32]) { multiply_bytes_together<float>(brought, e4m3_value); }, where);
}

void load_matrices(bool across, std::uint32_t (&out)[4], const void* row, const Location& where) {
  check_shared(row, 16, "ldmatrix", where);
  Matrices mine{out, row};
  if (across)
    meet_warp(Meeting::matrices_across, &mine, load_together<true>, where);
  else
    meet_warp(Meeting::matrices, &mine, load_together<false>, where);
}

void copy_async(void* shared, const void* global, bool there, const Location& where) {
  check_shared(shared, 16, "a copy to a place", where);
  if (there && reinterpret_cast<std::uintptr_t>(global) % 16)
    fault("line %u: a copy from a place that is not aligned", where.line());
  if (there && !is_device(global, 16)) {
    fault("line %u: a copy from outside of device memory: %s", where.line(), describe(global).c_str());
  }
  std::memset(shared, 0xff, 16);
  copies[thread_number()].open.push_back({shared, there ? global : nullptr});
}

void end_copies() {
  Copies& mine = copies[thread_number()];
  mine.groups.push_back(std::move(mine.open));
  mine.open.clear();
}

void wait_copies(int left) {
  Copies& mine = copies[thread_number()];
  while (static_cast<int>(mine.groups.size()) > left) {
    for (const Copy& copy : mine.groups.front()) {
      if (copy.from)
        std::memcpy(copy.to, copy.from, 16);
      else
        std::memset(copy.to, 0, 16);
    }
    mine.groups.erase(mine.groups.begin());
  }
}

void forget_copies(int thread) {
  copies[thread].groups.clear();
  copies[thread].open.clear();
}

void check_no_copies(int thread) {
  std::size_t left = copies[thread].open.size();
  for (const auto& group : copies[thread].groups) left += group.size();
  if (left) fault("a thread ends with %zu copies that nobody waited for", left);
}

}  // namespace liteft::emulator
