#include "envs/environment.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <mujoco/mujoco.h>

#include "common/check.h"
#include "common/hash.h"
#include "envs/wrapper.h"

namespace mentor::envs {

const std::vector<const EnvironmentEntry*>& Catalogue() {
  static const auto all = Registry<EnvironmentEntry>::Instance().All();
  return all;
}

const std::vector<const EnvironmentEntry*>& CompleteEnvironments() {
  static const auto complete = [] {
    std::vector<const EnvironmentEntry*> entries = Catalogue();
    std::erase_if(entries, [](const EnvironmentEntry* entry) { return entry->brought; });
    return entries;
  }();
  return complete;
}

const EnvironmentEntry* FindEnvironment(std::string_view name) {
  return Registry<EnvironmentEntry>::Instance().Find(name);
}

std::string CatalogueHash() {
  // A zero byte ends every field, so that no two catalogues give the same text.
  std::string text =
      absl::StrCat("mentor environments 1", std::string(1, '\0'), "mujoco ", mj_version());
  const auto add = [&text](const std::string& field) { (text += '\0') += field; };
  const auto add_part = [&add](const std::string& name, const OptionTable& options) {
    add(name);
    for (const OptionInfo& option : options) {
      add(option.name);
      add(absl::StrCat(static_cast<int>(option.kind)));
      add(option.default_value);
      add(absl::StrFormat("%a %a", option.min, option.max));
      for (const std::string& choice : option.choices) add(choice);
    }
  };
  for (const EnvironmentEntry* entry : Catalogue()) {
    if (entry->in_catalogue_hash) add_part(entry->name, entry->options);
  }
  add("wrappers");
  for (const WrapperEntry* entry : Wrappers()) {
    if (entry->in_catalogue_hash) add_part(entry->name, entry->options);
  }
  return Sha256Hex(text);
}

absl::StatusOr<std::unique_ptr<Environment>> MakeEnvironment(
    std::string_view name, const google::protobuf::RepeatedPtrField<v1::Option>& options,
    std::string_view field_path) {
  const EnvironmentEntry* entry = FindEnvironment(name);
  if (entry == nullptr)
    return absl::NotFoundError(Registry<EnvironmentEntry>::Instance().Unknown("environment", name));
  Violations violations;
  const OptionValues values = OptionValues::Parse(entry->options, options, field_path, &violations);
  MENTOR_RETURN_IF_ERROR(violations.ToStatus());
  return entry->make(values);
}

absl::StatusOr<std::unique_ptr<Environment>> MakeEnvironment(const v1::EnvironmentTask& task) {
  MENTOR_ASSIGN_OR_RETURN(std::unique_ptr<Environment> made,
                          MakeEnvironment(task.environment(), task.options()));
  MENTOR_ASSIGN_OR_RETURN(made, Wrap(std::move(made), task.wrappers()));
  MENTOR_RETURN_IF_ERROR(made->SetTask(task));
  return made;
}

const std::vector<std::string>& Environment::InfoKeys() const {
  static const std::vector<std::string> none;
  return none;
}

v1::EnvironmentTask DrawTask(const EnvironmentEntry& entry, const OptionValues& options,
                             const RandomStream& random, uint32_t index) {
  v1::EnvironmentTask task;
  task.set_environment(entry.name);
  if (!entry.draw_parameters) return task;
  const std::vector<double> parameters = entry.draw_parameters(options, random, index);
  task.mutable_parameters()->Add(parameters.begin(), parameters.end());
  return task;
}

bool MaySucceed(const v1::EnvironmentTask& task) {
  const EnvironmentEntry* entry = FindEnvironment(task.environment());
  if (entry == nullptr) return true;
  if (!entry->gives_success) return entry->has_success;
  Violations none;
  const OptionValues values = OptionValues::Parse(entry->options, task.options(), "", &none);
  return !none.empty() || entry->gives_success(values);
}

absl::Status CheckTaskName(const v1::EnvironmentTask& task, const EnvironmentInfo& info) {
  if (task.environment() == info.name) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("task.environment is '", task.environment(),
                                                 "', but this environment is ", info.name));
}

