// Implements questions about names, and the reading of small text files.
#include "viewfold/data/detail/paths.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <sys/stat.h>

#include <fmt/format.h>

#include "viewfold/core/error.hpp"
#include "viewfold/core/input_file.hpp"

namespace viewfold::data {
namespace {

namespace fs = std::filesystem;

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

// Bytes of the well-formed UTF-8 sequence at the start of `text`; 0 when there is none (Unicode
// 15, Table 3-7).
std::size_t utf8_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned first = byte(0);
  if (first < 0x80) {
    return 1;
  }
  const std::size_t length = first < 0xC2 ? 0 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
  if (length == 0 || first > 0xF4 || text.size() < length) {
    return 0;
  }
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0U) != 0x80) {
      return 0;
    }
  }
  const bool overlong = (first == 0xE0 && byte(1) < 0xA0) || (first == 0xF0 && byte(1) < 0x90);
  const bool outside = (first == 0xED && byte(1) > 0x9F) || (first == 0xF4 && byte(1) > 0x8F);
  return overlong || outside ? 0 : length;
}

}  // namespace

bool is_image_name(std::string_view path) {
  const std::string_view name = path.substr(path.rfind('/') + 1);
  const std::size_t dot = name.rfind('.');
  if (dot == std::string_view::npos || name.starts_with('.')) {
    return false;
  }
  std::string ending(name.substr(dot));
  std::transform(ending.begin(), ending.end(), ending.begin(), lower);
  constexpr std::array<std::string_view, 10> kEndings{".jpg", ".jpeg", ".png", ".webp", ".bmp",
                                                      ".tif", ".tiff", ".pgm", ".ppm",  ".pnm"};
  return std::find(kEndings.begin(), kEndings.end(), ending) != kEndings.end();
}

std::string printable(std::string_view text) {
  std::string shown;
  while (!text.empty()) {
    const auto byte = static_cast<unsigned char>(text.front());
    const bool control = byte < 0x20 || byte == 0x7F;
    const std::size_t length = control ? 0 : utf8_length(text);
    shown += length == 0 ? fmt::format("\\x{:02X}", byte) : std::string(text.substr(0, length));
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return shown;
}

bool is_file(const fs::path& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);
}

bool is_folder(const fs::path& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}

std::string file_stamp(const fs::path& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) {
    return "missing";
  }
  // The time of the last change of anything, too: copying a file back from elsewhere keeps its size
  // and its time of writing.
  return fmt::format("{} {}.{:09} {}.{:09}", status.st_size, status.st_mtim.tv_sec,
                     status.st_mtim.tv_nsec, status.st_ctim.tv_sec, status.st_ctim.tv_nsec);
}

std::optional<fs::path> folder_by_name(const std::string& spec, std::string_view name) {
  if (!spec.starts_with(name) || spec.size() <= name.size() || spec[name.size()] != ':') {
    return std::nullopt;
  }
  return fs::path(spec.substr(name.size() + 1));
}

std::optional<fs::path> folder_holding(const fs::path& folder,
                                       std::string_view below,
                                       std::initializer_list<std::string_view> files) {
  for (const fs::path& place : {folder, folder / below}) {
    for (const std::string_view file : files) {
      if (is_file(place / file)) {
        return place;
      }
    }
  }
  return std::nullopt;
}

std::vector<std::string> read_lines(const fs::path& path) {
  constexpr std::uint64_t kMaxBytes = std::uint64_t{1} << 30U;
  const InputFile file(path);
  if (file.size() > kMaxBytes) {
    throw DataError(fmt::format("{}: {} bytes are too many for a text file",
                                printable(path.string()), file.size()));
  }
  const std::vector<std::byte> bytes = file.read_at(0, file.size());
  std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (text.starts_with("\xEF\xBB\xBF")) {
    text.remove_prefix(3);
  }
  if (text.find('\0') != std::string_view::npos) {
    throw DataError(fmt::format("{}: is not a text file", printable(path.string())));
  }
  std::vector<std::string> lines;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    if (line.ends_with('\r')) {
      line.remove_suffix(1);
    }
    lines.emplace_back(line);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  while (!lines.empty() && lines.back().empty()) {
    lines.pop_back();
  }
  return lines;
}

std::vector<std::string> read_class_names(const fs::path& file,
                                          std::vector<std::string> otherwise) {
  if (!is_file(file)) {
    return otherwise;
  }
  std::vector<std::string> names = read_lines(file);
  if (names.size() < otherwise.size()) {
    throw DataError(fmt::format("{}: names {} classes, expected {}", printable(file.string()),
                                names.size(), otherwise.size()));
  }
  names.resize(otherwise.size());
  for (std::string& name : names) {
    name = printable(name);
  }
  return names;
}

}  // namespace viewfold::data
