// What each verb does; engine.cpp calls them by name.
#pragma once

#include "viewfold/app/arguments.hpp"

namespace viewfold {

// Each takes what follows the verb on the command line, prints results on standard output and
// progress on standard error, and throws what the libraries throw.

void pretrain_command(Arguments arguments);
void resume_command(Arguments arguments);
void verify_resume_command(Arguments arguments);
void evaluate_command(Arguments arguments);
void report_command(Arguments arguments);
void compare_command(Arguments arguments);
void audit_command(Arguments arguments);
void study_command(Arguments arguments);
void embed_command(Arguments arguments);
void export_command(Arguments arguments);
void import_command(Arguments arguments);
void fuse_command(Arguments arguments);
void views_command(Arguments arguments);
void audit_views_command(Arguments arguments);
void show_command(Arguments arguments);
void data_command(Arguments arguments);
void bench_command(Arguments arguments);
void doctor_command(Arguments arguments);
void manifold_command(Arguments arguments);
void list_command(Arguments arguments);

/// The settings a verb takes on the command line besides the run settings, and what they mean.
struct Option {
  std::string name;   // without dashes
  std::string value;  // what stands for its value in help; "" for a flag
  std::string doc;
};

/// Options of a verb by its name. Throws UsageError for unknown verbs.
[[nodiscard]] const std::vector<Option>& options_of(const std::string& verb);

/// What `viewfold VERB --help` prints: usage, options and, where the verb takes them, all settings
/// of a run. `arguments` may choose method, encoder and views, whose settings are then shown.
[[nodiscard]] std::string verb_help(const std::string& verb, Arguments arguments);

}  // namespace viewfold
