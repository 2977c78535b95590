// What fuzz_readers knows about the file of decoded images: the images it is of, and the hashes
// without which nothing in it would be looked at.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>

#include "data/sample_sets.hpp"

#include "viewfold/core/error.hpp"
#include "viewfold/core/fast_hash.hpp"
#include "viewfold/data/image_cache.hpp"

namespace viewfold::testing {

/// Four small pictures of different kinds; the third cannot be read.
class FourPictures final : public Dataset {
 public:
  [[nodiscard]] std::size_t size() const override { return 4; }
  [[nodiscard]] Image image(std::size_t index) const override {
    if (index == 2) {
      throw DataError("picture 2: is damaged");
    }
    return noise(3, 4, index == 0 ? 1 : 3, index == 3 ? PixelType::kUint16 : PixelType::kUint8,
                 static_cast<std::uint32_t>(index));
  }
  [[nodiscard]] std::string name(std::size_t index) const override {
    return fmt::format("picture {}", index);
  }
  [[nodiscard]] std::optional<std::int64_t> label(std::size_t /*index*/) const override {
    return std::nullopt;
  }
  [[nodiscard]] const std::vector<std::string>& class_names() const override { return none_; }
  [[nodiscard]] std::string stamp(std::size_t /*index*/) const override { return "1"; }

 private:
  std::vector<std::string> none_;
};

/// Their cache as it is written.
inline ByteVector good_cache(const std::shared_ptr<const Dataset>& pictures) {
  const TemporaryFolder folder;
  NullLog log;
  check(write_image_cache(pictures, {.path = folder / "images", .max_bytes = 1'000'000}, log) !=
            nullptr,
        "the cache cannot be written");
  return load_bytes(folder / "images");
}

/// `bytes` with the key of `good` and right hashes of header and table; those of the pixels too
/// where `pixels`. The places are those of data/detail/image_cache.cpp.
inline ByteVector with_hashes(ByteVector bytes, const ByteVector& good, bool pixels) {
  constexpr std::size_t kHeader = 120;
  constexpr std::size_t kEntry = 32;
  if (bytes.size() < kHeader) {
    return bytes;
  }
  const auto number = [&bytes](std::size_t at, std::size_t size) {
    std::uint64_t value = 0;
    std::memcpy(&value, &bytes[at], size);
    return value;
  };
  const auto put = [&bytes](std::size_t at, std::uint64_t value) {
    std::memcpy(&bytes[at], &value, sizeof(value));
  };
  std::copy_n(&good[16], 64, &bytes[16]);
  const std::uint64_t table = number(88, 8);
  if (table <= bytes.size()) {
    for (std::size_t at = table; pixels && at + kEntry <= bytes.size(); at += kEntry) {
      const std::uint64_t offset = number(at, 8);
      const std::uint64_t values =
          number(at + 16, 4) * number(at + 20, 4) % 4096 * number(at + 24, 4);
      const std::uint64_t size = values * (std::uint64_t{1} << number(at + 28, 4) % 3);
      if (offset <= bytes.size() && size <= bytes.size() - offset) {
        put(at + 8, fast_hash(std::span(bytes).subspan(offset, size)));
      }
    }
    put(104, fast_hash(std::span(bytes).subspan(table)));
  }
  put(112, fast_hash(std::span(bytes).first(112)));
  return bytes;
}

}  // namespace viewfold::testing
