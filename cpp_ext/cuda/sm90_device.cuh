// What only Hopper has (sm_90a): clusters of blocks that reach each other's shared memory, barriers there, copies of
// boxes of a tensor by the copy engine (TMA), products of warpgroups (wgmma), registers that warps pass on.
// tests/emulator replaces this file, as device.cuh.
//
// Facts of the PTX manual that the kernels rely on:
//
// - 128-byte swizzle: of an address in shared memory, bits 4-6 are XORed with bits 7-9. So rows of 128 bytes that
//   start at a multiple of 1,024 have their 16-byte pieces permuted, each of eight rows in another way. The copy engine
//   writes boxes that way, and wgmma reads them that way.
// - A matrix descriptor has 64 bits. 0-13: address / 16; 16-29: leading offset / 16; 32-45: stride offset / 16; 49-51:
//   base offset, 0 where the pattern starts at a multiple of 1,024; 62-63: 1 for the 128-byte swizzle.
// - K-major (a row of 64 inputs is 128 bytes): the stride offset leads from 8 rows to the next 8; the leading offset is
//   not used. MN-major (64 rows or columns of the matrix for one input are 128 bytes): the stride offset leads from 8
//   inputs to the next 8, the leading offset from 64 columns to the next 64.
// - A product of 16 inputs starts at an address within the pattern: K-major 32 bytes after the one before it,
//   MN-major 2,048.
// - Sums of m64nNk16: lane l of warp w has, with g = l / 4 and t = l % 4, d[4 j] and d[4 j + 1] in columns 8 j + 2 t
//   and the next of row 16 w + g, d[4 j + 2] and d[4 j + 3] in the same columns of row 16 w + g + 8.
// - A barrier's phase ends when all arrivals have come and all bytes that were announced have been copied. Waiting with
//   parity p returns once the phase of parity p has ended; the first phase has parity 0, and the one before counts as
//   ended. Bytes may be copied before they are announced, if an arrival of the same phase is still to come.
// - The copy engine can write a box to the same place of several blocks of a cluster; it completes at the barrier that
//   each of them has in the same place.
// - A block may not end while others of its cluster still reach its shared memory.

#pragma once

#include <cuda.h>

#include "cuda/device.cuh"

// Architectures other than sm_90a compile kernels without their bodies: nobody launches them there.
#if !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define LITEFT_SM90_BODY 1
#else
#define LITEFT_SM90_BODY 0
#endif

namespace liteft::cuda {

struct Barrier {
  std::uint64_t word;
};

// A launch in clusters of `blocks` blocks along x, and its attributes.
struct ClusterLaunch {
  cudaLaunchConfig_t how{};
  cudaLaunchAttribute attributes[2] = {};

  ClusterLaunch(unsigned blocks, unsigned grid, unsigned block, std::size_t shared, cudaStream_t stream, bool early) {
    attributes[0].id = cudaLaunchAttributeClusterDimension;
    attributes[0].val.clusterDim.x = blocks;
    attributes[0].val.clusterDim.y = attributes[0].val.clusterDim.z = 1;
    attributes[1].id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attributes[1].val.programmaticStreamSerializationAllowed = 1;
    how.gridDim = grid, how.blockDim = block, how.dynamicSmemBytes = shared, how.stream = stream;
    how.attrs = attributes, how.numAttrs = early ? 2 : 1;
  }
};

// launch_early in clusters of `blocks` blocks: `grid` is a multiple of it, and the number of a block in its cluster is
// blockIdx.x % blocks.
template <typename... Parameters, typename... Arguments>
void launch_clusters(void (*kernel)(Parameters...), unsigned blocks, unsigned grid, unsigned block, std::size_t shared,
                     cudaStream_t stream, const Arguments&... arguments) {
  const void* const function = reinterpret_cast<const void*>(kernel);
  const ClusterLaunch made(blocks, grid, block, shared, stream, may_overlap(function));
  [&](Parameters... exact) {
    void* places[] = {static_cast<void*>(&exact)...};
    check(cudaLaunchKernelExC(&made.how, function, places), "starting a kernel");
  }(arguments...);
}

// How many clusters the current device can run at once.
template <typename... Parameters>
int most_clusters(void (*kernel)(Parameters...), unsigned blocks, unsigned block, std::size_t shared) {
  const ClusterLaunch made(blocks, blocks, block, shared, nullptr, false);
  int most = 0;
  check(cudaOccupancyMaxActiveClusters(&most, reinterpret_cast<const void*>(kernel), &made.how), "asking for clusters");
  return most;
}

#if LITEFT_SM90_BODY

inline __device__ std::uint32_t shared_address(const void* shared) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(shared));
}

