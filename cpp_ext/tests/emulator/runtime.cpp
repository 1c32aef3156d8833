// The functions of the CUDA runtime that the library calls. What is asynchronous on a GPU is put off here until someone
// waits for it, the latest moment that a GPU may choose: who does not wait reads poison, and who reuses memory too
// early spoils it. The default stream is no exception, and streams made with cudaStreamNonBlocking do not wait for it.

#include <cuda_runtime.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <set>
#include <vector>

#include "tests/emulator/emulator.h"

using namespace liteft::emulator;

namespace {

struct Work {
  std::function<std::string()> run;  // returns a fault, or ""
  double cost = 0.0;
  std::string key;  // not empty: the same key again does the same again
  bool copies = false;
};

std::recursive_mutex mutex;  // over all that follows; kernels run under it, one at a time

struct State {
  std::uint64_t seed = 1;
  int allocations_left = -1;
  bool poison_instead_of_zeros = false, no_kernels = false;
  int driver = CUDART_VERSION, capability = 90, shared = 227 << 10;
  int graphs_left = -1;  // until a launch of a graph fails; negative: none fails
  bool skip_work = std::getenv("LITEFT_EMULATOR_IDLE") != nullptr;
  long choices_of_device = 0;
  const pid_t process = getpid();
  std::map<std::string, double> costs;
  std::string broken;
  std::map<const void*, std::size_t> shared_allowed;
  std::set<const void*> loaded;  // kernels: by a launch, or by asking for their attributes
  std::map<std::string, long> kernels_run;
  std::set<cudaStream_t> streams;
  Live live;
  std::string fault;
  double clock = 0.0;
  int captures = 0;
} state;

thread_local cudaError_t last_error = cudaSuccess;
thread_local int captures_here = 0;
thread_local cudaStreamCaptureMode mode_here = cudaStreamCaptureModeGlobal;
thread_local int device = 0;

cudaError_t say(cudaError_t error) {
  if (error != cudaSuccess) last_error = error;
  return error;
}

double cost_of(const char* name) {
  for (const auto& [part, cost] : state.costs) {
    if (std::string(name).find(part) != std::string::npos) return cost;
  }
  return 1.0;
}

}  // namespace

struct CUgraph_st {
  std::vector<Work> work;
};
struct CUgraphExec_st {
  std::vector<Work> work;
};
struct CUevent_st {
  double time = -1.0;
  cudaStream_t stream = nullptr;
  bool pending = false;
};
struct CUstream_st {
  std::deque<Work> queue;
  bool capturing = false, spoilt = false, global = false;  // global: forbids to all threads what a capture forbids
  CUgraph_st* graph = nullptr;
};

