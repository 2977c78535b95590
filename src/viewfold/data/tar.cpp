// A tar archive of image files, or WebDataset shards (https://github.com/webdataset/webdataset):
// members are read where they lie in the archive, nothing is unpacked.
#include <algorithm>
#include <array>
#include <filesystem>
#include <map>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "viewfold/core/error.hpp"
#include "viewfold/data/detail/labels.hpp"
#include "viewfold/data/detail/paths.hpp"
#include "viewfold/data/detail/tar_index.hpp"
#include "viewfold/image/codec.hpp"

namespace viewfold::data {
namespace {

namespace fs = std::filesystem;

// Where an image is.
struct Place {
  std::size_t archive = 0;
  TarMember member;
};

// The images of all archives. `labels` is empty when no image has a label of its own beside it.
struct Contents {
  std::vector<std::string> archives;
  std::vector<Place> places;
  std::vector<std::string> paths;  // of the images: the archive's folder, then the member's name
  std::vector<std::optional<std::string>> labels;
};

class TarImages : public EncodedDataset {
 public:
  TarImages(std::vector<std::string> archives, std::vector<Place> places, Labels labels)
      : EncodedDataset(std::move(labels)),
        archives_(std::move(archives)),
        places_(std::move(places)) {}

  [[nodiscard]] std::size_t size() const override { return places_.size(); }

  [[nodiscard]] std::string name(std::size_t index) const override {
    check(index < size(), "index of an image is out of range");
    const Place& place = places_[index];
    return printable(fmt::format("{}!{}", archives_[place.archive], place.member.name));
  }

  [[nodiscard]] std::string stamp(std::size_t index) const override {
    check(index < size(), "index of an image is out of range");
    const Place& place = places_[index];
    return fmt::format("{} {} {}", file_stamp(archives_[place.archive]), place.member.offset,
                       place.member.size);
  }

 private:
  [[nodiscard]] Image decode(std::size_t index, const ReductionChoice& choose) const override {
    check(index < size(), "index of an image is out of range");
    const Place& place = places_[index];
    constexpr std::uint64_t kMaxBytes = std::uint64_t{1} << 31U;  // what decoders can address
    try {
      if (place.member.size >= kMaxBytes) {
        throw DataError(fmt::format("{} bytes are too many for one image", place.member.size));
      }
      // Opened at every access: a data set may have more shards than a process may have files.
      const InputFile file(archives_[place.archive]);
      return decode_image(file.read_at(place.member.offset, place.member.size), choose);
    } catch (const DataError& error) {
      throw DataError(fmt::format("{}: {}", name(index), printable(error.what())));
    }
  }

  std::vector<std::string> archives_;
  std::vector<Place> places_;
};

// Members that belong together share their path up to the first dot of the file name.
std::string_view sample_key(std::string_view name) {
  const std::size_t file = name.rfind('/') == std::string_view::npos ? 0 : name.rfind('/') + 1;
  return name.substr(0, name.find('.', file));
}

std::string trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  text.remove_prefix(std::min(text.find_first_not_of(kSpace), text.size()));
  return std::string(text.substr(0, text.find_last_not_of(kSpace) + 1));
}

// The label in "key.cls" (its text) or "key.json" ({"label": ...}: a number or a text); nothing
// when the JSON has none.
std::optional<std::string> read_label(const InputFile& file, const TarMember& member) {
  constexpr std::uint64_t kMaxBytes = std::uint64_t{1} << 20U;
  const std::string name = printable(fmt::format("{}!{}", file.path().string(), member.name));
  if (member.size > kMaxBytes) {
    throw DataError(fmt::format("{}: {} bytes are too many for a label", name, member.size));
  }
  const std::vector<std::byte> bytes = file.read_at(member.offset, member.size);
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (member.name.ends_with(".cls")) {
    if (trimmed(text).empty()) {
      throw DataError(fmt::format("{}: holds no label", name));
    }
    return printable(trimmed(text));
  }
  const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) {
    throw DataError(fmt::format("{}: is not JSON", name));
  }
  if (!json.is_object() || !json.contains("label")) {
    return std::nullopt;
  }
  const auto& label = json["label"];
  if (!label.is_string() && !label.is_number_integer()) {
    throw DataError(fmt::format("{}: \"label\" is neither a whole number nor a text", name));
  }
  return label.is_string() ? printable(label.get<std::string>()) : label.dump();
}

void add_archive(Contents& contents, const std::string& archive, const std::string& folder) {
  const InputFile file(archive);
  const std::vector<TarMember> members = read_tar_index(file);
  std::map<std::string_view, const TarMember*> sidecars;
  for (const TarMember& member : members) {
    // "key.cls" comes before "key.json", and wins.
    if (member.name.ends_with(".cls") || member.name.ends_with(".json")) {
      sidecars.emplace(sample_key(member.name), &member);
    }
  }
  for (const TarMember& member : members) {
    if (!is_image_name(member.name)) {
      continue;
    }
    const auto sidecar = sidecars.find(sample_key(member.name));
    contents.labels.push_back(sidecar == sidecars.end() ? std::nullopt
                                                        : read_label(file, *sidecar->second));
    contents.places.push_back({.archive = contents.archives.size(), .member = member});
    contents.paths.push_back(folder + member.name);
  }
  contents.archives.push_back(archive);
}

