#include "cli/local/tensorboard.h"

#include <chrono>
#include <cstdio>
#include <utility>
#include <vector>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <unistd.h>

#include "cli/report/python.h"
#include "common/check.h"

namespace mentor {
namespace {

constexpr char kProgram[] = "mentor-sync";
// Enough for thousands of outer updates, and for films.
constexpr std::chrono::minutes kRest{2};

}  // namespace

absl::StatusOr<std::unique_ptr<TensorboardFiles>> TensorboardFiles::Start(
    const std::filesystem::path& run, const std::filesystem::path& folder) {
  const std::string program = report::FindProgram(kProgram);
  if (program.empty()) {
    return absl::NotFoundError(
        absl::StrFormat("--tensorboard needs %s, which is not on the PATH: pip install "
                        "'mentor_client[tensorboard]'",
                        kProgram));
  }
  std::vector<std::string> words = {"tensorboard", std::filesystem::absolute(run).string(),
                                    "--logdir=" + folder.string(), "--quiet"};
  // The first call shows before the work that nothing is missing.
  MENTOR_ASSIGN_OR_RETURN(const auto first,
                          ChildProcess::Start({.command = report::SideCommand(program, words),
                                               .errors = STDERR_FILENO}));
  MENTOR_ASSIGN_OR_RETURN(const int code, first->Wait());
  if (code != 0) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "--tensorboard: %s ended with status %d; do what it says above, or leave --tensorboard out",
        kProgram, code));
  }
  words.push_back("--follow");
  MENTOR_ASSIGN_OR_RETURN(auto process,
                          ChildProcess::Start({.command = report::SideCommand(program, words),
                                               .errors = STDERR_FILENO,
                                               .group = true}));
  return std::unique_ptr<TensorboardFiles>(new TensorboardFiles(
      absl::StrCat(kProgram, " tensorboard ", run.string(), " --logdir ", folder.string()),
      std::move(process)));
}

TensorboardFiles::TensorboardFiles(std::string command, std::unique_ptr<ChildProcess> process)
    : command_(std::move(command)), process_(std::move(process)) {}

TensorboardFiles::~TensorboardFiles() {
  const auto code = process_->Wait(kRest);
  if (code.ok() && *code == 0) return;
  std::fprintf(stderr, "warning: TensorBoard may lack the last outer updates; this adds them: %s\n",
               command_.c_str());
}

}  // namespace mentor
