// The CPU kernels: a table of functions over rows of floats.
//
// Each instruction set compiles the same source (kernels.inc) with its own vector type (simd_*.h) and exports one
// table. The engine uses the best table that the processor can run. The result of a row depends on that row alone, not
// on the rows beside it or on how the work is divided: the order of every sum is fixed by the width.

#pragma once

#include <cstddef>
#include <cstdint>

namespace liteft {

enum class Precision : int { fp32 = 0, bf16 = 1, int8 = 2 };

// Functions for both the engine and the kernels. They are static, because the linker keeps only one copy of an inline
// function, and that must not be one that was compiled for AVX-512.

static constexpr std::size_t round_up(std::size_t value, std::size_t step) { return (value + step - 1) / step * step; }

static constexpr std::size_t value_bytes(Precision precision) {
  return precision == Precision::int8 ? 1 : precision == Precision::bf16 ? 2 : 4;
}

struct Span {
  int begin;
  int end;
};

// One of `parts` nearly equal parts of `count` things.
static constexpr Span share(int count, int part, int parts) {
  return {static_cast<int>(static_cast<long long>(count) * part / parts),
          static_cast<int>(static_cast<long long>(count) * (part + 1) / parts)};
}

// A weight matrix, packed in the order in which a matmul reads it.
struct PackedMatrix {
  Precision precision = Precision::fp32;
  int outputs = 0;  // real ones
  int inputs = 0;
  int panels = 0;  // of Kernels::panel outputs each, the last one padded with zeros
  int depth = 0;   // inputs, padded to the step of the matmul
  std::size_t panel_bytes = 0;
  void* values = nullptr;                // the panels, consecutively
  float* bias = nullptr;                 // one per output
  float* scale = nullptr;                // int8: one per output
  std::int32_t* compensation = nullptr;  // int8: each sum starts with it: -128 times the sum of the output's weights
};

enum class Epilogue : int { none, gelu, relu, gelu_tanh, silu, tanh, residual };

// Some rows times some panels of a matrix: out = epilogue(rows x matrix + bias).
struct Matmul {
  const PackedMatrix* matrix = nullptr;
  int first_panel = 0;
  int last_panel = 0;
  int rows = 0;
  const void* input = nullptr;       // fp32, bf16 or uint8 with zero point 128
  std::size_t input_stride = 0;      // bytes from a row to the next
  const float* row_scale = nullptr;  // int8: one per row
  float* output = nullptr;           // (rows, outputs of the matrix)
  Epilogue epilogue = Epilogue::none;
  const float* residual = nullptr;  // (rows, outputs), for Epilogue::residual
};

// Attention of the rows of one text in some of the heads.
struct Attention {
  bool bf16 = false;  // in bf16; only where Kernels::bf16 is true
  int queries = 0;    // rows of `query`; all of the text, or only the first
  int keys = 0;
  int head_size = 0;
  int first_head = 0;
  int last_head = 0;
  const float* query = nullptr;  // heads side by side in a row
  std::size_t query_stride = 0;  // floats from a row to the next
  const float* key = nullptr;
  const float* value = nullptr;
  std::size_t stride = 0;                  // of keys and values
  const std::uint8_t* key_mask = nullptr;  // one per key; nullptr: all 1
  float* output = nullptr;
  std::size_t output_stride = 0;
  void* scratch = nullptr;  // attention_scratch bytes, aligned to a cache line
};

struct Kernels {
  const char* name;
  int panel;  // outputs a panel holds
  bool bf16;  // whether there are bf16 matmuls
  bool (*available)();
  std::size_t (*packed_bytes)(Precision precision, int outputs, int inputs);
  // Into a matrix whose sizes and places are set. `weights` is (inputs, outputs).
  void (*pack_float)(PackedMatrix& matrix, const float* weights);
  void (*pack_int8)(PackedMatrix& matrix, const std::int8_t* weights);
  void (*matmul)(const Matmul& given);
  // y = LayerNorm(x), rows of `width` without gaps; biased variance.
  void (*layer_norm)(const float* x, const float* gamma, const float* beta, float epsilon, int rows, int width,
                     float* y);
  // Rows of `width` without gaps, to the input of a bf16 or int8 matmul. int8 has one scale per row, max|x| / 127, and
  // zero point 128.
  void (*quantize_rows)(Precision precision, const float* x, int rows, int width, void* out, std::size_t out_stride,
                        float* scales);
  std::size_t (*attention_scratch)(int keys, int head_size);  // bytes
  void (*attend)(const Attention& attention);
  // Operations of `rounds` rounds of a matmul's inner loop over the same values: the peak rate of one core.
  double (*bare_matmul)(Precision precision, long rounds);
};

}  // namespace liteft
