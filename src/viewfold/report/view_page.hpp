// A contact sheet as a page: pictures in rows, and under each of them what made it.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "viewfold/image/image.hpp"

namespace viewfold {

/// One line of a caption; its first word is set off.
struct CaptionLine {
  std::string text;
  bool faint = false;  // tells what did not happen
};

/// A picture and what is said about it.
struct CaptionedPicture {
  Image image;  // uint8 of 1 or 3 bands
  std::string title;
  std::string group;  // a line is drawn between neighbours of different groups
  std::vector<CaptionLine> caption;
};

/// A picture and, behind it, what was made of it.
struct PictureRow {
  std::string name;
  std::vector<CaptionedPicture> pictures;
};

/// The content of a page.
struct ViewPage {
  std::string title;
  std::vector<std::string> sentences;
  std::vector<PictureRow> rows;
};

/// Writes the page to `output`, one HTML file that loads and runs nothing, whole or not at all. The
/// pictures behind the first ones are shown in proportion to each other; pixels of small pictures
/// stay visible, of a picture with more than 512 pixels a side the page holds a smaller one. Texts
/// may hold anything. Throws ContractViolation when a picture is not as above, DataError when
/// `output` cannot be written.
void write_view_page(const ViewPage& page, const std::filesystem::path& output);

}  // namespace viewfold
