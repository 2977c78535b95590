// Implements views of other images than their sample's own.
#include "viewfold/augment/substitutes.hpp"

#include "viewfold/image/resample.hpp"

namespace viewfold {

void make_substitute_view(const ViewPlan& plan,
                          const RngKey& key,
                          const Image& substitute,
                          std::span<OpRecord> records,
                          Canvas& canvas) {
  draw_view(plan, key, {substitute.height(), substitute.width()}, records);
  apply_view(plan, key.view, records, substitute, canvas);
}

void make_finished_view(const ViewPlan& plan,
                        std::int64_t view,
                        const Image& substitute,
                        Canvas& canvas) {
  const int size = static_cast<int>(plan.size_of(view));
  canvas.start(substitute);
  if (substitute.height() == size && substitute.width() == size) {
    return;
  }
  Image& out = canvas.prepare(size, size, substitute.bands(), substitute.type());
  resize_center_crop(substitute, size, canvas.scratch(), out);
  canvas.advance();
}

}  // namespace viewfold
