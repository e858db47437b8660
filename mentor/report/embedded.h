// Files that the build puts into the program (cmake/EmbedFiles.cmake), so that a page needs nothing
// beside it.
#pragma once

#include <string_view>

namespace mentor::report {

extern const std::string_view kChartLibrary;  // Chart.js, as Debian packs it.
extern const std::string_view kPageScript;    // page.js
extern const std::string_view kPageStyle;     // page.css

}  // namespace mentor::report
