// Files that the build embeds into the program (cmake/EmbedFiles.cmake), so that a page is
// self-contained.
#pragma once

#include <string_view>

namespace mentor::report {

extern const std::string_view kChartLibrary;  // Chart.js as packaged by Debian.
extern const std::string_view kPageScript;    // page.js
extern const std::string_view kPageStyle;     // page.css

}  // namespace mentor::report
