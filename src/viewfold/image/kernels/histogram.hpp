// Changes of contrast that depend on which values a band has. `out` is another image, which has the
// size, bands and type of `image` already.
#pragma once

#include "viewfold/image/canvas.hpp"

namespace viewfold {

/// Stretches every band so that its smallest value becomes black and its largest white; a band of
/// one value stays.
void autocontrast(const Image& image, Scratch& scratch, Image& out);

/// Equalises the histogram of every band as torchvision's tensor back end does for uint8: the share
/// of smaller values decides, in steps of a whole number of pixels per grey level of 8 bits; a band
/// with less than 255 pixels below its largest value stays. uint16 is counted in 65536 bins, float
/// is rounded to as many; their steps are those of 8 bits, and only the result is finer.
void equalize(const Image& image, Scratch& scratch, Image& out);

}  // namespace viewfold
