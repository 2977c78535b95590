// Times the making of views: draw, apply, and write what the network sees into a batch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "viewfold/augment/recipe.hpp"
#include "viewfold/data/dataset.hpp"
#include "viewfold/tensor/image_tensor.hpp"

namespace viewfold {

/// Which views are made, and of what.
struct ViewWork {
  std::shared_ptr<const Dataset> dataset;
  std::vector<std::uint32_t> indices;  // of the images that are used, in turn
  std::vector<Image> images;           // those images; when empty, each sample reads its own anew
  std::int64_t bands = 3;
  ViewPlan plan;
  std::optional<Normalizer> normalizer;  // without it views stay pixels and are not written
};

struct ViewTiming {
  std::int64_t threads = 1;
  std::int64_t rounds = 5;
  double seconds = 0.3;  // of a round
};

/// Views a second in each round, of all threads together; a shorter round before them warms up.
/// Throws DataError as the data set does.
[[nodiscard]] std::vector<double> time_views(const ViewWork& work, const ViewTiming& timing);

}  // namespace viewfold
