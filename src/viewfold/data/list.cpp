// A text file that lists image files.
#include <filesystem>

#include <fmt/format.h>

#include "viewfold/core/error.hpp"
#include "viewfold/data/detail/file_images.hpp"
#include "viewfold/data/detail/paths.hpp"

namespace viewfold::data {
namespace {

namespace fs = std::filesystem;

struct Listing {
  std::vector<std::string> paths;
  std::vector<std::string> origins;  // "list.txt:3"
  std::vector<std::optional<std::string>> labels;
};

void add_line(Listing& listing,
              const fs::path& folder,
              const std::string& line,
              const std::string& origin) {
  const std::size_t tab = line.find('\t');
  const std::string path = line.substr(0, tab);
  if (path.empty()) {
    throw DataError(fmt::format("{}: no path before the tab", origin));
  }
  std::optional<std::string> label;
  if (tab != std::string::npos) {
    label = line.substr(tab + 1);
    if (label->empty() || label->find('\t') != std::string::npos) {
      throw DataError(fmt::format("{}: expected \"path\" or \"path<TAB>label\", found \"{}\"",
                                  origin, printable(line)));
    }
    label = printable(*label);
  }
  listing.paths.push_back((folder / path).string());
  listing.origins.push_back(origin);
  listing.labels.push_back(std::move(label));
}

Listing read_list(const std::string& spec) {
  const fs::path folder = fs::path(spec).parent_path();
  const std::vector<std::string> lines = read_lines(spec);
  Listing listing;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (!lines[i].empty() && !lines[i].starts_with('#')) {
      add_line(listing, folder, lines[i], fmt::format("{}:{}", printable(spec), i + 1));
    }
  }
  if (listing.paths.empty()) {
    throw DataError(
        fmt::format("{}: lists no images (one path per line, optionally <TAB> and its label)",
                    printable(spec)));
  }
  return listing;
}

int recognises(const std::string& spec) {
  return spec.ends_with(".txt") && is_file(spec) ? 50 : 0;
}

std::vector<std::string> splits(const std::string& /*spec*/) {
  return {"train"};
}

std::unique_ptr<Dataset> open(const DatasetRequest& request) {
  Listing listing = read_list(request.spec);
  check_split(printable(request.spec), request.split, splits(request.spec));
  return make_file_images(std::move(listing.paths), labels_of_texts(listing.labels),
                          std::move(listing.origins));
}

}  // namespace

DatasetEntry list_entry() {
  return {.name = "list",
          .summary =
              "FILE.txt: one image path per line, relative to the file, optionally <TAB> "
              "and its label; # begins a comment",
          .names = {},
          .recognises = recognises,
          .open = open,
          .splits = splits};
}

}  // namespace viewfold::data
