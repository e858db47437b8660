// The manual page, made by walking the tree of verbs. Pure.
#pragma once

#include <string>

namespace CLI {
class App;
}

namespace mentor::ctl {

// The whole tree as one --help in the form that help2man reads.
std::string ManualText(const CLI::App& root);

}  // namespace mentor::ctl
