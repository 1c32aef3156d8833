// How the library says that what it was given does not fit.

#pragma once

#include <stdexcept>
#include <string>

namespace liteft {

[[noreturn]] inline void refuse(const std::string& what) { throw std::invalid_argument(what); }

}  // namespace liteft
