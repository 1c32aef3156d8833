// How a C API fails: what is thrown becomes 1 and a text, in the calling thread.

#pragma once

#include <exception>
#include <string>

namespace liteft {

// Of the library that includes this: its names stay inside.
inline std::string& last_error() {
  thread_local std::string text;
  return text;
}

template <typename Body>
int guarded(Body body) noexcept {
  try {
    body();
    return 0;
  } catch (const std::exception& error) {
    try {
      last_error() = error.what();
    } catch (...) {
    }
  } catch (...) {
    last_error().clear();
  }
  return 1;
}

}  // namespace liteft
