// Views made of other images than their sample's own.
#pragma once

#include <cstdint>
#include <span>

#include "viewfold/augment/recipe.hpp"
#include "viewfold/image/image.hpp"

namespace viewfold {

/// One view of some samples of a batch.
struct SubstituteRequest {
  std::uint64_t seed = 0;  // of the run
  std::int64_t epoch = 0;
  double progress = 0.0;                   // epoch / epochs of the run, in [0, 1)
  std::int64_t view = 0;                   // of each sample
  std::span<const std::uint32_t> samples;  // indices into the data set
};

/// Gives other images of what samples show, that their views are made of instead. Const and
/// thread-safe; what it gives for a sample depends on seed, epoch, progress, view and sample alone,
/// never on the others that it is asked for together.
class SubstituteSource {
 public:
  SubstituteSource() = default;
  SubstituteSource(const SubstituteSource&) = delete;
  SubstituteSource& operator=(const SubstituteSource&) = delete;
  SubstituteSource(SubstituteSource&&) = delete;
  SubstituteSource& operator=(SubstituteSource&&) = delete;
  virtual ~SubstituteSource() = default;

  /// Puts into images[i], which is empty, what the view of samples[i] is made of; leaves it empty
  /// where that is the sample's own image. Throws DataError when an image cannot be read.
  virtual void draw(const SubstituteRequest& request, std::span<Image> images) const = 0;

  /// Whether a substitute is the view already (scaled to its size) and no operation changes it.
  [[nodiscard]] virtual bool is_finished() const { return false; }
};

/// Makes view key.view of `substitute` the current picture of `canvas`, with the draws that belong
/// to `key`. `records` has room for those of the view.
void make_substitute_view(const ViewPlan& plan,
                          const RngKey& key,
                          const Image& substitute,
                          std::span<OpRecord> records,
                          Canvas& canvas);

/// The same of a finished view: scaled to its size, and the rim cut away.
void make_finished_view(const ViewPlan& plan,
                        std::int64_t view,
                        const Image& substitute,
                        Canvas& canvas);

}  // namespace viewfold