// The dynamic shared memory of the launch, from a multiple of 1,024 on.
inline __device__ char* swizzled_shared() {
  extern __shared__ __align__(1024) char swizzled[];
  return swizzled;
}

// All threads of all blocks of the cluster come here. Of what they did before, only published barriers are certain to
// be seen by the others.
inline __device__ void meet_cluster() {
  asm volatile("barrier.cluster.arrive.relaxed;\nbarrier.cluster.wait.acquire;" ::: "memory");
}
// The address in a block of the cluster of what is `shared` in this one.
inline __device__ std::uint32_t address_in(int block, const void* shared) {
  std::uint32_t address;
  asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(address) : "r"(shared_address(shared)), "r"(block));
  return address;
}

inline __device__ void init_barrier(Barrier* barrier, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(arrivals) : "memory");
}
// By the thread that has made barriers, before the block's threads meet: the copy engine sees them.
inline __device__ void publish_barriers() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}
inline __device__ void arrive(Barrier* barrier) {
  asm volatile("mbarrier.arrive.release.cta.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier)) : "memory");
}
// At the barrier of a block of the cluster. It tells other blocks no more than that products have read their operands:
// a release to all of the cluster would wait for every store of this thread.
inline __device__ void arrive_in(int block, Barrier* barrier) {
  asm volatile("mbarrier.arrive.release.cta.shared::cluster.b64 _, [%0];" ::"r"(address_in(block, barrier)) : "memory");
}
// Stores to a block of the cluster, and completes 8 bytes at its barrier, some time later.
inline __device__ void store_in(int block, float2* shared, float2 value, Barrier* barrier) {
  asm volatile("st.async.shared::cluster.mbarrier::complete_tx::bytes.v2.f32 [%0], {%1, %2}, [%3];" ::"r"(
                   address_in(block, shared)),
               "f"(value.x), "f"(value.y), "r"(address_in(block, barrier))
               : "memory");
}
// Arrives, and announces bytes that will be copied in this phase.
inline __device__ void arrive_expecting(Barrier* barrier, int bytes) {
  asm volatile("mbarrier.arrive.expect_tx.release.cta.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)),
               "r"(bytes)
               : "memory");
}
#define LITEFT_WAIT(name, scope)                                   \
  inline __device__ void name(Barrier* barrier, unsigned parity) { \
    asm volatile(                                                  \
        "{\n.reg .pred ended;\nagain:\n"                           \
        "mbarrier.try_wait.parity.acquire." scope                  \
        ".shared::cta.b64 ended, [%0], %1;\n"                      \
        "@!ended bra again;\n}" ::"r"(shared_address(barrier)),    \
        "r"(parity)                                                \
        : "memory");                                               \
  }
LITEFT_WAIT(wait, "cta")
LITEFT_WAIT(wait_for_cluster, "cluster")  // for what other blocks have stored
#undef LITEFT_WAIT

inline __device__ void prefetch_map(const CUtensorMap* map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory");
}
// Starts to copy the map's box at (row, column) to shared memory; zeros for what lies beyond the tensor. Completes at
// the barrier.
inline __device__ void copy_box(void* shared, const CUtensorMap* map, int column, int row, Barrier* barrier) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];" ::
          "r"(shared_address(shared)),
      "l"(map), "r"(column), "r"(row), "r"(shared_address(barrier))
      : "memory");
}

// The same for blocks of the cluster, those whose bits are set.
inline __device__ void copy_box(unsigned blocks, void* shared, const CUtensorMap* map, int column, int row,
                                Barrier* barrier) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.multicast::cluster [%0], "
      "[%1, {%2, %3}], [%4], %5;" ::"r"(shared_address(shared)),
      "l"(map), "r"(column), "r"(row), "r"(shared_address(barrier)), "h"(static_cast<std::uint16_t>(blocks))
      : "memory");
}
// Before this thread lets the copy engine overwrite shared memory that it has used itself.
inline __device__ void pass_to_copies() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

// Makes registers of this warpgroup available to others, or takes some that others gave. Count: of a thread.
template <int Count>
__device__ void give_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(Count));
}
template <int Count>
__device__ void take_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(Count));
}

// The descriptor of a matrix in shared memory with 128-byte swizzle; offsets in bytes.
inline __device__ std::uint64_t matrix(const void* shared, int leading, int stride) {
  return static_cast<std::uint64_t>((shared_address(shared) & 0x3ffff) >> 4) |
         static_cast<std::uint64_t>(leading >> 4) << 16 | static_cast<std::uint64_t>(stride >> 4) << 32 | 1ull << 62;
}

