// Memory for vector instructions: aligned to a cache line, and not cleared when it grows.
#pragma once

#include <cstddef>
#include <new>
#include <utility>
#include <vector>

namespace viewfold {

/// Allocates at multiples of 64 bytes, and leaves values without an initialiser as they are: a
/// buffer that is about to be overwritten is not filled first.
template <class T>
struct AlignedAllocator {
  using value_type = T;
  static constexpr std::align_val_t kAlignment{64};

  AlignedAllocator() = default;
  // Containers convert allocators silently.
  template <class U>
  // NOLINTNEXTLINE(google-explicit-constructor): clang-tidy 14 does not see explicit(false)
  explicit(false) AlignedAllocator(const AlignedAllocator<U>& /*other*/) {}

  [[nodiscard]] T* allocate(std::size_t n) {
    return static_cast<T*>(::operator new(n * sizeof(T), kAlignment));
  }
  void deallocate(T* pointer, std::size_t /*n*/) { ::operator delete(pointer, kAlignment); }

  template <class U>
  void construct(U* pointer) {
    ::new (static_cast<void*>(pointer)) U;
  }
  template <class U, class... Args>
  void construct(U* pointer, Args&&... args) {
    ::new (static_cast<void*>(pointer)) U(std::forward<Args>(args)...);
  }

  friend bool operator==(const AlignedAllocator&, const AlignedAllocator&) { return true; }
};

template <class T>
using AlignedVector = std::vector<T, AlignedAllocator<T>>;

}  // namespace viewfold
