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
constexpr std::string_view kPlain = "plain-solids";

/// What a spec asks for.
struct SolidsSpec {
  bool is_plain = false;
  int size = 32;  // pixels a side
};

class Solids : public LabelledDataset {
 public:
  Solids(std::string split, const SolidsSpec& spec, Labels labels)
      : LabelledDataset(std::move(labels)),
        split_(std::move(split)),
        spec_(spec) {}

  [[nodiscard]] std::size_t size() const override { return solid_scene_count(split_); }
  [[nodiscard]] Image image(std::size_t index) const override {
    const auto scene = draw_scene(split_, index);
    return render_solid(spec_.is_plain ? before_plain_wall(scene) : scene, spec_.size);
  }
  [[nodiscard]] std::string name(std::size_t index) const override {
    check(index < size(), "index of an image is out of range");
    return fmt::format("{}:{}/{}#{}", spec_.is_plain ? kPlain : kName, spec_.size, split_, index);
  }
  [[nodiscard]] std::string stamp(std::size_t /*index*/) const override {
    return fmt::format("{} px", spec_.size);
  }

 private:
  std::string split_;
  SolidsSpec spec_;
};

// The name in front of a size, if there is one.
std::string_view name_in(const std::string& spec) {
  return std::string_view(spec).substr(0, spec.find(':'));
}

SolidsSpec parse(const std::string& spec) {
  const auto name = name_in(spec);
  SolidsSpec parsed{.is_plain = name == kPlain};
  if (spec == name) {
    return parsed;
  }
  const char* const end = spec.data() + spec.size();
  const auto result = std::from_chars(spec.data() + name.size() + 1, end, parsed.size);
  if (result.ec != std::errc() || result.ptr != end || parsed.size < kMinSolidSize ||
      parsed.size > kMaxSolidSize) {
    throw DataError(
        fmt::format("{}: expected {}, or {}:SIZE with a side of {} to {} pixels (as {}:64)",
                    printable(spec), name, name, kMinSolidSize, kMaxSolidSize, name));
  }
  return parsed;
}

int recognises(const std::string& spec) {
  const auto name = name_in(spec);
  return name == kName || name == kPlain ? 100 : 0;
}

std::vector<std::string> splits(const std::string& spec) {
  (void)parse(spec);
  return {"train", "test"};
}

std::unique_ptr<Dataset> open(const DatasetRequest& request) {
  check_split(printable(request.spec), request.split, splits(request.spec));
  Labels labels{.of_image = {}, .class_names = {kSolidNames.begin(), kSolidNames.end()}};
  for (std::size_t i = 0; i < solid_scene_count(request.split); ++i) {
    labels.of_image.emplace_back(draw_scene(request.split, i).solid);
  }
  return std::make_unique<Solids>(request.split, parse(request.spec), std::move(labels));
}

}  // namespace

DatasetEntry solids_entry() {
  return {.name = "solids",
          .summary =
              "solids, or solids:SIZE: ten solids, rendered with SIZE pixels a side (32); "
              "plain-solids: the same before walls of one colour",
          .names = {"solids", "solids:SIZE", "plain-solids", "plain-solids:SIZE"},
          .recognises = recognises,
          .open = open,
          .splits = splits};
}

}  // namespace viewfold::data
