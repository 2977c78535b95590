// What the input of fuzz_report means: the first byte names a file of a run, the rest are its
// bytes.
#pragma once

#include <array>

namespace viewfold::testing {

inline constexpr std::array kRunFiles = {
    "run.json",      "metrics.jsonl",        "eval/knn.json",        "resolved.toml",
    "card.json",     "figures/views.png",    "eval/invariance.json", "eval/robustness.json",
    "eval/map.json", "eval/duplicates.json", "figures/map.jpg"};

}  // namespace viewfold::testing