// Before the first product of a group, and after the sums were read or written.
inline __device__ void begin_products() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
inline __device__ void end_products() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
// Waits until at most the `Left` most recent groups are incomplete.
template <int Left, int Count>
__device__ void wait_products(float (&sums)[Count]) {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(Left) : "memory");
#pragma unroll
  for (int i = 0; i < Count; ++i) asm volatile("" : "+f"(sums[i])::"memory");  // not read before
}

#define LITEFT_SUMS8(d, i)                                                                                    \
  "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]), "+f"(d[i + 6]), \
      "+f"(d[i + 7])
#define LITEFT_SUMS32(d, i) LITEFT_SUMS8(d, i), LITEFT_SUMS8(d, i + 8), LITEFT_SUMS8(d, i + 16), LITEFT_SUMS8(d, i + 24)
#define LITEFT_PLACES0                                                                                                 \
  "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30," \
  "%31"
#define LITEFT_PLACES32                                                                                               \
  ",%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59," \
  "%60,%61,%62,%63"
#define LITEFT_PLACES64                                                                                               \
  ",%64,%65,%66,%67,%68,%69,%70,%71,%72,%73,%74,%75,%76,%77,%78,%79,%80,%81,%82,%83,%84,%85,%86,%87,%88,%89,%90,%91," \
  "%92,%93,%94,%95"
#define LITEFT_PLACES96                                                                                              \
  ",%96,%97,%98,%99,%100,%101,%102,%103,%104,%105,%106,%107,%108,%109,%110,%111,%112,%113,%114,%115,%116,%117,%118," \
  "%119,%120,%121,%122,%123,%124,%125,%126,%127"

// sums += a b for a (64, 16) K-major and b (16, N) MN-major, both in shared memory; the sums start from 0 if `add` is
// false. By all threads of a warpgroup; sums are not to be touched until wait_products.
#define LITEFT_PRODUCT(T, type, N, places, a, b, add, ...)                                                         \
  inline __device__ void multiply_async(T, float (&d)[N / 2], std::uint64_t left, std::uint64_t right, bool sum) { \
    asm volatile("{\n.reg .pred sum;\nsetp.ne.b32 sum, " add                                                       \
                 ", 0;\n"                                                                                          \
                 "wgmma.mma_async.sync.aligned.m64n" #N "k16.f32." type "." type " {" places "}, " a ", " b        \
                 ", sum, 1, 1, 0, 1;\n}"                                                                           \
                 : __VA_ARGS__                                                                                     \
                 : "l"(left), "l"(right), "r"(static_cast<int>(sum)));                                             \
  }
#define LITEFT_PRODUCTS(T, type)                                                                                       \
  LITEFT_PRODUCT(T, type, 64, LITEFT_PLACES0, "%32", "%33", "%34", LITEFT_SUMS32(d, 0))                                \
  LITEFT_PRODUCT(T, type, 128, LITEFT_PLACES0 LITEFT_PLACES32, "%64", "%65", "%66", LITEFT_SUMS32(d, 0),               \
                 LITEFT_SUMS32(d, 32))                                                                                 \
  LITEFT_PRODUCT(T, type, 192, LITEFT_PLACES0 LITEFT_PLACES32 LITEFT_PLACES64, "%96", "%97", "%98",                    \
                 LITEFT_SUMS32(d, 0), LITEFT_SUMS32(d, 32), LITEFT_SUMS32(d, 64))                                      \
  LITEFT_PRODUCT(T, type, 256, LITEFT_PLACES0 LITEFT_PLACES32 LITEFT_PLACES64 LITEFT_PLACES96, "%128", "%129", "%130", \
                 LITEFT_SUMS32(d, 0), LITEFT_SUMS32(d, 32), LITEFT_SUMS32(d, 64), LITEFT_SUMS32(d, 96))
LITEFT_PRODUCTS(__half, "f16")
LITEFT_PRODUCTS(__nv_bfloat16, "bf16")
#undef LITEFT_PRODUCTS
#undef LITEFT_PRODUCT
#undef LITEFT_PLACES96
#undef LITEFT_PLACES64
#undef LITEFT_PLACES32
#undef LITEFT_PLACES0
#undef LITEFT_SUMS32
#undef LITEFT_SUMS8

// Four 8 x 8 matrices of 16-bit values to shared memory, as load_matrices reads them: lane l gives the address of row
// l % 8 of matrix l / 8, and columns 2 (l % 4) and the next of row l / 4 of each.
inline __device__ void store_matrices(void* row, const std::uint32_t (&in)[4]) {
  asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1,%2,%3,%4};" ::"r"(shared_address(row)), "r"(in[0]),
               "r"(in[1]), "r"(in[2]), "r"(in[3])
               : "memory");
}

#endif  // LITEFT_SM90_BODY

}  // namespace liteft::cuda
