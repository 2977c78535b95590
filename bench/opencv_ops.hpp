// The view operations composed of OpenCV's functions, as albumentations does it underneath.
#pragma once

#include <array>
#include <functional>
#include <string>
#include <vector>

#include <opencv2/core.hpp>

namespace viewfold::bench {

/// Memory that is kept from call to call.
struct Buffers {
  cv::Mat a;
  cv::Mat b;
  cv::Mat c;
  std::array<cv::Mat, 3> planes;
};

/// Draws its parameters and makes `out` of `in` (RGB, uint8), which stays as it is.
using Operation = std::function<void(const cv::Mat& in, cv::Mat& out, Buffers&, cv::RNG&)>;

struct NamedOperation {
  std::string name;
  bool takes_sources = false;  // makes another size, and therefore works on whole pictures
  Operation run;
};

/// Every operation with viewfold's distributions at its defaults, for views of `size` pixels; and
/// the four steps of color_jitter each alone.
[[nodiscard]] std::vector<NamedOperation> single_operations(int size);

/// A step of a recipe, and how often it happens.
struct Step {
  double probability = 1.0;
  Operation run;
};

/// Views of one size, and how many of them a sample gives.
struct Group {
  int views = 2;
  int size = 32;
  std::vector<Step> steps;
};

/// The recipe "simclr" or "swav" as viewfold has it. Throws std::invalid_argument on others.
[[nodiscard]] std::vector<Group> recipe(const std::string& name, int size);

}  // namespace viewfold::bench
