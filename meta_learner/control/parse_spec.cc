#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/check.h"
#include "common/file.h"
#include "common/printable.h"
#include "common/spec/experiment_text.h"
#include "common/spec/ready_specs.h"
#include "common/spec/spec.h"
#include "common/status.h"
#include "meta_learner/control/methods.h"
#include "meta_learner/control/request_checks.h"

namespace mentor::meta_learner {

absl::StatusOr<v1::ParseSpecResponse> ParseSpec(const v1::ParseSpecRequest& request) {
  if (request.files().empty()) return BadField("files", "is empty; give the file of a spec");
  std::map<std::string, std::optional<std::string>> known;
  for (const v1::SpecFile& file : request.files())
    known[file.path()] = file.has_text() ? std::optional(file.text()) : std::nullopt;

  v1::ParseSpecResponse response;
  spec::FileReader read =
      [&](const std::filesystem::path& path) -> absl::StatusOr<std::optional<std::string>> {
    const auto file = known.find(path.string());
    if (file != known.end()) return file->second;
    if (!IsUtf8(path.string())) return absl::InvalidArgumentError("is not UTF-8; rename the file");
    response.set_wanted_file(path.string());
    return absl::NotFoundError("is not given");
  };
  std::filesystem::path source = request.files(0).path();
  std::optional<std::string> text = known[source.string()];
  if (!text) {
    const auto ready = FindReadySpec(source.string());
    if (!ready.ok()) return BadField("spec", std::string(ready.status().message()));
    MENTOR_ASSIGN_OR_RETURN(text, ReadFile(*ready, kSpecBytesMax));
    source = *ready;
    read = spec::ReadLocalFile;
  }
  const std::vector<std::string> overrides(request.overrides().begin(), request.overrides().end());
  v1::Experiment experiment;
  Violations violations;
  const bool whole = ReadExperiment(source, *text, overrides, &experiment, &violations, read);
  if (!response.wanted_file().empty()) return response;
  // The author, who must mend the text anyway, learns at once what CreateExperiment would refuse.
  if (whole && !violations.empty()) CheckSpec(experiment.spec(), &violations);
  MENTOR_RETURN_IF_ERROR(ShortStatus(violations));
  *response.mutable_experiment() = std::move(experiment);
  return response;
}

}  // namespace mentor::meta_learner
