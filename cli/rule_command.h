// `mentor rule list|show`, and the same for signal and curriculum: lists outer rules, signal
// networks and curricula, with their needs and settings.
#pragma once

#include <functional>
#include <string>

#include <absl/status/statusor.h>

namespace CLI {
class App;
}

namespace mentor {

// `kind`: "rule", "signal" or "curriculum".
std::string DescribeParts(const std::string& kind, bool json);
// NOT_FOUND names the existing parts.
absl::StatusOr<std::string> DescribePart(const std::string& kind, const std::string& name,
                                         bool json);

void AddRuleCommands(CLI::App* app, std::function<int()>* action);

}  // namespace mentor
