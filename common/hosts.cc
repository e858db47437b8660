#include "common/hosts.h"

#include <set>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

#include "common/status.h"

namespace mentor {

bool IsHostName(std::string_view name) {
  return !name.empty() && name.size() <= kHostNameBytesMax &&
         name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-_") == name.npos;
}

std::string HostOf(const v1::EnvironmentTask& task) {
  if (task.environment() != kHostEnvironment) return "";
  for (const v1::Option& option : task.options()) {
    if (option.name() == kHostOption) return option.value();
  }
  return "";
}

absl::Status CheckSimulatorNames(std::string_view field,
                                 const google::protobuf::RepeatedPtrField<std::string>& names) {
  const auto wrong = [&](const std::string& why) {
    return MakeError(Reason::kProtocolViolation, absl::StrCat(std::string(field), ": ", why));
  };
  if (names.size() > kHostsMax)
    return wrong(
        absl::StrFormat("has %d entries; at most %d are allowed", names.size(), kHostsMax));
  std::set<std::string_view> seen;
  for (const std::string& name : names) {
    if (!IsHostName(name)) return wrong("an entry is not a valid name of a simulator");
    if (!seen.insert(name).second) return wrong(absl::StrCat("'", name, "' stands there twice"));
  }
  return absl::OkStatus();
}

}  // namespace mentor
