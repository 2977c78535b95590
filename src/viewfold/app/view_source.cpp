// Implements how images and settings are found for looking at views.
#include "viewfold/app/view_source.hpp"

#include "viewfold/app/run_images.hpp"
#include "viewfold/core/error.hpp"

namespace viewfold {

ViewSource open_view_source(Arguments arguments) {
  const ConfigSource source = take_run_settings(arguments);
  const DataConfig data = read_data_config(source);
  if (data.source.empty()) {
    throw UsageError("DATA (a folder, an archive or the name of a data set) is missing");
  }
  auto dataset = open_dataset({.spec = data.source, .split = data.split});
  const TypicalImage typical = typical_image(*dataset);
  return {.dataset = std::move(dataset),
          .bands = data.bands > 0 ? data.bands : typical.bands,
          .reduce_jpeg = reduces_jpeg(data, typical),
          .config = read_run_config(source, default_view_size(typical.shorter_side))};
}

}  // namespace viewfold
