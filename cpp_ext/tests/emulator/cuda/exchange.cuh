// Stands in for cuda/exchange.cuh: a thread that waits for a word lets others go on, and a word that is written twice
// is a fault.

#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <iterator>

#include "tests/emulator/device.h"
#include "tests/emulator/emulator.h"

namespace liteft::cuda {

constexpr std::uint32_t kAbsent = 0xffffffffu;

template <typename Word>
bool is_there(const Word* place) {
  const auto* const words = reinterpret_cast<const std::uint32_t*>(place);
  return std::all_of(words, words + sizeof(Word) / 4, [](std::uint32_t word) { return word != kAbsent; });
}

inline void hand(std::uint32_t* place, std::uint32_t word,
                 const emulator::Location where = emulator::Location::current()) {
  if (word == kAbsent) emulator::fault("line %u: a word is handed on that stands for none", where.line());
  if (*place != kAbsent) emulator::fault("line %u: a word is handed on twice", where.line());
  *place = word;
}

template <typename Word>
void wait_for_word(const Word* place, const emulator::Location where) {
  const std::function<bool()> there = [=] { return is_there(place); };
  if (!is_there(place)) emulator::wait_until(there, "a word of another block", where);
}
template <int N, typename Word, typename T, typename IsNeeded, typename Place>
struct Wanted {
  Word (&x)[N];
  const T* base;
  const IsNeeded& is_needed;
  const Place& place;
};
template <int N, typename Word, typename T, typename IsNeeded, typename Place>
Wanted<N, Word, T, IsNeeded, Place> wanted(Word (&x)[N], const T* base, const IsNeeded& is_needed, const Place& place) {
  return {x, base, is_needed, place};
}
// In an order that is the launch's own, as words arrive in any.
template <typename Each>
void take_one(const Each& each, const emulator::Location where) {
  const int count = static_cast<int>(std::size(each.x)), first = static_cast<int>(emulator::random_below(count));
  for (int n = 0; n < count; ++n) {
    const int i = (first + n) % count;
    each.x[i] = {};
    if (!each.is_needed(i)) continue;
    const auto* const at =
        reinterpret_cast<decltype(&each.x[0])>(const_cast<void*>(static_cast<const void*>(each.base + each.place(i))));
    wait_for_word(at, where);
    each.x[i] = *at;
  }
}
template <typename... Each>
void take(const Each&... each) {
  const emulator::Location where = emulator::Location::current();
  (take_one(each, where), ...);
  emulator::meet_warp(emulator::Meeting::sync, nullptr, [](void* const(&)[32]) {}, where);
}
template <typename T>
void wait_for_one(const T* place) {
  wait_for_word(reinterpret_cast<const std::uint32_t*>(place), emulator::Location::current());
}

inline void clear(uint4* place) { *place = {kAbsent, kAbsent, kAbsent, kAbsent}; }
inline void prefetch(const void*) {}

}  // namespace liteft::cuda
