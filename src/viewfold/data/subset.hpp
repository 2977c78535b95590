// Data sets made of data sets: a selection, one with annotations, and all images decoded in memory.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "viewfold/data/dataset.hpp"

namespace viewfold {

/// The images of `base` at `indices`, in that order. Throws ContractViolation on an index out of
/// range.
[[nodiscard]] std::unique_ptr<Dataset> make_subset(std::shared_ptr<const Dataset> base,
                                                   std::vector<std::uint32_t> indices);

/// Which images to take so that classes have a long tail: n_k = n_0 ratio^(-k / (C - 1)) of class
/// k of C (Cui et al., arXiv:1901.05555, Sec. 5.1), rounded to nearest and at least one, drawn by
/// the seed; ascending. n_0 is as large as the images of every class, and `limit` in all (0: no
/// limit), allow. Throws DataError where an image has no label or a class no image.
/// ratio  n_0 / n_(C-1) >= 1; 1 takes as many of each class
[[nodiscard]] std::vector<std::uint32_t> long_tail(const Dataset& images,
                                                   double ratio,
                                                   std::int64_t limit,
                                                   std::uint64_t seed);

/// The images of `base`, with annotations[i] for image i: what is known about places in it, in
/// pixels of its stored size, or nothing. Throws ContractViolation unless there is one for each.
[[nodiscard]] std::unique_ptr<Dataset> with_annotations(std::shared_ptr<const Dataset> base,
                                                        std::vector<Annotations> annotations);

/// The images of `base`, each changed when it is read, on whatever thread; without annotations.
/// change  makes another image of one of them and its index; const and thread-safe
[[nodiscard]] std::unique_ptr<Dataset> make_changed(
    std::shared_ptr<const Dataset> base,
    std::function<Image(const Image& image, std::size_t index)> change);

/// Images in memory, without labels, named by their place: "image#0".
[[nodiscard]] std::unique_ptr<Dataset> make_image_list(std::vector<Image> images);

/// The images of `base`, each mirrored: left and right exchanged.
[[nodiscard]] std::unique_ptr<Dataset> make_mirrored(std::shared_ptr<const Dataset> base);

/// Bytes of all images when decoded with `bands` bands (0: as stored), if the first ones are
/// typical. 0 when none of these can be read.
[[nodiscard]] std::uint64_t estimate_decoded_bytes(const Dataset& dataset, int bands);

/// What preload() could not read.
struct BadImage {
  std::size_t index = 0;
  std::string reason;  // names the image
};

/// The good images of a data set, decoded once and held in memory when they fit.
struct Preloaded {
  std::shared_ptr<const Dataset> dataset;  // without the bad images
  std::vector<BadImage> bad;
  bool in_memory = false;  // false: larger than the budget, images are decoded at every access
};

/// Decodes every image of `base` on `threads` threads, each with `bands` bands (0: as stored),
/// keeps them if they fit in `budget_bytes` (estimated from the first images, then counted), and
/// leaves out what cannot be read. A larger data set stays where it is: its images get their bands
/// when read, and its bad images are found by reading all once when max_bad_fraction > 0, else they
/// appear when read. Throws DataError when more than max_bad_fraction of the
/// images are bad, naming the first few and the count, or when none is good.
[[nodiscard]] Preloaded preload(std::shared_ptr<const Dataset> base,
                                int bands,
                                std::uint64_t budget_bytes,
                                double max_bad_fraction,
                                int threads);

}  // namespace viewfold
