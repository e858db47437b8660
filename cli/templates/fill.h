// Fills the places of a template, and writes a new folder at once. Functions on texts and files;
// threads may share them.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>

#include <absl/status/status.h>

namespace mentor::templates {

// A place is {{name}}. Values may have places too.
using Places = std::map<std::string, std::string>;

// The template with each place replaced. Must hold: every place has a value.
std::string Fill(std::string_view text, const Places& places);

// Texts by their relative paths.
using Files = std::map<std::string, std::string>;

absl::Status WriteFiles(const std::filesystem::path& folder, const Files& files);
// INVALID_ARGUMENT unless `folder` is missing or empty.
absl::Status CheckNewFolder(const std::filesystem::path& folder);
// Writes the folder as a whole: after an error there is none, or the empty one of before.
absl::Status WriteNewFolder(const std::filesystem::path& folder, const Files& files);

}  // namespace mentor::templates
