// Specs in YAML. A document becomes protobuf's text format, which parse_text.h reads: fields,
// values and names are judged there and nowhere else. Pure; threads may share.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include <google/protobuf/message.h>

#include "common/violations.h"

namespace mentor::spec {

// True for a file whose name ends in .yaml or .yml.
bool IsYaml(const std::filesystem::path& file);

// Returns the document as text format for a message of this type. Each value stays on its line, so
// that an error in the text names the line of the document. Returns nullopt after adding violations
// when the document has another shape than a message. Aliases are written out, up to the size that
// a spec may have.
std::optional<std::string> TextOfYaml(std::string_view yaml,
                                      const google::protobuf::Descriptor& type,
                                      Violations* violations, std::string_view what = "spec");

// ParseText (parse_text.h) for what a file holds: YAML if its name says so, else text format.
bool ParseFile(const std::filesystem::path& file, std::string_view text,
               google::protobuf::Message* message, Violations* violations,
               std::string_view what = "spec");

}  // namespace mentor::spec
