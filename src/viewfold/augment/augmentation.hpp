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
#include "viewfold/image/annotations.hpp"
#include "viewfold/image/canvas.hpp"

namespace viewfold {

struct ImageSize {
  int height = 0;
  int width = 0;

  friend bool operator==(const ImageSize&, const ImageSize&) = default;
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

/// Draws its parameters from an Rng, then applies them to a picture: two separate calls, so that
/// the parameters can be recorded. Const and thread-safe.
class Augmentation {
 public:
  virtual ~Augmentation() = default;

  /// Draws the parameters for an image of this size. Never looks at pixels.
  [[nodiscard]] virtual OpRecord sample(Rng& rng, ImageSize size) const = 0;

  /// Changes the current picture of `canvas` as the record says. Allocates nothing but memory of
  /// the canvas.
  virtual void apply(const OpRecord& record, Canvas& canvas) const = 0;

  /// How many times smaller (1, 2, 4 or 8, sides rounded up) the picture may be that apply() is
  /// given, instead of one of the size that the record was drawn for: 1 unless it is shrunk anyway.
  [[nodiscard]] virtual int reduction(const OpRecord& /*record*/, ImageSize /*size*/) const {
    return 1;
  }

  /// The size of the image after apply(), given the size before.
  [[nodiscard]] virtual ImageSize size_after(ImageSize size) const { return size; }

  /// What apply() does to a mask of classes: the same movement of pixels, without mixing values;
  /// what comes in from outside is 0. Operations that move nothing leave it alone.
  virtual void apply_to_mask(const OpRecord& record, Canvas& mask) const;

  /// Where apply() moves a point of a picture of size `before`; may lie outside the result.
  [[nodiscard]] virtual Point move(const OpRecord& record, Point point, ImageSize before) const;

  /// The smallest rectangle around what apply() makes of `rect`, not cut at the rim of the picture.
  /// By default that around its four moved corners, right for every affine movement.
  [[nodiscard]] virtual Rect move(const OpRecord& record, const Rect& rect, ImageSize before) const;
};

/// What a recorded value is; the values themselves are floats that hold all of these exactly.
enum class ValueKind { kFlag, kInteger, kReal };

/// The meaning of one value of an OpRecord.
struct Column {
  std::string_view name;
  ValueKind kind = ValueKind::kReal;
};

/// One row of the table of operations. `src/viewfold/augment/<stem>.cpp` defines `<stem>_entry()`.
struct AugmentationEntry {
  std::string_view name;                // the file stem
  std::string_view summary;             // one line for `viewfold list augmentations`
  std::vector<Column> columns;          // what values[i] of its OpRecord mean
  std::unique_ptr<Config> (*config)();  // its settings at their defaults
  std::unique_ptr<Augmentation> (*make)(const Config& config);  // config as made by config()
};

/// Builds the row of operation A, which has a constructor from const C&.
template <class A, class C>
AugmentationEntry augmentation_entry(std::string_view name,
                                     std::string_view summary,
                                     std::vector<Column> columns) {
  return {
      name, summary, std::move(columns),
      [] { return std::unique_ptr<Config>(std::make_unique<C>()); },
      [](const Config& config) {
        return std::unique_ptr<Augmentation>(std::make_unique<A>(dynamic_cast<const C&>(config)));
      }};
}

/// All operations, by name. Generated from the file names in `src/viewfold/augment/`.
[[nodiscard]] std::span<const AugmentationEntry> augmentation_table();

/// A record in words: "color_jitter order 1234, brightness 1.12, ...", or "color_jitter not
/// applied".
/// "" for a record without values.
[[nodiscard]] std::string record_text(const OpRecord& record);

/// Whether the operation of a record was applied: false where it happens with a probability, and
/// did not; and for a record without values.
[[nodiscard]] bool was_applied(const OpRecord& record);

/// The row called `name`. Throws UsageError with the nearest known name.
[[nodiscard]] const AugmentationEntry& find_augmentation(std::string_view name);

}  // namespace viewfold
