// Image files, each with a path of its own.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "viewfold/data/detail/labels.hpp"

namespace viewfold::data {

/// The images at `paths`, named by them; each is opened when it is read. `origins` (empty, or one
/// per image) stand before the errors of an image: the line of a list that names it.
[[nodiscard]] std::unique_ptr<Dataset> make_file_images(std::vector<std::string> paths,
                                                        Labels labels,
                                                        std::vector<std::string> origins = {});

}  // namespace viewfold::data
