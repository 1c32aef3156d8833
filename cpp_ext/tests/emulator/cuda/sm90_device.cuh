// Stands in for cuda/sm90_device.cuh: the same functions, over emulator/sm90.h.

#pragma once

#include <bit>
#include <type_traits>

#include "cuda/device.cuh"
#include "tests/emulator/sm90.h"

#undef __grid_constant__
#define __grid_constant__
#define LITEFT_SM90_BODY 1

namespace liteft::cuda {

struct Barrier {
  std::uint64_t word;
};

template <typename... Parameters, typename... Arguments>
void launch_clusters(void (*kernel)(Parameters...), unsigned blocks, unsigned grid, unsigned block, std::size_t shared,
                     cudaStream_t stream, const Arguments&... arguments) {
  emulator::Kernel made = made_of(kernel, grid, block, shared, arguments...);
  made.early = true;
  made.cluster = blocks;
  check(emulator::launch(std::move(made), stream), "starting a kernel");
}
template <typename... Parameters>
int most_clusters(void (*)(Parameters...), unsigned, unsigned, std::size_t) {
  return 4;
}

inline void meet_cluster(const Location where = Location::current()) { emulator::meet_cluster(where); }
inline void arrive_in(int block, void* barrier, const Location where = Location::current()) {
  emulator::arrive_in(block, barrier, where);
}
inline void store_in(int block, float2* shared, float2 value, void* barrier,
                     const Location where = Location::current()) {
  emulator::store_in(block, shared, std::bit_cast<std::uint64_t>(value), barrier, where);
}

inline char* swizzled_shared() { return emulator::shared_memory(); }

inline void init_barrier(Barrier* barrier, int arrivals, const Location where = Location::current()) {
  emulator::init_barrier(barrier, arrivals, where);
}
inline void publish_barriers() { emulator::publish_barriers(); }
inline void arrive(Barrier* barrier, const Location where = Location::current()) {
  emulator::arrive(barrier, 0, where);
}
inline void arrive_expecting(Barrier* barrier, int bytes, const Location where = Location::current()) {
  emulator::arrive(barrier, bytes, where);
}
inline void wait(Barrier* barrier, unsigned parity, const Location where = Location::current()) {
  emulator::wait(barrier, parity, where);
}

inline void wait_for_cluster(Barrier* barrier, unsigned parity, const Location where = Location::current()) {
  emulator::wait(barrier, parity, where);
}

inline void prefetch_map(const CUtensorMap*) {}
inline void copy_box(void* shared, const CUtensorMap* map, int column, int row, Barrier* barrier,
                     const Location where = Location::current()) {
  emulator::copy_box(shared, map, column, row, barrier, where);
}
inline void copy_box(unsigned blocks, void* shared, const CUtensorMap* map, int column, int row, Barrier* barrier,
                     const Location where = Location::current()) {
  emulator::copy_box(blocks, shared, map, column, row, barrier, where);
}
inline void pass_to_copies() {}

template <int Count>
void give_registers(const Location where = Location::current()) {
  emulator::set_registers(Count, where);
}
template <int Count>
void take_registers(const Location where = Location::current()) {
  emulator::set_registers(Count, where);
}

inline std::uint64_t matrix(const void* shared, int leading, int stride, const Location where = Location::current()) {
  return emulator::matrix(shared, leading, stride, where);
}
inline void begin_products(const Location where = Location::current()) { emulator::begin_products(where); }
inline void end_products(const Location where = Location::current()) { emulator::end_products(where); }
template <int Left, int Count>
void wait_products(float (&)[Count], const Location where = Location::current()) {
  emulator::wait_products(Left, where);
}
template <typename T, int Count>
void multiply_async(T, float (&sums)[Count], std::uint64_t left, std::uint64_t right, bool add,
                    const Location where = Location::current()) {
  emulator::multiply_async(std::is_same_v<T, __half>, sums, 2 * Count, left, right, add, where);
}

inline void store_matrices(void* row, const std::uint32_t (&in)[4], const Location where = Location::current()) {
  emulator::store_matrices(row, in, where);
}

}  // namespace liteft::cuda
