// The specs that come with Mentor, by name: experiments of the source tree or of the installed
// package. Thread-safe; depends on the environment variable MENTOR_EXPERIMENTS.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

namespace mentor {

struct ReadySpec {
  std::string name;  // "point_reach"
  std::filesystem::path path;
  std::string title;  // Its display_name.
};

inline constexpr char kSpecEnding[] = ".txtpb";

// Sorted by name.
std::vector<ReadySpec> ReadySpecs();

// Returns the ready spec `name`, with or without its ending. NOT_FOUND lists the nearest names, or
// all.
absl::StatusOr<std::filesystem::path> FindReadySpec(const std::string& name);

// Returns the file `spec`, or the ready spec of that name. NOT_FOUND lists the nearest names, or
// all.
absl::StatusOr<std::filesystem::path> FindSpec(const std::string& spec);

}  // namespace mentor
