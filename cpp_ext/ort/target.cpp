#include "ort/target.h"

#include <charconv>

#include "engine/refuse.h"
#include "liteft/liteft.h"
#include "ort/tensor.h"

namespace liteft::ort {
namespace {

std::string entry(const OrtApi* api, const OrtSessionOptions* options, const char* key, const char* usual) {
  int there = 0;
  check(api, HasSessionConfigEntry(api, options, key, &there));
  if (!there) return usual;
  std::size_t size = 0;
  check(api, GetSessionConfigEntry(api, options, key, nullptr, &size));
  std::string value(size, '\0');
  check(api, GetSessionConfigEntry(api, options, key, value.data(), &size));
  value.resize(size ? size - 1 : 0);
  return value;
}

}  // namespace

Target read_target(const OrtApi* api, const OrtSessionOptions* options) {
  Target target;
  const std::string device = entry(api, options, "liteft.device", "cpu");
  const std::string precision = entry(api, options, "liteft.precision", "");
  if (device != "cpu") {
    const std::string number = device.rfind("cuda:", 0) == 0 ? device.substr(5) : device == "cuda" ? "0" : "";
    const char* end = number.data() + number.size();
    const auto [read, error] = std::from_chars(number.data(), end, target.device);
    if (number.empty() || error != std::errc() || read != end || target.device < 0) {
      refuse("the session's entry liteft.device is '" + device + "', and cpu, cuda or cuda:NUMBER was expected");
    }
    target.cuda = true;
  }
  if (!precision.empty() && precision != "bf16" && precision != "fp16") {
    refuse("the session's entry liteft.precision is '" + precision + "', and bf16 or fp16 was expected");
  }
  if (!precision.empty() && !target.cuda) refuse("the session's entry liteft.precision is for liteft.device=cuda");
  target.precision = precision == "fp16" ? LITEFT_FP16 : LITEFT_BF16;
  target.cublas = entry(api, options, "liteft.cublas", "");
  target.cache = entry(api, options, "liteft.cache", "");
  return target;
}

}  // namespace liteft::ort
