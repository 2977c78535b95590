// The picture that a chain of operations works on, with all the memory that it needs on its way.
#pragma once

#include <array>
#include <cstddef>
#include <span>

#include "viewfold/image/aligned.hpp"
#include "viewfold/image/image.hpp"

namespace viewfold {

/// Buffers of intermediate results. They only grow, so that work on pictures of one size allocates
/// the first time and never again.
class Scratch {
 public:
  static constexpr std::size_t kSlots = 8;

  /// `count` values of a trivial type T with any content, at a multiple of 64 bytes, and 64 bytes
  /// of room behind them. Valid until the slot is asked for again. Throws ContractViolation when
  /// there is no such slot.
  template <class T>
  [[nodiscard]] std::span<T> get(std::size_t slot, std::size_t count) {
    return {reinterpret_cast<T*>(bytes(slot, count * sizeof(T))), count};
  }

 private:
  [[nodiscard]] std::byte* bytes(std::size_t slot, std::size_t size);

  std::array<AlignedVector<std::byte>, kSlots> slots_;
};

/// Holds the current picture of a chain of operations. Starts with a picture of somebody else,
/// which is only read; after that two buffers take turns. One thread at a time.
class Canvas {
 public:
  /// Makes `source` the current picture; it must live until it is current no more.
  void start(const Image& source) { current_ = &source; }

  /// The current picture. Throws ContractViolation before start().
  [[nodiscard]] const Image& image() const;

  /// The current picture to change in place: copied first while it is the one given to start().
  [[nodiscard]] Image& edit();

  /// The picture that replaces the current one value by value, and is current from now on: the same
  /// picture where the canvas owns it, else one of its shape. image() from before still holds what
  /// it held, until it is overwritten.
  [[nodiscard]] Image& rewrite();

  /// A buffer of this size with any content, for the picture that is to replace the current one.
  [[nodiscard]] Image& prepare(int height, int width, int bands, PixelType type);

  /// The buffer given out by prepare() becomes the current picture.
  void advance();

  [[nodiscard]] Scratch& scratch() { return scratch_; }

 private:
  [[nodiscard]] bool owns_current() const {
    return current_ == &buffers_[0] || current_ == &buffers_[1];
  }
  [[nodiscard]] std::size_t spare() const { return current_ == &buffers_[0] ? 1 : 0; }

  const Image* current_ = nullptr;
  std::array<Image, 2> buffers_;
  Scratch scratch_;
};

}  // namespace viewfold
