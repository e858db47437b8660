#include <chrono>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/local/run_viewer.h"
#include "cli/local/web_page.h"
#include "common/lifecycle.h"
#include "common/log.h"
#include "common/process/flags.h"

namespace mentor {
namespace {

constexpr std::chrono::seconds kLookEvery{1};

struct WebFlags {
  std::vector<std::string> runs;
  std::string listen = kPageListen;
};

int Web(const WebFlags& flags) {
  if (const absl::Status fits = CheckPage("--listen", flags.listen); !fits.ok()) return Fail(fits);
  const auto viewer = RunViewer::Open({flags.runs.begin(), flags.runs.end()});
  if (!viewer.ok()) return Fail(viewer.status());
  const auto page = WebPage::Start((*viewer)->address(), flags.listen);
  if (!page.ok()) return Fail(page.status());
  const size_t size = (*viewer)->size();
  std::printf("%zu experiment%s on %s, until Ctrl-C\n", size, size == 1 ? "" : "s",
              (*page)->url().c_str());
  std::fflush(stdout);
  while (WaitForStopSignal(kLookEvery) == 0) {
    if ((*page)->ended()) return Fail(absl::InternalError("mentor-web has ended"));
    if (const absl::Status looked = (*viewer)->Look(); !looked.ok()) {
      MENTOR_LOG_EVERY(std::chrono::seconds(60), kWarning, "a run folder cannot be read",
                       {{"why", looked}});
    }
  }
  return kExitOk;
}

}  // namespace

void AddWebCommand(CLI::App* app, Action* action) {
  const auto [web, flags] = AddCommand<WebFlags>(
      app, action, "web",
      "Show run folders in a browser, without a change: curves, files, specs, comparisons", Web);
  web->add_option("RUN", flags->runs, "Run folders, or folders that hold some")
      ->type_name("DIR")
      ->required();
  web->add_option("--listen", flags->listen,
                  "HOST:PORT of this machine for browsers; port 0 takes a free one, which is "
                  "printed")
      ->capture_default_str();
  web->footer(
      "Examples:\n"
      "  mentor web runs                               every run in runs/\n"
      "  mentor web runs/fast runs/slow --listen 127.0.0.1:8080\n"
      "A run that 'mentor run' works on is followed. Needs the Python program mentor-web:\n"
      "pip install 'mentor_client[web]'");
}

}  // namespace mentor
