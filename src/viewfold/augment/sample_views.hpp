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

/// A sample whose views are drawn.
struct DrawnSample {
  const Image& image;  // for apply_view(); into the data set or a buffer, as from Dataset::read()
  ImageSize size;      // that its views are drawn for: that of the image as it is stored
};

/// Reads the image, and draws its views in their order: room for plan.ops_per_view() records of
/// each. `buffer` is where the image is decoded to where it has to be. Throws as Dataset::read().
[[nodiscard]] DrawnSample read_and_draw(const SampleRequest& request,
                                        std::span<OpRecord> records,
                                        Image& buffer);

}  // namespace viewfold
