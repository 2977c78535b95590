// CIFAR-10, binary version (https://www.cs.toronto.edu/~kriz/cifar.html).
#include <filesystem>

#include <fmt/format.h>

#include "viewfold/core/error.hpp"
#include "viewfold/data/detail/paths.hpp"
#include "viewfold/data/detail/raw_images.hpp"

namespace viewfold::data {
namespace {

namespace fs = std::filesystem;

constexpr RawLayout kLayout{
    .height = 32, .width = 32, .bands = 3, .order = RawOrder::kPlanes, .skip = 1};

std::optional<fs::path> home(const fs::path& folder) {
  return folder_holding(folder, "cifar-10-batches-bin", {"data_batch_1.bin", "test_batch.bin"});
}

fs::path required_home(const std::string& spec) {
  const fs::path folder = folder_by_name(spec, "cifar10").value_or(spec);
  const auto found = home(folder);
  if (!found) {
    throw DataError(fmt::format(
        "{}: CIFAR-10 needs the folder of its binary version, cifar10:DIR with "
        "DIR/data_batch_1.bin "
        "to data_batch_5.bin and test_batch.bin{}",
        printable(spec),
        is_file(folder / "data_batch_1") ? " (found the Python version: data_batch_1)" : ""));
  }
  return *found;
}

int recognises(const std::string& spec) {
  if (folder_by_name(spec, "cifar10") || (spec == "cifar10" && !is_folder(spec))) {
    return 100;
  }
  return home(spec) ? 50 : 0;
}

std::vector<std::string> splits(const std::string& spec) {
  const fs::path folder = required_home(spec);
  std::vector<std::string> found;
  if (is_file(folder / "data_batch_1.bin")) {
    found.emplace_back("train");
  }
  if (is_file(folder / "test_batch.bin")) {
    found.emplace_back("test");
  }
  return found;
}

std::unique_ptr<Dataset> open(const DatasetRequest& request) {
  const fs::path folder = required_home(request.spec);
  check_split(printable(request.spec), request.split, splits(request.spec));
  std::vector<std::string> files{"test_batch.bin"};
  if (request.split == "train") {
    files = {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin",
             "data_batch_5.bin"};
  }
  Labels labels;
  labels.class_names = read_class_names(
      folder / "batches.meta.txt",
      {"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"});
  std::vector<RawPart> parts;
  for (const std::string& file : files) {
    parts.push_back(open_raw_part(folder / file, kLayout));
    const auto more = read_record_labels(parts.back(), kLayout, 0, labels.class_names.size());
    labels.of_image.insert(labels.of_image.end(), more.begin(), more.end());
  }
  return make_raw_images(std::move(parts), kLayout, std::move(labels));
}

}  // namespace

DatasetEntry cifar10_entry() {
  return {.name = "cifar10",
          .summary = "cifar10:DIR, or a folder with data_batch_1.bin ... (binary version)",
          .names = {"cifar10:DIR"},
          .recognises = recognises,
          .open = open,
          .splits = splits};
}

}  // namespace viewfold::data
