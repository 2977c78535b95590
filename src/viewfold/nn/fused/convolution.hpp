// Convolutions of a few images on one thread, by oneDNN's primitives.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace viewfold::fused {

enum class ElementType { kFloat, kBf16 };

/// A square convolution without bias. Images are rows of channels: [N, H, W, C].
struct ConvolutionShape {
  ElementType type = ElementType::kFloat;
  std::int64_t images = 1;
  std::int64_t in_channels = 1;
  std::int64_t out_channels = 1;
  std::int64_t height = 1;  // of the input
  std::int64_t width = 1;
  std::int64_t kernel = 1;
  std::int64_t stride = 1;
  std::int64_t padding = 0;

  [[nodiscard]] std::int64_t out_height() const {
    return (height + 2 * padding - kernel) / stride + 1;
  }
  [[nodiscard]] std::int64_t out_width() const {
    return (width + 2 * padding - kernel) / stride + 1;
  }
  auto operator<=>(const ConvolutionShape&) const = default;
};

/// The three convolutions of a layer. Calls may come from any number of threads at once; each works
/// on the thread that called it.
///
/// "Packed" weights are in the layout that the primitives want.
class Convolution {
 public:
  /// Plans the convolutions. Throws dnnl::error when oneDNN has none for this shape.
  explicit Convolution(const ConvolutionShape& shape);
  ~Convolution();
  Convolution(const Convolution&) = delete;
  Convolution& operator=(const Convolution&) = delete;
  Convolution(Convolution&&) = delete;
  Convolution& operator=(Convolution&&) = delete;

  [[nodiscard]] const ConvolutionShape& shape() const;

  /// Whether packed weights and gradients of one fit the other: those of one layer for another
  /// number of images.
  [[nodiscard]] bool shares_layouts(const Convolution& other) const;

  /// Bytes of the packed weights for forward() and for backward_data().
  [[nodiscard]] std::size_t forward_weight_bytes() const;
  [[nodiscard]] std::size_t backward_weight_bytes() const;
  /// Numbers of a packed gradient of the weights.
  [[nodiscard]] std::size_t gradient_count() const;

  /// weights  [O, kH, kW, I] float32
  void pack_for_forward(const float* weights, void* packed) const;
  void pack_for_backward(const float* weights, void* packed) const;

  /// x [N, H, W, I] to y [N, H', W', O], both of the element type.
  void forward(const void* x, const void* packed, void* y) const;

  /// The gradient of x from that of y.
  void backward_data(const void* grad_y, const void* packed, void* grad_x) const;

  /// The packed gradient of the weights: gradient_count() float32, overwritten.
  void backward_weights(const void* x, const void* grad_y, float* packed) const;

  /// packed gradient to [O, kH, kW, I] float32
  void unpack_gradient(const float* packed, float* weights) const;

 private:
  struct Plan;
  std::unique_ptr<Plan> plan_;
};

/// The convolution of this shape, planned once for the whole process.
[[nodiscard]] std::shared_ptr<const Convolution> find_convolution(const ConvolutionShape& shape);

/// Keeps OpenMP, and so oneDNN, on the calling thread while alive.
class OneThreadGuard {
 public:
  OneThreadGuard();
  ~OneThreadGuard();
  OneThreadGuard(const OneThreadGuard&) = delete;
  OneThreadGuard& operator=(const OneThreadGuard&) = delete;
  OneThreadGuard(OneThreadGuard&&) = delete;
  OneThreadGuard& operator=(OneThreadGuard&&) = delete;

 private:
  int before_;
};

}  // namespace viewfold::fused
