#include "ort/tensor.h"

#include <limits>
#include <memory>
#include <stdexcept>

#include "engine/refuse.h"

namespace liteft::ort {

void check(const OrtApi* api, OrtStatus* status) {
  if (!status) return;
  const auto release = [api](OrtStatus* each) { ReleaseStatus(api, each); };
  const std::unique_ptr<OrtStatus, decltype(release)> owned(status, release);
  throw std::runtime_error(GetErrorMessage(api, status));
}

Tensor read_tensor(const OrtApi* api, const OrtValue* value) {
  Tensor tensor;
  OrtTensorTypeAndShapeInfo* made = nullptr;
  check(api, GetTensorTypeAndShape(api, value, &made));
  const auto release = [api](OrtTensorTypeAndShapeInfo* each) { ReleaseTensorTypeAndShapeInfo(api, each); };
  const std::unique_ptr<OrtTensorTypeAndShapeInfo, decltype(release)> info(made, release);
  check(api, GetTensorElementType(api, info.get(), &tensor.type));
  std::size_t count = 0;
  check(api, GetDimensionsCount(api, info.get(), &count));
  tensor.dimensions.resize(count);
  check(api, GetDimensions(api, info.get(), tensor.dimensions.data(), count));
  void* values = nullptr;
  check(api, GetTensorMutableData(api, const_cast<OrtValue*>(value), &values));
  tensor.values = values;
  return tensor;
}

Tensor read_input(const OrtApi* api, const OrtKernelContext* context, std::size_t place, const char* name) {
  const OrtValue* value = nullptr;
  check(api, KernelContext_GetInput(api, context, place, &value));
  if (!value) refuse(std::string(name) + " is missing");
  Tensor tensor = read_tensor(api, value);
  if (tensor.type != kInt64) refuse(std::string(name) + " is not int64");
  return tensor;
}

std::int32_t narrow(std::int64_t value, const std::string& what) {
  if (value < std::numeric_limits<std::int32_t>::min() || value > std::numeric_limits<std::int32_t>::max()) {
    refuse(what + " = " + std::to_string(value) + " is out of range");
  }
  return static_cast<std::int32_t>(value);
}

std::string shape_text(const std::vector<std::int64_t>& dimensions) {
  std::string text;
  for (const std::int64_t each : dimensions) text += (text.empty() ? "" : ", ") + std::to_string(each);
  return "(" + text + ")";
}

}  // namespace liteft::ort
