// The entry of the library for the program: one verb, errors as one line and an exit code.
#include <cstdio>
#include <exception>
#include <map>
#include <string>
#include <vector>

#include "viewfold/app/commands.hpp"
#include "viewfold/app/out_of_memory.hpp"
#include "viewfold/core/error.hpp"

namespace viewfold {
namespace {

using Command = void (*)(Arguments);

Command find_command(const std::string& verb) {
  static const std::map<std::string, Command> kCommands{{"pretrain", pretrain_command},
                                                        {"resume", resume_command},
                                                        {"verify-resume", verify_resume_command},
                                                        {"evaluate", evaluate_command},
                                                        {"audit", audit_command},
                                                        {"report", report_command},
                                                        {"compare", compare_command},
                                                        {"study", study_command},
                                                        {"embed", embed_command},
                                                        {"export", export_command},
                                                        {"import", import_command},
                                                        {"fuse", fuse_command},
                                                        {"views", views_command},
                                                        {"audit-views", audit_views_command},
                                                        {"show", show_command},
                                                        {"data", data_command},
                                                        {"bench", bench_command},
                                                        {"doctor", doctor_command},
                                                        {"manifold", manifold_command},
                                                        {"list", list_command}};
  return kCommands.at(verb);
}

void run(const std::vector<std::string>& words) {
  const std::string& verb = words.front();
  std::vector<std::string> flags{"help"};
  for (const auto& option : options_of(verb)) {
    if (option.value.empty()) {
      flags.push_back(option.name);
    }
  }
  Arguments arguments({words.begin() + 1, words.end()}, flags);
  if (arguments.take_flag("help")) {
    std::fputs(verb_help(verb, std::move(arguments)).c_str(), stdout);
    return;
  }
  find_command(verb)(std::move(arguments));
}

int fail(const std::string& message, int code) {
  std::fprintf(stderr, "viewfold: %s\n", message.c_str());
  return code;
}

// The first line: LibTorch appends stack traces to its messages.
std::string first_line(const std::string& text) {
  return text.substr(0, text.find('\n'));
}

}  // namespace
}  // namespace viewfold

/// Runs argv[1] with the words behind it; returns the exit code (core/error.hpp).
extern "C" int viewfold_run(int argc, char** argv) {
  using namespace viewfold;
  try {
    run({argv + 1, argv + argc});
    return std::fflush(stdout) == 0 ? 0 : fail("cannot write to standard output", 3);
  } catch (const UsageError& error) {
    return fail(error.what(), 2);
  } catch (const DataError& error) {
    return fail(error.what(), 3);
  } catch (const DivergedError& error) {
    return fail(error.what(), 4);
  } catch (const PeerError& error) {
    return fail(error.what(), 5);
  } catch (const Interrupted& error) {
    return fail(error.what(), 130);
  } catch (const OutOfMemory& error) {
    return fail(error.what(), 1);
  } catch (const std::exception& error) {
    if (is_out_of_memory(error)) {
      return fail("out of memory (smaller --batch, --encoder.width or --data.memory_gb)", 1);
    }
    return fail("this is a bug in viewfold: " + first_line(error.what()), 1);
  }
}
