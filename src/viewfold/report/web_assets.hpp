// The texts that the build embeds into the program for the report.
#pragma once

#include <string_view>

namespace viewfold::report {

/// Order and names are those given in cmake/web_assets.cmake.
struct WebAssets {
  std::string_view page;           // template of the report, see template.hpp
  std::string_view style;          // CSS of all pages
  std::string_view script;         // the report's own JavaScript
  std::string_view charts;         // the used parts of Apache ECharts, minified
  std::string_view licences;       // the notices that its licence asks to pass on
  std::string_view views_page;     // template of the page of views
  std::string_view views_style;    // what it adds to the CSS
  std::string_view study_page;     // template of the page of a study
  std::string_view study_style;    // what it adds to the CSS
  std::string_view compare_page;   // template of the page of a comparison
  std::string_view compare_style;  // what it adds to the CSS
};

[[nodiscard]] const WebAssets& web_assets();

}  // namespace viewfold::report
