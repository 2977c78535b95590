// Implements selections of data sets, and data sets in memory.
#include "viewfold/data/subset.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "viewfold/core/error.hpp"
#include "viewfold/core/rng.hpp"
#include "viewfold/core/thread_pool.hpp"
#include "viewfold/image/kernels/flip.hpp"

namespace viewfold {
namespace {

using BasePointer = std::shared_ptr<const Dataset>;

// Everything of another data set but its pixels.
class Derived : public Dataset {
 public:
  Derived(BasePointer base, std::vector<std::uint32_t> indices)
      : base_(std::move(base)),
        indices_(std::move(indices)) {}

  [[nodiscard]] std::size_t size() const override { return indices_.size(); }
  [[nodiscard]] std::string name(std::size_t index) const override {
    return base_->name(base_index(index));
  }
  [[nodiscard]] std::optional<std::int64_t> label(std::size_t index) const override {
    return base_->label(base_index(index));
  }
  [[nodiscard]] const std::vector<std::string>& class_names() const override {
    return base_->class_names();
  }
  [[nodiscard]] bool has_annotations() const override { return base_->has_annotations(); }
  [[nodiscard]] Annotations annotations(std::size_t index) const override {
    return base_->annotations(base_index(index));
  }

 protected:
  [[nodiscard]] const Dataset& base() const { return *base_; }
  [[nodiscard]] std::size_t base_index(std::size_t index) const {
    check(index < indices_.size(), "index of an image is out of range");
    return indices_[index];
  }

 private:
  BasePointer base_;
  std::vector<std::uint32_t> indices_;
};

class Subset : public Derived {
 public:
  using Derived::Derived;
  [[nodiscard]] Image image(std::size_t index) const override {
    return base().image(base_index(index));
  }
  [[nodiscard]] const Image& read(std::size_t index, Image& buffer) const override {
    return base().read(base_index(index), buffer);
  }
  [[nodiscard]] const Image& read_reduced(std::size_t index,
                                          Image& buffer,
                                          const ReductionChoice& choose) const override {
    return base().read_reduced(base_index(index), buffer, choose);
  }
  [[nodiscard]] std::string stamp(std::size_t index) const override {
    return base().stamp(base_index(index));
  }
};

class InMemory : public Derived {
 public:
  InMemory(BasePointer base, std::vector<std::uint32_t> indices, std::vector<Image> images)
      : Derived(std::move(base), std::move(indices)),
        images_(std::move(images)) {}
  [[nodiscard]] Image image(std::size_t index) const override {
    check(index < size(), "index of an image is out of range");
    return images_[index];
  }
  [[nodiscard]] const Image& read(std::size_t index, Image& /*buffer*/) const override {
    check(index < size(), "index of an image is out of range");
    return images_[index];
  }

 private:
  std::vector<Image> images_;
};

// All images of another data set, with something of them changed.
class Wrapper : public Dataset {
 public:
  explicit Wrapper(BasePointer base) : base_(std::move(base)) {}

  [[nodiscard]] std::size_t size() const override { return base_->size(); }
  [[nodiscard]] std::string name(std::size_t index) const override { return base_->name(index); }
  [[nodiscard]] std::optional<std::int64_t> label(std::size_t index) const override {
    return base_->label(index);
  }
  [[nodiscard]] const std::vector<std::string>& class_names() const override {
    return base_->class_names();
  }
  [[nodiscard]] bool has_annotations() const override { return base_->has_annotations(); }
  [[nodiscard]] Annotations annotations(std::size_t index) const override {
    return base_->annotations(index);
  }

 protected:
  [[nodiscard]] const Dataset& base() const { return *base_; }

 private:
  BasePointer base_;
};

class Changed : public Wrapper {
 public:
  using Change = std::function<Image(const Image&, std::size_t)>;
  Changed(BasePointer base, Change change) : Wrapper(std::move(base)), change_(std::move(change)) {}

  [[nodiscard]] bool has_annotations() const override { return false; }
  [[nodiscard]] Annotations annotations(std::size_t /*index*/) const override { return {}; }
  [[nodiscard]] Image image(std::size_t index) const override {
    Image buffer;
    return change_(base().read(index, buffer), index);
  }

