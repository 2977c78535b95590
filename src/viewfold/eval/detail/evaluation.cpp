// Looks evaluations up by name.
#include "viewfold/eval/evaluation.hpp"

#include "viewfold/core/named_table.hpp"

namespace viewfold {

const EvaluationEntry& find_evaluation(std::string_view name) {
  return find_row(evaluation_table(), name, "evaluation");
}

}  // namespace viewfold
