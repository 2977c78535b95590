// Counts the allocations of making views. Replaces operator new of the whole test program.
#include <atomic>
#include <cstdlib>
#include <new>

#include "augment/operations.hpp"
#include <gtest/gtest.h>

#include "viewfold/augment/recipe.hpp"

namespace {

// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables): operator new has no other
// place
std::atomic<std::size_t> allocation_count{0};

void* allocate(std::size_t size, std::size_t alignment) {
  ++allocation_count;
  const std::size_t rounded = (size + alignment - 1) / alignment * alignment;
  void* memory = std::aligned_alloc(alignment, rounded == 0 ? alignment : rounded);
  if (memory == nullptr) {
    throw std::bad_alloc();
  }
  return memory;
}

}  // namespace

// None is inlined: GCC would see free() on what an operator new returned, and warn.
[[gnu::noinline]] void* operator new(std::size_t size) {
  return allocate(size, alignof(std::max_align_t));
}
[[gnu::noinline]] void* operator new(std::size_t size, std::align_val_t alignment) {
  return allocate(size, static_cast<std::size_t>(alignment));
}
[[gnu::noinline]] void operator delete(void* memory) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::size_t /*size*/) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::align_val_t /*alignment*/) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory,
                                       std::size_t /*size*/,
                                       std::align_val_t /*alignment*/) noexcept {
  std::free(memory);
}

namespace viewfold {
namespace {

constexpr ImageSize kSize{40, 52};
constexpr std::uint32_t kViews = 10;

// How often memory is allocated while `make(i)` makes kViews views that it has made before.
template <class Make>
std::size_t allocations(const Make& make) {
  for (std::uint32_t i = 0; i < kViews; ++i) {
    make(i);
  }
  const std::size_t before = allocation_count;
  for (std::uint32_t i = 0; i < kViews; ++i) {
    make(i);
  }
  return allocation_count - before;
}

TEST(Allocations, AreCounted) {
  const std::size_t before = allocation_count;
  const auto memory = std::make_unique<std::array<int, 100>>();
  EXPECT_EQ(allocation_count - before, 1U);
  const Image image(3, 3, 3);
  EXPECT_EQ(allocation_count - before, 2U);
}

// The operation with every choice that its settings give.
std::vector<std::unique_ptr<Augmentation>> variants(const AugmentationEntry& entry) {
  std::vector<std::unique_ptr<Augmentation>> made;
  const auto add = [&](std::string_view key, const std::string& text) {
    const auto config = entry.config();
    ConfigSource source;
    for (const auto& field : describe_config(*config)) {
      if (field.key == "probability") {
        source.set("probability", "1", "test");
      } else if (field.key == "size") {
        source.set("size", "20", "test");
      } else if (field.key == key) {
        source.set(field.key, text, "test");
      }
    }
    read_config(*config, source);
    made.push_back(entry.make(*config));
  };
  add("", "");
  for (const auto& [key, text] : {std::pair{"antialias", "false"},
                                  {"mode", "local"},
                                  {"value", "mean"},
                                  {"value", "noise"}}) {
    for (const auto& field : describe_config(*entry.config())) {
      if (field.key == key) {
        add(key, text);
      }
    }
  }
  return made;
}

TEST(Allocations, NoOperationNeedsOneOnAWarmCanvas) {
  for (const auto& entry : augmentation_table()) {
    for (const auto& op : variants(entry)) {
      for (const auto type : {PixelType::kUint8, PixelType::kUint16, PixelType::kFloat32}) {
        for (const int bands : {1, 3, 5}) {
          const Image image = testing::noise(kSize, bands, type);
          Canvas canvas;
          const std::size_t count = allocations([&](std::uint32_t i) {
            Rng rng({.seed = 1, .sample = i});
            canvas.start(image);
            op->apply(op->sample(rng, kSize), canvas);
          });
          EXPECT_EQ(count, 0U) << entry.name << ", " << bands << " bands of "
                               << bytes_per_value(type) << " bytes";
        }
      }
    }
  }
}

TEST(Allocations, NoViewOfARecipeNeedsOneOnAWarmCanvas) {
  for (const auto& recipe : recipe_table()) {
    for (const std::int64_t size : {32, 96}) {  // without and with blur
      const ViewPlan plan = make_view_plan(RecipeConfig(recipe.name, size), 0, size);
      const Image image = testing::noise(kSize, 3, PixelType::kUint8);
      Canvas canvas;
      std::vector<OpRecord> records(plan.ops_per_view());
      const auto views = static_cast<std::uint32_t>(plan.views_per_sample());
      const std::size_t count = allocations([&](std::uint32_t i) {
        const RngKey key{.seed = 3,
                         .stream = "view",
                         .sample = i / views,
                         .view = static_cast<std::uint16_t>(i % views)};
        make_view(plan, image, key, canvas, records);
      });
      EXPECT_EQ(count, 0U) << recipe.name << " at " << size;
    }
  }
}

}  // namespace
}  // namespace viewfold
