// The parts of an audit: each measures one thing of one run.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "viewfold/app/audited_run.hpp"

namespace viewfold {

/// How many images a part takes, or took.
struct AuditCounts {
  std::int64_t train = 0;
  std::int64_t test = 0;
};

struct AuditPart {
  std::string name;      // of its file, eval/<name>.json
  std::string settings;  // what a result depends on besides images and encoder
  std::function<AuditCounts(const AuditedRun& run)> wanted;
  /// What the file holds, without settings and controls. Throws UsageError and DataError where the
  /// images do not allow it, or there is no time for it.
  std::function<nlohmann::ordered_json(AuditedRun& run)> measure;
  bool needs_images =
      true;  // whether it is about the images of the audit; else about rendered ones
};

/// Which pictures are rendered for the parts that need no images: "plain-solids" where the audit is
/// of these, else "solids".
[[nodiscard]] std::string rendered_source(const AuditedRun& run);

/// All parts in the order in which they are measured: the evaluations of the table, then what
/// changes images, then what takes long.
[[nodiscard]] std::vector<AuditPart> audit_parts();

/// Those called by `names`, in that order. Throws UsageError with the nearest known name.
[[nodiscard]] std::vector<AuditPart> find_audit_parts(const std::vector<std::string>& names);

}  // namespace viewfold
