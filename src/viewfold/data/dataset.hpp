// The interface of everything that holds images, and how a path or a name becomes one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "viewfold/image/annotations.hpp"
#include "viewfold/image/codec.hpp"

namespace viewfold {

/// Maps an index to an image, and to a label where there is one. Const and thread-safe.
class Dataset {
 public:
  virtual ~Dataset() = default;

  [[nodiscard]] virtual std::size_t size() const = 0;

  /// Decodes image `index`. Throws DataError naming the image (path, or file and position) when it
  /// cannot be read; ContractViolation when index >= size().
  [[nodiscard]] virtual Image image(std::size_t index) const = 0;

  /// The same image without a copy where the data set holds it decoded: a reference into the data
  /// set, valid as long as it, or to `buffer`, into which it is decoded. Throws as image() does.
  [[nodiscard]] virtual const Image& read(std::size_t index, Image& buffer) const {
    buffer = image(index);
    return buffer;
  }

  /// The same where the image is decoded at every access, as a JPEG, and may be smaller (see
  /// decode_image()); `choose` is not asked where it is not.
  [[nodiscard]] virtual const Image& read_reduced(std::size_t index,
                                                  Image& buffer,
                                                  const ReductionChoice& /*choose*/) const {
    return read(index, buffer);
  }

  /// A stable name of the image: its path, or "archive.tar!member", or "file#index".
  [[nodiscard]] virtual std::string name(std::size_t index) const = 0;

  /// The class of the image, in [0, class_names().size()); nothing where there are no labels. Never
  /// decodes.
  [[nodiscard]] virtual std::optional<std::int64_t> label(std::size_t index) const = 0;

  /// Names of the classes in order of their number; empty when the data set has no labels.
  [[nodiscard]] virtual const std::vector<std::string>& class_names() const = 0;

  /// Whether annotations() are known of any image.
  [[nodiscard]] virtual bool has_annotations() const { return false; }

  /// What is known about places in the image, in pixels of its stored size; nothing by default.
  /// Throws as image() does.
  [[nodiscard]] virtual Annotations annotations(std::size_t /*index*/) const { return {}; }

  /// What changes with the stored form of the image, found without reading it: size and times of
  /// its file. Empty where images are held as pixels already, so that no cache of them is of use.
  [[nodiscard]] virtual std::string stamp(std::size_t /*index*/) const { return {}; }
};

/// dataset.read(), or dataset.read_reduced() where there is a choice, with `bands` bands (0: as
/// stored), in `buffer` where they have to be converted. Throws as these do, and DataError naming
/// the image when it cannot have that many.
[[nodiscard]] const Image& read_with_bands(const Dataset& dataset,
                                           std::size_t index,
                                           int bands,
                                           Image& buffer,
                                           const ReductionChoice& choose = {});

/// Which data set to open: "fashion-mnist", "cifar10:DIR", or a path.
struct DatasetRequest {
  std::string spec;             // as the user wrote it
  std::string split = "train";  // "train", "test" or "unlabeled"
};

/// One row of the table of formats. `src/viewfold/data/<stem>.cpp` defines `<stem>_entry()`.
struct DatasetEntry {
  std::string_view name;  // the file stem
  std::string_view
      summary;  // one line for `viewfold list datasets`: what it reads and how it is named

  /// What a spec may be called: "fashion-mnist", "cifar10:DIR"; empty for what is only found by
  /// path.
  std::vector<std::string_view> names;

  /// How sure this format is that `spec` is one of its own: 0 not at all; 100 by name
  /// ("cifar10:DIR"); 50 by the content of files; 10 for the fallback of a folder of images.
  /// Never throws on bad content: answers 0.
  int (*recognises)(const std::string& spec);

  /// Opens one split. Throws DataError naming the path: what was expected and what was found. A
  /// data set with no "test" split throws DataError that says so; "train" of a data set without
  /// splits is all of it.
  std::unique_ptr<Dataset> (*open)(const DatasetRequest& request);

  /// The splits that `spec` holds, in the order train, test, unlabeled.
  std::vector<std::string> (*splits)(const std::string& spec);
};

/// All formats, by name. Generated from the file names in `src/viewfold/data/`.
[[nodiscard]] std::span<const DatasetEntry> dataset_table();

/// Opens a split of whatever `request.spec` names or holds. Throws DataError when nothing
/// recognises it, saying what is there and which forms are understood.
[[nodiscard]] std::unique_ptr<Dataset> open_dataset(const DatasetRequest& request);

/// `spec` as it is understood in every working folder: the paths "DIR" and "cifar10:DIR" made
/// absolute, a name left as it is. Never looks at the disk.
[[nodiscard]] std::string absolute_spec(const std::string& spec);

/// The splits of whatever `spec` names or holds. Throws as open_dataset().
[[nodiscard]] std::vector<std::string> dataset_splits(const std::string& spec);

}  // namespace viewfold
