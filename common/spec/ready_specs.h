// The specs that come with Mentor, by name: deploy/experiments of the source tree, or where a
// package put them. Thread-safe; depends on the environment variable MENTOR_EXPERIMENTS.
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

// By name.
std::vector<ReadySpec> ReadySpecs();

// The file that `spec` is, or the ready spec of that name. NOT_FOUND names the nearest, or all.
absl::StatusOr<std::filesystem::path> FindSpec(const std::string& spec);

}  // namespace mentor