 private:
  Change change_;
};

class ImageList : public Dataset {
 public:
  explicit ImageList(std::vector<Image> images) : images_(std::move(images)) {}

  [[nodiscard]] std::size_t size() const override { return images_.size(); }
  [[nodiscard]] Image image(std::size_t index) const override {
    check(index < size(), "index of an image is out of range");
    return images_[index];
  }
  [[nodiscard]] const Image& read(std::size_t index, Image& /*buffer*/) const override {
    check(index < size(), "index of an image is out of range");
    return images_[index];
  }
  [[nodiscard]] std::string name(std::size_t index) const override {
    return fmt::format("image#{}", index);
  }
  [[nodiscard]] std::optional<std::int64_t> label(std::size_t /*index*/) const override {
    return std::nullopt;
  }
  [[nodiscard]] const std::vector<std::string>& class_names() const override { return none_; }

 private:
  std::vector<Image> images_;
  std::vector<std::string> none_;
};

// Gives each image its bands when it is read.
class OnDisk : public Wrapper {
 public:
  OnDisk(BasePointer base, int bands) : Wrapper(std::move(base)), bands_(bands) {}

  [[nodiscard]] Image image(std::size_t index) const override;
  [[nodiscard]] const Image& read(std::size_t index, Image& buffer) const override {
    return read_with_bands(base(), index, bands_, buffer);
  }
  [[nodiscard]] const Image& read_reduced(std::size_t index,
                                          Image& buffer,
                                          const ReductionChoice& choose) const override {
    return read_with_bands(base(), index, bands_, buffer, choose);
  }

 private:
  int bands_;
};

// Knows places in images of another data set.
class Annotated : public Wrapper {
 public:
  Annotated(BasePointer base, std::vector<Annotations> annotations)
      : Wrapper(std::move(base)),
        annotations_(std::move(annotations)) {}

  [[nodiscard]] Image image(std::size_t index) const override { return base().image(index); }
  [[nodiscard]] const Image& read(std::size_t index, Image& buffer) const override {
    return base().read(index, buffer);
  }
  [[nodiscard]] const Image& read_reduced(std::size_t index,
                                          Image& buffer,
                                          const ReductionChoice& choose) const override {
    return base().read_reduced(index, buffer, choose);
  }
  [[nodiscard]] std::string stamp(std::size_t index) const override { return base().stamp(index); }
  [[nodiscard]] bool has_annotations() const override { return true; }
  [[nodiscard]] Annotations annotations(std::size_t index) const override {
    check(index < annotations_.size(), "index of an image is out of range");
    return annotations_[index];
  }

