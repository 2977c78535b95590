// Help of the verbs, from their options and the description of the settings.
#include <map>

#include <fmt/format.h>

#include "viewfold/app/commands.hpp"
#include "viewfold/app/manifold_run.hpp"
#include "viewfold/app/run_config.hpp"
#include "viewfold/app/verbs.hpp"
#include "viewfold/core/error.hpp"
#include "viewfold/eval/evaluation.hpp"

namespace viewfold {
namespace {

const Option kConfigFile{"config", "FILE", "a TOML file of settings; may be given several times"};
const Option kRunOut{"out", "RUN", "run directory; by default runs/DATA-METHOD, numbered"};

std::map<std::string, std::vector<Option>> make_options() {
  return {
      {"pretrain",
       {kConfigFile, kRunOut, {"overwrite", "", "remove an earlier run at --out first"}}},
      {"resume", {}},
      {"verify-resume",
       {{"kills", "N", "how many runs to kill and resume (default 3)"},
        {"images", "N", "learn from this many images (default 2048)"},
        {"epochs", "N", "for this many epochs (default 2)"}}},
      {"evaluate",
       {{"on", "LIST", "evaluations, see `viewfold list evaluations` (default knn,linear)"},
        {"data", "DATA", "labelled images; by default those of the run"},
        {"beside", "RUN", "also measure the encoder of this run, in the same way"},
        {"controls", "on|off", "also measure raw pixels and the untrained encoder (default on)"},
        {"threads", "N", "threads; 0 takes every core"}}},
      {"audit",
       {{"data", "DATA", "images, with labels or without; by default those of each run"},
        {"on", "LIST",
         "parts: evaluations (`viewfold list evaluations`), invariance, alignment, sets, "
         "robustness, "
         "solids, map, duplicates, adversarial, fine_tuning (default all)"},
        {"minutes", "N", "how long it may take in all; decides how many images (default 10)"},
        {"again", "", "measure also what has been measured with as many images"},
        {"threads", "N", "threads; 0 takes every core"}}},
      {"report", {{"out", "FILE", "where to (default RUN/report.html)"}}},
      {"compare",
       {{"out", "FILE.html",
         "also write a page with the tables and the curves (default: the terminal only)"}}},
      {"study",
       {{"out", "DIR", "runs and results; what is there is not done again (default runs/RECIPE)"},
        {"only", "ARM,ARM", "run these arms only; tables hold all that is there"},
        {"seeds", "N,N", "run with these seeds of the recipe only"},
        {"SETTING", "VALUE", "any setting of a run, for every arm, see `viewfold pretrain --help`"},
        {"evaluate.OPTION", "VALUE", "any option of `viewfold evaluate`, for every run"}}},
      {"embed",
       {{"out", "FILE.npy", "float32 features, one row per image; names go to FILE.jsonl"},
        {"split", "SPLIT", "train, test or unlabeled (default train)"},
        {"skip-bad", "", "leave unreadable images out, and name them, instead of stopping"},
        {"threads", "N", "threads; 0 takes every core"}}},
      {"export",
       {{"format", "LIST", "safetensors, torchscript (default both)"},
        {"out", "FOLDER", "where to (default RUN/export)"}}},
      {"import",
       {{"out", "RUN",
         "folder to make: evaluate, audit, embed, export and report take it as a run"},
        {"size", "N",
         "height and width in pixels at which images enter (default by the first layer: 224 or "
         "32)"},
        {"mean", "N,N,N", "of the bands, of values in 0 .. 1 (default 0.485,0.456,0.406)"},
        {"std", "N,N,N", "ditto (default 0.229,0.224,0.225)"},
        {"prefix", "TEXT",
         "what stands before the names of the encoder's weights (default: found)"},
        {"stem", "NAME", "auto, cifar, half or imagenet (default auto: by the first weights)"},
        {"overwrite", "", "remove an earlier run at --out first"}}},
      {"fuse",
       {{"out", "RUN",
         "folder to make: evaluate, audit, embed, export and report take it as a run"},
        {"overwrite", "", "remove an earlier run at --out first"}}},
      {"views",
       {kConfigFile,
        {"out", "FILE",
         "FILE.png: the pictures; FILE.html: a page, with what was drawn for each view (default "
         "views.png)"}}},
      {"audit-views",
       {kConfigFile,
        {"images", "N", "look at this many images, spread over the data (default 256)"},
        {"with", "RUN", "measure distances by the encoder of this run (default: an untrained one)"},
        {"boxes", "FILE.csv",
         "known objects, name,left,top,right,bottom in pixels: are they lost?"},
        {"json", "", "print one JSON array instead of tables"}}},
      {"show",
       {{"sample", "N", "which image, counted from 0 in the order of the run's data (default 0)"},
        {"epoch", "N", "in which epoch, counted from 1 as the progress shows it (default 1)"},
        {"out", "FILE", "also draw the image and its views, as FILE.png or as FILE.html"},
        {"json", "", "print the drawn parameters as one JSON object"}}},
      {"data",
       {{"split", "SPLIT", "train, test or unlabeled (default: every split)"},
        {"threads", "N", "threads; 0 takes every core"}}},
      {"bench",
       {{"rounds", "N", "the result is the median of this many (default 5)"},
        {"milliseconds", "N", "how long a round is (default 300; train: 3000)"},
        {"size", "N", "height and width of a view in pixels (default as in training)"},
        {"split", "SPLIT", "train, test or unlabeled (default train)"},
        {"views.OP.SETTING", "VALUE", "a setting of an operation, as `viewfold views` takes it"},
        {"json", "", "one JSON object a line instead of a table"},
        {"recipe", "NAME", "views: time those of this recipe (default simclr)"},
        {"op", "LIST", "views: time these operations instead, each alone and without chance"},
        {"threads", "N", "views: threads that make them, each for itself (default 1)"},
        {"decode", "on|off", "views: also read and decode the image of each sample (default off)"},
        {"images", "N", "views: take this many, spread over the data (default 256)"},
        {"config", "FILE", "train: a TOML file of settings; may be given several times"},
        {"SETTING", "VALUE", "train: any setting of a run, see `viewfold pretrain --help`"}}},
      {"manifold",
       {{"out", "FOLDER",
         "fit: where to; the same command again goes on or says what is there; sample: ditto of "
         "the pictures"},
        {"config", "FILE", "fit: a TOML file of settings; may be given several times"},
        {"operator", "NAME", "sample: what draws, see `viewfold list operators` (default ic_gan)"},
        {"images", "N", "sample: of how many images, spread over the data (default 10)"},
        {"each", "N", "sample: pictures of each (default 10)"},
        {"truncation", "X",
         "sample: noise beyond X deviations is drawn again (default 0: none is)"},
        {"seed", "N", "sample: of the pictures (default 1)"}}},
      {"doctor", {}},
      {"list", {}},
  };
}

bool takes_run_settings(const std::string& verb) {
  return verb == "pretrain" || verb == "views" || verb == "audit-views" || verb == "resume";
}

std::string option_line(const std::string& left, const std::string& doc) {
  constexpr std::size_t kColumn = 26;
  if (left.size() + 2 > kColumn) {
    return fmt::format("  {}\n  {:{}}{}\n", left, "", kColumn, doc);
  }
  return fmt::format("  {:<{}}{}\n", left, kColumn, doc);
}

std::string setting_line(const FieldDescription& field, bool resume) {
  std::string facts = field.type;
  if (!field.range.empty()) {
    facts += ", " + field.range;
  }
  facts += "; default " + field.default_value;
  if (resume && field.resume == Resume::kMustMatch) {
    return "";
  }
  return fmt::format("  --{}\n      {} ({})\n", field.key, field.doc, facts);
}

std::string settings_help(const std::string& verb, Arguments& arguments) {
  ConfigSource source;
  arguments.move_settings(source);
  ConfigSource chosen;
  for (const char* key : {"method.name", "encoder.name", "views.recipe", "views.size"}) {
    const auto found = source.values().find(key);
    if (found != source.values().end()) {
      chosen.set(key, std::get<std::string>(found->second.value), found->second.origin);
    }
  }
  constexpr std::int64_t kShownSize = 32;
  RunConfig config = read_run_config(chosen, kShownSize);
  std::string text = fmt::format(
      "\nsettings of a run{} (in TOML: the part before the last dot is the table):\n",
      verb == "resume" ? " that may change when it goes on"
                       : fmt::format(", here with the defaults of {} for views of {} px",
                                     config.method_name, config.view_size));
  for (const auto& field : describe_config(config)) {
    text += setting_line(field, verb == "resume");
  }
  std::string names;
  for (const auto& name : short_names()) {
    if (text.find(fmt::format("\n  --{}\n", name.key)) != std::string::npos) {
      names += fmt::format("  --{:<10} --{}\n", name.name, name.key);
    }
  }
  return names.empty() ? text : text + "\nshort names:\n" + names;
}

// Every evaluation's settings under its name.
class EvaluationSettings final : public Config {
 public:
  void visit(FieldVisitor& v) override {
    for (const auto& entry : evaluation_table()) {
      const auto config = entry.config();
      visit_group(v, entry.name, *config);
    }
  }
};

std::string evaluation_settings_help() {
  EvaluationSettings settings;
  std::string text = "\nsettings of the evaluations:\n";
  for (const auto& field : describe_config(settings)) {
    text += setting_line(field, false);
  }
  return text;
}

std::string manifold_settings_help() {
  constexpr std::int64_t kShownSize = 32;
  ManifoldConfig config(kShownSize);
  std::string text = "\nsettings of a fit (in TOML: the part before the last dot is the table):\n";
  for (const auto& field : describe_config(config)) {
    text += setting_line(field, false);
  }
  return text;
}

}  // namespace

const std::vector<Option>& options_of(const std::string& verb) {
  static const auto kOptions = make_options();
  const auto found = kOptions.find(verb);
  if (found == kOptions.end()) {
    std::vector<std::string> names;
    for (const auto& known : kVerbs) {
      names.emplace_back(known.name);
    }
    const auto nearest = nearest_name(verb, names);
    throw UsageError(
        fmt::format("there is no verb \"{}\"{} (see `viewfold --help`)", verb,
                    nearest.empty() ? "" : fmt::format(", did you mean {}?", nearest)));
  }
  return found->second;
}

std::string verb_help(const std::string& verb, Arguments arguments) {
  const auto& options = options_of(verb);
  std::string text;
  for (const auto& known : kVerbs) {
    if (known.name == verb) {
      text = fmt::format("usage: viewfold {} {}\n\n{}\n", verb, known.arguments, known.summary);
    }
  }
  if (!options.empty()) {
    text += "\noptions:\n";
  }
  for (const auto& option : options) {
    const auto value = option.value.empty() ? "" : " " + option.value;
    text += option_line("--" + option.name + value, option.doc);
  }
  if (takes_run_settings(verb)) {
    text += settings_help(verb, arguments);
  }
  if (verb == "evaluate") {
    text += evaluation_settings_help();
  }
  if (verb == "manifold") {
    text += manifold_settings_help();
  }
  return text;
}

}  // namespace viewfold
