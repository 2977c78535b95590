// Cuts the picture into tiles and shuffles them, or the pixels inside each of them. torchvision
// 0.14 has no such operation.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <span>
#include <vector>

#include "viewfold/augment/detail/operation.hpp"

namespace viewfold::augment {
namespace {

constexpr std::string_view kName = "tile_shuffle";
constexpr int kMaxGrid = 16;

struct TileShuffleConfig final : Config {
  double probability = 0.5;  // with the grid: ours
  std::int64_t grid = 4;
  std::string mode = "global";

  void visit(FieldVisitor& v) override {
    v.field("probability", probability,
            {.doc = "share of views that are shuffled", .min = 0.0, .max = 1.0});
    v.field("grid", grid,
            {.doc = "tiles along each side; what a side has beyond whole tiles of equal size stays",
             .min = 1,
             .max = kMaxGrid});
    v.field("mode", mode,
            {.doc = "global: tiles change places; local: pixels change places inside their tile",
             .choices = {"global", "local"}});
  }
};

// The tiles of a picture: grid x grid of height x width pixels each; 0 when it is too small.
struct Tiling {
  int grid = 0;
  int height = 0;
  int width = 0;

  [[nodiscard]] std::size_t count() const {
    return static_cast<std::size_t>(grid) * static_cast<std::size_t>(grid);
  }
  [[nodiscard]] std::size_t pixels() const {
    return static_cast<std::size_t>(height) * static_cast<std::size_t>(width);
  }
};

// Rows of pixels: what is needed to copy them, whatever their type.
struct Grain {
  std::size_t pixel = 0;   // bytes of one
  std::size_t stride = 0;  // bytes of a row
};

// Where tile `tile` begins.
std::size_t offset_of(const Tiling& tiling, const Grain& grain, std::size_t tile) {
  const auto grid = static_cast<std::size_t>(tiling.grid);
  return tile / grid * static_cast<std::size_t>(tiling.height) * grain.stride +
         tile % grid * static_cast<std::size_t>(tiling.width) * grain.pixel;
}

// Place i takes what was at order[i]. The permutation of the tiles, or that of the pixels of a
// tile.
void draw_order(const OpRecord& record, std::size_t tile, std::span<std::uint32_t> order) {
  Rng rng({.seed = static_cast<std::uint64_t>(record.values[1]),
           .stream = kName,
           .sample = static_cast<std::uint32_t>(tile)});
  rng.permute(order);
}

void shuffle_tiles(const OpRecord& record,
                   const Tiling& tiling,
                   const Grain& grain,
                   const std::byte* from,
                   std::byte* to) {
  std::array<std::uint32_t, std::size_t{kMaxGrid} * kMaxGrid> room{};
  const auto order = std::span(room).first(tiling.count());
  draw_order(record, 0, order);
  const std::size_t bytes = static_cast<std::size_t>(tiling.width) * grain.pixel;
  for (std::size_t tile = 0; tile < order.size(); ++tile) {
    const std::byte* source = from + offset_of(tiling, grain, order[tile]);
    std::byte* target = to + offset_of(tiling, grain, tile);
    for (int y = 0; y < tiling.height; ++y, source += grain.stride, target += grain.stride) {
      std::memcpy(target, source, bytes);
    }
  }
}

// The pixels of a tile, whose offsets are `places` in the order of its rows. Bytes is the size of a
// pixel, so that the compiler knows it; 0 when only `bytes` does.
template <std::size_t Bytes>
void shuffle_pixels(std::span<const std::uint32_t> order,
                    std::span<const std::size_t> places,
                    std::size_t bytes,
                    const std::byte* from,
                    std::byte* to) {
  for (std::size_t i = 0; i < order.size(); ++i) {
    std::memcpy(to + places[i], from + places[order[i]], Bytes == 0 ? bytes : Bytes);
  }
}

void shuffle_each_tile(const OpRecord& record,
                       const Tiling& tiling,
                       const Grain& grain,
                       Canvas& canvas,
                       std::byte* to) {
  const auto order = canvas.scratch().get<std::uint32_t>(0, tiling.pixels());
  const auto places = canvas.scratch().get<std::size_t>(1, tiling.pixels());
  auto place = places.begin();
  for (std::size_t y = 0; y < static_cast<std::size_t>(tiling.height); ++y) {
    for (std::size_t x = 0; x < static_cast<std::size_t>(tiling.width); ++x) {
      *place++ = y * grain.stride + x * grain.pixel;
    }
  }
  const std::byte* from = canvas.image().bytes().data();
  const auto shuffle = grain.pixel == 3   ? shuffle_pixels<3>
                       : grain.pixel == 1 ? shuffle_pixels<1>
                                          : shuffle_pixels<0>;
  for (std::size_t tile = 0; tile < tiling.count(); ++tile) {
    draw_order(record, tile, order);
    const std::size_t offset = offset_of(tiling, grain, tile);
    shuffle(order, places, grain.pixel, from + offset, to + offset);
  }
}

// Inverse of draw_order: where each place goes. For move() only, which is not called for every
// view.
std::vector<std::uint32_t> draw_targets(const OpRecord& record,
                                        std::size_t tile,
                                        std::size_t size) {
  std::vector<std::uint32_t> order(size);
  draw_order(record, tile, order);
  std::vector<std::uint32_t> targets(size);
  for (std::size_t i = 0; i < size; ++i) {
    targets[order[i]] = static_cast<std::uint32_t>(i);
  }
  return targets;
}

// Index of the cell of `size` pixels that a coordinate lies in; its last edge belongs to `last`.
int cell_of(double at, int size, int last) {
  return std::clamp(static_cast<int>(std::floor(at / size)), 0, last);
}

// A rectangle that grows around its pieces; those without extent do not count.
struct Hull {
  bool empty = true;
  Rect rect;

