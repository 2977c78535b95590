// How much arithmetic a training step needs: its convolutions and matrix products.
#pragma once

#include <cstdint>

namespace viewfold {

/// While it lives, counts the multiply-adds of the convolutions and matrix products that run
/// forward in the thread that made it, and with each those of the gradients that it will need: of
/// its weights and of its input, as many each. At most one at a time in a thread.
class MultiplyAdds {
 public:
  MultiplyAdds();
  ~MultiplyAdds();
  MultiplyAdds(const MultiplyAdds&) = delete;
  MultiplyAdds& operator=(const MultiplyAdds&) = delete;
  MultiplyAdds(MultiplyAdds&&) = delete;
  MultiplyAdds& operator=(MultiplyAdds&&) = delete;

  [[nodiscard]] double total() const { return total_; }

 private:
  struct Callbacks;
  double total_ = 0.0;
  std::int64_t depth_ = 0;  // operations that are running and whose own calls do not count
  std::uint64_t handle_ = 0;
};

}  // namespace viewfold
