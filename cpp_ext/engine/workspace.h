// The scratch memory of the forward pass of a row block, which is kept from one run to the next.

#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "engine/model.h"

namespace liteft {

struct WorkspaceSize {
  int rows = 0;     // of a row block
  int texts = 0;    // of a row block
  int longest = 0;  // text, in rows
  int members = 1;  // of the team

  bool holds(const WorkspaceSize& other) const;
  WorkspaceSize together(const WorkspaceSize& other) const;  // large enough for both
};

constexpr int kInnerRows = 48;  // rows of the feed-forward block that are computed at a time

// The buffers of one team. Rows are real tokens; `first` rows are those of the pooled tokens.
struct Workspace {
  Workspace(const Model& model, const WorkspaceSize& size);

  WorkspaceSize size;
  Buffer hidden;     // (rows, width)
  Buffer sums;       // (rows, width or embedding): what is to be normed
  Buffer projected;  // (rows, 3 width): queries, keys and values; in a cls_only layer (rows, 2 width), without queries
  Buffer queries;    // (texts, width): of a cls_only layer
  Buffer context;    // (rows, width)
  Buffer input;      // (rows, width or embedding) as a matmul reads them
  Buffer first_input;  // (texts, width) as a matmul reads them
  Buffer inner;        // (kInnerRows, inner)
  Buffer inner_input;  // the same as a matmul reads them
  Buffer scales;       // (rows + kInnerRows,): of int8 input
  Buffer first_scales;
  Buffer pooled;                // (texts, width)
  Buffer dense;                 // (texts, width)
  std::vector<Buffer> scratch;  // for attention, one per member
};

// The workspaces that wait for the next run: as many as have run at once, each as large as its largest batch so far.
class WorkspacePool {
 public:
  explicit WorkspacePool(const Model& model) : model_(model) {}

  class Lease {
   public:
    Lease(WorkspacePool& pool, const WorkspaceSize& size) : pool_(pool), workspace_(pool.take(size)) {}
    ~Lease() { pool_.put(std::move(workspace_)); }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    Workspace& operator*() const { return *workspace_; }

   private:
    WorkspacePool& pool_;
    std::unique_ptr<Workspace> workspace_;
  };

 private:
  std::unique_ptr<Workspace> take(const WorkspaceSize& size);
  void put(std::unique_ptr<Workspace> workspace) noexcept;
  const Model& model_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Workspace>> idle_;
};

}  // namespace liteft
