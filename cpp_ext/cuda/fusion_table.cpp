#include "cuda/fusion_table.h"

#include <sstream>

#include "cuda/sm90_product.h"
#include "cuda/tuning_cache.h"

namespace liteft::cuda {

FusionTable::FusionTable(Policy policy, const Abilities& abilities, std::string cache)
    : policy_(policy), abilities_(abilities), cache_(std::move(cache)) {
  if (cache_.empty()) return;
  for (const std::string& record : read_tuning_cache(cache_, &news_)) {
    std::istringstream words(record);
    Fusable shape{};
    int what = 0, way = 0;
    words >> what >> shape.rows >> shape.inputs >> shape.outputs >> way;
    shape.what = static_cast<Fusion>(what);
    if (words && way >= 0 && way <= static_cast<int>(Way::hopper))
      best_[shape] = static_cast<Way>(way);
    else
      news_ = true;
  }
}

bool FusionTable::takes(const Fusable& shape, Way way) const {
  if (way == Way::plain) return true;
  const std::size_t shared = abilities_.shared;
  if (way == Way::hopper) {
    if (!abilities_.hopper) return false;
    if (shape.what == Fusion::norm) return sm90_norms(shape.inputs, shape.outputs);
    return shape.what == Fusion::act || shape.what == Fusion::bias;
  }
  switch (shape.what) {
    case Fusion::act: return fuses_act(shared);
    case Fusion::norm: return fuses_norm(shape.outputs, shared);
    case Fusion::feed_forward: return fuses_feed_forward(shape.inputs, shared);
    case Fusion::forward: return true;  // of as many rows as a ShortForward takes
    case Fusion::bias: break;
  }
  return false;
}

std::vector<Way> FusionTable::ways_of(const Fusable& shape) const {
  std::vector<Way> ways;
  for (const Way way : {Way::plain, Way::fused, Way::hopper}) {
    if (takes(shape, way) && !(policy_ == Policy::cautious && is_new(shape, way))) ways.push_back(way);
  }
  return ways;
}

Way FusionTable::way_of(const Fusable& shape) const {
  Way way = Way::plain;
  const bool whole = shape.what == Fusion::forward;
  if (policy_ == (whole ? Policy::whole : Policy::always)) way = Way::fused;
  if (policy_ == Policy::hopper) way = Way::hopper;
  if (measures()) {
    const auto found = best_.find(shape);
    if (found != best_.end() && !(policy_ == Policy::cautious && is_new(shape, found->second))) way = found->second;
  }
  return takes(shape, way) ? way : Way::plain;
}

void FusionTable::save() {
  if (cache_.empty() || !news_) return;
  std::vector<std::string> records;
  for (const auto& [shape, way] : best_) {
    std::ostringstream record;
    record << static_cast<int>(shape.what) << ' ' << shape.rows << ' ' << shape.inputs << ' ' << shape.outputs << ' '
           << static_cast<int>(way);
    records.push_back(record.str());
  }
  write_tuning_cache(cache_, records);
  news_ = false;
}

}  // namespace liteft::cuda
