#include "cuda/fusion_table.h"

#include <sstream>
#include <vector>

#include "cuda/tuning_cache.h"

namespace liteft::cuda {

FusionTable::FusionTable(Policy policy, std::size_t shared, std::string cache)
    : policy_(policy), shared_(shared), cache_(std::move(cache)) {
  if (cache_.empty()) return;
  for (const std::string& record : read_tuning_cache(cache_, &news_)) {
    std::istringstream words(record);
    Fusable shape{};
    int what = 0;
    bool faster = false;
    words >> what >> shape.rows >> shape.inputs >> shape.outputs >> faster;
    shape.what = static_cast<Fusion>(what);
    if (words)
      faster_[shape] = faster;
    else
      news_ = true;
  }
}

bool FusionTable::takes(const Fusable& shape) const {
  switch (shape.what) {
    case Fusion::act: return fuses_act(shared_);
    case Fusion::norm: return fuses_norm(shape.outputs, shared_);
    case Fusion::feed_forward: return fuses_feed_forward(shape.inputs, shared_);
  }
  return false;
}

bool FusionTable::fuses(const Fusable& shape) const {
  if (policy_ != Policy::measured) return policy_ == Policy::always && takes(shape);
  const auto found = faster_.find(shape);
  return found != faster_.end() && found->second && takes(shape);
}

void FusionTable::save() {
  if (cache_.empty() || !news_) return;
  std::vector<std::string> records;
  for (const auto& [shape, faster] : faster_) {
    std::ostringstream record;
    record << static_cast<int>(shape.what) << ' ' << shape.rows << ' ' << shape.inputs << ' ' << shape.outputs << ' '
           << faster;
    records.push_back(record.str());
  }
  write_tuning_cache(cache_, records);
  news_ = false;
}

}  // namespace liteft::cuda
