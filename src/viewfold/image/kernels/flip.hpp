// Mirrors images.
#pragma once

#include "viewfold/image/image.hpp"

namespace viewfold {

/// Each row of `image` from right to left, into `out`: another image, which has its size, bands and
/// type already.
void mirror_rows(const Image& image, Image& out);

/// The rows of `image` from the last to the first, likewise.
void mirror_columns(const Image& image, Image& out);

}  // namespace viewfold
