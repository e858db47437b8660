#include "meta_learner/experiment/fingerprint.h"

#include <absl/strings/str_format.h>

#include "common/check.h"
#include "common/file.h"
#include "common/status.h"
#include "envs/fingerprint.h"
#include "shards/learner_fingerprint.h"

namespace mentor::meta_learner {

std::string ExperimentFingerprint() {
  return envs::NumericFingerprint() + learner::LearnerFingerprint();
}

absl::Status KeepFingerprint(const std::filesystem::path& experiment_folder,
                             const std::string& fingerprint) {
  const std::filesystem::path file = experiment_folder / "fingerprint";
  const auto written = ReadFile(file, /*bytes_max=*/4096);
  if (absl::IsNotFound(written.status())) return WriteFileAtomically(file, fingerprint);
  MENTOR_RETURN_IF_ERROR(written.status());
  if (*written == fingerprint) return absl::OkStatus();
  return MakeError(
      absl::StatusCode::kFailedPrecondition, Reason::kNumericMismatch,
      absl::StrFormat(
          "the experiment began on arithmetic with the fingerprint %s, here it is %s: the last "
          "bits would change; continue it on that kind of machine and build, or create it anew",
          *written, fingerprint));
}

}  // namespace mentor::meta_learner