  void add(const Rect& piece) {
    if (piece.left >= piece.right || piece.top >= piece.bottom) {
      return;
    }
    rect = empty ? piece
                 : Rect{std::min(rect.left, piece.left), std::min(rect.top, piece.top),
                        std::max(rect.right, piece.right), std::max(rect.bottom, piece.bottom)};
    empty = false;
  }
};

Rect intersection(const Rect& a, const Rect& b) {
  return {std::max(a.left, b.left), std::max(a.top, b.top), std::min(a.right, b.right),
          std::min(a.bottom, b.bottom)};
}

// A grid of cells that change places: cell i of `columns` to the row goes to place targets[i].
struct Cells {
  double left = 0.0;  // of the grid
  double top = 0.0;
  int height = 0;  // of a cell
  int width = 0;
  int columns = 0;
  std::span<const std::uint32_t> targets;

  [[nodiscard]] Rect cell(int i) const {
    const int row = i / columns;
    const double x = left + (i - row * columns) * width;
    const double y = top + row * height;
    return {x, y, x + width, y + height};
  }

  // Adds to `hull` where the cells take what of `rect` lies on them.
  void add_to(Hull& hull, const Rect& rect) const {
    const int rows = static_cast<int>(targets.size()) / columns;
    const int first_row = cell_of(rect.top - top, height, rows - 1);
    const int last_row = cell_of(rect.bottom - top, height, rows - 1);
    const int first_column = cell_of(rect.left - left, width, columns - 1);
    const int last_column = cell_of(rect.right - left, width, columns - 1);
    for (int row = first_row; row <= last_row; ++row) {
      for (int column = first_column; column <= last_column; ++column) {
        const int i = row * columns + column;
        const Rect from = cell(i);
        const Rect piece = intersection(rect, from);
        const Rect to = cell(static_cast<int>(targets[static_cast<std::size_t>(i)]));
        hull.add({piece.left + to.left - from.left, piece.top + to.top - from.top,
                  piece.right + to.left - from.left, piece.bottom + to.top - from.top});
      }
    }
  }
};

class TileShuffle final : public Augmentation {
 public:
  explicit TileShuffle(const TileShuffleConfig& config)
      : config_(config),
        grid_(static_cast<int>(config.grid)),
        local_(config.mode == "local") {}

  // The permutations are functions of the seed, which is recorded as 0 when nothing happens.
  [[nodiscard]] OpRecord sample(Rng& rng, ImageSize /*size*/) const override {
    if (!rng.bernoulli(config_.probability)) {
      return make_record(kName, {0.0F, 0.0F});
    }
    return make_record(kName, {1.0F, draw_seed(rng)});
  }

  void apply(const OpRecord& record, Canvas& canvas) const override {
    const Image& image = canvas.image();
    const Tiling tiling = tiling_of({image.height(), image.width()});
    if (!happened(record) || tiling.pixels() == 0) {
      return;
    }
    const std::size_t pixel =
        static_cast<std::size_t>(image.bands()) * bytes_per_value(image.type());
    const Grain grain{pixel, static_cast<std::size_t>(image.width()) * pixel};
    Image& out = prepare_like(canvas);
    copy_rest(image, tiling, grain, out);
    if (local_) {
      shuffle_each_tile(record, tiling, grain, canvas, out.bytes().data());
    } else {
      shuffle_tiles(record, tiling, grain, image.bytes().data(), out.bytes().data());
    }
    canvas.advance();
  }

