#include "meta_learner/experiment/arithmetic.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

#include "common/check.h"
#include "common/file.h"
#include "common/log.h"
#include "common/printable.h"
#include "common/sealed.h"
#include "common/status.h"
#include "envs/benchmark.h"
#include "envs/fingerprint.h"
#include "meta_learner/experiment/shards.h"
#include "shards/learner_fingerprint.h"
#include "signals/signal_network.h"

namespace mentor::meta_learner {
namespace {

constexpr uint64_t kBytesMax = 4096;

// The arithmetic of learners before kArithmetic, by the processor's maker. The bits of Mentor's own
// kernels were the same.
constexpr std::array<std::pair<const char*, const char*>, 2> kEarlier = {
    {{"b055dd49484e9251885a3325b4a51c37", "AMD"}, {"869a9ecaa02b7cd0ccd2cd4f8d585c5c", "Intel"}}};

// Rules that use, for agents that Mentor's kernels update, no function of LibTorch whose bits have
// moved. Compared by running every ready spec with both.
constexpr std::array<std::string_view, 5> kRulesOfKernels = {"black_box", "evolution_strategies",
                                                             "pbt", "poet", "reptile"};

bool IsTrue(const v1::SignalSpec& signal, std::string_view option) {
  return std::any_of(signal.option().begin(), signal.option().end(), [&](const auto& one) {
    return one.name() == option && one.value() == "true";
  });
}

absl::Status Mismatch(const std::string& what, const std::string& anew) {
  return MakeError(Reason::kNumericMismatch,
                   absl::StrCat(what, ": the last bits would change; begin it anew: ", anew));
}

}  // namespace

std::string ExperimentFingerprint() {
  return envs::NumericFingerprint() + shards::LearnerFingerprint();
}

bool ByKernelsAlone(const v1::ExperimentSpec& spec) {
  if (std::find(kRulesOfKernels.begin(), kRulesOfKernels.end(), spec.rule().name()) ==
      kRulesOfKernels.end())
    return false;
  if (spec.signal().name() != "lstm" || IsTrue(spec.signal(), signals::kNormalizeObservations) ||
      spec.agent().normalize_observations() || spec.agent().optimizer() != v1::ADAM)
    return false;
  Violations violations;
  const auto benchmark = envs::MakeBenchmark(spec.benchmark(), &violations);
  return benchmark != nullptr && !ShapeOf(*benchmark).discrete_actions();
}

absl::Status KeepFingerprint(const std::filesystem::path& experiment_folder,
                             const std::string& fingerprint, const v1::ExperimentSpec& spec,
                             const std::string& anew) {
  const std::filesystem::path file = experiment_folder / "fingerprint";
  const auto bytes = ReadFile(file, kBytesMax);
  if (absl::IsNotFound(bytes.status())) return WriteFileAtomically(file, Sealed(fingerprint));
  MENTOR_RETURN_IF_ERROR(bytes.status());
  const auto written = Unsealed(*bytes, file);
  MENTOR_RETURN_IF_ERROR(written.status());
  if (*written == fingerprint) return absl::OkStatus();
  const std::string simulators = envs::NumericFingerprint();
  const auto earlier = std::find_if(kEarlier.begin(), kEarlier.end(), [&](const auto& one) {
    return *written == absl::StrCat(simulators, one.first);
  });
  if (earlier == kEarlier.end()) {
    return Mismatch(
        absl::StrFormat("this began on arithmetic with the fingerprint %s, here it is %s; continue "
                        "it on that kind of machine and build, or else",
                        Printable(*written), fingerprint),
        anew);
  }
  if (!ByKernelsAlone(spec)) {
    return Mismatch(
        absl::StrFormat("this began on a processor of %s, before Mentor had one arithmetic for all "
                        "processors, and LibTorch computes a part of it",
                        earlier->second),
        anew);
  }
  MENTOR_LOG(kInfo, "the experiment goes on with the one arithmetic: its bits are the same",
             {{"folder", experiment_folder}, {"began_on", earlier->second}});
  // The file of the fingerprint comes last: after a crash in between, all of this happens again.
  MENTOR_RETURN_IF_ERROR(RenameLearnerArithmetic(
      experiment_folder, absl::StrCat("cpu ", earlier->first), CpuArithmetic()));
  return WriteFileAtomically(file, Sealed(fingerprint));
}

namespace {

std::filesystem::path FileOf(const std::filesystem::path& experiment_folder) {
  return experiment_folder / "learner_fingerprint";
}

}  // namespace

std::string CpuArithmetic() {
  return "cpu " + shards::LearnerFingerprint();
}

absl::StatusOr<std::string> LearnerArithmetic(const std::filesystem::path& experiment_folder) {
  const std::filesystem::path file = FileOf(experiment_folder);
  const auto written = ReadFile(file, kBytesMax);
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
