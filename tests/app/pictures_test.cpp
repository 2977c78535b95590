// Tests of the sheets of views: which views they hold, and what is said about them.
#include "viewfold/app/pictures.hpp"

#include "app/program.hpp"
#include <gtest/gtest.h>

#include "viewfold/core/error.hpp"

namespace viewfold {
namespace {

// The sheet of a recipe, at views of 32 pixels, on pictures of 16.
class Sheet : public ::testing::Test {
 protected:
  void make(const std::string& recipe) {
    testing::write_pictures(folder_.path() / "pictures", 10);
    dataset_ = open_dataset({.spec = (folder_.path() / "pictures").string(), .split = "train"});
    config_ = std::make_unique<RunConfig>("simclr", recipe, 32);
    config_->data.source = (folder_.path() / "pictures").string();
    plan_ = make_view_plan(*config_->recipe, 0, 32);
    samples_ = sheet_samples(*dataset_, plan_, 7, {.bands = 3});
    page_ = view_page(samples_, plan_, *config_);
  }

  // View `v` of a sample, made once more.
  [[nodiscard]] View again(const SampleViews& sample, std::size_t v) const {
    const auto per_epoch = static_cast<std::size_t>(plan_.views_per_sample());
    return make_view(plan_, sample.image,
                     {.seed = 7,
                      .stream = "view",
                      .epoch = static_cast<std::uint32_t>(v / per_epoch),
                      .sample = static_cast<std::uint32_t>(sample.sample),
                      .view = static_cast<std::uint16_t>(v % per_epoch)});
  }

  const TestFolder folder_{"sheet"};
  std::unique_ptr<Dataset> dataset_;
  std::unique_ptr<RunConfig> config_;
  ViewPlan plan_;
  std::vector<SampleViews> samples_;
  ViewPage page_;
};

TEST_F(Sheet, SaysOfEveryViewWhatMadeIt) {
  make("simclr+vertical_flip");
  ASSERT_EQ(page_.rows.size(), 8U);
  for (std::size_t r = 0; r < 8; ++r) {
    const auto& pictures = page_.rows[r].pictures;
    ASSERT_EQ(pictures.size(), 9U);
    EXPECT_TRUE(pictures[0].image == dataset_->image(samples_[r].sample));
    EXPECT_TRUE(page_.rows[r].name.ends_with(dataset_->name(samples_[r].sample)));
    for (std::size_t v = 0; v < 8; ++v) {
      const View view = again(samples_[r], v);
      EXPECT_TRUE(pictures[v + 1].image == view.image);
      ASSERT_EQ(pictures[v + 1].caption.size(), view.records.size());
      for (std::size_t i = 0; i < view.records.size(); ++i) {
        const auto& line = pictures[v + 1].caption[i];
        EXPECT_EQ(line.text, record_text(view.records[i]));
        EXPECT_EQ(line.faint, line.text.ends_with(" not applied")) << line.text;
      }
    }
  }
}

TEST_F(Sheet, NamesTheEpochsOfPairs) {
  make("simclr");
  const auto& pictures = page_.rows[0].pictures;
  EXPECT_EQ(pictures[0].group, "");
  EXPECT_EQ(pictures[1].group, "epoch 1");
  EXPECT_EQ(pictures[2].group, "epoch 1");
  EXPECT_EQ(pictures[8].group, "epoch 4");
  EXPECT_EQ(pictures[8].title, "view 2");
}

TEST_F(Sheet, ShowsAllViewsOfAMultiCropRecipeInItsGroups) {
  make("dino");
  const auto& pictures = page_.rows[0].pictures;
  ASSERT_EQ(pictures.size(), 11U);  // the image, 2 large views, 8 small ones
  EXPECT_EQ(pictures[2].group, "epoch 1, large");
  EXPECT_EQ(pictures[3].group, "epoch 1, small");
  EXPECT_EQ(pictures[10].group, "epoch 1, small");
  EXPECT_EQ(pictures[2].image.width(), 32);
  EXPECT_LT(pictures[3].image.width(), 32);
  EXPECT_NE(page_.sentences.front().find("2 views of 32 px (large) and 8 views of 12 px (small)"),
            std::string::npos)
      << page_.sentences.front();
}

TEST(SheetFormat, IsThatOfTheEndingAndOthersAreRefused) {
  EXPECT_EQ(sheet_format("a/b.png"), SheetFormat::kPicture);
  EXPECT_EQ(sheet_format("b.HTML"), SheetFormat::kPage);
  for (const char* path : {"b.jpg", "b.htm", "b", "png", "b.png.gz", ""}) {
    try {
      (void)sheet_format(path);
      ADD_FAILURE() << path << " is taken";
    } catch (const UsageError& error) {
      const std::string message = error.what();
      EXPECT_NE(message.find(".png"), std::string::npos) << message;
      EXPECT_NE(message.find(".html"), std::string::npos) << message;
    }
  }
}

}  // namespace
}  // namespace viewfold
