// What products on Hopper's tensor cores share. A block stays on its multiprocessor and computes tiles of 128 rows, one
// after the other, until there are none left. Its first warpgroup has the copy engine fill the stages of a pipeline
// with 64 inputs of the tile's rows and weights each; the two others multiply them, 64 rows each, with all sums in
// registers.
//
// The blocks of a cluster stand in two lines of `Wide` blocks, and so do their tiles. Blocks of a line need the same
// rows of x, and blocks one below the other the same weights: each copies a share, and the engine writes it to all
// blocks that need it. A block may fill a stage once the warps of all blocks that it writes to have read what is there,
// for which they arrive at its barrier.

#pragma once

#include <algorithm>

#include "cuda/sm90_device.cuh"
#include "cuda/sm90_product.h"
#include "cuda/sm90_tensor_map.h"
#include "cuda/vectors.cuh"

namespace liteft::cuda {

constexpr int kInputs = 64;                                       // of a stage
constexpr int kGroupRows = 64, kRows = 2 * kGroupRows;            // of a warpgroup, and of a tile
constexpr int kLines = 2;                                         // of a cluster
constexpr int kSm90Threads = 3 * 128, kConsumerWarps = 8;         // of a block
constexpr int kProducerRegisters = 40, kConsumerRegisters = 232;  // of a thread; 168 on average
constexpr int kBoxValues = kBoxRows * kBoxColumns;

template <typename T, int Columns>
struct Stage {
  T x[kRows * kInputs];          // K-major: rows of 64 inputs
  T weights[kInputs * Columns];  // MN-major: boxes of 64 columns, each with 64 rows of 64 weights
};

template <typename T, int Columns_, int Stages, int Wide_>
struct Sm90Pipeline {
  static constexpr int kColumns = Columns_, kStages = Stages, kWide = Wide_, kBlocks = kLines * Wide_;
  static constexpr int kSources = Wide_ + kLines - 1;  // blocks that write to a block
  Stage<T, Columns_> stages[Stages];
  Barrier full[Stages], empty[Stages];
};

#if LITEFT_SM90_BODY

// Where a block stands in its cluster, and the tiles that it computes.
template <typename Pipeline>
class Tiles {
 public:
  __device__ Tiles(int rows, int outputs)
      : line_(static_cast<int>(blockIdx.x % Pipeline::kBlocks) / Pipeline::kWide),
        place_(static_cast<int>(blockIdx.x) % Pipeline::kWide),
        wide_((outputs + Pipeline::kColumns - 1) / Pipeline::kColumns / Pipeline::kWide),
        count_((rows + kLines * kRows - 1) / (kLines * kRows) * wide_),
        tile_(static_cast<int>(blockIdx.x) / Pipeline::kBlocks) {}

  __device__ int line() const { return line_; }
  __device__ int place() const { return place_; }
  __device__ bool left() const { return tile_ < count_; }
  __device__ void advance() { tile_ += static_cast<int>(gridDim.x) / Pipeline::kBlocks; }
  __device__ int row() const { return (tile_ / wide_ * kLines + line_) * kRows; }
  __device__ int column() const { return (tile_ % wide_ * Pipeline::kWide + place_) * Pipeline::kColumns; }

  // The number of a block in the cluster.
  __device__ static int number(int line, int place) { return line * Pipeline::kWide + place; }
  // The blocks of this block's line, and those above and below it, a bit each.
  __device__ unsigned line_mask() const { return ((1u << Pipeline::kWide) - 1u) << number(line_, 0); }
  __device__ unsigned place_mask() const { return 1u << number(0, place_) | 1u << number(1, place_); }

