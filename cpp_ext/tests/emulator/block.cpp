// Runs kernels: the threads of a block as fibers, which take turns where they meet.
//
// A warp goes on until all of its lanes wait; then another warp is chosen, at random. So a warp runs as far ahead of
// the others, and a lane of its warp, as barriers let it: what lacks a barrier reads what is not there yet.

#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "tests/emulator/device.h"
#include "tests/emulator/emulator.h"
#include "tests/emulator/fiber.h"
#include "tests/emulator/sm90.h"

#if defined(__x86_64__)
asm(R"(
.text
.globl liteft_emulator_switch
.hidden liteft_emulator_switch
.type liteft_emulator_switch, @function
liteft_emulator_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size liteft_emulator_switch, . - liteft_emulator_switch
)");
#endif

namespace liteft::emulator {

Place* here = nullptr;

namespace {

constexpr std::size_t kStack = 64 << 10, kMostShared = 227 << 10, kPage = 4096;
constexpr std::uint32_t kAll = 0xffffffffu;
constexpr unsigned char kPoison = 0xff;

struct Thread {
  Place place;
  Fiber fiber;
  Location where;  // it waits
  bool at_barrier = false, gone = false;
  bool has_inputs = false;                       // it has waited for the kernel ahead
  bool any = false;                              // what the last barrier that asked told it
  const std::function<bool()>* until = nullptr;  // what it waits for, and its name
  const char* what = nullptr;
};

struct Warp {
  std::uint32_t ready = 0, arrived = 0, gone = 0;
  Meeting meeting{};
  void* brought[32];
};

const char* name_of(Meeting meeting) {
  constexpr const char* kNames[] = {"__syncwarp", "a shuffle",   "a ballot", "a product",          "a product",
                                    "a product",  "a product",   "ldmatrix", "ldmatrix across",    "stmatrix",
                                    "setmaxnreg", "wgmma.fence", "wgmma",    "wgmma.commit_group", "wgmma.wait_group"};
  return kNames[static_cast<int>(meeting)];
}

char* map_stacks() {
  const std::size_t bytes = kMostThreads * kStack;
  return static_cast<char*>(
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
}

// Pages of shared memory with one before and one after that cannot be touched.
char* map_shared_end() {
  const std::size_t bytes = (kMostShared + kPage - 1) / kPage * kPage;
  char* base =
      static_cast<char*>(mmap(nullptr, bytes + 2 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  mprotect(base, kPage, PROT_NONE);
  mprotect(base + kPage + bytes, kPage, PROT_NONE);
  return base + kPage + bytes;
}

// What the threads of a block share.
struct Party {
  int at_barrier = 0, gone = 0;
  bool any = false;  // of what threads brought to the barrier
  char* shared = nullptr;
};

// The block that runs, or all blocks of a cluster or of a cooperative launch; one kernel does at a time, whichever host
// thread asked.
struct Block {
  const Kernel* kernel = nullptr;
  std::vector<Thread> threads;  // of all blocks
  std::vector<Warp> warps;
  std::vector<Party> parties;  // a block each
  int threads_of_a_block = 0;
  std::mt19937_64 random;
  Fiber host;
  char* stacks = map_stacks();
  std::vector<char*> shared_ends;  // of as many blocks as there were at once
  int current = 0, gone = 0, at_cluster = 0;
  Party& party() { return parties[current / threads_of_a_block]; }
  std::string fault;
  sigjmp_buf escape;
  bool running = false;
};

Block& block() {
  static Block* const one = new Block;
  return *one;
}

[[noreturn]] void leave() {
  Block& b = block();
  b.threads[b.current].fiber.enter(b.host);
  __builtin_unreachable();
}

std::string waiting_text() {
  const Block& b = block();
  std::string text;
  for (std::size_t number = 0, shown = 0; number < b.threads.size() && shown < 3; ++number) {
    const Thread& thread = b.threads[number];
    if (thread.gone) continue;
    ++shown;
    text += "; thread " + std::to_string(number) + " waits in line " + std::to_string(thread.where.line()) +
            (thread.at_barrier ? " at a barrier"
             : thread.until    ? std::string(" for ") + thread.what
                               : std::string(" at ") + name_of(b.warps[number / 32].meeting));
  }
  return text;
}

// Lets threads go on whose wait is over. If all wait, something asynchronous happens, as late as it may.
void wake() {
  Block& b = block();
  bool ready = false;
  do {
    for (std::size_t number = 0; number < b.threads.size(); ++number) {
      Thread& thread = b.threads[number];
      if (!thread.until || !(*thread.until)()) continue;
      thread.until = nullptr;
      b.warps[number / 32].ready |= 1u << number % 32;
    }
    ready = std::any_of(b.warps.begin(), b.warps.end(), [](const Warp& warp) { return warp.ready != 0; });
  } while (!ready && happen());
}

// Leaves the thread that runs for one that can, or for the host when all are gone.
void next() {
  Block& b = block();
  const int from = b.current, count = static_cast<int>(b.warps.size());
  int chosen = from / 32;
  if (!b.warps[chosen].ready) {
    wake();
    const int first = static_cast<int>(b.random() % count);
    int tried = 0;
    while (tried < count && !b.warps[(first + tried) % count].ready) ++tried;
    if (tried == count) {
      if (b.gone == static_cast<int>(b.threads.size())) leave();
      fault("%d of %zu threads are gone, and the others wait for ever%s", b.gone, b.threads.size(),
            waiting_text().c_str());
    }
    chosen = (first + tried) % count;
  }
  Warp& warp = b.warps[chosen];
  // The lanes after this one first, so that all get their turn.
  const std::uint32_t later = from / 32 == chosen ? warp.ready & ~((2u << from % 32) - 1u) : warp.ready;
  const int lane = std::countr_zero(later ? later : warp.ready);
  warp.ready &= ~(1u << lane);
  b.current = 32 * chosen + lane;
  here = &b.threads[b.current].place;
  if (b.current != from) b.threads[from].fiber.enter(b.threads[b.current].fiber);
}

void enter_thread() {
  Block& b = block();
  b.kernel->body();
  Thread& thread = b.threads[b.current];
  check_no_copies(b.current);
  if (b.kernel->early && !thread.has_inputs) fault("a thread ends that never waited for the kernel ahead");
  thread.gone = true;
  ++b.gone;
  ++b.party().gone;
  b.warps[b.current / 32].gone |= 1u << b.current % 32;
  next();
  __builtin_unreachable();
}

void on_signal(int number, siginfo_t* info, void*) {
  Block& b = block();
  if (!b.running) {
    signal(number, SIG_DFL);
    return;  // the access is tried again, and ends the process
  }
  const uint3 at = here->block;
  char text[160];
  std::snprintf(text, sizeof text, "block (%u, %u), thread %d: address %p, ", at.x, at.y,
                b.current % b.threads_of_a_block, info->si_addr);
  const char* address = static_cast<const char*>(info->si_addr);
  const bool near_shared = std::any_of(b.shared_ends.begin(), b.shared_ends.end(), [&](const char* end) {
    return address >= end - kMostShared - 2 * kPage && address < end + kPage;
  });
  b.fault = text + (near_shared ? "beside shared memory" : describe(info->si_addr));
  siglongjmp(b.escape, 1);
}

void watch_signals() {
  thread_local std::unique_ptr<char[]> stack;
  if (stack) return;
  constexpr std::size_t kBytes = 64 << 10;
  stack.reset(new char[kBytes]);
  stack_t alternate{};
  alternate.ss_sp = stack.get();
  alternate.ss_size = kBytes;
  sigaltstack(&alternate, nullptr);
  struct sigaction action{};
  action.sa_sigaction = on_signal;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigaction(SIGSEGV, &action, nullptr);
  sigaction(SIGBUS, &action, nullptr);
}

// Runs blocks at the same time.
void run_blocks(const Kernel& kernel, const std::vector<uint3>& places) {
  Block& b = block();
  const unsigned each = kernel.block.x * kernel.block.y * kernel.block.z;
  const int count = static_cast<int>(each * places.size());
  b.threads_of_a_block = static_cast<int>(each);
  b.threads.resize(count);
  b.warps.assign(count / 32, {});
  b.parties.assign(places.size(), {});
  b.gone = b.at_cluster = 0;
  for (int number = 0; number < count; ++number) {
    Thread& thread = b.threads[number];
    const unsigned within = number % each;
    thread.place = {
        {within % kernel.block.x, within / kernel.block.x % kernel.block.y, within / kernel.block.x / kernel.block.y},
        places[number / each],
        kernel.block,
        kernel.grid};
    thread.at_barrier = thread.gone = thread.has_inputs = false;
    thread.until = nullptr;
    thread.fiber.reset(b.stacks + number * kStack, kStack, enter_thread);
    forget_copies(number);
  }
  for (Warp& warp : b.warps) warp.ready = kAll;
  begin_asynchronous(count / 32, static_cast<int>(each / 32));
  while (b.shared_ends.size() < places.size()) b.shared_ends.push_back(map_shared_end());
  for (std::size_t number = 0; number < places.size(); ++number) {
    char* const end = b.shared_ends[number];
    b.parties[number].shared = end - (kernel.shared + 127) / 128 * 128;
    std::memset(b.parties[number].shared, kPoison, end - b.parties[number].shared);
  }
  b.current = static_cast<int>(b.random() % b.warps.size()) * 32;
  b.warps[b.current / 32].ready &= ~1u;
  here = &b.threads[b.current].place;
  b.running = true;
  if (sigsetjmp(b.escape, 1) == 0) b.host.enter(b.threads[b.current].fiber);
  b.running = false;
  if (b.fault.empty()) b.fault = end_asynchronous();
  for (std::size_t number = 0; number < places.size(); ++number) {
    const bool beyond = std::any_of(b.parties[number].shared + kernel.shared, b.shared_ends[number],
                                    [](char c) { return c != static_cast<char>(kPoison); });
    if (b.fault.empty() && beyond) b.fault = "a block wrote beyond its shared memory";
  }
}

}  // namespace

void fault(const char* format, ...) {
  Block& b = block();
  char text[400];
  const uint3 at = here->block;
  int used =
      std::snprintf(text, sizeof text, "block (%u, %u), thread %d: ", at.x, at.y, b.current % b.threads_of_a_block);
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text + used, sizeof text - used, format, arguments);
  va_end(arguments);
  b.fault = text;
  leave();
}

void meet_warp(Meeting what, void* brought, void (*together)(void* const (&)[32]), const Location& where) {
  Block& b = block();
  Warp& warp = b.warps[b.current / 32];
  const std::uint32_t bit = 1u << b.current % 32;
  if (warp.arrived && warp.meeting != what) {
    fault("line %u: %s, where other lanes of the warp wait at %s", where.line(), name_of(what), name_of(warp.meeting));
  }
  if (warp.gone) fault("line %u: %s of a warp whose lanes are partly gone", where.line(), name_of(what));
  warp.meeting = what;
  warp.brought[b.current % 32] = brought;
  warp.arrived |= bit;
  b.threads[b.current].where = where;
  if (warp.arrived != kAll) return next();
  warp.arrived = 0;
  together(warp.brought);
  warp.ready |= kAll & ~bit;
}

void meet_block(const Location& where) {
  Block& b = block();
  Thread& thread = b.threads[b.current];
  thread.where = where;
  thread.at_barrier = true;
  Party& party = b.party();
  if (++party.at_barrier < b.threads_of_a_block) return next();
  const int first = b.current / b.threads_of_a_block * b.threads_of_a_block;
  for (int number = first; number < first + b.threads_of_a_block; ++number) {
    b.threads[number].at_barrier = false;
    b.threads[number].any = party.any;
  }
  party.at_barrier = 0;
  party.any = false;
  for (int warp = first / 32; warp < (first + b.threads_of_a_block) / 32; ++warp) b.warps[warp].ready = kAll;
  // Whoever came last need not be the first to go on.
  next();
}

void meet_cluster(const Location& where) {
  Block& b = block();
  Thread& thread = b.threads[b.current];
  thread.where = where;
  thread.at_barrier = true;
  if (++b.at_cluster < static_cast<int>(b.threads.size())) return next();
  b.at_cluster = 0;
  for (Thread& each : b.threads) each.at_barrier = false;
  for (Warp& warp : b.warps) warp.ready = kAll;
  next();
}

bool any_of_block(bool value, const Location& where) {
  Block& b = block();
  Thread& thread = b.threads[b.current];
  b.party().any |= value;
  meet_block(where);
  return thread.any;
}

void wait_for_inputs() {
  Block& b = block();
  b.threads[b.current].has_inputs = true;
}

void wait_until(const std::function<bool()>& holds, const char* what, const Location& where) {
  Block& b = block();
  Thread& thread = b.threads[b.current];
  thread.where = where;
  thread.what = what;
  thread.until = &holds;
  next();
}

int thread_number() { return block().current; }
unsigned random_below(unsigned count) { return static_cast<unsigned>(block().random() % count); }

char* shared_memory() { return block().party().shared; }
char* shared_memory_of(int number, const Location& where) {
  Block& b = block();
  if (!b.kernel->cluster || number < 0 || number >= static_cast<int>(b.parties.size()))
    fault("line %u: no block %d in this cluster", where.line(), number);
  if (b.parties[number].gone == b.threads_of_a_block)
    fault("line %u: block %d of the cluster has ended", where.line(), number);
  return b.parties[number].shared;
}
std::size_t shared_bytes() { return block().kernel->shared; }

void check_shared(const void* memory, std::size_t bytes, const char* what, const Location& where) {
  Block& b = block();
  const char *first = static_cast<const char*>(memory), *const shared = b.party().shared;
  if (first < shared || first + bytes > shared + b.kernel->shared)
    fault("line %u: %s outside of shared memory, at %td of %zu", where.line(), what, first - shared, b.kernel->shared);
  if (reinterpret_cast<std::uintptr_t>(memory) % 16)
    fault("line %u: %s that is not aligned to 16 bytes", where.line(), what);
}

std::string run_kernel(const Kernel& kernel, std::uint64_t seed) {
  watch_signals();
  Block& b = block();
  b.kernel = &kernel;
  b.random.seed(seed);
  b.fault.clear();
  const unsigned blocks = kernel.grid.x * kernel.grid.y * kernel.grid.z,
                 at_once = kernel.together ? blocks : std::max(kernel.cluster, 1u);
  std::vector<unsigned> order(blocks / at_once);
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<unsigned>(i);
  std::shuffle(order.begin(), order.end(), b.random);
  std::vector<uint3> places;
  for (const unsigned group : order) {
    for (unsigned number = group * at_once; number < (group + 1) * at_once; ++number)
      places.push_back(
          {number % kernel.grid.x, number / kernel.grid.x % kernel.grid.y, number / kernel.grid.x / kernel.grid.y});
    if (kernel.together) std::shuffle(places.begin(), places.end(), b.random);
    run_blocks(kernel, places);
    if (!b.fault.empty()) return b.fault;
    places.clear();
  }
  return "";
}

}  // namespace liteft::emulator
