// The steps of a layer that consist of a matmul and what follows it, in one kernel or in two.

#pragma once

#include "cuda/fusion_table.h"
#include "cuda/int8.h"
#include "cuda/kernels.h"
#include "cuda/model.h"
#include "cuda/sm90_product.h"

namespace liteft::cuda {

// Memory for the input of a matmul in int8: rows as wide as the widest, and their scales.
struct Int8Rows {
  std::int8_t* values = nullptr;
  float* scales = nullptr;
};

// matmul(linear, x, out, rows, biased) launches a matmul, with its bias or without; way_of(Fusable) returns how a step
// is computed. Matmuls of int8 weights have a kernel of their own, and no other way. `inner` is memory for the values
// within a feed-forward block: (rows, inner).
template <typename T, typename Matmul, typename WayOf>
class Steps {
 public:
  Steps(const liteft_shape& shape, int multiprocessors, cudaStream_t stream, T* inner, const Int8Rows& int8,
        const Matmul& matmul, const WayOf& way_of)
      : shape_(shape),
        multiprocessors_(multiprocessors),
        stream_(stream),
        inner_(inner),
        int8_(int8),
        matmul_(matmul),
        way_of_(way_of) {}

  // out = linear(x) for `most` rows, of which *count are used.
  void project(const Linear<T>& linear, const T* x, T* out, int most, const std::int32_t* count) const {
    if (linear.is_int8()) return in_int8(linear, x, bias_of(linear), Act::none, out, most, count);
    if (way_of_(Fusable{Fusion::bias, most, linear.inputs, linear.outputs}) == Way::hopper) {
      return sm90_matmul_activate<T>(product_of(linear, x, out, most, count), Act::none, multiprocessors_, stream_);
    }
    matmul_(linear, x, out, most, true);
  }

  // out = act(linear(x))
  void activate(const Linear<T>& linear, const T* x, Act act, T* out, int most, const std::int32_t* count) const {
    const float* bias = bias_of(linear);
    if (linear.is_int8()) return in_int8(linear, x, bias, act, out, most, count);
    switch (way_of_(Fusable{Fusion::act, most, linear.inputs, linear.outputs})) {
      case Way::hopper:
        return sm90_matmul_activate<T>(product_of(linear, x, out, most, count), act, multiprocessors_, stream_);
      case Way::fused:
        return matmul_activate<T>({x, weights(linear), bias, act, linear.inputs, linear.outputs, count, out}, most,
                                  stream_);
      case Way::plain: break;
    }
    matmul_(linear, x, out, most, false);
    cuda::activate<T>({out, bias, act, linear.outputs, count}, most, stream_);
  }

  // into = norm(linear(x) + into); `sums` is memory for what is between two kernels, (rows, width), apart from x.
  void layer_norm(const Linear<T>& linear, const Norm& norm, const T* x, T* sums, T* into, int most,
                  const std::int32_t* count) const {
    const float *bias = bias_of(linear), *gamma = norm.gamma.as<float>(), *beta = norm.beta.as<float>();
    const Fusable shape{Fusion::norm, most, linear.inputs, linear.outputs};
    switch (linear.is_int8() ? Way::plain : way_of_(shape)) {
      case Way::hopper:
        return sm90_matmul_layer_norm<T>({product_of(linear, x, into, most, count),
                                          sm90_map(into, most, linear.outputs), gamma, beta, shape_.epsilon},
                                         multiprocessors_, stream_);
      case Way::fused:
        return matmul_layer_norm<T>(
            {x, weights(linear), bias, into, gamma, beta, shape_.epsilon, linear.inputs, linear.outputs, count, into},
            most, stream_);
      case Way::plain: break;
    }
    if (linear.is_int8())
      in_int8(linear, x, nullptr, Act::none, sums, most, count);
    else
      matmul_(linear, x, sums, most, false);
    cuda::layer_norm<T>({sums, bias, into, gamma, beta, shape_.epsilon, linear.outputs, count, into}, most, stream_);
  }

  // into = the layer's feed-forward block applied to it, with residual and norm; `sums` as in layer_norm.
  void feed_forward(const Layer<T>& layer, Act act, T* sums, T* into, int most, const std::int32_t* count) const {
    const bool holds_int8 = layer.inner.is_int8() || layer.outer.is_int8();
    if (!holds_int8 &&
        way_of_(Fusable{Fusion::feed_forward, most, layer.inner.inputs, layer.inner.outputs}) == Way::fused) {
      return cuda::feed_forward<T>(
          {into, weights(layer.inner), weights(layer.outer), layer.inner.bias.template as<float>(),
           layer.outer.bias.template as<float>(), act, layer.output_norm.gamma.template as<float>(),
           layer.output_norm.beta.template as<float>(), shape_.epsilon, layer.inner.inputs, layer.inner.outputs, count,
           into},
          most, stream_);
    }
    activate(layer.inner, into, act, inner_, most, count);
    layer_norm(layer.outer, layer.output_norm, inner_, sums, into, most, count);
  }

 private:
  static const T* weights(const Linear<T>& linear) { return linear.weights.template as<const T>(); }

  static const float* bias_of(const Linear<T>& linear) { return linear.bias.template as<float>(); }

  // out = act(x weights + bias) of int8 weights; bias may be nullptr.
  void in_int8(const Linear<T>& linear, const T* x, const float* bias, Act act, T* out, int most,
               const std::int32_t* count) const {
    quantize_rows<T>({x, linear.inputs, count, int8_.values, int8_.scales}, most, stream_);
    matmul_int8<T>({int8_.values, int8_.scales, linear.int8_weights.template as<std::int8_t>(),
                    linear.scales.template as<float>(), bias, act, linear.inputs, linear.outputs, count, out},
                   most, multiprocessors_, stream_);
  }

  static Sm90Product<T> product_of(const Linear<T>& linear, const T* x, T* out, int most, const std::int32_t* count) {
    return {sm90_map(x, most, linear.inputs),
            sm90_map(weights(linear), linear.inputs, linear.outputs),
            linear.bias.template as<float>(),
            linear.inputs,
            linear.outputs,
            count,
            out};
  }

  const liteft_shape& shape_;
  const int multiprocessors_;
  const cudaStream_t stream_;
  T* const inner_;
  const Int8Rows int8_;
  const Matmul& matmul_;
  const WayOf& way_of_;
};

}  // namespace liteft::cuda
