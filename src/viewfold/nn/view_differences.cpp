// Implements the differences from the drawn parameters of the views.
#include "viewfold/nn/view_differences.hpp"

#include <string_view>

#include <ATen/ATen.h>

#include "viewfold/core/error.hpp"

namespace viewfold {
namespace {

// A parameter of views 0 and 1: [2, N] float32.
at::Tensor of_two_views(const ViewBatch& batch, std::string_view name) {
  check(batch.views() >= 2, "differences are those of two views");
  const auto n = batch.size();
  return batch.column(name).narrow(0, 0, 2 * n).to(at::kFloat).view({2, n});
}

// w [2, N, d], parameters of view 0 and of view 1 -> [2N, d], both orders.
at::Tensor both_orders(const at::Tensor& w) {
  const auto difference = w[0].sub(w[1]);
  return at::cat({difference, difference.neg()});
}

}  // namespace

at::Tensor crop_differences(const ViewBatch& batch) {
  const auto column = [&batch](std::string_view name) {
    return of_two_views(batch, std::string("random_resized_crop.") + std::string(name));
  };
  const auto whole_height = column("source_height");
  const auto whole_width = column("source_width");
  const auto is_cut = whole_height > 0;  // else -1 in every column
  const auto share = [&](std::string_view name, const at::Tensor& whole, double of_whole) {
    const auto value = column(name).div(whole);
    return at::where(is_cut, value, at::full_like(value, of_whole));
  };
  const auto height = share("height", whole_height, 1.0);               // [2, N]
  const auto width = share("width", whole_width, 1.0);                  // [2, N]
  const auto y = share("y", whole_height, 0.0).add(height, 0.5);        // [2, N]
  const auto x = share("x", whole_width, 0.0).add(width, 0.5);          // [2, N]
  auto differences = both_orders(at::stack({y, x, height, width}, 2));  // [2N, 4]
  at::Tensor mirrored;
  try {
    mirrored = of_two_views(batch, "horizontal_flip.applied").reshape({-1});  // [2N]: the first's
  } catch (const UsageError&) {
    return differences;  // nothing is ever mirrored
  }
  differences.select(1, 1).mul_(1.0 - 2.0 * mirrored);
  return differences;
}

at::Tensor color_differences(const ViewBatch& batch, const JitterRanges& ranges) {
  // A range of 0 draws one value only: the difference is 0.
  const auto share = [&batch](std::string_view name, double neutral, double range) {
    const auto value = of_two_views(batch, std::string("color_jitter.") + std::string(name));
    return range > 0.0 ? value.sub(neutral).div(range) : at::zeros_like(value);
  };
  return both_orders(at::nan_to_num(at::stack(
      {share("brightness", 1.0, ranges.brightness), share("contrast", 1.0, ranges.contrast),
       share("saturation", 1.0, ranges.saturation), share("hue", 0.0, ranges.hue)},
      2)));
}

at::Tensor equal_flips(const ViewBatch& batch) {
  const auto flips = of_two_views(batch, "horizontal_flip.applied");
  return flips[0].eq(flips[1]).to(at::kFloat).repeat({2}).unsqueeze(1);
}

at::Tensor blur_differences(const ViewBatch& batch, double largest) {
  check(largest > 0.0, "the largest width of a blur is positive");
  const auto applied = of_two_views(batch, "gaussian_blur.applied");
  const auto sigma = at::nan_to_num(of_two_views(batch, "gaussian_blur.sigma"));
  return both_orders(sigma.mul(applied).div(largest).unsqueeze(2));
}

at::Tensor solarize_differences(const ViewBatch& batch, double threshold) {
  const auto applied = of_two_views(batch, "solarize.applied");
  return both_orders(applied.mul(threshold - 1.0).add(1.0).unsqueeze(2));
}

}  // namespace viewfold
