#include "engine/workspace.h"

#include <algorithm>

namespace liteft {

Workspace::Workspace(const Model& model, const Extent& wanted) : extent(wanted) {
  const ModelShape& shape = model.shape;
  const std::size_t rows = wanted.rows, texts = wanted.texts, width = shape.width, inner = shape.inner;
  const std::size_t wide = std::max(shape.width, shape.embedding), number = sizeof(float);
  const auto input_bytes = [&](std::size_t values) { return row_bytes(model.precision, values); };
  hidden = Buffer(rows * width * number);
  sums = Buffer(rows * wide * number);
  projected = Buffer(rows * 3 * width * number);
  queries = Buffer(texts * width * number);
  context = Buffer(rows * width * number);
  input = Buffer(rows * input_bytes(wide));
  first_input = Buffer(texts * input_bytes(width));
  this->inner = Buffer(kInnerRows * inner * number);
  inner_input = Buffer(kInnerRows * input_bytes(inner));
  scales = Buffer((rows + kInnerRows) * number);
  first_scales = Buffer(texts * number);
  pooled = Buffer(texts * width * number);
  dense = Buffer(texts * width * number);
  for (int member = 0; member < wanted.members; ++member) {
    scratch.emplace_back(model.kernels->attention_scratch(wanted.longest, shape.width / shape.heads));
  }
}

std::unique_ptr<Workspace> Shelf::take(const Extent& extent) {
  Extent wanted = extent;
  {
    const std::lock_guard lock(mutex_);
    for (auto place = idle_.begin(); place != idle_.end(); ++place) {
      const Extent& has = (*place)->extent;
      if (has.rows >= extent.rows && has.texts >= extent.texts && has.longest >= extent.longest &&
          has.members >= extent.members) {
        auto found = std::move(*place);
        idle_.erase(place);
        return found;
      }
    }
    if (!idle_.empty()) {  // one that is too small is replaced by one that holds both, so their number does not grow
      const Extent& has = idle_.back()->extent;
      wanted = {std::max(has.rows, extent.rows), std::max(has.texts, extent.texts),
                std::max(has.longest, extent.longest), std::max(has.members, extent.members)};
      idle_.pop_back();
    }
  }
  return std::make_unique<Workspace>(model_, wanted);
}

void Shelf::put(std::unique_ptr<Workspace> workspace) noexcept {
  const std::lock_guard lock(mutex_);
  try {
    idle_.push_back(std::move(workspace));
  } catch (...) {  // no memory for the place on the shelf: it is made again when it is needed
  }
}

}  // namespace liteft
