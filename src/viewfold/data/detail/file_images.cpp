// Implements data sets of image files.
#include "viewfold/data/detail/file_images.hpp"

#include <fmt/format.h>

#include "viewfold/core/error.hpp"
#include "viewfold/data/detail/paths.hpp"
#include "viewfold/image/codec.hpp"

namespace viewfold::data {
namespace {

class FileImages : public EncodedDataset {
 public:
  FileImages(std::vector<std::string> paths, Labels labels, std::vector<std::string> origins)
      : EncodedDataset(std::move(labels)),
        paths_(std::move(paths)),
        origins_(std::move(origins)) {}

  [[nodiscard]] std::size_t size() const override { return paths_.size(); }

  [[nodiscard]] std::string name(std::size_t index) const override {
    check(index < size(), "index of an image is out of range");
    return printable(paths_[index]);
  }

  [[nodiscard]] std::string stamp(std::size_t index) const override {
    check(index < size(), "index of an image is out of range");
    return file_stamp(paths_[index]);
  }

 private:
  [[nodiscard]] Image decode(std::size_t index, const ReductionChoice& choose) const override {
    check(index < size(), "index of an image is out of range");
    try {
      return read_image(paths_[index], choose);
    } catch (const DataError& error) {
      const std::string message = printable(error.what());
      throw DataError(origins_.empty() ? message : fmt::format("{}: {}", origins_[index], message));
    }
  }

  std::vector<std::string> paths_;
  std::vector<std::string> origins_;
};

}  // namespace

std::unique_ptr<Dataset> make_file_images(std::vector<std::string> paths,
                                          Labels labels,
                                          std::vector<std::string> origins) {
  return std::make_unique<FileImages>(std::move(paths), std::move(labels), std::move(origins));
}

}  // namespace viewfold::data
