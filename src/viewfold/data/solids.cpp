// Solids: images that are rendered when they are asked for, from scenes whose numbers are known.
#include "viewfold/data/solids.hpp"

#include <charconv>

#include <fmt/format.h>

#include "viewfold/core/error.hpp"
#include "viewfold/data/detail/labels.hpp"
#include "viewfold/data/detail/paths.hpp"

namespace viewfold::data {
namespace {

constexpr std::string_view kName = "solids";
constexpr std::string_view kWithSize = "solids:";

class Solids : public LabelledDataset {
 public:
  Solids(std::string split, int size, Labels labels)
      : LabelledDataset(std::move(labels)),
        split_(std::move(split)),
        size_(size) {}

  [[nodiscard]] std::size_t size() const override { return solid_scene_count(split_); }
  [[nodiscard]] Image image(std::size_t index) const override {
    return render_solid(draw_scene(split_, index), size_);
  }
  [[nodiscard]] std::string name(std::size_t index) const override {
    check(index < size(), "index of an image is out of range");
    return fmt::format("{}{}/{}#{}", kWithSize, size_, split_, index);
  }
  [[nodiscard]] std::string stamp(std::size_t /*index*/) const override {
    return fmt::format("{} px", size_);
  }

 private:
  std::string split_;
  int size_;
};

int side_of(const std::string& spec) {
  if (spec == kName) {
    return 32;
  }
  int side = 0;
  const char* const end = spec.data() + spec.size();
  const auto result = std::from_chars(spec.data() + kWithSize.size(), end, side);
  if (result.ec != std::errc() || result.ptr != end || side < kMinSolidSize ||
      side > kMaxSolidSize) {
    throw DataError(fmt::format(
        "{}: expected solids, or solids:SIZE with a side of {} to {} pixels (as solids:64)",
        printable(spec), kMinSolidSize, kMaxSolidSize));
  }
  return side;
}

int recognises(const std::string& spec) {
  return spec == kName || spec.starts_with(kWithSize) ? 100 : 0;
}

std::vector<std::string> splits(const std::string& spec) {
  (void)side_of(spec);
  return {"train", "test"};
}

std::unique_ptr<Dataset> open(const DatasetRequest& request) {
  check_split(printable(request.spec), request.split, splits(request.spec));
  Labels labels{.of_image = {}, .class_names = {kSolidNames.begin(), kSolidNames.end()}};
  for (std::size_t i = 0; i < solid_scene_count(request.split); ++i) {
    labels.of_image.emplace_back(draw_scene(request.split, i).solid);
  }
  return std::make_unique<Solids>(request.split, side_of(request.spec), std::move(labels));
}

}  // namespace

DatasetEntry solids_entry() {
  return {.name = "solids",
          .summary = "solids, or solids:SIZE: ten solids, rendered with SIZE pixels a side (32)",
          .names = {"solids", "solids:SIZE"},
          .recognises = recognises,
          .open = open,
          .splits = splits};
}

}  // namespace viewfold::data
