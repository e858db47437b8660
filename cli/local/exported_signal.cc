// Reads the files that signal_export.cc writes.
#include <torch/types.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <system_error>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <nlohmann/json.hpp>

#include "cli/local/signal_export.h"
#include "common/check.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/safetensors.h"

namespace mentor {
namespace {

using Json = nlohmann::ordered_json;

constexpr char kOldWeights[] = "signal.safetensors";
constexpr uint64_t kExportBytesMax = uint64_t{1} << 30;

// Returns the weights of a network, [Q], from the content of the file `name`.
absl::StatusOr<torch::Tensor> ParametersOf(const std::string& content, const std::string& name,
                                           const agents::ParamLayout& layout) {
  const auto file = ReadSafeTensors(content);
  if (!file.ok())
    return absl::InvalidArgumentError(absl::StrCat(name, ": ", file.status().message()));
  if (file->tensors.size() != layout.slices().size())
    return absl::InvalidArgumentError(absl::StrFormat("%s has %d tensors, but the network %d", name,
                                                      file->tensors.size(),
                                                      layout.slices().size()));
  torch::Tensor parameters = torch::zeros({layout.size()}, torch::kFloat32);
  for (const SafeTensor& tensor : file->tensors) {
    const auto slice = std::ranges::find(layout.slices(), tensor.name, &agents::ParamSlice::name);
    if (slice == layout.slices().end() || slice->shape != tensor.shape || tensor.dtype != "F32") {
      return absl::InvalidArgumentError(
          absl::StrCat("'", tensor.name, "' of ", name,
                       " is no part of the spec's network, or of another shape"));
    }
    std::memcpy(parameters.mutable_data_ptr<float>() + slice->offset, tensor.data.data(),
                tensor.data.size());
  }
  if (parameters.isfinite().all().item<bool>()) return parameters;
  return absl::InvalidArgumentError(
      absl::StrCat("not every number of ", name, " is finite; export another state of the run"));
}

}  // namespace

absl::StatusOr<TrainedRun> ReadExportedSignal(const std::filesystem::path& folder) {
  std::error_code error;
  const bool is_old = !std::filesystem::exists(folder / kSignalConfig, error) &&
                      std::filesystem::exists(folder / kOldSignalConfig, error);
  const std::filesystem::path path = folder / (is_old ? kOldSignalConfig : kSignalConfig);
  const std::string weights_file = is_old ? kOldWeights : kSignalWeights;
  const auto bytes = ReadFile(path, kExportBytesMax);
  if (absl::IsNotFound(bytes.status())) {
    return absl::NotFoundError(absl::StrCat(
        folder.string(), " is no exported signal: it has no ", kSignalConfig,
        "; 'mentor export RUN --out DIR' writes one, and 'mentor evaluate RUN' takes a run"));
  }
  MENTOR_RETURN_IF_ERROR(bytes.status());
  const auto bad = [&](const std::string& what) {
    return absl::InvalidArgumentError(absl::StrCat(path.string(), ": ", what));
  };
  const auto damaged = [&](const std::string& what) {
    return bad(what + "; the file was changed or is damaged: fetch or export it again");
  };
  const Json json = Json::parse(*bytes, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return damaged("is no JSON object");
  // Returns null for a missing path.
  const auto at = [&](const char* path_in_json) {
    const Json::json_pointer pointer(path_in_json);
    return json.contains(pointer) ? json.at(pointer) : Json();
  };
  const Json format = at("/format"), spec = at("/spec"), hash = at("/weights/sha256"),
             updates = at("/trained/outer_updates");
  if (!format.is_number()) {
    return bad(
        "format is no number, so it describes no signal of Mentor; take a folder that 'mentor "
        "export' has written");
  }
  if (format != kSignalFormat && format != kNormalisedSignalFormat) {
    return bad(
        absl::StrFormat("format is %s, but this build reads %d; use the version that "
                        "wrote it",
                        format.dump(), kSignalFormat));
  }
  if (!spec.is_string() || !hash.is_string())
    return damaged(absl::StrCat(spec.is_string() ? "weights.sha256" : "spec", " is no text"));
  if (!updates.is_number_unsigned() || updates.get<uint64_t>() > UINT32_MAX) {
    return damaged(
        absl::StrFormat("trained.outer_updates is no number of updates (0 to %d)", UINT32_MAX));
  }
  TrainedRun run;
  run.outer_step = updates.get<uint32_t>();
  run.state_hash = hash.get<std::string>();
  Violations violations;
  run.spec = ReadTrainedSpec(spec.get<std::string>(), &run.parts, &violations);
  if (!violations.empty())
    return bad("spec is none of this build: " + violations.ToStatus().ToString());
  MENTOR_RETURN_IF_ERROR(CheckExports(run));

  MENTOR_ASSIGN_OR_RETURN(const std::string weights,
                          ReadFile(folder / weights_file, kExportBytesMax));
  if (Sha256Hex(weights) != run.state_hash)
    return damaged("weights.sha256 differs from the SHA-256 of " + weights_file);
  const auto parameters = ParametersOf(weights, weights_file, run.parts.network->layout());
  if (!parameters.ok())
    return bad(absl::StrCat("weights: ", std::string(parameters.status().message())));
  run.learned_parameters = *parameters;
  run.initial_parameters = run.parts.rule->meta_parameters().clone();
  run.best_parameters = run.learned_parameters;
  return run;
}

}  // namespace mentor
