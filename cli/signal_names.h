// Finds exported signals by name: zoo:NAME is one that comes with Mentor, hf://OWNER/NAME one of
// the Hugging Face Hub, and everything else a folder that `mentor export` wrote. Functions without
// state.
#pragma once

#include <filesystem>
#include <string>

#include <absl/status/statusor.h>

namespace mentor {

// True if this is the name or the folder of a signal, not of a run.
bool IsSignal(const std::string& name);

// Returns the signal's folder. Python fetches signals of the Hub (python/mentor_signal/hub.py).
// NOT_FOUND lists the nearest names of the zoo, or says what is missing.
absl::StatusOr<std::filesystem::path> FindSignal(const std::string& name);

// True if the zoo has a signal of this name, without "zoo:".
bool IsInZoo(const std::string& name);

}  // namespace mentor
