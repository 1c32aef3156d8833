// Throws the error for arguments that do not fit.

#pragma once

#include <stdexcept>
#include <string>

namespace liteft {

[[noreturn]] inline void refuse(const std::string& what) { throw std::invalid_argument(what); }

}  // namespace liteft
