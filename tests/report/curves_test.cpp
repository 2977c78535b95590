// Tests of the collection and thinning of curves.
#include "viewfold/report/curves.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "viewfold/core/rng.hpp"

namespace viewfold::report {
namespace {

using nlohmann::json;

Points noise(std::size_t count) {
  Rng rng({.seed = 1, .stream = "curve"});
  Points points;
  for (std::size_t i = 0; i < count; ++i) {
    points.emplace_back(static_cast<double>(i), static_cast<double>(rng.below(1000000)));
  }
  return points;
}

std::vector<json> lines(const std::string& event, const std::string& key, const json& values) {
  std::vector<json> made;
  for (const json& value : values) {
    made.push_back({{"event", event}, {"step", 10 * (made.size() + 1)}, {key, value}});
  }
  return made;
}

TEST(ThinOut, LeavesFewPointsAsTheyAre) {
  EXPECT_EQ(thin_out({}, 4), Points{});
  EXPECT_EQ(thin_out(noise(8), 4), noise(8));
}

TEST(ThinOut, KeepsOrderAndBothExtremesOfEachBucket) {
  for (const std::size_t count : {9U, 100U, 1001U}) {
    const Points all = noise(count);
    const Points kept = thin_out(all, 4);
    EXPECT_LE(kept.size(), 8U);
    EXPECT_TRUE(std::is_sorted(kept.begin(), kept.end()));
    for (std::size_t b = 0; b < 4; ++b) {
      const auto begin = all.begin() + static_cast<std::ptrdiff_t>(b * count / 4);
      const auto end = all.begin() + static_cast<std::ptrdiff_t>((b + 1) * count / 4);
      const auto by_value = [](const auto& p, const auto& q) { return p.second < q.second; };
      const auto has = [&](const auto& p) {
        return std::find(kept.begin(), kept.end(), p) != kept.end();
      };
      EXPECT_TRUE(has(*std::min_element(begin, end, by_value)));
      EXPECT_TRUE(has(*std::max_element(begin, end, by_value)));
    }
  }
}

TEST(ThinOut, KeepsASpikeOfOnePoint) {
  Points points(100000, {0.0, 1.0});
  for (std::size_t i = 0; i < points.size(); ++i) {
    points[i].first = static_cast<double>(i);
  }
  points[77777].second = 50.0;
  const Points kept = thin_out(points, 500);
  EXPECT_LE(kept.size(), 1000U);
  EXPECT_NE(std::find(kept.begin(), kept.end(), std::pair(77777.0, 50.0)), kept.end());
}

TEST(Curves, StartWithTheBestKnownAndEndWithTheMethodsOwn) {
  std::vector<json> metrics{{{"event", "train"},
                             {"step", 1},
                             {"epoch", 0},
                             {"time", 5.0},
                             {"agreement", 0.5},
                             {"rank", 3.0},
                             {"loss", 2.0}},
                            {{"event", "online"}, {"step", 1}, {"knn", 0.25}}};
  const json curves = curves_model(metrics);
  std::vector<std::string> titles;
  for (const json& curve : curves) {
    titles.push_back(curve["title"]);
  }
  EXPECT_EQ(titles, (std::vector<std::string>{"Loss", "Nearest-neighbour accuracy",
                                              "Effective rank", "agreement"}));
  EXPECT_EQ(curves[1]["last"], "25.0%");
  EXPECT_TRUE(curves[3]["note"].is_null());
}

TEST(Curves, HoldStepsAndValuesInOrder) {
  const json curve = curves_model(lines("train", "loss", {4.5, 2.25, 1.0}))[0];
  EXPECT_EQ(curve["points"], json::parse("[[10, 4.5], [20, 2.25], [30, 1]]"));
  EXPECT_EQ(curve["first"], "4.5");
  EXPECT_EQ(curve["last"], "1");
}

TEST(Curves, LeaveOutWhatIsNoFiniteNumber) {
  const json curves = curves_model(lines("train", "loss", {1.0, nullptr, "2", {3}, true, 6.0}));
  ASSERT_EQ(curves.size(), 1U);
  EXPECT_EQ(curves[0]["points"], json::parse("[[10, 1], [60, 6]]"));
}

TEST(Curves, AreNoneForOtherEventsAndForLinesWithoutStep) {
  EXPECT_TRUE(curves_model(lines("alarm", "loss", {1.0})).empty());
  EXPECT_TRUE(curves_model({{{"event", "train"}, {"loss", 1.0}}}).empty());
  EXPECT_TRUE(curves_model({}).empty());
}

TEST(Curves, TakeTheSmallestAndLargestNumbers) {
  const json curve = curves_model(lines("train", "loss", {5e-324, 1e308}))[0];
  EXPECT_EQ(curve["points"][1][1], 1e308);
  EXPECT_LT(curve["points"][0][1].get<double>(), 1e-300);
}

TEST(Curves, AreThinned) {
  const json curve = curves_model(lines("train", "loss", json(std::vector<double>(5000, 1.0))))[0];
  EXPECT_LE(curve["points"].size(), 1000U);
}

}  // namespace
}  // namespace viewfold::report
