// Text from elsewhere as a terminal may show it. What a terminal obeys rather than shows (control
// characters of ASCII and of Unicode, marks that turn the direction of writing, characters without
// a glyph) is made visible, so that a name or a message cannot hide, move or colour what stands
// around it. Everything that came from a peer and is printed for people goes through here. Not for
// files. Pure functions; threads may share.
#pragma once

#include <string>
#include <string_view>

namespace mentor {

// One line: ends of lines and tabs become spaces, the rest of the above and bytes that are not
// UTF-8 become '?'.
std::string Printable(std::string_view text);
// The same, with its lines left as they are.
std::string PrintableLines(std::string_view text);
// JSON, or YAML whose texts are JSON's: the same characters become \u escapes, which say the same.
std::string PrintableJson(std::string_view json);

}  // namespace mentor
