#include "cli/local/run_hash.h"

#include <cstdio>
#include <utility>
#include <vector>

#include <absl/strings/str_cat.h>

#include "cli/local/run_report.h"
#include "common/check.h"
#include "common/printable.h"
#include "common/spec/spec.h"
#include "meta_learner/store/checkpoint.h"
#include "meta_learner/store/state_folder.h"

namespace mentor {

absl::StatusOr<RunHash> HashRun(const std::filesystem::path& folder) {
  MENTOR_ASSIGN_OR_RETURN(const RunFolder run, FindRun(folder));
  const std::filesystem::path checkpoints = run.experiment / "checkpoints";
  // Before the list: a run at work writes the file first.
  const uint32_t recorded = meta_learner::NewestRecorded(
      std::filesystem::absolute(checkpoints).lexically_normal().parent_path());
  MENTOR_ASSIGN_OR_RETURN(std::vector<uint32_t> steps, meta_learner::ListCheckpoints(checkpoints));
  // A hash needs no spec that this build can read.
  meta_learner::ExpectedCheckpoint expected;
  if (const auto spec = meta_learner::ReadSpecFile(run.experiment / meta_learner::kSpecFile);
      spec.ok())
    expected.spec_hash = SpecHash(*spec);
  std::string problems;
  if (recorded > (steps.empty() ? 0 : steps.back())) {
    absl::StrAppend(&problems, "\n",
                    (checkpoints / meta_learner::CheckpointFileName(recorded)).string(),
                    " is missing, and mentor.db has recorded it");
  }
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
    const std::filesystem::path path = checkpoints / meta_learner::CheckpointFileName(*step);
    meta_learner::CheckpointInfo info;
    const auto checkpoint = meta_learner::ReadCheckpointOf(path, expected, &info);
    if (checkpoint.ok())
      return RunHash{.state_hash = info.state_hash,
                     .outer_step = checkpoint->outer_step,
                     .checkpoint = path,
                     .build = checkpoint->build,
                     .damaged = std::move(problems)};
    absl::StrAppend(&problems, "\n", std::string(checkpoint.status().message()));
  }
  return absl::FailedPreconditionError(
      absl::StrCat(checkpoints.string(), " holds no whole checkpoint", problems));
}

void WarnOfDamage(const RunHash& hash) {
  if (hash.damaged.empty()) return;
  std::fprintf(stderr,
               "warning: a newer checkpoint is damaged, missing or of something else; the one "
               "after outer update %d is used instead%s\n",
               hash.outer_step, PrintableLines(hash.damaged).c_str());
}

}  // namespace mentor
