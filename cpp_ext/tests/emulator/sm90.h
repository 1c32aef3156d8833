// What a thread of an emulated kernel asks of Hopper: clusters, barriers in shared memory, the copy engine, products of
// warpgroups.
//
// What is asynchronous happens as late as it may, or at once, by chance: the copy engine's copies when all threads
// wait, stores to other blocks too, and products when they are waited for. Until then the places that they write hold
// NaN.

#pragma once

#include <cuda.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "tests/emulator/device.h"

namespace liteft::emulator {

void init_barrier(void* barrier, int arrivals, const Location& where);
void publish_barriers();
void arrive(void* barrier, int bytes, const Location& where);
void wait(void* barrier, unsigned parity, const Location& where);

// At a barrier of a block of the cluster.
void arrive_in(int block, void* barrier, const Location& where);
// Eight bytes to a block of the cluster, some time later.
void store_in(int block, void* shared, std::uint64_t word, void* barrier, const Location& where);

void copy_box(void* shared, const CUtensorMap* map, int column, int row, void* barrier, const Location& where);
// The same to blocks of the cluster, a bit each.
void copy_box(unsigned blocks, void* shared, const CUtensorMap* map, int column, int row, void* barrier,
              const Location& where);

void set_registers(int count, const Location& where);

std::uint64_t matrix(const void* shared, int leading, int stride, const Location& where);
void begin_products(const Location& where);
void multiply_async(bool half, float* sums, int columns, std::uint64_t left, std::uint64_t right, bool add,
                    const Location& where);
void end_products(const Location& where);
void wait_products(int left, const Location& where);

// What the warp stores by stmatrix is there after show_stores, which __syncwarp calls.
void store_matrices(void* row, const std::uint32_t (&in)[4], const Location& where);
void show_stores();

// Of a block: before its threads run, and after they have. The latter returns what is wrong, or "".
void begin_asynchronous(int warps, int warps_of_a_block);
std::string end_asynchronous();
// Something asynchronous happens. False where there is nothing that could.
bool happen();

}  // namespace liteft::emulator
