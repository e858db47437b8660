// How option tables of registered parts (environments, outer rules, signal networks, ...) are
// shown: `mentor env show`, `mentor rule show`, `mentor signal show`. Pure functions.
#pragma once

#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "common/options.h"

namespace mentor {

// A list of objects: name, default, kind, its range or choices, help.
nlohmann::ordered_json OptionsJson(const OptionTable& options);

// Appends "  NAME          text", broken between words at 100 columns, later lines indented.
void AddField(std::string_view name, const std::string& text, std::string* page);
// The same for what OptionsJson gave.
void AddOptions(const nlohmann::ordered_json& options, std::string* page);
// Appends a line of a list: name and summary.
void AddListLine(const std::string& name, const std::string& summary, std::string* page);

}  // namespace mentor
