// `mentor rule list|show`, and the same of signal and curriculum: what outer rules, signal networks
// and curricula there are, what they need, and their settings.
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
// NOT_FOUND names those that exist.
absl::StatusOr<std::string> DescribePart(const std::string& kind, const std::string& name,
                                         bool json);

void AddRuleCommands(CLI::App* app, std::function<int()>* action);

}  // namespace mentor
