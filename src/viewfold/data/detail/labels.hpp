// Labels and splits as they are written in folder names and beside images.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "viewfold/data/dataset.hpp"

namespace viewfold::data {

/// The classes of some images. Without labels both are empty.
struct Labels {
  std::vector<std::optional<std::int32_t>> of_image;
  std::vector<std::string> class_names;
};

/// A data set whose labels are known when it is opened.
class LabelledDataset : public Dataset {
 public:
  explicit LabelledDataset(Labels labels) : labels_(std::move(labels)) {}

  [[nodiscard]] std::optional<std::int64_t> label(std::size_t index) const override;
  [[nodiscard]] const std::vector<std::string>& class_names() const override {
    return labels_.class_names;
  }

 private:
  Labels labels_;
};

/// A data set of encoded images, each decoded at every access.
class EncodedDataset : public LabelledDataset {
 public:
  using LabelledDataset::LabelledDataset;

  [[nodiscard]] Image image(std::size_t index) const final { return decode(index, {}); }
  [[nodiscard]] const Image& read_reduced(std::size_t index,
                                          Image& buffer,
                                          const ReductionChoice& choose) const final {
    buffer = decode(index, choose);
    return buffer;
  }

 private:
  /// As decode_image(); throws as Dataset::image() does.
  [[nodiscard]] virtual Image decode(std::size_t index, const ReductionChoice& choose) const = 0;
};

/// Labels written as text, one per image. When all are whole numbers from 0 to 99999, the number is
/// the class and "0", "1", ... up to the largest are the names; else the classes are the distinct
/// texts in byte order.
[[nodiscard]] Labels labels_of_texts(const std::vector<std::optional<std::string>>& texts);

/// The images of one split: positions in a list of paths, and their classes.
struct SplitMembers {
  std::vector<std::size_t> positions;
  Labels labels;
};

/// What folder names say about a collection of images.
///
/// Folders that all images share are passed over. If then some images lie in `train/` and some in
/// `test/`, `val/` or `unlabeled/`, these are the splits (`val` is the test split where there is no
/// `test`) and images outside of them belong to none; else all images are the split "train".
/// If every image of train and test lies equally deep, at least one folder below its split, the
/// first of these folders is its class, provided that there are two or more; else there are no
/// labels. Classes are numbered in byte order over both splits; "unlabeled" has no labels.
class FolderLayout {
 public:
  /// `paths` have '/' between their parts and must outlive the layout.
  explicit FolderLayout(const std::vector<std::string>& paths);

  [[nodiscard]] const std::vector<std::string>& splits() const { return splits_; }

  /// The images of a split out of splits().
  [[nodiscard]] SplitMembers members(const std::string& split) const;

 private:
  [[nodiscard]] std::string_view inside(std::size_t position) const;
  [[nodiscard]] std::string folder_of(const std::string& split) const;
  [[nodiscard]] std::vector<std::string> find_classes() const;

  const std::vector<std::string>& paths_;
  std::size_t shared_ = 0;  // characters of the folders that all images share
  bool has_test_folder_ = false;
  std::vector<std::string> splits_;
};

/// Throws DataError naming `spec` and its splits unless `split` is one of them.
void check_split(const std::string& spec,
                 const std::string& split,
                 const std::vector<std::string>& splits);

}  // namespace viewfold::data
