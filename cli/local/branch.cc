#include "cli/local/branch.h"

#include "cli/local/run_hash.h"
#include "cli/local/run_report.h"
#include "common/check.h"
#include "common/file.h"
#include "common/spec/spec.h"
#include "meta_learner/experiment/checked_spec.h"

namespace mentor {
absl::StatusOr<BranchSource> ReadBranch(const std::filesystem::path& from) {
  MENTOR_ASSIGN_OR_RETURN(const RunState state, FindRunState(from));
  BranchSource source = {.run = state.run, .spec = {}, .file = state.checkpoint, .checkpoint = {}};
  if (source.file.empty()) {
    MENTOR_ASSIGN_OR_RETURN(const RunHash newest, HashRun(state.folder.experiment));
    WarnOfDamage(newest);
    source.file = newest.checkpoint;
  }
  const std::filesystem::path spec_file = state.folder.experiment / "spec.txtpb";
  MENTOR_ASSIGN_OR_RETURN(const std::string text, ReadFile(spec_file, kSpecBytesMax));
  MENTOR_ASSIGN_OR_RETURN(source.spec, LoadSpec(text, {}, meta_learner::CheckParts));
  MENTOR_ASSIGN_OR_RETURN(
      source.checkpoint,
      meta_learner::ReadCheckpointOf(source.file, {.spec_hash = SpecHash(source.spec)}));
  return source;
}

void CheckBranch(const BranchSource& source, const v1::ExperimentSpec& spec,
                 Violations* violations) {
  Violations found;
  meta_learner::CheckCheckpoint(source.spec, spec, source.checkpoint, &found);
  for (const Violation& violation : found.list()) {
    // Rename the field of the clone API to the flag of this command.
    violations->Add(violation.field == "spec_overrides" ? "--set" : violation.field,
                    violation.description);
  }
}

}  // namespace mentor
