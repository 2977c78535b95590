// Implements reading a sample no larger than its views need.
#include "viewfold/augment/sample_views.hpp"

#include <algorithm>
#include <optional>

namespace viewfold {
namespace {

// By how much all views that were drawn for a picture of this size allow it to be smaller.
int common_reduction(const ViewPlan& plan, ImageSize size, std::span<const OpRecord> records) {
  const std::size_t ops = plan.ops_per_view();
  int reduction = 8;
  for (std::int64_t view = 0; view < plan.views_per_sample(); ++view) {
    const auto of_view = records.subspan(static_cast<std::size_t>(view) * ops, ops);
    reduction = std::min(reduction, view_reduction(plan, view, size, of_view));
  }
  return reduction;
}

}  // namespace

DrawnSample read_and_draw(const SampleRequest& request,
                          std::span<OpRecord> records,
                          Image& buffer) {
  std::optional<ImageSize> drawn;
  ReductionChoice choose;
  if (request.reading.reduce_jpeg) {
    choose = [&](int height, int width) {
      drawn = ImageSize{height, width};
      draw_views(request.plan, request.key, *drawn, records);
      return common_reduction(request.plan, *drawn, records);
    };
  }
  const Image& image =
      read_with_bands(request.dataset, request.key.sample, request.reading.bands, buffer, choose);
  if (!drawn) {
    drawn = ImageSize{image.height(), image.width()};
    draw_views(request.plan, request.key, *drawn, records);
  }
  return {image, *drawn};
}

}  // namespace viewfold
