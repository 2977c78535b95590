// What is known about places in a picture: masks, boxes and keypoints.
#pragma once

#include <optional>
#include <vector>

#include "viewfold/image/image.hpp"

namespace viewfold {

/// A position in pixels: (0, 0) is the upper left corner of the picture, (width, height) the lower
/// right one; the centre of the first pixel is (0.5, 0.5).
struct Point {
  double x = 0.0;
  double y = 0.0;
};

/// A rectangle with sides parallel to the picture's, in the coordinates of Point.
struct Rect {
  double left = 0.0;
  double top = 0.0;
  double right = 0.0;
  double bottom = 0.0;
};

/// What is known about places in one picture.
struct Annotations {
  std::optional<Image>
      mask;  // a class per pixel: one band of uint8 or uint16; 0 is what is outside
  std::vector<Rect> boxes;
  std::vector<Point> keypoints;
};

}  // namespace viewfold
