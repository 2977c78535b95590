// STL-10, binary version (https://cs.stanford.edu/~acoates/stl10/).
#include <filesystem>

#include <fmt/format.h>

#include "viewfold/core/error.hpp"
#include "viewfold/data/detail/paths.hpp"
#include "viewfold/data/detail/raw_images.hpp"

namespace viewfold::data {
namespace {

namespace fs = std::filesystem;

constexpr RawLayout kLayout{
    .height = 96, .width = 96, .bands = 3, .order = RawOrder::kPlanesColumns};

std::optional<fs::path> home(const fs::path& folder) {
  return folder_holding(folder, "stl10_binary", {"train_X.bin", "test_X.bin", "unlabeled_X.bin"});
}

fs::path required_home(const std::string& spec) {
  const auto found = home(folder_by_name(spec, "stl10").value_or(spec));
  if (!found) {
    throw DataError(
        fmt::format("{}: STL-10 needs the folder of its binary version, stl10:DIR with "
                    "DIR/train_X.bin, train_y.bin, test_X.bin, test_y.bin, unlabeled_X.bin",
                    printable(spec)));
  }
  return *found;
}

int recognises(const std::string& spec) {
  if (folder_by_name(spec, "stl10") || (spec == "stl10" && !is_folder(spec))) {
    return 100;
  }
  return home(spec) ? 50 : 0;
}

std::vector<std::string> splits(const std::string& spec) {
  const fs::path folder = required_home(spec);
  std::vector<std::string> found;
  for (const char* const split : {"train", "test", "unlabeled"}) {
    if (is_file(folder / fmt::format("{}_X.bin", split))) {
      found.emplace_back(split);
    }
  }
  return found;
}

// One byte per image, counting from 1.
Labels read_labels(const fs::path& folder, const std::string& split, std::size_t count) {
  Labels labels;
  labels.class_names = read_class_names(
      folder / "class_names.txt",
      {"airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck"});
  const InputFile file(folder / fmt::format("{}_y.bin", split));
  if (file.size() != count) {
    throw DataError(fmt::format("{}: holds {} labels for {} images",
                                printable(file.path().string()), file.size(), count));
  }
  for (const std::byte byte : file.read_at(0, count)) {
    const auto label = std::to_integer<std::int32_t>(byte);
    if (label < 1 || label > static_cast<std::int32_t>(labels.class_names.size())) {
      throw DataError(fmt::format("{}#{}: label {} is not one of 1 .. {}",
                                  printable(file.path().string()), labels.of_image.size(), label,
                                  labels.class_names.size()));
    }
    labels.of_image.emplace_back(label - 1);
  }
  return labels;
}

std::unique_ptr<Dataset> open(const DatasetRequest& request) {
  const fs::path folder = required_home(request.spec);
  check_split(printable(request.spec), request.split, splits(request.spec));
  std::vector<RawPart> parts;
  parts.push_back(open_raw_part(folder / fmt::format("{}_X.bin", request.split), kLayout));
  Labels labels;
  if (request.split != "unlabeled") {
    labels = read_labels(folder, request.split, parts.back().count);
  }
  return make_raw_images(std::move(parts), kLayout, std::move(labels));
}

}  // namespace

DatasetEntry stl10_entry() {
  return {.name = "stl10",
          .summary =
              "stl10:DIR, or a folder with train_X.bin, train_y.bin, test_X.bin, ... "
              "(splits train, test, unlabeled)",
          .names = {"stl10:DIR"},
          .recognises = recognises,
          .open = open,
          .splits = splits};
}

}  // namespace viewfold::data
