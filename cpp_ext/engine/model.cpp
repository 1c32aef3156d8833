#include "engine/model.h"

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <new>

namespace liteft {
namespace {

constexpr std::size_t kLine = 64;

std::size_t lines(std::size_t bytes) { return (bytes + kLine - 1) / kLine * kLine; }

}  // namespace

Buffer::Buffer(std::size_t bytes) : bytes_(lines(bytes)) {
  void* memory = std::aligned_alloc(kLine, bytes_ ? bytes_ : kLine);
  if (!memory) throw std::bad_alloc();
  std::memset(memory, 0, bytes_);
  memory_.reset(memory);
}

void Buffer::Free::operator()(void* p) const { std::free(p); }

void Linear::reserve(const Kernels& kernels, Precision precision, int outputs, int inputs, const float* bias) {
  const std::size_t filled = (outputs + kernels.panel - 1) / kernels.panel * static_cast<std::size_t>(kernels.panel);
  const std::size_t values = lines(kernels.packed_bytes(precision, outputs, inputs)), numbers = lines(filled * 4);
  memory_ = Buffer(values + 3 * numbers);
  char* place = static_cast<char*>(memory_.data());
  matrix_.precision = precision;
  matrix_.outputs = outputs;
  matrix_.inputs = inputs;
  matrix_.values = place;
  matrix_.bias = reinterpret_cast<float*>(place + values);
  matrix_.scale = reinterpret_cast<float*>(place + values + numbers);
  matrix_.offset = reinterpret_cast<std::int32_t*>(place + values + 2 * numbers);
  if (bias) std::memcpy(matrix_.bias, bias, outputs * sizeof(float));
}

Linear::Linear(const Kernels& kernels, Precision precision, int outputs, int inputs, const float* weights,
               const float* bias) {
  if (precision != Precision::int8) {
    reserve(kernels, precision, outputs, inputs, bias);
    kernels.pack_float(matrix_, weights);
    return;
  }
  std::vector<std::int8_t> bytes(static_cast<std::size_t>(outputs) * inputs);
  std::vector<float> scales(outputs);
  for (int output = 0; output < outputs; ++output) {
    const float* row = weights + static_cast<std::size_t>(output) * inputs;
    float most = 0.0f;
    for (int input = 0; input < inputs; ++input) most = std::fmax(most, std::fabs(row[input]));
    scales[output] = most > 0.0f ? most / 127.0f : 1.0f;
    for (int input = 0; input < inputs; ++input) {
      const float value = std::nearbyint(row[input] / scales[output]);
      bytes[static_cast<std::size_t>(output) * inputs + input] =
          static_cast<std::int8_t>(std::fmin(std::fmax(value, -127.0f), 127.0f));
    }
  }
  *this = Linear(kernels, outputs, inputs, bytes.data(), scales.data(), bias);
}

Linear::Linear(const Kernels& kernels, int outputs, int inputs, const std::int8_t* weights, const float* scales,
               const float* bias) {
  reserve(kernels, Precision::int8, outputs, inputs, bias);
  std::memcpy(matrix_.scale, scales, outputs * sizeof(float));
  kernels.pack_int8(matrix_, weights);
}

void Table::add_row(int row, int width, float* out) const {
  const std::size_t first = static_cast<std::size_t>(row) * width;
  if (bytes.empty()) {
    for (int i = 0; i < width; ++i) out[i] += floats[first + i];
    return;
  }
  const float scale = scales[row];
  for (int i = 0; i < width; ++i) out[i] += scale * bytes[first + i];
}

}  // namespace liteft
