// An emulated GPU, for the tests: a CUDA runtime whose kernels run as fibers of one thread of this processor.
//
// What tests may ask of it and tell it. See the section "The CUDA emulator" of cpp_ext/README.md for what it catches.

#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

namespace liteft::emulator {

// Of the order in which blocks and warps run; the same seed gives the same order.
void set_seed(std::uint64_t seed);
// The allocation after `count` others fails, once. Negative: none fails.
void fail_allocation_after(int count);
// cudaMemset fills with NaN whatever it was asked for: what still comes out right does not lean on zeros.
void poison_instead_of_zeros(bool poison);
// What a launch whose kernel's parameters have `part` in their types costs on the clock of events; others cost 1.
void set_cost(const std::string& part, double cost);

// Work on the device costs its time and is not done, copies aside: for what only times it. LITEFT_EMULATOR_IDLE in the
// environment asks for that from the start.
void skip_work(bool skip);

// Kernels whose parameters have `part` in their types do nothing, as broken ones might; "" for none.
void break_kernels(const std::string& part);

// The launch of a graph after `count` others fails.
void fail_graph(int count = 0);
// The library was built for other GPUs than this one.
void hold_no_kernels(bool none);
// The newest CUDA that the driver knows, as 1000 times the major and 10 times the minor version.
void set_driver(int version);
// The GPU's compute capability, as 10 times the major and the minor number.
void set_capability(int capability);
// The most shared memory that a block may ask for, at most 227 KB.
void set_shared(int bytes);
// As in a new process: no kernel is loaded, and none may have more than 48 KB.
void forget_kernels();
// Work that was asked for and is not done, on all streams.
long pending();
// How often a device was chosen.
long choices_of_device();

struct Live {
  long allocations = 0, bytes = 0, pinned = 0, streams = 0, events = 0, graphs = 0;
  bool operator==(const Live&) const = default;
};
Live live();
// Kernels that ran, products not counted; and those whose parameters have `part` in their types.
long kernels_run(const std::string& part = "");
// What went wrong on the device, "" where nothing did; forgets it, as no real GPU could.
std::string take_fault();

// Below: for the emulator's own files.

// Of all blocks that run at once: a cluster of eight.
constexpr int kMostThreads = 8 * 512;

struct Kernel {
  std::function<void()> body;  // of one thread
  const char* name = "";
  const void* function = nullptr;
  dim3 grid, block;
  std::size_t shared = 0;
  bool together = false;  // a cooperative launch: all blocks run at once, and may wait for each other
  unsigned cluster = 0;   // so many blocks, one after the other, run at once, and reach each other's shared memory
  bool early = false;     // may overlap the kernel ahead: all of its threads must wait for that
};

cudaError_t launch(Kernel kernel, cudaStream_t stream);
cudaError_t allow_shared(const void* function, std::size_t bytes);

// Runs a kernel to its end, now. Returns what went wrong, or "".
std::string run_kernel(const Kernel& kernel, std::uint64_t seed);

// Memory with guard pages around it, filled with 0xff: NaN in every type.
void* allocate(std::size_t bytes, bool device);
// False where nothing was allocated there. Writes beyond the memory's end, within its last page, are a fault.
bool release(void* memory, bool device, std::string* fault);
bool is_device(const void* memory, std::size_t bytes);
bool is_pinned(const void* memory);
std::string describe(const void* address);  // where it lies among allocations

}  // namespace liteft::emulator

extern "C" {
// For the emulated cublasLt, which is a library of its own: queues run(data) on a stream. What the last work of the
// stream was asked with the same data, it is not asked again, and only costs time.
__attribute__((visibility("default"))) int liteft_emulator_enqueue(cudaStream_t stream, void (*run)(const void*),
                                                                   const void* data, std::size_t bytes, double cost);
__attribute__((visibility("default"))) int liteft_emulator_is_device(const void* memory, std::size_t bytes);
__attribute__((visibility("default"))) int liteft_emulator_driver();  // see set_driver
}
