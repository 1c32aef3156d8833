// Memory of the emulated device, and pinned memory: pages of their own between pages that nobody may touch.

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <map>
#include <mutex>

#include "tests/emulator/emulator.h"

namespace liteft::emulator {
namespace {

constexpr std::size_t kPage = 4096, kAlignment = 16;
constexpr unsigned char kPoison = 0xff, kGuard = 0xa5;

struct Allocation {
  std::size_t bytes;
  bool device;
  char* pages;
  std::size_t pages_bytes;  // guards not counted
};

std::mutex mutex;
std::map<std::uintptr_t, Allocation> allocations;

// The allocation that begins at an address or last before it.
auto before(std::uintptr_t address) {
  auto next = allocations.upper_bound(address);
  return next == allocations.begin() ? allocations.end() : std::prev(next);
}

bool within(const void* memory, std::size_t bytes, bool device) {
  const std::lock_guard lock(mutex);
  const auto address = reinterpret_cast<std::uintptr_t>(memory);
  const auto found = before(address);
  return found != allocations.end() && found->second.device == device &&
         address + bytes <= found->first + found->second.bytes;
}

}  // namespace

void* allocate(std::size_t bytes, bool device) {
  const std::size_t taken = (bytes + kPage - 1) / kPage * kPage;
  void* mapped =
      mmap(nullptr, taken + 2 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped == MAP_FAILED) return nullptr;
  char* pages = static_cast<char*>(mapped) + kPage;
  mprotect(pages - kPage, kPage, PROT_NONE);
  mprotect(pages + taken, kPage, PROT_NONE);
  // At the end of its pages: the next byte but a few is a guard's.
  char* memory = pages + (taken - bytes) / kAlignment * kAlignment;
  std::memset(pages, kGuard, taken);
  std::memset(memory, kPoison, bytes);
  const std::lock_guard lock(mutex);
  allocations[reinterpret_cast<std::uintptr_t>(memory)] = {bytes, device, pages, taken};
  return memory;
}

bool release(void* memory, bool device, std::string* fault) {
  const std::lock_guard lock(mutex);
  const auto found = allocations.find(reinterpret_cast<std::uintptr_t>(memory));
  if (found == allocations.end() || found->second.device != device) return false;
  const Allocation& it = found->second;
  const auto touched = [](char c) { return c != static_cast<char>(kGuard); };
  char* const end = static_cast<char*>(memory) + it.bytes;
  if (std::any_of(it.pages, static_cast<char*>(memory), touched) ||
      std::any_of(end, it.pages + it.pages_bytes, touched)) {
    *fault = "something wrote beside an allocation of " + std::to_string(it.bytes) + " bytes";
  }
  munmap(it.pages - kPage, it.pages_bytes + 2 * kPage);
  allocations.erase(found);
  return true;
}

bool is_device(const void* memory, std::size_t bytes) { return within(memory, bytes, true); }
bool is_pinned(const void* memory) { return within(memory, 1, false); }

std::string describe(const void* address) {
  const std::unique_lock lock(mutex, std::try_to_lock);
  if (!lock) return "somewhere";
  const auto at = reinterpret_cast<std::uintptr_t>(address);
  const auto found = before(at);
  const auto next = allocations.upper_bound(at);
  if (next != allocations.end() && next->first - at <= kPage * 2) {
    return std::to_string(next->first - at) + " bytes before an allocation of " + std::to_string(next->second.bytes);
  }
  if (found == allocations.end()) return "in no allocation";
  return std::to_string(at - found->first) + " bytes from the start of an allocation of " +
         std::to_string(found->second.bytes);
}

}  // namespace liteft::emulator
