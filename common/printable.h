// Makes text from elsewhere safe for a terminal. Some characters act on a terminal instead of being
// displayed: control characters of ASCII and Unicode, direction marks, characters without a glyph.
// They are made visible, so that a name or a message cannot hide, move or colour other text. All
// text from peers must pass through here before it is printed for people. Not for files. Pure
// functions; threads may share.
#pragma once

#include <string>
#include <string_view>

namespace mentor {

bool IsUtf8(std::string_view text);
// Returns one line: line ends and tabs become spaces; other such characters and invalid UTF-8
// become '?'.
std::string Printable(std::string_view text);
// The same, but keeps line ends and tabs.
std::string PrintableLines(std::string_view text);
// For JSON, or YAML with JSON's strings: replaces such characters by equivalent \u escapes.
std::string PrintableJson(std::string_view json);

}  // namespace mentor
