// Times the same views as `viewfold bench views`, made by OpenCV's functions: one JSON object a
// line.
#include <algorithm>
#include <chrono>
#include <filesystem>
#include <future>
#include <iostream>
#include <latch>
#include <map>

#include "opencv_ops.hpp"
#include <nlohmann/json.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

namespace viewfold::bench {
namespace {

using Clock = std::chrono::steady_clock;

struct Settings {
  std::string pictures;
  std::string recipe = "simclr";
  std::string ops;
  int size = 32;
  int threads = 1;
  int rounds = 5;
  int milliseconds = 300;
  bool decode = false;
};

// What is made of which pictures; the pictures are decoded when `decoded` holds them.
struct Work {
  std::vector<std::string> paths;
  std::vector<cv::Mat> decoded;
  std::vector<Group> groups;
  bool normalise = true;
};

cv::Mat read_picture(const std::string& path) {
  cv::Mat picture = cv::imread(path, cv::IMREAD_COLOR);
  if (picture.empty()) {
    throw std::runtime_error(path + ": cannot be read");
  }
  cv::cvtColor(picture, picture, cv::COLOR_BGR2RGB);
  return picture;
}

std::vector<std::string> picture_paths(const std::string& folder) {
  std::vector<std::string> paths;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) {
      paths.push_back(entry.path().string());
    }
  }
  if (paths.empty()) {
    throw std::runtime_error(folder + ": holds no pictures");
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

// What one thread owns, and keeps from round to round.
class Maker {
 public:
  Maker(const Work& work, std::size_t first, std::size_t stride)
      : work_(work),
        groups_(work.groups),
        next_(first),
        stride_(stride),
        rng_(first + 1) {
    std::size_t values = 0;
    for (const auto& group : groups_) {
      views_ += group.views;
      values += static_cast<std::size_t>(group.views * group.size * group.size) * 3;
    }
    constexpr std::size_t kMost = 256;
    constexpr std::size_t kMemory = std::size_t{64} << 20U;
    const auto samples = std::clamp<std::size_t>(kMemory / (values * sizeof(float)), 1, kMost);
    batch_.resize(work.normalise ? samples * values : 0);
  }

  double run(double seconds) {
    const auto start = Clock::now();
    double passed = 0.0;
    std::int64_t views = 0;
    while (passed < seconds) {
      constexpr int kSamplesPerLook = 8;
      for (int i = 0; i < kSamplesPerLook; ++i) {
        make_sample();
      }
      views += kSamplesPerLook * views_;
      passed = std::chrono::duration<double>(Clock::now() - start).count();
    }
    return static_cast<double>(views) / passed;
  }

 private:
  void make_sample() {
    const std::size_t position = next_ % work_.paths.size();
    next_ += stride_;
    const cv::Mat source =
        work_.decoded.empty() ? read_picture(work_.paths[position]) : work_.decoded[position];
    for (const auto& group : groups_) {
      for (int i = 0; i < group.views; ++i) {
        make_view(group, source);
      }
    }
  }

  void make_view(const Group& group, const cv::Mat& source) {
    const cv::Mat* current = &source;
    for (const auto& step : group.steps) {
      if (step.probability < 1.0 && rng_.uniform(0.0, 1.0) >= step.probability) {
        continue;
      }
      cv::Mat& next = current == &turns_[0] ? turns_[1] : turns_[0];
      step.run(*current, next, buffers_, rng_);
      current = &next;
    }
    if (work_.normalise) {
      normalise(*current);
    }
  }

  // As albumentations' Normalize: to float, minus the mean, times 1 / std.
  void normalise(const cv::Mat& view) {
    cv::Mat row(view.rows, view.cols, CV_32FC3, batch_.data() + written_);
    view.convertTo(row, CV_32F);
    cv::subtract(row, cv::Scalar::all(0.5 * 255.0), row);
    cv::multiply(row, cv::Scalar::all(1.0 / (0.25 * 255.0)), row);
    written_ = (written_ + row.total() * 3) % batch_.size();
  }

  const Work& work_;
  std::vector<Group> groups_;  // a copy: operations keep memory
  std::size_t next_;
  std::size_t stride_;
  cv::RNG rng_;
  std::int64_t views_ = 0;
  std::array<cv::Mat, 2> turns_;
  Buffers buffers_;
  std::vector<float> batch_;
  std::size_t written_ = 0;
};

double run_round(std::vector<Maker>& makers, double seconds) {
  std::latch start(static_cast<std::ptrdiff_t>(makers.size()));
  std::vector<std::future<double>> rates;
  rates.reserve(makers.size());
  for (auto& maker : makers) {
    rates.push_back(std::async(std::launch::async, [&start, &maker, seconds] {
      start.arrive_and_wait();
      return maker.run(seconds);
    }));
  }
  double sum = 0.0;
  for (auto& rate : rates) {
    sum += rate.get();
  }
  return sum;
}

nlohmann::ordered_json measure(const Work& work, const Settings& settings) {
  std::vector<Maker> makers;
  makers.reserve(static_cast<std::size_t>(settings.threads));
  for (int t = 0; t < settings.threads; ++t) {
    makers.emplace_back(work, static_cast<std::size_t>(t),
                        static_cast<std::size_t>(settings.threads));
  }
  const double seconds = settings.milliseconds / 1000.0;
  (void)run_round(makers, seconds / 5.0);
  std::vector<double> rates;
  rates.reserve(static_cast<std::size_t>(settings.rounds));
  for (int i = 0; i < settings.rounds; ++i) {
    rates.push_back(run_round(makers, seconds));
  }
  auto sorted = rates;
  std::sort(sorted.begin(), sorted.end());
  const double median = (sorted[(sorted.size() - 1) / 2] + sorted[sorted.size() / 2]) / 2.0;
  const cv::Mat first =
      work.decoded.empty() ? read_picture(work.paths.front()) : work.decoded.front();
  int views = 0;
  for (const auto& group : work.groups) {
    views += group.views;
  }
  return {{"benchmark", "views"},
          {"by", "opencv"},
          {"views_per_second", median},
          {"rounds", settings.rounds},
          {"milliseconds", settings.milliseconds},
          {"rates", rates},
          {"size", settings.size},
          {"threads", settings.threads},
          {"decode", settings.decode ? "on" : "off"},
          {"images", work.paths.size()},
          {"source_height", first.rows},
          {"source_width", first.cols},
          {"bands", 3},
          {"views_per_sample", views},
          {"instruction_set", "OpenCV " CV_VERSION}};
}

Settings read_settings(int argc, char** argv) {
  if (argc < 2 || argc % 2 != 0) {
    throw std::invalid_argument(
        "usage: bench_opencv_views FOLDER [--recipe NAME | --op LIST] [--size N] [--threads N] "
        "[--decode on|off] [--rounds N] [--milliseconds N]");
  }
  Settings settings;
  settings.pictures = argv[1];
  const std::map<std::string, std::function<void(const std::string&)>> known{
      {"--recipe", [&](const auto& text) { settings.recipe = text; }},
      {"--op", [&](const auto& text) { settings.ops = text; }},
      {"--size", [&](const auto& text) { settings.size = std::stoi(text); }},
      {"--threads", [&](const auto& text) { settings.threads = std::stoi(text); }},
      {"--rounds", [&](const auto& text) { settings.rounds = std::stoi(text); }},
      {"--milliseconds", [&](const auto& text) { settings.milliseconds = std::stoi(text); }},
      {"--decode", [&](const auto& text) { settings.decode = text == "on"; }}};
  for (int i = 2; i < argc; i += 2) {
    const auto found = known.find(argv[i]);
    if (found == known.end()) {
      throw std::invalid_argument(std::string("there is no setting ") + argv[i]);
    }
    found->second(argv[i + 1]);
  }
  return settings;
}

// Each named operation on its own; names that OpenCV has nothing for are passed over.
void measure_operations(const Settings& settings, const Work& pictures) {
  const std::string wanted = "," + settings.ops + ",";
  Buffers buffers;
  cv::RNG rng;
  for (const auto& op : single_operations(settings.size)) {
    if (wanted.find("," + op.name + ",") == std::string::npos) {
      continue;
    }
    Work work = pictures;
    work.normalise = false;
    work.groups = {{1, settings.size, {{1.0, op.run}}}};
    if (!op.takes_sources) {
      const auto operations = single_operations(settings.size);
      const auto cut = std::find_if(operations.begin(), operations.end(),
                                    [](const auto& any) { return any.name == "center_crop"; });
      for (auto& picture : work.decoded) {
        cv::Mat view;
        cut->run(picture, view, buffers, rng);
        picture = view;
      }
    }
    auto json = measure(work, settings);
    json["op"] = op.name;
    std::cout << json.dump() << std::endl;
  }
}

void run(const Settings& settings) {
  Work work;
  work.paths = picture_paths(settings.pictures);
  if (!settings.decode || !settings.ops.empty()) {
    for (const auto& path : work.paths) {
      work.decoded.push_back(read_picture(path));
    }
  }
  if (!settings.ops.empty()) {
    measure_operations(settings, work);
    return;
  }
  work.groups = recipe(settings.recipe, settings.size);
  auto json = measure(work, settings);
  json["recipe"] = settings.recipe;
  std::cout << json.dump() << std::endl;
}

}  // namespace
}  // namespace viewfold::bench

int main(int argc, char** argv) {
  try {
    cv::setNumThreads(1);
    viewfold::bench::run(viewfold::bench::read_settings(argc, argv));
    return 0;
  } catch (const std::exception& error) {
    std::cerr << "bench_opencv_views: " << error.what() << "\n";
    return 1;
  }
}
