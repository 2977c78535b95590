// Implements random access to records of pixels.
#include "viewfold/data/detail/raw_images.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "viewfold/core/error.hpp"
#include "viewfold/data/detail/paths.hpp"

namespace viewfold::data {
namespace {

std::vector<std::byte> read_part(const RawPart& part, std::uint64_t offset, std::uint64_t count) {
  if (const auto* const file = std::get_if<InputFile>(&part.source)) {
    return file->read_at(offset, count);
  }
  const auto& bytes = std::get<std::vector<std::byte>>(part.source);
  const auto begin = bytes.begin() + static_cast<std::ptrdiff_t>(offset);
  return {begin, begin + static_cast<std::ptrdiff_t>(count)};
}

class RawImages : public LabelledDataset {
 public:
  RawImages(std::vector<RawPart> parts, const RawLayout& layout, Labels labels)
      : LabelledDataset(std::move(labels)),
        parts_(std::move(parts)),
        layout_(layout) {
    std::size_t end = 0;
    for (const RawPart& part : parts_) {
      end += part.count;
      ends_.push_back(end);
    }
  }

  [[nodiscard]] std::size_t size() const override { return ends_.empty() ? 0 : ends_.back(); }
  [[nodiscard]] Image image(std::size_t index) const override;
  [[nodiscard]] std::string name(std::size_t index) const override {
    const auto [part, record] = locate(index);
    return fmt::format("{}#{}", part->name, record);
  }

 private:
  [[nodiscard]] std::pair<const RawPart*, std::size_t> locate(std::size_t index) const;

  std::vector<RawPart> parts_;
  RawLayout layout_;
  std::vector<std::size_t> ends_;  // index behind the last image of each part
};

std::pair<const RawPart*, std::size_t> RawImages::locate(std::size_t index) const {
  check(index < size(), "index of an image is out of range");
  const auto part =
      static_cast<std::size_t>(std::upper_bound(ends_.begin(), ends_.end(), index) - ends_.begin());
  return {&parts_[part], index - (ends_[part] - parts_[part].count)};
}

Image RawImages::image(std::size_t index) const {
  const auto [part, record] = locate(index);
  const auto stored =
      read_part(*part, layout_.header + record * layout_.record_bytes() + layout_.skip,
                layout_.image_bytes());
  Image image(layout_.height, layout_.width, layout_.bands);
  const auto bands = static_cast<std::size_t>(layout_.bands);
  const auto height = static_cast<std::size_t>(layout_.height);
  const auto width = static_cast<std::size_t>(layout_.width);
  const bool columns = layout_.order == RawOrder::kPlanesColumns;
  auto out = image.bytes().begin();
  for (std::size_t y = 0; y < height; ++y) {
    for (std::size_t x = 0; x < width; ++x) {
      const std::size_t place = columns ? x * height + y : y * width + x;
      for (std::size_t band = 0; band < bands; ++band) {
        *out++ = stored[band * height * width + place];
      }
    }
  }
  return image;
}

}  // namespace

std::uint64_t RawLayout::image_bytes() const {
  return static_cast<std::uint64_t>(height) * static_cast<std::uint64_t>(width) *
         static_cast<std::uint64_t>(bands);
}

RawPart open_raw_part(const std::filesystem::path& path, const RawLayout& layout) {
  InputFile file(path);
  const std::uint64_t content = file.size() - std::min(file.size(), layout.header);
  if (content == 0 || content % layout.record_bytes() != 0) {
    throw DataError(fmt::format("{}: {} bytes are not a whole number of images of {} bytes",
                                printable(path.string()), file.size(), layout.record_bytes()));
  }
  const auto count = static_cast<std::size_t>(content / layout.record_bytes());
  return {.name = printable(path.string()), .source = std::move(file), .count = count};
}

std::vector<std::optional<std::int32_t>> read_record_labels(const RawPart& part,
                                                            const RawLayout& layout,
                                                            std::uint64_t offset,
                                                            std::size_t classes) {
  std::vector<std::optional<std::int32_t>> labels;
  for (std::size_t i = 0; i < part.count; ++i) {
    const auto byte = read_part(part, layout.header + i * layout.record_bytes() + offset, 1);
    labels.emplace_back(std::to_integer<std::int32_t>(byte.front()));
    if (std::to_integer<std::size_t>(byte.front()) >= classes) {
      throw DataError(fmt::format("{}#{}: label {} is not one of the {} classes", part.name, i,
                                  *labels.back(), classes));
    }
  }
  return labels;
}

std::unique_ptr<Dataset> make_raw_images(std::vector<RawPart> parts,
                                         const RawLayout& layout,
                                         Labels labels) {
  std::size_t count = 0;
  for (const RawPart& part : parts) {
    count += part.count;
  }
  check(labels.of_image.empty() || labels.of_image.size() == count,
        "there must be one label per image, or none");
  return std::make_unique<RawImages>(std::move(parts), layout, std::move(labels));
}

}  // namespace viewfold::data
