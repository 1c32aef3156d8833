// LayerNorm(x weights + bias + residual) on Hopper's tensor cores: see sm90_pipeline.cuh. A line of blocks has all
// columns of its rows, 192 each. The blocks exchange the mean and the sum of squared distances of their part of a row
// once, and combine them in the same order, so that all have the same bits.

#include "cuda/sm90_pipeline.cuh"

namespace liteft::cuda {
namespace {

constexpr int kNormColumns = 192, kNormStages = 4, kNormBoxes = kNormColumns / kBoxColumns;

template <typename T, int Wide>
struct NormShared {
  Sm90Pipeline<T, kNormColumns, kNormStages, Wide> pipeline;
  alignas(1024) T rows[kNormBoxes][kRows * kBoxColumns];  // the residual, and then what is stored
  float2 parts[Wide][kRows];                              // mean and sum of squares in each block of the line
  Barrier residual, exchanged[kConsumerWarps];
};

#if LITEFT_SM90_BODY

// The sum over the four lanes that have a row.
inline __device__ float row_sum(float x) {
  x += __shfl_xor_sync(0xffffffffu, x, 1);
  return x + __shfl_xor_sync(0xffffffffu, x, 2);
}

// Adds the residual to a warp's sums, and subtracts from those of rows g and g + 8 their mean here. Returns that mean
// and the sum of squares.
template <typename T>
__device__ void add_residual(float (&sums)[kNormColumns / 2], float2 (&parts)[2], T* box) {
  const int lane = threadIdx.x % 32;
  float total[2] = {};
#pragma unroll
  for (int block = 0; block < kNormColumns / 8; block += 2) {
    std::uint32_t words[4];
    load_matrices(words, piece_of(box + block / 8 * kRows * kBoxColumns, lane % 16, block % 8 + lane / 16));
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int half = i % 2;
      float* const sum = &sums[4 * (block + i / 2) + 2 * half];
      const float2 rest = unpacked<T>(words[i]);
      sum[0] += rest.x;
      sum[1] += rest.y;
      total[half] += sum[0] + sum[1];
    }
  }
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const float mean = row_sum(total[half]) * (1.0f / kNormColumns);
    float squares = 0.0f;
#pragma unroll
    for (int at = 0; at < kNormColumns / 8; ++at) {
      float* const sum = &sums[4 * at + 2 * half];
      sum[0] -= mean;
      sum[1] -= mean;
      squares += sum[0] * sum[0] + sum[1] * sum[1];
    }
    parts[half] = {mean, row_sum(squares)};
  }
}

// Mean and 1 / standard deviation of a whole row, from its parts.
template <int Wide>
__device__ float2 combined(const float2 (&parts)[Wide][kRows], int row, float epsilon) {
  float mean = 0.0f, squares = 0.0f;
#pragma unroll
  for (int place = 0; place < Wide; ++place) mean += parts[place][row].x * (1.0f / Wide);
#pragma unroll
  for (int place = 0; place < Wide; ++place) {
    const float2 part = parts[place][row];
    squares += part.y + kNormColumns * (part.x - mean) * (part.x - mean);
  }
  return {mean, rsqrtf(squares * (1.0f / (Wide * kNormColumns)) + epsilon)};
}

#endif  // LITEFT_SM90_BODY

