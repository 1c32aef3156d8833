#include "cuda/cublaslt.h"

#include <dlfcn.h>

#include <initializer_list>
#include <sstream>
#include <stdexcept>
#include <type_traits>
#include <vector>

#include "cuda/check.h"

namespace liteft::cuda {
namespace {

// Where to look, best first. A cublasLt of CUDA 13 cannot be used with an older driver, so .so.12 goes ahead there.
struct Candidate {
  std::string path;
  int flags;
};

void append(std::vector<Candidate>& candidates, std::initializer_list<const char*> names, const std::string& folders) {
  for (const char* name : names) candidates.push_back({name, RTLD_NOW | RTLD_NOLOAD});
  for (const char* name : names) {
    std::istringstream each(folders);
    for (std::string folder; std::getline(each, folder, ':');) {
      if (!folder.empty()) candidates.push_back({folder + "/" + name, RTLD_NOW | RTLD_LOCAL});
    }
  }
  for (const char* name : names) candidates.push_back({name, RTLD_NOW | RTLD_LOCAL});
}

std::vector<Candidate> candidates_in(const std::string& folders) {
  int driver = 0;
  check(cudaDriverGetVersion(&driver), "asking for the driver");
  std::vector<Candidate> candidates;
  if (driver < 13000) {
    append(candidates, {"libcublasLt.so.12"}, folders);
    append(candidates, {"libcublasLt.so.13"}, folders);
  } else {
    append(candidates, {"libcublasLt.so.13", "libcublasLt.so.12"}, folders);
  }
  return candidates;
}

}  // namespace

// Libraries that were opened in vain stay open, since the process may have them from elsewhere.
CublasLt::CublasLt(const std::string& folders) {
  std::string tried;
  for (const Candidate& candidate : candidates_in(folders)) {
    void* const library = dlopen(candidate.path.c_str(), candidate.flags);
    if (!library) {
      const char* const why = dlerror();
      if (!(candidate.flags & RTLD_NOLOAD))
        tried += "; " + (why ? std::string(why) : candidate.path + " cannot be opened");
      continue;
    }
    path = candidate.path;
    const std::string why = take_functions(library);
    if (why.empty()) return;
    tried += "; " + path + why;
  }
  throw std::runtime_error("cublasLt cannot be used" + tried);
}

// Returns why the library cannot be used; "" if it can: a handle is made, which cublasLt refuses if the driver is too
// old for it.
std::string CublasLt::take_functions(void* library) {
  std::string missing;
  const auto take = [&](auto& function, const char* name) {
    void* const symbol = dlsym(library, name);
    if (!symbol) missing += std::string(missing.empty() ? " has no " : ", ") + name;
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(symbol);
  };
  take(create, "cublasLtCreate");
  take(destroy, "cublasLtDestroy");
  take(version, "cublasLtGetVersion");
  take(desc_create, "cublasLtMatmulDescCreate");
  take(desc_destroy, "cublasLtMatmulDescDestroy");
  take(desc_set, "cublasLtMatmulDescSetAttribute");
  take(layout_create, "cublasLtMatrixLayoutCreate");
  take(layout_destroy, "cublasLtMatrixLayoutDestroy");
  take(preference_create, "cublasLtMatmulPreferenceCreate");
  take(preference_set, "cublasLtMatmulPreferenceSetAttribute");
  take(preference_destroy, "cublasLtMatmulPreferenceDestroy");
  take(heuristics, "cublasLtMatmulAlgoGetHeuristic");
  take(matmul, "cublasLtMatmul");
  if (!missing.empty()) return missing;
  Handle handle = nullptr;
  if (const int status = create(&handle); status != lt::kSuccess) {
    return " makes no handle: status " + std::to_string(status);
  }
  destroy(handle);
  return "";
}

const CublasLt& CublasLt::open(const std::string& folders) {
  static const CublasLt* const opened = new CublasLt(folders);  // never closed, since its threads may outlive us
  return *opened;
}

}  // namespace liteft::cuda
