#include "mentor/local/trained_run.h"

#include <absl/strings/str_cat.h>

#include "common/check.h"
#include "common/file.h"
#include "common/spec/spec.h"
#include "meta_learner/experiment/tensor_sections.h"
#include "meta_learner/store/checkpoint.h"

namespace mentor {

absl::StatusOr<TrainedRun> ReadRun(const std::filesystem::path& path) {
  MENTOR_ASSIGN_OR_RETURN(const RunState state, FindRunState(path));
  TrainedRun run;
  run.folder = state.folder;
  const std::filesystem::path spec_file = run.folder.experiment / "spec.txtpb";
  MENTOR_ASSIGN_OR_RETURN(const std::string text, ReadFile(spec_file, kSpecBytesMax));
  Violations violations;
  run.spec = WithDefaults(ParseSpec(text, {}, &violations, meta_learner::CheckParts));
  if (!violations.empty()) {
    return absl::FailedPreconditionError(absl::StrCat(
        spec_file.string(), " is not a spec of this build: ", violations.ToStatus().ToString()));
  }
  run.parts = meta_learner::MakeParts(run.spec, /*pool=*/nullptr, &violations);
  MENTOR_RETURN_IF_ERROR(violations.ToStatus());
  run.initial_parameters = run.best_parameters = run.learned_parameters =
      run.parts.rule->meta_parameters().clone();
  std::filesystem::path file = state.checkpoint;
  if (run.spec.rule().outer_updates() == 0 && file.empty()) return run;

  if (file.empty()) {
    MENTOR_ASSIGN_OR_RETURN(const RunHash newest, HashRun(run.folder.experiment));
    WarnOfDamage(newest);
    file = newest.checkpoint;
  }
  meta_learner::CheckpointInfo info;
  MENTOR_ASSIGN_OR_RETURN(const meta_learner::Checkpoint checkpoint,
                          meta_learner::ReadCheckpoint(file, &info));
  if (checkpoint.spec_hash != SpecHash(run.spec)) {
    return absl::FailedPreconditionError(
        absl::StrCat(file.string(), " belongs to another spec than ", spec_file.string()));
  }
  MENTOR_ASSIGN_OR_RETURN(const auto rule,
                          meta_learner::TensorsOfSections(checkpoint.sections, "rule/"));
  MENTOR_RETURN_IF_ERROR(run.parts.rule->Load(rule));
  MENTOR_ASSIGN_OR_RETURN(const auto own,
                          meta_learner::TensorsOfSections(checkpoint.sections, "experiment/"));
  run.learned_parameters = run.parts.rule->meta_parameters();
  run.best_parameters =
      own.contains("best_weights") ? own.at("best_weights") : run.learned_parameters;
  run.outer_step = checkpoint.outer_step;
  run.state_hash = info.state_hash;
  return run;
}

}  // namespace mentor
