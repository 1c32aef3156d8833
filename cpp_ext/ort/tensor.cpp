#include "ort/tensor.h"

#include <memory>
#include <stdexcept>

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

std::string shape_text(const std::vector<std::int64_t>& dimensions) {
  std::string text;
  for (const std::int64_t each : dimensions) text += (text.empty() ? "" : ", ") + std::to_string(each);
  return "(" + text + ")";
}

}  // namespace liteft::ort
