// Implements how images and settings are found for looking at views.
#include "viewfold/app/view_source.hpp"

#include "viewfold/app/pretraining.hpp"
#include "viewfold/app/run_images.hpp"
#include "viewfold/core/error.hpp"

namespace viewfold {

ViewSource open_view_source(Arguments arguments, LogSink& log) {
  const ConfigSource source = take_run_settings(arguments);
  const DataConfig data = read_data_config(source);
  if (data.source.empty()) {
    throw UsageError("DATA (a folder, an archive or the name of a data set) is missing");
  }
  if (read_run_config(source, default_view_size(0)).learned.is_on()) {
    Experiment experiment = read_experiment(source, log);
    return {.dataset = experiment.images.train,
            .bands = experiment.images.bands,
            .reduce_jpeg = experiment.images.reduce_jpeg,
            .config = std::move(experiment.config),
            .learned = experiment.learned};
  }
  auto dataset = open_dataset({.spec = data.source, .split = data.split});
  const TypicalImage typical = typical_image(*dataset);
  return {.dataset = std::move(dataset),
          .bands = data.bands > 0 ? data.bands : typical.bands,
          .reduce_jpeg = reduces_jpeg(data, typical),
          .config = read_run_config(source, default_view_size(typical.shorter_side))};
}

}  // namespace viewfold