constexpr std::array<std::string_view, 4> kSplitFolders{"train/", "test/", "val/", "unlabeled/"};

// What is directly in a folder, as far as it decides whether the folder holds shards.
struct FolderContents {
  std::vector<std::string> archives;  // in byte order
  bool has_images = false;
  bool has_folders = false;
};

FolderContents look_into(const fs::path& folder) {
  FolderContents contents;
  std::error_code error;
  for (fs::directory_iterator it(folder, error); !error && it != fs::directory_iterator();
       it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (name.starts_with('.')) {
      continue;
    }
    const bool is_sub_folder = is_folder(it->path());
    contents.has_images = contents.has_images || is_image_name(name);
    contents.has_folders = contents.has_folders || is_sub_folder;
    if (name.ends_with(".tar") && !is_sub_folder) {
      contents.archives.push_back(name);
    }
  }
  std::sort(contents.archives.begin(), contents.archives.end());
  return contents;
}

bool holds_shards(const fs::path& folder) {
  const FolderContents contents = look_into(folder);
  return !contents.archives.empty() && !contents.has_images && !contents.has_folders;
}

// The archives a spec means, each with the folder that counts for its split.
std::vector<std::pair<std::string, std::string>> find_archives(const std::string& spec) {
  if (!is_folder(spec)) {
    return {{spec, ""}};
  }
  std::vector<std::pair<std::string, std::string>> archives;
  const auto add = [&](const fs::path& folder, std::string_view split) {
    for (const std::string& name : look_into(folder).archives) {
      archives.emplace_back((folder / name).string(), split);
    }
  };
  if (holds_shards(spec)) {
    add(spec, "");
    return archives;
  }
  for (const std::string_view split : kSplitFolders) {
    if (holds_shards(fs::path(spec) / split)) {
      add(fs::path(spec) / split, split);
    }
  }
  return archives;
}

bool is_compressed_name(std::string_view name) {
  constexpr std::array<std::string_view, 8> kEndings{".tar.gz", ".tgz",     ".tar.bz2", ".tbz2",
                                                     ".tar.xz", ".tar.zst", ".txz",     ".tar.lz4"};
  return std::any_of(kEndings.begin(), kEndings.end(),
                     [&](std::string_view ending) { return name.ends_with(ending); });
}

Contents read_contents(const std::string& spec) {
  if (is_compressed_name(spec)) {
    throw DataError(
        fmt::format("{}: is compressed, and images are read from any place of an "
                    "archive (unpack it, or make it a plain .tar)",
                    printable(spec)));
  }
  Contents contents;
  for (const auto& [archive, folder] : find_archives(spec)) {
    add_archive(contents, archive, folder);
  }
  if (contents.places.empty()) {
    throw DataError(fmt::format("{}: holds no images (looked for members ending in {})",
                                printable(spec), kImageEndings));
  }
  const auto& labels = contents.labels;
  if (std::none_of(labels.begin(), labels.end(), [](const auto& l) { return l.has_value(); })) {
    contents.labels.clear();
  }
  return contents;
}

int recognises(const std::string& spec) {
  if (is_folder(spec)) {
    return find_archives(spec).empty() ? 0 : 50;
  }
  const bool by_name = spec.ends_with(".tar") || is_compressed_name(spec);
  return is_file(spec) && (by_name || is_tar(spec)) ? 50 : 0;
}

std::vector<std::string> splits(const std::string& spec) {
  const Contents contents = read_contents(spec);
  return FolderLayout(contents.paths).splits();
}

// Labels beside the images win over folders. Classes are those of all splits.
Labels labels_beside(const Contents& contents, const std::vector<std::size_t>& positions) {
  Labels all = labels_of_texts(contents.labels);
  Labels labels{.of_image = {}, .class_names = std::move(all.class_names)};
  for (const std::size_t position : positions) {
    labels.of_image.push_back(all.of_image[position]);
  }
  return labels;
}

std::unique_ptr<Dataset> open(const DatasetRequest& request) {
  Contents contents = read_contents(request.spec);
  const FolderLayout layout(contents.paths);
  check_split(printable(request.spec), request.split, layout.splits());
  SplitMembers members = layout.members(request.split);
  if (!contents.labels.empty() && request.split != "unlabeled") {
    members.labels = labels_beside(contents, members.positions);
  }
  std::vector<Place> places;
  for (const std::size_t position : members.positions) {
    places.push_back(std::move(contents.places[position]));
  }
  return std::make_unique<TarImages>(std::move(contents.archives), std::move(places),
                                     std::move(members.labels));
}

}  // namespace

DatasetEntry tar_entry() {
  return {.name = "tar",
          .summary =
              "FILE.tar of image folders, a WebDataset shard (key.jpg with key.cls or "
              "key.json), or a folder of shards",
          .names = {},
          .recognises = recognises,
          .open = open,
          .splits = splits};
}

}  // namespace viewfold::data
