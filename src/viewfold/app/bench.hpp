// What `viewfold bench` can measure, and what its measurements share.
#pragma once

#include <vector>

#include "viewfold/app/arguments.hpp"

namespace viewfold {

/// `viewfold bench views`: views a second, made as the loader makes them. Takes what follows
/// "views" on the command line.
void bench_views(Arguments arguments);

/// `viewfold bench train`: views a second of whole training steps, beside what the machine could
/// do. Takes what follows "train" on the command line.
void bench_train(Arguments arguments);

/// The middle one of what rounds gave, the mean of the middle two when their number is even. Throws
/// ContractViolation without a round.
[[nodiscard]] double median(std::vector<double> rounds);

}  // namespace viewfold
