// How a function of the C API fails: an exception becomes the return value 1 and an error text for the calling thread.

#pragma once

#include <exception>
#include <string>

namespace liteft {

// Each library that includes this file has its own copy, since its names are not exported.
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
