// What a thread of an emulated kernel asks of its block and its warp.

#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <source_location>

namespace liteft::emulator {

using Location = std::source_location;

struct Place {
  uint3 thread, block;
  dim3 threads, blocks;
};
// Of the thread that runs.
extern Place* here;

enum class Meeting {
  sync,
  shuffle,
  ballot,
  multiply_half,
  multiply_bfloat16,
  multiply_int8,
  multiply_e4m3,
  matrices,
  matrices_across,
  store_matrices,
  registers,
  begin_products,
  multiply_async,
  end_products,
  wait_products
};

// Every lane of the warp comes here; the last one runs `together` over what all of them brought.
void meet_warp(Meeting what, void* brought, void (*together)(void* const (&brought)[32]), const Location& where);
// Every thread of the block comes here.
void meet_block(const Location& where);
// Every thread of the cluster comes here.
void meet_cluster(const Location& where);
bool any_of_block(bool value, const Location& where);
// The thread goes on once `holds` returns true.
void wait_until(const std::function<bool()>& holds, const char* what, const Location& where);
// The number of the thread that runs, and a random number that the launch's seed decides.
int thread_number();
unsigned random_below(unsigned count);
// Ends the kernel with an error.
[[noreturn]] void fault(const char* format, ...) __attribute__((format(printf, 1, 2)));

char* shared_memory();
// That of a block of the cluster, by its number there. Faults where there is none, or where it has ended.
char* shared_memory_of(int block, const Location& where);
std::size_t shared_bytes();
// Faults where [memory, memory + bytes) is not shared memory of the block, or not aligned to 16 bytes.
void check_shared(const void* memory, std::size_t bytes, const char* what, const Location& where);

// Every half, by its bits.
const float* half_values();
std::uint32_t ballot(bool bit, const Location& where);
float shuffle_xor(unsigned mask, float value, int lanes, const Location& where);
float shuffle(unsigned mask, float value, int lane, const Location& where);
void multiply(bool half, float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1,
              const Location& where);
// Of e4m3 values, with float32 sums.
void multiply_e4m3(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1,
                   const Location& where);
void multiply_int8(std::int32_t (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1,
                   const Location& where);
void load_matrices(bool across, std::uint32_t (&out)[4], const void* row, const Location& where);
// Copies happen when they are waited for, at the latest moment that the hardware may choose.
void copy_async(void* shared, const void* global, bool there, const Location& where);
void end_copies();
void wait_copies(int left);
// Of a kernel that is launched early.
void wait_for_inputs();

// Of a thread that ends, and of one that begins.
void forget_copies(int thread);
void check_no_copies(int thread);

}  // namespace liteft::emulator
