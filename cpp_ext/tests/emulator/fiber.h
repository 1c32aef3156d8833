// Fibers: stacks that are switched between by hand, without a system call where this processor is x86-64.

#pragma once

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

#include <cstddef>
#include <cstdint>

namespace liteft::emulator {

#if defined(__x86_64__)

extern "C" void liteft_emulator_switch(void** left, void* entered);

class Fiber {
 public:
  // Starts at `entry`, which never returns, when it is first entered.
  void reset(char* stack, std::size_t bytes, void (*entry)()) {
    auto top = reinterpret_cast<std::uintptr_t>(stack + bytes) & ~std::uintptr_t{15};
    void** place = reinterpret_cast<void**>(top);
    *--place = nullptr;  // where entry would return to; keeps its frame aligned
    *--place = reinterpret_cast<void*>(entry);
    for (int saved = 0; saved < 6; ++saved) *--place = nullptr;
    top_ = place;
  }
  void enter(Fiber& next) { liteft_emulator_switch(&top_, next.top_); }

 private:
  void* top_ = nullptr;
};

#else

class Fiber {
 public:
  void reset(char* stack, std::size_t bytes, void (*entry)()) {
    getcontext(&context_);
    context_.uc_stack.ss_sp = stack;
    context_.uc_stack.ss_size = bytes;
    context_.uc_link = nullptr;
    makecontext(&context_, entry, 0);
  }
  void enter(Fiber& next) { swapcontext(&context_, &next.context_); }

 private:
  ucontext_t context_;
};

#endif

}  // namespace liteft::emulator
