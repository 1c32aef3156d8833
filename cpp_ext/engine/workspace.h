// The memory that the passage of a strip needs, kept from one run to the next.

#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "engine/model.h"

namespace liteft {

struct Extent {
  int rows = 0;     // of a strip
  int texts = 0;    // of a strip
  int longest = 0;  // text, in rows
  int members = 1;  // of the team

  bool holds(const Extent& other) const;
  Extent together(const Extent& other) const;  // what holds both
};

constexpr int kInnerRows = 48;  // of the feed-forward block that are computed at a time

// What one team computes in. Rows are real tokens; `first` ones are those of the pooled tokens.
struct Workspace {
  Workspace(const Model& model, const Extent& extent);

  Extent extent;
  Buffer hidden;     // (rows, width)
  Buffer sums;       // (rows, width or embedding): what is to be normed
  Buffer projected;  // (rows, 3 width): queries, keys and values; in a cls_only layer (rows, 2 width), without queries
  Buffer queries;    // (texts, width): of a cls_only layer
  Buffer context;    // (rows, width)
  Buffer input;      // (rows, width or embedding) as a product reads them
  Buffer first_input;  // (texts, width) as a product reads them
  Buffer inner;        // (kInnerRows, inner)
  Buffer inner_input;  // the same as a product reads them
  Buffer scales;       // (rows + kInnerRows,): of int8 input
  Buffer first_scales;
  Buffer pooled;                // (texts, width)
  Buffer dense;                 // (texts, width)
  std::vector<Buffer> scratch;  // one a member: of attention
};

// Workspaces that wait for the next run. They are no more than ran at once, and grow to the largest batch seen.
class Shelf {
 public:
  explicit Shelf(const Model& model) : model_(model) {}

  class Loan {
   public:
    Loan(Shelf& shelf, const Extent& extent) : shelf_(shelf), workspace_(shelf.take(extent)) {}
    ~Loan() { shelf_.put(std::move(workspace_)); }
    Loan(const Loan&) = delete;
    Loan& operator=(const Loan&) = delete;
    Workspace& operator*() const { return *workspace_; }

   private:
    Shelf& shelf_;
    std::unique_ptr<Workspace> workspace_;
  };

 private:
  std::unique_ptr<Workspace> take(const Extent& extent);
  void put(std::unique_ptr<Workspace> workspace) noexcept;
  const Model& model_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Workspace>> idle_;
};

}  // namespace liteft
