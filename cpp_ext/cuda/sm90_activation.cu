// act(x weights + bias) on Hopper's tensor cores: see sm90_pipeline.cuh. Warps activate and store a tile while the
// tensor cores multiply the next one.

#include "cuda/activations.cuh"
#include "cuda/sm90_pipeline.cuh"

namespace liteft::cuda {
namespace {

template <typename T, int Columns, int Wide>
struct ActivationShared {
  Sm90Pipeline<T, Columns, Columns == 128 ? 6 : 5, Wide> pipeline;  // the most stages that fit into 227 KB
  alignas(1024) T out[kConsumerWarps][16 * kBoxColumns];            // rows that a warp stores
};

template <typename T, int Columns, int Wide, Act kind>
__global__ void __launch_bounds__(kSm90Threads, 1)
    sm90_matmul_activate_kernel(const __grid_constant__ Sm90Product<T> given) {
#if LITEFT_SM90_BODY
  using Pipeline = decltype(ActivationShared<T, Columns, Wide>::pipeline);
  auto& shared = *reinterpret_cast<ActivationShared<T, Columns, Wide>*>(swizzled_shared());
  Pipeline& pipeline = shared.pipeline;
  if (threadIdx.x == 0) {
    prefetch_map(&given.x);
    prefetch_map(&given.weights);
    init_pipeline(pipeline);
    publish_barriers();
  }
  meet_cluster();
  wait_for_inputs();
  const int rows = *given.rows;
  if (threadIdx.x < 128) {
    give_registers<kProducerRegisters>();
    if (threadIdx.x == 0) fill_stages(given, pipeline, rows, [](int, int, int) {});
  } else {
    take_registers<kConsumerRegisters>();
    constexpr int kParts = Columns / 32;
    const int warp = threadIdx.x / 32 - 4, group = warp / 4, t = threadIdx.x % 4;
    Turn<Pipeline::kStages> turn;
    float sums[Columns / 2], done[Columns / 2] = {};  // of this tile, and of the one before
    int row = 0, column = 0, there = 0;               // of the one before; no rows of it at the start
    // Activates 32 columns of the tile before, and stores them with the 32 ahead of them.
    const auto activate_part = [&](int part) {
      const int box = part / 2, half_box = part % 2, first = column + box * kBoxColumns;
      const bool exists = Columns % 128 || first < given.outputs;  // tiles of 192 columns are whole
      const float* const bias = given.bias + (exists ? first : 0) + 32 * half_box + 2 * t;
#pragma unroll
      for (int j = 0; j < 4; j += 2) {
        put_columns<T>(
            [&](int next, int half) {
              const float2 add = *reinterpret_cast<const float2*>(bias + 8 * (j + next));
              const float* const sum = &done[32 * box + 4 * (4 * half_box + j + next) + 2 * half];
              return float2{act(kind, sum[0] + add.x), act(kind, sum[1] + add.y)};
            },
            shared.out[warp], 4 * half_box + j);
      }
      if (half_box == 1)
        store_box(shared.out[warp], given.out + static_cast<std::size_t>(row) * given.outputs + first, given.outputs,
                  exists ? there : 0);
    };
    for (Tiles<Pipeline> tile(rows, given.outputs); tile.left(); tile.advance()) {
      if (tile.row() + group * kGroupRows >= rows) {
        pass_stages(pipeline, tile, turn, given.inputs);
        continue;
      }
      multiply_stages<kParts, false, T>(sums, pipeline, tile, turn, given.inputs, group, activate_part);
#pragma unroll
      for (int i = 0; i < Columns / 2; ++i) done[i] = sums[i];
      row = tile.row() + 16 * warp, column = tile.column(), there = rows - row;
    }
#pragma unroll
    for (int part = 0; part < kParts; ++part) activate_part(part);
  }
  meet_cluster();
#else
  __trap();
#endif
}

// Calls body(kernel, type of its shared memory) for a kernel of tiles that fit the outputs.
template <typename T, Act kind, typename Body>
void with_kernel(int outputs, const Body& body) {
  if (outputs % 384 == 0)
    body(sm90_matmul_activate_kernel<T, 192, 2, kind>, SharedOf<ActivationShared<T, 192, 2>>{});
  else
    body(sm90_matmul_activate_kernel<T, 128, 1, kind>, SharedOf<ActivationShared<T, 128, 1>>{});
}

}  // namespace

bool holds_sm90_kernels() {
#if defined(LITEFT_SM90_BUILT)
  return LITEFT_SM90_BUILT;
#else
  return false;
#endif
}

template <typename T>
void sm90_matmul_activate(const Sm90Product<T>& given, Act act, int multiprocessors, cudaStream_t stream) {
  with_act(act, [&](auto kind) {
    with_kernel<T, kind()>(given.outputs, [&](auto kernel, auto shared) {
      launch_sm90<typename decltype(shared)::type>(kernel, given, multiprocessors, stream);
    });
  });
}

template <typename T>
void load_sm90_activation() {
  for (const Act act : kActs) {
    for (const int outputs : {128, 384}) {
      with_act(act, [&](auto kind) {
        with_kernel<T, kind()>(outputs,
                               [](auto kernel, auto shared) { load_sm90<typename decltype(shared)::type>(kernel); });
      });
    }
  }
}

#define LITEFT_FOR(T)                                                                   \
  template void sm90_matmul_activate<T>(const Sm90Product<T>&, Act, int, cudaStream_t); \
  template void load_sm90_activation<T>();
LITEFT_FOR(__half)
LITEFT_FOR(__nv_bfloat16)

}  // namespace liteft::cuda
