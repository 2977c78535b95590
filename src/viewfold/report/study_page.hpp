// The results of a study for people.
#pragma once

#include <string>

#include "viewfold/report/study.hpp"

namespace viewfold::report {

/// The content of study.md: tables in Markdown.
[[nodiscard]] std::string study_markdown(const StudyResults& results);

/// The content of study.html: one page that loads and runs nothing. Texts may hold anything.
[[nodiscard]] std::string study_html(const StudyResults& results);

}  // namespace viewfold::report