template <typename T, int Wide>
__global__ void __launch_bounds__(kSm90Threads, 1)
    sm90_matmul_layer_norm_kernel(const __grid_constant__ Sm90LayerNorm<T> given) {
#if LITEFT_SM90_BODY
  using Pipeline = decltype(NormShared<T, Wide>::pipeline);
  const Sm90Product<T>& product = given.product;
  auto& shared = *reinterpret_cast<NormShared<T, Wide>*>(swizzled_shared());
  if (threadIdx.x == 0) {
    prefetch_map(&product.x);
    prefetch_map(&product.weights);
    prefetch_map(&given.residual);
    init_pipeline(shared.pipeline);
    init_barrier(&shared.residual, 1);
    for (Barrier& barrier : shared.exchanged) init_barrier(&barrier, 1);
    publish_barriers();
  }
  meet_cluster();
  wait_for_inputs();
  const int rows = *product.rows;
  if (threadIdx.x < 128) {
    give_registers<kProducerRegisters>();
    const auto copy_residual = [&](int row, int column, int groups) {
      if (groups == 0) return;
      arrive_expecting(&shared.residual, static_cast<int>(groups * kGroupRows * kNormColumns * sizeof(T)));
      for (int part = 0; part < groups * (kGroupRows / kBoxRows); ++part) {
#pragma unroll
        for (int box = 0; box < kNormBoxes; ++box)
          copy_box(shared.rows[box] + part * kBoxValues, &given.residual, column + box * kBoxColumns,
                   row + part * kBoxRows, &shared.residual);
      }
    };
    if (threadIdx.x == 0) fill_stages(product, shared.pipeline, rows, copy_residual);
  } else {
    take_registers<kConsumerRegisters>();
    const int warp = threadIdx.x / 32 - 4, group = warp / 4, lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    T* const box = shared.rows[0] + 16 * warp * kBoxColumns;  // of the first 64 columns
    Turn<kNormStages> turn;
    int tiles = 0;  // with rows of this warpgroup, which are the first ones
    for (Tiles<Pipeline> tile(rows, product.outputs); tile.left(); tile.advance()) {
      if (tile.row() + group * kGroupRows >= rows) {
        pass_stages(shared.pipeline, tile, turn, product.inputs);
        continue;
      }
      float sums[kNormColumns / 2];
      // The bias comes first, while the first stage is on its way.
#pragma unroll
      for (int at = 0; at < kNormColumns / 8; ++at) {
        const float2 bias = *reinterpret_cast<const float2*>(product.bias + tile.column() + 8 * at + 2 * t);
        sums[4 * at] = sums[4 * at + 2] = bias.x;
        sums[4 * at + 1] = sums[4 * at + 3] = bias.y;
      }
      multiply_stages<0, true, T>(sums, shared.pipeline, tile, turn, product.inputs, group, [](int) {});
      wait(&shared.residual, tiles % 2);
      float2 mine[2];
      add_residual<T>(sums, mine, box);

      // To all blocks of the line, of which this block is one. They have read what is there: a tile has more stages
      // than the pipeline, and the last ones came after all warps of the line had begun to multiply this tile.
      Barrier* const exchanged = &shared.exchanged[warp];
      if (lane == 0) arrive_expecting(exchanged, static_cast<int>(Wide * 16 * sizeof(float2)));
      if (t < Wide) {
#pragma unroll
        for (int half = 0; half < 2; ++half)
          store_in(tile.number(tile.line(), t), &shared.parts[tile.place()][16 * warp + g + 8 * half], mine[half],
                   exchanged);
      }
      wait_for_cluster(exchanged, tiles % 2);
      float inverse[2], shifted[2];  // what centers and scales a row as a whole
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const float2 whole = combined<Wide>(shared.parts, 16 * warp + g + 8 * half, given.epsilon);
        inverse[half] = whole.y, shifted[half] = (mine[half].x - whole.x) * whole.y;
      }
      const int row = tile.row() + 16 * warp;
      T* const out = product.out + static_cast<std::size_t>(row) * product.outputs + tile.column();
#pragma unroll
      for (int at = 0; at < kNormBoxes; ++at) {
        T* const staged = box + at * kRows * kBoxColumns;
        const int column = tile.column() + at * kBoxColumns + 2 * t;
#pragma unroll
        for (int j = 0; j < 8; j += 2) {
          put_columns<T>(
              [&](int next, int half) {
                const float2 scale = *reinterpret_cast<const float2*>(given.gamma + column + 8 * (j + next)),
                             shift = *reinterpret_cast<const float2*>(given.beta + column + 8 * (j + next));
                const float* const sum = &sums[32 * at + 4 * (j + next) + 2 * half];
                return float2{(sum[0] * inverse[half] + shifted[half]) * scale.x + shift.x,
                              (sum[1] * inverse[half] + shifted[half]) * scale.y + shift.y};
              },
              staged, j);
        }
        store_box(staged, out + at * kBoxColumns, product.outputs, rows - row);
      }
      pass_to_copies();
      ++tiles;
    }
  }
  meet_cluster();
#else
  __trap();
#endif
}

// Calls body(kernel, type of its shared memory) for the kernel of a width.
template <typename T, typename Body>
void with_kernel(int width, const Body& body) {
  if (width == 2 * kNormColumns)
    body(sm90_matmul_layer_norm_kernel<T, 2>, SharedOf<NormShared<T, 2>>{});
  else
    body(sm90_matmul_layer_norm_kernel<T, 4>, SharedOf<NormShared<T, 4>>{});
}

}  // namespace

bool sm90_norms(int inputs, int width) {
  return (width == 2 * kNormColumns || width == 4 * kNormColumns) && inputs > kNormStages * kInputs;
}

template <typename T>
void sm90_matmul_layer_norm(const Sm90LayerNorm<T>& given, int multiprocessors, cudaStream_t stream) {
  with_kernel<T>(given.product.outputs, [&](auto kernel, auto shared) {
    launch_sm90<typename decltype(shared)::type>(kernel, given, multiprocessors, stream);
  });
}

template <typename T>
void load_sm90_layer_norm() {
  for (const int width : {2 * kNormColumns, 4 * kNormColumns}) {
    with_kernel<T>(width, [](auto kernel, auto shared) { load_sm90<typename decltype(shared)::type>(kernel); });
  }
}

#define LITEFT_FOR(T)                                                                  \
  template void sm90_matmul_layer_norm<T>(const Sm90LayerNorm<T>&, int, cudaStream_t); \
  template void load_sm90_layer_norm<T>();
LITEFT_FOR(__half)
LITEFT_FOR(__nv_bfloat16)

}  // namespace liteft::cuda
