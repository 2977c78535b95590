// Names of files and folders: which are images, which a spec means, how they are shown.
#pragma once

#include <filesystem>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace viewfold::data {

/// ".jpg, .jpeg, ...", for errors.
inline constexpr std::string_view kImageEndings =
    ".jpg, .jpeg, .png, .webp, .bmp, .tif, .tiff, .pgm, .ppm, .pnm";

/// Whether a file name (or the last part of a path) ends as image files do, in any case. Hidden
/// files are none: macOS leaves "._name.jpg" beside "name.jpg".
[[nodiscard]] bool is_image_name(std::string_view path);

/// `text` with bytes that are no UTF-8 and control characters written as \xNN: such names exist on
/// disk, but would break terminals and JSON.
[[nodiscard]] std::string printable(std::string_view text);

/// Never throw: what cannot be looked at is not there.
[[nodiscard]] bool is_file(const std::filesystem::path& path);
[[nodiscard]] bool is_folder(const std::filesystem::path& path);

/// Size and times of a file, "missing" when it cannot be looked at: what changes with its content.
[[nodiscard]] std::string file_stamp(const std::filesystem::path& path);

/// DIR of the spec "name:DIR".
[[nodiscard]] std::optional<std::filesystem::path> folder_by_name(const std::string& spec,
                                                                  std::string_view name);

/// The folder that holds one of `files`: `folder` itself or its sub-folder `below` (where the
/// publisher's archive unpacks to).
[[nodiscard]] std::optional<std::filesystem::path> folder_holding(
    const std::filesystem::path& folder,
    std::string_view below,
    std::initializer_list<std::string_view> files);

/// The lines of a text file, without line ends, byte order mark and trailing empty lines. Throws
/// DataError naming the file when it cannot be read, is larger than 1 GiB or holds NUL bytes.
[[nodiscard]] std::vector<std::string> read_lines(const std::filesystem::path& path);

/// The names of `count` classes in `file`, or `otherwise` when there is no such file. Throws
/// DataError when it holds fewer.
[[nodiscard]] std::vector<std::string> read_class_names(const std::filesystem::path& file,
                                                        std::vector<std::string> otherwise);

}  // namespace viewfold::data
