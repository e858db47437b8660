// Formats option tables of registered parts (environments, outer rules, signal networks, ...):
// `mentor env show`, `mentor rule show`, `mentor signal show`. Pure functions.
#pragma once

#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "common/options.h"

namespace mentor {

// Returns a list of objects: name, default, kind, range or choices, help.
nlohmann::ordered_json OptionsJson(const OptionTable& options);

// Appends "  NAME          text", wrapped at 100 columns, with later lines indented.
void AddField(std::string_view name, const std::string& text, std::string* page);
// Appends the result of OptionsJson in that format.
void AddOptions(const nlohmann::ordered_json& options, std::string* page);
// Appends a line of a list: name and summary.
void AddListLine(const std::string& name, const std::string& summary, std::string* page);

}  // namespace mentor