absl::Status CheckObservation(const EnvironmentInfo& info, std::span<const double> observation) {
  if (observation.size() == static_cast<size_t>(info.observation_size)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("room for an observation of ", observation.size(),
                                                 " numbers, ", info.name, " has ",
                                                 info.observation_size));
}

absl::Status CheckStep(const EnvironmentInfo& info, int steps, std::span<const float> action,
                       bool ended) {
  if (steps < 0)
    return absl::FailedPreconditionError(absl::StrCat(info.name, ": Step before Reset"));
  if (ended || steps >= info.episode_steps) {
    return absl::FailedPreconditionError(
        absl::StrCat(info.name, ": Step after the episode's end (step ", steps, "); call Reset"));
  }
  if (action.size() != static_cast<size_t>(info.action_size)) {
    return absl::InvalidArgumentError(absl::StrCat("action has ", action.size(), " numbers, ",
                                                   info.name, " takes ", info.action_size));
  }
  for (size_t i = 0; i < action.size(); ++i) {
    if (!std::isfinite(action[i])) {
      return absl::InvalidArgumentError(absl::StrCat("action[", i, "] is ", action[i], " in step ",
                                                     steps + 1, " of ", info.name,
                                                     "; actions must be finite"));
    }
  }
  return absl::OkStatus();
}

void ClipAction(const EnvironmentInfo& info, std::span<const float> action,
                std::span<float> clipped) {
  const float low = static_cast<float>(info.action_low),
              high = static_cast<float>(info.action_high);
  std::transform(action.begin(), action.end(), clipped.begin(),
                 [low, high](float x) { return std::clamp(x, low, high); });
}

namespace {

static_assert(std::endian::native == std::endian::little);
constexpr std::string_view kMagic = "MENVST01";

absl::Status Bad(std::string_view environment, const std::string& what) {
  return absl::InvalidArgumentError(
      absl::StrCat("state of ", std::string(environment), ": ", what));
}

}  // namespace

std::string EncodeState(std::string_view environment, std::span<const double> numbers) {
  const uint32_t name_length = static_cast<uint32_t>(environment.size());
  const uint64_t count = numbers.size();
  std::string state(kMagic);
  state.append(reinterpret_cast<const char*>(&name_length), sizeof(name_length));
  state.append(environment);
  state.append(reinterpret_cast<const char*>(&count), sizeof(count));
  state.append(reinterpret_cast<const char*>(numbers.data()), numbers.size_bytes());
  return state;
}

absl::Status DecodeState(std::string_view environment, std::string_view state, size_t min_count,
                         size_t max_count, std::vector<double>* out, std::string_view* rest) {
  const auto take = [&state](void* to, size_t bytes) {
    if (state.size() < bytes) return false;
    if (bytes > 0) std::memcpy(to, state.data(), bytes);  // An empty vector has no address.
    state.remove_prefix(bytes);
    return true;
  };
  if (!state.starts_with(kMagic)) return Bad(environment, "does not begin with MENVST01");
  state.remove_prefix(kMagic.size());
  uint32_t name_length = 0;
  if (!take(&name_length, sizeof(name_length)) || state.size() < name_length)
    return Bad(environment, "is cut short");
  if (const std::string_view name = state.substr(0, name_length); name != environment) {
    return Bad(environment, absl::StrCat("belongs to '", std::string(name.substr(0, 100)), "'"));
  }
  state.remove_prefix(name_length);
  uint64_t count = 0;
  if (!take(&count, sizeof(count))) return Bad(environment, "is cut short");
  if (count < min_count || count > max_count) {
    return Bad(environment,
               absl::StrCat("has ", count, " numbers, expected ", min_count,
                            min_count == max_count ? "" : absl::StrCat(" to ", max_count)));
  }
  if (state.size() < count * sizeof(double) ||
      (rest == nullptr && state.size() != count * sizeof(double))) {
    return Bad(environment, absl::StrCat("has ", state.size(), " bytes of numbers, expected ",
                                         count * sizeof(double)));
  }
  out->resize(count);
  take(out->data(), count * sizeof(double));
  if (rest != nullptr) *rest = state;
  for (size_t i = 0; i < out->size(); ++i) {
    if (!std::isfinite((*out)[i]))
      return Bad(environment, absl::StrCat("number ", i, " is not finite"));
  }
  return absl::OkStatus();
}

}  // namespace mentor::envs
