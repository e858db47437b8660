#include "meta_learner/experiment/learner_arithmetic.h"

#include "common/check.h"
#include "common/file.h"
#include "common/log.h"
#include "common/sealed.h"
#include "meta_learner/fleet/board_reports.h"
#include "shards/learner_fingerprint.h"

namespace mentor::meta_learner {
namespace {

std::filesystem::path FileOf(const std::filesystem::path& experiment_folder) {
  return experiment_folder / "learner_fingerprint";
}

}  // namespace

std::string CpuArithmetic() {
  return "cpu " + learner::LearnerFingerprint();
}

absl::StatusOr<std::string> LearnerArithmetic(const std::filesystem::path& experiment_folder) {
  const std::filesystem::path file = FileOf(experiment_folder);
  const auto written = ReadFile(file, /*bytes_max=*/4096);
  if (absl::IsNotFound(written.status())) return std::string();
  MENTOR_RETURN_IF_ERROR(written.status());
  return Unsealed(*written, file);
}

absl::Status CheckLearnerArithmetic(const std::filesystem::path& experiment_folder,
                                    const std::string& arithmetic) {
  MENTOR_ASSIGN_OR_RETURN(const std::string kept, LearnerArithmetic(experiment_folder));
  return kept.empty() || kept == arithmetic ? absl::OkStatus()
                                            : ArithmeticMismatch(kept, arithmetic);
}

absl::Status RenameLearnerArithmetic(const std::filesystem::path& experiment_folder,
                                     const std::string& before, const std::string& now) {
  MENTOR_ASSIGN_OR_RETURN(const std::string kept, LearnerArithmetic(experiment_folder));
  return kept == before ? WriteFileAtomically(FileOf(experiment_folder), Sealed(now))
                        : absl::OkStatus();
}

absl::Status KeepLearnerArithmetic(const std::filesystem::path& experiment_folder,
                                   const std::string& experiment, ShardBoard* board) {
  MENTOR_ASSIGN_OR_RETURN(const std::string kept, LearnerArithmetic(experiment_folder));
  const std::filesystem::path file = FileOf(experiment_folder);
  board->KeepArithmetic(experiment, kept, [file, experiment](const std::string& arithmetic) {
    MENTOR_LOG(kInfo, "the experiment keeps to one kind of learner",
               {{"experiment", experiment}, {"arithmetic", arithmetic}});
    return WriteFileAtomically(file, Sealed(arithmetic));
  });
  return absl::OkStatus();
}

}  // namespace mentor::meta_learner
