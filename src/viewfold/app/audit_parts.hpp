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

/// All parts in the order in which they are measured: the evaluations of the table, then what
/// changes images, then what takes long.
[[nodiscard]] std::vector<AuditPart> audit_parts();

}  // namespace viewfold
