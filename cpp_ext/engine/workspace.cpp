#include "engine/workspace.h"

#include <algorithm>

namespace liteft {

bool WorkspaceSize::holds(const WorkspaceSize& other) const {
  return rows >= other.rows && texts >= other.texts && longest >= other.longest && members >= other.members;
}

WorkspaceSize WorkspaceSize::together(const WorkspaceSize& other) const {
  return {std::max(rows, other.rows), std::max(texts, other.texts), std::max(longest, other.longest),
          std::max(members, other.members)};
}

Workspace::Workspace(const Model& model, const WorkspaceSize& wanted) : size(wanted) {
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

std::unique_ptr<Workspace> WorkspacePool::take(const WorkspaceSize& size) {
  WorkspaceSize wanted = size;
  {
    const std::lock_guard lock(mutex_);
    for (auto place = idle_.begin(); place != idle_.end(); ++place) {
      if (!(*place)->size.holds(size)) continue;
      auto found = std::move(*place);
      idle_.erase(place);
      return found;
    }
    if (!idle_.empty()) {  // one that is too small is replaced by a larger one, so that their number does not grow
      wanted = idle_.back()->size.together(size);
      idle_.pop_back();
    }
  }
  return std::make_unique<Workspace>(model_, wanted);
}

void WorkspacePool::put(std::unique_ptr<Workspace> workspace) noexcept {
  const std::lock_guard lock(mutex_);
  try {
    idle_.push_back(std::move(workspace));
  } catch (...) {  // there is no memory to keep it in the pool, so it will be made again when it is needed
  }
}

}  // namespace liteft