 private:
  std::vector<Annotations> annotations_;
};

// The image at `index` with `bands` bands; DataErrors name it.
Image load(const Dataset& dataset, std::size_t index, int bands) {
  Image buffer;
  const Image& image = read_with_bands(dataset, index, bands, buffer);
  return &image == &buffer ? std::move(buffer) : Image(image);
}

Image OnDisk::image(std::size_t index) const {
  return load(base(), index, bands_);
}

// All images of a data set as far as they were read within the budget.
struct Loading {
  std::vector<Image> images;         // empty where unreadable
  std::vector<std::string> reasons;  // of the unreadable ones
  bool fits = true;
};

Loading load_all(const Dataset& dataset, int bands, std::uint64_t budget_bytes, int threads) {
  Loading loading{.images = std::vector<Image>(dataset.size()),
                  .reasons = std::vector<std::string>(dataset.size())};
  std::atomic<std::uint64_t> bytes{0};
  parallel_for(dataset.size(), threads, [&](std::size_t i) {
    if (bytes > budget_bytes) {
      return;  // it will stay on disk: the rest need not be read
    }
    try {
      loading.images[i] = load(dataset, i, bands);
      bytes += loading.images[i].bytes().size();
    } catch (const DataError& error) {
      loading.reasons[i] = error.what();
    }
  });
  loading.fits = bytes <= budget_bytes;
  return loading;
}

// Images that cannot be read, found by reading all of them and keeping none.
std::vector<BadImage> find_bad(const Dataset& dataset, int bands, int threads) {
  std::vector<std::string> reasons(dataset.size());
  parallel_for(dataset.size(), threads, [&](std::size_t i) {
    try {
      Image buffer;
      (void)read_with_bands(dataset, i, bands, buffer);
    } catch (const DataError& error) {
      reasons[i] = error.what();
    }
  });
  std::vector<BadImage> bad;
  for (std::size_t i = 0; i < reasons.size(); ++i) {
    if (!reasons[i].empty()) {
      bad.push_back({.index = i, .reason = std::move(reasons[i])});
    }
  }
  return bad;
}

void check_bad(const std::vector<BadImage>& bad, std::size_t count, double max_bad_fraction) {
  const double share = static_cast<double>(bad.size()) / static_cast<double>(count);
  if (bad.empty() || (share <= max_bad_fraction && bad.size() < count)) {
    return;
  }
  constexpr std::size_t kShown = 3;
  std::string shown;
  for (std::size_t i = 0; i < std::min(kShown, bad.size()); ++i) {
    shown += fmt::format("{}{}", i == 0 ? "" : "; ", bad[i].reason);
  }
  throw DataError(fmt::format(
      "{} of {} images cannot be read, more than the {:.3g} % that are "
      "accepted: {}{} (repair or remove them, or raise data.max_bad_fraction)",
      bad.size(), count, 100.0 * max_bad_fraction, shown, bad.size() > kShown ? "; ..." : ""));
}

// A data set that stays where it is. Its bad images are only looked for when some are accepted:
// reading all images takes as long as an epoch.
Preloaded keep_on_disk(std::shared_ptr<const Dataset> base,
                       int bands,
                       double max_bad_fraction,
                       int threads) {
  Preloaded kept;
  if (max_bad_fraction > 0.0) {
    kept.bad = find_bad(*base, bands, threads);
    check_bad(kept.bad, base->size(), max_bad_fraction);
  }
  if (!kept.bad.empty()) {
    std::vector<std::uint32_t> good;
    for (std::size_t i = 0, b = 0; i < base->size(); ++i) {
      if (b < kept.bad.size() && kept.bad[b].index == i) {
        ++b;
      } else {
        good.push_back(static_cast<std::uint32_t>(i));
      }
    }
    base = make_subset(std::move(base), std::move(good));
  }
  kept.dataset = std::make_shared<OnDisk>(std::move(base), bands);
  return kept;
}

// The images of each class, none of which is empty.
std::vector<std::vector<std::uint32_t>> members_by_class(const Dataset& images) {
  std::vector<std::vector<std::uint32_t>> members(images.class_names().size());
  for (std::size_t i = 0; i < images.size(); ++i) {
    const auto label = images.label(i);
    if (!label) {
      throw DataError(
          fmt::format("{}: has no label, so that there is no telling how many images a class has",
                      images.name(i)));
    }
    members[static_cast<std::size_t>(*label)].push_back(static_cast<std::uint32_t>(i));
  }
  if (members.empty()) {
    throw DataError("there are no labels, so that there is no telling how many images a class has");
  }
  for (std::size_t k = 0; k < members.size(); ++k) {
    if (members[k].empty()) {
      throw DataError(fmt::format("class {} has no image", images.class_names()[k]));
    }
  }
  return members;
}

}  // namespace

std::unique_ptr<Dataset> make_changed(
    std::shared_ptr<const Dataset> base,
    std::function<Image(const Image& image, std::size_t index)> change) {
  return std::make_unique<Changed>(std::move(base), std::move(change));
}

std::unique_ptr<Dataset> make_image_list(std::vector<Image> images) {
  return std::make_unique<ImageList>(std::move(images));
}

std::unique_ptr<Dataset> make_mirrored(std::shared_ptr<const Dataset> base) {
  return make_changed(std::move(base), [](const Image& image, std::size_t /*index*/) {
    Image mirrored(image.height(), image.width(), image.bands(), image.type());
    mirror_rows(image, mirrored);
    return mirrored;
  });
}

std::uint64_t estimate_decoded_bytes(const Dataset& dataset, int bands) {
  constexpr std::size_t kLooks = 16;
  std::uint64_t bytes = 0;
  std::uint64_t readable = 0;
  Image buffer;
  for (std::size_t i = 0; i < std::min(kLooks, dataset.size()); ++i) {
    try {
      bytes += read_with_bands(dataset, i, bands, buffer).bytes().size();
      ++readable;
    } catch (const DataError&) {
      // Counted when all images are read.
    }
  }
  return readable == 0 ? 0 : bytes / readable * dataset.size();
}

std::unique_ptr<Dataset> make_subset(std::shared_ptr<const Dataset> base,
                                     std::vector<std::uint32_t> indices) {
  for (const std::uint32_t index : indices) {
    check(index < base->size(),
          fmt::format("index {} is not below the {} images", index, base->size()));
  }
  return std::make_unique<Subset>(std::move(base), std::move(indices));
}

std::vector<std::uint32_t> long_tail(const Dataset& images,
                                     double ratio,
                                     std::int64_t limit,
                                     std::uint64_t seed) {
  check(ratio >= 1.0, fmt::format("ratio {} must be 1 or more", ratio));
  const auto members = members_by_class(images);
  const auto last = static_cast<double>(std::max<std::size_t>(members.size(), 2) - 1);
  std::vector<double> shares;  // of n_0
  double sum = 0.0;
  double first = static_cast<double>(images.size());  // n_0
  for (std::size_t k = 0; k < members.size(); ++k) {
    shares.push_back(std::pow(ratio, -static_cast<double>(k) / last));
    first = std::min(first, static_cast<double>(members[k].size()) / shares.back());
    sum += shares.back();
  }
  if (limit > 0) {
    first = std::min(first, static_cast<double>(limit) / sum);
  }
  Rng rng({.seed = seed, .stream = "long tail"});
  std::vector<std::uint32_t> chosen;
  for (std::size_t k = 0; k < members.size(); ++k) {
    const auto order = rng.permutation(static_cast<std::uint32_t>(members[k].size()));
    const auto wanted = static_cast<std::size_t>(std::lround(first * shares[k]));
    const auto count = std::clamp<std::size_t>(wanted, 1, members[k].size());
    for (std::size_t i = 0; i < count; ++i) {
      chosen.push_back(members[k][order[i]]);
    }
  }
  std::sort(chosen.begin(), chosen.end());
  return chosen;
}

std::unique_ptr<Dataset> with_annotations(std::shared_ptr<const Dataset> base,
                                          std::vector<Annotations> annotations) {
  check(annotations.size() == base->size(),
        fmt::format("{} annotations for {} images", annotations.size(), base->size()));
  return std::make_unique<Annotated>(std::move(base), std::move(annotations));
}

Preloaded preload(std::shared_ptr<const Dataset> base,
                  int bands,
                  std::uint64_t budget_bytes,
                  double max_bad_fraction,
                  int threads) {
  check(bands >= 0, fmt::format("{} bands", bands));
  check(base->size() <= std::numeric_limits<std::uint32_t>::max(), "too many images");
  if (estimate_decoded_bytes(*base, bands) > budget_bytes) {
    return keep_on_disk(std::move(base), bands, max_bad_fraction, threads);
  }
  Loading loading = load_all(*base, bands, budget_bytes, threads);
  if (!loading.fits) {
    return keep_on_disk(std::move(base), bands, max_bad_fraction, threads);
  }
  Preloaded loaded{.dataset = nullptr, .bad = {}, .in_memory = true};
  std::vector<std::uint32_t> indices;
  std::vector<Image> images;
  for (std::size_t i = 0; i < base->size(); ++i) {
    if (loading.images[i].empty()) {
      loaded.bad.push_back({.index = i, .reason = std::move(loading.reasons[i])});
    } else {
      indices.push_back(static_cast<std::uint32_t>(i));
      images.push_back(std::move(loading.images[i]));
    }
  }
  check_bad(loaded.bad, base->size(), max_bad_fraction);
  loaded.dataset =
      std::make_shared<InMemory>(std::move(base), std::move(indices), std::move(images));
  return loaded;
}

}  // namespace viewfold
