// A data set made in memory, with images that can be told apart and, where wanted, broken ones.
#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "viewfold/core/error.hpp"
#include "viewfold/core/rng.hpp"
#include "viewfold/data/dataset.hpp"

namespace viewfold {

/// `size` random pictures of `side` x `side` pixels; those in `bad` cannot be read.
class MemoryDataset : public Dataset {
 public:
  MemoryDataset(std::size_t size, int side, std::set<std::size_t> bad = {}, int bands = 3)
      : size_(size),
        side_(side),
        bad_(std::move(bad)),
        bands_(bands) {}

  [[nodiscard]] std::size_t size() const override { return size_; }

  [[nodiscard]] Image image(std::size_t index) const override {
    check(index < size_, "no such image");
    if (bad_.contains(index)) {
      throw DataError(name(index) + ": is damaged");
    }
    Image image(side_, side_, bands_);
    Rng rng({.seed = 1, .stream = "test", .sample = static_cast<std::uint32_t>(index)});
    // One colour each, and some noise: pictures differ more than their views do.
    const std::array<std::uint32_t, 3> colour{rng.below(200), rng.below(200), rng.below(200)};
    auto values = image.values<std::uint8_t>();
    for (std::size_t i = 0; i < values.size(); ++i) {
      values[i] = static_cast<std::uint8_t>(colour[i % 3] + rng.below(50));
    }
    return image;
  }

  [[nodiscard]] std::string name(std::size_t index) const override {
    return fmt::format("memory#{}", index);
  }
  [[nodiscard]] std::optional<std::int64_t> label(std::size_t /*index*/) const override {
    return std::nullopt;
  }
  [[nodiscard]] const std::vector<std::string>& class_names() const override { return none_; }

 private:
  std::size_t size_;
  int side_;
  std::set<std::size_t> bad_;
  int bands_;
  std::vector<std::string> none_;
};

}  // namespace viewfold