 private:
  const int line_, place_, wide_, count_;
  int tile_;
};

// The stage whose turn it is, and the parity of its barriers.
template <int Stages>
struct Turn {
  int stage = 0;
  unsigned parity = 0;
  __device__ void advance() {
    if (++stage < Stages) return;
    stage = 0;
    parity ^= 1;
  }
};

// Makes the barriers; the caller publishes them.
template <typename Pipeline>
__device__ void init_pipeline(Pipeline& shared) {
  for (int stage = 0; stage < Pipeline::kStages; ++stage) {
    init_barrier(&shared.full[stage], 1);
    init_barrier(&shared.empty[stage], Pipeline::kSources * kConsumerWarps);
  }
}

// How many of a tile's two groups of rows have rows.
inline __device__ int groups_of(int row, int rows) { return rows > row + kGroupRows ? 2 : (rows > row ? 1 : 0); }

// By one thread: all stages of all tiles of the block. Once the block's warps have read the first stage of a tile, and
// so are done with the tile before, also_copy(row, column, groups) may copy what else the tile needs. That is never
// where a tile has no more stages than the pipeline.
template <typename T, typename Pipeline, typename AlsoCopy>
__device__ void fill_stages(const Sm90Product<T>& given, Pipeline& shared, int rows, const AlsoCopy& also_copy) {
  constexpr int kBoxes = Pipeline::kColumns / kBoxColumns, kWide = Pipeline::kWide;
  Turn<Pipeline::kStages> turn;
  for (Tiles<Pipeline> tile(rows, given.outputs); tile.left(); tile.advance()) {
    const int row = tile.row(), column = tile.column(), groups = groups_of(row, rows);
    for (int input = 0; input < given.inputs; input += kInputs) {
      auto& stage = shared.stages[turn.stage];
      Barrier* const full = &shared.full[turn.stage];
      wait(&shared.empty[turn.stage], turn.parity ^ 1);
      arrive_expecting(full, static_cast<int>((groups * kGroupRows + Pipeline::kColumns) * kInputs * sizeof(T)));
      for (int box = tile.place(); box < groups * (kGroupRows / kBoxRows); box += kWide) {
        T* const to = stage.x + box * kBoxValues;
        if constexpr (kWide == 1)
          copy_box(to, &given.x, input, row + box * kBoxRows, full);
        else
          copy_box(tile.line_mask(), to, &given.x, input, row + box * kBoxRows, full);
      }
      const int first = tile.line() * kBoxRows;  // of the inputs, whose weights the two lines share
#pragma unroll
      for (int box = 0; box < kBoxes; ++box)
        copy_box(tile.place_mask(), stage.weights + box * kInputs * kBoxColumns + first * kBoxColumns, &given.weights,
                 column + box * kBoxColumns, input + first, full);
      turn.advance();
      if (input == Pipeline::kStages * kInputs) also_copy(row, column, groups);
    }
  }
}

// By a warp: it has read the stage.
template <typename Pipeline>
__device__ void release(Pipeline& shared, const Tiles<Pipeline>& tile, int stage) {
  constexpr int kWide = Pipeline::kWide;
  const int lane = threadIdx.x % 32;
  if (lane < Pipeline::kSources)
    arrive_in(lane < kWide ? tile.number(tile.line(), lane) : tile.number(1 - tile.line(), tile.place()),
              &shared.empty[stage]);
}

// sums = a warpgroup's rows of x times the tile's weights, over all inputs, or sums += that. While the first `Parts`
// stages are multiplied, or after them if there are fewer, the warps do other(0), other(1) and so on.
template <int Parts, bool Adds, typename T, typename Pipeline, typename Other>
__device__ void multiply_stages(float (&sums)[Pipeline::kColumns / 2], Pipeline& shared, const Tiles<Pipeline>& tile,
                                Turn<Pipeline::kStages>& turn, int inputs, int group, const Other& other) {
  constexpr int kPattern = 8 * 128;  // bytes of eight rows
  constexpr int kStage = sizeof(shared.stages[0]) / 16, kLeft = 16 * sizeof(T) / 16, kRight = 16 * 128 / 16;
  const std::uint64_t left = matrix(shared.stages[0].x + group * kGroupRows * kInputs, 16, kPattern),
                      right = matrix(shared.stages[0].weights, kInputs * 128, kPattern);
  const auto start = [&](bool add) {
    wait(&shared.full[turn.stage], turn.parity);
    const std::uint64_t stage = turn.stage * kStage;  // added to the descriptors' addresses
    begin_products();
#pragma unroll
    for (int k = 0; k < kInputs / 16; ++k)
      multiply_async(T{}, sums, left + stage + k * kLeft, right + stage + k * kRight, add || k > 0);
    end_products();
  };
  int last = 0;  // the stage that is being read
  const auto finish_one_before = [&](bool there) {
    wait_products<1>(sums);
    if (there) release(shared, tile, last);
    last = turn.stage;
    turn.advance();
  };
#pragma unroll
  for (int part = 0; part < Parts; ++part) {
    const bool there = part == 0 || part * kInputs < inputs;
    if (there) start(Adds || part > 0);
    other(part);
    if (there) finish_one_before(part > 0);
  }
  for (int input = Parts * kInputs; input < inputs; input += kInputs) {
    start(Adds || input > 0);
    finish_one_before(input > 0);
  }
  wait_products<0>(sums);
  release(shared, tile, last);
}

// For a warpgroup that has no rows in the tile.
template <typename Pipeline>
__device__ void pass_stages(Pipeline& shared, const Tiles<Pipeline>& tile, Turn<Pipeline::kStages>& turn, int inputs) {
  for (int input = 0; input < inputs; input += kInputs) {
    wait(&shared.full[turn.stage], turn.parity);
    release(shared, tile, turn.stage);
    turn.advance();
  }
}

// Piece `at` of eight columns of a row, of 16 rows of 64 columns that lie in shared memory as the engine would copy
// them.
template <typename T>
__device__ T* piece_of(T* box, int row, int at) {
  return box + row * kBoxColumns + (at ^ row % 8) * 8;
}

// Puts 16 columns of a warp's 16 rows into its box in shared memory, from piece `at` on: pairs(0, half) is what the
// lane has of the first eight columns and row g (half 0) or g + 8, pairs(1, half) of the others.
template <typename T, typename Pairs>
__device__ void put_columns(const Pairs& pairs, T* box, int at) {
  const int lane = threadIdx.x % 32;
  const std::uint32_t words[4] = {packed<T>(pairs(0, 0)), packed<T>(pairs(0, 1)), packed<T>(pairs(1, 0)),
                                  packed<T>(pairs(1, 1))};
  store_matrices(piece_of(box, lane % 16, at + lane / 16), words);
}

// Writes a warp's box to memory in whole lines: the first `there` of its 16 rows.
template <typename T>
__device__ void store_box(T* box, T* out, std::size_t stride, int there) {
  const int lane = threadIdx.x % 32;
  __syncwarp();
#pragma unroll
  for (int step = 0; step < 4; ++step) {
    const int row = 4 * step + lane / 8, at = lane % 8;
    if (row < there)
      *reinterpret_cast<uint4*>(out + row * stride + 8 * at) = *reinterpret_cast<const uint4*>(piece_of(box, row, at));
  }
  __syncwarp();
}

#endif  // LITEFT_SM90_BODY

template <typename Shared>
struct SharedOf {  // names the type of a kernel's shared memory
  using type = Shared;
};

template <typename Shared, typename Given>
int most_clusters_of(void (*kernel)(Given)) {
  // of the first device on which the kernel was loaded: with more clusters than run at once, some only run later
  static const int most = most_clusters(kernel, decltype(Shared::pipeline)::kBlocks, kSm90Threads, sizeof(Shared));
  return most;
}

template <typename Shared, typename Given>
void load_sm90(void (*kernel)(Given)) {
  static_assert(sizeof(Shared) <= 227 << 10, "more than a block may have");
  load_kernel(kernel, sizeof(Shared));
  most_clusters_of<Shared>(kernel);
}

// Starts a kernel of such a pipeline, with as many clusters as the device runs at once, but not more blocks than
// `multiprocessors`.
template <typename Shared, typename Given>
void launch_sm90(void (*kernel)(Given), const Given& given, int multiprocessors, cudaStream_t stream) {
  constexpr int kBlocks = decltype(Shared::pipeline)::kBlocks;
  const int clusters = std::max(1, std::min(most_clusters_of<Shared>(kernel), multiprocessors / kBlocks));
  launch_clusters(kernel, kBlocks, clusters * kBlocks, kSm90Threads, sizeof(Shared), stream, given);
}

}  // namespace liteft::cuda
