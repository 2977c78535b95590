// Fills the page of captioned pictures.
#include "viewfold/report/view_page.hpp"

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "viewfold/core/files.hpp"
#include "viewfold/image/codec.hpp"
#include "viewfold/image/resample.hpp"
#include "viewfold/report/template.hpp"
#include "viewfold/report/text.hpp"
#include "viewfold/report/web_assets.hpp"

namespace viewfold::report {
namespace {

using nlohmann::json;

constexpr int kMostPixels = 512;  // a side that the page holds of a picture
constexpr int kPixelated = 64;    // a side up to which every pixel is shown as a square

int longer_side(const Image& image) {
  return std::max(image.height(), image.width());
}

Image within_limit(const Image& image) {
  const int longer = longer_side(image);
  if (longer <= kMostPixels) {
    return image;
  }
  const auto scaled = [longer](int side) {
    return std::max(1, static_cast<int>(std::int64_t{side} * kMostPixels / longer));
  };
  return resize_crop(image, {0, 0, image.width(), image.height()}, scaled(image.height()),
                     scaled(image.width()));
}

// Escaped, with a place to break a line behind every underscore.
std::string breakable_html(std::string_view text) {
  std::string html;
  for (const char c : escape_html(text)) {
    html += c;
    html += c == '_' ? "<wbr>" : "";
  }
  return html;
}

// Its first word, and what follows: parts that stay on one line where they fit, each up to its
// comma.
json line_model(const CaptionLine& line) {
  const std::string_view text = line.text;
  std::size_t end = std::min(text.find(' '), text.size());
  json model{{"word", breakable_html(text.substr(0, end))}, {"faint", line.faint}};
  model["parts"] = json::array();
  while (end < text.size()) {
    const std::size_t begin = end + 1;
    const std::size_t comma = text.find(", ", begin);
    end = comma == std::string_view::npos ? text.size() : comma + 1;
    model["parts"].push_back(breakable_html(text.substr(begin, end - begin)));
  }
  return model;
}

json caption_model(const std::vector<CaptionLine>& lines) {
  json caption = json::array();
  for (const auto& line : lines) {
    caption.push_back(line_model(line));
  }
  return caption;
}

// `cell`: the side that fills the width of a column.
json picture_model(const CaptionedPicture& picture, int cell) {
  const Image& image = picture.image;
  const Image held = within_limit(image);
  return {{"title", picture.title},
          {"group", picture.group},
          {"size", fmt::format("{} x {} px", image.height(), image.width())},
          {"base64", base64(encode_png(held))},
          {"width", held.width()},
          {"height", held.height()},
          {"share", fmt::format("{:.4g}", 100.0 * image.width() / cell)},
          {"is_small", longer_side(image) <= kPixelated},
          {"has_caption", !picture.caption.empty()},
          {"caption", caption_model(picture.caption)}};
}

json row_model(const PictureRow& row, int cell) {
  json pictures = json::array();
  for (std::size_t i = 0; i < row.pictures.size(); ++i) {
    const CaptionedPicture& picture = row.pictures[i];
    json model = picture_model(picture, i == 0 ? longer_side(picture.image) : cell);
    model["starts_group"] = i > 0 && picture.group != row.pictures[i - 1].group;
    pictures.push_back(std::move(model));
  }
  return {{"name", row.name}, {"pictures", std::move(pictures)}};
}

json page_model(const ViewPage& page) {
  std::size_t columns = 1;
  int cell = 1;
  for (const auto& row : page.rows) {
    columns = std::max(columns, row.pictures.size());
    for (std::size_t i = 1; i < row.pictures.size(); ++i) {
      cell = std::max(cell, longer_side(row.pictures[i].image));
    }
  }
  json rows = json::array();
  for (const auto& row : page.rows) {
    rows.push_back(row_model(row, cell));
    rows.back()["number"] = rows.size();
  }
  return {{"title", page.title},
          {"sentences", page.sentences},
          {"columns", columns},
          {"rows", std::move(rows)}};
}

}  // namespace
}  // namespace viewfold::report

void viewfold::write_view_page(const ViewPage& page, const std::filesystem::path& output) {
  const report::WebAssets& assets = report::web_assets();
  auto model = report::page_model(page);
  model["style"] = fmt::format("{}{}", assets.style, assets.views_style);
  write_file_atomically(output, report::render_template(assets.views_page, model));
}
