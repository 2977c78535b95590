// Where masks, boxes and keypoints of a picture are in its views.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "viewfold/augment/recipe.hpp"
#include "viewfold/image/annotations.hpp"

namespace viewfold {

/// Where a box is in a view, cut at the rim.
struct MovedBox {
  Rect box;
  double kept = 1.0;  // share of its area that no rim has cut away; 0: the box is lost, and empty
};

/// Where a keypoint is in a view.
struct MovedKeypoint {
  Point point;
  bool visible = true;  // false: it has left the picture, here or at a step on the way
};

/// What is known about places in one view, in the order of the annotations.
struct MovedAnnotations {
  std::optional<Image> mask;
  std::vector<MovedBox> boxes;
  std::vector<MovedKeypoint> keypoints;
};

/// Moves the annotations of a picture of size `size` as `pipeline` moved its pixels when it made
/// the view with these records. A box becomes the smallest one around where its area goes, so that
/// turns make it grow. What leaves the picture at one step is lost, even where a later step would
/// lead back: there are no pixels of it any more. What covers pixels where they are
/// (random_erasing) is seen in the mask only. Throws ContractViolation when records or mask do not
/// fit, or a box is empty.
[[nodiscard]] MovedAnnotations move_annotations(const Pipeline& pipeline,
                                                std::span<const OpRecord> records,
                                                const Annotations& annotations,
                                                ImageSize size);

}  // namespace viewfold
