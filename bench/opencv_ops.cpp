// Implements the operations on OpenCV. Buffers are reused, which Python code cannot do: this is the
// fastest that these functions give.
#include "opencv_ops.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>

#include <opencv2/imgproc.hpp>

namespace viewfold::bench {
namespace {

struct CropRange {
  double scale_min = 0.08;
  double scale_max = 1.0;
  int enlarging = cv::INTER_LINEAR;
};

// The procedure of torchvision's RandomResizedCrop.get_params.
cv::Rect draw_box(cv::Size source, const CropRange& range, cv::RNG& rng) {
  constexpr int kTries = 10;
  for (int i = 0; i < kTries; ++i) {
    const double area = source.area() * rng.uniform(range.scale_min, range.scale_max);
    const double ratio = std::exp(rng.uniform(std::log(3.0 / 4.0), std::log(4.0 / 3.0)));
    const int width = static_cast<int>(std::lround(std::sqrt(area * ratio)));
    const int height = static_cast<int>(std::lround(std::sqrt(area / ratio)));
    if (width >= 1 && height >= 1 && width <= source.width && height <= source.height) {
      return {rng.uniform(0, source.width - width + 1), rng.uniform(0, source.height - height + 1),
              width, height};
    }
  }
  return {{0, 0}, source};
}

// INTER_AREA is OpenCV's antialiased filter; it has no cubic one.
void resize(const cv::Mat& in, cv::Mat& out, int size, int enlarging) {
  const bool shrinks = in.rows > size && in.cols > size;
  cv::resize(in, out, {size, size}, 0.0, 0.0, shrinks ? cv::INTER_AREA : enlarging);
}

Operation crop(int size, const CropRange& range) {
  return [=](const cv::Mat& in, cv::Mat& out, Buffers&, cv::RNG& rng) {
    resize(in(draw_box(in.size(), range, rng)), out, size, range.enlarging);
  };
}

Operation flip(int axis) {
  return [axis](const cv::Mat& in, cv::Mat& out, Buffers&, cv::RNG&) { cv::flip(in, out, axis); };
}

double factor(double strength, cv::RNG& rng) {
  return rng.uniform(std::max(0.0, 1.0 - strength), 1.0 + strength);
}

Operation brightness(double strength) {
  return [strength](const cv::Mat& in, cv::Mat& out, Buffers&, cv::RNG& rng) {
    in.convertTo(out, -1, factor(strength, rng));
  };
}

Operation contrast(double strength) {
  return [strength](const cv::Mat& in, cv::Mat& out, Buffers& buffers, cv::RNG& rng) {
    const double scale = factor(strength, rng);
    cv::cvtColor(in, buffers.a, cv::COLOR_RGB2GRAY);
    in.convertTo(out, -1, scale, (1.0 - scale) * cv::mean(buffers.a)[0]);
  };
}

void grayscale(const cv::Mat& in, cv::Mat& out, Buffers& buffers, cv::RNG&) {
  cv::cvtColor(in, buffers.a, cv::COLOR_RGB2GRAY);
  cv::cvtColor(buffers.a, out, cv::COLOR_GRAY2RGB);
}

Operation saturation(double strength) {
  return [strength](const cv::Mat& in, cv::Mat& out, Buffers& buffers, cv::RNG& rng) {
    const double scale = factor(strength, rng);
    grayscale(in, buffers.b, buffers, rng);
    cv::addWeighted(in, scale, buffers.b, 1.0 - scale, 0.0, out);
  };
}

// OpenCV's hue of 8 bits counts half degrees: 180 make a turn.
Operation hue(double strength) {
  return [strength](const cv::Mat& in, cv::Mat& out, Buffers& buffers, cv::RNG& rng) {
    constexpr int kTurn = 180;
    const int turn = static_cast<int>(std::lround(rng.uniform(-strength, strength) * kTurn));
    cv::Mat table(1, 256, CV_8U);
    for (int i = 0; i < table.cols; ++i) {
      table.at<uchar>(i) = static_cast<uchar>((i + turn + kTurn) % kTurn);
    }
    cv::cvtColor(in, buffers.a, cv::COLOR_RGB2HSV);
    cv::extractChannel(buffers.a, buffers.b, 0);
    cv::LUT(buffers.b, table, buffers.c);
    cv::insertChannel(buffers.c, buffers.a, 0);
    cv::cvtColor(buffers.a, out, cv::COLOR_HSV2RGB);
  };
}

struct JitterStrength {
  double brightness = 0.4;
  double contrast = 0.4;
  double saturation = 0.4;
  double hue = 0.1;
};

Operation color_jitter(const JitterStrength& strength) {
  const std::array steps{brightness(strength.brightness), contrast(strength.contrast),
                         saturation(strength.saturation), hue(strength.hue)};
  return [steps, first = cv::Mat(), second = cv::Mat()](const cv::Mat& in, cv::Mat& out,
                                                        Buffers& buffers, cv::RNG& rng) mutable {
    std::array<std::size_t, 4> order{0, 1, 2, 3};
    for (int i = 3; i > 0; --i) {
      std::swap(order[static_cast<std::size_t>(i)],
                order[static_cast<std::size_t>(rng.uniform(0, i + 1))]);
    }
    steps[order[0]](in, first, buffers, rng);
    steps[order[1]](first, second, buffers, rng);
    steps[order[2]](second, first, buffers, rng);
    steps[order[3]](first, out, buffers, rng);
  };
}

void gaussian_blur(const cv::Mat& in, cv::Mat& out, Buffers&, cv::RNG& rng) {
  const int radius = std::max(1, std::min(in.rows, in.cols) / 20);
  const double sigma = rng.uniform(0.1, 2.0);
  cv::GaussianBlur(in, out, {2 * radius + 1, 2 * radius + 1}, sigma, sigma, cv::BORDER_REFLECT_101);
}

void warp(const cv::Mat& in, cv::Mat& out, const cv::Mat& matrix) {
  cv::warpAffine(in, out, matrix, in.size(), cv::INTER_LINEAR, cv::BORDER_CONSTANT);
}

cv::Point2f center_of(const cv::Mat& image) {
  return {static_cast<float>(image.cols - 1) / 2.0F, static_cast<float>(image.rows - 1) / 2.0F};
}

void rotation(const cv::Mat& in, cv::Mat& out, Buffers&, cv::RNG& rng) {
  warp(in, out, cv::getRotationMatrix2D(center_of(in), rng.uniform(-15.0, 15.0), 1.0));
}

// The values do not matter for the time: every affine map takes the same.
void affine(const cv::Mat& in, cv::Mat& out, Buffers&, cv::RNG& rng) {
  cv::Mat matrix =
      cv::getRotationMatrix2D(center_of(in), rng.uniform(-15.0, 15.0), rng.uniform(0.9, 1.1));
  matrix.at<double>(0, 2) += rng.uniform(-0.1, 0.1) * in.cols;
  matrix.at<double>(1, 2) += rng.uniform(-0.1, 0.1) * in.rows;
  warp(in, out, matrix);
}

template <class Map>
cv::Mat table_of(const Map& map) {
  cv::Mat table(1, 256, CV_8U);
  for (int i = 0; i < table.cols; ++i) {
    table.at<uchar>(i) = cv::saturate_cast<uchar>(map(i));
  }
  return table;
}

void solarize(const cv::Mat& in, cv::Mat& out, Buffers&, cv::RNG&) {
  cv::LUT(in, table_of([](int value) { return value < 128 ? value : 255 - value; }), out);
}

void posterize(const cv::Mat& in, cv::Mat& out, Buffers&, cv::RNG& rng) {
  const int bits = rng.uniform(4, 9);
  cv::bitwise_and(in, cv::Scalar::all((0xFF00 >> bits) & 0xFF), out);
}

void gamma(const cv::Mat& in, cv::Mat& out, Buffers&, cv::RNG& rng) {
  const double exponent = rng.uniform(0.7, 1.5);
  cv::LUT(in, table_of([=](int value) { return 255.0 * std::pow(value / 255.0, exponent); }), out);
}

void equalize(const cv::Mat& in, cv::Mat& out, Buffers& buffers, cv::RNG&) {
  cv::split(in, buffers.planes.data());
  for (auto& plane : buffers.planes) {
    cv::equalizeHist(plane, plane);
  }
  cv::merge(buffers.planes.data(), buffers.planes.size(), out);
}

void autocontrast(const cv::Mat& in, cv::Mat& out, Buffers& buffers, cv::RNG&) {
  cv::split(in, buffers.planes.data());
  for (auto& plane : buffers.planes) {
    double low = 0.0;
    double high = 0.0;
    cv::minMaxLoc(plane, &low, &high);
    const double scale = high > low ? 255.0 / (high - low) : 1.0;
    plane.convertTo(plane, -1, scale, high > low ? -low * scale : 0.0);
  }
  cv::merge(buffers.planes.data(), buffers.planes.size(), out);
}

// torchvision's adjust_sharpness: a blend with a smooth copy, whose rim stays.
void sharpness(const cv::Mat& in, cv::Mat& out, Buffers& buffers, cv::RNG& rng) {
  const double scale = rng.uniform(0.1, 1.9);
  const cv::Mat kernel = (cv::Mat_<float>(3, 3) << 1, 1, 1, 1, 5, 1, 1, 1, 1) / 13.0F;
  in.copyTo(buffers.a);
  const cv::Rect inner(1, 1, in.cols - 2, in.rows - 2);
  cv::filter2D(in(inner), buffers.a(inner), -1, kernel);
  cv::addWeighted(in, scale, buffers.a, 1.0 - scale, 0.0, out);
}

void random_erasing(const cv::Mat& in, cv::Mat& out, Buffers&, cv::RNG& rng) {
  constexpr int kTries = 10;
  in.copyTo(out);
  for (int i = 0; i < kTries; ++i) {
    const double area = static_cast<double>(in.size().area()) * rng.uniform(0.02, 0.33);
    const double ratio = std::exp(rng.uniform(std::log(0.3), std::log(3.3)));
    const int height = static_cast<int>(std::lround(std::sqrt(area * ratio)));
    const int width = static_cast<int>(std::lround(std::sqrt(area / ratio)));
    if (height < in.rows && width < in.cols) {
      out(cv::Rect(rng.uniform(0, in.cols - width + 1), rng.uniform(0, in.rows - height + 1), width,
                   height))
          .setTo(cv::Scalar::all(0));
      return;
    }
  }
}

void additive_noise(const cv::Mat& in, cv::Mat& out, Buffers& buffers, cv::RNG& rng) {
  buffers.a.create(in.size(), CV_16SC3);
  rng.fill(buffers.a, cv::RNG::NORMAL, 0.0, 255.0 * rng.uniform(0.0, 0.05));
  cv::add(in, buffers.a, out, cv::noArray(), CV_8U);
}

void tile_shuffle(const cv::Mat& in, cv::Mat& out, Buffers&, cv::RNG& rng) {
  constexpr int kGrid = 4;
  std::array<int, std::size_t{kGrid} * kGrid> from{};
  std::iota(from.begin(), from.end(), 0);
  for (int i = static_cast<int>(from.size()) - 1; i > 0; --i) {
    std::swap(from[static_cast<std::size_t>(i)],
              from[static_cast<std::size_t>(rng.uniform(0, i + 1))]);
  }
  const cv::Size tile(in.cols / kGrid, in.rows / kGrid);
  const auto tile_at = [tile](int index) {
    return cv::Rect({index % kGrid * tile.width, index / kGrid * tile.height}, tile);
  };
  out.create(in.size(), in.type());
  const cv::Rect right(kGrid * tile.width, 0, in.cols - kGrid * tile.width, in.rows);
  const cv::Rect below(0, kGrid * tile.height, in.cols, in.rows - kGrid * tile.height);
  for (const auto& rest : {right, below}) {
    if (!rest.empty()) {
      in(rest).copyTo(out(rest));
    }
  }
  for (std::size_t i = 0; i < from.size(); ++i) {
    in(tile_at(from[i])).copyTo(out(tile_at(static_cast<int>(i))));
  }
}

Operation center_crop(int size) {
  return [size](const cv::Mat& in, cv::Mat& out, Buffers& buffers, cv::RNG&) {
    const double scale = static_cast<double>(size) / std::min(in.rows, in.cols);
    const cv::Size scaled(std::max(size, static_cast<int>(in.cols * scale)),
                          std::max(size, static_cast<int>(in.rows * scale)));
    cv::resize(in, buffers.a, scaled, 0.0, 0.0, scale < 1.0 ? cv::INTER_AREA : cv::INTER_LINEAR);
    buffers.a(cv::Rect((scaled.width - size) / 2, (scaled.height - size) / 2, size, size))
        .copyTo(out);
  };
}

std::vector<Step> simclr_steps(int size, const CropRange& range, bool small) {
  const double s = small ? 0.5 : 1.0;
  std::vector<Step> steps{{1.0, crop(size, range)},
                          {0.5, flip(1)},
                          {0.8, color_jitter({0.8 * s, 0.8 * s, 0.8 * s, 0.2 * s})},
                          {0.2, grayscale}};
  if (!small) {
    steps.push_back({0.5, gaussian_blur});
  }
  return steps;
}

}  // namespace

std::vector<NamedOperation> single_operations(int size) {
  const auto whole = [size](const cv::Mat& in, cv::Mat& out, Buffers&, cv::RNG&) {
    resize(in, out, size, cv::INTER_LINEAR);
  };
  const JitterStrength jitter;
  return {{"additive_noise", false, additive_noise},
          {"affine", false, affine},
          {"autocontrast", false, autocontrast},
          {"brightness", false, brightness(jitter.brightness)},
          {"center_crop", true, center_crop(size)},
          {"color_jitter", false, color_jitter(jitter)},
          {"contrast", false, contrast(jitter.contrast)},
          {"equalize", false, equalize},
          {"gamma", false, gamma},
          {"gaussian_blur", false, gaussian_blur},
          {"grayscale", false, grayscale},
          {"horizontal_flip", false, flip(1)},
          {"hue", false, hue(jitter.hue)},
          {"invert", false,
           [](const cv::Mat& in, cv::Mat& out, Buffers&, cv::RNG&) { cv::bitwise_not(in, out); }},
          {"posterize", false, posterize},
          {"random_erasing", false, random_erasing},
          {"random_resized_crop", true, crop(size, {})},
          {"resize", true, whole},
          {"rotation", false, rotation},
          {"saturation", false, saturation(jitter.saturation)},
          {"sharpness", false, sharpness},
          {"solarize", false, solarize},
          {"tile_shuffle", false, tile_shuffle},
          {"vertical_flip", false, flip(0)}};
}

std::vector<Group> recipe(const std::string& name, int size) {
  constexpr int kSmallImageLimit = 64;
  const bool small = size <= kSmallImageLimit;
  if (name == "simclr") {
    return {{2, size, simclr_steps(size, {.enlarging = cv::INTER_CUBIC}, small)}};
  }
  if (name == "swav") {
    const int part = (size * 96 / 224 + 2) / 4 * 4;
    return {{2, size, simclr_steps(size, {.scale_min = 0.14}, small)},
            {6, part, simclr_steps(part, {.scale_min = 0.05, .scale_max = 0.14}, small)}};
  }
  throw std::invalid_argument("the recipes here are simclr and swav, not " + name);
}

}  // namespace viewfold::bench
