// Products on Hopper's tensor cores. A block stays on its multiprocessor and computes tiles of 128 rows, one after the
// other, until there are none left. Its first warpgroup has the copy engine fill the stages of a pipeline with 64
// inputs of the tile's rows and weights each; the two others multiply them, 64 rows each, with all sums in registers,
// and store the results while the first fills stages for the next tile.

#include "cuda/activations.cuh"
#include "cuda/sm90_device.cuh"
#include "cuda/sm90_product.h"
#include "cuda/sm90_tensor_map.h"
#include "cuda/vectors.cuh"

namespace liteft::cuda {
namespace {

constexpr int kInputs = 64;                             // of a stage
constexpr int kGroupRows = 64, kRows = 2 * kGroupRows;  // of a warpgroup, and of a tile
constexpr int kThreads = 3 * 128, kConsumerWarps = 8;
constexpr int kProducerRegisters = 40, kConsumerRegisters = 232;  // of a thread; 168 on average

template <typename T, int Columns>
struct Stage {
  T x[kRows * kInputs];          // K-major: rows of 64 inputs
  T weights[kInputs * Columns];  // MN-major: boxes of 64 columns, each with 64 rows of 64 weights
};

template <typename T, int Columns, int Stages>
struct Sm90Shared {
  Stage<T, Columns> stages[Stages];
  T out[kConsumerWarps][16 * kBoxColumns];  // rows that a warp stores
  Barrier full[Stages], empty[Stages];
};

// The most stages that fit into 227 KB.
template <int Columns>
constexpr int kStages = Columns <= 128 ? 6 : (Columns <= 192 ? 5 : 4);
template <typename T, int Columns>
using SharedOf = Sm90Shared<T, Columns, kStages<Columns>>;

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

#if LITEFT_SM90_BODY

// By one thread: all stages of all tiles of the block.
template <typename T, int Columns, typename Given>
__device__ void fill_stages(const Given& given, SharedOf<T, Columns>& shared, int rows) {
  const int column_tiles = (given.outputs + Columns - 1) / Columns;
  const int tiles = (rows + kRows - 1) / kRows * column_tiles;
  Turn<kStages<Columns>> turn;
  for (int tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    const int row = tile / column_tiles * kRows, column = tile % column_tiles * Columns;
    const int groups = rows - row > kGroupRows ? 2 : 1;  // that have rows
    for (int input = 0; input < given.inputs; input += kInputs) {
      Stage<T, Columns>& stage = shared.stages[turn.stage];
      Barrier* const full = &shared.full[turn.stage];
      wait(&shared.empty[turn.stage], turn.parity ^ 1);
      arrive_expecting(full, static_cast<int>((groups * kGroupRows + Columns) * kInputs * sizeof(T)));
      for (int group = 0; group < groups; ++group)
        copy_box(stage.x + group * kGroupRows * kInputs, &given.x, input, row + group * kGroupRows, full);
#pragma unroll
      for (int box = 0; box < Columns / kBoxColumns; ++box)
        copy_box(stage.weights + box * kBoxColumns * kInputs, &given.weights, column + box * kBoxColumns, input, full);
      turn.advance();
    }
  }
}

// sums = a warpgroup's rows of x times the tile's weights, over all inputs.
template <typename T, int Columns>
__device__ void multiply_stages(float (&sums)[Columns / 2], SharedOf<T, Columns>& shared, Turn<kStages<Columns>>& turn,
                                int inputs, int group) {
  constexpr int kPattern = 8 * 128;  // bytes of eight rows
  constexpr int kStage = sizeof(Stage<T, Columns>) / 16, kLeft = 16 * sizeof(T) / 16, kRight = 16 * 128 / 16;
  const std::uint64_t left = matrix(shared.stages[0].x + group * kGroupRows * kInputs, 16, kPattern),
                      right = matrix(shared.stages[0].weights, kInputs * 128, kPattern);
  const bool first_lane = threadIdx.x % 32 == 0;
  int last = 0;  // the stage that is being read
  for (int input = 0; input < inputs; input += kInputs) {
    wait(&shared.full[turn.stage], turn.parity);
    const std::uint64_t stage = turn.stage * kStage;  // added to the descriptors' addresses
    begin_products();
#pragma unroll
    for (int k = 0; k < kInputs / 16; ++k)
      multiply_async(T{}, sums, left + stage + k * kLeft, right + stage + k * kRight, input + k > 0);
    end_products();
    wait_products<1>(sums);
    if (input > 0 && first_lane) arrive(&shared.empty[last]);
    last = turn.stage;
    turn.advance();
  }
  wait_products<0>(sums);
  if (first_lane) arrive(&shared.empty[last]);
}

// For a warpgroup that has no rows in the tile.
template <typename T, int Columns>
__device__ void pass_stages(SharedOf<T, Columns>& shared, Turn<kStages<Columns>>& turn, int inputs) {
  for (int input = 0; input < inputs; input += kInputs) {
    wait(&shared.full[turn.stage], turn.parity);
    if (threadIdx.x % 32 == 0) arrive(&shared.empty[turn.stage]);
    turn.advance();
  }
}

// Stores 64 columns of a warp's 16 rows, of which `there` exist: pairs(j, half) is what the lane has of column 8 j and
// row g (half 0) or g + 8. They pass through `staged`, so that the warp writes whole lines of memory.
template <typename T, typename Pairs>
__device__ void store_rows(const Pairs& pairs, T* staged, T* out, std::size_t stride, int there) {
  const int lane = threadIdx.x % 32;
  const auto place = [&](int row, int piece) { return staged + row * kBoxColumns + (piece ^ row % 8) * 8; };
#pragma unroll
  for (int j = 0; j < 8; j += 2) {
    const std::uint32_t words[4] = {packed<T>(pairs(j, 0)), packed<T>(pairs(j, 1)), packed<T>(pairs(j + 1, 0)),
                                    packed<T>(pairs(j + 1, 1))};
    store_matrices(place(lane % 16, j + lane / 16), words);
  }
  __syncwarp();
#pragma unroll
  for (int step = 0; step < 4; ++step) {
    const int row = 4 * step + lane / 8, piece = lane % 8;
    if (row < there)
      *reinterpret_cast<uint4*>(out + row * stride + 8 * piece) = *reinterpret_cast<const uint4*>(place(row, piece));
  }
  __syncwarp();
}

#endif  // LITEFT_SM90_BODY

template <typename T, int Columns>
__global__ void __launch_bounds__(kThreads, 1)
    sm90_matmul_activate_kernel(const __grid_constant__ Sm90Activation<T> given) {
#if LITEFT_SM90_BODY
  auto& shared = *reinterpret_cast<SharedOf<T, Columns>*>(swizzled_shared());
  if (threadIdx.x == 0) {
    prefetch_map(&given.x);
    prefetch_map(&given.weights);
    for (int stage = 0; stage < kStages<Columns>; ++stage) {
      init_barrier(&shared.full[stage], 1);
      init_barrier(&shared.empty[stage], kConsumerWarps);
    }
    publish_barriers();
  }
  const int rows = *given.rows;
  __syncthreads();
  if (threadIdx.x < 128) {
    give_registers<kProducerRegisters>();
    if (threadIdx.x == 0) fill_stages<T, Columns>(given, shared, rows);
    return;
  }
  take_registers<kConsumerRegisters>();
  const int warp = threadIdx.x / 32 - 4, group = warp / 4, t = threadIdx.x % 4;
  const int column_tiles = (given.outputs + Columns - 1) / Columns;
  const int tiles = (rows + kRows - 1) / kRows * column_tiles;
  Turn<kStages<Columns>> turn;
  float sums[Columns / 2];
  for (int tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    const int row = tile / column_tiles * kRows + 16 * warp, column = tile % column_tiles * Columns;
    if (row / kGroupRows * kGroupRows >= rows) {
      pass_stages<T, Columns>(shared, turn, given.inputs);
      continue;
    }
    multiply_stages<T, Columns>(sums, shared, turn, given.inputs, group);
    with_act(given.act, [&](auto kind) {
#pragma unroll
      for (int box = 0; box < Columns / kBoxColumns; ++box) {
        const int first = column + box * kBoxColumns;
        if (first >= given.outputs) break;
        store_rows(
            [&](int j, int half) {
              const float2 bias = *reinterpret_cast<const float2*>(given.bias + first + 8 * j + 2 * t);
              const float* sum = &sums[32 * box + 4 * j + 2 * half];
              return float2{act(decltype(kind)::value, sum[0] + bias.x), act(decltype(kind)::value, sum[1] + bias.y)};
            },
            shared.out[warp], given.out + static_cast<std::size_t>(row) * given.outputs + first, given.outputs,
            rows - row);
      }
    });
  }
#else
  __trap();
#endif
}

template <typename T, int Columns>
void activate_in(const Sm90Activation<T>& given, int multiprocessors, cudaStream_t stream) {
  static_assert(sizeof(SharedOf<T, Columns>) <= 227 << 10, "more than a block may have");
  launch(sm90_matmul_activate_kernel<T, Columns>, multiprocessors, kThreads, sizeof(SharedOf<T, Columns>), stream,
         given);
}

}  // namespace

template <typename T>
CUtensorMap sm90_rows_map(const T* x, int most, int inputs) {
  return tensor_map(std::is_same_v<T, __half>, x, most, inputs, kGroupRows);
}

template <typename T>
CUtensorMap sm90_weights_map(const T* weights, int inputs, int outputs) {
  return tensor_map(std::is_same_v<T, __half>, weights, inputs, outputs, kInputs);
}

template <typename T>
void sm90_matmul_activate(const Sm90Activation<T>& given, int multiprocessors, cudaStream_t stream) {
  if (given.outputs % 192 == 0)
    activate_in<T, 192>(given, multiprocessors, stream);
  else if (given.outputs % 256 == 0)
    activate_in<T, 256>(given, multiprocessors, stream);
  else
    activate_in<T, 128>(given, multiprocessors, stream);
}

template <typename T>
void load_sm90_kernels() {
  load_kernel(sm90_matmul_activate_kernel<T, 128>, sizeof(SharedOf<T, 128>));
  load_kernel(sm90_matmul_activate_kernel<T, 192>, sizeof(SharedOf<T, 192>));
  load_kernel(sm90_matmul_activate_kernel<T, 256>, sizeof(SharedOf<T, 256>));
}

bool holds_sm90_kernels() {
#if defined(LITEFT_SM90_BUILT)
  return LITEFT_SM90_BUILT;
#else
  return false;
#endif
}

#define LITEFT_FOR(T)                                                                 \
  template CUtensorMap sm90_rows_map<T>(const T*, int, int);                          \
  template CUtensorMap sm90_weights_map<T>(const T*, int, int);                       \
  template void sm90_matmul_activate<T>(const Sm90Activation<T>&, int, cudaStream_t); \
  template void load_sm90_kernels<T>();
LITEFT_FOR(__half)
LITEFT_FOR(__nv_bfloat16)

}  // namespace liteft::cuda