namespace {

CUstream_st default_stream;

CUstream_st* stream_of(cudaStream_t stream) { return stream ? stream : &default_stream; }

// Whether a fault has happened that nobody has taken: on a GPU no call works after it.
bool broken_down() { return !state.fault.empty(); }

cudaError_t enqueue(cudaStream_t stream, Work work) {
  if (broken_down()) return cudaErrorLaunchFailure;
  CUstream_st& s = *stream_of(stream);
  if (s.capturing) {
    s.graph->work.push_back(std::move(work));
    return cudaSuccess;
  }
  if (!work.key.empty() && !s.queue.empty() && s.queue.back().key == work.key) {
    s.queue.back().cost += work.cost;
    return cudaSuccess;
  }
  s.queue.push_back(std::move(work));
  return cudaSuccess;
}

// Does all that a stream was asked.
cudaError_t finish(cudaStream_t stream) {
  CUstream_st& s = *stream_of(stream);
  while (!s.queue.empty() && !broken_down()) {
    const Work work = std::move(s.queue.front());
    s.queue.pop_front();
    state.clock += work.cost;
    state.fault = work.run();
  }
  if (!broken_down()) return cudaSuccess;
  s.queue.clear();
  return cudaErrorLaunchFailure;
}

cudaError_t finish_all() {
  cudaError_t error = finish(nullptr);
  for (cudaStream_t stream : state.streams) {
    if (const cudaError_t each = finish(stream); error == cudaSuccess) error = each;
  }
  return error;
}

// What must not be called while the calling thread captures spoils the capture.
bool barred() {
  const auto bars = [](cudaStream_t stream) {
    return stream->capturing && (captures_here || (stream->global && mode_here != cudaStreamCaptureModeRelaxed));
  };
  bool any = false;
  for (cudaStream_t stream : state.streams) {
    any |= bars(stream);
    stream->spoilt |= bars(stream);
  }
  return any;
}

// What goes to the default stream spoils every capture that forbids it, whatever the thread's mode.
bool barred_by_default_stream(cudaStream_t stream) {
  bool any = false;
  for (cudaStream_t each : state.streams) {
    const bool bars = !stream && each->capturing && each->global;
    any |= bars;
    each->spoilt |= bars;
  }
  return any;
}

cudaError_t take(void** memory, std::size_t bytes, bool on_device) {
  const std::lock_guard lock(mutex);
  if (broken_down()) return say(cudaErrorLaunchFailure);
  if (barred()) return say(cudaErrorStreamCaptureUnsupported);
  if (state.allocations_left == 0) {
    state.allocations_left = -1;
    return say(cudaErrorMemoryAllocation);
  }
  if (state.allocations_left > 0) --state.allocations_left;
  *memory = allocate(bytes, on_device);
  if (!*memory) return say(cudaErrorMemoryAllocation);
  on_device ? ++state.live.allocations : ++state.live.pinned;
  state.live.bytes += static_cast<long>(bytes);
  return cudaSuccess;
}

cudaError_t give(void* memory, bool on_device) {
  const std::lock_guard lock(mutex);
  if (!memory) return cudaSuccess;
  if (barred()) return say(cudaErrorStreamCaptureUnsupported);
  finish_all();
  std::string fault;
  if (!release(memory, on_device, &fault)) return say(cudaErrorInvalidValue);
  if (!broken_down()) state.fault = fault;
  --(on_device ? state.live.allocations : state.live.pinned);
  return cudaSuccess;
}

// Where a copy reads or writes device memory, all of it must be one allocation.
bool fits(const void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  if ((kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice) && !is_device(to, bytes)) return false;
  return !(kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice) || is_device(from, bytes);
}

Work copy_of(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  if (kind == cudaMemcpyHostToDevice && !is_pinned(from)) {  // such memory is read at once, and arrives later
    const char* first = static_cast<const char*>(from);
    return {[to, held = std::vector<char>(first, first + bytes)] {
              std::memcpy(to, held.data(), held.size());
              return std::string();
            },
            1.0, "", true};
  }
  return {[=] {
            std::memcpy(to, from, bytes);
            return std::string();
          },
          1.0, "", true};
}

}  // namespace

