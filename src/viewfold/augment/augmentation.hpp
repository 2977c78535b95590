// The interface of a view operation: draw its parameters from a key, then apply them.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "viewfold/core/config.hpp"
#include "viewfold/core/rng.hpp"
#include "viewfold/image/image.hpp"

namespace viewfold {

struct ImageSize {
  int height = 0;
  int width = 0;
};

/// The drawn parameters of one operation for one view. Which value is which, the operation
/// documents; values[0] of an operation that happens with a probability is 1 when it happened, else
/// 0.
struct OpRecord {
  static constexpr std::size_t kMaxValues = 12;
  std::uint16_t op = 0;  // id of the operation: low 16 bits of name_hash(name)
  std::uint16_t count = 0;
  std::array<float, kMaxValues> values{};
};

/// Draws its parameters from an Rng, then applies them to an Image: two separate calls, so that the
/// parameters can be recorded. Const and thread-safe.
class Augmentation {
 public:
  virtual ~Augmentation() = default;

  /// Draws the parameters for an image of this size. Never looks at pixels.
  [[nodiscard]] virtual OpRecord sample(Rng& rng, ImageSize size) const = 0;

  /// Changes `image` as the record says.
  virtual void apply(const OpRecord& record, Image& image) const = 0;

  /// The size of the image after apply(), given the size before.
  [[nodiscard]] virtual ImageSize size_after(ImageSize size) const { return size; }
};

/// One row of the table of operations. `src/viewfold/augment/<stem>.cpp` defines `<stem>_entry()`.
struct AugmentationEntry {
  std::string_view name;                  // the file stem
  std::string_view summary;               // one line for `viewfold list augmentations`
  std::vector<std::string_view> columns;  // what values[i] of its OpRecord mean
  std::unique_ptr<Config> (*config)();    // its settings at their defaults
  std::unique_ptr<Augmentation> (*make)(const Config& config);  // config as made by config()
};

/// Builds the row of operation A, which has a constructor from const C&.
template <class A, class C>
AugmentationEntry augmentation_entry(std::string_view name,
                                     std::string_view summary,
                                     std::vector<std::string_view> columns) {
  return {
      name, summary, std::move(columns),
      [] { return std::unique_ptr<Config>(std::make_unique<C>()); },
      [](const Config& config) {
        return std::unique_ptr<Augmentation>(std::make_unique<A>(dynamic_cast<const C&>(config)));
      }};
}

/// All operations, by name. Generated from the file names in `src/viewfold/augment/`.
[[nodiscard]] std::span<const AugmentationEntry> augmentation_table();

/// The row called `name`. Throws UsageError with the nearest known name.
[[nodiscard]] const AugmentationEntry& find_augmentation(std::string_view name);

}  // namespace viewfold
