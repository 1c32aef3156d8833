#include "engine/model.h"

#include <cstdlib>
#include <cstring>
#include <new>

namespace liteft {
namespace {

constexpr std::size_t kLine = 64;

}  // namespace

Buffer::Buffer(std::size_t bytes) {
  const std::size_t whole = round_up(bytes ? bytes : 1, kLine);
  void* memory = std::aligned_alloc(kLine, whole);
  if (!memory) throw std::bad_alloc();
  std::memset(memory, 0, whole);
  memory_.reset(memory);
}

void Buffer::Free::operator()(void* p) const { std::free(p); }

void Linear::reserve(const Kernels& kernels, Precision precision, int outputs, int inputs, const float* bias) {
  const std::size_t values = round_up(kernels.packed_bytes(precision, outputs, inputs), kLine);
  const std::size_t numbers = round_up(round_up(outputs, kernels.panel) * sizeof(float), kLine);
  memory_ = Buffer(values + 3 * numbers);
  char* place = memory_.bytes();
  matrix_.precision = precision;
  matrix_.outputs = outputs;
  matrix_.inputs = inputs;
  matrix_.values = place;
  matrix_.bias = reinterpret_cast<float*>(place + values);
  matrix_.scale = reinterpret_cast<float*>(place + values + numbers);
  matrix_.compensation = reinterpret_cast<std::int32_t*>(place + values + 2 * numbers);
  std::memcpy(matrix_.bias, bias, outputs * sizeof(float));
}

Linear::Linear(const Kernels& kernels, Precision precision, int outputs, int inputs, const float* weights,
               const float* bias) {
  reserve(kernels, precision, outputs, inputs, bias);
  kernels.pack_float(matrix_, weights);
}

Linear::Linear(const Kernels& kernels, int outputs, int inputs, const std::int8_t* weights, const float* scales,
               const float* bias) {
  reserve(kernels, Precision::int8, outputs, inputs, bias);
  std::memcpy(matrix_.scale, scales, outputs * sizeof(float));
  kernels.pack_int8(matrix_, weights);
}

void Table::add_row(int row, int width, float* out) const {
  const std::size_t first = static_cast<std::size_t>(row) * width;
  if (!pairs.empty()) {
    const int half = width / 2;
    const std::uint8_t* const stored = pairs.data() + first / 2;
    for (int i = 0; i < half; ++i) out[i] += scales[row] * static_cast<float>((stored[i] & 15) - 8);
    for (int i = 0; i < half; ++i) out[half + i] += scales[row] * static_cast<float>((stored[i] >> 4) - 8);
    return;
  }
  if (bytes.empty()) {
    for (int i = 0; i < width; ++i) out[i] += floats[first + i];
    return;
  }
  const float scale = scales[row];
  for (int i = 0; i < width; ++i) out[i] += scale * bytes[first + i];
}

}  // namespace liteft
