#include "mentor/local/branch.h"

#include <system_error>
#include <vector>

#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

#include "common/check.h"
#include "common/file.h"
#include "common/spec/spec.h"
#include "mentor/local/run_report.h"
#include "meta_learner/experiment/parts.h"

namespace mentor {
namespace {

// The checkpoint of an outer update.
absl::StatusOr<std::filesystem::path> FindCheckpoint(const std::filesystem::path& run,
                                                     uint32_t step) {
  MENTOR_ASSIGN_OR_RETURN(const RunFolder folder, FindRun(run));
  const std::filesystem::path checkpoints = folder.experiment / "checkpoints";
  std::error_code error;
  const std::filesystem::path file = checkpoints / meta_learner::CheckpointFileName(step);
  if (std::filesystem::exists(file, error)) return file;
  MENTOR_ASSIGN_OR_RETURN(const std::vector<uint32_t> steps,
                          meta_learner::ListCheckpoints(checkpoints));
  return absl::NotFoundError(
      absl::StrCat(run.string(), " has no checkpoint after outer update ", step,
                   "; there are: ", steps.empty() ? "none" : absl::StrJoin(steps, ", "),
                   " (checkpoint.keep_last and checkpoint.every of a spec say which are kept)"));
}

}  // namespace

absl::StatusOr<BranchSource> ReadBranch(const std::filesystem::path& from) {
  BranchSource source;
  source.run = from;
  std::error_code error;
  uint32_t step = 0;
  std::filesystem::path path = from;
  if (!path.has_filename()) path = path.parent_path();  // "runs/a/"
  if (path.extension() == ".ckpt") {
    if (!std::filesystem::exists(path, error))
      return absl::NotFoundError(absl::StrCat("there is no checkpoint ", path.string()));
    source.file = path;
    source.run = std::filesystem::absolute(path).parent_path().parent_path();
  } else if (!std::filesystem::exists(path, error) &&
             absl::SimpleAtoi(path.filename().string(), &step)) {
    source.run = path.parent_path();
    MENTOR_ASSIGN_OR_RETURN(source.file, FindCheckpoint(source.run, step));
  } else {
    MENTOR_ASSIGN_OR_RETURN(const RunHash newest, HashRun(path));
    source.run = path;
    source.file = newest.checkpoint;
  }
  MENTOR_ASSIGN_OR_RETURN(source.checkpoint, meta_learner::ReadCheckpoint(source.file));
  MENTOR_ASSIGN_OR_RETURN(const RunFolder folder, FindRun(source.run));
  MENTOR_ASSIGN_OR_RETURN(const std::string text,
                          ReadFile(folder.experiment / "spec.txtpb", kSpecBytesMax));
  MENTOR_ASSIGN_OR_RETURN(source.spec, LoadSpec(text, {}, meta_learner::CheckParts));
  if (source.checkpoint.spec_hash != SpecHash(source.spec)) {
    return absl::FailedPreconditionError(absl::StrCat(source.file.string(),
                                                      " belongs to another spec than ",
                                                      (folder.experiment / "spec.txtpb").string()));
  }
  return source;
}

void CheckBranch(const BranchSource& source, const v1::ExperimentSpec& spec,
                 Violations* violations) {
  Violations found;
  meta_learner::CheckCheckpoint(source.spec, WithDefaults(spec), source.checkpoint, &found);
  for (const Violation& violation : found.list()) {
    // What a clone calls it.
    violations->Add(violation.field == "spec_overrides" ? "--set" : violation.field,
                    violation.description);
  }
}

}  // namespace mentor
