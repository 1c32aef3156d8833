// The emulator itself: what it is there to catch is caught, and what is right passes.

#include <cmath>
#include <cstdio>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "cuda/device.cuh"
#include "cuda/exchange.cuh"
#include "cuda/memory.h"
#include "cuda/sm90_device.cuh"
#include "cuda/vectors.cuh"
#include "tests/expect.h"

using namespace liteft::cuda;
namespace emulator = liteft::emulator;

namespace {

bool caught(const char* part) {
  const std::string fault = emulator::take_fault();
  const bool found = fault.find(part) != std::string::npos;
  if (!found) std::printf("'%s' was not caught, but '%s'\n", part, fault.c_str());
  return found;
}

std::vector<float> fetched(const DeviceBuffer& buffer, int count) {
  std::vector<float> values(count);
  EXPECT(cudaMemcpy(values.data(), buffer.as(), count * sizeof(float), cudaMemcpyDeviceToHost) == cudaSuccess);
  return values;
}

// Each thread writes its value and reads its neighbour's.
template <bool Waits>
__global__ void neighbours(float* out) {
  float* shared = reinterpret_cast<float*>(dynamic_shared());
  const int i = threadIdx.x, count = blockDim.x;
  shared[i] = static_cast<float>(i);
  if (Waits) __syncthreads();
  out[blockIdx.x * count + i] = shared[(i + count - 1) % count];
}

void a_missing_barrier_shows() {
  const DeviceBuffer out(3 * 128 * sizeof(float));
  launch(neighbours<true>, 3, 128, 128 * sizeof(float), nullptr, out.as<float>());
  std::vector<float> values = fetched(out, 3 * 128);
  for (int i = 0; i < 3 * 128; ++i) EXPECT(values[i] == static_cast<float>((i + 127) % 128));
  launch(neighbours<false>, 3, 128, 128 * sizeof(float), nullptr, out.as<float>());
  values = fetched(out, 3 * 128);
  int missing = 0;
  for (float value : values) missing += std::isnan(value);
  EXPECT(missing > 0);
  EXPECT(emulator::take_fault().empty());
}

__global__ void leaves_early() {
  if (threadIdx.x < 40) return;
  __syncthreads();
}
__global__ void meets_elsewhere(float* out) {
  if (threadIdx.x % 2)
    __syncwarp();
  else
    *out = __shfl_xor_sync(0xffffffffu, 1.0f, 1);
}
__global__ void lanes_leave(float* out) {
  if (threadIdx.x == 3) return;
  *out = __shfl_xor_sync(0xffffffffu, 1.0f, 1);
}

void divergent_meetings_are_caught() {
  const DeviceBuffer out(16);
  launch(leaves_early, 1, 64, 0, nullptr);
  EXPECT(caught("40 of 64 threads are gone, and the others wait for ever"));
  launch(meets_elsewhere, 1, 32, 0, nullptr, out.as<float>());
  EXPECT(caught("where other lanes of the warp wait"));
  launch(lanes_leave, 1, 32, 0, nullptr, out.as<float>());
  EXPECT(caught("gone"));
}

// Each block reads what the one after it hands on, or does not wait for it.
template <bool Waits>
__global__ void passes_on(std::uint32_t* words, float* out) {
  const auto always = [](int) { return true; };
  const auto first = [](int) { return 0; };
  if (threadIdx.x == 0) hand(words + blockIdx.x, 1 + blockIdx.x);
  const std::uint32_t* const next = words + (blockIdx.x + 1) % gridDim.x;
  std::uint32_t word[1] = {*next};
  if (Waits) take(wanted(word, next, always, first));
  if (threadIdx.x == 0) out[blockIdx.x] = static_cast<float>(word[0]);
}
// All blocks but one hand on nothing, or that one hands on twice, or what stands for nothing.
__global__ void waits_for_ever(std::uint32_t* words) {
  if (blockIdx.x == 1) return;
  wait_for_one(words);
}
__global__ void hands_on(std::uint32_t* words, std::uint32_t first, std::uint32_t second) {
  if (threadIdx.x > 0) return;
  hand(words, first);
  hand(words, second);
}

void blocks_of_a_cooperative_launch_hand_on_words() {
  const DeviceBuffer out(4 * sizeof(float));
  const auto absent = [] {
    DeviceBuffer words(4 * sizeof(std::uint32_t));
    check(cudaMemset(words.as(), 0xff, words.bytes()), "filling");
    return words;
  };
  bool early = false;
  for (int round = 0; round < 3; ++round) {
    const DeviceBuffer words = absent(), others = absent();
    launch_cooperative(passes_on<true>, 4, 64, 0, nullptr, words.as<std::uint32_t>(), out.as<float>());
    std::vector<float> found = fetched(out, 4);
    for (int block = 0; block < 4; ++block) EXPECT(found[block] == static_cast<float>((block + 1) % 4 + 1));
    launch_cooperative(passes_on<false>, 4, 64, 0, nullptr, others.as<std::uint32_t>(), out.as<float>());
    found = fetched(out, 4);
    early |= std::any_of(found.begin(), found.end(), [](float value) { return value > 4.0f; });
  }
  EXPECT(early);
  const DeviceBuffer words = absent();
  launch_cooperative(waits_for_ever, 4, 64, 0, nullptr, words.as<std::uint32_t>());
  EXPECT(caught("for a word of another block"));
  launch(hands_on, 1, 32, 0, nullptr, words.as<std::uint32_t>(), 1u, 2u);
  EXPECT(caught("handed on twice"));
  launch(hands_on, 1, 32, 0, nullptr, absent().as<std::uint32_t>(), kAbsent, 1u);
  EXPECT(caught("that stands for none"));
  bool refused = false;
  try {
    launch_cooperative(waits_for_ever, 40, 64, 0, nullptr, words.as<std::uint32_t>());
  } catch (const std::runtime_error&) {
    refused = true;
  }
  EXPECT(refused);
}

struct Passed {
  float2 value;
  Barrier arrived;
};
// Each block of a cluster receives the number of the one before it, and tells it so.
__global__ void passes_within_a_cluster(float* out, bool meets_first, bool waits, bool meets_last) {
  wait_for_inputs();
  auto& passed = *reinterpret_cast<Passed*>(dynamic_shared());
  const int number = blockIdx.x % 4;
  if (threadIdx.x == 0) {
    init_barrier(&passed.arrived, 2);
    publish_barriers();
  }
  if (meets_first)
    meet_cluster();
  else
    __syncthreads();
  if (threadIdx.x == 0) {
    arrive_expecting(&passed.arrived, 8);
    store_in((number + 1) % 4, &passed.value, {static_cast<float>(number), 0.0f}, &passed.arrived);
    arrive_in((number + 3) % 4, &passed.arrived);
    if (waits) wait_for_cluster(&passed.arrived, 0);
    out[blockIdx.x] = passed.value.x;
  }
  if (meets_last) meet_cluster();
}

void blocks_of_a_cluster_reach_each_other() {
  const DeviceBuffer out(8 * sizeof(float));
  const auto pass = [&](bool meets_first, bool waits, bool meets_last) {
    launch_clusters(passes_within_a_cluster, 4, 8, 64, sizeof(Passed), nullptr, out.as<float>(), meets_first, waits,
                    meets_last);
    EXPECT(cudaStreamSynchronize(nullptr) == cudaSuccess || (!meets_first || !waits || !meets_last));
  };
  pass(true, true, true);
  const std::vector<float> found = fetched(out, 8);
  for (int block = 0; block < 8; ++block) EXPECT(found[block] == static_cast<float>((block + 3) % 4));
  pass(false, true, true);
  EXPECT(caught("a barrier that was not made"));
  pass(true, false, true);  // what has not arrived is not there, or still on its way at the end
  const bool late = !emulator::take_fault().empty();
  const std::vector<float> early = fetched(out, 8);
  EXPECT(late || std::any_of(early.begin(), early.end(), [](float value) { return std::isnan(value); }));
  const auto refused = [&](unsigned blocks, unsigned grid) {
    try {
      launch_clusters(passes_within_a_cluster, blocks, grid, 64, sizeof(Passed), nullptr, out.as<float>(), true, true,
                      true);
    } catch (const std::runtime_error&) {
      return true;
    }
    return false;
  };
  EXPECT(refused(4, 6) && refused(16, 16));
}

// Thread 0 of the first block tells the second one, which does not wait.
__global__ void reaches_a_block_that_ended() {
  wait_for_inputs();
  auto& arrived = *reinterpret_cast<Barrier*>(dynamic_shared());
  if (threadIdx.x == 0) {
    init_barrier(&arrived, 1);
    publish_barriers();
  }
  meet_cluster();
  if (blockIdx.x == 0) {
    wait(&arrived, 0);
    arrive_in(1, &arrived);
  } else if (threadIdx.x == 0) {
    arrive_in(0, &arrived);
  }
}

void ended_blocks_of_a_cluster_are_missed() {
  launch_clusters(reaches_a_block_that_ended, 2, 2, 32, sizeof(Barrier), nullptr);
  EXPECT(caught("block 1 of the cluster has ended"));
}

__global__ void waits_if(bool waits) {
  if (waits && threadIdx.x < 40) wait_for_inputs();
}

// A kernel that may overlap the one ahead must wait for it in all of its threads.
void overlaps_without_waiting_are_caught() {
  launch(waits_if, 1, 64, 0, nullptr, false);
  EXPECT(emulator::take_fault().empty());
  launch_early(waits_if, 1, 32, 0, nullptr, true);
  EXPECT(emulator::take_fault().empty());
  launch_early(waits_if, 1, 64, 0, nullptr, true);
  EXPECT(caught("never waited for the kernel ahead"));
}

__global__ void writes_at(float* out, int place) { out[place] = 1.0f; }
__global__ void writes_shared_at(int place) { dynamic_shared()[place] = 1; }

void places_out_of_bounds_are_caught() {
  {
    const DeviceBuffer out(4096);
    for (int place : {1024, 1500, -1025}) {
      launch(writes_at, 1, 32, 0, nullptr, out.as<float>(), place);
      EXPECT(caught("an allocation of 4096"));
    }
    launch(writes_shared_at, 1, 32, 128, nullptr, 128);
    EXPECT(caught("beside shared memory"));
    launch(writes_shared_at, 1, 32, 100, nullptr, 100);
    EXPECT(caught("beyond its shared memory"));
  }
  {
    const DeviceBuffer odd(4 * 5);
    launch(writes_at, 1, 32, 0, nullptr, odd.as<float>(), 6);
  }
  EXPECT(caught("something wrote beside an allocation of 20 bytes"));
}

// Copies a row of 8 halves for each thread, and adds its first two.
template <bool Waits>
__global__ void copies(const __half* from, float* out) {
  __half* shared = reinterpret_cast<__half*>(dynamic_shared());
  const int i = threadIdx.x;
  copy_async(shared + 8 * i, from + 8 * i, i % 3 != 0);
  end_copies();
  copy_async(shared + 8 * (32 + i), from + 8 * i);
  end_copies();
  if (Waits) wait_copies<1>();
  const float2 x = load_pair(shared + 8 * i);
  out[i] = x.x + x.y;
  wait_copies<0>();
}
__global__ void copies_too_far(const __half* from) {
  copy_async(dynamic_shared() + 16 * threadIdx.x, from + 8 * threadIdx.x);
  end_copies();
  wait_copies<0>();
}
__global__ void copies_and_goes(const __half* from) {
  copy_async(dynamic_shared() + 16 * threadIdx.x, from);
  end_copies();
}

void copies_come_when_they_are_waited_for() {
  const DeviceBuffer from(32 * 16), out(32 * sizeof(float));
  std::vector<__half> values(256);
  for (int i = 0; i < 256; ++i) values[i] = static_cast<float>(i);
  cudaMemcpy(from.as(), values.data(), 512, cudaMemcpyHostToDevice);
  launch(copies<true>, 1, 32, 1024, nullptr, from.as<const __half>(), out.as<float>());
  std::vector<float> sums = fetched(out, 32);
  for (int i = 0; i < 32; ++i) EXPECT(sums[i] == (i % 3 ? 16.0f * i + 1.0f : 0.0f));
  launch(copies<false>, 1, 32, 1024, nullptr, from.as<const __half>(), out.as<float>());
  for (float sum : fetched(out, 32)) EXPECT(std::isnan(sum));
  launch(copies_too_far, 1, 64, 1024, nullptr, from.as<const __half>());
  EXPECT(caught("a copy from outside of device memory"));
  launch(copies_too_far, 1, 32, 500, nullptr, from.as<const __half>());
  EXPECT(caught("outside of shared memory"));
  launch(copies_and_goes, 1, 32, 512, nullptr, from.as<const __half>());
  EXPECT(caught("nobody waited for"));
}

// A warp multiplies a (16, 16) and b (16, 8), which lie in shared memory by rows.
template <typename T>
__global__ void product(const T* a, const T* b, float* d) {
  T* shared = reinterpret_cast<T*>(dynamic_shared());
  const int lane = threadIdx.x, g = lane / 4, t = lane % 4;
  for (int i = lane; i < 256; i += 32) shared[i] = a[i];
  for (int i = lane; i < 128; i += 32) shared[256 + i] = b[i];
  __syncwarp();
  std::uint32_t left[4], right[4];
  load_matrices(left, shared + 16 * (lane % 16) + lane / 16 * 8);
  load_matrices_across(right, shared + 256 + 8 * (lane % 16));
  float sums[4] = {1.0f, 2.0f, 3.0f, 4.0f};
  multiply_add(T{}, sums, left, right[0], right[1]);
  for (int i = 0; i < 4; ++i) d[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = sums[i] - static_cast<float>(i + 1);
}

template <typename T>
void products_are_those_of_matrices() {
  std::mt19937 random(1);
  std::vector<T> a(256), b(128);
  for (T& value : a) value = static_cast<float>(static_cast<int>(random() % 17) - 8);
  for (T& value : b) value = static_cast<float>(static_cast<int>(random() % 17) - 8);
  const DeviceBuffer da(512), db(256), d(128 * sizeof(float));
  cudaMemcpy(da.as(), a.data(), 512, cudaMemcpyHostToDevice);
  cudaMemcpy(db.as(), b.data(), 256, cudaMemcpyHostToDevice);
  launch(product<T>, 1, 32, 768, nullptr, da.as<const T>(), db.as<const T>(), d.as<float>());
  const std::vector<float> found = fetched(d, 128);
  for (int row = 0; row < 16; ++row) {
    for (int column = 0; column < 8; ++column) {
      float sum = 0.0f;
      for (int k = 0; k < 16; ++k) sum += static_cast<float>(a[16 * row + k]) * static_cast<float>(b[8 * k + column]);
      EXPECT(found[8 * row + column] == sum);
    }
  }
}

void work_waits_until_it_is_waited_for() {
  cudaStream_t stream = nullptr;
  EXPECT(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) == cudaSuccess);
  {
    const DeviceBuffer memory(4);
    const PinnedBuffer up(4), down(4);
    *up.as<int>() = 1;
    cudaMemcpyAsync(memory.as(), up.as(), 4, cudaMemcpyHostToDevice, stream);
    *up.as<int>() = 2;  // too early
    cudaMemcpyAsync(down.as(), memory.as(), 4, cudaMemcpyDeviceToHost, stream);
    EXPECT(*down.as<int>() == -1);
    cudaStreamSynchronize(stream);
    EXPECT(*down.as<int>() == 2);
  }
  // Such a stream does not wait for the default one.
  void* memory = nullptr;
  cudaMalloc(&memory, 4);
  cudaMemset(memory, 0, 4);
  const PinnedBuffer down(4);
  cudaMemcpyAsync(down.as(), memory, 4, cudaMemcpyDeviceToHost, stream);
  cudaStreamSynchronize(stream);
  EXPECT(*down.as<int>() == -1);
  cudaStreamSynchronize(nullptr);
  cudaFree(memory);
  cudaStreamDestroy(stream);
}

void captures_record_and_graphs_replay() {
  const emulator::Live before = emulator::live();
  {
    cudaStream_t stream = nullptr;
    cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
    const DeviceBuffer out(16);
    cudaStreamSynchronize(nullptr);
    EXPECT(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
    launch(writes_at, 1, 32, 0, stream, out.as<float>(), 2);
    cudaGraph_t graph = nullptr;
    EXPECT(cudaStreamEndCapture(stream, &graph) == cudaSuccess);
    cudaGraphExec_t made = nullptr;
    EXPECT(cudaGraphInstantiate(&made, graph, 0) == cudaSuccess);
    cudaGraphDestroy(graph);
    cudaStreamSynchronize(stream);
    EXPECT(fetched(out, 4)[2] == 0.0f);
    cudaGraphLaunch(made, stream);
    cudaStreamSynchronize(stream);
    EXPECT(fetched(out, 4)[2] == 1.0f);
    cudaGraphExecDestroy(made);
    EXPECT(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
    void* memory = nullptr;
    EXPECT(cudaMalloc(&memory, 4) != cudaSuccess);
    EXPECT(cudaStreamEndCapture(stream, &graph) != cudaSuccess);
    cudaGetLastError();
    cudaStreamDestroy(stream);
  }
  emulator::Live after = emulator::live();
  after.bytes = before.bytes;  // a sum over all that ever was
  EXPECT(after == before);
}

// A capture within which something is loaded, or asked for, comes to nothing.
void nothing_is_loaded_within_a_capture() {
  cudaStream_t stream = nullptr;
  EXPECT(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) == cudaSuccess);
  {
    const DeviceBuffer out(16);
    cudaStreamSynchronize(nullptr);
    const auto spoils = [&](const auto& call) {
      EXPECT(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
      bool refused = false;
      try {
        call();
      } catch (const std::exception&) {
        refused = true;
      }
      cudaGraph_t graph = nullptr;
      const bool spoilt = cudaStreamEndCapture(stream, &graph) != cudaSuccess;
      if (graph) cudaGraphDestroy(graph);
      cudaGetLastError();
      return refused && spoilt;
    };
    const auto start = [&] { launch(writes_at, 1, 32, 0, stream, out.as<float>(), 2); };
    emulator::forget_kernels();
    EXPECT(spoils(start));
    EXPECT(spoils([] { load_kernel(writes_at); }));
    EXPECT(spoils(
        [] { check(emulator::allow_shared(reinterpret_cast<const void*>(writes_at), 50 << 10), "shared memory"); }));
    load_kernel(writes_at);
    EXPECT(!spoils(start));
    emulator::forget_kernels();
    start();  // loads it as well
    EXPECT(!spoils(start));
    EXPECT(cudaStreamSynchronize(stream) == cudaSuccess);
  }
  cudaStreamDestroy(stream);
}

// Within a graph a kernel may overlap another one, and not a copy.
void no_kernel_of_a_graph_overlaps_a_copy() {
  cudaStream_t stream = nullptr;
  EXPECT(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) == cudaSuccess);
  {
    const DeviceBuffer memory(16);
    load_kernel(waits_if);
    for (const bool copies : {false, true}) {
      bool refused = false;
      EXPECT(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
      try {
        launch(waits_if, 1, 32, 0, stream, true);
        if (copies) check(cudaMemsetAsync(memory.as(), 0, 16, stream), "filling");
        launch_early(waits_if, 1, 32, 0, stream, true);
      } catch (const std::exception&) {
        refused = true;
      }
      EXPECT(refused == copies);
      cudaGraph_t graph = nullptr;
      EXPECT(cudaStreamEndCapture(stream, &graph) == cudaSuccess);
      cudaGraphDestroy(graph);
    }
  }
  EXPECT(cudaStreamDestroy(stream) == cudaSuccess);
}

void launches_are_checked() {
  const auto refused = [](dim3 grid, dim3 block, std::size_t shared) {
    try {
      launch(leaves_early, grid, block, shared, nullptr);
    } catch (const std::exception&) {
      return true;
    }
    return false;
  };
  EXPECT(refused(0, 32, 0) && refused(1, 2048, 0) && refused(1, 32, 49 << 10) && refused({1, 70000}, 32, 0));
  load_kernel(leaves_early, 50 << 10);
  EXPECT(!refused(1, 32, 49 << 10));
  EXPECT(emulator::take_fault().empty());
}

// As on a GPU, no call works after a fault; unlike there, a test may take it.
void a_fault_stays_until_it_is_taken() {
  cudaStream_t stream = nullptr, other = nullptr;
  EXPECT(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) == cudaSuccess);
  {
    const DeviceBuffer out(16);
    launch(writes_at, 1, 32, 0, nullptr, out.as<float>(), 1 << 20);
    EXPECT(cudaStreamSynchronize(nullptr) == cudaErrorLaunchFailure);
    void* memory = nullptr;
    cudaEvent_t event = nullptr;
    cudaFuncAttributes attributes{};
    EXPECT(cudaStreamSynchronize(stream) == cudaErrorLaunchFailure);
    EXPECT(cudaMemsetAsync(out.as(), 0, 16, stream) == cudaErrorLaunchFailure);
    EXPECT(cudaMalloc(&memory, 16) == cudaErrorLaunchFailure);
    EXPECT(cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking) == cudaErrorLaunchFailure);
    EXPECT(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaErrorLaunchFailure);
    EXPECT(cudaEventCreate(&event) == cudaErrorLaunchFailure);
    EXPECT(cudaFuncGetAttributes(&attributes, reinterpret_cast<const void*>(writes_at)) == cudaErrorLaunchFailure);
    EXPECT(caught("bytes from the start") && emulator::pending() == 0);
    EXPECT(cudaMemsetAsync(out.as(), 0, 16, stream) == cudaSuccess);
  }
  EXPECT(cudaStreamDestroy(stream) == cudaSuccess);
  cudaGetLastError();
}

}  // namespace

int main() {
  for (int seed = 1; seed <= 5; ++seed) {
    emulator::set_seed(seed);
    a_missing_barrier_shows();
    divergent_meetings_are_caught();
    overlaps_without_waiting_are_caught();
    blocks_of_a_cooperative_launch_hand_on_words();
    blocks_of_a_cluster_reach_each_other();
    ended_blocks_of_a_cluster_are_missed();
    places_out_of_bounds_are_caught();
    copies_come_when_they_are_waited_for();
    products_are_those_of_matrices<__half>();
    products_are_those_of_matrices<__nv_bfloat16>();
    work_waits_until_it_is_waited_for();
    captures_record_and_graphs_replay();
  }
  nothing_is_loaded_within_a_capture();
  no_kernel_of_a_graph_overlaps_a_copy();
  launches_are_checked();
  a_fault_stays_until_it_is_taken();
  std::printf("%d failures\n", failures);
  return failures != 0;
}
