#include "ort/packed.h"

#include <string>

#include "engine/refuse.h"
#include "ort/tensor.h"

namespace liteft::ort {
namespace {

constexpr std::size_t kIds = 0, kOffsets = 1, kTypes = 2;

std::vector<std::int32_t> read_row(const OrtApi* api, const OrtKernelContext* context, std::size_t place,
                                   const char* name, const char* axis) {
  const Tensor tensor = read_input(api, context, place, name);
  if (tensor.dimensions.size() != 1) {
    refuse(std::string(name) + " has shape " + shape_text(tensor.dimensions) + ", and (" + axis + ") was expected");
  }
  const auto* values = static_cast<const std::int64_t*>(tensor.values);
  std::vector<std::int32_t> row(narrow(tensor.dimensions[0], std::string("the length of ") + name));
  for (std::size_t at = 0; at < row.size(); ++at) row[at] = narrow(values[at], name);
  return row;
}

}  // namespace

PackedInputs::PackedInputs(const OrtApi* api, const OrtKernelContext* context, bool has_token_types)
    : ids_(read_row(api, context, kIds, "input_ids", "tokens")),
      offsets_(read_row(api, context, kOffsets, "offsets", "texts + 1")) {
  if (offsets_.empty()) refuse("offsets is empty, and it ends with the number of tokens");
  if (static_cast<std::size_t>(offsets_.back()) != ids_.size()) {
    refuse("the last text ends at token " + std::to_string(offsets_.back()) + ", and input_ids has " +
           std::to_string(ids_.size()));
  }
  if (!has_token_types) return;
  types_ = read_row(api, context, kTypes, "token_type_ids", "tokens");
  if (types_.size() != ids_.size()) {
    refuse("token_type_ids has " + std::to_string(types_.size()) + " values, and input_ids has " +
           std::to_string(ids_.size()));
  }
}

liteft_batch PackedInputs::batch() const {
  liteft_batch batch{};
  batch.texts = texts();
  batch.ids = ids_.data();
  batch.types = types_.empty() ? nullptr : types_.data();
  batch.offsets = offsets_.data();
  return batch;
}

}  // namespace liteft::ort
