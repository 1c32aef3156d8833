#include "cuda/cublaslt.h"

#include <dlfcn.h>

#include <sstream>
#include <stdexcept>
#include <vector>

namespace liteft::cuda {
namespace {

constexpr const char* kNames[] = {"libcublasLt.so.13", "libcublasLt.so.12"};

struct Found {
  void* handle;
  std::string path;
};

Found find(const std::string& folders) {
  for (const char* name : kNames) {
    if (void* handle = dlopen(name, RTLD_NOW | RTLD_NOLOAD)) return {handle, name};
  }
  std::string tried;
  const auto attempt = [&](const std::string& path) -> void* {
    if (void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) return handle;
    const char* why = dlerror();
    tried += "; " + std::string(why ? why : path);
    return nullptr;
  };
  for (const char* name : kNames) {
    std::istringstream each(folders);
    for (std::string folder; std::getline(each, folder, ':');) {
      if (folder.empty()) continue;
      const std::string path = folder + "/" + name;
      if (void* handle = attempt(path)) return {handle, path};
    }
  }
  for (const char* name : kNames) {
    if (void* handle = attempt(name)) return {handle, name};
  }
  throw std::runtime_error("cublasLt cannot be opened" + tried);
}

}  // namespace

CublasLt::CublasLt(const std::string& folders) {
  const Found found = find(folders);
  path = found.path;
  const auto take = [&](auto& function, const char* name) {
    void* const symbol = dlsym(found.handle, name);
    if (!symbol) throw std::runtime_error(path + " has no " + name);
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
}

const CublasLt& CublasLt::open(const std::string& folders) {
  static const CublasLt* const opened = new CublasLt(folders);  // never closed, since its threads may outlive us
  return *opened;
}

}  // namespace liteft::cuda
