// Building blocks of messages about specs: quotations of user text, suggested names, legal values.
// Pure functions; threads may share.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include <google/protobuf/descriptor.h>

#include "mentor/v1/spec.pb.h"

namespace mentor::spec {

// Returns the user's text, shortened and printable, whatever bytes it has.
std::string Printable(std::string_view text, size_t bytes_max);
// The same in quotes, short enough for a sentence.
std::string Quote(std::string_view text);
std::string Number(double value);
// "path.name"
std::string Join(std::string_view path, std::string_view name);

// Returns "did you mean 'x'?" or the list of all fields.
std::string FieldHint(const google::protobuf::Descriptor& type, std::string_view wrong);
// Returns all values except the one that stands for "never set". Suggests those near `wrong`, the
// value that was given.
std::string EnumChoices(const google::protobuf::EnumDescriptor& type, std::string_view wrong = "");
// Returns "; the default is 3", or "".
std::string DefaultText(const google::protobuf::FieldDescriptor& field);
// Returns "a number of at least 1 and below 2".
std::string BoundsText(const google::protobuf::FieldDescriptor& field, const v1::Range& range);
// Returns what the field accepts in place of `given`.
std::string ExpectedText(const google::protobuf::FieldDescriptor& field,
                         std::string_view given = "");
// Returns the field of a message's named options; null if it has none.
const google::protobuf::FieldDescriptor* OptionList(const google::protobuf::Descriptor& type);

}  // namespace mentor::spec
