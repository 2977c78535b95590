// Reading a sample together with drawing its views, which say how much of it is needed.
#pragma once

#include <span>

#include "viewfold/augment/recipe.hpp"
#include "viewfold/data/dataset.hpp"

namespace viewfold {

/// How a sample is read.
struct SampleReading {
  int bands = 0;             // that it is converted to; 0: as stored
  bool reduce_jpeg = false;  // decode a JPEG no larger than all its views need
};

/// A sample, and the plan of its views. `key.sample` is the index, `key.view` is 0.
struct SampleRequest {
  const Dataset& dataset;
  SampleReading reading;
  const ViewPlan& plan;
  RngKey key;
};

/// The image, and what is drawn for its views in their order: room for plan.ops_per_view() records
/// of each. The image is a reference into the data set or to `buffer`, as from Dataset::read(),
/// whose errors are thrown; for apply_view().
[[nodiscard]] const Image& read_and_draw(const SampleRequest& request,
                                         std::span<OpRecord> records,
                                         Image& buffer);

}  // namespace viewfold
