// CIFAR-100 with fine labels, binary version (https://www.cs.toronto.edu/~kriz/cifar.html).
#include <filesystem>

#include <fmt/format.h>

#include "viewfold/core/error.hpp"
#include "viewfold/data/detail/paths.hpp"
#include "viewfold/data/detail/raw_images.hpp"

namespace viewfold::data {
namespace {

namespace fs = std::filesystem;

// Two bytes before the pixels: the coarse label, then the fine one.
constexpr RawLayout kLayout{
    .height = 32, .width = 32, .bands = 3, .order = RawOrder::kPlanes, .skip = 2};
constexpr std::size_t kClasses = 100;

// "train.bin" alone says little: by content, only with the class names beside it.
std::optional<fs::path> home(const fs::path& folder) {
  return folder_holding(folder, "cifar-100-binary", {"train.bin", "test.bin"});
}

fs::path required_home(const std::string& spec) {
  const fs::path folder = folder_by_name(spec, "cifar100").value_or(spec);
  const auto found = home(folder);
  if (!found) {
    throw DataError(
        fmt::format("{}: CIFAR-100 needs the folder of its binary version, cifar100:DIR with "
                    "DIR/train.bin and test.bin",
                    printable(spec)));
  }
  return *found;
}

int recognises(const std::string& spec) {
  if (folder_by_name(spec, "cifar100") || (spec == "cifar100" && !is_folder(spec))) {
    return 100;
  }
  const auto found = home(spec);
  return found && is_file(*found / "fine_label_names.txt") ? 50 : 0;
}

std::vector<std::string> splits(const std::string& spec) {
  const fs::path folder = required_home(spec);
  std::vector<std::string> found;
  for (const char* const split : {"train", "test"}) {
    if (is_file(folder / fmt::format("{}.bin", split))) {
      found.emplace_back(split);
    }
  }
  return found;
}

std::unique_ptr<Dataset> open(const DatasetRequest& request) {
  const fs::path folder = required_home(request.spec);
  check_split(printable(request.spec), request.split, splits(request.spec));
  std::vector<std::string> numbers;
  for (std::size_t i = 0; i < kClasses; ++i) {
    numbers.push_back(std::to_string(i));
  }
  Labels labels;
  labels.class_names = read_class_names(folder / "fine_label_names.txt", std::move(numbers));
  std::vector<RawPart> parts;
  parts.push_back(open_raw_part(folder / fmt::format("{}.bin", request.split), kLayout));
  labels.of_image = read_record_labels(parts.back(), kLayout, 1, kClasses);
  return make_raw_images(std::move(parts), kLayout, std::move(labels));
}

}  // namespace

DatasetEntry cifar100_entry() {
  return {.name = "cifar100",
          .summary =
              "cifar100:DIR, or a folder with train.bin, test.bin and fine_label_names.txt "
              "(binary version)",
          .names = {"cifar100:DIR"},
          .recognises = recognises,
          .open = open,
          .splits = splits};
}

}  // namespace viewfold::data
