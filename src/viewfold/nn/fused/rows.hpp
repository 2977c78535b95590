// Batch normalisation, rectification and sums over rows of channels: one pass over the memory each.
#pragma once

#include <cstddef>
#include <cstdint>

namespace viewfold::fused {

/// The bits of a bfloat16 number.
struct Bf16 {
  std::uint16_t bits = 0;
};

/// A matrix with one row per pixel and one column per channel, without gaps. The number of channels
/// is a multiple of kChannelStep.
struct RowShape {
  std::size_t rows = 0;
  std::size_t channels = 0;
};

/// Channels that every instruction set can take in whole vectors.
constexpr std::size_t kChannelStep = 16;

/// y = x * scale + shift, for each channel.
struct Affine {
  const float* scale = nullptr;
  const float* shift = nullptr;
};

/// Where the output of a rectifier was positive: where `output` is, or, without it, where
/// `input` * affine is.
template <class T>
struct Gate {
  const T* output = nullptr;
  const T* input = nullptr;
  Affine affine = {};
};

// T is float or Bf16; sums are of float32 over at most 256 rows, then of float64. Bfloat16 is
// rounded to the nearest, ties to even.

/// sum[c] = sum over the rows of x - center[c]; squares[c] = the same of (x - center[c])^2.
template <class T>
void sum_rows(const T* x, RowShape shape, const float* center, double* sum, double* squares);

/// out = max(x * affine, 0).
template <class T>
void normalize_rows(const T* x, RowShape shape, Affine affine, T* out);

/// out = max(x * affine + other * other_affine, 0); an `other_affine` without scale is the
/// identity.
template <class T>
void join_rows(
    const T* x, RowShape shape, Affine affine, const T* other, Affine other_affine, T* out);

/// With g = gradient where the gate is open, else 0: sum[c] = sum of g, products[c] = sum of
/// g * (x - center[c]).
template <class T>
void sum_gradient_rows(const T* gradient,
                       const Gate<T>& gate,
                       const T* x,
                       RowShape shape,
                       const float* center,
                       double* sum,
                       double* products);

/// The coefficients of the gradient of a normalised channel: gradient, its input, one.
struct NormGradient {
  const float* gradient = nullptr;
  const float* input = nullptr;
  const float* constant = nullptr;
};

/// out = g * k.gradient + x * k.input + k.constant, with g as above.
template <class T>
void normalize_gradient_rows(const T* gradient,
                             const Gate<T>& gate,
                             const T* x,
                             RowShape shape,
                             const NormGradient& k,
                             T* out);

/// out += gradient where output > 0.
template <class T>
void add_gated_rows(const T* gradient, const T* output, RowShape shape, T* out);

/// out += x.
template <class T>
void add_rows(const T* x, RowShape shape, T* out);

}  // namespace viewfold::fused
