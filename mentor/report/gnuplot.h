// Runs gnuplot as a child process on a script file, without a shell, and quotes texts for it.
// Threads may share.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include <absl/status/status.h>

namespace mentor {

// Runs `program script` inside `folder` and waits for it. `program` is looked up in PATH if it has
// no slash. Its messages go to FOLDER/gnuplot.log. FAILED_PRECONDITION if the program is missing;
// INTERNAL with its messages if it fails.
absl::Status RunGnuplot(const std::filesystem::path& program, const std::filesystem::path& folder,
                        const std::string& script);

// Text as a gnuplot string literal in single quotes; control characters become spaces.
std::string GnuplotString(std::string_view text);

}  // namespace mentor