namespace liteft::emulator {

void set_seed(std::uint64_t seed) { state.seed = seed; }
void fail_allocation_after(int count) { state.allocations_left = count; }
void poison_instead_of_zeros(bool poison) { state.poison_instead_of_zeros = poison; }
void skip_work(bool skip) { state.skip_work = skip; }
void set_cost(const std::string& part, double cost) { state.costs[part] = cost; }

void break_kernels(const std::string& part) { state.broken = part; }
void fail_graph(int count) { state.graphs_left = count; }
void hold_no_kernels(bool none) { state.no_kernels = none; }
void set_driver(int version) { state.driver = version; }
void set_capability(int capability) { state.capability = capability; }
void set_shared(int bytes) { state.shared = bytes; }
void forget_kernels() {
  const std::lock_guard lock(mutex);
  state.loaded.clear();
  state.shared_allowed.clear();
}

long pending() {
  const std::lock_guard lock(mutex);
  std::size_t count = default_stream.queue.size();
  for (cudaStream_t stream : state.streams) count += stream->queue.size();
  return static_cast<long>(count);
}

long choices_of_device() { return state.choices_of_device; }

Live live() {
  const std::lock_guard lock(mutex);
  return state.live;
}

long kernels_run(const std::string& part) {
  const std::lock_guard lock(mutex);
  long count = 0;
  for (const auto& [name, times] : state.kernels_run) {
    if (name.find(part) != std::string::npos) count += times;
  }
  return count;
}

std::string take_fault() {
  const std::lock_guard lock(mutex);
  finish_all();
  return std::exchange(state.fault, "");
}

cudaError_t launch(Kernel kernel, cudaStream_t stream) {
  const std::lock_guard lock(mutex);
  const unsigned threads = kernel.block.x * kernel.block.y * kernel.block.z;
  const auto allowed = state.shared_allowed.find(kernel.function);
  const std::size_t most = allowed == state.shared_allowed.end() ? 48 << 10 : allowed->second;
  if (threads == 0 || threads > 1024 || threads % 32 || kernel.grid.x == 0 || kernel.grid.y == 0 ||
      kernel.grid.y > 65535 || kernel.grid.z != 1 || kernel.shared > most) {
    return say(cudaErrorInvalidConfiguration);
  }
  constexpr unsigned kMostOfACluster = 8;  // that every GPU with clusters can run
  if (kernel.cluster && (kernel.grid.x % kernel.cluster || kernel.cluster > kMostOfACluster ||
                         kernel.cluster * threads > static_cast<unsigned>(kMostThreads)))
    return say(cudaErrorInvalidClusterSize);
  if (kernel.together && threads * kernel.grid.x * kernel.grid.y > 1024) return say(cudaErrorCooperativeLaunchTooLarge);
  if (stream_of(stream)->capturing &&
      !state.loaded.count(kernel.function)) {  // CUDA may refuse to load within a capture
    barred();
    return say(cudaErrorStreamCaptureUnsupported);
  }
  // In a graph, only a kernel may be overlapped.
  const CUgraph_st* const graph = stream_of(stream)->graph;
  if (kernel.early && graph && !graph->work.empty() && graph->work.back().copies) return say(cudaErrorInvalidValue);
  state.loaded.insert(kernel.function);
  const double cost = cost_of(kernel.name);
  return say(enqueue(stream, {[kernel = std::move(kernel)]() -> std::string {
                                ++state.kernels_run[kernel.name];
                                if (state.skip_work) return "";
                                const bool broken = !state.broken.empty() &&
                                                    std::string(kernel.name).find(state.broken) != std::string::npos;
                                if (broken) return "";
                                const std::string fault = run_kernel(kernel, state.seed++);
                                return fault.empty() ? "" : std::string(kernel.name) + ": " + fault;
                              },
                              cost, ""}));
}

cudaError_t allow_shared(const void* function, std::size_t bytes) {
  const std::lock_guard lock(mutex);
  if (barred()) return say(cudaErrorStreamCaptureUnsupported);
  if (bytes > static_cast<std::size_t>(state.shared)) return say(cudaErrorInvalidValue);
  state.loaded.insert(function);
  state.shared_allowed[function] = bytes;
  return cudaSuccess;
}

}  // namespace liteft::emulator

int liteft_emulator_enqueue(cudaStream_t stream, void (*run)(const void*), const void* data, std::size_t bytes,
                            double cost) {
  const std::lock_guard lock(mutex);
  std::string key(static_cast<const char*>(data), bytes);
  return enqueue(stream, {[run, key] {
                            if (!state.skip_work) run(key.data());
                            return std::string();
                          },
                          cost, key});
}
int liteft_emulator_is_device(const void* memory, std::size_t bytes) { return is_device(memory, bytes); }
int liteft_emulator_driver() { return state.driver; }

#include "tests/emulator/runtime_api.inc"
