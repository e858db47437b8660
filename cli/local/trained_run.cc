#include "cli/local/trained_run.h"

#include <system_error>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

#include "cli/local/run_hash.h"
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
  run.spec = ReadTrainedSpec(text, &run.parts, &violations);
  if (!violations.empty()) {
    return absl::FailedPreconditionError(absl::StrCat(
        spec_file.string(), " is not a spec of this build: ", violations.ToStatus().ToString()));
  }
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
  MENTOR_ASSIGN_OR_RETURN(
      const meta_learner::Checkpoint checkpoint,
      meta_learner::ReadCheckpointOf(file, {.spec_hash = SpecHash(run.spec)}, &info));
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

v1::ExperimentSpec ReadTrainedSpec(std::string_view text, meta_learner::ExperimentParts* parts,
                                   Violations* violations) {
  v1::ExperimentSpec whole;
  ParseSpec(text, {}, violations, [&](const v1::ExperimentSpec& spec, Violations* found) {
    whole = spec;
    *parts = meta_learner::MakeParts(spec, /*pool=*/nullptr, found);
  });
  return whole;
}

absl::StatusOr<std::vector<std::filesystem::path>> LastCheckpoints(const TrainedRun& run,
                                                                   uint32_t count) {
  const std::filesystem::path folder = run.folder.experiment / "checkpoints";
  const uint32_t every = run.spec.checkpoint().every();
  std::vector<std::filesystem::path> files;
  for (uint32_t step = run.outer_step; step > 0 && files.size() < count;
       step = (step - 1) / every * every) {
    const std::filesystem::path file = folder / meta_learner::CheckpointFileName(step);
    std::error_code error;
    if (!std::filesystem::exists(file, error)) {
      return absl::FailedPreconditionError(absl::StrFormat(
          "--weights average:%d: %s is missing, and %d newer ones are there; give at most that, "
          "fetch the run with --all_checkpoints, or run it with checkpoint.keep_last=%d",
          count, file.string(), files.size(), count));
    }
    files.push_back(file);
  }
  return files;
}

}  // namespace mentor
