// Many small images in one picture, to look at views.
#pragma once

#include <vector>

#include "viewfold/image/image.hpp"

namespace viewfold {

/// The picture as a sheet shows it, RGB of uint8: one band gray, of other counts than three the
/// first three (of two: the first).
[[nodiscard]] Image displayable(const Image& image);

/// Lays out rows of displayable images on a light background: each scaled to fit a square of `cell`
/// pixels and centred in it, `gap` pixels around and between the squares. Small images are enlarged
/// by repeating pixels. Rows may differ in length, empty images leave their square empty. Throws
/// ContractViolation without any square, or when cell < 1 or gap < 0.
[[nodiscard]] Image contact_sheet(const std::vector<std::vector<Image>>& rows, int cell, int gap);

}  // namespace viewfold
