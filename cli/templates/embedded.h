// Files of new folders (`mentor new`), which the build embeds (cmake/EmbedFiles.cmake). Their
// places are filled by Fill (fill.h).
#pragma once

#include <string_view>

namespace mentor::templates {

extern const std::string_view kLearning;  // learning.txtpb: the part that all specs share
extern const std::string_view kRobotModel;
extern const std::string_view kRobotTask;
extern const std::string_view kRobotSpec;
extern const std::string_view kRobotReadme;
extern const std::string_view kOwnModelTask;  // For a model that the user brings.
extern const std::string_view kOwnModelReadme;
extern const std::string_view kGymModule;
extern const std::string_view kGymSpec;
extern const std::string_view kGymReadme;
extern const std::string_view kKnownGymReadme;  // For an environment that exists.
extern const std::string_view kBenchmarkSpec;
extern const std::string_view kBenchmarkReadme;

}  // namespace mentor::templates
