// Values that the blocks of a launch hand to each other without a barrier.
//
// Memory for them is filled with kAbsent first. Each word is written once, as a whole, and whoever needs it reads it
// until it is there. So it does not matter in which order words arrive, and a word needs neither a fence nor a counter
// that says when it may be read: that takes one way to the L2 cache and one way back, where a barrier takes four.
// All blocks must run at once (launch_cooperative).
//
// tests/emulator has a file in place of this one.

#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace liteft::cuda {

// Two NaNs, which no conversion from float32 gives: there NaN becomes 0x7fff.
constexpr std::uint32_t kAbsent = 0xffffffffu;

// Past the L1 cache, which may hold what was there before.
inline __device__ std::uint32_t look(const std::uint32_t* place) {
  std::uint32_t x;
  asm volatile("ld.relaxed.gpu.global.u32 %0, [%1];" : "=r"(x) : "l"(place) : "memory");
  return x;
}
inline __device__ uint2 look(const uint2* place) {
  uint2 x;
  asm volatile("ld.relaxed.gpu.global.v2.u32 {%0, %1}, [%2];" : "=r"(x.x), "=r"(x.y) : "l"(place) : "memory");
  return x;
}
inline __device__ uint4 look(const uint4* place) {
  uint4 x;
  asm volatile("ld.relaxed.gpu.global.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(x.x), "=r"(x.y), "=r"(x.z), "=r"(x.w)
               : "l"(place)
               : "memory");
  return x;
}
inline __device__ std::uint32_t all_absent(std::uint32_t) { return kAbsent; }
inline __device__ uint2 all_absent(const uint2&) { return {kAbsent, kAbsent}; }
inline __device__ uint4 all_absent(const uint4&) { return {kAbsent, kAbsent, kAbsent, kAbsent}; }
inline __device__ std::uint32_t largest_word(std::uint32_t x) { return x; }
inline __device__ std::uint32_t largest_word(const uint2& x) { return max(x.x, x.y); }
inline __device__ std::uint32_t largest_word(const uint4& x) { return max(max(x.x, x.y), max(x.z, x.w)); }

// Hands on a word, which must not be kAbsent.
inline __device__ void hand(std::uint32_t* place, std::uint32_t word) {
  asm volatile("st.relaxed.gpu.global.u32 [%0], %1;" ::"l"(place), "r"(word) : "memory");
}

// Words that a thread waits for: x[i] is at place(i) values of type T after `base`, for each i that is needed; other
// x[i] become zeros.
template <int N, typename Word, typename T, typename IsNeeded, typename Place>
struct Wanted {
  Word (&x)[N];
  const T* base;
  const IsNeeded& is_needed;
  const Place& place;

  __device__ void begin() const {
#pragma unroll
    for (int i = 0; i < N; ++i) x[i] = is_needed(i) ? all_absent(Word{}) : Word{};
  }
  __device__ void look_for_absent() const {
    const T* from = base;
    asm volatile("" : "+l"(from));  // or N addresses would be kept in registers
#pragma unroll
    for (int i = 0; i < N; ++i) {
      if (largest_word(x[i]) == kAbsent) x[i] = look(reinterpret_cast<const Word*>(from + place(i)));
    }
  }
  __device__ std::uint32_t largest() const {
    std::uint32_t most = 0;
#pragma unroll
    for (int i = 0; i < N; ++i) most = max(most, largest_word(x[i]));
    return most;
  }
};
template <int N, typename Word, typename T, typename IsNeeded, typename Place>
__device__ Wanted<N, Word, T, IsNeeded, Place> wanted(Word (&x)[N], const T* base, const IsNeeded& is_needed,
                                                      const Place& place) {
  return {x, base, is_needed, place};
}
// Waits, for all lanes of a warp, until everything that is wanted is there. What is missing is read all at once.
template <typename... Each>
__device__ void take(const Each&... each) {
  (each.begin(), ...);
  std::uint32_t largest = 0;
  do {
    (each.look_for_absent(), ...);
    largest = 0;
    ((largest = max(largest, each.largest())), ...);
  } while (largest == kAbsent);
  __syncwarp();
}
// Waits for one word, where the others are not worth a look before: reads of all that is absent would be in the way of
// blocks that compute.
template <typename T>
__device__ void wait_for_one(const T* place) {
  while (look(reinterpret_cast<const std::uint32_t*>(place)) == kAbsent) {
  }
}

// Makes a word absent, for another launch.
inline __device__ void clear(uint4* place) { *place = {kAbsent, kAbsent, kAbsent, kAbsent}; }

// Brings a cache line to the L2 cache.
inline __device__ void prefetch(const void* place) { asm volatile("prefetch.global.L2 [%0];" ::"l"(place)); }

}  // namespace liteft::cuda
