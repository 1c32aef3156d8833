// Hopper's barriers, copy engine and products of warpgroups. Layouts, alignments and limits are those of the PTX
// manual, and of the driver's manual for tensor maps; cuda/sm90_device.cuh states what the kernels rely on.

#include "tests/emulator/sm90.h"

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <deque>
#include <map>
#include <vector>

#include "tests/emulator/emulator.h"

namespace liteft::emulator {
namespace {

#if defined(__x86_64__)
#define LITEFT_WIDE __attribute__((target_clones("avx2", "default")))
#else
#define LITEFT_WIDE
#endif

constexpr std::uint64_t kBarrierMark = 0x6c66'7462'0000'0000ull, kMapMark = 0x6c66'746d'6170'0000ull;

// In the word of a barrier is its number among these.
struct BarrierState {
  void* word;
  int arrivals, pending, maker;
  long bytes = 0;
  unsigned parity = 0;
  bool published = false;
};
std::vector<BarrierState> barriers;

// What a tensor map holds here.
struct Map {
  std::uint64_t mark;
  char* memory;
  std::uint64_t columns, rows, stride;  // stride in bytes
  std::uint32_t box_columns, box_rows, value_bytes, unused;
};
static_assert(sizeof(Map) <= sizeof(CUtensorMap));

struct BoxCopy {
  char *shared, *to;  // the shared memory that it goes to, and the place there
  Map map;
  int column, row, barrier;
};
std::vector<BoxCopy> copies;  // on their way
struct RemoteStore {
  char* to;
  std::uint64_t word;
  int barrier;
};
std::vector<RemoteStore> remote_stores;  // on their way
bool stores_come_last = false;           // after all boxes

struct Product {
  bool half, read = false;
  int columns;
  std::uint64_t left, right;
  float* sums;              // of the first lane: names the registers
  std::vector<float> a, b;  // (16, 16) and (16, columns), once they are read
};
// Registers that products in flight write.
struct Sums {
  float* of_lane[32];
  std::vector<float> values;  // (16, columns)
  int columns, in_flight = 0;
};
// A word that stmatrix stores: other lanes see it after __syncwarp.
struct Store {
  char* to;
  std::uint32_t word;
};
struct WarpState {
  std::vector<Store> stores;
  std::vector<Product> open;
  std::deque<std::vector<Product>> groups;
  std::map<float*, Sums> sums;
  bool fenced = false;
  std::uint64_t history = 0;  // a hash of all products so far
  int registers = 0;
};
std::vector<WarpState> warps;
int warps_of_a_block = 1;

std::size_t offset_of(const void* shared) { return static_cast<const char*>(shared) - shared_memory(); }
std::size_t swizzled(std::size_t offset) { return offset ^ (offset >> 7 & 7) << 4; }

BarrierState& barrier_at(void* barrier, const Location& where) {
  std::uint64_t word = 0;
  std::memcpy(&word, barrier, sizeof word);
  const std::uint64_t number = word ^ kBarrierMark;
  if (number >= barriers.size() || barriers[number].word != barrier) {
    fault("line %u: a barrier that was not made, or was written over, at %zu of shared memory", where.line(),
          offset_of(barrier));
  }
  return barriers[number];
}

void end_phase_if_complete(BarrierState& barrier) {
  if (barrier.pending || barrier.bytes) return;
  barrier.parity ^= 1;
  barrier.pending = barrier.arrivals;
}

void copy_now(const BoxCopy& copy) {
  const Map& map = copy.map;
  const std::size_t start = copy.to - copy.shared, row_bytes = map.box_columns * map.value_bytes;
  if (!is_device(map.memory, map.stride * (map.rows - 1) + map.columns * map.value_bytes))
    fault("a tensor map of memory that is no longer there");
  for (std::uint32_t row = 0; row < map.box_rows; ++row) {
    for (std::uint32_t piece = 0; piece < row_bytes / 16; ++piece) {
      char values[16] = {};
      const long from_row = static_cast<long>(copy.row) + row;
      for (std::uint32_t i = 0; i < 16; i += map.value_bytes) {
        const long column = static_cast<long>(copy.column) + (16 * piece + i) / map.value_bytes;
        if (from_row < 0 || from_row >= static_cast<long>(map.rows) || column < 0 ||
            column >= static_cast<long>(map.columns))
          continue;
        std::memcpy(values + i, map.memory + from_row * map.stride + column * map.value_bytes, map.value_bytes);
      }
      std::memcpy(copy.shared + swizzled(start + row * row_bytes + 16 * piece), values, 16);
    }
  }
  BarrierState& barrier = barriers[copy.barrier];
  barrier.bytes -= static_cast<long>(row_bytes * map.box_rows);
  end_phase_if_complete(barrier);
}

void store_now(const RemoteStore& store) {
  std::memcpy(store.to, &store.word, sizeof store.word);
  BarrierState& barrier = barriers[store.barrier];
  barrier.bytes -= sizeof store.word;
  end_phase_if_complete(barrier);
}

// What a thread calls `shared`, in the shared memory of another block of its cluster.
char* place_in(int block, const void* shared, const Location& where) {
  return shared_memory_of(block, where) + offset_of(shared);
}

float value_of(bool half, std::size_t offset) {
  std::uint16_t bits;
  std::memcpy(&bits, shared_memory() + swizzled(offset), 2);
  static const float* const halves = half_values();
  return half ? halves[bits] : std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

struct Descriptor {
  std::size_t start, leading, stride;
};

Descriptor decoded(std::uint64_t descriptor) {
  const Descriptor made{(descriptor & 0x3fff) << 4, (descriptor >> 16 & 0x3fff) << 4, (descriptor >> 32 & 0x3fff) << 4};
  constexpr std::uint64_t kUsed = 0x3fffull | 0x3fffull << 16 | 0x3fffull << 32 | 3ull << 62;
  if (descriptor & ~kUsed || descriptor >> 62 != 1)
    fault("a matrix descriptor with other bits than those of the 128-byte swizzle from a multiple of 1,024 on");
  if (made.start >> 7 & 7) fault("a matrix that starts within the rows of a swizzle's pattern, at %zu", made.start);
  return made;
}

void check_within(std::size_t last, const char* what) {
  if (last + 2 > shared_bytes()) fault("%s of a product lies beyond shared memory, at %zu", what, last);
}

// The warp's operands: 16 of the 64 rows of a, all of b.
void read_operands(Product& product, int quarter) {
  const Descriptor left = decoded(product.left), right = decoded(product.right);
  const std::size_t within = left.start & 127, across = right.start & 127;
  if (within + 32 > 128) fault("16 inputs that are not within 128 bytes, at %zu", left.start);
  if (across) fault("columns that do not start at a multiple of 64, at %zu", right.start);
  check_within(left.start + 7 * left.stride + 7 * 128 + 30, "the left matrix");
  check_within(right.start + (product.columns - 1) / 64 * right.leading + right.stride + 7 * 128 + 126,
               "the right matrix");
  product.a.resize(16 * 16);
  product.b.resize(16 * product.columns);
  for (int row = 0; row < 16; ++row) {
    const int from = 16 * quarter + row;
    for (int k = 0; k < 16; ++k)
      product.a[16 * row + k] = value_of(product.half, left.start + from / 8 * left.stride + from % 8 * 128 + 2 * k);
  }
  for (int k = 0; k < 16; ++k) {
    for (int column = 0; column < product.columns; ++column)
      product.b[k * product.columns + column] =
          value_of(product.half,
                   right.start + column / 64 * right.leading + k / 8 * right.stride + k % 8 * 128 + column % 64 * 2);
  }
  product.read = true;
}

LITEFT_WIDE void add_row(float* sums, const float* row, float factor, int count) {
  for (int i = 0; i < count; ++i) sums[i] += factor * row[i];
}

// Where a lane's value i is in (16, columns).
int place_of(int lane, int i, int columns) {
  const int row = lane / 4 + i / 2 % 2 * 8, column = i / 4 * 8 + lane % 4 * 2 + i % 2;
  return row * columns + column;
}

void finish(WarpState& warp, Product& product, int quarter) {
  if (!product.read) read_operands(product, quarter);
  Sums& sums = warp.sums.at(product.sums);
  for (int row = 0; row < 16; ++row) {
    for (int k = 0; k < 16; ++k)
      add_row(&sums.values[row * product.columns], &product.b[k * product.columns], product.a[16 * row + k],
              product.columns);
  }
  if (--sums.in_flight) return;
  for (int lane = 0; lane < 32; ++lane) {
    for (int i = 0; i < sums.columns / 2; ++i) sums.of_lane[lane][i] = sums.values[place_of(lane, i, sums.columns)];
  }
  warp.sums.erase(product.sums);
  warp.fenced = false;
}

struct Asked {
  Product product;
  float* sums;
  bool add;
};

void start(void* const (&brought)[32]) {
  const int number = thread_number() / 32;
  WarpState& warp = warps[number];
  const Asked& first = *static_cast<const Asked*>(brought[0]);
  Product product = first.product;
  for (const void* each : brought) {
    const Asked& other = *static_cast<const Asked*>(each);
    if (other.product.left != product.left || other.product.right != product.right || other.add != first.add)
      fault("lanes of a warp ask for different products");
  }
  for (const std::uint64_t part : {product.left, product.right, static_cast<std::uint64_t>(first.add)})
    warp.history = (warp.history ^ part) * 0x9e3779b97f4a7c15ull + 1;
  auto [found, is_new] = warp.sums.try_emplace(product.sums);
  Sums& sums = found->second;
  if (is_new) {
    if (!warp.fenced) fault("a product without wgmma.fence since its registers were last touched");
    sums.columns = product.columns;
    sums.values.assign(16 * product.columns, 0.0f);
    for (int lane = 0; lane < 32; ++lane) {
      sums.of_lane[lane] = static_cast<const Asked*>(brought[lane])->sums;
      for (int i = 0; i < product.columns / 2; ++i) {
        float& mine = sums.of_lane[lane][i];
        if (first.add) sums.values[place_of(lane, i, product.columns)] = mine;
        mine = std::bit_cast<float>(0xffffffffu);
      }
    }
  } else if (!first.add || sums.columns != product.columns) {
    fault("products in flight disagree on their sums");
  }
  ++sums.in_flight;
  if (random_below(4) == 0) read_operands(product, number % 4);
  warp.open.push_back(std::move(product));
}

}  // namespace

void init_barrier(void* barrier, int arrivals, const Location& where) {
  const std::size_t offset = offset_of(barrier);
  if (offset % 8 || offset + 8 > shared_bytes()) fault("line %u: a barrier in a wrong place", where.line());
  const std::uint64_t word = kBarrierMark ^ barriers.size();
  std::memcpy(barrier, &word, sizeof word);
  barriers.push_back({barrier, arrivals, arrivals, thread_number()});
}

void publish_barriers() {
  for (BarrierState& barrier : barriers) barrier.published |= barrier.maker == thread_number();
}

void arrive(void* barrier, int bytes, const Location& where) {
  BarrierState& it = barrier_at(barrier, where);
  if (bytes && offset_of(barrier) >= shared_bytes()) fault("line %u: bytes announced to another block", where.line());
  if (!it.pending) fault("line %u: more arrivals than a barrier expects", where.line());
  it.bytes += bytes;
  --it.pending;
  end_phase_if_complete(it);
}

void wait(void* barrier, unsigned parity, const Location& where) {
  BarrierState& it = barrier_at(barrier, where);
  const std::size_t number = &it - barriers.data();
  const std::function<bool()> ended = [number, parity] { return barriers[number].parity != (parity & 1); };
  if (!ended()) wait_until(ended, "a barrier in shared memory", where);
}

void arrive_in(int block, void* barrier, const Location& where) { arrive(place_in(block, barrier, where), 0, where); }

void store_in(int block, void* shared, std::uint64_t word, void* barrier, const Location& where) {
  RemoteStore store{place_in(block, shared, where), word, 0};
  if (offset_of(shared) % 8 || offset_of(shared) + 8 > shared_bytes())
    fault("line %u: a store to another block in a wrong place", where.line());
  BarrierState& it = barrier_at(place_in(block, barrier, where), where);
  if (!it.published) fault("line %u: a store with a barrier that was not published", where.line());
  store.barrier = static_cast<int>(&it - barriers.data());
  std::memset(store.to, 0xff, sizeof store.word);
  if (random_below(4) == 0)
    store_now(store);
  else
    remote_stores.push_back(store);
}

namespace {

// To the place in `memory`, the shared memory of a block, that `shared` is in the asking block's.
void copy_to(char* memory, void* shared, const CUtensorMap* map, int column, int row, void* barrier,
             const Location& where) {
  BoxCopy copy{memory, memory + offset_of(shared), {}, column, row, 0};
  std::memcpy(&copy.map, map, sizeof copy.map);
  if (copy.map.mark != kMapMark) fault("line %u: a copy by what is no tensor map", where.line());
  BarrierState& it = barrier_at(barrier, where);
  if (!it.published) fault("line %u: a copy to a barrier that was not published", where.line());
  const std::size_t bytes = copy.map.box_columns * copy.map.box_rows * copy.map.value_bytes;
  check_shared(shared, bytes, "a copied box", where);
  if (offset_of(shared) % 1024) fault("line %u: a box that does not start at a multiple of 1,024", where.line());
  copy.barrier = static_cast<int>(&it - barriers.data());
  std::memset(copy.to, 0xff, bytes);
  if (random_below(4) == 0)
    copy_now(copy);
  else
    copies.push_back(copy);
}

}  // namespace

void copy_box(void* shared, const CUtensorMap* map, int column, int row, void* barrier, const Location& where) {
  copy_to(shared_memory(), shared, map, column, row, barrier, where);
}
void copy_box(unsigned blocks, void* shared, const CUtensorMap* map, int column, int row, void* barrier,
              const Location& where) {
  for (int block = 0; block < 32; ++block) {
    if (!(blocks >> block & 1)) continue;
    char* const there = shared_memory_of(block, where);
    copy_to(there, shared, map, column, row, there + offset_of(barrier), where);
  }
}

void set_registers(int count, const Location& where) {
  if (count < 24 || count > 256 || count % 8) fault("line %u: setmaxnreg %d", where.line(), count);
  static int wanted;
  wanted = count;
  meet_warp(
      Meeting::registers, nullptr,
      [](void* const(&)[32]) {
        int& registers = warps[thread_number() / 32].registers;
        if (registers) fault("setmaxnreg for the second time");
        registers = wanted;
      },
      where);
}

std::uint64_t matrix(const void* shared, int leading, int stride, const Location& where) {
  check_shared(shared, 16, "a matrix", where);
  if (leading % 16 || stride % 16) fault("line %u: offsets of a matrix that are no multiples of 16", where.line());
  return offset_of(shared) >> 4 | static_cast<std::uint64_t>(leading >> 4) << 16 |
         static_cast<std::uint64_t>(stride >> 4) << 32 | 1ull << 62;
}

void begin_products(const Location& where) {
  meet_warp(
      Meeting::begin_products, nullptr, [](void* const(&)[32]) { warps[thread_number() / 32].fenced = true; }, where);
}

void multiply_async(bool half, float* sums, int columns, std::uint64_t left, std::uint64_t right, bool add,
                    const Location& where) {
  Asked mine{{half, false, columns, left, right, nullptr, {}, {}}, sums, add};
  static float* first;  // of the warp that is here: lane 0's registers name those of all
  meet_warp(
      Meeting::multiply_async, &mine,
      [](void* const(&brought)[32]) {
        first = static_cast<const Asked*>(brought[0])->sums;
        for (void* each : brought) static_cast<Asked*>(each)->product.sums = first;
        start(brought);
      },
      where);
}

void end_products(const Location& where) {
  meet_warp(
      Meeting::end_products, nullptr,
      [](void* const(&)[32]) {
        WarpState& warp = warps[thread_number() / 32];
        warp.groups.push_back(std::move(warp.open));
        warp.open.clear();
      },
      where);
}

void wait_products(int left, const Location& where) {
  int mine = left;
  meet_warp(
      Meeting::wait_products, &mine,
      [](void* const(&brought)[32]) {
        const int number = thread_number() / 32;
        WarpState& warp = warps[number];
        while (static_cast<int>(warp.groups.size()) > *static_cast<const int*>(brought[0])) {
          for (Product& product : warp.groups.front()) finish(warp, product, number % 4);
          warp.groups.pop_front();
        }
      },
      where);
}

void store_matrices(void* row, const std::uint32_t (&in)[4], const Location& where) {
  check_shared(row, 16, "stmatrix", where);
  std::memset(row, 0xff, 16);
  struct Stored {
    void* row;
    const std::uint32_t* in;
  } mine{row, in};
  meet_warp(
      Meeting::store_matrices, &mine,
      [](void* const(&brought)[32]) {
        for (int matrix = 0; matrix < 4; ++matrix) {
          for (int lane = 0; lane < 32; ++lane) {
            char* to = static_cast<char*>(static_cast<const Stored*>(brought[8 * matrix + lane / 4])->row);
            warps[thread_number() / 32].stores.push_back(
                {to + lane % 4 * 4, static_cast<const Stored*>(brought[lane])->in[matrix]});
          }
        }
      },
      where);
}

void show_stores() {
  std::vector<Store>& stores = warps[thread_number() / 32].stores;
  for (const Store& store : stores) std::memcpy(store.to, &store.word, 4);
  stores.clear();
}

void begin_asynchronous(int count, int of_a_block) {
  barriers.clear();
  copies.clear();
  remote_stores.clear();
  stores_come_last = random_below(2);
  warps_of_a_block = of_a_block;
  warps.assign(count, {});
}

std::string end_asynchronous() {
  const std::size_t left = copies.size() + remote_stores.size();
  if (left) return std::to_string(left) + " boxes or stores are still on their way when a block ends";
  std::size_t registers = 0;
  for (std::size_t number = 0; number < warps.size(); ++number) {
    const WarpState &warp = warps[number], &first = warps[number / 4 * 4];
    if (!warp.open.empty() || !warp.groups.empty()) return "a warp ends with products that nobody waited for";
    if (warp.history != first.history) return "warps of a warpgroup have asked for different products";
    if (warp.registers != first.registers) return "warps of a warpgroup have different numbers of registers";
    registers = number % warps_of_a_block ? registers + 32 * warp.registers : 32 * warp.registers;
    if (registers > 64 << 10) return "warps took more registers than there are";
  }
  return "";
}

namespace {

template <typename Waiting>
Waiting taken(std::vector<Waiting>& from, std::size_t number) {
  const Waiting one = from[number];
  from.erase(from.begin() + static_cast<std::ptrdiff_t>(number));
  return one;
}

}  // namespace

bool happen() {
  const std::size_t count = copies.size() + (stores_come_last && !copies.empty() ? 0 : remote_stores.size());
  if (!count) return false;
  const std::size_t chosen = random_below(static_cast<unsigned>(count));
  if (chosen < copies.size())
    copy_now(taken(copies, chosen));
  else
    store_now(taken(remote_stores, chosen - copies.size()));
  return true;
}

namespace {

// The driver's function, with its checks.
CUresult encode_tiled(CUtensorMap* map, CUtensorMapDataType type, cuuint32_t rank, void* memory,
                      const cuuint64_t* sizes, const cuuint64_t* strides, const cuuint32_t* box,
                      const cuuint32_t* steps, CUtensorMapInterleave interleave, CUtensorMapSwizzle swizzle,
                      CUtensorMapL2promotion, CUtensorMapFloatOOBfill fill) {
  const auto aligned = [](const void* p, std::uintptr_t to) { return reinterpret_cast<std::uintptr_t>(p) % to == 0; };
  const bool of_16_bits = type == CU_TENSOR_MAP_DATA_TYPE_FLOAT16 || type == CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
  if (!of_16_bits || rank != 2 || interleave != CU_TENSOR_MAP_INTERLEAVE_NONE ||
      swizzle != CU_TENSOR_MAP_SWIZZLE_128B || fill != CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE)
    return CUDA_ERROR_NOT_SUPPORTED;  // not emulated
  bool right = aligned(map, 64) && aligned(memory, 16) && strides[0] % 16 == 0 && strides[0] < 1ull << 40 &&
               strides[0] >= 2 * sizes[0] && box[0] * 2 % 16 == 0 && box[0] * 2 <= 128;
  for (cuuint32_t i = 0; i < rank; ++i)
    right &= sizes[i] >= 1 && sizes[i] <= 1ull << 32 && box[i] >= 1 && box[i] <= 256 && steps[i] == 1;
  if (!right || !is_device(memory, strides[0] * (sizes[1] - 1) + 2 * sizes[0])) return CUDA_ERROR_INVALID_VALUE;
  const Map made{kMapMark, static_cast<char*>(memory), sizes[0], sizes[1], strides[0], box[0], box[1], 2, 0};
  std::memcpy(map, &made, sizeof made);
  return CUDA_SUCCESS;
}

}  // namespace
}  // namespace liteft::emulator

extern "C" cudaError_t cudaGetDriverEntryPointByVersion(const char* name, void** function, unsigned, unsigned long long,
                                                        cudaDriverEntryPointQueryResult* result) {
  const bool known = std::strcmp(name, "cuTensorMapEncodeTiled") == 0;
  *function = known ? reinterpret_cast<void*>(&liteft::emulator::encode_tiled) : nullptr;
  *result = known ? cudaDriverEntryPointSuccess : cudaDriverEntryPointSymbolNotFound;
  return cudaSuccess;
}
