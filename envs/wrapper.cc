#include "envs/wrapper.h"

#include <algorithm>

#include <absl/strings/str_cat.h>

#include "common/check.h"
#include "common/status.h"

namespace mentor::envs {

const std::vector<const WrapperEntry*>& Wrappers() {
  static const auto all = Registry<WrapperEntry>::Instance().All();
  return all;
}

absl::StatusOr<std::unique_ptr<Environment>> Wrap(
    std::unique_ptr<Environment> environment,
    const google::protobuf::RepeatedPtrField<v1::WrapperSpec>& wrappers,
    std::string_view field_path) {
  const auto& registry = Registry<WrapperEntry>::Instance();
  for (int i = 0; i < wrappers.size(); ++i) {
    const std::string path = absl::StrCat(std::string(field_path), "[", i, "]");
    const WrapperEntry* entry = registry.Find(wrappers[i].name());
    if (entry == nullptr) {
      return absl::NotFoundError(
          absl::StrCat(path, ".name: ", registry.Unknown("wrapper", wrappers[i].name())));
    }
    Violations violations;
    const OptionValues values =
        OptionValues::Parse(entry->options, wrappers[i].option(), path + ".option", &violations);
    MENTOR_RETURN_IF_ERROR(violations.ToStatus());
    absl::StatusOr<std::unique_ptr<Environment>> wrapped =
        entry->make(std::move(environment), values);
    if (!wrapped.ok())
      return WithPrefix(absl::StrCat(path, " (", entry->name, "): "), wrapped.status());
    environment = *std::move(wrapped);
  }
  return environment;
}

void ExtendTask(const google::protobuf::RepeatedPtrField<v1::WrapperSpec>& wrappers,
                const RandomStream& random, uint32_t index, v1::EnvironmentTask* task) {
  for (const v1::WrapperSpec& wrapper : wrappers) {
    const WrapperEntry* entry = Registry<WrapperEntry>::Instance().Find(wrapper.name());
    if (entry == nullptr || !entry->extend_task) continue;
    Violations none;
    entry->extend_task(OptionValues::Parse(entry->options, wrapper.option(), "", &none), random,
                       index, task);
  }
}

bool GiveSuccess(const google::protobuf::RepeatedPtrField<v1::WrapperSpec>& wrappers) {
  return std::any_of(wrappers.begin(), wrappers.end(), [](const v1::WrapperSpec& wrapper) {
    const WrapperEntry* entry = Registry<WrapperEntry>::Instance().Find(wrapper.name());
    return entry != nullptr && entry->gives_success;
  });
}

}  // namespace mentor::envs
