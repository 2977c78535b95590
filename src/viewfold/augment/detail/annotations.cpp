// Implements the way of masks, boxes and keypoints through a pipeline.
#include "viewfold/augment/annotations.hpp"

#include <algorithm>

#include "viewfold/core/error.hpp"

namespace viewfold {
namespace {

double area(const Rect& rect) {
  return (rect.right - rect.left) * (rect.bottom - rect.top);
}

void check_annotations(const Annotations& annotations, ImageSize size) {
  if (const auto& mask = annotations.mask) {
    check(mask->height() == size.height && mask->width() == size.width,
          "a mask has the size of its picture");
    check(mask->bands() == 1 && mask->type() != PixelType::kFloat32,
          "a mask has one band of uint8 or uint16");
  }
  for (const auto& box : annotations.boxes) {
    check(box.left < box.right && box.top < box.bottom, "a box has a width and a height");
  }
}

// Cuts a box at the rim of a picture and counts what is lost.
void cut(MovedBox& moved, ImageSize size) {
  const double whole = area(moved.box);
  auto& box = moved.box;
  box.left = std::clamp(box.left, 0.0, static_cast<double>(size.width));
  box.right = std::clamp(box.right, 0.0, static_cast<double>(size.width));
  box.top = std::clamp(box.top, 0.0, static_cast<double>(size.height));
  box.bottom = std::clamp(box.bottom, 0.0, static_cast<double>(size.height));
  const double rest = area(box);
  moved.kept *= rest > 0.0 ? rest / whole : 0.0;
  if (moved.kept == 0.0) {
    box = Rect{};
  }
}

void move_box(const Augmentation& op, const OpRecord& record, ImageSize before, MovedBox& moved) {
  if (moved.kept > 0.0) {
    moved.box = op.move(record, moved.box, before);
    cut(moved, op.size_after(before));
  }
}

bool inside(const Point& point, ImageSize size) {
  return point.x >= 0.0 && point.y >= 0.0 && point.x < size.width && point.y < size.height;
}

void move_keypoint(const Augmentation& op,
                   const OpRecord& record,
                   ImageSize before,
                   MovedKeypoint& moved) {
  moved.point = op.move(record, moved.point, before);
  moved.visible = moved.visible && inside(moved.point, op.size_after(before));
}

Image moved_mask(const Pipeline& pipeline, std::span<const OpRecord> records, const Image& mask) {
  Canvas canvas;
  canvas.start(mask);
  for (std::size_t i = 0; i < records.size(); ++i) {
    pipeline.ops()[i]->apply_to_mask(records[i], canvas);
  }
  return canvas.image();
}

}  // namespace

MovedAnnotations move_annotations(const Pipeline& pipeline,
                                  std::span<const OpRecord> records,
                                  const Annotations& annotations,
                                  ImageSize size) {
  check(records.size() == pipeline.ops().size(), "a pipeline needs one record per operation");
  check_annotations(annotations, size);
  MovedAnnotations moved;
  for (const auto& box : annotations.boxes) {
    cut(moved.boxes.emplace_back(MovedBox{.box = box}), size);
  }
  for (const auto& point : annotations.keypoints) {
    moved.keypoints.push_back({.point = point, .visible = inside(point, size)});
  }
  for (std::size_t i = 0; i < records.size(); ++i) {
    const auto& op = *pipeline.ops()[i];
    for (auto& box : moved.boxes) {
      move_box(op, records[i], size, box);
    }
    for (auto& keypoint : moved.keypoints) {
      move_keypoint(op, records[i], size, keypoint);
    }
    size = op.size_after(size);
  }
  if (annotations.mask) {
    moved.mask = moved_mask(pipeline, records, *annotations.mask);
  }
  return moved;
}

}  // namespace viewfold
