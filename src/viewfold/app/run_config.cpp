// Describes the settings of a run.
#include "viewfold/app/run_config.hpp"

#include "viewfold/core/error.hpp"

namespace viewfold {

void DataConfig::visit(FieldVisitor& v) {
  // The fingerprint of the images, not their place, is what a resumed run must find again.
  v.field("source", source,
          {.doc = "folder, archive, list of paths, or name of a data set",
           .resume = Resume::kMayChange});
  v.field("split", split, {.doc = "which part of it to learn from: train, test or unlabeled"});
  v.field("limit", limit,
          {.doc = "learn from this many images only, chosen by the seed; 0 takes all", .min = 0});
  v.field("bands", bands,
          {.doc = "bands of the images the network sees (1 gray, 3 colour); 0 looks at the data",
           .min = 0,
           .max = 1024});
  v.field(
      "hold_out", hold_out,
      {.doc = "share of the training images kept for evaluation while training, where there are "
              "labels",
       .min = 0,
       .max = 0.5});
  v.field("max_bad_fraction", max_bad_fraction,
          {.doc = "go on without unreadable images while their share is at most this",
           .min = 0,
           .max = 1});
  v.field("memory_gb", memory_gb,
          {.doc = "images are held decoded in memory when they fit in this much",
           .min = 0,
           .resume = Resume::kMayChange});
  v.field("cache_gb", cache_gb,
          {.doc = "where they do not, pretraining decodes them once into a file in the run's "
                  "folder, of at most this size and half of the free disk; 0 makes none",
           .min = 0,
           .max = 1e6,
           .resume = Resume::kMayChange});
  v.field("reduce_jpeg", reduce_jpeg,
          {.doc = "decode a JPEG at a half, a quarter or an eighth where all its views are shrunk "
                  "by that much anyway, and at every access; auto does for photographs of 1024 px "
                  "and more",
           .choices = {"auto", "on", "off"}});
  v.field(
      "imbalance", imbalance,
      {.doc = "to learn from a long tail of classes: how many times more images the first class "
              "has than the last; 1 takes the images as they are, more reads their labels",
       .min = 1,
       .max = 1e6});
  v.field("corruption", corruption,
          {.doc = "to learn from spoilt images: gamma:0.2, global_shuffle:8, local_shuffle:4, or a "
                  "common corruption with its severity, fog:3 (see docs/audits.md)"});
  v.field("corruption_policy", corruption_policy,
          {.doc = "whether each image is spoilt in its own way, or all in the same",
           .choices = {"per_image", "fixed"}});
}

void ChosenEncoderConfig::visit(FieldVisitor& v) {
  v.field("name", name, {.doc = "network, see `viewfold list encoders`"});
  settings.visit(v);
}

void OnlineConfig::visit(FieldVisitor& v) {
  v.field(
      "every", every,
      {.doc =
           "epochs between kNN evaluations on held-out training images, beside those of the first "
           "and last; 0 takes a tenth of the run",
       .min = 0,
       .resume = Resume::kMayChange});
  v.field("bank", bank,
          {.doc = "how many training images the kNN evaluation compares with",
           .min = 1,
           .resume = Resume::kMayChange});
}

RunConfig::RunConfig(const std::string& method_name_in,
                     const std::string& recipe_name_in,
                     std::int64_t view_size_in)
    : method_name(method_name_in),
      recipe_name(recipe_name_in),
      view_size(view_size_in) {
  const MethodEntry& entry = find_method(method_name);
  const ImageScale scale = scale_of(view_size);
  if (recipe_name == "auto") {
    recipe_name = entry.recipe;
  }
  recipe = std::make_unique<RecipeConfig>(recipe_name, view_size);
  method = entry.config(scale);
  encoder.name = entry.encoder;
  entry.train_defaults(scale, train);
}

void RunConfig::visit(FieldVisitor& v) {
  v.field("seed", seed, {.doc = "of everything random", .min = 0});
  visit_group(v, "data", data);
  visit_group(v, "encoder", encoder);
  v.enter("method");
  v.field("name", method_name, {.doc = "objective, see `viewfold list methods`"});
  method->visit(v);
  v.leave();
  v.enter("views");
  v.field(
      "recipe", recipe_name,
      {.doc = "view recipe, see `viewfold list recipes`; name+operation adds operations to it"});
  v.field(
      "size", view_size,
      {.doc = "height and width of a view in pixels; by default the size of the images, at most "
              "96",
       .min = 4,
       .max = 4096});
  recipe->visit(v);
  visit_group(v, "learned", learned);
  v.leave();
  visit_group(v, "train", train);
  visit_group(v, "online", online);
}

ConfigSource take_run_settings(Arguments& arguments) {
  ConfigSource source;
  while (const auto file = arguments.take_first("config")) {
    source.add_toml_file(*file);
  }
  if (arguments.has_positional()) {
    source.set("data.source", arguments.take_positional("DATA"), "DATA");
  }
  arguments.move_settings(source);
  arguments.expect_empty({});
  return source;
}

DataConfig read_data_config(const ConfigSource& source) {
  struct Part final : Config {
    DataConfig data;
    void visit(FieldVisitor& v) override { visit_group(v, "data", data); }
  };
  Part part;
  read_config(part, source.only("data."));
  return part.data;
}

RunConfig read_run_config(const ConfigSource& source, std::int64_t fallback_size) {
  struct Size final : Config {
    std::int64_t size = 0;
    void visit(FieldVisitor& v) override { v.field("views.size", size, {.min = 4, .max = 4096}); }
  };
  Size size;
  size.size = fallback_size;
  read_config(size, source.only("views.size"));
  const std::string recipe = source.string_or("views.recipe", "auto");
  RunConfig config(source.string_or("method.name", "simclr"), recipe, size.size);
  const std::string resolved_recipe = config.recipe_name;
  read_config(config, source);
  config.recipe_name = resolved_recipe;
  (void)find_encoder(config.encoder.name);
  (void)find_manifold(config.learned.operator_name);
  (void)config.learned.samples_kept();
  return config;
}

}  // namespace viewfold
