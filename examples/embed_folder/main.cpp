// Prints the features of every image of a folder, made by the encoder of a run.
#include <cstdio>
#include <exception>

#include <ATen/ATen.h>

#include "viewfold/core/run_dir.hpp"
#include "viewfold/data/dataset.hpp"
#include "viewfold/eval/encoder_file.hpp"

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: embed_folder RUN IMAGES\n");
    return 2;
  }
  try {
    const auto run = viewfold::RunDir::open(argv[1]);
    const auto loaded = viewfold::read_encoder(run.encoder(), run.card());
    const auto images = viewfold::open_dataset({.spec = argv[2]});
    const auto features =
        viewfold::extract_features(*loaded.encoder, *images, loaded.preprocess(), 32, 1).features;
    for (std::size_t i = 0; i < images->size(); ++i) {
      std::printf("%s", images->name(i).c_str());
      const auto row = features[static_cast<std::int64_t>(i)];
      for (std::int64_t d = 0; d < row.numel(); ++d) {
        std::printf(" %.6g", row[d].item<float>());
      }
      std::printf("\n");
    }
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "embed_folder: %s\n", error.what());
    return 1;
  }
}