  void apply_to_mask(const OpRecord& record, Canvas& mask) const override { apply(record, mask); }

  [[nodiscard]] Point move(const OpRecord& record, Point point, ImageSize before) const override {
    // A point moves as a rectangle without extent, except that it belongs to one cell alone.
    const Tiling tiling = tiling_of(before);
    const bool inside = point.x >= 0.0 && point.y >= 0.0 && point.x < grid_ * tiling.width &&
                        point.y < grid_ * tiling.height;
    if (!happened(record) || !inside) {
      return point;
    }
    const auto cell = [](double at) { return std::floor(at); };
    const Rect pixel{cell(point.x), cell(point.y), cell(point.x) + 1.0, cell(point.y) + 1.0};
    const Rect moved = move(record, pixel, before);
    return {moved.left + point.x - pixel.left, moved.top + point.y - pixel.top};
  }

  /// The hull of where the pieces of `rect` go: of its parts on the single tiles, or on the single
  /// pixels when these are shuffled. Of a rectangle on several tiles that is often most of the
  /// picture.
  [[nodiscard]] Rect move(const OpRecord& record,
                          const Rect& rect,
                          ImageSize before) const override {
    const Tiling tiling = tiling_of(before);
    const Rect tiled{0.0, 0.0, static_cast<double>(grid_ * tiling.width),
                     static_cast<double>(grid_ * tiling.height)};
    const Rect inside = intersection(rect, tiled);
    if (!happened(record) || inside.left >= inside.right || inside.top >= inside.bottom) {
      return rect;
    }
    Hull hull;
    add_rest(hull, rect, tiled);
    Cells tiles{0.0, 0.0, tiling.height, tiling.width, grid_, {}};
    if (!local_) {
      const auto targets = draw_targets(record, 0, tiling.count());
      tiles.targets = targets;
      tiles.add_to(hull, inside);
      return hull.rect;
    }
    for (int i = 0; i < grid_ * grid_; ++i) {
      const Rect tile = tiles.cell(i);
      const Rect part = intersection(inside, tile);
      if (part.left < part.right && part.top < part.bottom) {
        const auto targets = draw_targets(record, static_cast<std::size_t>(i), tiling.pixels());
        Cells{tile.left, tile.top, 1, 1, tiling.width, targets}.add_to(hull, part);
      }
    }
    return hull.rect;
  }

 private:
  [[nodiscard]] Tiling tiling_of(ImageSize size) const {
    return {grid_, size.height / grid_, size.width / grid_};
  }

  // What lies to the right of the tiles and below them.
  static void copy_rest(const Image& image, const Tiling& tiling, const Grain& grain, Image& out) {
    const std::byte* from = image.bytes().data();
    std::byte* to = out.bytes().data();
    const auto grid = static_cast<std::size_t>(tiling.grid);
    const std::size_t tiled = grid * static_cast<std::size_t>(tiling.width) * grain.pixel;
    const std::size_t rows = grid * static_cast<std::size_t>(tiling.height);
    for (std::size_t y = 0; y < rows; ++y) {
      std::memcpy(to + y * grain.stride + tiled, from + y * grain.stride + tiled,
                  grain.stride - tiled);
    }
    const std::size_t start = rows * grain.stride;
    std::memcpy(to + start, from + start, image.bytes().size() - start);
  }

  // The parts of `rect` outside the tiles, which stay.
  static void add_rest(Hull& hull, Rect rect, const Rect& tiled) {
    if (rect.left < tiled.left) {
      hull.add({rect.left, rect.top, tiled.left, rect.bottom});
    }
    if (rect.right > tiled.right) {
      hull.add({tiled.right, rect.top, rect.right, rect.bottom});
    }
    if (rect.top < tiled.top) {
      hull.add({rect.left, rect.top, rect.right, tiled.top});
    }
    if (rect.bottom > tiled.bottom) {
      hull.add({rect.left, tiled.bottom, rect.right, rect.bottom});
    }
  }

  TileShuffleConfig config_;
  int grid_;
  bool local_;
};

}  // namespace

AugmentationEntry tile_shuffle_entry() {
  return augmentation_entry<TileShuffle, TileShuffleConfig>(
      kName, "Shuffles the tiles of the picture, or the pixels inside each tile.",
      {{"applied", ValueKind::kFlag}, {"seed", ValueKind::kInteger}});
}

}  // namespace viewfold::augment
