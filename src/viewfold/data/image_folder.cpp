// A folder of image files, at any depth.
#include <algorithm>
#include <filesystem>
#include <set>
#include <sys/stat.h>

#include <fmt/format.h>

#include "viewfold/core/error.hpp"
#include "viewfold/data/detail/file_images.hpp"
#include "viewfold/data/detail/paths.hpp"

namespace viewfold::data {
namespace {

namespace fs = std::filesystem;

// Finds the image files below a folder. Hidden files and folders are passed over, and "lost+found",
// which only the superuser can read. A folder is entered once by its own path and at most once
// through symbolic links, never within itself: links cannot make the walk endless.
class Walk {
 public:
  explicit Walk(fs::path root) : root_(std::move(root)) {
    enter("", Through::kOwnPath);
    std::sort(images_.begin(), images_.end());
  }

  /// Paths relative to the root, in byte order.
  [[nodiscard]] const std::vector<std::string>& images() const { return images_; }

  /// Some name of a file that is no image; "" when there is none.
  [[nodiscard]] const std::string& other() const { return other_; }

 private:
  enum class Through { kOwnPath, kLink };
  using Identity = std::pair<dev_t, ino_t>;

  struct Child {
    std::string name;
    bool is_link = false;
    bool is_folder = false;
    bool is_file = false;
  };

  [[nodiscard]] std::vector<Child> children(const std::string& folder) const;
  void enter(const std::string& folder, Through through);

  fs::path root_;
  std::vector<Identity> ancestors_;
  std::set<Identity> linked_;
  std::vector<std::string> images_;
  std::string other_;
};

std::vector<Walk::Child> Walk::children(const std::string& folder) const {
  std::vector<Child> children;
  std::error_code error;
  const fs::path path = root_ / folder;
  for (fs::directory_iterator it(path, error); !error && it != fs::directory_iterator();
       it.increment(error)) {
    Child child{.name = it->path().filename().string()};
    if (child.name.starts_with('.') || child.name == "lost+found") {
      continue;
    }
    std::error_code ignored;  // a link into nowhere is neither file nor folder
    child.is_link = it->is_symlink(ignored);
    child.is_folder = it->is_directory(ignored);
    child.is_file = it->is_regular_file(ignored) || (child.is_link && !child.is_folder);
    children.push_back(std::move(child));
  }
  if (error) {
    throw DataError(
        fmt::format("{}: cannot be listed ({})", printable(path.string()), error.message()));
  }
  std::sort(children.begin(), children.end(),
            [](const Child& a, const Child& b) { return a.name < b.name; });
  return children;
}

void Walk::enter(const std::string& folder, Through through) {
  struct stat status {};
  const bool known = ::stat((root_ / folder).c_str(), &status) == 0;
  const Identity identity{status.st_dev, status.st_ino};
  const bool inside_itself =
      std::find(ancestors_.begin(), ancestors_.end(), identity) != ancestors_.end();
  if (known && (inside_itself || (through == Through::kLink && !linked_.insert(identity).second))) {
    return;
  }
  ancestors_.push_back(identity);
  for (const Child& child : children(folder)) {
    const std::string path = folder + child.name;
    if (child.is_folder) {
      enter(path + "/", child.is_link ? Through::kLink : through);
    } else if (child.is_file && is_image_name(child.name)) {
      images_.push_back(path);
    } else {
      other_ = path;
    }
  }
  ancestors_.pop_back();
}

std::vector<std::string> find_images(const std::string& spec) {
  const Walk walk{fs::path(spec)};
  if (walk.images().empty()) {
    throw DataError(fmt::format(
        "{}: holds no images: looked here and in all sub-folders for files ending in {}{}",
        printable(spec), kImageEndings,
        walk.other().empty() ? "" : fmt::format(", and found {}", printable(walk.other()))));
  }
  return walk.images();
}

int recognises(const std::string& spec) {
  return is_folder(spec) ? 10 : 0;
}

std::vector<std::string> splits(const std::string& spec) {
  const auto images = find_images(spec);
  return FolderLayout(images).splits();
}

std::unique_ptr<Dataset> open(const DatasetRequest& request) {
  const auto images = find_images(request.spec);
  const FolderLayout layout(images);
  check_split(printable(request.spec), request.split, layout.splits());
  SplitMembers members = layout.members(request.split);
  std::vector<std::string> paths;
  for (const std::size_t position : members.positions) {
    paths.push_back((fs::path(request.spec) / images[position]).string());
  }
  return make_file_images(std::move(paths), std::move(members.labels));
}

}  // namespace

DatasetEntry image_folder_entry() {
  return {.name = "image_folder",
          .summary =
              "DIR: JPEG, PNG, WebP, BMP, TIFF, PGM and PPM files at any depth; folders are "
              "classes, train/ and test/ (or val/) are splits",
          .names = {},
          .recognises = recognises,
          .open = open,
          .splits = splits};
}

}  // namespace viewfold::data
