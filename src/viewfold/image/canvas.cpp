// Implements the two buffers that take turns.
#include "viewfold/image/canvas.hpp"

#include <algorithm>

#include "viewfold/core/error.hpp"

namespace viewfold {

std::byte* Scratch::bytes(std::size_t slot, std::size_t size) {
  constexpr std::size_t kRoom = 64;
  check(slot < kSlots, "there is no such slot of scratch memory");
  auto& buffer = slots_[slot];
  if (buffer.size() < size + kRoom) {
    buffer.resize(size + kRoom);
  }
  return buffer.data();
}

const Image& Canvas::image() const {
  if (current_ == nullptr) {
    throw ContractViolation("a canvas has no picture before start()");
  }
  return *current_;
}

Image& Canvas::edit() {
  const Image& now = image();
  Image& own = rewrite();
  if (&own != &now) {
    std::copy(now.bytes().begin(), now.bytes().end(), own.bytes().begin());
  }
  return own;
}

Image& Canvas::rewrite() {
  const Image& now = image();
  if (!owns_current()) {
    (void)prepare(now.height(), now.width(), now.bands(), now.type());
    advance();
  }
  return buffers_[1 - spare()];
}

Image& Canvas::prepare(int height, int width, int bands, PixelType type) {
  Image& buffer = buffers_[spare()];
  buffer.reshape(height, width, bands, type);
  return buffer;
}

void Canvas::advance() {
  current_ = &buffers_[spare()];
}

}  // namespace viewfold
