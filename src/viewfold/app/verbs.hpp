// The verbs of the program, as `viewfold --help` lists them; needs neither LibTorch nor any other
// library.
#pragma once

#include <array>
#include <string_view>

namespace viewfold {

struct Verb {
  std::string_view name;
  std::string_view arguments;
  std::string_view summary;
};

inline constexpr std::array kVerbs{
    Verb{"pretrain", "DATA [settings]", "train an encoder on unlabelled images"},
    Verb{"resume", "RUN", "go on with an interrupted run; ends with the same bits"},
    Verb{"evaluate", "RUN [--on knn,linear]", "measure the encoder of a run on labelled images"},
    Verb{"audit", "RUN [RUN ...] [--data DATA] [--minutes 10]",
         "what encoders know, what they ignore, and where they break"},
    Verb{"report", "RUN", "write RUN/report.html, one file that opens offline"},
    Verb{"compare", "RUN RUN [RUN ...] [--out FILE.html]",
         "where the settings of runs differ, their numbers side by side, their curves"},
    Verb{"study", "RECIPE.toml [--out DIR] [--only ARM,ARM] [--seeds N,N] [settings]",
         "compare ways to train: run each with several seeds, write tables"},
    Verb{"manifold", "fit DATA --out FOLDER [settings] | sample FOLDER --out FOLDER | show FOLDER",
         "learn what an image may become: neighbourhoods and a generator"},
    Verb{"embed", "RUN DATA --out FILE.npy", "features of images, with their paths in row order"},
    Verb{"export", "RUN [--format safetensors,torchscript]", "copy the encoder out of a run"},
    Verb{"import", "FILE.pth --out RUN [--size 32]",
         "take in an encoder that was trained with PyTorch; nothing in the file is run"},
    Verb{"fuse", "RUN RUN [RUN ...] --out RUN",
         "one encoder of several: their features side by side"},
    Verb{"views", "DATA [settings] --out FILE", "a contact sheet of the views before training"},
    Verb{"audit-views", "DATA [settings]", "judge the views of a recipe on your images"},
    Verb{"show", "RUN --sample N --epoch N", "the views of one image, as training made them"},
    Verb{"data", "DATA", "what is in a folder, archive or data set: sizes, bands, bad files"},
    Verb{"bench", "[views|train DATA] [settings]",
         "how fast parts of viewfold are on this machine"},
    Verb{"doctor", "", "this machine: threads, instructions, speed, and what will limit"},
    Verb{"verify-resume", "RECIPE|DATA",
         "prove that an interrupted run ends with the same bits here"},
    Verb{"list", "methods|extensions|encoders|datasets|augmentations|recipes|evaluations|operators",
         "what there is"},
};

inline constexpr std::string_view kVersion = "0.1.0";

}  // namespace viewfold
